//! How a run ends before what it was started for, and what one turn leads to.

use std::fmt;
use std::io;

use crate::task::JoinHandle;

/// What one turn of the loop led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a loop that was stopped is not to be turned on"]
pub enum Turn {
    /// The loop goes on.
    Continue,
    /// [`LoopRef::stop`](crate::LoopRef::stop) was called, before or during this turn.
    Stopped,
}

/// A run ended before its task was complete. The task stays in the loop, and goes on in later runs.
///
/// Why it ended: the loop was [stopped](crate::LoopRef::stop); or the operating system refused to wait,
/// and there is an [`io_error`](Stopped::io_error); or the task was cancelled, and its handle says so.
#[must_use = "the task in it goes on when it is dropped, and nobody waits for its value any more"]
pub struct Stopped<T> {
    task: JoinHandle<T>,
    error: Option<io::Error>,
}

impl<T> Stopped<T> {
    pub(crate) fn new(task: JoinHandle<T>, error: Option<io::Error>) -> Stopped<T> {
        Stopped { task, error }
    }

    /// The handle of the task: a later run may await it.
    pub fn into_task(self) -> JoinHandle<T> {
        self.task
    }

    /// The handle of the task.
    pub fn task(&self) -> &JoinHandle<T> {
        &self.task
    }

    /// What the operating system said, if that ended the run.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }
}

impl<T> fmt::Display for Stopped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "the event loop could not wait: {error}"),
            None if self.task.is_finished() => f.write_str("the task was cancelled"),
            None => f.write_str("the event loop was stopped before the task was complete"),
        }
    }
}

impl<T> fmt::Debug for Stopped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped")
            .field("task", &self.task)
            .field("error", &self.error)
            .finish()
    }
}

impl<T> std::error::Error for Stopped<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

/// A run of a borrowed future was stopped before that was complete. The future is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedEarly {
    pub(crate) _private: (),
}

impl fmt::Display for StoppedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the event loop was stopped before the future was complete: use \
             EventLoop::run_until_complete, which keeps it, or run_forever",
        )
    }
}

impl std::error::Error for StoppedEarly {}
