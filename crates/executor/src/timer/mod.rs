//! Timers: the wheel that knows which deadlines have passed, the futures that wait on it, and the
//! clock that can be paused.
//!
//! - `wheel`: the data structure; takes `now`, reads no clock, wakes nobody.
//! - `timers`: the wheel of one loop, the bound on its wake-ups, and virtual time.
//! - [`Sleep`], [`Timeout`], [`Interval`]: the futures.

mod interval;
mod pause;
mod sleep;
mod timeout;
mod timers;
mod wheel;

pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use pause::{advance, pause, resume};
pub use sleep::{Sleep, sleep, sleep_until, try_sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

pub(crate) use timers::Timers;
