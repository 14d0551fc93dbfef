//! The words that every task has, and the steps of its life that need not know the future's type.

#![allow(unsafe_code, reason = "fence: the task's block of memory")]

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::task::Context;

use tulipa_base::{TaskId, budget, current, wait};

use crate::biased_count::{BiasedCount, Release, Unqueued};
use crate::cancel::{CancelReason, Limit, NodeIndex, Spot};
use crate::context;
use crate::core::{Core, CorePtr};
use crate::inject::Message;
use crate::report::{ExceptionKind, drop_quietly, panic_message};
use crate::shim::Cell;
use crate::task::cell::{Panic, Polled, VTable};
use crate::task::join::pass_on_to;
use crate::task::joiner::{Joiner, JoinerSlot};
use crate::task::pool::free_elsewhere;
use crate::task::waits::Waits;
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
    /// A request to cancel has arrived at the root: the future is to be dropped at the task's next turn.
    /// Unlike `ABORT` it can be taken back, and a task that completes meanwhile counts as cancelled.
    pub(crate) const CANCEL: Flags = Flags(1 << 9);
    /// In the list of those that the joiner, which is a task, awaits.
    pub(crate) const AWAITED: Flags = Flags(1 << 10);
    /// A request to cancel the task that awaits this one was passed on to this one.
    pub(crate) const FORWARDED: Flags = Flags(1 << 11);
    /// A request waits until every catch point in this task is done, and then arrives at the root.
    pub(crate) const DEFERRED: Flags = Flags(1 << 12);
    /// Belongs to a scope, which runs and drops it, and not to the loop.
    pub(crate) const SCOPED: Flags = Flags(1 << 13);
    /// Has values of context variables.
    pub(crate) const CONTEXT: Flags = Flags(1 << 14);
    /// A callback, which is no task: it is in no registry, and runs once, outside of any task.
    pub(crate) const CALLBACK: Flags = Flags(1 << 15);
    /// Belongs to a task group, which sees to its end.
    pub(crate) const MEMBER: Flags = Flags(1 << 16);
    /// The request that `CANCEL` or `DEFERRED` stand for has been delivered further in: it cannot be taken back.
    pub(crate) const DELIVERED: Flags = Flags(1 << 17);
    /// Requests are being forwarded, and this task has been asked.
    pub(crate) const ASKED: Flags = Flags(1 << 18);
    /// A child that has failed, which its group knows: the value says nothing to whoever awaits.
    pub(crate) const FAILED: Flags = Flags(1 << 19);

    const NAMES: [(Flags, &'static str); 20] = [
        (Flags::SCHEDULED, "SCHEDULED"),
        (Flags::RUNNING, "RUNNING"),
        (Flags::COMPLETE, "COMPLETE"),
        (Flags::HANDLE, "HANDLE"),
        (Flags::ABORT, "ABORT"),
        (Flags::VALUE, "VALUE"),
        (Flags::PANICKED, "PANICKED"),
        (Flags::CANCELLED, "CANCELLED"),
        (Flags::TAKEN, "TAKEN"),
        (Flags::CANCEL, "CANCEL"),
        (Flags::AWAITED, "AWAITED"),
        (Flags::FORWARDED, "FORWARDED"),
        (Flags::DEFERRED, "DEFERRED"),
        (Flags::SCOPED, "SCOPED"),
        (Flags::CONTEXT, "CONTEXT"),
        (Flags::CALLBACK, "CALLBACK"),
        (Flags::MEMBER, "MEMBER"),
        (Flags::DELIVERED, "DELIVERED"),
        (Flags::ASKED, "ASKED"),
        (Flags::FAILED, "FAILED"),
    ];

    #[inline]
    pub(crate) const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    #[inline]
    pub(crate) const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Those of them that are in `mask`.
    #[inline]
    pub(crate) const fn only(self, mask: Flags) -> Flags {
        Flags(self.0 & mask.0)
    }

    /// Clears `old`, which is set, and sets `new`, which is not.
    #[inline]
    pub(crate) fn exchange(self, old: Flags, new: Flags) -> Flags {
        debug_assert!(self.has(old) && !self.has(new), "{self:?}");
        Flags(self.0 ^ old.0 ^ new.0)
    }

    /// Whether a task with these flags has ended with something for whoever awaits it: a value, or a panic.
    pub(crate) const fn is_answer(self) -> bool {
        self.has(Flags::VALUE.with(Flags::PANICKED)) && !self.has(Flags::FAILED)
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

/// The first part of every task's block. 120 bytes: with the smallest futures and the allocator's own word
/// the block takes 144.
///
/// The order is deliberate: what a wake and a poll touch is in the first 64 bytes.
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
    /// What the task waits for.
    pub(crate) waits: Waits,
    pub(crate) id: TaskId,
    /// When the last poll was over, on the loop's coarse clock.
    pub(crate) since_ms: Cell<u32>,
    /// The task's outermost catch points and scopes, in the loop's tree.
    pub(crate) scopes: Cell<Option<NodeIndex>>,
    /// Whoever awaits the join handle.
    pub(crate) joiner: JoinerSlot,
    /// The next in the list of those that the same task awaits.
    pub(crate) next_awaited: Cell<Option<TaskRef>>,
    /// The neighbours in the registry, older and younger.
    pub(crate) older: Cell<Option<TaskRef>>,
    pub(crate) younger: Cell<Option<TaskRef>>,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) extras: Cell<Option<Box<Extras>>>,
    /// How many tasks were spawned from the parent's spawn to this one's; zero when the loop is the parent.
    parent_distance: Cell<u32>,
    /// Requests to cancel that were not taken back.
    pub(crate) cancels: Cell<u32>,
    #[cfg(loom)]
    _live: crate::loom_models::Live,
}

