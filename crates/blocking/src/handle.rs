//! The handle of a job: await it, join it, cancel it, or drop it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::dispatch::{Dispatch, Ticket};
use crate::error::BlockingError;
use crate::job::Packet;
use crate::shim::{Parker, Unparker};

/// Waits for a job's result: as a future, or by blocking the thread with [`join`](BlockingHandle::join).
///
/// Dropping the handle detaches the job: it goes on, and its result is dropped on the pool's thread. If
/// it panics then, [`Config::on_lost_panic`](crate::Config::on_lost_panic) is told. That it did not run,
/// because the pool was closed or has no thread, only the handle tells.
///
/// # Errors
/// [`BlockingError`], when the job did not run or panicked.
///
/// # Panics
/// When it is polled or joined again after it has yielded the result.
///
/// # Cancel safety
/// Safe. The result stays with the handle until a poll returns it.
///
/// # Examples
/// ```
/// # let pool = tulipa_blocking::Pool::default();
/// # futures_lite::future::block_on(async {
/// let (one, two) = (pool.spawn(|| 1), pool.spawn(|| 2));
/// // Both are under way, on two threads if that is of use.
/// assert_eq!(one.await? + two.await?, 3);
/// # Ok::<(), tulipa_blocking::BlockingError>(())
/// # }).unwrap();
/// ```
#[must_use = "a job goes on when its handle is dropped: `drop(handle)` says that you mean it"]
#[doc(alias = "Future")]
#[doc(alias = "wrap_future")]
pub struct BlockingHandle<T> {
    job: Arc<dyn Packet<T>>,
    ticket: Ticket,
    dispatch: Arc<Dispatch>,
}

impl<T> BlockingHandle<T> {
    pub(crate) fn new(
        job: Arc<dyn Packet<T>>,
        ticket: Ticket,
        dispatch: Arc<Dispatch>,
    ) -> BlockingHandle<T> {
        BlockingHandle {
            job,
            ticket,
            dispatch,
        }
    }

    /// Takes the job off the queue, or asks it to stop.
    ///
    /// A queued job never runs: its closure is dropped by this call, and the handle yields
    /// [`Cancelled`](BlockingError::Cancelled). Returns true then, and only then.
    ///
    /// A running job is told through its [`StopToken`](crate::StopToken), if it was spawned with one, and
    /// goes on as long as it likes; the handle yields its result. A finished job is left alone.
    pub fn cancel(&self) -> bool {
        if self.dispatch.cancel(self.ticket) {
            return true;
        }
        if let Some(stop) = self.job.stop_token() {
            stop.stop();
        }
        false
    }

    /// A handle that [cancels](BlockingHandle::cancel) the job when it is dropped.
    ///
    /// # Examples
    /// ```
    /// # let pool = tulipa_blocking::Pool::default();
    /// # futures_lite::future::block_on(async {
    /// // If the future around this line is dropped, the job is not run, if it has not started.
    /// let answer = pool.spawn(|| 42).cancel_on_drop().await?;
    /// # assert_eq!(answer, 42);
    /// # Ok::<(), tulipa_blocking::BlockingError>(())
    /// # }).unwrap();
    /// ```
    pub fn cancel_on_drop(self) -> CancelOnDrop<T> {
        CancelOnDrop { handle: self }
    }

    /// Whether the job has finished, in whatever way.
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.job.slot().is_filled()
    }

    /// Where the job was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.job.spawned_at()
    }

    /// Takes the result if the job has finished. Never waits.
    ///
    /// # Errors
    /// [`BlockingError`], when the job did not run or panicked.
    ///
    /// # Panics
    /// When the result was taken before.
    pub fn try_join(&mut self) -> Option<Result<T, BlockingError>> {
        self.job.slot().try_take()
    }

    /// Blocks the thread until the job has finished. For threads without a loop; a task awaits the handle.
    ///
    /// # Errors
    /// [`BlockingError`], when the job did not run or panicked.
    ///
    /// # Panics
    /// Inside a task: the thread that would wait is the one that runs the loop. And when the result
    /// was taken before.
    #[track_caller]
    pub fn join(mut self) -> Result<T, BlockingError> {
        let result = self.join_until(None);
        result.expect("without a deadline it waits for the result")
    }

    /// Blocks the thread until the job has finished, or for `timeout`, and then returns `None`.
    ///
    /// A timeout too long to represent means 'for ever'. The job goes on, and the handle can be used again.
    ///
    /// # Errors
    /// [`BlockingError`], when the job did not run or panicked.
    ///
    /// # Panics
    /// Inside a task: the thread that would wait is the one that runs the loop. And when the result
    /// was taken before.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # let pool = tulipa_blocking::Pool::default();
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let mut job = pool.spawn(move || receive.recv());
    /// assert!(job.join_timeout(Duration::from_millis(1)).is_none());
    /// send.send("go").unwrap();
    /// assert_eq!(job.join().unwrap(), Ok("go"));
    /// ```
    #[track_caller]
    pub fn join_timeout(&mut self, timeout: Duration) -> Option<Result<T, BlockingError>> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.join_until(Some(deadline)),
            None => self.join_until(None),
        }
    }

    #[track_caller]
    fn join_until(&mut self, deadline: Option<Instant>) -> Option<Result<T, BlockingError>> {
        assert!(
            tulipa_base::current::task_id().is_none(),
            "joining a blocking job would stop the event loop that runs this task: \
             await the handle instead"
        );
        let parker = Parker::new();
        let waker = Waker::from(Arc::new(parker.unparker()));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = self.job.slot().poll(&mut cx) {
                return Some(result);
            }
            let Some(deadline) = deadline else {
                parker.park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            parker.park_timeout(left);
        }
    }
}

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}

impl<T> Future for BlockingHandle<T> {
    type Output = Result<T, BlockingError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.job.slot().poll(cx)
    }
}

impl<T> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        let leftover = self.job.slot().detach();
        let (reporter, spawned_at) = (&self.dispatch.reporter, self.job.spawned_at());
        reporter.drop_contained(leftover.waker, spawned_at);
        if let Some(result) = leftover.result {
            reporter.discard(result, spawned_at);
        }
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle")
            .field("spawned_at", &format_args!("{}", self.spawned_at()))
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// A handle that cancels its job when it is dropped. See [`BlockingHandle::cancel_on_drop`].
///
/// # Cancel safety
/// Dropping it is what cancels the job.
#[derive(Debug)]
#[must_use = "dropping it at once cancels the job at once"]
pub struct CancelOnDrop<T> {
    handle: BlockingHandle<T>,
}

impl<T> CancelOnDrop<T> {
    /// The handle inside.
    pub fn handle(&self) -> &BlockingHandle<T> {
        &self.handle
    }
}

impl<T> Future for CancelOnDrop<T> {
    type Output = Result<T, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx)
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}
