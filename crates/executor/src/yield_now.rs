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
