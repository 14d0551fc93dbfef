//! The pool: takes jobs, shows how many there are, and ends.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::config::Config;
use crate::dispatch::{Dispatch, Ticket};
use crate::handle::BlockingHandle;
use crate::job::Job;
use crate::stop::StopToken;
use crate::thread::{StartThread, System};

/// A bounded pool of threads for work that blocks.
///
/// A cheap handle: clones share the threads. Jobs start in the order in which they were spawned. A thread is
/// started for a job while none is idle and the cap is not reached; idle threads end after a while.
/// The queue has no bound: what spawns without awaiting should look at [`queued`](Pool::queued).
///
/// When the last clone is dropped, the jobs that are queued or running go on, as if their handles had
/// been dropped, and the threads end after them. To end them sooner, [`shutdown`](Pool::shutdown).
///
/// # Examples
/// ```
/// use tulipa_blocking::Pool;
///
/// let pool = Pool::default();
/// # futures_lite::future::block_on(async {
/// let sum = pool.spawn(|| (1..=10).sum::<u32>()).await?;
/// assert_eq!(sum, 55);
/// # Ok::<(), tulipa_blocking::BlockingError>(())
/// # }).unwrap();
/// ```
///
/// # References
/// `concurrent.futures.ThreadPoolExecutor`, as asyncio uses it.
#[derive(Clone)]
#[doc(alias = "ThreadPoolExecutor")]
pub struct Pool {
    owner: Arc<Owner>,
}

/// Dropped with the last clone; threads and handles hold the dispatch only.
struct Owner {
    dispatch: Arc<Dispatch>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.dispatch.orphan();
    }
}

impl Pool {
    /// A pool without threads: the first is started by the first job.
    ///
    /// # Panics
    /// When `config.max_threads` is zero.
    #[track_caller]
    pub fn new(config: Config) -> Pool {
        Pool::with_starter(config, Box::new(System))
    }

    #[track_caller]
    pub(crate) fn with_starter(config: Config, starter: Box<dyn StartThread>) -> Pool {
        Pool {
            owner: Arc::new(Owner {
                dispatch: Arc::new(Dispatch::new(config, starter)),
            }),
        }
    }

