//! What the executor asks of the outside: wait until something happens, be woken from elsewhere,
//! tell the time.

use std::io;
use std::sync::Arc;

use tulipa_base::Instant;

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: take what has happened and return.
    Poll,
    /// Until something happens, or this instant is reached. Never returns early without a cause, and
    /// as little after the instant as the operating system allows.
    Until(Instant),
    /// Until something happens.
    Forever,
}

/// Waits for the operating system on behalf of an executor.
pub trait Park {
    /// Waits as long as `wait` says, and wakes the wakers of what happened.
    ///
    /// Returns at once when the [unparker](Park::unparker) was used since the last call; such a
    /// call still takes what has happened meanwhile.
    ///
    /// # Errors
    /// What the operating system says, but for interruptions by signals: those end the wait.
    fn park(&mut self, wait: Wait) -> io::Result<()>;

    /// Prepares for a wait that somebody else does, for as long as the answer says: at most `wait`, and not
    /// at all if the [unparker](Park::unparker) was used since the last call of [`Park::park`]. From now
    /// until that is called next, using the unparker ends that wait.
    ///
    /// # Errors
    /// `Unsupported`, when nobody else can wait for this one. What the operating system says.
    fn prepare_wait(&mut self, wait: Wait) -> io::Result<Wait> {
        let _ = wait;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The handle by which any thread ends a wait.
    fn unparker(&self) -> Arc<dyn Unpark>;

    /// The time on the clock that [`Wait::Until`] refers to.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Ends a wait from any thread.
pub trait Unpark: Send + Sync {
    /// Ends the wait in progress, or else the next one. Calls that come before the parked thread
    /// has noticed the first are merged with it.
    fn unpark(&self);
}
