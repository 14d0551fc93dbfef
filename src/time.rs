//! Timers and the loop's clock.
//!
//! Timers fire in the order of their deadlines, ties in the order they were set, and never early. On
//! Linux a timer that is alone is met within some microseconds.
//!
//! # Virtual time
//! With the clock [paused](pause), time stands still while anything is ready and jumps to the next
//! deadline when nothing is, so that a test of hours takes milliseconds and always goes the same way:
//! ```
//! use std::time::Duration;
//! use tulipa::time::Instant;
//!
//! #[tulipa::test(start_paused = true)]
//! async fn a_day_passes() {
//!     let start = Instant::now();
//!     tulipa::sleep(Duration::from_secs(24 * 60 * 60)).await;
//!     assert_eq!(start.elapsed(), Duration::from_secs(24 * 60 * 60));
//! }
//! # fn main() {}
//! ```

pub use tulipa_executor::Instant;
pub use tulipa_executor::timer::{
    Elapsed, Interval, MissedTickBehavior, Sleep, Timeout, advance, interval, interval_at, pause,
    resume, sleep, sleep_until, timeout, timeout_at, try_sleep_until,
};
