//! What can go wrong with a queue.

use std::error::Error;
use std::fmt;

/// The queue is shut down: nothing can be put any more, or there is nothing left to get.
///
/// Whoever has put gets the item back.
///
/// # References
/// `asyncio.QueueShutDown`.
#[doc(alias = "QueueShutDown")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShutDown<T = ()>(pub T);

impl<T> ShutDown<T> {
    /// The item that was not put.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for ShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutDown").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for ShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is shut down")
    }
}

impl<T> Error for ShutDown<T> {}

/// Why an item was not put. It is inside.
///
/// # References
/// `asyncio.QueueFull`.
#[doc(alias = "QueueFull")]
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryPutError<T> {
    /// There is no room for it.
    Full(T),
    /// The queue is shut down.
    ShutDown(T),
}

impl<T> TryPutError<T> {
    /// The item that was not put.
    pub fn into_inner(self) -> T {
        match self {
            TryPutError::Full(item) | TryPutError::ShutDown(item) => item,
        }
    }

    /// Whether there was no room: there may be later.
    pub fn is_full(&self) -> bool {
        matches!(self, TryPutError::Full(_))
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPutError::Full(_) => "Full(..)",
            TryPutError::ShutDown(_) => "ShutDown(..)",
        })
    }
}

impl<T> fmt::Display for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPutError::Full(_) => "try_put: the queue is full",
            TryPutError::ShutDown(_) => "try_put: the queue is shut down",
        })
    }
}

impl<T> Error for TryPutError<T> {}

/// Why there is no item.
///
/// # References
/// `asyncio.QueueEmpty`.
#[doc(alias = "QueueEmpty")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryGetError {
    /// The queue is empty.
    Empty,
    /// The queue is shut down, and empty.
    ShutDown,
}

impl fmt::Display for TryGetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryGetError::Empty => "try_get: the queue is empty",
            TryGetError::ShutDown => "try_get: the queue is shut down",
        })
    }
}

impl Error for TryGetError {}

/// More items were reported as done than were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyTaskDone(pub(crate) ());

impl fmt::Display for TooManyTaskDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task_done: called more often than items were put")
    }
}

impl Error for TooManyTaskDone {}
