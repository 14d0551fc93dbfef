//! The join handle: waits for a task's result, and can abort the task.

#![allow(
    unsafe_code,
    reason = "fence: takes the typed result out of the task's block"
)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tulipa_base::TaskId;
use tulipa_base::wait::{self, Label};

use crate::cancel::{CancelReason, End, Kind, Place};
use crate::core::{self, CorePtr};
use crate::task::error::JoinError;
use crate::task::header::{Flags, TaskRef, drop_joiner};
use crate::task::reference::Task;
use crate::task::waker;

/// Waits for a task, and yields its result.
///
/// Dropping the handle detaches the task: it goes on, and its result is dropped when it comes. If it
/// panics then, the loop's exception handler is told.
///
/// # Errors
/// [`JoinError`] when the task was cancelled, panicked, or was dropped with its loop, and when a task
/// awaits itself.
///
/// # Cancellation
/// When the task that awaits this is cancelled, the request is handed on to this task, and the one that awaits
/// goes on waiting. If this task then ends as cancelled, the request goes on outwards in the other; if it
/// swallows the request and yields a value, that value is what the other one gets. [`JoinHandle::shield`] keeps this from happening.
///
/// # Panics
/// When it is polled again after it has yielded the result.
///
/// # Cancel safety
/// Safe. The result stays with the handle until a poll returns it. When it does, the task's future has
/// been dropped, with all it held.
#[must_use = "a task goes on when its handle is dropped: `drop(handle)` says that you mean it"]
#[doc(alias = "Task")]
pub struct JoinHandle<T> {
    /// Valid while the `HANDLE` flag is set, which this handle clears when it is dropped.
    task: TaskRef,
    /// Where requests to cancel whoever awaits this are forwarded from, unless it is a task directly: then
    /// that task's list of awaited tasks has it.
    tie: Option<Box<Tie>>,
    _result: PhantomData<(Rc<()>, T)>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// - `task` was allocated for a future with output `T`, and has its `HANDLE` flag set.
    /// - No other handle is made for it.
    pub(crate) unsafe fn new(task: TaskRef) -> JoinHandle<T> {
        JoinHandle {
            task,
            tie: None,
            _result: PhantomData,
        }
    }

    /// Drops the task's future at the task's next turn, unless it completes before.
    ///
    /// Nothing of the task runs any more but destructors. The handle then yields an error that
    /// [is cancelled](JoinError::is_cancelled). A task that was never polled never runs. Aborting
    /// twice, or a finished task, does nothing.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Asks the task to end, in a way that lets it clean up. See [`Task::cancel_with`].
    ///
    /// Returns `false` when it has ended already.
    pub fn cancel(&self) -> bool {
        self.task.cancel(CancelReason::Requested)
    }

    /// Asks the task to end, and says why. See [`Task::cancel_with`].
    pub fn cancel_with(&self, reason: impl Into<CancelReason>) -> bool {
        self.task.cancel(reason.into())
    }

    /// Requests to cancel the task that were not taken back.
    pub fn cancelling(&self) -> usize {
        self.task.header().cancels.get() as usize
    }

    /// The task itself, to look at it and to cancel it from elsewhere.
    pub fn task(&self) -> Task {
        Task::new(self.task)
    }

    /// A handle that aborts the task when it is dropped.
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop { handle: self }
    }

    /// Whether the task has ended, in whatever way.
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.task.header().flags.get().has(Flags::COMPLETE)
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.task.header().id
    }

    /// The task's name, if it was given one.
    pub fn name(&self) -> Option<String> {
        self.task.header().with_name(|name| name.map(str::to_owned))
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.task.header().spawned_at
    }

    /// The result of a task that has ended.
    #[inline]
    fn take(&mut self) -> Result<T, JoinError> {
        let header = self.task.header();
        let flags = header.flags.get();
        assert!(
            !flags.has(Flags::TAKEN),
            "JoinHandle polled after it has yielded the result"
        );
        header.flags.set(flags.with(Flags::TAKEN));
        if flags.has(Flags::VALUE) {
            // SAFETY: the task is complete with a value that was not taken, and that lies at this
            // offset (`repr(C)`). By the contract of `new` the future's output is `T`. `TAKEN` is set,
            // so it is read once.
            return Ok(unsafe {
                self.task
                    .as_ptr()
                    .byte_add(header.vtable.stage_offset)
                    .cast::<T>()
                    .read()
            });
        }
        Err(self.take_error(flags))
    }

    #[cold]
    fn take_error(&self, flags: Flags) -> JoinError {
        let header = self.task.header();
        if flags.has(Flags::PANICKED) {
            // SAFETY: the task is complete with a payload that was not taken. `TAKEN` is set.
            let payload = unsafe { (header.vtable.take_panic)(self.task) };
            return JoinError::panicked(self.task, payload);
        }
        JoinError::cancelled(self.task)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let header = self.task.header();
        if self.is_finished() {
            if (self.tie.is_some() || header.flags.get().has(Flags::FORWARDED))
                && self.has_passed_request_on()
            {
                wait::note(Label::new(wait::Kind::Cancelled, 0));
                return Poll::Pending;
            }
            return Poll::Ready(self.take());
        }
        let Some(waiter) = directly_polling(header.core, cx) else {
            return self.poll_elsewhere(cx, Edge::Forwards);
        };
        if header.joiner.is_task(waiter) && header.flags.get().has(Flags::AWAITED) {
            return Poll::Pending;
        }
        if waiter == self.task {
            return Poll::Ready(Err(JoinError::deadlock(self.task)));
        }
        if waiter.header().waits.first_awaited().is_some() && awaits_many(waiter) {
            return self.poll_elsewhere(cx, Edge::Forwards);
        }
        self.leave();
        drop_joiner(header.joiner.take());
        waiter.acquire_local();
        header.joiner.put_task(waiter);
        self.task.link_awaited(waiter);
        if waiter.header().flags.get().has(Flags::CANCEL) {
            forward_at_once(waiter);
        }
        Poll::Pending
    }
}

