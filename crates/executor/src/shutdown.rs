//! The end of a loop: every task is asked to end, and what hangs is named.

use std::fmt;
use std::panic::Location;

use tulipa_base::TaskId;

use crate::cancel::CancelReason;
use crate::core::Core;
use crate::report::ExceptionKind;
use crate::task::{Flags, TaskRef};

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

/// Asks the tasks of a loop to end, as they come.
#[derive(Default)]
pub(crate) struct Canceller {
    /// All up to this one have been asked.
    last_seen: Option<TaskId>,
    pub(crate) cancelled: usize,
    asks_members: bool,
}

impl Canceller {
    /// Asks every task that was not asked before. The members of groups are left to their groups, until
    /// nobody else is there.
    pub(crate) fn cancel_new(&mut self, core: &Core) {
        // Mostly one of the oldest tasks is no member, so this looks at few.
        if !self.asks_members && core.tasks.iter().all(is_member) {
            self.asks_members = true;
            self.last_seen = None;
        }
        let mut new = Vec::new();
        let mut next = core.tasks.last();
        while let Some(task) = next.filter(|it| Some(it.header().id) > self.last_seen) {
            new.push(task);
            next = task.header().older.get();
        }
        let Some(youngest) = new.first() else { return };
        self.last_seen = Some(youngest.header().id);
        // Asking may run anyone's wakers, which may end tasks: so they are counted.
        let new: Vec<_> = new.into_iter().rev().map(crate::task::Task::new).collect();
        for task in new {
            if is_member(task.task_ref()) && !self.asks_members || task.is_finished() {
                continue;
            }
            self.cancelled += 1;
            task.cancel_with(CancelReason::Shutdown);
        }
    }
}

fn is_member(task: TaskRef) -> bool {
    task.header().flags.get().has(Flags::MEMBER)
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
