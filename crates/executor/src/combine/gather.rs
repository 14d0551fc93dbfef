//! asyncio's `gather`: futures run as tasks, results in the order of the arguments.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use tulipa_base::wait::{self, Label};

use super::finish_list::FinishList;
use super::join_all::Outputs;
use crate::cancel::{End, Kind, Place, Settled};
use crate::task::{self, JoinError, JoinHandle};

/// Runs `futures` as tasks, and yields their values in order.
///
/// The tasks are spawned by this call and run whether the result is awaited or not. Without futures the
/// result is empty, at once.
///
/// When a task fails, which is to panic or to be cancelled, the result is that error, **at once, and the
/// other tasks go on**, detached. A later panic among them is reported to the loop's exception handler.
/// (asyncio drops it in silence.) To end the others too, use a task group; for tasks that yield a
/// `Result`: [`try_gather`]; to have every outcome: [`gather_settled`]; for futures that borrow, which
/// run in place and are dropped at an error: [`join_all`](crate::combine::join_all),
/// [`try_join_all`](crate::combine::try_join_all), [`try_join!`](crate::try_join!).
///
/// When whoever awaits is cancelled, every task that has not ended is cancelled; once all have ended, the
/// request goes on outwards. The same holds for the other two.
///
/// # Errors
/// [`JoinError`] of the first task that fails.
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Dropping it before it is complete aborts the tasks that have not ended.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let squares = tulipa::gather((1..=3).map(|it| async move { it * it })).await;
/// assert_eq!(squares.unwrap(), [1, 4, 9]);
/// # });
/// ```
///
/// # References
/// [`asyncio.gather`](https://docs.python.org/3/library/asyncio-task.html#asyncio.gather)
#[track_caller]
#[doc(alias = "join_all")]
pub fn gather<I>(futures: I) -> Gather<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator,
    I::Item: IntoFuture<IntoFuture: 'static, Output: 'static>,
{
    let tasks = Tasks::spawn(futures);
    Gather {
        values: Outputs::new(tasks.left),
        tasks,
    }
}

/// Runs `futures` as tasks, and yields their values in order, or the first error.
///
/// Like [`gather`], for futures that yield a `Result`: an `Err` is a failure too. The other tasks go on
/// when one fails, detached; what they yield later is dropped.
///
/// # Errors
/// [`GatherError`] of the first task that fails.
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Dropping it before it is complete aborts the tasks that have not ended.
///
/// # Examples
/// ```
/// use tulipa::task::{GatherError, try_gather};
///
/// # tulipa::run(async {
/// let parsed = try_gather(["1", "x"].map(async |it| it.parse::<u8>())).await;
/// assert!(matches!(parsed, Err(GatherError::Failed(_))));
/// # });
/// ```
#[track_caller]
pub fn try_gather<I, T, E>(futures: I) -> TryGather<T, E>
where
    I: IntoIterator,
    I::Item: IntoFuture<IntoFuture: 'static, Output = Result<T, E>>,
    T: 'static,
    E: 'static,
{
    let tasks = Tasks::spawn(futures);
    TryGather {
        values: Outputs::new(tasks.left),
        tasks,
    }
}

/// Runs `futures` as tasks, waits for all, and yields what became of each, in order.
///
/// It never fails: panics and cancellations are among the results.
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Dropping it before it is complete aborts the tasks that have not ended.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let results = tulipa::gather_settled([6, 0].map(|it| async move { 42 / it })).await;
/// assert_eq!(results[0].as_ref().unwrap(), &7);
/// assert!(results[1].as_ref().unwrap_err().is_panic());
/// # });
/// ```
///
/// # References
/// [`asyncio.gather`](https://docs.python.org/3/library/asyncio-task.html#asyncio.gather) with
/// `return_exceptions=True`.
#[track_caller]
#[doc(alias = "return_exceptions")]
#[doc(alias = "allSettled")]
pub fn gather_settled<I>(futures: I) -> GatherSettled<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator,
    I::Item: IntoFuture<IntoFuture: 'static, Output: 'static>,
{
    let tasks = Tasks::spawn(futures);
    GatherSettled {
        results: Outputs::new(tasks.left),
        tasks,
    }
}

/// Future of [`gather`].
///
/// # Panics
/// When it is polled again after it has completed.
#[must_use = "dropping it aborts the tasks"]
pub struct Gather<T> {
    tasks: Tasks<T>,
    values: Outputs<T>,
}

/// Future of [`try_gather`].
///
/// # Panics
/// When it is polled again after it has completed.
#[must_use = "dropping it aborts the tasks"]
pub struct TryGather<T, E> {
    tasks: Tasks<Result<T, E>>,
    values: Outputs<T>,
}

/// Future of [`gather_settled`].
///
/// # Panics
/// When it is polled again after it has completed.
#[must_use = "dropping it aborts the tasks"]
pub struct GatherSettled<T> {
    tasks: Tasks<T>,
    results: Outputs<Result<T, JoinError>>,
}

/// Why [`try_gather`] has no values to give.
#[derive(Debug)]
pub enum GatherError<E> {
    /// A task has yielded this error.
    Failed(E),
    /// A task was cancelled, or panicked.
    Join(JoinError),
}

