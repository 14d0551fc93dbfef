//! The runner: an event loop that runs futures, one after the other, until it is dropped.

use std::fmt;
use std::future::Future;
use std::io;

use crate::runtime::builder::Builder;
use crate::runtime::event_loop::EventLoop;

/// An event loop that runs futures, one after the other. Tasks that a run leaves unfinished go on in the
/// next.
///
/// Dropping the runner closes the loop: every task that is left is dropped on this thread, oldest first;
/// what their destructors spawn is dropped after them.
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
    /// - When the loop is [stopped](crate::runtime::LoopRef::stop) before `future` is complete.
    /// - When the operating system refuses to wait; [`try_run`](Runner::try_run) returns that as an
    ///   error.
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
    /// - What the operating system says when it refuses to wait for events.
    ///
    /// The future is dropped then; tasks stay, and another run may be tried.
    ///
    /// # Panics
    /// When `future` panics, with its payload.
    #[track_caller]
    pub fn try_run<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        self.event_loop.try_block_on(future)
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