#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<Header>() == 120);

/// What few tasks have. What must not be dropped on another thread is gone when the task completes.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) name: Option<Box<str>>,
    /// Why the task was asked to end, if not just `Requested`.
    pub(crate) reason: Option<CancelReason>,
    /// Values of context variables; empty once the task is complete.
    pub(crate) context: context::Context,
    /// The number of the last request that was forwarded from here, if it went to catch points as well; or zero.
    pub(crate) forwarded: u64,
    /// The number of the last request that was deferred at the root; or zero.
    pub(crate) deferred: u64,
}

impl Header {
    pub(crate) fn new(
        vtable: &'static VTable,
        core: CorePtr,
        spawned_at: &'static Location<'static>,
        extras: Option<Box<Extras>>,
        parent: Option<TaskRef>,
    ) -> Header {
        let id = core.get().next_task_id();
        let parent_distance = match parent {
            Some(parent) => parent.header().id.distance_to(id),
            None => 0,
        };
        Header {
            vtable,
            core,
            next: Cell::new(None),
            flags: Cell::new(Flags::HANDLE),
            polls: Cell::new(0),
            count: BiasedCount::new(),
            waits: Waits::new(),
            id,
            since_ms: Cell::new(core.get().coarse_ms()),
            scopes: Cell::new(None),
            joiner: JoinerSlot::new(),
            next_awaited: Cell::new(None),
            older: Cell::new(None),
            younger: Cell::new(None),
            spawned_at,
            extras: Cell::new(extras),
            parent_distance: Cell::new(parent_distance),
            cancels: Cell::new(0),
            #[cfg(loom)]
            _live: crate::loom_models::Live::new(),
        }
    }

    /// Whether there may be a name, a reason or a context.
    #[inline]
    pub(crate) fn has_extras(&self) -> bool {
        let extras = self.extras.take();
        let has_extras = extras.is_some();
        self.extras.set(extras);
        has_extras
    }

    /// Calls `f`, which runs nobody else's code, with what few tasks have, if this one has any.
    #[inline]
    pub(crate) fn with_present_extras<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> Option<R> {
        self.look_at_extras(|extras| extras.map(f))
    }

    /// Calls `f`, which runs nobody else's code, with what few tasks have.
    #[inline]
    pub(crate) fn look_at_extras<R>(&self, f: impl FnOnce(Option<&mut Extras>) -> R) -> R {
        let mut extras = self.extras.take();
        let result = f(extras.as_deref_mut());
        self.extras.set(extras);
        result
    }

