//! The join handle: waits for a task's result, and can abort the task.

#![allow(
    unsafe_code,
    reason = "fence: takes the typed result out of the task's block"
)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tulipa_base::TaskId;
use tulipa_base::wait::{self, Label};

use crate::callback::{self, Handle};
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
    // Dropped first: what is ended is the wait, then the claim on the task.
    /// Where requests to cancel whoever awaits this are forwarded from, unless it is a task directly: then
    /// that task's list of awaited tasks has it.
    tie: Option<Box<Tie>>,
    task: Claim,
    _result: PhantomData<(Rc<()>, T)>,
}

/// A node of the waiting task's tree, by which requests are forwarded to the awaited task. What was forwarded, and
/// has not led to a value or a panic, goes on outwards when the wait ends.
struct Tie {
    place: Place,
    /// Valid as long as the handle, which has both.
    task: TaskRef,
    /// The task in which a request went on outwards from here, in place of a result.
    passed_on_in: Option<TaskId>,
}

impl Tie {
    fn new(task: TaskRef) -> Tie {
        Tie {
            place: Place::new(),
            task,
            passed_on_in: None,
        }
    }

    /// Gives the node up.
    fn end(&mut self) {
        let is_answered = self.task.header().flags.get().is_answer();
        self.place.close(if is_answered {
            End::Answered
        } else {
            End::PassOn
        });
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a handle has of its task, whatever that yields: the pointer is valid while the `HANDLE` flag is set,
/// which this clears when it is dropped.
struct Claim(TaskRef);

impl Deref for Claim {
    type Target = TaskRef;

    #[inline]
    fn deref(&self) -> &TaskRef {
        &self.0
    }
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// - `task` was allocated for a future with output `T`, and has its `HANDLE` flag set.
    /// - No other handle is made for it.
    pub(crate) unsafe fn new(task: TaskRef) -> JoinHandle<T> {
        JoinHandle {
            tie: None,
            task: Claim(task),
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
        Task::new(*self.task)
    }

    /// The result of a task that has ended; `None` before. It can be had once.
    ///
    /// # Panics
    /// When it was had before.
    #[doc(alias = "result")]
    #[doc(alias = "exception")]
    pub fn try_result(&mut self) -> Option<Result<T, JoinError>> {
        self.is_finished().then(|| self.take())
    }

    /// Calls `callback` with the result when the task has ended: from the loop, in a turn of its own, never inside the
    /// task's last step or this call. The context is the one of this call. Cancelling the handle that is returned
    /// drops the callback, and detaches the task.
    ///
    /// # Panics
    /// Outside of a loop.
    ///
    /// # Examples
    /// ```
    /// # tulipa::run(async {
    /// let task = tulipa::spawn(async { 5 });
    /// task.on_done(|result| assert_eq!(result.unwrap(), 5));
    /// # tulipa::yield_now().await;
    /// # tulipa::yield_now().await;
    /// # });
    /// ```
    #[track_caller]
    #[doc(alias = "add_done_callback")]
    pub fn on_done(self, callback: impl FnOnce(Result<T, JoinError>) + 'static) -> Handle
    where
        T: 'static,
    {
        callback::call_when_done(self, callback, Location::caller())
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

    /// Waits for the end of the task, and leaves the result with the handle. Cancellation is not handed on.
    #[inline]
    pub(crate) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_finished() {
            return Poll::Ready(());
        }
        self.wait_elsewhere(cx, Edge::Shielded)
    }

    /// Waits for the task, and takes the result. Cancellation is not handed on.
    #[inline]
    pub(crate) fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        match self.poll_finished(cx) {
            Poll::Ready(()) => Poll::Ready(self.take()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// How the task has ended, as far as it has, without taking the result.
    pub(crate) fn peek(&self) -> Outcome<'_, T> {
        let header = self.task.header();
        let flags = header.flags.get();
        if flags.has(Flags::VALUE) && !flags.has(Flags::TAKEN) {
            // SAFETY: the task is complete with a value that was not taken, of type `T`, at this offset:
            // see `take`. The value is moved out or dropped by `take` and `drop` alone, which need the
            // handle that the reference borrows.
            let value = unsafe {
                &*self
                    .task
                    .as_ptr()
                    .byte_add(header.vtable.stage_offset)
                    .cast::<T>()
            };
            return Outcome::Value(value);
        }
        if flags.has(Flags::PANICKED) {
            return Outcome::Panicked;
        }
        Outcome::Other
    }

    #[cold]
    fn take_error(&self, flags: Flags) -> JoinError {
        let header = self.task.header();
        if flags.has(Flags::PANICKED) {
            // SAFETY: the task is complete with a payload that was not taken. `TAKEN` is set.
            let payload = unsafe { (header.vtable.take_panic)(*self.task) };
            return JoinError::panicked(*self.task, payload);
        }
        JoinError::cancelled(*self.task)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What is usual comes first; the rest asks everything again.
        const LOOKED_AT: Flags = Flags::VALUE.with(Flags::TAKEN).with(Flags::FORWARDED);
        let flags = self.task.header().flags.get();
        if flags.only(LOOKED_AT) == Flags::VALUE && self.tie.is_none() {
            return Poll::Ready(self.take());
        }
        if self.tie.is_none() && self.task.wait_directly(cx) {
            return Poll::Pending;
        }
        self.poll_unusual(cx)
    }
}

impl Claim {
    /// Waits as the running task, if it is that which polls, which polls directly, for the first time since it
    /// began to wait, and awaits no other task: with many the list is not the place (see [`awaits_many`]).
    #[inline(never)]
    fn wait_directly(&self, cx: &Context<'_>) -> bool {
        const UNUSUAL: Flags = Flags::COMPLETE.with(Flags::AWAITED).with(Flags::FORWARDED);
        let header = self.header();
        let core = header.core.get();
        let Some(waiter) = waker::task_of(cx.waker()) else {
            return false;
        };
        // The running task of this loop belongs to it.
        if core.running.get() != Some(waiter)
            || !core.spot.get().is_root()
            || header.flags.get().has(UNUSUAL)
            || !header.joiner.is_empty()
            || waiter == **self
            || waiter.header().waits.first_awaited().is_some()
        {
            return false;
        }
        waiter.acquire_local();
        header.joiner.put_task(waiter);
        self.link_only_awaited(waiter);
        if waiter.header().flags.get().has(Flags::CANCEL) {
            forward_at_once(waiter);
        }
        true
    }
}

impl<T> JoinHandle<T> {
    #[inline(never)]
    fn poll_unusual(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
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
            if self.is_running_here() {
                return Poll::Ready(Err(JoinError::deadlock(*self.task)));
            }
            return match self.wait_elsewhere(cx, Edge::Forwards) {
                Poll::Ready(()) => Poll::Ready(self.take()),
                Poll::Pending => Poll::Pending,
            };
        };
        if header.joiner.is_task(waiter) && header.flags.get().has(Flags::AWAITED) {
            return Poll::Pending;
        }
        if waiter == *self.task {
            return Poll::Ready(Err(JoinError::deadlock(*self.task)));
        }
        if waiter.header().waits.first_awaited().is_some() && awaits_many(waiter) {
            return match self.wait_elsewhere(cx, Edge::Forwards) {
                Poll::Ready(()) => Poll::Ready(self.take()),
                Poll::Pending => Poll::Pending,
            };
        }
        self.leave();
        drop_joiner(header.joiner.take());
        // Dropping a waker may be anyone's code, which may have ended the task.
        if self.is_finished() {
            return Poll::Ready(self.take());
        }
        waiter.acquire_local();
        drop_joiner(header.joiner.replace_with_task(waiter));
        self.task.link_awaited(waiter);
        if waiter.header().flags.get().has(Flags::CANCEL) {
            forward_at_once(waiter);
        }
        Poll::Pending
    }
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
        if !self.is_finished() && self.is_running_here() {
            return Poll::Ready(Err(JoinError::deadlock(*self.task)));
        }
        self.poll_result(cx)
    }

    /// Whether the task is the one that is running: it would wait for itself.
    fn is_running_here(&self) -> bool {
        let running = core::current().and_then(|core| core.get().running_task());
        running.is_some_and(|running| running == *self.task)
    }

    /// Waits with a waker that is not the running task's, below a scope of that task, or without an
    /// edge that requests follow. The task is unfinished.
    #[inline(never)]
    fn wait_elsewhere(&mut self, cx: &mut Context<'_>, edge: Edge) -> Poll<()> {
        let header = self.task.header();
        let in_list = Flags::AWAITED.with(Flags::FORWARDED);
        if header.flags.get().has(in_list) {
            self.task.leave_list();
        }
        match edge {
            Edge::Forwards => {
                let task = *self.task;
                let tie = self.tie.get_or_insert_with(|| Box::new(Tie::new(task)));
                tie.place.settle(Kind::Forward(Task::new(task)), cx);
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
            return Poll::Ready(());
        }
        let label = Label::new(wait::Kind::Join, header.id.as_u64());
        wait::note(match waiter {
            Some(_) => label,
            // A combinator that polls what was woken: nobody knows what else it waits for.
            None => label.beside_others(),
        });
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
                (true, false) => End::Answered,
                // A hit wins over the answer.
                (false, _) | (true, true) => End::CountOn,
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
    fn leave(&mut self) {
        self.tie = None;
        const IN_LIST: Flags = Flags::AWAITED.with(Flags::FORWARDED);
        let flags = self.task.header().flags.get();
        if flags.has(IN_LIST) && !flags.has(Flags::COMPLETE) {
            self.task.leave_list();
        }
    }
}

impl Claim {
    /// Takes the task, which is unfinished, out of the list of those that its joiner awaits. A request that was
    /// forwarded goes to the joiner itself.
    #[cold]
    fn leave_list(&self) {
        let header = self.header();
        let flags = header.flags.get();
        let waiter = header.joiner.task().map(Task::new);
        if flags.has(Flags::AWAITED) {
            self.unlink_awaited();
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

impl Drop for Claim {
    #[inline(never)]
    fn drop(&mut self) {
        const LOOKED_AT: Flags = Flags::TAKEN.with(Flags::AWAITED).with(Flags::FORWARDED);
        let header = self.header();
        let flags = header.flags.get();
        if flags.only(LOOKED_AT) == Flags::TAKEN {
            header.flags.set(flags.without(Flags::HANDLE));
            self.free_if_unused();
        } else {
            self.drop_untaken();
        }
    }
}

impl Claim {
    /// Gives the claim up, and the outcome with it, or the task goes on without a handle.
    #[inline(never)]
    fn drop_untaken(&self) {
        let header = self.header();
        let in_list = Flags::AWAITED.with(Flags::FORWARDED);
        let flags = header.flags.get();
        if flags.has(in_list) && !flags.has(Flags::COMPLETE) {
            self.leave_list();
        }
        if header.flags.get().has(Flags::COMPLETE) {
            // The handle's claim is given up last: destructors must find the block in place.
            if !header.flags.get().has(Flags::TAKEN) {
                self.drop_outcome();
            }
            header.flags.set(header.flags.get().without(Flags::HANDLE));
            self.free_if_unused();
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

/// What a handle has to give.
pub(crate) enum Outcome<'a, T> {
    /// The value that the task has yielded.
    Value(&'a T),
    /// The payload of a panic.
    Panicked,
    /// Nothing yet, nothing any more, or that the task was cancelled.
    Other,
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
        *self.task
    }
}
