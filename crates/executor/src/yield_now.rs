//! Giving the others a turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Lets everything that is ready now run before this task goes on.
///
/// The task goes to the end of the ready queue. It makes no system call; the reactor is asked as
/// often as the loop's budget says.
///
/// # Cancel safety
/// Safe: it holds nothing.
#[doc(alias = "sleep(0)")]
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// Takes one operation from the running task's budget, and gives the others a turn if none is left.
///
/// For loops that never wait otherwise: much cheaper than a [`yield_now`] each time round. A task may
/// complete 128 operations in one poll; sockets, queues and this take from the same budget.
///
/// # Cancel safety
/// Safe: it holds nothing.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let mut sum = 0_u64;
/// for number in 0..10_000 {
///     sum += number;
///     tulipa::task::consume_budget().await;
/// }
/// # assert_eq!(sum, 49_995_000);
/// # });
/// ```
pub async fn consume_budget() {
    std::future::poll_fn(tulipa_base::budget::poll_consume).await
}

/// Future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
