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

use crate::task::error::JoinError;
use crate::task::header::{Flags, TaskRef};

/// Waits for a task, and yields its result.
///
/// Dropping the handle detaches the task: it goes on, and its result is dropped when it comes. If it
/// panics then, the loop's exception handler is told.
///
/// # Errors
/// [`JoinError`] when the task was aborted, panicked, or was dropped with its loop.
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
    _result: PhantomData<(Rc<()>, T)>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// - `task` was allocated for a future with output `T`, and has its `HANDLE` flag set.
    /// - No other handle is made for it.
    pub(crate) unsafe fn new(task: TaskRef) -> JoinHandle<T> {
        JoinHandle {
            task,
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

    /// Waits for the end of the task, and leaves the result with the handle.
    #[inline]
    pub(crate) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_finished() {
            return Poll::Ready(());
        }
        let header = self.task.header();
        let before = header.joiner.take();
        if before
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            header.joiner.set(before);
        } else {
            drop(before);
            let waker = cx.waker().clone();
            drop(header.joiner.replace(Some(waker)));
            // Cloning and dropping wakers may be anyone's code, which may have ended the task.
            if self.is_finished() {
                drop(header.joiner.take());
                return Poll::Ready(());
            }
        }
        Poll::Pending
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
        match self.poll_finished(cx) {
            Poll::Ready(()) => Poll::Ready(self.take()),
            Poll::Pending => Poll::Pending,
        }
    }
}

// The handle holds a pointer, no `T`.
impl<T> Unpin for JoinHandle<T> {}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
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
            drop(header.joiner.take());
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
    pub(crate) fn task(&self) -> TaskRef {
        self.task
    }
}
