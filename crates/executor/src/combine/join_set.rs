//! A set of tasks, whose results come in the order in which they end.

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use slab::Slab;
use tulipa_base::TaskId;
use tulipa_base::wait::{self, Kind, Label};

use super::finish_list::FinishList;
use crate::task::{self, JoinError, JoinHandle};

/// Tasks that belong together: spawned one by one, joined as they end, aborted when the set is dropped.
///
/// The tasks run whether anyone waits or not. [`join_next`](JoinSet::join_next) yields the results in the
/// order in which the tasks end, each at the same cost however large the set is. Where the first failure
/// is to end the others, or children are to be waited for in any case, use a task group instead.
///
/// # Cancel safety
/// Dropping the set aborts its tasks. [`detach_all`](JoinSet::detach_all) lets them go on.
///
/// # Examples
/// ```
/// use tulipa::task::JoinSet;
///
/// # tulipa::run(async {
/// let mut set = JoinSet::new();
/// for number in 1..=3u32 {
///     set.spawn(async move { number * number });
/// }
/// let mut sum = 0;
/// while let Some(result) = set.join_next().await {
///     sum += result.unwrap();
/// }
/// assert_eq!(sum, 14);
/// # });
/// ```
#[must_use = "dropping the set aborts its tasks"]
pub struct JoinSet<T> {
    members: Slab<JoinHandle<T>>,
    /// The numbers of members that have ended, but were not joined.
    finished: FinishList,
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> JoinSet<T> {
        JoinSet {
            members: Slab::new(),
            finished: FinishList::default(),
        }
    }

    /// Starts a task in the set, like [`spawn`](crate::task::spawn).
    ///
    /// # Panics
    /// Outside of a loop.
    #[track_caller]
    #[doc(alias = "spawn_local")]
    #[doc(alias = "create_task")]
    pub fn spawn<F>(&mut self, future: F) -> TaskId
    where
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        self.add(task::Builder::new(), future)
    }

    /// Sets a task up before it is spawned in the set: `set.build_task().name("ping").spawn(future)`.
    #[doc(alias = "spawn_named")]
    pub fn build_task(&mut self) -> Builder<'_, T> {
        Builder {
            set: self,
            builder: task::Builder::new(),
        }
    }

    #[track_caller]
    fn add<F>(&mut self, builder: task::Builder, future: F) -> TaskId
    where
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        let place = self.members.vacant_entry();
        let handle = builder.spawn(self.finished.member(place.key(), future));
        let id = handle.id();
        place.insert(handle);
        id
    }

    /// Waits for the next task that ends, and yields its result; `None` when the set is empty.
    ///
    /// Results come in the order in which the tasks end.
    ///
    /// # Errors
    /// [`JoinError`] when the task was aborted, panicked, or was dropped with its loop.
    ///
    /// # Cancel safety
    /// Safe. A task leaves the set only in the poll that returns its result.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// The same, with the id of the task; [`JoinError::id`] has it otherwise.
    ///
    /// # Errors
    /// As [`join_next`](JoinSet::join_next).
    ///
    /// # Cancel safety
    /// Safe. A task leaves the set only in the poll that returns its result.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// Takes the result of a task that has ended, if there is one.
    ///
    /// # Errors
    /// As [`join_next`](JoinSet::join_next).
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        let first = self.finished.first()?;
        if !self.members[first].is_finished() {
            // It is ending just now: see `finish_list`.
            return None;
        }
        let waker = std::task::Waker::noop();
        match self.poll_join_next(&mut Context::from_waker(waker)) {
            Poll::Ready(result) => result,
            Poll::Pending => None,
        }
    }

    /// Polls for the result of the next task that ends; `None` when the set is empty.
    ///
    /// Only the task that polled last is woken.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_join_next_with_id(cx)
            .map(|next| next.map(|result| result.map(|(_, value)| value)))
    }

    /// The same, with the id of the task.
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(TaskId, T), JoinError>>> {
        if self.members.is_empty() {
            return Poll::Ready(None);
        }
        let Poll::Ready(number) = self.finished.poll_first(cx) else {
            wait::note(Label::new(Kind::Group, self.members.len() as u64));
            return Poll::Pending;
        };
        let Poll::Ready(result) = self.members[number].poll_result(cx) else {
            return Poll::Pending;
        };
        self.finished.pop();
        let id = self.members.remove(number).id();
        Poll::Ready(Some(result.map(|value| (id, value))))
    }

    /// Waits for all tasks, and yields their values in the order in which they ended.
    ///
    /// # Panics
    /// When a task panicked, with its payload, or was aborted. The others are then aborted.
    ///
    /// # Cancel safety
    /// Dropping it drops the set, and so aborts what is left.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut values = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result {
                Ok(value) => values.push(value),
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => std::panic::resume_unwind(payload),
                    Err(error) => panic!("JoinSet::join_all: {error}"),
                },
            }
        }
        values
    }

    /// Aborts all tasks. They stay in the set, to be joined; those that have ended keep their results.
    pub fn abort_all(&mut self) {
        for (_, handle) in &self.members {
            handle.abort();
        }
    }

    /// Aborts all tasks, and waits until all are gone. Results and panics are dropped; a panic is
    /// reported to the loop's exception handler.
    ///
    /// # Cancel safety
    /// The tasks are aborted at the first poll; what is left of them when this is dropped is still in
    /// the set.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while !self.members.is_empty() {
            let number = poll_fn(|cx| {
                let Poll::Ready(number) = self.finished.poll_first(cx) else {
                    wait::note(Label::new(Kind::Group, self.members.len() as u64));
                    return Poll::Pending;
                };
                self.members[number].poll_finished(cx).map(|()| number)
            })
            .await;
            self.finished.pop();
            // A handle that was not asked reports the panic it holds.
            drop(self.members.remove(number));
        }
    }

    /// Takes all tasks out of the set without aborting them: they go on by themselves.
    pub fn detach_all(&mut self) {
        // They note their ends in the old list.
        self.finished = FinishList::default();
        drop(mem::take(&mut self.members));
    }

    /// How many tasks are in the set: running, or ended and not yet joined.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no task is in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

// It holds handles, no `T`.
impl<T> Unpin for JoinSet<T> {}

/// The results, in the order in which the tasks end. The stream is over whenever the set is empty, and
/// goes on when tasks are spawned.
impl<T> Stream for JoinSet<T> {
    type Item = Result<T, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_join_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

/// Spawns each of the futures.
///
/// # Panics
/// Outside of a loop.
impl<F> FromIterator<F> for JoinSet<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> JoinSet<F::Output> {
        let mut set = JoinSet::new();
        set.extend(futures);
        set
    }
}

/// Spawns each of the futures.
///
/// # Panics
/// Outside of a loop.
impl<F> Extend<F> for JoinSet<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.spawn(future);
        }
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Sets a task of a [`JoinSet`] up. See [`JoinSet::build_task`].
#[derive(Debug)]
#[must_use = "the builder does nothing until `spawn`"]
pub struct Builder<'a, T> {
    set: &'a mut JoinSet<T>,
    builder: task::Builder,
}

impl<T> Builder<'_, T> {
    /// Names the task, for reports and errors.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.builder = self.builder.name(name);
        self
    }

    /// Starts the task in the set.
    ///
    /// # Panics
    /// Outside of a loop.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> TaskId
    where
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        self.set.add(self.builder, future)
    }
}
