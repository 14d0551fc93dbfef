//! asyncio's `wait`: until all, the first, or the first failure of some tasks.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::Instant;
use tulipa_base::wait::{self, Kind, Label};

use super::ready_list::ReadyList;
use crate::task::{JoinHandle, Outcome};
use crate::timer::Sleep;

/// Waits for tasks, and sorts their handles into those that have ended and those that have not.
///
/// Returns `(done, pending)`, each in the order of `handles`. Which is which is decided by the state of
/// each task when the wait is over, whatever ended it. The results are still with the handles: awaiting
/// one of `done` yields it at once.
///
/// A wait only looks. It cancels no task, and the end of `timeout` is no error: the tasks are then
/// `pending`. With `None` there is no limit; the time counts from the first poll.
///
/// `handles` is a vector or an array of handles, or `&mut` a vector, which is then left empty. (One task
/// has one handle, so none is in the list twice, and futures that are no tasks do not fit; asyncio has
/// to check both.)
///
/// # Panics
/// When there are no handles. (It is a `ValueError` in asyncio too: nothing would ever come.)
///
/// # Cancel safety
/// The tasks go on. With `&mut` a vector all handles are still in it; handles that were given away are
/// dropped, which detaches the tasks.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tulipa::task::{WaitFor, wait};
///
/// # tulipa::run(async {
/// let mut tasks = vec![
///     tulipa::spawn(std::future::pending()),
///     tulipa::spawn(async { "here" }),
/// ];
/// let (done, pending) = wait(&mut tasks, WaitFor::FirstCompleted, None).await;
/// for handle in done {
///     assert_eq!(handle.await.unwrap(), "here");
/// }
/// let (done, pending) = wait(pending, WaitFor::All, Some(Duration::from_millis(1))).await;
/// assert_eq!((done.len(), pending.len()), (0, 1));
/// # });
/// ```
///
/// # References
/// [`asyncio.wait`](https://docs.python.org/3/library/asyncio-task.html#asyncio.wait)
#[track_caller]
#[doc(alias = "return_when")]
pub fn wait<'a, T>(
    handles: impl Into<Handles<'a, T>>,
    until: WaitFor<T>,
    timeout: Option<Duration>,
) -> Wait<'a, T> {
    let mut handles = handles.into();
    assert!(
        !handles.as_mut_slice().is_empty(),
        "wait for no tasks: look whether there are any before waiting"
    );
    Wait {
        handles: Some(handles),
        until,
        progress: match until {
            WaitFor::All => Progress::InOrder { next: 0 },
            _ => Progress::New,
        },
        timeout,
        sleep: None,
    }
}

/// What a [`wait`](wait()) waits for. In any case it is over when all tasks have ended.
#[non_exhaustive]
pub enum WaitFor<T> {
    /// The end of all tasks.
    #[doc(alias = "ALL_COMPLETED")]
    All,
    /// The end of one task, in whatever way.
    #[doc(alias = "FIRST_COMPLETED")]
    FirstCompleted,
    /// The first panic. For tasks that yield a `Result`, see [`FirstError`](WaitFor::FirstError).
    FirstPanic,
    /// The first panic, or the first value that the function calls an error:
    /// `WaitFor::FirstError(Result::is_err)`. A task that was cancelled has not failed.
    #[doc(alias = "FIRST_EXCEPTION")]
    FirstError(fn(&T) -> bool),
}

impl<T> WaitFor<T> {
    fn is_failure(&self, handle: &JoinHandle<T>) -> bool {
        match (self, handle.peek()) {
            (WaitFor::FirstPanic | WaitFor::FirstError(_), Outcome::Panicked) => true,
            (WaitFor::FirstError(is_error), Outcome::Value(value)) => is_error(value),
            _ => false,
        }
    }

    /// Whether the wait is over when this task has ended.
    fn is_met_by(&self, handle: &JoinHandle<T>) -> bool {
        matches!(self, WaitFor::FirstCompleted) || self.is_failure(handle)
    }
}

// Derived ones would ask the same of `T`.
impl<T> Clone for WaitFor<T> {
    fn clone(&self) -> WaitFor<T> {
        *self
    }
}

impl<T> Copy for WaitFor<T> {}

impl<T> fmt::Debug for WaitFor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitFor::All => "All",
            WaitFor::FirstCompleted => "FirstCompleted",
            WaitFor::FirstPanic => "FirstPanic",
            WaitFor::FirstError(_) => "FirstError(..)",
        })
    }
}

/// The handles that a [`wait`](wait()) is given: its own, or borrowed.
#[derive(Debug)]
pub struct Handles<'a, T>(Source<'a, T>);