    /// Queues `f` to run on one of the threads.
    ///
    /// The job goes on when the handle is dropped. Never fails by itself: the handle tells.
    ///
    /// # Errors
    /// The handle yields
    /// - [`PoolClosed`](crate::BlockingError::PoolClosed): the pool was closed before.
    /// - [`ThreadSpawn`](crate::BlockingError::ThreadSpawn): the pool has no thread, and the system gives
    ///   none. If it has some, the job waits for them.
    /// - [`Cancelled`](crate::BlockingError::Cancelled): the job was cancelled, or the pool closed, before
    ///   it started.
    /// - [`Panicked`](crate::BlockingError::Panicked): the job panicked.
    ///
    /// Where the job does not run, `f` is dropped, by this call if it is known by then.
    ///
    /// # Examples
    /// ```
    /// # let pool = tulipa_blocking::Pool::default();
    /// let manifest = pool.spawn(|| std::fs::read_to_string("Cargo.toml"));
    /// assert!(manifest.join().unwrap().unwrap().contains("[package]"));
    /// ```
    #[track_caller]
    #[doc(alias = "run_in_executor")]
    #[doc(alias = "to_thread")]
    #[doc(alias = "unblock")]
    #[doc(alias = "spawn_blocking")]
    pub fn spawn<F, T>(&self, f: F) -> BlockingHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.submit(Job::new(f, None, Location::caller()))
    }

    /// Queues `f` like [`spawn`](Pool::spawn), with a token that tells it when to end early.
    ///
    /// # Errors
    /// As for [`spawn`](Pool::spawn).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # let pool = tulipa_blocking::Pool::default();
    /// let (started, has_started) = std::sync::mpsc::channel();
    /// let job = pool.spawn_with_stop(move |stop| {
    ///     started.send(()).unwrap();
    ///     while !stop.wait_timeout(Duration::from_secs(60)) {
    ///         // Once a minute.
    ///     }
    ///     "stopped"
    /// });
    /// has_started.recv().unwrap();
    /// assert!(!job.cancel(), "it runs already, so it is asked to stop");
    /// assert_eq!(job.join().unwrap(), "stopped");
    /// ```
    #[track_caller]
    pub fn spawn_with_stop<F, T>(&self, f: F) -> BlockingHandle<T>
    where
        F: FnOnce(StopToken) -> T + Send + 'static,
        T: Send + 'static,
    {
        let stop = StopToken::new();
        let given = stop.clone();
        self.submit(Job::new(move || f(given), Some(stop), Location::caller()))
    }

    fn submit<F, T>(&self, job: Job<F, T>) -> BlockingHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let dispatch = &self.owner.dispatch;
        let job = Arc::new(job);
        let ticket = dispatch.submit(job.clone());
        BlockingHandle::new(job, ticket, dispatch.clone())
    }

    /// How many jobs wait for a thread.
    pub fn queued(&self) -> usize {
        self.owner.dispatch.counts().queued
    }

    /// How many jobs run.
    pub fn running(&self) -> usize {
        self.owner.dispatch.counts().running
    }

    /// How many threads there are, busy and idle.
    pub fn threads(&self) -> usize {
        self.owner.dispatch.counts().threads
    }

    /// How many threads wait for work.
    pub fn idle(&self) -> usize {
        self.owner.dispatch.counts().idle
    }

    /// Whether new jobs are refused.
    pub fn is_closed(&self) -> bool {
        self.owner.dispatch.counts().is_closed
    }

    /// Begins to end the pool, without waiting: refuses new jobs, takes the queued ones off the queue, tells
    /// the running ones to stop, and lets idle threads end.
    ///
    /// The closures of queued jobs are dropped by this call. Closing twice does nothing more.
    ///
    /// # Examples
    /// A loop's thread closes the pool, waits for it beside its other work, and then collects the threads:
    /// ```
    /// use std::time::Duration;
    ///
    /// # let pool = tulipa_blocking::Pool::default();
    /// pool.close();
    /// # futures_lite::future::block_on(async {
    /// pool.wait_idle().await; // under a timeout, in a real program
    /// # });
    /// let outcome = pool.shutdown(Duration::ZERO);
    /// assert!(outcome.abandoned.is_empty());
    /// ```
    pub fn close(&self) {
        self.owner.dispatch.close();
    }

    /// Waits until nothing is queued and no job runs.
    ///
    /// While the pool is open this may change again at once; after [`close`](Pool::close) it stays.
    ///
    /// # Cancel safety
    /// Safe. It only looks.
    #[must_use = "futures do nothing unless awaited"]
    pub fn wait_idle(&self) -> WaitIdle {
        WaitIdle {
            dispatch: self.owner.dispatch.clone(),
            place: None,
        }
    }

    /// [Closes](Pool::close) the pool, and blocks until its threads have ended, or for `timeout`.
    ///
    /// Jobs that still run then are abandoned: nothing can end them from outside, and they do not keep the
    /// process from ending. Their handles yield their results if they come. Threads without a job are
    /// joined in any case, because they are on their way out already. A timeout of zero does not wait
    /// for jobs; one too long to represent means 'for ever'. A pool can be shut down again, to wait longer.
    ///
    /// A job of this pool that shuts it down waits for itself, for all of the timeout.
    ///
    /// # Platform notes
    /// To end a thread runs its thread-locals' destructors. One that blocks for ever is not covered by the
    /// timeout.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # let pool = tulipa_blocking::Pool::default();
    /// # let job = pool.spawn(|| 1);
    /// let outcome = pool.shutdown(Duration::from_secs(5));
    /// for job in &outcome.abandoned {
    ///     eprintln!("still runs: {job}");
    /// }
    /// # assert!(outcome.abandoned.is_empty());
    /// ```
    #[doc(alias = "shutdown_default_executor")]
    pub fn shutdown(&self, timeout: Duration) -> ShutdownOutcome {
        self.owner.dispatch.shutdown(timeout)
    }
}

impl Default for Pool {
    #[track_caller]
    fn default() -> Pool {
        Pool::new(Config::default())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.owner.dispatch.counts();
        f.debug_struct("Pool")
            .field("queued", &counts.queued)
            .field("running", &counts.running)
            .field("threads", &counts.threads)
            .field("idle", &counts.idle)
            .field("is_closed", &counts.is_closed)
            .finish()
    }
}

/// What [`Pool::shutdown`] has come to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShutdownOutcome {
    /// How many threads have ended since the pool was closed.
    pub joined: usize,
    /// The jobs that still run, the oldest first.
    pub abandoned: Vec<AbandonedJob>,
}

/// A job that still ran when the time of [`Pool::shutdown`] was up.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AbandonedJob {
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// How long it had been running.
    pub running_for: Duration,
}

impl fmt::Display for AbandonedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "blocking job spawned at {}, running for {:.1?}",
            self.spawned_at, self.running_for
        )
    }
}

/// Waits until a pool has no job. See [`Pool::wait_idle`].
///
/// # Cancel safety
/// Safe. It only looks.
#[must_use = "futures do nothing unless awaited"]
pub struct WaitIdle {
    dispatch: Arc<Dispatch>,
    place: Option<Ticket>,
}

impl Future for WaitIdle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.dispatch.poll_quiet(&mut this.place, cx)
    }
}

impl Drop for WaitIdle {
    fn drop(&mut self) {
        if let Some(ticket) = self.place {
            self.dispatch.forget_quiet_waiter(ticket);
        }
    }
}

impl fmt::Debug for WaitIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitIdle").finish_non_exhaustive()
    }
}
