//! A child of a group or scope: the future that its task runs, and the handle to it.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tulipa_base::{Instant, TaskId};

use crate::cancel::{CancelReason, Limited};
use crate::group::error::{Failure, FailureCause};
use crate::group::family::Family;
use crate::task::{self, Flags, JoinError, JoinHandle, Task};

pin_project! {
    /// What a child's task runs. Yields the value; a failure goes to the family instead.
    pub(crate) struct Child<'env, F, E> {
        #[pin]
        future: Option<F>,
        family: Rc<Family<'env, E>>,
        key: usize,
        has_started: bool,
        turn: Option<u64>,
    }

    impl<'env, F, E> PinnedDrop for Child<'env, F, E> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Also when a destructor in the future panics: the group waits for this.
            let _leaves = Leaves {
                family: this.family,
                turn: this.turn,
                has_started: *this.has_started,
                key: *this.key,
            };
            this.future.set(None);
        }
    }
}

/// A child that leaves its family when this is dropped.
struct Leaves<'a, 'env, E> {
    family: &'a Family<'env, E>,
    turn: &'a mut Option<u64>,
    has_started: bool,
    key: usize,
}

impl<E> Drop for Leaves<'_, '_, E> {
    fn drop(&mut self) {
        self.family.leave_line(self.turn);
        if self.has_started {
            self.family.stop();
        }
        self.family.bury(self.key);
    }
}

impl<'env, F, E> Child<'env, F, E> {
    /// A child that takes the place `key`, reserved in the family.
    pub(crate) fn new(family: &Rc<Family<'env, E>>, key: usize, future: F) -> Self {
        Child {
            future: Some(future),
            family: Rc::clone(family),
            key,
            has_started: false,
            turn: None,
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Child<'_, F, E> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut this = self.project();
        let family = this.family;
        if !*this.has_started {
            if !family.poll_start(this.turn, cx.waker()) {
                return Poll::Pending;
            }
            *this.has_started = true;
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Pending; // It has panicked, and is not polled again.
        };
        let deadline = family.deadline.get();
        let _limited = match deadline {
            Instant::FAR_FUTURE => None,
            _ => Limited::inherit(deadline),
        };
        let cause = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => return Poll::Ready(Some(value)),
            Ok(Poll::Ready(Err(error))) => FailureCause::Error(error),
            Err(payload) => FailureCause::Panicked(payload),
        };
        if let Some(task) = task::try_current() {
            task.task_ref().header().set(Flags::FAILED);
            family.fail(Failure::of_member(&task, cause));
        }
        Poll::Ready(None)
    }
}

/// Waits for a child of a group or scope, and yields its value.
///
/// The group waits for its children by itself; this is for their values. Dropping it leaves the child
/// running, in the group.
///
/// # Errors
/// [`JoinError`], when the child was cancelled, or [failed](JoinError::is_failed): the group has its error.
///
/// # Panics
/// When it is polled again after it has yielded the result.
///
/// # Cancel safety
/// Safe. Cancellation is handed on to the child, as by a [`JoinHandle`].
pub struct ChildHandle<T> {
    handle: JoinHandle<Option<T>>,
}

impl<T> ChildHandle<T> {
    pub(crate) fn new(handle: JoinHandle<Option<T>>) -> ChildHandle<T> {
        ChildHandle { handle }
    }

    /// Asks the child to end. That is no failure: the group goes on. Returns `false` when it has ended already.
    pub fn cancel(&self) -> bool {
        self.handle.cancel()
    }

    /// Asks the child to end, and says why.
    pub fn cancel_with(&self, reason: impl Into<CancelReason>) -> bool {
        self.handle.cancel_with(reason)
    }

    /// Drops the child's future at its next turn, without clean-up.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether the child has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The child's id.
    pub fn id(&self) -> TaskId {
        self.handle.id()
    }

    /// The child's name, if it was given one.
    pub fn name(&self) -> Option<String> {
        self.handle.name()
    }

    /// Where the child was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.handle.spawned_at()
    }

    /// The child's task, to look at it and to cancel it from elsewhere.
    pub fn task(&self) -> Task {
        self.handle.task()
    }
}

impl<T> Future for ChildHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.handle).poll(cx);
        polled.map(|result| match result {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(JoinError::failed(&self.handle)),
            Err(error) => Err(error),
        })
    }
}

impl<T> fmt::Debug for ChildHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildHandle").field(&self.handle).finish()
    }
}
