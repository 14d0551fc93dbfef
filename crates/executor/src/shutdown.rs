//! The end of a loop: every task is asked to end, and what hangs is named.

use std::fmt;
use std::panic::Location;

use tulipa_base::TaskId;

use crate::cancel::CancelReason;
use crate::core::{self, Core};
use crate::report::ExceptionKind;
use crate::task::{Flags, Task, TaskRef};

/// Ends the program in order: cancels the main future, and when the loop has been shut down the process exits with `code`.
///
/// It is for code deep inside; main can as well return. The main future may clean up, and may refuse, like at any request to
/// cancel. Nothing ends here and now: the code that calls goes on. Called again, the first code stays. With a runner
/// that is not run by `run_and_close` (as `run` and the attributes do) it only cancels.
///
/// # Panics
/// Outside of a loop's run.
///
/// # Examples
/// ```no_run
/// # tulipa::run(async {
/// drop(tulipa::spawn(async {
///     tulipa::runtime::exit(3);
/// }));
/// std::future::pending::<()>().await
/// # });
/// ```
#[track_caller]
#[doc(alias = "SystemExit")]
pub fn exit(code: i32) {
    let location = Location::caller();
    let Some(core) = core::current() else {
        core::panic_outside(location)
    };
    let core = core.get();
    if core.exit_code.get().is_none() {
        core.exit_code.set(Some(code));
        if let Some(main) = core.main.get() {
            main.cancel(CancelReason::Shutdown);
        }
    }
}

/// What happened when a loop was shut down.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that were still there, and were asked to end; those that their clean-up spawned included.
    pub cancelled: usize,
    /// How many of them panicked.
    pub failed: usize,
    /// Tasks that had not ended when the grace period was over. They were dropped where they waited.
    pub stuck: Vec<StuckTask>,
    /// What blocking threads were still doing when the grace period was over. They go on until it is done, or the
    /// process ends.
    pub abandoned_threads: Vec<String>,
}

impl ShutdownReport {
    /// Whether everything ended in time.
    pub fn is_clean(&self) -> bool {
        self.stuck.is_empty() && self.abandoned_threads.is_empty()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tasks were cancelled, {} of them failed",
            self.cancelled, self.failed
        )?;
        for stuck in &self.stuck {
            write!(f, "; {stuck}")?;
        }
        for thread in &self.abandoned_threads {
            write!(f, "; {thread}")?;
        }
        Ok(())
    }
}

/// A task that did not end in time. See [`ShutdownReport::stuck`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StuckTask {
    /// Its id.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
}

impl fmt::Display for StuckTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ", self.id)?;
        if let Some(name) = &self.name {
            write!(f, "'{name}' ")?;
        }
        write!(f, "spawned at {} did not end", self.spawned_at)
    }
}

/// Asks the tasks of a loop to end, one generation after the other.
///
/// What a clean-up spawns may be what it needs, so it is left alone as long as any task of the generation before is
/// there. Members of groups are left to their groups, until nobody else is there.
#[derive(Default)]
pub(crate) struct Canceller {
    /// Those asked last, of which the first so many have ended.
    asked: Vec<Task>,
    ended: usize,
    pub(crate) cancelled: usize,
}

impl Canceller {
    /// Asks the next generation, once all of the one before have ended.
    pub(crate) fn proceed(&mut self, core: &Core) {
        while self.asked.get(self.ended).is_some_and(Task::is_finished) {
            self.ended += 1;
        }
        if self.ended < self.asked.len() || core.tasks.len() == 0 {
            return;
        }
        let everyone = core.tasks.iter().map(Task::new);
        let (members, others): (Vec<_>, Vec<_>) = everyone.partition(is_member);
        self.ended = 0;
        self.asked = if others.is_empty() { members } else { others };
        self.cancelled += self.asked.len();
        for task in &self.asked {
            task.cancel_with(CancelReason::Shutdown);
        }
    }
}

fn is_member(task: &Task) -> bool {
    task.task_ref().header().flags.get().has(Flags::MEMBER)
}

/// Names a task that did not end, and tells the handler.
pub(crate) fn give_up(core: &Core, task: TaskRef) -> StuckTask {
    let header = task.header();
    core.report_task(
        ExceptionKind::ShutdownStuck,
        task,
        "it was asked to end, and has not within the grace period; it is dropped where it waits",
    );
    StuckTask {
        id: header.id,
        name: header.with_name(|name| name.map(str::to_owned)),
        spawned_at: header.spawned_at,
    }
}
