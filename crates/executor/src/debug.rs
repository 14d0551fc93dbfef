//! Debug mode: what is too expensive, or too talkative, to be always on.
//!
//! With it the loop reads the clock around each poll and reports those that took long
//! ([`ExceptionKind::SlowPoll`]), and when it closes it reports the tasks that were still waiting
//! ([`ExceptionKind::TaskDropped`]). Both go to the exception handler.
//!
//! Without it the price is nothing: whether debug mode is on is asked where a turn looks outside, which in
//! debug mode every turn does, and debug mode has a copy of the turn's last stage for itself.

use std::panic::Location;
use std::time::Duration;

use tulipa_base::Instant;

use crate::core::{self, Core};
use crate::report::ExceptionKind;
use crate::shim::Cell;
use crate::task::{Flags, Task, TaskRef};

/// Polls that take this long are slow, unless set otherwise: as in asyncio.
pub(crate) const SLOW_CALLBACK_DURATION: Duration = Duration::from_millis(100);

/// Switches debug mode of the loop that runs on this thread on or off, from its next turn on.
///
/// # Panics
/// Outside of a loop. Before one runs, its builder sets it.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use std::time::Duration;
/// use tulipa::debug;
///
/// async fn look_for_what_blocks() {
///     debug::set_debug(true);
///     debug::set_slow_callback_duration(Duration::from_millis(5));
/// }
/// ```
#[track_caller]
pub fn set_debug(on: bool) {
    let location = Location::caller();
    with_debug(location, |debug| debug.is_on.set(on));
    // Busy turns would not notice.
    core::with_current(|core| {
        if let Some(core) = core {
            core.timers.hurry();
        }
    });
}

/// Whether the loop that runs on this thread is in debug mode; `false` outside of a loop.
#[doc(alias = "get_debug")]
pub fn is_debug() -> bool {
    core::with_current(|core| core.is_some_and(|core| core.debug.is_on()))
}

/// Makes polls that take at least `duration` slow, in the loop that runs on this thread. At first it is 100 ms. Zero
/// makes every poll slow.
///
/// # Panics
/// Outside of a loop. Before one runs, its builder sets it.
#[track_caller]
pub fn set_slow_callback_duration(duration: Duration) {
    with_debug(Location::caller(), |debug| debug.slow.set(duration));
}

/// How long a poll takes at least to be reported in debug mode.
///
/// # Panics
/// Outside of a loop.
#[track_caller]
pub fn slow_callback_duration() -> Duration {
    with_debug(Location::caller(), |debug| debug.slow.get())
}

fn with_debug<R>(caller: &Location<'_>, f: impl FnOnce(&Debug) -> R) -> R {
    core::with_current(|core| match core {
        Some(core) => f(&core.debug),
        None => core::panic_outside(caller),
    })
}

/// A loop's settings.
pub(crate) struct Debug {
    is_on: Cell<bool>,
    slow: Cell<Duration>,
}

impl Debug {
    pub(crate) fn new(is_on: bool, slow: Duration) -> Debug {
        Debug {
            is_on: Cell::new(is_on),
            slow: Cell::new(slow),
        }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.get()
    }
}

impl Core {
    /// Stage 5 of a turn in debug mode.
    #[cold]
    #[inline(never)]
    pub(crate) fn run_watched(&self) {
        let polls = self.ready.run_snapshot(|task| self.watch(task));
        self.counters.count_turn(polls);
    }

    /// Runs a task, and reports it if that takes long, on the machine's clock: virtual time does not pass
    /// while a task runs.
    fn watch(&self, task: TaskRef) {
        if task.header().flags.get().has(Flags::COMPLETE) {
            return task.run(self); // Nothing is polled: its block is freed.
        }
        // Kept, so that there is something to name if it completes.
        let kept = Task::new(task);
        let start = Instant::machine_now();
        task.run(self);
        let took = Instant::machine_now() - start;
        if took >= self.debug.slow.get() {
            self.report_slow(&kept, took);
        }
    }

    fn report_slow(&self, task: &Task, took: Duration) {
        let message = format!("a poll took {took:?}, in which nothing else could run");
        self.report_task_with(
            ExceptionKind::SlowPoll,
            task.task_ref(),
            &message,
            Some(took),
        );
    }

    /// Reports a task that a closing loop is about to drop, unless it was asked to end anyway.
    #[cold]
    pub(crate) fn report_dropped(&self, task: TaskRef) {
        let header = task.header();
        let was_asked = header.cancels.get() > 0 || header.flags.get().has(Flags::ABORT);
        if was_asked {
            return;
        }
        let message = crate::dump::unfinished(task);
        self.report_task(ExceptionKind::TaskDropped, task, &message);
    }
}
