//! Why a join handle has no value to give.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use tulipa_base::TaskId;

use crate::cancel::CancelReason;
use crate::report::panic_message;
use crate::task::cell::Panic;
use crate::task::header::TaskRef;
use crate::task::join::JoinHandle;

/// The task has no value: it was cancelled, or it panicked.
///
/// That the awaited task was cancelled does not mean that the one that awaits is: it is a value like any other.
#[doc(alias = "CancelledError")]
pub struct JoinError {
    /// Boxed, so that a result costs no more to move than its value.
    inner: Box<Inner>,
}

struct Inner {
    id: TaskId,
    name: Option<Box<str>>,
    spawned_at: &'static Location<'static>,
    cause: Cause,
}

enum Cause {
    Cancelled {
        reason: CancelReason,
    },
    Deadlock,
    Failed,
    Panicked {
        message: Box<str>,
        /// In a mutex, which is never locked, so that the error is `Sync`, as `Box<dyn Error>` and
        /// `io::Error` ask for.
        payload: Mutex<Panic>,
    },
}

impl JoinError {
    pub(crate) fn cancelled(task: TaskRef) -> JoinError {
        let reason = task.cancel_reason();
        JoinError::new(task, Cause::Cancelled { reason })
    }

    #[cold]
    pub(crate) fn deadlock(task: TaskRef) -> JoinError {
        JoinError::new(task, Cause::Deadlock)
    }

    pub(crate) fn panicked(task: TaskRef, payload: Panic) -> JoinError {
        let message = panic_message(&*payload).into();
        JoinError::new(
            task,
            Cause::Panicked {
                message,
                payload: Mutex::new(payload),
            },
        )
    }

    /// Of a group's child, whose error the group has.
    #[cold]
    pub(crate) fn failed<T>(handle: &JoinHandle<T>) -> JoinError {
        JoinError::new(handle.task_ref(), Cause::Failed)
    }

    /// Of a task that another thread has sent.
    pub(crate) fn sent_cancelled(id: TaskId, spawned_at: &'static Location<'static>) -> JoinError {
        JoinError::of(Inner {
            id,
            name: None,
            spawned_at,
            cause: Cause::Cancelled {
                reason: CancelReason::Requested,
            },
        })
    }

    /// Of a task that another thread has sent.
    pub(crate) fn sent_panicked(
        id: TaskId,
        spawned_at: &'static Location<'static>,
        payload: Panic,
    ) -> JoinError {
        let message = panic_message(&*payload).into();
        JoinError::of(Inner {
            id,
            name: None,
            spawned_at,
            cause: Cause::Panicked {
                message,
                payload: Mutex::new(payload),
            },
        })
    }

    fn new(task: TaskRef, cause: Cause) -> JoinError {
        let header = task.header();
        let name = header.with_name(|name| name.map(Box::from));
        JoinError::of(Inner {
            id: header.id,
            name,
            spawned_at: header.spawned_at,
            cause,
        })
    }

    #[cold]
    fn of(inner: Inner) -> JoinError {
        JoinError {
            inner: Box::new(inner),
        }
    }

    /// The id of the task.
    pub fn id(&self) -> TaskId {
        self.inner.id
    }

    /// The task's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.inner.spawned_at
    }

    /// Whether the task was cancelled or aborted, or its loop closed, before it had a value.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.inner.cause, Cause::Cancelled { .. })
    }

    /// Why the task was cancelled, if it was.
    pub fn reason(&self) -> Option<&CancelReason> {
        match &self.inner.cause {
            Cause::Cancelled { reason } => Some(reason),
            _ => None,
        }
    }

    /// Whether a task awaited itself, which would never have ended.
    pub fn is_deadlock(&self) -> bool {
        matches!(self.inner.cause, Cause::Deadlock)
    }

    /// Whether the task is a child of a group that failed or panicked: the group has its error.
    pub fn is_failed(&self) -> bool {
        matches!(self.inner.cause, Cause::Failed)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.inner.cause, Cause::Panicked { .. })
    }

    /// The text of the task's panic, if that is why. A payload that is not text reads as
    /// `(a value that is not text)`.
    pub fn panic_message(&self) -> Option<&str> {
        match &self.inner.cause {
            Cause::Panicked { message, .. } => Some(message),
            _ => None,
        }
    }

    /// The payload of the task's panic, fit for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    /// The error itself, when the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        match self.inner.cause {
            Cause::Panicked { payload, .. } => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            _ => Err(self),
        }
    }

    /// The payload of the task's panic, fit for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// When the task did not panic; [`try_into_panic`](JoinError::try_into_panic) tells.
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("JoinError::into_panic on a task that did not panic: {error}"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ", self.inner.id)?;
        if let Some(name) = &self.inner.name {
            write!(f, "'{name}' ")?;
        }
        write!(f, "spawned at {} ", self.inner.spawned_at)?;
        match &self.inner.cause {
            Cause::Cancelled { reason } if *reason == CancelReason::Requested => {
                f.write_str("was cancelled")
            }
            Cause::Cancelled { reason } => write!(f, "was cancelled: {reason}"),
            Cause::Failed => f.write_str("failed, and its group has the error"),
            Cause::Deadlock => f.write_str("was awaited by itself, and would never have ended"),
            Cause::Panicked { message, .. } => write!(f, "panicked: {message}"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}