    /// Calls `f` with the task's name, if it has one.
    pub(crate) fn with_name<R>(&self, f: impl FnOnce(Option<&str>) -> R) -> R {
        // `f` may be anyone's code, an exception handler, which may look at this task.
        let name = self.with_present_extras(|extras| extras.name.clone());
        f(name.flatten().as_deref())
    }

    /// Calls `f`, which runs nobody else's code, with what few tasks have. A task that has none gets an
    /// allocation only if `f` leaves something.
    pub(crate) fn with_extras<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> R {
        let mut present = self.extras.take();
        let mut absent = Extras::default();
        let result = f(present.as_deref_mut().unwrap_or(&mut absent));
        if present.is_none() && !absent.is_empty() {
            present = Some(Box::new(absent));
        }
        self.extras.set(present);
        result
    }

    /// The task that was running when this one was spawned.
    pub(crate) fn parent(&self) -> Option<TaskId> {
        let distance = self.parent_distance.get();
        (distance != 0).then(|| self.id.before(u64::from(distance)))
    }

    #[inline]
    pub(crate) fn set(&self, flag: Flags) {
        self.flags.set(self.flags.get().with(flag));
    }

    #[inline]
    pub(crate) fn clear(&self, flag: Flags) {
        self.flags.set(self.flags.get().without(flag));
    }
}

impl Extras {
    /// Those of a task with a name; none without.
    pub(crate) fn named(name: Option<Box<str>>) -> Option<Box<Extras>> {
        name.map(|name| {
            Box::new(Extras {
                name: Some(name),
                ..Extras::default()
            })
        })
    }

    fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.reason.is_none()
            && self.context.is_empty()
            && (self.forwarded, self.deferred) == (0, 0)
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

    /// Gives a new task the context of the task or callback that makes it, and takes a callback back as its
    /// parent.
    #[inline]
    pub(crate) fn inherit(self, parent: Option<TaskRef>) {
        const UNUSUAL: Flags = Flags::CONTEXT.with(Flags::CALLBACK);
        if let Some(parent) = parent
            && parent.header().flags.get().has(UNUSUAL)
        {
            self.inherit_from(parent);
        }
    }

    #[cold]
    #[inline(never)]
    fn inherit_from(self, parent: TaskRef) {
        let (header, flags) = (self.header(), parent.header().flags.get());
        if flags.has(Flags::CONTEXT) {
            let context = parent
                .header()
                .with_present_extras(|extras| extras.context.clone());
            let mut extras = header.extras.take().unwrap_or_default();
            extras.context = context.unwrap_or_default();
            header.set(Flags::CONTEXT);
            header.extras.set(Some(extras));
        }
        if flags.has(Flags::CALLBACK) {
            header.parent_distance.set(0);
        }
    }

    /// Puts a new task, which nobody has woken yet, at the end of the ready queue of its loop.
    #[inline]
    pub(crate) fn schedule_new(self, core: &Core) {
        let header = self.header();
        debug_assert!(!header.flags.get().has(Flags::SCHEDULED));
        header.set(Flags::SCHEDULED);
        core.ready.push_back(self);
    }

    /// Puts the task at the end of the ready queue, unless it is there, or complete.
    #[inline]
    pub(crate) fn schedule(self) {
        let header = self.header();
        let flags = header.flags.get();
        if !flags.has(Flags::SCHEDULED.with(Flags::COMPLETE).with(Flags::SCOPED)) {
            header.flags.set(flags.with(Flags::SCHEDULED));
            header.core.get().ready.push_back(self);
        } else if !flags.has(Flags::SCHEDULED.with(Flags::COMPLETE)) {
            self.schedule_in_scope();
        }
    }