/// Ties a task to whoever awaits it from below a scope.
#[derive(Default)]
struct Tie {
    place: Place,
    /// The task in which a request went on outwards from here, in place of a result.
    passed_on_in: Option<TaskId>,
}

/// Whether a request to cancel whoever awaits goes to the awaited task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Forwards,
    Shielded,
}

/// The running task of `core`, if the poll comes straight from it: its own waker, and no scope of its
/// own in between.
#[inline]
fn directly_polling(core: CorePtr, cx: &Context<'_>) -> Option<TaskRef> {
    let waiter = waker::task_of(cx.waker())?;
    let is_direct = waiter.header().core == core
        && core.get().running.get() == Some(waiter)
        && core.get().spot.get().is_root();
    is_direct.then_some(waiter)
}

/// Tasks that one task awaits in its list, at most: leaving the list takes as many steps. With some fewer, a
/// hand-written join of a few handles would pay for nodes in the tree; the list is also what a dump shows.
const AWAITED_IN_LIST: usize = 16;

/// Whether a task's list of those it awaits is full: further handles are tied to it by nodes of its tree.
#[cold]
fn awaits_many(waiter: TaskRef) -> bool {
    let first = waiter.header().waits.first_awaited();
    std::iter::successors(first, |task| task.header().next_awaited.get())
        .nth(AWAITED_IN_LIST - 1)
        .is_some()
}

/// The task was asked to end before it began to wait here: the request goes to whom it awaits.
#[cold]
fn forward_at_once(waiter: TaskRef) {
    if let Some(tree) = waiter.header().core.get().tree() {
        waiter.header().clear(Flags::CANCEL.with(Flags::DELIVERED));
        tree.deliver_to_root(waiter, waiter.cancel_reason());
    }
}

impl<T> JoinHandle<T> {
    /// Polls without handing cancellation on.
    pub(crate) fn poll_shielded(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        if self.is_finished() {
            return Poll::Ready(self.take());
        }
        self.poll_elsewhere(cx, Edge::Shielded)
    }

    /// Waits with a waker that is not the running task's, below a scope of that task, or without an
    /// edge that requests follow. The task is unfinished.
    fn poll_elsewhere(&mut self, cx: &mut Context<'_>, edge: Edge) -> Poll<Result<T, JoinError>> {
        let header = self.task.header();
        if core::current()
            .and_then(|core| core.get().running_task())
            .is_some_and(|running| running == self.task)
        {
            return Poll::Ready(Err(JoinError::deadlock(self.task)));
        }
        if header
            .flags
            .get()
            .has(Flags::AWAITED.with(Flags::FORWARDED))
        {
            self.leave_list();
        }
        match edge {
            Edge::Forwards => {
                let task = Task::new(self.task);
                let tie = self.tie.get_or_insert_default();
                tie.place.settle(Kind::Forward(task), cx);
            }
            Edge::Shielded => self.tie = None,
        }
        let waiter = waker::task_of(cx.waker()).filter(|it| it.header().core == header.core);
        match waiter {
            Some(waiter) if header.joiner.is_task(waiter) => {}
            Some(waiter) => {
                drop_joiner(header.joiner.take());
                waiter.acquire_local();
                drop_joiner(header.joiner.replace_with_task(waiter));
            }
            None if header.joiner.will_wake(cx.waker()) => {}
            None => {
                let waker = cx.waker().clone();
                drop_joiner(header.joiner.replace(waker));
            }
        }
        // Cloning and dropping wakers may be anyone's code, which may have ended the task.
        if self.is_finished() {
            drop_joiner(header.joiner.take());
            return Poll::Ready(self.take());
        }
        wait::note(Label::new(wait::Kind::Join, header.id.as_u64()));
        Poll::Pending
    }

