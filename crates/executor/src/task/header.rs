//! The words that every task has, and the steps of its life that need not know the future's type.

#![allow(unsafe_code, reason = "fence: the task's block of memory")]

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::task::{Context, Waker};

use tulipa_base::{TaskId, budget, current};

use crate::biased_count::{BiasedCount, Release, Unqueued};
use crate::core::CorePtr;
use crate::inject::Message;
use crate::report::{ExceptionKind, drop_quietly, panic_message};
use crate::shim::Cell;
use crate::task::cell::{Panic, Polled, VTable};
use crate::task::waker;

/// A task's state, as the owner thread sees it. See the module's drawing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    /// None of them.
    pub(crate) const NONE: Flags = Flags(0);
    /// In the ready queue.
    pub(crate) const SCHEDULED: Flags = Flags(1);
    /// On the stack: being polled, dropped or completed.
    pub(crate) const RUNNING: Flags = Flags(1 << 1);
    /// The future is gone.
    pub(crate) const COMPLETE: Flags = Flags(1 << 2);
    /// A join handle exists.
    pub(crate) const HANDLE: Flags = Flags(1 << 3);
    /// The future is to be dropped at the task's next turn.
    pub(crate) const ABORT: Flags = Flags(1 << 4);
    /// Outcome: the stage holds the future's value.
    pub(crate) const VALUE: Flags = Flags(1 << 5);
    /// Outcome: the stage holds the payload of a panic.
    pub(crate) const PANICKED: Flags = Flags(1 << 6);
    /// Outcome: the task was aborted; the stage is empty.
    pub(crate) const CANCELLED: Flags = Flags(1 << 7);
    /// The outcome has been handed out.
    pub(crate) const TAKEN: Flags = Flags(1 << 8);
    /// A callback, which is no task: it is in no registry, and runs once, outside of any task.
    pub(crate) const CALLBACK: Flags = Flags(1 << 9);

    const NAMES: [(Flags, &'static str); 10] = [
        (Flags::SCHEDULED, "SCHEDULED"),
        (Flags::RUNNING, "RUNNING"),
        (Flags::COMPLETE, "COMPLETE"),
        (Flags::HANDLE, "HANDLE"),
        (Flags::ABORT, "ABORT"),
        (Flags::VALUE, "VALUE"),
        (Flags::PANICKED, "PANICKED"),
        (Flags::CANCELLED, "CANCELLED"),
        (Flags::TAKEN, "TAKEN"),
        (Flags::CALLBACK, "CALLBACK"),
    ];

    #[inline]
    pub(crate) const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    #[inline]
    pub(crate) const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether any flag of `other` is set.
    #[inline]
    pub(crate) const fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Flags::NAMES.iter().filter(|(flag, _)| self.has(*flag));
        match names.next() {
            Some((_, name)) => f.write_str(name)?,
            None => return f.write_str("PARKED"),
        }
        names.try_for_each(|(_, name)| write!(f, " | {name}"))
    }
}

/// The first part of every task's block. 104 bytes; with the smallest future the block is 112, so
/// that the allocator's own word still fits into 128.
///
/// The order is deliberate: what a wake, a poll and a completion touch is in the first 64 bytes.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) vtable: &'static VTable,
    pub(crate) core: CorePtr,
    /// The task behind this one in the ready queue.
    pub(crate) next: Cell<Option<TaskRef>>,
    pub(crate) flags: Cell<Flags>,
    /// How often the future was polled; wraps.
    pub(crate) polls: Cell<u32>,
    pub(crate) count: BiasedCount,
    /// Whoever awaits the join handle.
    pub(crate) joiner: Cell<Option<Waker>>,
    /// The neighbours in the registry, older and younger.
    pub(crate) older: Cell<Option<TaskRef>>,
    pub(crate) younger: Cell<Option<TaskRef>>,
    pub(crate) id: TaskId,
    pub(crate) spawned_at: &'static Location<'static>,
    extras: Cell<Option<Box<Extras>>>,
    #[cfg(loom)]
    _live: crate::loom_models::Live,
}

/// What few tasks have. It may be dropped on any thread, with the block.
struct Extras {
    name: Box<str>,
}

impl Header {
    pub(crate) fn new(
        vtable: &'static VTable,
        core: CorePtr,
        spawned_at: &'static Location<'static>,
        name: Option<Box<str>>,
    ) -> Header {
        Header {
            vtable,
            core,
            next: Cell::new(None),
            flags: Cell::new(Flags::HANDLE),
            polls: Cell::new(0),
            count: BiasedCount::new(),
            joiner: Cell::new(None),
            older: Cell::new(None),
            younger: Cell::new(None),
            id: core.get().next_task_id(),
            spawned_at,
            extras: Cell::new(name.map(|name| Box::new(Extras { name }))),
            #[cfg(loom)]
            _live: crate::loom_models::Live::new(),
        }
    }

