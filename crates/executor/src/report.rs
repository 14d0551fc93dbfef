//! Failures that nobody else looks at: a panic in a task whose handle is gone, a destructor that
//! panics, a listener that has run out of descriptors.
//!
//! They go to the loop's exception handler, by default one line on standard error.

use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use tulipa_base::TaskId;

use crate::core;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExceptionKind {
    /// A task panicked, and no one holds its join handle.
    TaskPanicked,
    /// The destructor of a task's future or of its result panicked.
    DestructorPanicked,
    /// A callback panicked.
    CallbackPanicked,
    /// A waker, which may be anyone's code, panicked when the loop used it.
    WakerPanicked,
    /// A listener pauses, because the process or the system has run out of descriptors or memory.
    AcceptPaused,
    /// A task has not ended within the grace period when the loop was shut down.
    ShutdownStuck,
    /// In debug mode: a poll took as long as a slow one, and nothing else could run meanwhile.
    #[doc(alias = "slow_callback_duration")]
    SlowPoll,
    /// In debug mode: the loop was closed before the task had ended, and nobody had asked it to end.
    #[doc(alias = "Task was destroyed but it is pending!")]
    TaskDropped,
    /// A writer held bytes when it was given up, and nobody is left to send them: the loop has ended. In debug mode also:
    /// its stream had failed, and nobody had asked.
    #[doc(alias = "ResourceWarning")]
    BytesLost,
    /// Something else, described by the message.
    Other,
}

impl ExceptionKind {
    /// Whether it is a panic that nobody else looks at.
    pub fn is_panic(self) -> bool {
        matches!(
            self,
            ExceptionKind::TaskPanicked
                | ExceptionKind::CallbackPanicked
                | ExceptionKind::DestructorPanicked
                | ExceptionKind::WakerPanicked
        )
    }
}

/// A failure, as the exception handler is told of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExceptionContext<'a> {
    /// What went wrong.
    pub kind: ExceptionKind,
    /// What went wrong, in words: for a panic its message.
    pub message: &'a str,
    /// The task it happened to, if any.
    pub task: Option<TaskId>,
    /// That task's name, if it was given one.
    pub task_name: Option<&'a str>,
    /// Where that task was spawned.
    pub spawned_at: Option<&'static Location<'static>>,
    /// Where the callback was registered, if it happened to one.
    pub registered_at: Option<&'static Location<'static>>,
    /// How long it took, for what is reported because of that.
    pub duration: Option<Duration>,
}

impl<'a> ExceptionContext<'a> {
    /// A failure that is nobody's.
    pub(crate) fn new(kind: ExceptionKind, message: &'a str) -> ExceptionContext<'a> {
        ExceptionContext {
            kind,
            message,
            task: None,
            task_name: None,
            spawned_at: None,
            registered_at: None,
            duration: None,
        }
    }
}

impl fmt::Display for ExceptionContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.task {
            write!(f, "task {id} ")?;
            if let Some(name) = self.task_name {
                write!(f, "'{name}' ")?;
            }
            if let Some(location) = self.spawned_at {
                write!(f, "spawned at {location} ")?;
            }
        }
        if let Some(location) = self.registered_at {
            write!(f, "callback registered at {location} ")?;
        }
        let is_anyones = self.task.is_none() && self.registered_at.is_none();
        f.write_str(match self.kind {
            ExceptionKind::TaskPanicked | ExceptionKind::CallbackPanicked => "panicked",
            ExceptionKind::DestructorPanicked if is_anyones => "a destructor panicked",
            ExceptionKind::DestructorPanicked => "panicked in a destructor",
            ExceptionKind::WakerPanicked => "woke a waker that panicked",
            ExceptionKind::AcceptPaused => "paused accepting",
            ExceptionKind::ShutdownStuck => "is stuck",
            ExceptionKind::SlowPoll => "was slow",
            ExceptionKind::TaskDropped => "was dropped unfinished",
            ExceptionKind::BytesLost => "lost bytes",
            ExceptionKind::Other => "failed",
        })?;
        write!(f, ": {}", self.message)
    }
}

/// Hears of failures that nobody else looks at.
#[doc(alias = "call_exception_handler")]
#[doc(alias = "default_exception_handler")]
pub type ExceptionHandler = Rc<dyn Fn(&ExceptionContext<'_>)>;

/// Tells the running loop's exception handler of a failure in the running task; outside of a loop
/// the default handler.
pub fn report(kind: ExceptionKind, message: &str) {
    let task = tulipa_base::current::task_id();
    core::with_current(|core| {
        if let (Some(core), Some(id)) = (core, task)
            && let Some(task) = core.tasks.find(id)
        {
            return core.report_task(kind, task, message);
        }
        let context = ExceptionContext {
            task,
            ..ExceptionContext::new(kind, message)
        };
        match core {
            Some(core) => core.tell(&context),
            None => None.tell(&context),
        }
    });
}

/// Calls `f`, which calls or drops something of the user's: a panic in it is reported, and goes no further.
pub(crate) fn contain(kind: ExceptionKind, f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        report(kind, panic_message(&*payload));
        drop_quietly(payload);
    }
}

/// A handler, or none: the default.
pub(crate) trait Tell {
    fn tell(self, context: &ExceptionContext<'_>);
}

impl Tell for Option<ExceptionHandler> {
    /// A handler that panics must not take the loop with it: both failures are then printed.
    fn tell(self, context: &ExceptionContext<'_>) {
        let Some(handler) = self else {
            return print(context);
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(context))) {
            print(context);
            let message = panic_message(&*payload);
            print(&ExceptionContext::new(
                ExceptionKind::Other,
                &format!("the exception handler panicked: {message}"),
            ));
            drop_quietly(payload);
        }
    }
}

/// The default handler.
fn print(context: &ExceptionContext<'_>) {
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(io::stderr(), "tulipa: {context}");
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(a value that is not text)"
    }
}

/// Drops a panic's payload, whose destructor is anyone's code and may panic again, and so on. A few
/// rounds are given, then the payload is leaked.
pub(crate) fn drop_quietly(payload: Box<dyn Any + Send>) {
    let mut payload = payload;
    for _ in 0..4 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}
