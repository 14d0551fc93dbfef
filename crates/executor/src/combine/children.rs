//! Futures that one future owns and polls: boxed, so that any number can be pinned.
//!
//! Few are polled all at every wake, with the task's own waker. Of many, only those that were woken are
//! polled, each with a waker of its own (`ready_list`), so that a wake costs the same whatever their
//! number.

use std::future::{Future, IntoFuture};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tulipa_base::budget;
use tulipa_base::wait::{self, Kind, Label};

use super::fair_share;
use super::ready_list::ReadyList;

/// Up to so many futures are few.
///
/// A wake polls all of them, for nothing but one; an entry of a ready list costs an
/// allocation and some locking at each wake. Measured from start to end with one wake for each child: 120 ns a child
/// among 16 that are polled together, 220 ns a child with the list, whatever their number. That is with
/// idle polls of 2 ns; real ones take ten times as much, and then 16 is where the list begins to gain.
/// With a much larger limit, n futures cost n² polls; with a smaller one, the common small join pays.
const FEW: usize = 16;

pub(crate) struct Children<F> {
    /// A future is dropped when it is complete.
    futures: Vec<Option<Pin<Box<F>>>>,
    running: usize,
    /// For many.
    woken: Option<Woken>,
}

struct Woken {
    list: ReadyList,
    wakers: Vec<Waker>,
    /// The first that was never polled: it and those behind it need no wake.
    next_new: usize,
}

impl Woken {
    /// How many are to be polled.
    fn len(&self) -> usize {
        self.wakers.len() - self.next_new + self.list.len()
    }

    fn pop(&mut self) -> Option<usize> {
        if self.next_new < self.wakers.len() {
            self.next_new += 1;
            return Some(self.next_new - 1);
        }
        self.list.pop()
    }
}

impl<F: Future> Children<F> {
    pub(crate) fn new<I>(futures: I) -> Children<F>
    where
        I: IntoIterator,
        I::Item: IntoFuture<IntoFuture = F, Output = F::Output>,
    {
        let futures: Vec<_> = futures
            .into_iter()
            .map(|future| Some(Box::pin(future.into_future())))
            .collect();
        let len = futures.len();
        let woken = (len > FEW).then(|| {
            let list = ReadyList::new(len);
            let wakers = (0..len).map(|index| list.waker(index)).collect();
            Woken {
                list,
                wakers,
                next_new: 0,
            }
        });
        Children {
            futures,
            running: len,
            woken,
        }
    }

    /// Polls those that may be ready, and calls `visit` with the place and output of each that is,
    /// until it breaks. `Continue` says that all are complete.
    pub(crate) fn poll_each<B>(
        &mut self,
        cx: &mut Context<'_>,
        mut visit: impl FnMut(usize, F::Output) -> ControlFlow<B>,
    ) -> Poll<ControlFlow<B>> {
        let Some(woken) = &mut self.woken else {
            for (index, slot) in self.futures.iter_mut().enumerate() {
                if let Some(future) = slot
                    && let Poll::Ready(output) = fair_share::poll(future.as_mut(), cx)
                {
                    *slot = None;
                    self.running -= 1;
                    if let ControlFlow::Break(value) = visit(index, output) {
                        return Poll::Ready(ControlFlow::Break(value));
                    }
                }
            }
            return self.poll_complete();
        };
        woken.list.set_waiter(cx.waker());
        // Those that are woken meanwhile are for the next poll: what wakes itself must not hold the
        // task.
        for _ in 0..woken.len() {
            if budget::is_spent() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(index) = woken.pop() else { break };
            let slot = &mut self.futures[index];
            let Some(future) = slot else { continue };
            let mut cx = Context::from_waker(&woken.wakers[index]);
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                *slot = None;
                self.running -= 1;
                if let ControlFlow::Break(value) = visit(index, output) {
                    return Poll::Ready(ControlFlow::Break(value));
                }
            }
        }
        self.poll_complete()
    }

    fn poll_complete<B>(&self) -> Poll<ControlFlow<B>> {
        if self.running > 0 {
            if self.woken.is_some() {
                // Beside what was polled last there are those that were not.
                wait::note_second(Label::new(Kind::Group, self.running as u64));
            }
            return Poll::Pending;
        }
        Poll::Ready(ControlFlow::Continue(()))
    }
}

impl<F> Children<F> {
    /// Drops all that are left.
    pub(crate) fn clear(&mut self) {
        self.running = 0;
        self.futures.clear();
        self.woken = None;
    }

    /// How many are not complete.
    pub(crate) fn len(&self) -> usize {
        self.running
    }
}