#[derive(Debug)]
enum Source<'a, T> {
    Owned(Vec<JoinHandle<T>>),
    Borrowed(&'a mut Vec<JoinHandle<T>>),
}

impl<T> Handles<'_, T> {
    fn as_mut_slice(&mut self) -> &mut [JoinHandle<T>] {
        match &mut self.0 {
            Source::Owned(handles) => handles,
            Source::Borrowed(handles) => handles,
        }
    }

    fn into_vec(self) -> Vec<JoinHandle<T>> {
        match self.0 {
            Source::Owned(handles) => handles,
            Source::Borrowed(handles) => mem::take(handles),
        }
    }
}

impl<T> From<Vec<JoinHandle<T>>> for Handles<'_, T> {
    fn from(handles: Vec<JoinHandle<T>>) -> Self {
        Handles(Source::Owned(handles))
    }
}

impl<T, const N: usize> From<[JoinHandle<T>; N]> for Handles<'_, T> {
    fn from(handles: [JoinHandle<T>; N]) -> Self {
        Handles(Source::Owned(handles.into()))
    }
}

impl<'a, T> From<&'a mut Vec<JoinHandle<T>>> for Handles<'a, T> {
    fn from(handles: &'a mut Vec<JoinHandle<T>>) -> Self {
        Handles(Source::Borrowed(handles))
    }
}

pin_project! {
    /// Future of [`wait`](wait()).
    ///
    /// # Panics
    /// When it is polled again after it has completed.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Wait<'a, T> {
        handles: Option<Handles<'a, T>>,
        until: WaitFor<T>,
        progress: Progress,
        timeout: Option<Duration>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// How a wait learns of ends.
#[derive(Debug)]
enum Progress {
    /// Of any of them, from the first poll on.
    New,
    /// Of any of them: those that have ended since the first poll, and how many had not, as far as the
    /// list was read.
    Listed { ended: ReadyList, unfinished: usize },
    /// Of all: one after the other, with the waker of the task. The tasks before `next` have ended.
    InOrder { next: usize },
}

impl Progress {
    fn poll<T>(
        &mut self,
        handles: &mut [JoinHandle<T>],
        until: &WaitFor<T>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            match self {
                Progress::New => match Progress::start(handles, until) {
                    Some(listed) => *self = listed,
                    None => return Poll::Ready(()),
                },
                Progress::Listed { ended, unfinished } => {
                    while let Poll::Ready(index) = ended.poll_pop(cx) {
                        *unfinished -= 1;
                        if *unfinished == 0 || until.is_met_by(&handles[index]) {
                            return Poll::Ready(());
                        }
                    }
                    wait::note(Label::new(Kind::Group, *unfinished as u64));
                    return Poll::Pending;
                }
                Progress::InOrder { next } => {
                    let Some(handle) = handles.get_mut(*next) else {
                        return Poll::Ready(());
                    };
                    if handle.poll_finished(cx).is_pending() {
                        return Poll::Pending;
                    }
                    *next += 1;
                }
            }
        }
    }

    /// Begins to watch the tasks that have not ended; `None` if there is nothing to wait for.
    fn start<T>(handles: &mut [JoinHandle<T>], until: &WaitFor<T>) -> Option<Progress> {
        let mut finished = handles.iter().filter(|handle| handle.is_finished());
        if finished.any(|handle| until.is_met_by(handle)) {
            return None;
        }
        let ended = ReadyList::new(handles.len());
        let mut unfinished = 0;
        for (index, handle) in handles.iter_mut().enumerate() {
            if !handle.is_finished() {
                ended.watch(index, handle);
                unfinished += 1;
            }
        }
        (unfinished > 0).then_some(Progress::Listed { ended, unfinished })
    }
}

impl<T> Future for Wait<'_, T> {
    type Output = (Vec<JoinHandle<T>>, Vec<JoinHandle<T>>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let handles = this.handles.as_mut().expect("Wait polled after completion");
        let handles = handles.as_mut_slice();
        if this.progress.poll(handles, this.until, cx).is_pending() {
            let Some(timeout) = *this.timeout else {
                return Poll::Pending;
            };
            if this.sleep.is_none() {
                this.sleep.set(Some(Sleep::new(Instant::now() + timeout)));
            }
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut()
                && sleep.poll_as_limit(cx).is_pending()
            {
                return Poll::Pending;
            }
        }
        this.sleep.set(None);
        *this.progress = Progress::New;
        let handles = this.handles.take().map(Handles::into_vec);
        let (done, pending) = handles
            .into_iter()
            .flatten()
            .partition(JoinHandle::is_finished);
        Poll::Ready((done, pending))
    }
}
