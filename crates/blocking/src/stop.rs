//! The stop token: asks a running job to end early, which it does when it likes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::shim::{AtomicBool, Condvar, Mutex, Ordering};

/// Tells a job that its result is not wanted any more. See [`Pool::spawn_with_stop`].
///
/// It is set when the job's handle is cancelled and when the pool is closed, and never unset. A thread
/// cannot be stopped from outside, so a job that may take long should look at it.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use std::time::Duration;
/// use tulipa_blocking::{Pool, StopToken};
///
/// /// Looks for a file ten times a second, until it is there or not wanted any more.
/// fn appears(path: &Path, stop: &StopToken) -> bool {
///     while !path.exists() {
///         if stop.wait_timeout(Duration::from_millis(100)) {
///             return false;
///         }
///     }
///     true
/// }
///
/// let pool = Pool::default();
/// let job = pool.spawn_with_stop(|stop| appears(Path::new("Cargo.toml"), &stop));
/// assert!(job.join().unwrap());
/// ```
///
/// [`Pool::spawn_with_stop`]: crate::Pool::spawn_with_stop
#[derive(Clone)]
#[doc(alias = "CancellationToken")]
pub struct StopToken {
    inner: Arc<Inner>,
}

struct Inner {
    is_stopped: AtomicBool,
    /// Held while the flag is set, so that a waiter cannot miss it between its look and its wait.
    lock: Mutex<()>,
    changed: Condvar,
}

impl StopToken {
    pub(crate) fn new() -> StopToken {
        StopToken {
            inner: Arc::new(Inner {
                is_stopped: AtomicBool::new(false),
                lock: Mutex::new(()),
                changed: Condvar::new(),
            }),
        }
    }

    /// Whether the job should end. Costs one atomic load, so that inner loops can ask.
    pub fn is_stopped(&self) -> bool {
        self.inner.is_stopped.load(Ordering::Acquire)
    }

    /// Blocks the thread until the job should end, or for `timeout`. Returns whether it should end.
    ///
    /// A sleep that can be interrupted. A timeout too long to represent means 'for ever'.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        if self.is_stopped() {
            return true;
        }
        let deadline = Instant::now().checked_add(timeout);
        let mut guard = self.inner.lock.lock();
        while !self.is_stopped() {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            guard = self.inner.changed.wait_until(guard, deadline);
        }
        true
    }

    /// Sets it.
    pub(crate) fn stop(&self) {
        {
            let _guard = self.inner.lock.lock();
            // Release, so that what was done before the stop is seen by the job that reads it.
            self.inner.is_stopped.store(true, Ordering::Release);
        }
        self.inner.changed.notify_all();
    }
}

impl fmt::Debug for StopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopToken")
            .field("is_stopped", &self.is_stopped())
            .finish()
    }
}
