//! Why a job has no value to give.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::report::panic_message;

/// The job has no value. Its text names the place where the job was spawned.
///
/// As an [`io::Error`] it is of kind `Other`, with this error inside.
///
/// # Examples
/// ```
/// use tulipa_blocking::{BlockingError, Pool};
///
/// let pool = Pool::default();
/// let error = pool.spawn(|| -> u32 { panic!("no such luck") }).join().unwrap_err();
/// assert!(error.is_panic());
/// assert!(error.to_string().ends_with("panicked: no such luck"));
/// assert_eq!(error.spawned_at().file(), file!());
/// # assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Other);
/// ```
#[non_exhaustive]
pub enum BlockingError {
    /// The job was taken off the queue before it started: by its handle, or because the pool was closed.
    #[non_exhaustive]
    Cancelled {
        /// Where the job was spawned.
        spawned_at: &'static Location<'static>,
    },
    /// The job panicked.
    Panicked(JobPanic),
    /// The system refused a thread, and the pool had no other one. The job did not run.
    #[non_exhaustive]
    ThreadSpawn {
        /// What the system said.
        error: io::Error,
        /// Where the job was spawned.
        spawned_at: &'static Location<'static>,
    },
    /// The pool was closed already when the job was spawned. The job did not run.
    #[non_exhaustive]
    PoolClosed {
        /// Where the job was spawned.
        spawned_at: &'static Location<'static>,
    },
}

impl BlockingError {
    /// Where the job was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        match self {
            BlockingError::Cancelled { spawned_at }
            | BlockingError::ThreadSpawn { spawned_at, .. }
            | BlockingError::PoolClosed { spawned_at } => spawned_at,
            BlockingError::Panicked(panic) => panic.spawned_at,
        }
    }

    /// Whether the job was taken off the queue before it started.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, BlockingError::Cancelled { .. })
    }

    /// Whether the job panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, BlockingError::Panicked(_))
    }

    /// The payload of the job's panic, fit for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    /// The error itself, when the job did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, BlockingError> {
        match self {
            BlockingError::Panicked(panic) => Ok(panic.into_payload()),
            error => Err(error),
        }
    }
}

impl fmt::Display for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocking job spawned at {} ", self.spawned_at())?;
        match self {
            BlockingError::Cancelled { .. } => f.write_str("was cancelled before it started"),
            BlockingError::Panicked(panic) => write!(f, "panicked: {}", panic.message),
            // Also in this text, because most programs print one line only. For the same reason it is
            // not the error's `source`: those that print the chain would show it twice.
            BlockingError::ThreadSpawn { error, .. } => write!(f, "found no thread: {error}"),
            BlockingError::PoolClosed { .. } => f.write_str("found the pool closed"),
        }
    }
}

impl fmt::Debug for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockingError({self})")
    }
}

impl std::error::Error for BlockingError {}

impl From<BlockingError> for io::Error {
    /// The kind is always `Other`: what the system says when it refuses a thread is `WouldBlock`, which
    /// on a socket's path would be taken for something else.
    fn from(error: BlockingError) -> io::Error {
        io::Error::other(error)
    }
}

/// The panic of a job.
pub struct JobPanic {
    message: Box<str>,
    /// In a mutex, which is never locked, so that the error is `Sync`, as `Box<dyn Error>` and
    /// `io::Error` ask for.
    payload: Mutex<Box<dyn Any + Send + 'static>>,
    spawned_at: &'static Location<'static>,
}

impl JobPanic {
    pub(crate) fn new(
        payload: Box<dyn Any + Send + 'static>,
        spawned_at: &'static Location<'static>,
    ) -> JobPanic {
        JobPanic {
            message: panic_message(&*payload).into(),
            payload: Mutex::new(payload),
            spawned_at,
        }
    }

    /// The panic's text. A payload that is not text reads as `(a value that is not text)`.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where the job was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// The payload, fit for [`std::panic::resume_unwind`].
    pub fn into_payload(self) -> Box<dyn Any + Send + 'static> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for JobPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobPanic")
            .field("message", &self.message)
            .field("spawned_at", &format_args!("{}", self.spawned_at))
            .finish_non_exhaustive()
    }
}