    /// Polls the task, which has just been taken from the ready queue of its loop, or of a scope.
    #[inline(always)]
    pub(crate) fn run(self, core: &Core) {
        let header = self.header();
        debug_assert!(std::ptr::eq(header.core.get(), core));
        let flags = header.flags.get();
        const UNUSUAL: Flags = Flags::COMPLETE
            .with(Flags::ABORT)
            .with(Flags::CANCEL)
            .with(Flags::CALLBACK);
        if flags.has(UNUSUAL) {
            return self.run_unusual();
        }
        header
            .flags
            .set(flags.exchange(Flags::SCHEDULED, Flags::RUNNING));
        header.polls.set(header.polls.get().wrapping_add(1));
        core.running.set(Some(self));
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
        if let Polled::Pending = polled {
            header.clear(Flags::RUNNING);
            if header.waits.is_stale() {
                self.keep_noted();
            }
            header.since_ms.set(core.coarse_ms());
        } else if !matches!(polled, Polled::Value) {
            self.complete_panicked();
        } else if !self.complete_plain(core) {
            self.complete(Flags::VALUE);
        }
    }

    /// Takes note of what the last poll said it waits for. Out of line, and of the task, so that the usual poll
    /// computes nothing for it.
    #[inline(never)]
    fn keep_noted(self) {
        self.header().waits.keep_noted();
    }

    /// Polls a new task that was never scheduled.
    #[inline(never)]
    pub(crate) fn run_at_once(self, core: &Core) {
        self.header().set(Flags::SCHEDULED); // As if it had just been taken from the queue.
        self.run(core);
    }

    /// The task is complete, or was aborted (see arrows 4 and 5), or it is a callback. Callbacks are not rare,
    /// but the others are to have the straight way.
    #[cold]
    fn run_unusual(self) {
        self.header().clear(Flags::SCHEDULED);
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
        // Counted: the block may be the last that keeps it.
        let core = header.core.counted();
        let running = core.get().running.replace(Some(self));
        // Destructors that poll something do so at this task's root.
        let spot = core.get().spot.replace(Spot::ROOT);
        let limit = core.get().limit.replace(Limit::NONE);
        // SAFETY: not `COMPLETE`, so the stage holds the future (invariant 3), and nobody is
        // polling it. `complete` says at once that it is gone.
        let dropped = unsafe { (header.vtable.drop_future)(self) };
        if let Err(payload) = dropped {
            self.report(ExceptionKind::DestructorPanicked, payload);
        }
        self.complete(Flags::CANCELLED);
        core.get().running.set(running);
        core.get().spot.set(spot);
        core.get().limit.set(limit);
        current::set_task_id(before);
    }

    /// Completes a task that is neither running nor complete as cancelled, and leaks its future.
    pub(crate) fn leak_unfinished(self) {
        self.header().set(Flags::RUNNING);
        self.acquire_local(); // For ever: what was pinned in the block stays in place.
        self.complete(Flags::CANCELLED);
    }

    /// Does what `complete` does, for nearly every task that has a value: its handle exists, and nobody
    /// waits or one task does, which awaits nothing else. Answers `false` for another one, and has then
    /// done nothing. It calls nobody else's code.
    #[inline(always)]
    fn complete_plain(self, core: &Core) -> bool {
        const LOOKED_AT: Flags = Flags::HANDLE
            .with(Flags::CANCEL)
            .with(Flags::SCOPED)
            .with(Flags::CONTEXT)
            .with(Flags::FAILED);
        let header = self.header();
        let flags = header.flags.get();
        if flags.only(LOOKED_AT) != Flags::HANDLE || header.scopes.get().is_some() {
            return false;
        }
        if header.joiner.is_empty() {
            self.end_plain(core, flags);
            return true;
        }
        let Some(waiter) = header.joiner.task() else {
            return false;
        };
        let waits = &waiter.header().waits;
        if !waits.is_only(self) || waiter.header().flags.get().has(Flags::DEFERRED) {
            return false;
        }
        waits.set_awaited(None);
        header.joiner.forget_task();
        self.end_plain(core, flags);
        waiter.schedule();
        waiter.release_local();
        true
    }

    /// Says of a running task with these flags that it has a value, and nothing else of it is left.
    #[inline(always)]
    fn end_plain(self, core: &Core, flags: Flags) {
        wait::clear(); // What its last poll has noted is not the next task's.
        let done = Flags::COMPLETE.with(Flags::VALUE);
        let over = Flags::RUNNING.with(Flags::AWAITED);
        self.header().flags.set(flags.with(done).without(over));
        core.tasks.remove(self);
    }