    /// The task has ended. If it did because the request to cancel the waiting one was forwarded to it, that
    /// request goes on outwards from here, and so does one that came after the end: it wins over the result.
    #[cold]
    fn has_passed_request_on(&mut self) -> bool {
        let header = self.task.header();
        let waiter = core::current().and_then(|core| core.get().running_task());
        if let Some(tie) = &mut self.tie {
            let is_answered = header.flags.get().is_answer();
            if tie.place.is_hit() || !is_answered && tie.place.is_holding() {
                tie.passed_on_in = waiter.map(|waiter| waiter.header().id);
            }
            tie.place.close(match (is_answered, tie.place.is_hit()) {
                (false, _) => End::CountOn,
                (true, false) => End::Answered,
                // It wins over the answer.
                (true, true) => End::CountOn,
            });
            // The code that awaits is about to be dropped, unless the handle has been carried elsewhere.
            return waiter.is_some_and(|waiter| tie.passed_on_in == Some(waiter.header().id));
        }
        // It went on when the task ended: is this the task that is about to end because of that?
        let is_ending = waiter.is_some_and(|waiter| {
            let flags = waiter.header().flags.get();
            flags.has(Flags::CANCEL.with(Flags::DEFERRED))
        });
        if !is_ending {
            header.clear(Flags::FORWARDED);
        }
        is_ending
    }

    /// Ends what ties the task to whoever polled this last.
    #[inline]
    fn leave(&mut self) {
        if self.tie.is_some() {
            self.leave_place();
        }
        let flags = self.task.header().flags.get();
        if flags.has(Flags::AWAITED.with(Flags::FORWARDED)) && !flags.has(Flags::COMPLETE) {
            self.leave_list();
        }
    }

    /// A request that was forwarded, and was not answered, goes on outwards.
    #[cold]
    fn leave_place(&mut self) {
        if let Some(mut tie) = self.tie.take() {
            let is_answered = self.task.header().flags.get().is_answer();
            tie.place.close(if is_answered {
                End::Answered
            } else {
                End::PassOn
            });
        }
    }

    /// Takes the task, which is unfinished, out of the list of those that its joiner awaits. A request that was
    /// forwarded goes to the joiner itself.
    #[cold]
    fn leave_list(&mut self) {
        let header = self.task.header();
        let flags = header.flags.get();
        let waiter = header.joiner.task().map(Task::new);
        if flags.has(Flags::AWAITED) {
            self.task.unlink_awaited();
        }
        header.clear(Flags::FORWARDED);
        if flags.has(Flags::FORWARDED)
            && let Some(waiter) = waiter
        {
            pass_on_to(waiter.task_ref());
        }
    }
}

/// Sends the request that a task was asked with on to its root, unless it was taken back.
pub(crate) fn pass_on_to(waiter: TaskRef) -> bool {
    let header = waiter.header();
    if header.cancels.get() == 0 || header.flags.get().has(Flags::COMPLETE) {
        return false;
    }
    match header.core.get().tree() {
        Some(tree) => {
            tree.come_back(waiter);
            true
        }
        None => false,
    }
}

// The handle holds a pointer, no `T`.
impl<T> Unpin for JoinHandle<T> {}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
        let header = self.task.header();
        if header.flags.get().has(Flags::COMPLETE) {
            // The handle's claim is given up last: destructors must find the block in place.
            if !header.flags.get().has(Flags::TAKEN) {
                self.task.drop_outcome();
            }
            header.flags.set(header.flags.get().without(Flags::HANDLE));
            self.task.free_if_unused();
        } else {
            header.flags.set(header.flags.get().without(Flags::HANDLE));
            // An unfinished task stays, unless this destructor ends it; nothing follows.
            drop_joiner(header.joiner.take());
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.task.header();
        f.debug_struct("JoinHandle")
            .field("id", &header.id)
            .field("name", &self.name())
            .field("spawned_at", &format_args!("{}", header.spawned_at))
            .field("state", &header.flags.get())
            .finish_non_exhaustive()
    }
}

/// A join handle that aborts its task when it is dropped. See [`JoinHandle::abort_on_drop`].
///
/// # Cancel safety
/// Dropping it is what aborts the task.
#[derive(Debug)]
#[must_use = "dropping it at once aborts the task at once"]
pub struct AbortOnDrop<T> {
    handle: JoinHandle<T>,
}

impl<T> AbortOnDrop<T> {
    /// The handle inside.
    pub fn handle(&self) -> &JoinHandle<T> {
        &self.handle
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl<T> JoinHandle<T> {
    /// The task; valid as long as the handle.
    pub(crate) fn task_ref(&self) -> TaskRef {
        self.task
    }
}
