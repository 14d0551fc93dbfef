//! The clock: what is the time, on this thread?
//!
//! Time is a monotonic count of nanoseconds. A thread sees the machine's monotonic clock, unless
//! whoever owns time there (a paused loop, a simulator) has put another [`View`] in its place: a
//! frozen instant, or the machine's clock moved by an offset.

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A moment of the loop's clock: monotonic, in nanoseconds, and virtual where time is paused.
///
/// It differs from [`std::time::Instant`] in that it follows the virtual clock, is 8 bytes long, and
/// never panics or wraps: sums saturate at [`Instant::FAR_FUTURE`], which means 'never', and
/// differences at zero.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod time { pub use tulipa_base::Instant; } }
/// use std::time::Duration;
/// use tulipa::time::Instant;
/// # fn main() {
///
/// let now = Instant::now();
/// assert_eq!((now + Duration::from_millis(5)) - now, Duration::from_millis(5));
/// assert_eq!(now + Duration::MAX, Instant::FAR_FUTURE);
/// assert_eq!(now - (now + Duration::from_secs(1)), Duration::ZERO);
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    ns: u64,
}

/// What a thread takes for the time. See [`set_view`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The machine's monotonic clock, put forward by this much.
    Running {
        /// How far ahead of the machine's clock, in nanoseconds.
        ahead_ns: u64,
    },
    /// Time stands still at this instant until someone sets another view.
    Frozen(Instant),
}

impl View {
    /// The machine's clock as it is.
    pub const REAL: View = View::Running { ahead_ns: 0 };
}

thread_local! {
    // Two words instead of an enum, so that a reading is one load and one test.
    // Zero: not frozen. No clock of ours ever shows zero (see `ORIGIN_NS`).
    static FROZEN_NS: Cell<u64> = const { Cell::new(0) };
    static AHEAD_NS: Cell<u64> = const { Cell::new(0) };
}

/// Where the count starts, at boot or when the process first asks: far from both ends, so that instants before
/// the start of the process (2^61 ns are 73 years) and far after it (511 years) can be written down.
const ORIGIN_NS: u64 = 1 << 61;

/// Replaces this thread's view of the time and returns the one before it.
///
/// For event loops and simulators; a program pauses time through its runtime.
pub fn set_view(view: View) -> View {
    let before = self::view();
    match view {
        View::Running { ahead_ns } => {
            FROZEN_NS.set(0);
            AHEAD_NS.set(ahead_ns);
        }
        View::Frozen(at) => FROZEN_NS.set(at.ns.max(1)),
    }
    before
}

/// This thread's view of the time.
pub fn view() -> View {
    match FROZEN_NS.get() {
        0 => View::Running {
            ahead_ns: AHEAD_NS.get(),
        },
        ns => View::Frozen(Instant { ns }),
    }
}

impl Instant {
    /// The instant that never comes: a timer set for it does not fire.
    pub const FAR_FUTURE: Instant = Instant { ns: u64::MAX };

    /// The current time of this thread's clock.
    ///
    /// # Examples
    /// ```
    /// # use tulipa_base::Instant;
    /// let earlier = Instant::now();
    /// assert!(Instant::now() >= earlier);
    /// ```
    #[inline]
    #[doc(alias = "time")]
    pub fn now() -> Instant {
        let frozen = FROZEN_NS.get();
        if frozen != 0 {
            return Instant { ns: frozen };
        }
        Instant {
            ns: machine_ns().saturating_add(AHEAD_NS.get()),
        }
    }

    /// The time of the machine's monotonic clock, also where this thread's time is virtual.
    #[inline]
    pub fn machine_now() -> Instant {
        Instant { ns: machine_ns() }
    }

    /// The current time of this thread's clock, up to some milliseconds late, for less than half the price where the
    /// system has a coarse clock.
    #[inline]
    pub fn coarse_now() -> Instant {
        Instant {
            ns: coarse_machine_ns(),
        }
        .as_seen_here()
    }

    /// What this thread's clock shows when the machine's shows this.
    #[inline]
    pub fn as_seen_here(self) -> Instant {
        let frozen = FROZEN_NS.get();
        if frozen != 0 {
            return Instant { ns: frozen };
        }
        Instant {
            ns: self.ns.saturating_add(AHEAD_NS.get()),
        }
    }

    /// The instant whose count is `ns`. The inverse of [`Instant::as_nanos`].
    #[inline]
    pub const fn from_nanos(ns: u64) -> Instant {
        Instant { ns }
    }

