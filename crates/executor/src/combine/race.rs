//! The first of several futures of one kind: `race!` for a written list, [`race()`] for an iterator.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::children::Children;

/// Yields the output of the first of the futures that is ready, and drops the others.
///
/// `race!(a, b)` is [`select!`](crate::select!) for futures whose outputs have one type and need no
/// handlers: an expression that awaits, without allocation, in which the first in written order wins
/// when several are ready at once.
///
/// # Cancel safety
/// The futures that lose are dropped where they are.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let slow = std::future::pending::<&str>();
/// assert_eq!(tulipa::race!(slow, async { "fast" }), "fast");
/// # });
/// ```
#[macro_export]
macro_rules! race {
    ($($future:expr),+ $(,)?) => {
        $crate::select! { $(output = $future => output),+ }
    };
}

/// Yields the output of the first of `futures` that is ready, and drops the others.
///
/// When several are ready at once, the one that was woken first wins; at the first poll that is the first
/// in order. A failure counts as an output; see [`staggered_race`](crate::combine::staggered_race) for
/// the first success. For a written list, of different types: [`race!`](crate::race!).
///
/// # Panics
/// When there are no futures: nothing would ever come.
///
/// # Cancel safety
/// The futures that lose are dropped where they are; dropping the race drops them all.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// # tulipa::run(async {
/// let winner = tulipa::race([30, 1, 20].map(|delay| async move {
///     tulipa::sleep(Duration::from_millis(delay)).await;
///     delay
/// }));
/// assert_eq!(winner.await, 1);
/// # });
/// ```
#[track_caller]
#[doc(alias = "select_all")]
#[doc(alias = "FIRST_COMPLETED")]
pub fn race<I>(futures: I) -> Race<<I::Item as IntoFuture>::IntoFuture>
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    let children = Children::new(futures);
    assert!(
        children.len() > 0,
        "race of no futures: it would wait for ever"
    );
    Race { children }
}

/// Future of [`race()`].
///
/// # Panics
/// When it is polled again after it has completed.
#[must_use = "futures do nothing unless awaited"]
pub struct Race<F> {
    children: Children<F>,
}

impl<F: Future> Future for Race<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self
            .children
            .poll_each(cx, |_, output| ControlFlow::Break(output))
        {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ControlFlow::Break(output)) => {
                self.children.clear();
                Poll::Ready(output)
            }
            Poll::Ready(ControlFlow::Continue(())) => {
                panic!("Race polled after it has yielded the output")
            }
        }
    }
}

impl<F> fmt::Debug for Race<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race")
            .field("running", &self.children.len())
            .finish_non_exhaustive()
    }
}
