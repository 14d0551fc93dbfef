//! The other side is gone: a state of a channel, and those who wait for it.
//!
//! Much as an [`Event`](crate::Event). Those who wait are let go by [`Ending::declare`], even if it is taken back before they run.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::seen::Seen;
use crate::wait_list::{State, WaitList, Waiter, has_wait_list};

pub(crate) struct Ending {
    is_over: Cell<bool>,
    waiters: WaitList<()>,
    seen: Seen,
}

has_wait_list!([] Ending, (), waiters);

impl Ending {
    pub(crate) const fn new(kind: &'static str) -> Ending {
        Ending {
            is_over: Cell::new(false),
            waiters: WaitList::new(),
            seen: Seen::new(kind),
        }
    }

    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// It is over, which nobody is told yet.
    pub(crate) fn mark(&self) {
        self.is_over.set(true);
    }

    /// It is over: whoever waits for it goes on. May run anyone's code.
    pub(crate) fn declare(&self) {
        self.mark();
        self.waiters.wake_all();
    }

    /// It goes on after all.
    pub(crate) fn take_back(&self) {
        self.is_over.set(false);
    }

    pub(crate) fn wait(&self) -> Ended<'_> {
        Ended {
            waiter: Waiter::new(self),
        }
    }
}

pin_project! {
    pub(crate) struct Ended<'a> {
        #[pin]
        waiter: Waiter<&'a Ending>,
    }
}

impl Future for Ended<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waiter = self.project().waiter.into_ref();
        let ending = *waiter.handle();
        match waiter.state() {
            State::Idle => {
                ready!(budget::poll_consume(cx));
                if !ending.is_over() {
                    let waker = cx.waker().clone();
                    // That may have been anyone's code.
                    if !ending.is_over() {
                        budget::refund();
                        waiter.as_ref().enter(waker, ());
                    }
                }
            }
            State::Waiting => waiter.renew(cx.waker()),
            State::Granted | State::Done => {}
        }
        if waiter.state() == State::Waiting {
            ending.seen.note_wait(None);
            return Poll::Pending;
        }
        waiter.leave();
        Poll::Ready(())
    }
}
