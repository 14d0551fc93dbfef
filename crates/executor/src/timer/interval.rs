//! Ticks at a fixed period.

use std::time::Duration;

use tulipa_base::Instant;

use crate::timer::sleep::Sleep;

/// Ticks every `period`, the first time at once.
///
/// # Panics
/// When `period` is zero. The ticks panic outside of a loop.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
/// When `period` is zero. The ticks panic outside of a loop.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "the period of an interval must be longer than zero"
    );
    Interval {
        next: start,
        period,
        missed: MissedTickBehavior::Burst,
    }
}

/// What an [`Interval`] does about ticks whose time passed while nobody waited for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedTickBehavior {
    /// All missed ticks come at once, until the schedule is caught up with.
    #[default]
    Burst,
    /// The late tick starts a new schedule: the next comes one period after it.
    Delay,
    /// Missed ticks are left out: the next comes when the schedule says.
    Skip,
}

/// Ticks at a fixed period. See [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick, and returns the instant it was due.
    ///
    /// # Panics
    /// Outside of a loop.
    ///
    /// # Cancel safety
    /// Safe. A tick that was not returned is still to come.
    pub async fn tick(&mut self) -> Instant {
        let due = self.next;
        Sleep::new(due).await;
        let now = Instant::now();
        self.next = self.after(due, now);
        due
    }

    /// When the tick after `due` comes, that one having been taken at `now`.
    fn after(&self, due: Instant, now: Instant) -> Instant {
        let next = due + self.period;
        if next > now {
            return next;
        }
        match self.missed {
            MissedTickBehavior::Burst => next,
            MissedTickBehavior::Delay => now + self.period,
            MissedTickBehavior::Skip => {
                let period_ns = self.period.as_nanos() as u64; // Below `now`, so it fits.
                let late_ns = (now - due).as_nanos() as u64;
                now + Duration::from_nanos(period_ns - late_ns % period_ns)
            }
        }
    }

    /// Makes the next tick come one period from now.
    pub fn reset(&mut self) {
        self.next = Instant::now() + self.period;
    }

    /// The time between ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What happens to missed ticks; at first [`MissedTickBehavior::Burst`].
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what happens to missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}
