//! The handle of a callback: cancels it.

use std::fmt;
use std::future::Future;
use std::panic::Location;

use crate::core::CorePtr;
use crate::task::{self, Flags, TaskRef};

/// A callback that was registered with [`call_soon`](crate::call_soon): cancels it, and tells what became
/// of it.
///
/// Dropping the handle changes nothing.
#[doc(alias = "asyncio.Handle")]
pub struct Handle {
    /// Valid while the `HANDLE` flag is set, which this handle clears when it is dropped.
    task: TaskRef,
}

impl Handle {
    /// Makes a callback's block; the caller schedules it, or sees to it that something does.
    pub(super) fn new(
        core: CorePtr,
        call: impl Future<Output = ()> + 'static,
        location: &'static Location<'static>,
    ) -> Handle {
        let task = task::allocate(core, call, location, None);
        let flags = &task.header().flags;
        flags.set(flags.get().with(Flags::CALLBACK));
        Handle { task }
    }

    pub(super) fn task(&self) -> TaskRef {
        self.task
    }

    pub(super) fn flags(&self) -> Flags {
        self.task.header().flags.get()
    }

    /// Drops the callback, which is then never called, also where it would run in this very turn.
    ///
    /// What it holds is dropped before this returns. Cancelling twice, or a callback that has been called
    /// or is running, does nothing.
    pub fn cancel(&self) {
        self.task.cancel_callback();
    }

    /// Whether the callback was dropped without having been called: by [`cancel`](Handle::cancel), or
    /// because the loop closed.
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.flags().has(Flags::CANCELLED)
    }

    /// Whether nothing will come of it any more: it has been called, or cancelled.
    pub fn is_finished(&self) -> bool {
        self.flags().has(Flags::COMPLETE)
    }

    /// Where the callback was registered.
    pub fn registered_at(&self) -> &'static Location<'static> {
        self.task.header().spawned_at
    }

    /// A handle that cancels the callback when it is dropped.
    pub fn guard(self) -> CancelOnDrop {
        CancelOnDrop { handle: self }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let flags = &self.task.header().flags;
        flags.set(flags.get().without(Flags::HANDLE));
        if flags.get().has(Flags::COMPLETE) {
            self.task.free_if_unused();
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("registered_at", &format_args!("{}", self.registered_at()))
            .field("state", &format_args!("{}", state(self.flags())))
            .finish_non_exhaustive()
    }
}

/// What became of a callback, in a word.
pub(super) fn state(flags: Flags) -> &'static str {
    if flags.has(Flags::CANCELLED) {
        "cancelled"
    } else if flags.has(Flags::COMPLETE) {
        "called"
    } else if flags.has(Flags::RUNNING) {
        "running"
    } else if flags.has(Flags::SCHEDULED) {
        "ready"
    } else {
        "waiting"
    }
}

/// A [`Handle`] that cancels its callback when it is dropped. See [`Handle::guard`].
#[derive(Debug)]
#[must_use = "dropping it at once cancels the callback at once"]
pub struct CancelOnDrop {
    handle: Handle,
}

impl CancelOnDrop {
    /// The handle inside.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}
