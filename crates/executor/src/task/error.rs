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
    id: TaskId,
    spawned_at: &'static Location<'static>,
    kind: Kind,
    /// Out of line, so that a result is small to move, and most cancelled tasks have none.
    details: Option<Box<Details>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cancelled,
    Deadlock,
    Failed,
    Panicked,
}

#[derive(Default)]
struct Details {
    name: Option<Box<str>>,
    /// Of a task that was cancelled.
    reason: CancelReason,
    panic: Option<PanicDetails>,
}

struct PanicDetails {
    message: Box<str>,
    /// In a mutex, which is never locked, so that the error is `Sync`, as `Box<dyn Error>` and
    /// `io::Error` ask for.
    payload: Mutex<Panic>,
}

impl PanicDetails {
    fn new(payload: Panic) -> PanicDetails {
        PanicDetails {
            message: panic_message(&*payload).into(),
            payload: Mutex::new(payload),
        }
    }
}

impl JoinError {
    pub(crate) fn cancelled(task: TaskRef) -> JoinError {
        JoinError::new(task, Kind::Cancelled)
    }

    #[cold]
    pub(crate) fn deadlock(task: TaskRef) -> JoinError {
        JoinError::new(task, Kind::Deadlock)
    }

    pub(crate) fn panicked(task: TaskRef, payload: Panic) -> JoinError {
        let mut error = JoinError::new(task, Kind::Panicked);
        error.details.get_or_insert_default().panic = Some(PanicDetails::new(payload));
        error
    }

    /// Of a group's child, whose error the group has.
    #[cold]
    pub(crate) fn failed<T>(handle: &JoinHandle<T>) -> JoinError {
        JoinError::new(handle.task_ref(), Kind::Failed)
    }

    /// Of a task that another thread has sent.
    pub(crate) fn sent_cancelled(id: TaskId, spawned_at: &'static Location<'static>) -> JoinError {
        JoinError {
            id,
            spawned_at,
            kind: Kind::Cancelled,
            details: None,
        }
    }

    /// Of a task that another thread has sent.
    pub(crate) fn sent_panicked(
        id: TaskId,
        spawned_at: &'static Location<'static>,
        payload: Panic,
    ) -> JoinError {
        JoinError {
            id,
            spawned_at,
            kind: Kind::Panicked,
            details: Some(Box::new(Details {
                panic: Some(PanicDetails::new(payload)),
                ..Details::default()
            })),
        }
    }

    fn new(task: TaskRef, kind: Kind) -> JoinError {
        let header = task.header();
        let details = header.has_extras().then(|| {
            let reason = match kind {
                Kind::Cancelled => task.cancel_reason(),
                _ => CancelReason::Requested,
            };
            Box::new(Details {
                name: header.with_name(|name| name.map(Box::from)),
                reason,
                panic: None,
            })
        });
        JoinError {
            id: header.id,
            spawned_at: header.spawned_at,
            kind,
            details,
        }
    }

    fn panic(&self) -> Option<&PanicDetails> {
        self.details.as_ref()?.panic.as_ref()
    }

    /// The id of the task.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The task's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.details.as_ref()?.name.as_deref()
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// Whether the task was cancelled or aborted, or its loop closed, before it had a value.
    pub fn is_cancelled(&self) -> bool {
        self.kind == Kind::Cancelled
    }

    /// Why the task was cancelled, if it was.
    pub fn reason(&self) -> Option<&CancelReason> {
        static PLAIN: CancelReason = CancelReason::Requested;
        let reason = self.details.as_ref().map_or(&PLAIN, |it| &it.reason);
        self.is_cancelled().then_some(reason)
    }

    /// Whether a task awaited itself, which would never have ended.
    pub fn is_deadlock(&self) -> bool {
        self.kind == Kind::Deadlock
    }

    /// Whether the task is a child of a group that failed or panicked: the group has its error.
    pub fn is_failed(&self) -> bool {
        self.kind == Kind::Failed
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        self.kind == Kind::Panicked
    }

    /// The text of the task's panic, if that is why. A payload that is not text reads as
    /// `(a value that is not text)`.
    pub fn panic_message(&self) -> Option<&str> {
        self.panic().map(|panic| &*panic.message)
    }

    /// The payload of the task's panic, fit for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    /// The error itself, when the task did not panic.
    pub fn try_into_panic(mut self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        let panic = self.details.as_mut().and_then(|it| it.panic.take());
        match panic.map(|panic| panic.payload.into_inner()) {
            Some(payload) => Ok(payload.unwrap_or_else(PoisonError::into_inner)),
            None => Err(self),
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
        write!(f, "task {} ", self.id)?;
        if let Some(name) = self.name() {
            write!(f, "'{name}' ")?;
        }
        write!(f, "spawned at {} ", self.spawned_at)?;
        match self.kind {
            Kind::Cancelled => match self.reason() {
                None | Some(CancelReason::Requested) => f.write_str("was cancelled"),
                Some(reason) => write!(f, "was cancelled: {reason}"),
            },
            Kind::Failed => f.write_str("failed, and its group has the error"),
            Kind::Deadlock => f.write_str("was awaited by itself, and would never have ended"),
            Kind::Panicked => {
                let message = self.panic_message().unwrap_or_default();
                write!(f, "panicked: {message}")
            }
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
