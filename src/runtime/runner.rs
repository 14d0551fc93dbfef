//! The runner: an event loop that runs futures, one after the other, until it is dropped.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::exit;

use tulipa_executor::cancel::CancelReason;
use tulipa_executor::executor::MainCancelled;
use tulipa_executor::shutdown::ShutdownReport;
use tulipa_reactor::termination::Termination;

use crate::runtime::builder::Builder;
use crate::runtime::event_loop::EventLoop;

/// An event loop that runs futures, one after the other. Tasks that a run leaves unfinished go on in the
/// next.
///
/// [Closing](Runner::close) it asks what is left to end, waits for that, and says what hung. Dropping it closes the loop at
/// once: every task that is left is dropped on this thread, oldest first; what their destructors spawn is dropped
/// after them.
///
/// # Examples
/// ```
/// use tulipa::runtime::Runner;
///
/// # fn main() -> std::io::Result<()> {
/// let mut runner = Runner::builder().build()?;
/// let task = runner.run(async { tulipa::spawn(async { 1 }) });
/// assert_eq!(runner.run(task).unwrap(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Runner {
    event_loop: EventLoop,
}

impl Runner {
    /// A runner with everything as by default.
    ///
    /// # Errors
    /// See [`Builder::build`].
    pub fn new() -> io::Result<Runner> {
        Runner::builder().build()
    }

    /// Sets up a runner.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs the loop until `future` is complete, and returns its value.
    ///
    /// The future may borrow from the caller. It is a task among the others, called `main`.
    ///
    /// # Panics
    /// - When a loop runs on this thread already: await the future there instead.
    /// - When `future` panics, with its payload.
    /// - When the loop is [stopped](crate::runtime::LoopRef::stop) before `future` is complete, or the future is cancelled.
    /// - When the operating system refuses to wait, or the run is ended by an unhandled panic (see
    ///   [`PanicPolicy::Shutdown`](crate::runtime::PanicPolicy::Shutdown)); [`try_run`](Runner::try_run) returns that as an error.
    #[track_caller]
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        match self.try_run(future) {
            Ok(output) => output,
            Err(error) => panic!("tulipa: {error}"),
        }
    }

    /// Runs the loop until `future` is complete, and returns its value.
    ///
    /// # Errors
    /// - When a loop runs on this thread already: an error with [`NestedLoop`](crate::runtime::NestedLoop) inside.
    /// - When the loop is [stopped](crate::runtime::LoopRef::stop) first: an error with
    ///   [`StoppedEarly`](crate::runtime::StoppedEarly) inside.
    /// - When the main future was cancelled, by a signal or by whoever holds its [task](crate::task::Task): an error with
    ///   [`MainCancelled`](crate::runtime::MainCancelled) inside.
    /// - What the operating system says when it refuses to wait for events.
    /// - When an unhandled panic ends the run: an error with [`UnhandledPanic`](crate::runtime::UnhandledPanic)
    ///   inside.
    ///
    /// The future is dropped then; tasks stay, and another run may be tried.
    ///
    /// # Panics
    /// When `future` panics, with its payload.
    #[track_caller]
    pub fn try_run<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        self.event_loop.try_block_on(future)
    }

    /// Ends the loop in order: asks the tasks that are left to end, awaits their clean-up, ends the blocking pool, and
    /// closes. The report says what hung. See [`EventLoop::shutdown`] for the phases.
    ///
    /// # Panics
    /// When a loop runs on this thread already.
    ///
    /// # Examples
    /// ```
    /// use tulipa::runtime::Runner;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut runner = Runner::new()?;
    /// runner.run(async {
    ///     drop(tulipa::spawn(tulipa::finally(std::future::pending::<()>(), async {
    ///         tulipa::yield_now().await;
    ///         println!("cleaned up");
    ///     })));
    ///     tulipa::yield_now().await;
    /// });
    /// let report = runner.close();
    /// assert_eq!(report.cancelled, 1);
    /// assert!(report.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(self) -> ShutdownReport {
        self.event_loop.shutdown()
    }

    /// Runs `future`, then [closes](Runner::close) the loop, whatever came of it, and returns the value. It is what
    /// [`run`](crate::run) and the attributes do.
    ///
    /// If a signal (see [`Builder::handle_ctrl_c`]) cancelled the main future, and it did not refuse, the process exits
    /// once everything is cleaned up, with code 130 for Ctrl-C and 143 for SIGTERM. Likewise after
    /// [`exit`](crate::runtime::exit), with the code given there.
    ///
    /// # Panics
    /// As [`run`](Runner::run), after the loop was closed. When the main future was cancelled otherwise, with the
    /// reason.
    #[track_caller]
    pub fn run_and_close<F: Future>(mut self, future: F) -> F::Output {
        let result = catch_unwind(AssertUnwindSafe(|| self.try_run(future)));
        let signal = self.event_loop.signal();
        let exit_code = self.event_loop.exit_code();
        self.event_loop.end();
        match result {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => match (cancelled_by(&error), signal, exit_code) {
                (Some(CancelReason::Signal), Some(signal), _) => exit(signal.exit_code()),
                (Some(_), _, Some(code)) => exit(code),
                _ => panic!("tulipa: {error}"),
            },
            Err(payload) => resume_unwind(payload),
        }
    }

    /// The signal that came in the last run, if it was one that the runner [handles](Builder::handle_ctrl_c).
    pub fn signal(&self) -> Option<Termination> {
        self.event_loop.signal()
    }

    /// The loop that this runner runs.
    pub fn event_loop(&self) -> &EventLoop {
        &self.event_loop
    }

    /// The name of the reactor's backend.
    pub fn reactor_name(&self) -> &'static str {
        self.event_loop.reactor_name()
    }
}

/// Why the main future was cancelled, if that is how a run ended.
fn cancelled_by(error: &io::Error) -> Option<&CancelReason> {
    let cancelled = error.get_ref()?.downcast_ref::<MainCancelled>()?;
    Some(cancelled.reason())
}

impl From<EventLoop> for Runner {
    fn from(event_loop: EventLoop) -> Runner {
        Runner { event_loop }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("event_loop", &self.event_loop)
            .finish()
    }
}
