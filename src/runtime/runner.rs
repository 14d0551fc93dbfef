//! The runner: an event loop that runs futures, one after the other, until it is dropped.

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tulipa_executor::report::{ExceptionContext, ExceptionHandler};
use tulipa_executor::{Config, Executor};
use tulipa_reactor::{Choice, Driver};

use crate::runtime::PanicPolicy;
use crate::runtime::event_loop::Parked;

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
    // The order matters: tasks, and the sockets in them, go before the driver.
    executor: Option<Executor<Parked>>,
    driver: Rc<Driver>,
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
    /// - When the operating system refuses to wait, or the run is ended by an unhandled panic (see
    ///   [`PanicPolicy::Shutdown`]); [`try_run`](Runner::try_run) returns that as an error.
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
        Executor::<Parked>::ensure_no_loop().map_err(io::Error::other)?;
        let _entered = self.driver.enter();
        self.executor
            .as_ref()
            .expect("only drop takes it")
            .run(future)
    }

    /// The name of the reactor's backend.
    pub fn reactor_name(&self) -> &'static str {
        self.driver.reactor_name()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _entered = self.driver.enter();
        drop(self.executor.take());
        self.driver.close();
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("executor", &self.executor)
            .field("driver", &self.driver)
            .finish()
    }
}

/// Sets up a [`Runner`].
#[derive(Debug, Default)]
#[must_use = "the builder does nothing until `build`"]
pub struct Builder {
    reactor: Choice,
    config: Config,
    /// As the program has set it; otherwise the environment says.
    debug: Option<bool>,
}

/// The environment variable that switches debug mode on where the program says nothing.
const DEBUG: &str = "TULIPA_DEBUG";

impl Builder {
    /// Chooses the reactor: by its name, or one of your own.
    ///
    /// Without this call the environment variable `TULIPA_REACTOR` names it, or else it is `mio`.
    pub fn reactor(mut self, choice: impl Into<Choice>) -> Builder {
        self.reactor = choice.into();
        self
    }

    /// Whether the clock stands still from the start, as after [`time::pause`](crate::time::pause).
    pub fn start_paused(mut self, start_paused: bool) -> Builder {
        self.config.start_paused = start_paused;
        self
    }

    /// The least time between two waits that end because of timers. Default: 100 µs.
    ///
    /// A timer that is alone ends the wait at its deadline. When timers are dense, those that fall into
    /// a gap are served together at its end, so the loop wakes up for timers at most once a gap (by
    /// default 10,000 times a second), and a timer is late by a gap at most. Zero serves each at its
    /// own deadline.
    pub fn timer_gap(mut self, gap: Duration) -> Builder {
        self.config.timer_gap = gap;
        self
    }

    /// How many polls go by, while tasks are ready all the time, until sockets and timers are looked
    /// at. Default: 256, or as many as fit into 500 µs. Fewer make busy loops slow, by a system call
    /// each time; more make sockets and timers wait, up to those 500 µs.
    pub fn polls_per_park(mut self, polls: u32) -> Builder {
        self.config.polls_per_park = polls;
        self
    }

    /// Hears of failures that nobody else looks at: a panic in a task whose handle was dropped, a
    /// destructor that panics, a listener that has run out of descriptors. By default they are written
    /// to standard error, a line each; also where the handler itself panics.
    ///
    /// A panic whose handle is kept is told when that handle is dropped without having been awaited.
    /// Rust's own panic hook runs as well, at the moment of the panic, and prints its message unless the
    /// program has set another ([`std::panic::set_hook`]). An `Err` that a detached task returns is a
    /// value like any other: it is dropped. With `panic = "abort"` nothing is caught.
    #[doc(alias = "set_exception_handler")]
    pub fn exception_handler(
        mut self,
        handler: impl Fn(&ExceptionContext<'_>) + 'static,
    ) -> Builder {
        self.config.exception_handler = Some(Rc::new(handler) as ExceptionHandler);
        self
    }

    /// What follows from a panic that nobody else looks at, once the exception handler was told. Default:
    /// nothing, the loop goes on.
    ///
    /// # Examples
    /// ```
    /// use tulipa::runtime::{PanicPolicy, Runner};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut runner = Runner::builder()
    ///     .on_unhandled(PanicPolicy::Shutdown)
    ///     # .exception_handler(|_| {})
    ///     .build()?;
    /// let error = runner.try_run(async {
    ///     drop(tulipa::spawn(async { panic!("a bug") }));
    ///     std::future::pending::<()>().await;
    /// });
    /// assert!(error.unwrap_err().to_string().ends_with("panicked: a bug"));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "unhandled_panic")]
    pub fn on_unhandled(mut self, policy: PanicPolicy) -> Builder {
        self.config.on_unhandled = policy;
        self
    }

    /// Whether the loop is in debug mode from the start: polls that take [long](Builder::slow_callback_duration) are reported
    /// to the exception handler, and so are tasks that are still waiting when the loop closes.
    ///
    /// It can be switched in the running loop, with [`set_debug`](crate::runtime::set_debug). Without this call the environment variable
    /// `TULIPA_DEBUG` switches it on, set to anything but nothing or `0`.
    #[doc(alias = "PYTHONASYNCIODEBUG")]
    pub fn debug(mut self, debug: bool) -> Builder {
        self.debug = Some(debug);
        self
    }

    /// How long a poll takes at least to be reported in debug mode. Default: 100 ms. Zero reports all.
    pub fn slow_callback_duration(mut self, duration: Duration) -> Builder {
        self.config.slow_callback_duration = duration;
        self
    }

    /// Makes the runner.
    ///
    /// # Errors
    /// - `InvalidInput`, when no reactor has the name given; the message lists those that exist.
    /// - What the operating system says, when it refuses what the loop needs.
    pub fn build(mut self) -> io::Result<Runner> {
        self.config.debug = self.debug.unwrap_or_else(is_debug_in_environment);
        let driver = Driver::new(self.reactor)?;
        let executor = Executor::new(Parked::new(Rc::clone(&driver)), self.config);
        Ok(Runner {
            executor: Some(executor),
            driver,
        })
    }
}

fn is_debug_in_environment() -> bool {
    std::env::var_os(DEBUG).is_some_and(|value| !value.is_empty() && value != "0")
}
