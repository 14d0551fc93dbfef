//! What went wrong in a group.

use std::any::Any;
use std::fmt;
use std::panic::Location;

use tulipa_base::TaskId;

use crate::report::panic_message;

/// A group did not succeed: members of it failed, or it was cancelled before its body had a value.
///
/// It holds every failure, in the order in which they happened; the first one is what made the group end.
#[doc(alias = "ExceptionGroup")]
pub struct GroupError<E> {
    failures: Vec<Failure<E>>,
}

impl<E> GroupError<E> {
    pub(crate) fn new(failures: Vec<Failure<E>>) -> GroupError<E> {
        GroupError { failures }
    }

    /// The failure that made the group end; `None` when it was only cancelled.
    pub fn first(&self) -> Option<&Failure<E>> {
        self.failures.first()
    }

    /// All failures, in the order in which they happened.
    #[doc(alias = "exceptions")]
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// All failures, in the order in which they happened.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// Whether nothing failed: the group was cancelled, with `cancel`, before its body had a value.
    pub fn is_cancelled(&self) -> bool {
        self.failures.is_empty()
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.failures {
            [] => f.write_str("the group was cancelled"),
            [only] => write!(f, "{only}"),
            [first, others @ ..] => {
                write!(f, "{first}; and {} more: ", others.len())?;
                for (index, other) in others.iter().enumerate() {
                    write!(f, "{}{other}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupError")
            .field("failures", &self.failures)
            .finish()
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for GroupError<E> {}

/// One failure in a group, and where it comes from.
pub struct Failure<E> {
    member: Option<Member>,
    cause: FailureCause<E>,
}

struct Member {
    id: TaskId,
    name: Option<Box<str>>,
    spawned_at: &'static Location<'static>,
}

/// What a member of a group failed with.
#[non_exhaustive]
pub enum FailureCause<E> {
    /// It returned an error.
    Error(E),
    /// It panicked; the payload is fit for [`std::panic::resume_unwind`].
    Panicked(Box<dyn Any + Send>),
}

impl<E> Failure<E> {
    pub(crate) fn of_body(error: E) -> Failure<E> {
        Failure {
            member: None,
            cause: FailureCause::Error(error),
        }
    }

    pub(crate) fn of_member(task: &crate::task::Task, cause: FailureCause<E>) -> Failure<E> {
        Failure {
            member: Some(Member {
                id: task.id(),
                name: task.name().map(String::into_boxed_str),
                spawned_at: task.spawned_at(),
            }),
            cause,
        }
    }

    /// The member's id; `None` for the group's body.
    pub fn id(&self) -> Option<TaskId> {
        self.member.as_ref().map(|member| member.id)
    }

    /// The member's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.member.as_ref()?.name.as_deref()
    }

    /// Where the member was spawned; `None` for the group's body.
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.member.as_ref().map(|member| member.spawned_at)
    }

    /// What it failed with.
    pub fn cause(&self) -> &FailureCause<E> {
        &self.cause
    }

    /// What it failed with.
    pub fn into_cause(self) -> FailureCause<E> {
        self.cause
    }

    /// The error it returned, if that is how it failed.
    pub fn error(&self) -> Option<&E> {
        match &self.cause {
            FailureCause::Error(error) => Some(error),
            FailureCause::Panicked(_) => None,
        }
    }

    /// The text of its panic, if that is how it failed.
    pub fn panic_message(&self) -> Option<&str> {
        match &self.cause {
            FailureCause::Error(_) => None,
            FailureCause::Panicked(payload) => Some(panic_message(&**payload)),
        }
    }

    fn write_member(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(member) = &self.member else {
            return f.write_str("the group's body");
        };
        write!(f, "task {} ", member.id)?;
        if let Some(name) = &member.name {
            write!(f, "'{name}' ")?;
        }
        write!(f, "spawned at {}", member.spawned_at)
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_member(f)?;
        match &self.cause {
            FailureCause::Error(error) => write!(f, " failed: {error}"),
            FailureCause::Panicked(payload) => {
                write!(f, " panicked: {}", panic_message(&**payload))
            }
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_member(f)?;
        write!(f, " {:?}", self.cause)
    }
}

impl<E: fmt::Debug> fmt::Debug for FailureCause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureCause::Error(error) => f.debug_tuple("Error").field(error).finish(),
            FailureCause::Panicked(payload) => {
                let message = panic_message(&**payload);
                f.debug_tuple("Panicked").field(&message).finish()
            }
        }
    }
}