    #[cold]
    #[inline(never)]
    fn complete_panicked(self) {
        let panics = &self.header().core.get().panics;
        panics.set(panics.get().wrapping_add(1));
        self.complete(Flags::PANICKED);
    }

    /// Says that the future is gone, and what came of it. The task is `RUNNING`.
    #[inline(never)]
    fn complete(self, outcome: Flags) {
        let header = self.header();
        let flags = header.flags.get().with(Flags::COMPLETE.with(outcome));
        header.flags.set(flags);
        wait::clear(); // What its last poll has noted is not the next task's.
        let is_unusual = Flags::CANCEL
            .with(Flags::AWAITED)
            .with(Flags::SCOPED)
            .with(Flags::CONTEXT);
        if flags.has(is_unusual) || header.scopes.get().is_some() {
            self.complete_unusual();
        } else {
            header.core.get().tasks.remove(self);
        }
        let joiner = header.joiner.take();
        if header.flags.get().has(Flags::HANDLE) {
            if let Some(joiner) = joiner {
                self.wake_joiner(joiner);
            }
        } else {
            drop_joiner(joiner);
            self.drop_outcome();
        }
        header.clear(Flags::RUNNING);
        self.free_if_unused();
    }

    /// What few tasks need when they complete.
    #[cold]
    fn complete_unusual(self) {
        let header = self.header();
        // A request that was not delivered before the task's last step wins over its value. A panic is
        // never hidden. That is settled before anyone's code can ask for the outcome.
        let flags = header.flags.get();
        let loses_value = flags.has(Flags::CANCEL) && flags.has(Flags::VALUE);
        if loses_value {
            header
                .flags
                .set(flags.exchange(Flags::VALUE, Flags::CANCELLED));
        }
        // A scoped task has left its scope with its future.
        if !header.flags.get().has(Flags::SCOPED) {
            header.core.get().tasks.remove(self);
        }
        let is_awaited = header.flags.get().has(Flags::AWAITED);
        if is_awaited {
            self.unlink_awaited();
        }
        if header.scopes.get().is_some() {
            header.core.get().forget_scopes_of(self);
        }
        if header.flags.get().has(Flags::CONTEXT) {
            self.drop_context();
        }
        if loses_value {
            // SAFETY: the stage holds the value, and since no flag says so any more nobody else takes it.
            if let Err(payload) = unsafe { (header.vtable.drop_value)(self) } {
                self.report(ExceptionKind::DestructorPanicked, payload);
            }
        }
        if is_awaited && header.flags.get().has(Flags::FORWARDED) {
            self.answer_joiner();
        }
    }

    /// The request to cancel the joiner, which is a task, was forwarded to this one. Without an answer it goes on in
    /// the other, which need not look at the handle any more.
    #[cold]
    fn answer_joiner(self) {
        let header = self.header();
        let is_answered = header.flags.get().is_answer();
        let waiter = header.joiner.task().filter(|_| !is_answered);
        if !waiter.is_some_and(pass_on_to) {
            header.clear(Flags::FORWARDED);
        }
    }

