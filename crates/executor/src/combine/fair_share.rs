//! A future's share of its task's budget, when several futures are polled one after the other.
//!
//! A first future that always has work (a socket that is always readable) takes all of the budget at
//! each poll. Polled by the book, those behind it would find none left for ever.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tulipa_base::budget;

/// Polls `future`. If those before it have used up the budget, it may complete one operation
/// nevertheless.
///
/// So lists may be polled in written order, always. The rejected alternative is to begin each poll
/// with another future: the order would then depend on how often the task was woken.
#[inline]
pub(crate) fn poll<F: Future + ?Sized>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    if !budget::is_spent() {
        return future.poll(cx);
    }
    budget::refund();
    let polled = future.poll(cx);
    // What it did not use is not for the next.
    if !budget::is_spent() {
        let _ = budget::try_consume();
    }
    polled
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    /// Completes operations for as long as there is budget, and counts them.
    async fn greedy(operations: &Cell<u32>) {
        poll_fn(|cx| {
            while budget::poll_consume(cx).is_ready() {
                operations.set(operations.get() + 1);
            }
            Poll::<()>::Pending
        })
        .await;
    }

    /// Completes so many operations, one a poll.
    async fn modest(mut operations: u32) {
        poll_fn(|cx| {
            if budget::poll_consume(cx).is_pending() {
                return Poll::Pending;
            }
            operations -= 1;
            match operations {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    fn poll_as_task<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        budget::start();
        let polled = future.poll(&mut Context::from_waker(Waker::noop()));
        budget::end();
        polled
    }

    #[test]
    fn a_greedy_branch_of_a_select_does_not_starve_those_behind_it() {
        let operations = Cell::new(0);
        let mut select = pin!(async {
            crate::select! {
                () = greedy(&operations) => 1,
                () = modest(3) => 2,
                () = modest(2) => 3,
            }
        });
        assert!(poll_as_task(select.as_mut()).is_pending());
        // Both modest ones complete an operation in each poll.
        assert_eq!(poll_as_task(select.as_mut()), Poll::Ready(3));
        assert_eq!(operations.get(), 2 * u32::from(budget::OPERATIONS));
    }

    #[test]
    fn a_share_that_is_not_used_is_not_handed_on() {
        let operations = Cell::new(0);
        let mut join = pin!(async {
            crate::join!(
                greedy(&operations),
                std::future::pending::<()>(),
                greedy(&operations),
                async { modest(1).await }
            )
        });
        assert!(poll_as_task(join.as_mut()).is_pending());
        // One beyond the budget for the second greedy one; the modest one's is not counted.
        assert_eq!(operations.get(), u32::from(budget::OPERATIONS) + 1);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut join = pin!(async { crate::join!(modest(1), modest(1)) });
        let mut cx = Context::from_waker(Waker::noop());
        assert!(join.as_mut().poll(&mut cx).is_ready());
    }
}