impl<E: fmt::Display> fmt::Display for GatherError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatherError::Failed(error) => error.fmt(f),
            GatherError::Join(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for GatherError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The text is the error's own, so its cause is next.
            GatherError::Failed(error) => error.source(),
            GatherError::Join(error) => error.source(),
        }
    }
}

/// The tasks of a gather, in the order of the arguments.
///
/// The one place that knows the children of all three futures: what is to reach every child while the
/// gather waits belongs here.
struct Tasks<T> {
    handles: Vec<JoinHandle<T>>,
    finished: FinishList,
    /// How many have not been joined.
    left: usize,
    /// Where a request to cancel whoever awaits arrives.
    place: Place,
}

impl<T> Tasks<T> {
    #[track_caller]
    fn spawn<I>(futures: I) -> Tasks<T>
    where
        I: IntoIterator,
        I::Item: IntoFuture<IntoFuture: 'static, Output = T>,
        T: 'static,
    {
        let finished = FinishList::default();
        let futures = futures.into_iter();
        // A loop: a closure would hide the caller's place.
        let mut handles = Vec::with_capacity(futures.size_hint().0);
        for future in futures {
            let member = finished.member(handles.len(), future.into_future());
            handles.push(task::spawn(member));
        }
        Tasks {
            left: handles.len(),
            handles,
            finished,
            place: Place::new(),
        }
    }

    /// Joins the task that ended first, of those that were not joined; `None` when all were.
    ///
    /// A request to cancel is handed on to every task that has not ended. What they yield then is dropped; when
    /// all have ended, the request goes on outwards, and this is pending until it is dropped.
    fn poll_join(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.place.settle(Kind::Catch, cx) == Settled::InPlace
            && let Some(hit) = self.place.take_hit()
        {
            for handle in &self.handles {
                handle.cancel_with(hit.reason().clone());
            }
            self.place.hold(hit);
        }
        loop {
            match self.poll_next(cx) {
                Poll::Ready(Some(_)) if self.place.is_holding() => {}
                Poll::Ready(None) if self.place.is_holding() => {
                    self.place.close(End::PassOn);
                    wait::note(Label::new(wait::Kind::Cancelled, 0));
                    return Poll::Pending;
                }
                Poll::Ready(joined) => {
                    if self.left == 0 {
                        self.place.close(End::PassOn);
                    }
                    return Poll::Ready(joined);
                }
                Poll::Pending => {
                    let left = self.left as u64;
                    wait::note(Label::new(wait::Kind::Group, left));
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Poll::Ready(index) = self.finished.poll_first(cx) else {
            return Poll::Pending;
        };
        let Poll::Ready(result) = self.handles[index].poll_result(cx) else {
            return Poll::Pending;
        };
        self.finished.pop();
        self.left -= 1;
        Poll::Ready(Some((index, result)))
    }

    /// Lets the tasks that are left go on by themselves.
    fn detach(&mut self) {
        self.place.close(End::PassOn);
        self.left = 0;
        self.handles.clear();
    }
}

impl<T> Drop for Tasks<T> {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.abort();
        }
    }
}

// Handles and results are stored, never pinned.
impl<T> Unpin for Gather<T> {}
impl<T, E> Unpin for TryGather<T, E> {}
impl<T> Unpin for GatherSettled<T> {}

impl<T> Future for Gather<T> {
    type Output = Result<Vec<T>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match this.tasks.poll_join(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((index, Ok(value)))) => this.values.set(index, value),
                Poll::Ready(Some((_, Err(error)))) => {
                    this.tasks.detach();
                    this.values = Outputs::taken();
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Ok(this.values.take().expect(POLLED_AGAIN)));
                }
            }
        }
    }
}

impl<T, E> Future for TryGather<T, E> {
    type Output = Result<Vec<T>, GatherError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let error = match this.tasks.poll_join(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((index, Ok(Ok(value))))) => {
                    this.values.set(index, value);
                    continue;
                }
                Poll::Ready(Some((_, Ok(Err(error))))) => GatherError::Failed(error),
                Poll::Ready(Some((_, Err(error)))) => GatherError::Join(error),
                Poll::Ready(None) => {
                    return Poll::Ready(Ok(this.values.take().expect(POLLED_AGAIN)));
                }
            };
            this.tasks.detach();
            this.values = Outputs::taken();
            return Poll::Ready(Err(error));
        }
    }
}

impl<T> Future for GatherSettled<T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match this.tasks.poll_join(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((index, result))) => this.results.set(index, result),
                Poll::Ready(None) => return Poll::Ready(this.results.take().expect(POLLED_AGAIN)),
            }
        }
    }
}

const POLLED_AGAIN: &str = "a gather is polled after it has yielded the results";

impl<T> fmt::Debug for Tasks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gather").field(&self.tasks).finish()
    }
}

impl<T, E> fmt::Debug for TryGather<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryGather").field(&self.tasks).finish()
    }
}

impl<T> fmt::Debug for GatherSettled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatherSettled").field(&self.tasks).finish()
    }
}
