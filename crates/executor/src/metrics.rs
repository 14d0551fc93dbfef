//! Numbers about a loop: how much there is, and how much has happened.
//!
//! Nothing is counted for a poll, a wake or a spawn. A turn adds what it has run to two counters, of
//! which the loop needs one anyway to know when to look outside; the rest is the length of something, or is
//! counted where the operating system is asked.

use std::panic::Location;

use crate::core::{self, Core};
use crate::shim::Cell;

/// What [`metrics`] tells. The totals count from the start of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Metrics {
    /// Unfinished tasks of the loop. Those of a [scope](crate::group::scope) run inside of the task that has opened it, and are not
    /// counted.
    pub tasks: usize,
    /// Tasks that were ever spawned, the main futures of runs and the tasks of scopes included.
    pub spawned: u64,
    /// Tasks and callbacks in the ready queue.
    pub ready: usize,
    /// Polls of tasks, and calls of callbacks, up to the turn that runs now.
    pub polls: u64,
    /// Turns of the loop before the one that runs now.
    pub turns: u64,
    /// How often the reactor was asked, whether or not it waited.
    pub parks: u64,
    /// Timers that are set.
    pub timers: usize,
    /// Wakes, calls and tasks that other threads sent. Wakes that came before the loop had noticed an earlier one for the same
    /// task are not counted.
    pub remote_wakes: u64,
    /// Open scopes and catch points of all tasks: those that something could be delivered to.
    pub scopes: usize,
}

/// Numbers about the loop that runs on this thread.
///
/// # Panics
/// Outside of a loop; [`try_metrics`] says so instead.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// fn report() {
///     let metrics = tulipa::metrics::metrics();
///     let per_turn = metrics.polls as f64 / metrics.turns.max(1) as f64;
///     println!("{} tasks, {per_turn:.1} polls a turn", metrics.tasks);
/// }
/// ```
#[track_caller]
pub fn metrics() -> Metrics {
    match try_metrics() {
        Some(metrics) => metrics,
        None => core::panic_outside(Location::caller()),
    }
}

/// Numbers about the loop that runs on this thread; `None` outside of a loop.
pub fn try_metrics() -> Option<Metrics> {
    core::with_current(|core| core.map(Core::metrics))
}

/// The totals, kept by the loop. Those of a turn are not neighbours: the compiler would add to both with vectors,
/// and need five instructions where two will do.
pub(crate) struct Counters {
    pub(crate) polls: Cell<u64>,
    pub(crate) parks: Cell<u64>,
    pub(crate) remote_wakes: Cell<u64>,
    pub(crate) turns: Cell<u64>,
}

impl Counters {
    pub(crate) fn new() -> Counters {
        Counters {
            polls: Cell::new(0),
            parks: Cell::new(0),
            remote_wakes: Cell::new(0),
            turns: Cell::new(0),
        }
    }

    /// Takes note of a turn that has run `polls` tasks.
    #[inline]
    pub(crate) fn count_turn(&self, polls: usize) {
        self.polls.set(self.polls.get() + polls as u64);
        self.turns.set(self.turns.get() + 1);
    }

    pub(crate) fn count_park(&self) {
        self.parks.set(self.parks.get() + 1);
    }

    pub(crate) fn count_remote_wakes(&self, wakes: usize) {
        self.remote_wakes
            .set(self.remote_wakes.get() + wakes as u64);
    }
}

impl Core {
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics {
            tasks: self.tasks.len(),
            spawned: self.spawned(),
            ready: self.ready.len(),
            polls: self.counters.polls.get(),
            turns: self.counters.turns.get(),
            parks: self.counters.parks.get(),
            timers: self.timers.wheel.len(),
            remote_wakes: self.counters.remote_wakes.get(),
            scopes: self.tree().map_or(0, |tree| tree.len()),
        }
    }
}