    /// Nanoseconds since the clock's origin, which is arbitrary but the same for the whole process.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.ns
    }

    /// Time passed from this instant until now; zero when it lies in the future.
    pub fn elapsed(self) -> Duration {
        Instant::now() - self
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    #[inline]
    pub const fn duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }

    /// Time from `earlier` to this instant, or `None` when `earlier` is later.
    pub const fn checked_duration_since(self, earlier: Instant) -> Option<Duration> {
        match self.ns.checked_sub(earlier.ns) {
            Some(ns) => Some(Duration::from_nanos(ns)),
            None => None,
        }
    }

    /// This instant moved by `duration`, or `None` when that lies beyond what can be counted.
    pub const fn checked_add(self, duration: Duration) -> Option<Instant> {
        let Some(ns) = whole_nanos(duration) else {
            return None;
        };
        match self.ns.checked_add(ns) {
            Some(ns) => Some(Instant { ns }),
            None => None,
        }
    }
}

/// `duration` in nanoseconds, or `None` beyond 584 years.
#[inline]
const fn whole_nanos(duration: Duration) -> Option<u64> {
    match duration.as_secs().checked_mul(1_000_000_000) {
        Some(ns) => ns.checked_add(duration.subsec_nanos() as u64),
        None => None,
    }
}

/// The machine's monotonic clock, from [`ORIGIN_NS`] on.
///
/// Read straight from the system: through `std::time::Instant` it takes a third longer, because there
/// the reading is split into seconds and nanoseconds, checked, and put together again.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn machine_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither part is ever negative, and 511 years of uptime fit.
    ORIGIN_NS + now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The same clock as it was at the last tick of the system's timer, 1 to 10 ms ago.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn coarse_machine_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    ORIGIN_NS + now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[inline]
fn coarse_machine_ns() -> u64 {
    machine_ns()
}

/// The machine's monotonic clock, from [`ORIGIN_NS`] on.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[inline]
fn machine_ns() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = *START.get_or_init(std::time::Instant::now);
    let since = std::time::Instant::now().saturating_duration_since(start);
    // 511 years of uptime fit, so neither operation can overflow.
    ORIGIN_NS + since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

impl Add<Duration> for Instant {
    type Output = Instant;

    #[inline]
    fn add(self, duration: Duration) -> Instant {
        self.checked_add(duration).unwrap_or(Instant::FAR_FUTURE)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    #[inline]
    fn sub(self, duration: Duration) -> Instant {
        Instant {
            ns: self
                .ns
                .saturating_sub(whole_nanos(duration).unwrap_or(u64::MAX)),
        }
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    #[inline]
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Instant::FAR_FUTURE {
            return f.write_str("Instant(never)");
        }
        let (sign, ns) = match self.ns.checked_sub(ORIGIN_NS) {
            Some(ns) => ("", ns),
            None => ("-", ORIGIN_NS - self.ns),
        };
        write!(f, "Instant({sign}{:?})", Duration::from_nanos(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate_at_never_and_differences_at_zero() {
        let now = Instant::now();
        assert_eq!(now + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(now + Duration::from_millis(u64::MAX), Instant::FAR_FUTURE);
        assert_eq!(
            now + Duration::from_secs(1000 * 365 * 86_400),
            Instant::FAR_FUTURE
        );
        assert_eq!(now - Duration::MAX, Instant::from_nanos(0));
        assert_eq!(now - Instant::FAR_FUTURE, Duration::ZERO);
        assert_eq!(now.checked_add(Duration::MAX), None);
    }

    #[test]
    fn a_view_replaces_the_clock_of_its_thread_only() {
        let at = Instant::from_nanos(7);
        assert_eq!(set_view(View::Frozen(at)), View::REAL);
        assert_eq!(Instant::now(), at);
        let elsewhere = std::thread::spawn(view).join().unwrap();
        assert_eq!(elsewhere, View::REAL);

        assert_eq!(Instant::coarse_now(), at);
        let ahead = View::Running {
            ahead_ns: 3_600_000_000_000,
        };
        assert_eq!(set_view(ahead), View::Frozen(at));
        assert!(Instant::coarse_now() - Instant::machine_now() > Duration::from_secs(3590));
        assert!(Instant::now() - Instant::machine_now() > Duration::from_secs(3599));
        assert_eq!(set_view(View::REAL), ahead);
    }

    #[test]
    fn debug_counts_from_the_origin() {
        assert_eq!(
            format!("{:?}", Instant::from_nanos(ORIGIN_NS + 1_500)),
            "Instant(1.5µs)"
        );
        assert_eq!(
            format!("{:?}", Instant::from_nanos(ORIGIN_NS - 2)),
            "Instant(-2ns)"
        );
        assert_eq!(format!("{:?}", Instant::FAR_FUTURE), "Instant(never)");
    }
}
