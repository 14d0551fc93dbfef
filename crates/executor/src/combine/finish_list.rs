//! Finish list: which of the tasks that were spawned for a set have ended?
//!
//! The future of such a task is wrapped: when it is dropped, as every future is that completes, panics
//! or is aborted, the wrapper notes its number in the set's list and wakes whoever waits. So a task that
//! ends costs the set one entry of a queue, whatever the number of tasks, and there is no waker for each
//! task, no lock and no atomic step.
//!
//! The wrapper speaks while the task ends, a moment before its handle has the result. A wake runs
//! nothing, so whoever is woken finds it there; a caller who looks in that moment, from a destructor,
//! waits for the handle.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

/// The numbers of tasks that have ended, in that order, until they are taken.
#[derive(Clone, Default)]
pub(crate) struct FinishList(Rc<State>);

#[derive(Default)]
struct State {
    ended: RefCell<VecDeque<usize>>,
    waiter: Cell<Option<Waker>>,
}

impl FinishList {
    /// The future of a task that notes `number` here when it ends.
    pub(crate) fn member<F: Future>(&self, number: usize, future: F) -> Member<F> {
        Member {
            future,
            on_drop: NoteEnd {
                list: self.clone(),
                number,
            },
        }
    }

    /// The number of the task that ended first. It stays in the list.
    pub(crate) fn first(&self) -> Option<usize> {
        self.0.ended.borrow().front().copied()
    }

    /// The same, or waits for the next end.
    pub(crate) fn poll_first(&self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(number) = self.first() {
            return Poll::Ready(number);
        }
        let before = self.0.waiter.take();
        let waiter = match before {
            Some(before) if before.will_wake(cx.waker()) => before,
            _ => cx.waker().clone(),
        };
        self.0.waiter.set(Some(waiter));
        // Cloning and dropping wakers may be anyone's code, which may have ended a task.
        match self.first() {
            Some(number) => Poll::Ready(number),
            None => Poll::Pending,
        }
    }

    /// Takes the first number out.
    pub(crate) fn pop(&self) {
        self.0.ended.borrow_mut().pop_front();
    }
}

pin_project! {
    /// See [`FinishList::member`].
    pub(crate) struct Member<F> {
        // Dropped first: when a task is noted, all that it held is gone.
        #[pin]
        future: F,
        on_drop: NoteEnd,
    }
}

impl<F: Future> Future for Member<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

struct NoteEnd {
    list: FinishList,
    number: usize,
}

impl Drop for NoteEnd {
    #[inline]
    fn drop(&mut self) {
        let state = &*self.list.0;
        state.ended.borrow_mut().push_back(self.number);
        if let Some(waiter) = state.waiter.take() {
            waiter.wake();
        }
    }
}

impl fmt::Debug for FinishList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FinishList")
            .field(&self.0.ended.borrow())
            .finish()
    }
}
