//! asyncio's `as_completed`: the handles of tasks, in the order in which the tasks end.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tulipa_base::Instant;
use tulipa_base::wait::{self, Kind, Label};

use super::ready_list::ReadyList;
use crate::task::JoinHandle;
use crate::timer::{Elapsed, Sleep};

/// Yields the handles of tasks in the order in which the tasks end.
///
/// They are the handles that were given, so each task is known by its [id](JoinHandle::id) or name, and
/// awaiting the handle yields the result at once. Tasks that have ended already come first, in the order
/// of `handles`.
///
/// Leaving early leaves the other tasks running. The stream can be gone on with later, or its
/// [handles](AsCompleted::into_handles) be taken back; dropping it detaches them.
///
/// (In asyncio a task that is given twice comes once. Here a task has one handle, so it cannot be given
/// twice.)
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tulipa::task::as_completed;
///
/// # tulipa::run(async {
/// let tasks = [3, 1, 2].map(|delay| {
///     tulipa::spawn(async move {
///         tulipa::sleep(Duration::from_millis(delay * 10)).await;
///         delay
///     })
/// });
/// let mut ended = as_completed(tasks);
/// while let Some(handle) = ended.next().await {
///     println!("{}", handle.await.unwrap());
/// }
/// # });
/// ```
///
/// # References
/// [`asyncio.as_completed`](https://docs.python.org/3/library/asyncio-task.html#asyncio.as_completed)
#[doc(alias = "FuturesUnordered")]
pub fn as_completed<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> AsCompleted<T> {
    let mut handles: Vec<_> = handles.into_iter().map(Some).collect();
    let ended = ReadyList::new(handles.len());
    for (index, handle) in handles.iter_mut().flatten().enumerate() {
        ended.watch(index, handle);
    }
    AsCompleted {
        left: handles.len(),
        handles,
        ended,
    }
}

/// Stream of [`as_completed`].
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<T> {
    handles: Vec<Option<JoinHandle<T>>>,
    /// How many of them are left.
    left: usize,
    ended: ReadyList,
}

impl<T> AsCompleted<T> {
    /// Waits for the next task that ends, and yields its handle; `None` after the last.
    ///
    /// # Cancel safety
    /// Safe. A handle leaves only in the poll that returns it.
    pub async fn next(&mut self) -> Option<JoinHandle<T>> {
        poll_fn(|cx| self.poll_next_handle(cx)).await
    }

    /// Goes on until `deadline`, at which [`Elapsed`] comes, once.
    #[doc(alias = "timeout")]
    pub fn timeout_at(self, deadline: Instant) -> AsCompletedUntil<T> {
        AsCompletedUntil {
            inner: self,
            deadline: Some(deadline),
            sleep: None,
        }
    }

    /// Goes on for `duration`, counted from this call, after which [`Elapsed`] comes, once.
    pub fn timeout(self, duration: Duration) -> AsCompletedUntil<T> {
        self.timeout_at(Instant::now() + duration)
    }

    /// The handles that have not been yielded, in the order in which they were given.
    pub fn into_handles(self) -> Vec<JoinHandle<T>> {
        self.handles.into_iter().flatten().collect()
    }

    /// How many handles have not been yielded.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all handles have been yielded.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    fn poll_next_handle(&mut self, cx: &mut Context<'_>) -> Poll<Option<JoinHandle<T>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Poll::Ready(index) = self.ended.poll_pop(cx) else {
            wait::note(Label::new(Kind::Group, self.left as u64));
            return Poll::Pending;
        };
        self.left -= 1;
        Poll::Ready(self.handles[index].take())
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = JoinHandle<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<JoinHandle<T>>> {
        self.poll_next_handle(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// Stream of [`AsCompleted::timeout_at`]: handles, then one error if the time is up before all tasks have
/// ended.
///
/// The error ends the stream, and no task: [`into_inner`](AsCompletedUntil::into_inner) goes on with
/// those that are left. A task that has ended when the deadline is noticed still comes.
///
/// # Panics
/// When it has to wait outside of a loop.
#[must_use = "streams do nothing unless polled"]
pub struct AsCompletedUntil<T> {
    inner: AsCompleted<T>,
    /// `None` when it has been told of.
    deadline: Option<Instant>,
    /// Set when there is something to wait for.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<T> AsCompletedUntil<T> {
    /// Waits for the next task that ends, and yields its handle; `None` after the last, and after the
    /// deadline.
    ///
    /// # Errors
    /// [`Elapsed`], once, when the deadline has come.
    ///
    /// # Panics
    /// When it has to wait outside of a loop.
    ///
    /// # Cancel safety
    /// Safe. A handle leaves only in the poll that returns it.
    pub async fn next(&mut self) -> Option<Result<JoinHandle<T>, Elapsed>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The stream without the deadline.
    pub fn into_inner(self) -> AsCompleted<T> {
        self.inner
    }
}

impl<T> Stream for AsCompletedUntil<T> {
    type Item = Result<JoinHandle<T>, Elapsed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(deadline) = this.deadline else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(next) = this.inner.poll_next_handle(cx) {
            return Poll::Ready(next.map(Ok));
        }
        let sleep = this
            .sleep
            .get_or_insert_with(|| Box::pin(Sleep::new(deadline)));
        if sleep.as_mut().poll_as_limit(cx).is_pending() {
            return Poll::Pending;
        }
        this.deadline = None;
        this.sleep = None;
        Poll::Ready(Some(Err(Elapsed::new())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.inner.left.checked_add(1))
    }
}

impl<T> fmt::Debug for AsCompletedUntil<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompletedUntil")
            .field("left", &self.inner.left)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
