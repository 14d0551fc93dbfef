//! Virtual time, for tests: the clock stands still, and moves when nothing else can.

use std::panic::Location;
use std::time::Duration;

use tulipa_base::Instant;

use crate::core;
use crate::timer::Timers;
use crate::yield_now::yield_now;

/// Calls `f` with the timers of the loop that runs on this thread.
///
/// The loop is looked up each time: a future that is moved to another loop, or outlives its own, must
/// not use the one it began in.
#[track_caller]
fn with_timers<R>(f: impl FnOnce(&Timers) -> R) -> R {
    let caller = Location::caller();
    core::with_current(|core| match core {
        Some(core) => f(&core.timers),
        None => core::panic_outside(caller),
    })
}

/// Stops the loop's clock.
///
/// From now on [`Instant::now`] stands still on this thread. When the loop has nothing ready, and
/// nothing has happened outside, the clock moves to the next deadline by itself: sleeps of hours
/// complete at once, in the right order. [`advance`] moves it by hand.
///
/// # Panics
/// Outside of a loop, and when the clock is paused already.
#[track_caller]
pub fn pause() {
    with_timers(|timers| {
        assert!(!timers.is_paused(), "the clock is paused already");
        timers.pause();
    });
}

/// Lets the loop's clock run again, from where it stands.
///
/// # Panics
/// Outside of a loop, and when the clock is not paused.
#[track_caller]
pub fn resume() {
    with_timers(|timers| {
        assert!(
            timers.is_paused(),
            "the clock is not paused: call time::pause first"
        );
        timers.resume();
    });
}

/// Moves the paused clock forward by `duration`, one deadline after the other: at each, what it woke
/// is run before the clock moves on.
///
/// If another task lets the clock run again meanwhile, this ends where the clock is then.
///
/// # Panics
/// Outside of a loop, and when the clock is not paused.
///
/// # Cancel safety
/// A dropped call has moved the clock by a part of `duration`.
pub async fn advance(duration: Duration) {
    let target = with_timers(|timers| {
        assert!(
            timers.is_paused(),
            "the clock is not paused: call time::pause first"
        );
        Instant::now() + duration
    });
    // Tasks that were spawned or woken before this call may set timers that count.
    yield_now().await;
    loop {
        let at = with_timers(|timers| {
            let next = timers.wheel.next_ns().map(Instant::from_nanos);
            let at = next.map_or(target, |next| next.min(target));
            timers
                .is_paused()
                .then(|| timers.move_paused_clock(at))
                .map(|()| at)
        });
        // One turn expires the timers, behind this task in the queue; in the next, what they woke
        // has run.
        yield_now().await;
        yield_now().await;
        if at.is_none_or(|at| at == target) {
            return;
        }
    }
}
