//! Giving futures up at each of their awaits.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// Polls `future` as its task is woken, and drops it when it was pending for the `polls`th time, counted
/// from 1; 0 drops it unpolled. Returns what it came to, if it got that far.
pub(crate) async fn after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut pending = 0;
    if polls == 0 {
        return None;
    }
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            pending += 1;
            match pending == polls {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        }
    })
    .await
}

/// Like [`after`], for a future that nothing wakes: it is dropped after a moment at the latest.
#[cfg(unix)]
pub(crate) async fn soon<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let moment = std::time::Duration::from_millis(2);
    let given_up = tulipa::timeout(moment, after(polls, future)).await;
    given_up.ok().flatten()
}
