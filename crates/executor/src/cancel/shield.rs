//! Waiting for a task without passing cancellation on to it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::task::{JoinError, JoinHandle, spawn};

/// Runs `future` as a task of its own, and waits for it without handing cancellation on: when the code
/// that awaits is cancelled or dropped, the task goes on.
///
/// The task starts at its next turn, whether or not the shield is awaited, as with [`spawn`](crate::task::spawn). For a task
/// that runs already there is [`JoinHandle::shield`]. To keep requests away from code that stays in place, and
/// borrows, use a [shielded scope](crate::cancel::CancelScope::shielded).
///
/// # Errors
/// [`JoinError`], when the task panicked, or was cancelled itself. If nobody waits any more, a
/// panic is told to the loop's exception handler.
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Dropping it detaches the task.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use tulipa::cancel::shield;
///
/// # async fn commit() {}
/// # async fn example() {
/// // Half a commit is worse than none: it is finished even if this task is cancelled meanwhile.
/// shield(commit()).await.unwrap();
/// # }
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Shield<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn(future).shield()
}

/// Future of [`shield`] and [`JoinHandle::shield`].
#[derive(Debug)]
#[must_use = "the task goes on when this is dropped: `drop(shield)` says that you mean it"]
pub struct Shield<T> {
    handle: JoinHandle<T>,
}

impl<T> Shield<T> {
    /// The handle of the task.
    pub fn handle(&self) -> &JoinHandle<T> {
        &self.handle
    }

    /// The handle of the task; awaited itself, it hands cancellation on again.
    pub fn into_handle(self) -> JoinHandle<T> {
        self.handle
    }
}

impl<T> JoinHandle<T> {
    /// Waits for the task without handing cancellation on to it. See [`shield`].
    pub fn shield(self) -> Shield<T> {
        Shield { handle: self }
    }
}

impl<T> Future for Shield<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.handle.poll_shielded(cx)
    }
}