    /// Drops the values of context variables, which are anyone's.
    #[cold]
    fn drop_context(self) {
        let header = self.header();
        header.clear(Flags::CONTEXT);
        let context = header.with_present_extras(|extras| mem::take(&mut extras.context));
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(context))) {
            self.report(ExceptionKind::DestructorPanicked, payload);
        }
    }

    #[inline]
    fn wake_joiner(self, joiner: Joiner) {
        match joiner {
            // A task of the same loop is scheduled by hand. That runs nobody else's code, so it needs no
            // net either.
            Joiner::Task(waiter) => {
                waiter.schedule();
                waiter.release_local();
            }
            Joiner::Waker(waker) => {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    self.report(ExceptionKind::WakerPanicked, payload);
                }
            }
        }
    }

    /// Makes this task the only one that `waiter`, its joiner, awaits.
    #[inline]
    pub(crate) fn link_only_awaited(self, waiter: TaskRef) {
        debug_assert!(self.header().joiner.is_task(waiter));
        debug_assert!(self.header().next_awaited.get().is_none());
        debug_assert!(waiter.header().waits.first_awaited().is_none());
        self.header().set(Flags::AWAITED);
        waiter.header().waits.set_awaited(Some(self));
    }

    /// Puts this task into the list of those that `waiter`, its joiner, awaits.
    #[inline]
    pub(crate) fn link_awaited(self, waiter: TaskRef) {
        debug_assert!(self.header().joiner.is_task(waiter));
        self.header().set(Flags::AWAITED);
        let before = waiter.header().waits.push_awaited(self);
        self.header().next_awaited.set(before);
    }

    /// Takes this task out of the list of those that its joiner awaits. It is in it.
    pub(crate) fn unlink_awaited(self) {
        let header = self.header();
        header.clear(Flags::AWAITED);
        let next = header.next_awaited.take();
        let Some(waiter) = header.joiner.task() else {
            return;
        };
        let waits = &waiter.header().waits;
        let mut before = waits.first_awaited();
        if before == Some(self) {
            waits.set_awaited(next);
            before = None;
        }
        while let Some(task) = before {
            let link = &task.header().next_awaited;
            if link.get() == Some(self) {
                link.set(next);
                break;
            }
            before = link.get();
        }
        if waiter.header().flags.get().has(Flags::DEFERRED)
            && let Some(tree) = header.core.get().tree()
        {
            tree.settle_root(waiter);
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
        header.core.get().running.set(Some(self));
        current::set_task_id(None);
        budget::end();
        let waker = waker::borrowed(self);
        let mut cx = Context::from_waker(&waker);
        // SAFETY: not `COMPLETE`, and `RUNNING` was clear: as in `run`.
        let outcome = match unsafe { (header.vtable.poll)(self, &mut cx) } {
            // A timer that was put off after it had fired, or a task whose end is awaited.
            Polled::Pending => {
                wait::take(); // What was noted is nobody's.
                header.core.get().running.set(None);
                return header.clear(Flags::RUNNING);
            }
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
        if header.flags.get().has(Flags::CONTEXT) {
            self.drop_context();
        }
        header.core.get().running.set(None);
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
        if header.flags.get().has(Flags::CONTEXT) {
            self.drop_context();
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
    #[inline(never)]
    fn free(self, is_owner: bool) {
        let header = self.header();
        let core = header.core;
        let size = header.vtable.block;
        let is_kept = is_owner && core.get().pool.keeps(size);
        if !is_kept || header.has_extras() || cfg!(loom) {
            return self.free_unusual(is_owner);
        }
        // SAFETY: as in `free_unusual`. Without extras no field of the header has a destructor.
        unsafe { core.get().pool.free(self.0.cast::<u8>(), size) };
        core.block_freed(true);
    }

    /// Frees a block that has something to drop first, or that the pool does not keep.
    #[cold]
    #[inline(never)]
    fn free_unusual(self, is_owner: bool) {
        let core = self.header().core;
        let size = self.header().vtable.block;
        let block = self.0.cast::<u8>();
        // SAFETY: the count said `Last`, which it does only after `settle`, so the task is complete
        // and its outcome taken or dropped; nobody points to the block any more. It was allocated from
        // the core's pool with this size. The core is there until `CorePtr::block_freed`.
        unsafe {
            std::ptr::drop_in_place(self.as_ptr());
            if is_owner {
                core.get().pool.free(block, size);
            } else {
                free_elsewhere(block, size);
            }
        }
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

    /// Adds a reference. Owner thread only.
    #[inline]
    pub(crate) fn acquire_local(self) {
        self.header().count.acquire_local();
    }

    /// Gives up a reference. Owner thread only.
    #[inline]
    pub(crate) fn release_local(self) {
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

/// Gives up a joiner without waking it.
#[inline]
pub(crate) fn drop_joiner(joiner: Option<Joiner>) {
    match joiner {
        None => {}
        Some(Joiner::Task(waiter)) => waiter.release_local(),
        Some(Joiner::Waker(waker)) => drop(waker),
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
