//! All of an iterator's futures, in place: [`join_all`] and [`try_join_all`].

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::children::Children;

/// Waits for all of `futures`, and yields their outputs in order.
///
/// The futures are part of the task, may borrow from it, and run one at a time. Each is polled until it
/// is complete, and dropped then. Of more than 16 futures only those that were woken are polled, in the
/// order of their wakes.
///
/// For a written list, of different types and without allocation: [`join!`](crate::join!). To run them
/// as tasks: [`gather`](crate::combine::gather()).
///
/// # Panics
/// A panic of one of the futures goes through, and drops the others.
///
/// # Cancel safety
/// As safe as the futures: dropping it drops them all, and the outputs of those that are complete.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let words = ["one", "two", "three"];
/// let lengths = tulipa::join_all(words.iter().map(async |word| word.len())).await;
/// assert_eq!(lengths, [3, 3, 5]);
/// # });
/// ```
#[doc(alias = "gather")]
pub fn join_all<I>(futures: I) -> JoinAll<<I::Item as IntoFuture>::IntoFuture>
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    let children = Children::new(futures);
    JoinAll {
        outputs: Outputs::new(children.len()),
        children,
    }
}

/// Waits until all of `futures` have yielded `Ok`, or until the first yields `Err`.
///
/// Yields the values in order, or the first error. At an error the other futures are dropped where they
/// are. (asyncio's `gather` leaves them running: that is [`try_gather`](crate::combine::try_gather).)
/// Everything else is as in [`join_all`].
///
/// # Errors
/// The first error of a future.
///
/// # Panics
/// A panic of one of the futures goes through, and drops the others.
///
/// # Cancel safety
/// As safe as the futures: dropping it drops them all, and the values of those that are complete.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let parsed = tulipa::try_join_all(["1", "2", "x"].map(async |it| it.parse::<u8>())).await;
/// assert!(parsed.is_err());
/// # });
/// ```
pub fn try_join_all<I, T, E>(futures: I) -> TryJoinAll<<I::Item as IntoFuture>::IntoFuture, T>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T, E>>,
{
    let children = Children::new(futures);
    TryJoinAll {
        outputs: Outputs::new(children.len()),
        children,
    }
}

/// Future of [`join_all`].
///
/// # Panics
/// When it is polled again after it has completed.
#[must_use = "futures do nothing unless awaited"]
pub struct JoinAll<F: Future> {
    children: Children<F>,
    outputs: Outputs<F::Output>,
}

/// Future of [`try_join_all`].
///
/// # Panics
/// When it is polled again after it has completed.
#[must_use = "futures do nothing unless awaited"]
pub struct TryJoinAll<F, T> {
    children: Children<F>,
    outputs: Outputs<T>,
}

/// Places for outputs, until all are there.
pub(crate) struct Outputs<T>(Option<Vec<Option<T>>>);

impl<T> Outputs<T> {
    pub(crate) fn new(len: usize) -> Outputs<T> {
        Outputs(Some((0..len).map(|_| None).collect()))
    }

    /// The places when the outputs have been taken.
    pub(crate) fn taken() -> Outputs<T> {
        Outputs(None)
    }

    /// # Panics
    /// When the outputs were taken already.
    pub(crate) fn set(&mut self, index: usize, output: T) {
        self.0.as_mut().expect("not taken yet")[index] = Some(output);
    }

    /// The outputs, which are all there, or `None` if they were taken already.
    pub(crate) fn take(&mut self) -> Option<Vec<T>> {
        // In place: the vector's memory is used again.
        self.0.take()?.into_iter().collect()
    }
}

// Outputs are stored, never pinned.
impl<F: Future> Unpin for JoinAll<F> {}
impl<F, T> Unpin for TryJoinAll<F, T> {}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<F::Output>> {
        let this = &mut *self;
        let polled = this.children.poll_each(cx, |index, output| {
            this.outputs.set(index, output);
            ControlFlow::<()>::Continue(())
        });
        polled.map(|_| this.outputs.take().expect(POLLED_AGAIN))
    }
}

impl<F, T, E> Future for TryJoinAll<F, T>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.children.poll_each(cx, |index, output| match output {
            Ok(value) => {
                this.outputs.set(index, value);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        });
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ControlFlow::Continue(())) => {
                Poll::Ready(Ok(this.outputs.take().expect(POLLED_AGAIN)))
            }
            Poll::Ready(ControlFlow::Break(error)) => {
                this.children.clear();
                this.outputs = Outputs::taken();
                Poll::Ready(Err(error))
            }
        }
    }
}

const POLLED_AGAIN: &str = "join_all polled after it has yielded the outputs";

impl<F: Future> fmt::Debug for JoinAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinAll")
            .field("running", &self.children.len())
            .finish_non_exhaustive()
    }
}

impl<F, T> fmt::Debug for TryJoinAll<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoinAll")
            .field("running", &self.children.len())
            .finish_non_exhaustive()
    }
}
