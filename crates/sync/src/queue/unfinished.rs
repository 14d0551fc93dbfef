//! How many items are unfinished, and who waits until none is.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::queue::error::TooManyTaskDone;
use crate::seen::Seen;
use crate::wait_list::{State, WaitList, Waiter, has_wait_list};

/// Items that were put and are not done. A queue shares it with the [`OwnedJob`](super::OwnedJob)s that came from it.
pub(crate) struct Unfinished {
    count: Cell<usize>,
    joiners: WaitList<()>,
}

has_wait_list!([] Unfinished, (), joiners);

impl Unfinished {
    pub(crate) const fn new() -> Unfinished {
        Unfinished {
            count: Cell::new(0),
            joiners: WaitList::new(),
        }
    }

    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// How many wait until nothing is unfinished.
    pub(crate) fn joining(&self) -> usize {
        self.joiners.len()
    }

    /// One more was put.
    #[inline]
    pub(crate) fn add(&self) {
        self.count.set(self.count.get() + 1);
    }

    /// So many are done, or as many as there are. May run wakers.
    #[inline]
    pub(crate) fn finish(&self, done: usize) {
        let before = self.count.get();
        let left = before.saturating_sub(done);
        self.count.set(left);
        if left == 0 && before > 0 && !self.joiners.is_empty() {
            self.joiners.wake_all();
        }
    }

    #[inline]
    pub(crate) fn task_done(&self) -> Result<(), TooManyTaskDone> {
        if self.count.get() == 0 {
            return Err(TooManyTaskDone(()));
        }
        self.finish(1);
        Ok(())
    }

    #[inline]
    pub(crate) fn join<'a>(&'a self, seen: &'a Seen) -> Joining<'a> {
        Joining {
            waiter: Waiter::new(self),
            seen,
        }
    }
}

pin_project! {
    /// Future of [`Queue::join`](super::Queue::join), and of the other queues'. Polled again after it has completed, it is
    /// complete.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Joining<'a> {
        #[pin]
        waiter: Waiter<&'a Unfinished>,
        seen: &'a Seen,
    }
}

impl Future for Joining<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let waiter = this.waiter.into_ref();
        let unfinished = *waiter.handle();
        match waiter.state() {
            State::Idle => {
                ready!(budget::poll_consume(cx));
                // To clone it may be anyone's code: the count comes after.
                let waker = (unfinished.count() > 0).then(|| cx.waker().clone());
                match waker {
                    Some(waker) if unfinished.count() > 0 => {
                        budget::refund();
                        waiter.as_ref().enter(waker, ());
                    }
                    _ => waiter.finish(),
                }
            }
            State::Waiting => waiter.renew(cx.waker()),
            State::Granted | State::Done => {}
        }
        if waiter.state() == State::Waiting {
            this.seen.note_wait(None);
            return Poll::Pending;
        }
        waiter.leave();
        Poll::Ready(())
    }
}

impl fmt::Debug for Joining<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").finish_non_exhaustive()
    }
}
