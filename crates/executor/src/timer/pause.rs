//! Virtual time, for tests: the clock stands still, and moves when nothing else can.

use std::panic::Location;
use std::time::Duration;

use tulipa_base::Instant;

use crate::core::{self, CorePtr};
use crate::yield_now::yield_now;

#[track_caller]
fn current() -> CorePtr {
    match core::current() {
        Some(core) => core,
        None => core::panic_outside(Location::caller()),
    }
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
    let core = current();
    assert!(
        !core.get().timers.is_paused(),
        "the clock is paused already"
    );
    core.get().timers.pause();
}

/// Lets the loop's clock run again, from where it stands.
///
/// # Panics
/// Outside of a loop, and when the clock is not paused.
#[track_caller]
pub fn resume() {
    let core = current();
    assert!(
        core.get().timers.is_paused(),
        "the clock is not paused: call time::pause first"
    );
    core.get().timers.resume();
}

/// Moves the paused clock forward by `duration`, one deadline after the other: at each, what it woke
/// is run before the clock moves on.
///
/// # Panics
/// Outside of a loop, and when the clock is not paused.
///
/// # Cancel safety
/// A dropped call has moved the clock by a part of `duration`.
pub async fn advance(duration: Duration) {
    let core = current();
    assert!(
        core.get().timers.is_paused(),
        "the clock is not paused: call time::pause first"
    );
    let target = Instant::now() + duration;
    // Tasks that were spawned or woken before this call may set timers that count.
    yield_now().await;
    loop {
        let next = core.get().timers.wheel.next_ns().map(Instant::from_nanos);
        let at = next.map_or(target, |next| next.min(target));
        core.get().timers.move_paused_clock(at);
        // One turn expires the timers, behind this task in the queue; in the next, what they woke
        // has run.
        yield_now().await;
        yield_now().await;
        if at == target {
            return;
        }
    }
}
