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
//!
//! Waiting for another thread, another process or the network does not hold the clock: a timeout around
//! it fires as soon as the loop has nothing else to do. Paused time is for what happens inside the loop.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//!
//! # tulipa::run(async {
//! let slow = std::future::pending::<()>();
//! assert!(tulipa::timeout(Duration::from_millis(1), slow).await.is_err());
//!
//! let mut interval = tulipa::interval(Duration::from_millis(1));
//! for _ in 0..3 {
//!     interval.tick().await; // At once, then after 1 ms, then after 2 ms.
//! }
//! # });
//! ```

pub use tulipa_executor::Instant;
pub use tulipa_executor::timer::{
    Elapsed, Interval, MissedTickBehavior, Sleep, Timeout, advance, interval, interval_at, pause,
    resume, sleep, sleep_until, timeout, timeout_at, try_sleep_until,
};
