//! What follows from a panic that nobody else looks at.

use std::cell::RefCell;
use std::fmt;

use tulipa_base::TaskId;

use crate::report::ExceptionContext;
use crate::shim::Cell;

/// What a loop does about a panic that nobody else looks at, after its exception handler was told: in a task
/// whose handle is gone, in a destructor, in a waker.
///
/// A panic that reaches a join handle is not one of these, nor is one of the main future, which goes
/// on in whoever called `run`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "UnhandledPanic")]
pub enum PanicPolicy {
    /// Nothing more: the loop goes on. A server that loses a connection to a bug serves the others.
    #[default]
    Report,
    /// The run ends, with an [`UnhandledPanic`], when what was ready in this turn has run: also if the main
    /// future completes in this very turn.
    ///
    /// The main future is dropped, tasks stay, as after any failed run. A panic that is noticed between two
    /// runs ends the next one before anything is polled. While the loop closes there is no run to end.
    #[doc(alias = "ShutdownRuntime")]
    Shutdown,
    /// The process is [aborted](std::process::abort), without any more destructors.
    Abort,
}

/// A run was ended by a panic that nobody else looked at. See [`PanicPolicy::Shutdown`].
///
/// It is inside the [`io::Error`](std::io::Error) that the run ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnhandledPanic {
    task: Option<TaskId>,
    report: Box<str>,
}

impl UnhandledPanic {
    /// The task that panicked, if it was one.
    pub fn task(&self) -> Option<TaskId> {
        self.task
    }

    /// What the exception handler was told, in words.
    pub fn report(&self) -> &str {
        &self.report
    }
}

impl fmt::Display for UnhandledPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the run was ended by an unhandled panic: {}",
            self.report
        )
    }
}

impl std::error::Error for UnhandledPanic {}

/// A loop's policy, and the first panic that is to end a run.
pub(crate) struct Unhandled {
    policy: Cell<PanicPolicy>,
    first: RefCell<Option<UnhandledPanic>>,
}

/// What is left to do about a failure that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Follow {
    Nothing,
    EndRun,
}

impl Unhandled {
    pub(crate) fn new(policy: PanicPolicy) -> Unhandled {
        Unhandled {
            policy: Cell::new(policy),
            first: RefCell::new(None),
        }
    }

    /// From now on a panic ends no run: there is none any more. (It still ends the process, if it is to.)
    pub(crate) fn only_report(&self) {
        if self.policy.get() == PanicPolicy::Shutdown {
            self.policy.set(PanicPolicy::Report);
        }
        drop(self.take());
    }

    /// Takes note of a failure that the handler was told of.
    pub(crate) fn follow(&self, context: &ExceptionContext<'_>) -> Follow {
        if !context.kind.is_panic() {
            return Follow::Nothing;
        }
        match self.policy.get() {
            PanicPolicy::Report => Follow::Nothing,
            PanicPolicy::Abort => std::process::abort(),
            PanicPolicy::Shutdown => {
                self.first
                    .borrow_mut()
                    .get_or_insert_with(|| UnhandledPanic {
                        task: context.task,
                        report: context.to_string().into(),
                    });
                Follow::EndRun
            }
        }
    }

    /// The panic that ends the run, if there was one.
    pub(crate) fn take(&self) -> Option<UnhandledPanic> {
        self.first.borrow_mut().take()
    }
}