    /// Calls `f` with the task's name, if it has one.
    pub(crate) fn with_name<R>(&self, f: impl FnOnce(Option<&str>) -> R) -> R {
        let extras = self.extras.take();
        let result = f(extras.as_ref().map(|extras| &*extras.name));
        self.extras.set(extras);
        result
    }

    #[inline]
    fn set(&self, flag: Flags) {
        self.flags.set(self.flags.get().with(flag));
    }

    #[inline]
    fn clear(&self, flag: Flags) {
        self.flags.set(self.flags.get().without(flag));
    }
}

/// Points to a task's block. Invariant 1 of the module: the block is allocated. Whoever makes or
/// keeps one has a reason why: a flag, the registry, or a reference in the task's count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskRef(NonNull<Header>);

impl TaskRef {
    /// # Safety
    /// - `header` points to the header of an allocated block, with the provenance of the whole.
    /// - The block is not freed while the `TaskRef` is used.
    #[inline]
    pub(crate) unsafe fn new(header: NonNull<Header>) -> TaskRef {
        TaskRef(header)
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// The header. The reference must not be kept beyond the reason this pointer is valid for.
    #[inline]
    pub(crate) fn header<'a>(self) -> &'a Header {
        // SAFETY: invariant 1; only shared references to headers are ever made.
        unsafe { self.0.as_ref() }
    }

    // ---- owner thread ----

    /// Puts the task at the end of the ready queue, unless it is there, or complete.
    #[inline]
    pub(crate) fn schedule(self) {
        let header = self.header();
        let flags = header.flags.get();
        if !flags.has(Flags::SCHEDULED.with(Flags::COMPLETE)) {
            header.flags.set(flags.with(Flags::SCHEDULED));
            header.core.get().ready.push_back(self);
        }
    }

    /// Polls the task, which has just been taken from the ready queue.
    #[inline]
    pub(crate) fn run(self) {
        let header = self.header();
        let flags = header.flags.get().without(Flags::SCHEDULED);
        if flags.has(Flags::COMPLETE.with(Flags::ABORT).with(Flags::CALLBACK)) {
            header.flags.set(flags);
            return self.run_unusual();
        }
        header.flags.set(flags.with(Flags::RUNNING));
        header.polls.set(header.polls.get().wrapping_add(1));
        current::set_task_id(Some(header.id));
        budget::start();
        let polled = {
            let waker = waker::borrowed(self);
            let mut cx = Context::from_waker(&waker);
            // SAFETY: not `COMPLETE`, so by invariant 3 the stage holds the future, which nobody
            // else uses: `RUNNING` was clear, or the task could not have been taken from the queue
            // by a turn, of which there is one at a time.
            unsafe { (header.vtable.poll)(self, &mut cx) }
        };
        match polled {
            Polled::Pending => header.clear(Flags::RUNNING),
            Polled::Value => self.complete(Flags::VALUE),
            Polled::Panicked => self.complete(Flags::PANICKED),
        }
    }

    /// The task is complete, or was aborted (see arrows 4 and 5), or it is a callback. Callbacks are not rare,
    /// but the others are to have the straight way.
    #[cold]
    fn run_unusual(self) {
        let flags = self.header().flags.get();
        if flags.has(Flags::COMPLETE) {
            self.free_if_unused();
        } else if flags.has(Flags::CALLBACK) {
            self.run_callback();
        } else {
            self.drop_unfinished();
        }
    }

    /// Drops the future of a task that is neither running nor complete, and completes it as
    /// cancelled.
    pub(crate) fn drop_unfinished(self) {
        let header = self.header();
        header.set(Flags::RUNNING);
        let before = current::set_task_id(Some(header.id));
        // SAFETY: not `COMPLETE`, so the stage holds the future (invariant 3), and nobody is
        // polling it. `complete` says at once that it is gone.
        let dropped = unsafe { (header.vtable.drop_future)(self) };
        if let Err(payload) = dropped {
            self.report(ExceptionKind::DestructorPanicked, payload);
        }
        self.complete(Flags::CANCELLED);
        current::set_task_id(before);
    }

    /// Completes a task that is neither running nor complete as cancelled, and leaks its future.
    pub(crate) fn leak_unfinished(self) {
        self.header().set(Flags::RUNNING);
        self.complete(Flags::CANCELLED);
    }

    /// Says that the future is gone, and what came of it. The task is `RUNNING`.
    #[inline]
    fn complete(self, outcome: Flags) {
        let header = self.header();
        header.set(Flags::COMPLETE.with(outcome));
        header.core.get().tasks.remove(self);
        let joiner = header.joiner.take();
        if header.flags.get().has(Flags::HANDLE) {
            if let Some(joiner) = joiner {
                self.wake_joiner(joiner);
            }
        } else {
            drop(joiner);
            self.drop_outcome();
        }
        header.clear(Flags::RUNNING);
        self.free_if_unused();
    }

    #[inline]
    fn wake_joiner(self, joiner: Waker) {
        // A task of the same loop is scheduled by hand. Its waker runs nobody else's code, so it needs
        // no net either.
        if let Some(waiter) = waker::task_of(&joiner)
            && waiter.header().core == self.header().core
        {
            waiter.schedule();
            waiter.forget_local(joiner);
        } else if let Err(payload) = catch_unwind(AssertUnwindSafe(|| joiner.wake())) {
            self.report(ExceptionKind::WakerPanicked, payload);
        }
    }

    /// Drops what came of a complete task and was not taken. A panic is reported.
    pub(crate) fn drop_outcome(self) {
        let header = self.header();
        let flags = header.flags.get();
        if flags.has(Flags::TAKEN) {
            return;
        }
        header.set(Flags::TAKEN);
        if flags.has(Flags::VALUE) {
            // SAFETY: by invariant 3 the stage holds the value; `TAKEN` is now set, so it is
            // dropped once.
            if let Err(payload) = unsafe { (header.vtable.drop_value)(self) } {
                self.report(ExceptionKind::DestructorPanicked, payload);
            }
        } else if flags.has(Flags::PANICKED) {
            // SAFETY: by invariant 3 the stage holds the payload, taken once as above.
            let payload = unsafe { (header.vtable.take_panic)(self) };
            self.report(ExceptionKind::TaskPanicked, payload);
        }
    }

    #[cold]
    pub(crate) fn report(self, kind: ExceptionKind, payload: Panic) {
        let message = panic_message(&*payload).to_owned();
        drop_quietly(payload);
        self.header().core.get().report_task(kind, self, &message);
    }

    /// Asks that the future be dropped at the task's next turn.
    pub(crate) fn abort(self) {
        let header = self.header();
        if !header.flags.get().has(Flags::COMPLETE) {
            header.set(Flags::ABORT);
            self.schedule();
            header.core.get().tell_host();
        }
    }

    /// Takes note that this has been taken from the ready queue of a closing loop. A callback is dropped
    /// uncalled; an unfinished task stays in the registry, and is dropped from there.
    pub(crate) fn unschedule(self) {
        self.header().clear(Flags::SCHEDULED);
        let flags = self.header().flags.get();
        if flags.has(Flags::COMPLETE) {
            self.free_if_unused();
        } else if flags.has(Flags::CALLBACK) {
            self.cancel_callback();
        }
    }

    // ---- owner thread, callbacks: see the module `callback` ----

    /// Calls a callback that has just been taken from the ready queue.
    fn run_callback(self) {
        let header = self.header();
        header.set(Flags::RUNNING);
        current::set_task_id(None);
        budget::end();
        let mut cx = Context::from_waker(Waker::noop());
        // SAFETY: not `COMPLETE`, and `RUNNING` was clear: as in `run`.
        let outcome = match unsafe { (header.vtable.poll)(self, &mut cx) } {
            // A timer that was put off after it had fired.
            Polled::Pending => return header.clear(Flags::RUNNING),
            Polled::Value => Flags::VALUE,
            Polled::Panicked => Flags::PANICKED,
        };
        // The value is `()`, and a payload is taken here: nothing is left for anyone.
        header.set(Flags::COMPLETE.with(Flags::TAKEN).with(outcome));
        if outcome == Flags::PANICKED {
            // SAFETY: by invariant 3 the stage holds the payload, which is taken here only.
            let payload = unsafe { (header.vtable.take_panic)(self) };
            self.report(ExceptionKind::CallbackPanicked, payload);
        }
        header.clear(Flags::RUNNING);
        self.free_if_unused();
    }

    /// Drops a callback here and now, unless it is running or gone. The caller does not use the pointer
    /// any more if it has no claim of its own.
    pub(crate) fn cancel_callback(self) {
        let header = self.header();
        let flags = header.flags.get();
        debug_assert!(flags.has(Flags::CALLBACK), "{flags:?}");
        if flags.has(Flags::COMPLETE.with(Flags::RUNNING)) {
            return;
        }
        header.set(Flags::RUNNING);
        // SAFETY: not `COMPLETE`, so the stage holds the callback (invariant 3), and it is not running.
        let dropped = unsafe { (header.vtable.drop_future)(self) };
        header.set(Flags::COMPLETE.with(Flags::TAKEN).with(Flags::CANCELLED));
        if let Err(payload) = dropped {
            self.report(ExceptionKind::DestructorPanicked, payload);
        }
        header.clear(Flags::RUNNING);
        self.free_if_unused();
    }

    /// Gives up the owner's claim on the block of a complete task, when it has none any more.
    #[inline]
    pub(crate) fn free_if_unused(self) {
        let header = self.header();
        let flags = header.flags.get();
        debug_assert!(flags.has(Flags::COMPLETE), "{flags:?}");
        let claims = Flags::SCHEDULED.with(Flags::RUNNING).with(Flags::HANDLE);
        if !flags.has(claims) && header.count.settle() == Release::Last {
            self.free(true);
        }
    }

    // ---- any thread ----

    /// Frees the block. The caller was told that it gave up the last reference.
    #[inline]
    fn free(self, is_owner: bool) {
        let core = self.header().core;
        // SAFETY: the count said `Last`, which it does only after `settle`, so the task is complete
        // and its outcome taken or dropped; nobody points to the block any more.
        unsafe { (self.header().vtable.free)(self, is_owner) };
        core.block_freed(is_owner);
    }

    /// Adds a reference for a new waker.
    #[inline]
    pub(crate) fn acquire(self) {
        let header = self.header();
        if header.core.is_owned_here() {
            header.count.acquire_local();
        } else {
            header.count.acquire_remote();
        }
    }

    /// Gives up the reference of this task's `waker`. Owner thread only.
    #[inline]
    fn forget_local(self, waker: Waker) {
        mem::forget(waker);
        if self.header().count.release_local() == Release::Last {
            self.free(true);
        }
    }

    /// Gives up a waker's reference. The caller does not use the pointer any more.
    #[inline]
    pub(crate) fn release(self) {
        let header = self.header();
        let is_owner = header.core.is_owned_here();
        let release = if is_owner {
            header.count.release_local()
        } else {
            header.count.release_remote()
        };
        if release == Release::Last {
            self.free(is_owner);
        }
    }

    /// Schedules the task, on whatever thread. The caller holds a reference.
    #[inline]
    pub(crate) fn wake(self) {
        if self.header().core.is_current() {
            self.schedule();
        } else {
            self.wake_from_outside();
        }
    }

    #[cold]
    fn wake_from_outside(self) {
        if self.header().core.is_owned_here() {
            self.schedule();
            self.header().core.get().tell_host();
        } else {
            self.wake_remote();
        }
    }

    #[cold]
    fn wake_remote(self) {
        let header = self.header();
        if !header.count.mark_queued() {
            return;
        }
        header.count.acquire_remote();
        // The caller's own reference keeps block and core alive, whatever becomes of the entry's.
        if let Err(message) = header
            .core
            .get()
            .inject
            .push(Message::Wake(RemoteWake(self)))
        {
            message.refuse();
        }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskRef({:p})", self.0)
    }
}

/// A task in the inject queue, with the reference that keeps its block.
pub(crate) struct RemoteWake(TaskRef);

// SAFETY: other threads make and move it, and can only give it back unused (`refuse`), which touches
// the atomic half of the count alone. Its target is scheduled on the owner thread.
unsafe impl Send for RemoteWake {}

impl RemoteWake {
    /// Schedules the task. Owner thread only.
    pub(crate) fn deliver(self) {
        let task = self.0;
        mem::forget(self);
        match task.header().count.unqueue() {
            // The owner alone can free it, and does so only in steps of its own.
            Unqueued::Biased => task.schedule(),
            // Complete. Another thread may free it at any moment: it is not touched any more.
            Unqueued::Settled(Release::Kept) => {}
            Unqueued::Settled(Release::Last) => task.free(true),
        }
    }
}

impl Drop for RemoteWake {
    /// Gives up the reference without waking: the loop is closed, so the task is complete.
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Message {
    /// Drops a message that the closed loop will not take.
    pub(crate) fn refuse(self) {
        match self {
            Message::Wake(wake) => drop(wake),
            Message::Call(call) => drop(call),
            Message::Spawn(spawn) => drop(spawn),
            Message::Stop => {}
        }
    }
}
