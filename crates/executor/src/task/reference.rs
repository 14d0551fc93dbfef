//! A task, seen from outside: to look at, and to cancel.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;

use tulipa_base::TaskId;

use crate::cancel::CancelReason;
use crate::core;
use crate::task::header::{Flags, TaskRef};

/// A task of this thread's loop, whatever it yields: to look at it, and to cancel it.
///
/// It neither keeps the task going nor waits for it; for that there is the [`JoinHandle`](crate::JoinHandle).
/// Two are equal if they name the same task.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// async fn report() {
///     let task = tulipa::task::current();
///     println!("task {} was spawned at {}", task.id(), task.spawned_at());
/// }
/// ```
#[doc(alias = "TaskRef")]
pub struct Task {
    /// Counted: the block is there.
    task: TaskRef,
    _not_send: PhantomData<Rc<()>>,
}

/// The task that is running.
///
/// # Panics
/// Outside of a task; [`try_current`] says so instead.
#[track_caller]
#[doc(alias = "current_task")]
pub fn current() -> Task {
    match try_current() {
        Some(task) => task,
        None => panic!(
            "no task is running here: call task::current() from inside a spawned task or the main \
             future, or use task::try_current()"
        ),
    }
}

/// The task that is running; `None` outside of a task.
pub fn try_current() -> Option<Task> {
    let core = core::current()?;
    core.get().running_task().map(Task::new)
}

/// All unfinished tasks of the loop that runs on this thread, oldest first. None outside of a loop.
#[doc(alias = "all_tasks")]
pub fn all() -> Vec<Task> {
    core::with_current(|core| match core {
        Some(core) => core.tasks.iter().map(Task::new).collect(),
        None => Vec::new(),
    })
}

impl Task {
    pub(crate) fn new(task: TaskRef) -> Task {
        task.header().count.acquire_local();
        Task {
            task,
            _not_send: PhantomData,
        }
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.task.header().id
    }

    /// The task's name, if it was given one.
    #[doc(alias = "get_name")]
    pub fn name(&self) -> Option<String> {
        self.task.header().with_name(|name| name.map(str::to_owned))
    }

    /// Names the task.
    pub fn set_name(&self, name: impl Into<Box<str>>) {
        let name = name.into();
        self.task
            .header()
            .with_extras(|extras| extras.name = Some(name));
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.task.header().spawned_at
    }

    /// The task that spawned this one; `None` when the loop or code outside of tasks did. It may have ended.
    pub fn parent(&self) -> Option<TaskId> {
        self.task.header().parent()
    }

    /// Whether the task has ended, in whatever way.
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.task.header().flags.get().has(Flags::COMPLETE)
    }

    /// How often the task was polled; wraps after four billion.
    pub fn polls(&self) -> u32 {
        self.task.header().polls.get()
    }

    /// Asks the task to end. See [`cancel_with`](Task::cancel_with).
    pub fn cancel(&self) -> bool {
        self.task.cancel(CancelReason::Requested)
    }

    /// Asks the task to end, and says why. Returns `false` when it has ended already.
    ///
    /// The request is delivered at the task's next turn, to the innermost catch points (see
    /// [`cancel`](crate::cancel)). If the task has none, its future is dropped, and its join handle
    /// yields an error that [is cancelled](crate::JoinError::is_cancelled) and has the reason. If the task awaits another one's join
    /// handle, the request goes to that other task first. A task that has not started never runs.
    ///
    /// Each call counts as a [request](Task::cancelling). Requests that come before the first has been delivered are
    /// delivered as one.
    pub fn cancel_with(&self, reason: impl Into<CancelReason>) -> bool {
        self.task.cancel(reason.into())
    }

    /// Requests to cancel this task that were not taken back. Delivering or swallowing one does not lower the
    /// number.
    pub fn cancelling(&self) -> usize {
        self.task.header().cancels.get() as usize
    }

    /// Takes one request back, and returns how many are left. When none is left, one that was not delivered
    /// yet never is.
    pub fn uncancel(&self) -> usize {
        self.task.uncancel()
    }

    /// Drops the task's future at the task's next turn, unless it completes before. Catch points are passed by;
    /// only destructors run.
    pub fn abort(&self) {
        self.task.abort();
    }

    pub(crate) fn task_ref(&self) -> TaskRef {
        self.task
    }
}

impl Clone for Task {
    fn clone(&self) -> Task {
        Task::new(self.task)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.task.release();
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Task) -> bool {
        self.task == other.task
    }
}

impl Eq for Task {}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.task.header();
        f.debug_struct("Task")
            .field("id", &header.id)
            .field("name", &self.name())
            .field("spawned_at", &format_args!("{}", header.spawned_at))
            .field("state", &header.flags.get())
            .field("cancelling", &self.cancelling())
            .finish_non_exhaustive()
    }
}

impl TaskRef {
    /// Asks the task to end. See [`Task::cancel_with`].
    pub(crate) fn cancel(self, reason: CancelReason) -> bool {
        let header = self.header();
        let flags = header.flags.get();
        if flags.has(Flags::COMPLETE) {
            return false;
        }
        header.cancels.set(header.cancels.get().saturating_add(1));
        self.set_cancel_reason(reason);
        if flags.has(Flags::CANCEL) {
            return true;
        }
        if header.scopes.get().is_some() || header.waits.first_awaited().is_some() {
            if let Some(tree) = header.core.get().tree() {
                tree.deliver_to_root(self, self.cancel_reason());
            }
        } else {
            header.set(Flags::CANCEL);
            self.schedule();
        }
        true
    }

    /// Takes a request back. See [`Task::uncancel`].
    pub(crate) fn uncancel(self) -> usize {
        let header = self.header();
        if header.flags.get().has(Flags::COMPLETE) {
            return header.cancels.get() as usize;
        }
        let left = header.cancels.get().saturating_sub(1);
        header.cancels.set(left);
        if left == 0 {
            if !header.flags.get().has(Flags::DELIVERED) {
                header.clear(Flags::CANCEL.with(Flags::DEFERRED));
            }
            if header.scopes.get().is_some()
                && let Some(tree) = header.core.get().tree()
            {
                tree.withdraw(self);
            }
        }
        left as usize
    }

    /// Why the task was asked to end, as far as is known.
    pub(crate) fn cancel_reason(self) -> CancelReason {
        let reason = self
            .header()
            .with_present_extras(|extras| extras.reason.clone());
        reason.flatten().unwrap_or_default()
    }

    pub(crate) fn set_cancel_reason(self, reason: CancelReason) {
        let is_plain = reason == CancelReason::Requested;
        if is_plain && !self.header().has_extras() {
            return;
        }
        self.header().with_extras(|extras| {
            extras.reason = (!is_plain).then_some(reason);
        });
    }
}
