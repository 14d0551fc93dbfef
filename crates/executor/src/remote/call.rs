//! A closure that was sent to a loop, and may be cancelled from anywhere.
//!
//! The closure lies in a cell behind a lock. Whoever takes it out, to run it or to drop it, has it to
//! itself, and does either with the lock released.

use std::fmt;
use std::mem;
use std::panic::Location;
use std::sync::Arc;

use crate::callback::call_soon_on;
use crate::core::CorePtr;
use crate::shim::Mutex;

/// A closure that was sent with [`RemoteHandle::call_soon`](crate::RemoteHandle::call_soon): cancels it
/// from any thread.
///
/// Dropping it changes nothing.
#[derive(Clone)]
pub struct RemoteCall {
    job: Arc<dyn Job>,
    registered_at: &'static Location<'static>,
}

impl RemoteCall {
    /// Drops the closure here, unless it is running or has run.
    ///
    /// When this returns `true`, the closure will not run, and what it held is dropped. The loop looks
    /// once more just before it runs it, so it is never too late until then.
    pub fn cancel(&self) -> bool {
        self.job.cancel()
    }

    /// Whether the closure was dropped without having run.
    pub fn is_cancelled(&self) -> bool {
        self.job.progress() == Progress::Cancelled
    }

    /// Whether nothing will come of it any more: it has run (or at least begun to), or was cancelled.
    pub fn is_finished(&self) -> bool {
        self.job.progress() != Progress::Waiting
    }

    /// Where it was sent from.
    pub fn registered_at(&self) -> &'static Location<'static> {
        self.registered_at
    }
}

impl fmt::Debug for RemoteCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCall")
            .field("registered_at", &format_args!("{}", self.registered_at))
            .field("progress", &self.job.progress())
            .finish()
    }
}

/// Such a closure on its way to the loop. Dropped, it is cancelled.
pub(crate) struct RemoteCallMessage {
    job: CancelOnDrop,
    registered_at: &'static Location<'static>,
}

impl RemoteCallMessage {
    pub(super) fn new(
        callback: impl FnOnce() + Send + 'static,
        registered_at: &'static Location<'static>,
    ) -> (RemoteCallMessage, RemoteCall) {
        let job: Arc<dyn Job> = Arc::new(JobCell(Mutex::new(State::Waiting(callback))));
        let message = RemoteCallMessage {
            job: CancelOnDrop(Arc::clone(&job)),
            registered_at,
        };
        (message, RemoteCall { job, registered_at })
    }

    /// Puts it into the ready queue. Owner thread only.
    pub(crate) fn deliver(self, core: CorePtr) {
        let RemoteCallMessage { job, registered_at } = self;
        drop(call_soon_on(core, move || job.0.run(), registered_at));
        core.get().tell_host();
    }
}

/// Others may keep the job; without the loop's part in it the closure has nothing to wait for.
struct CancelOnDrop(Arc<dyn Job>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

trait Job: Send + Sync {
    /// Runs the closure, unless it is gone.
    fn run(&self);
    /// Drops the closure, unless it is gone; says whether it did.
    fn cancel(&self) -> bool;
    fn progress(&self) -> Progress;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    Called,
    Cancelled,
}

struct JobCell<F>(Mutex<State<F>>);

enum State<F> {
    Waiting(F),
    Called,
    Cancelled,
}

impl<F> JobCell<F> {
    /// Takes the closure, if it is there, and says what became of it.
    fn take(&self, after: State<F>) -> Option<F> {
        let mut state = self.0.lock();
        match &*state {
            State::Waiting(_) => match mem::replace(&mut *state, after) {
                State::Waiting(callback) => Some(callback),
                State::Called | State::Cancelled => None,
            },
            State::Called | State::Cancelled => None,
        }
    }
}

impl<F: FnOnce() + Send> Job for JobCell<F> {
    fn run(&self) {
        if let Some(callback) = self.take(State::Called) {
            callback();
        }
    }

    fn cancel(&self) -> bool {
        let callback = self.take(State::Cancelled);
        let is_cancelled = callback.is_some();
        drop(callback);
        is_cancelled
    }

    fn progress(&self) -> Progress {
        match &*self.0.lock() {
            State::Waiting(_) => Progress::Waiting,
            State::Called => Progress::Called,
            State::Cancelled => Progress::Cancelled,
        }
    }
}
