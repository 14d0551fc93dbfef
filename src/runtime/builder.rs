//! Setting up a loop.

use std::io;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use tulipa_blocking::current::LoopPools;
use tulipa_executor::report::{ExceptionContext, ExceptionHandler};
use tulipa_executor::{Config, Executor};
use tulipa_reactor::termination::Termination;
use tulipa_reactor::{Choice, Driver};

use crate::runtime::PanicPolicy;
use crate::runtime::event_loop::{EventLoop, Parts};
use crate::runtime::parked::{Parked, Signals};
use crate::runtime::runner::Runner;

/// Sets up a [`Runner`], or an [`EventLoop`].
///
/// Where the program sets nothing, the environment may: `TULIPA_REACTOR` names the reactor,
/// `TULIPA_SHUFFLE` is a [seed](Builder::shuffle_seed), `TULIPA_DEBUG` switches [debug mode](Builder::debug) on.
#[derive(Debug)]
#[must_use = "the builder does nothing until `build`"]
pub struct Builder<Built = Runner> {
    reactor: Choice,
    config: Config,
    /// As the program has set it; otherwise the environment says.
    debug: Option<bool>,
    ending: Ending,
    blocking: tulipa_blocking::Config,
    max_look_ups: Option<usize>,
    _built: PhantomData<fn() -> Built>,
}

impl<Built> Default for Builder<Built> {
    fn default() -> Builder<Built> {
        Builder {
            reactor: Choice::default(),
            config: Config::default(),
            debug: None,
            ending: Ending::default(),
            blocking: tulipa_blocking::Config::default(),
            max_look_ups: None,
            _built: PhantomData,
        }
    }
}

/// The environment variable that shuffles every loop which the program does not.
const SHUFFLE: &str = "TULIPA_SHUFFLE";

/// The environment variable that switches debug mode on where the program says nothing.
const DEBUG: &str = "TULIPA_DEBUG";

impl<Built> Builder<Built> {
    /// Chooses the reactor: by its name, or one of your own.
    ///
    /// Without this call the environment variable `TULIPA_REACTOR` names it, or else it is `mio`.
    #[doc(alias = "loop_factory")]
    pub fn reactor(mut self, choice: impl Into<Choice>) -> Builder<Built> {
        self.reactor = choice.into();
        self
    }

    /// Whether the clock stands still from the start, as after [`time::pause`](crate::time::pause).
    pub fn start_paused(mut self, start_paused: bool) -> Builder<Built> {
        self.config.start_paused = start_paused;
        self
    }

    /// The least time between two waits that end because of timers. Default: 100 µs.
    ///
    /// A timer that is alone ends the wait at its deadline. When timers are dense, those that fall into
    /// a gap are served together at its end, so the loop wakes up for timers at most once a gap (by
    /// default 10,000 times a second), and a timer is late by a gap at most. Zero serves each at its
    /// own deadline.
    pub fn timer_gap(mut self, gap: Duration) -> Builder<Built> {
        self.config.timer_gap = gap;
        self
    }

    /// How many polls go by, while tasks are ready all the time, until sockets and timers are looked
    /// at. Default: 256, or as many as fit into 500 µs. Fewer make busy loops slow, by a system call
    /// each time; more make sockets and timers wait, up to those 500 µs.
    pub fn polls_per_park(mut self, polls: u32) -> Builder<Built> {
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
    ) -> Builder<Built> {
        self.config.exception_handler = Some(Rc::new(handler) as ExceptionHandler);
        self
    }

    /// Runs what is ready in a turn in an order drawn from this seed, instead of first in, first out. For
    /// tests that look for code which relies on an order that it was not promised.
    ///
    /// Each turn's snapshot is permuted as a whole: tasks, callbacks and timers. The order is the same for
    /// the same seed, as far as the outside allows: with paused time, and without sockets and threads, a
    /// failure can be repeated. Without this call the environment variable `TULIPA_SHUFFLE` gives the
    /// seed, a number; or else nothing is shuffled.
    pub fn shuffle_seed(mut self, seed: u64) -> Builder<Built> {
        self.config.shuffle_seed = Some(seed);
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
    pub fn on_unhandled(mut self, policy: PanicPolicy) -> Builder<Built> {
        self.config.on_unhandled = policy;
        self
    }

    /// Whether the loop is in debug mode from the start: polls that take [long](Builder::slow_callback_duration) are reported
    /// to the exception handler, and so are tasks that are still waiting when the loop closes.
    ///
    /// It can be switched in the running loop, with [`set_debug`](crate::runtime::set_debug). Without this call the environment variable
    /// `TULIPA_DEBUG` switches it on, set to anything but nothing or `0`.
    #[doc(alias = "PYTHONASYNCIODEBUG")]
    pub fn debug(mut self, debug: bool) -> Builder<Built> {
        self.debug = Some(debug);
        self
    }

    /// How long a poll takes at least to be reported in debug mode. Default: 100 ms. Zero reports all.
    pub fn slow_callback_duration(mut self, duration: Duration) -> Builder<Built> {
        self.config.slow_callback_duration = duration;
        self
    }

    /// Cancels the main future of a run at the first Ctrl-C (SIGINT), so that it can clean up, and ends the process at
    /// once, with exit code 130, at the second. Default: off, but on in [`#[tulipa::main]`](crate::main).
    ///
    /// Signals that the program handles or ignores when the run begins are left alone. (Shells make what a script
    /// starts with `&` ignore Ctrl-C.) When the run is over, Ctrl-C does again what it did before. See [`Runner::run_and_close`] for what follows.
    #[doc(alias = "KeyboardInterrupt")]
    pub fn handle_ctrl_c(mut self, handle: bool) -> Builder<Built> {
        self.ending.set(Termination::Interrupt, handle);
        self
    }

    /// Treats SIGTERM, by which service managers end a process, like Ctrl-C; the exit code is 143. Default: off.
    pub fn handle_sigterm(mut self, handle: bool) -> Builder<Built> {
        self.ending.set(Termination::Terminate, handle);
        self
    }

    /// How long the tasks that are left have to clean up when the loop is shut down, and how long blocking work
    /// has to end after that. Default: 10 s. Longer keeps a service manager waiting, which kills in the end
    /// (systemd after 90 s, Kubernetes after 30); shorter cuts clean-ups that wait for a network.
    pub fn shutdown_grace(mut self, grace: Duration) -> Builder<Built> {
        self.ending.grace = grace;
        self
    }

    /// How many threads run blocking work at most. Default: 32, whatever the machine. See
    /// [`spawn_blocking`](crate::spawn_blocking).
    pub fn max_blocking_threads(mut self, threads: usize) -> Builder<Built> {
        self.blocking.max_threads = threads;
        self
    }

    /// How many name look-ups are under way at once, at most; the others wait their turn. Default: half as many as there
    /// may be [threads for blocking work](Builder::max_blocking_threads), 16 unless that is set.
    ///
    /// They have threads of their own beside those, so look-ups that hang, as they do while a name server is
    /// unreachable, leave other blocking work alone. Too few, and names that hang hold up the names that do not. Zero
    /// counts as one.
    pub fn max_look_ups(mut self, look_ups: usize) -> Builder<Built> {
        self.max_look_ups = Some(look_ups);
        self
    }

    /// How long a thread without blocking work is kept. Default: 10 s.
    pub fn blocking_keep_alive(mut self, keep_alive: Duration) -> Builder<Built> {
        self.blocking.keep_alive = keep_alive;
        self
    }

    pub(super) fn make(mut self) -> io::Result<EventLoop> {
        if self.config.shuffle_seed.is_none() {
            self.config.shuffle_seed = seed_from_environment()?;
        }
        self.config.debug = self.debug.unwrap_or_else(is_debug_in_environment);
        let mut look_ups = self.blocking.clone();
        look_ups.max_threads = self
            .max_look_ups
            .unwrap_or_else(|| self.blocking.max_threads.div_ceil(2))
            .max(1);
        look_ups.thread_name = "tulipa-names".into();
        let driver = Driver::new(self.reactor)?;
        let signals = Rc::new(Signals::default());
        let parked = Parked::new(Rc::clone(&driver), Rc::clone(&signals));
        let executor = Executor::new(parked, self.config);
        Ok(EventLoop::from_parts(Parts {
            executor,
            driver,
            signals,
            ending: self.ending,
            blocking: Rc::new(LoopPools::new(self.blocking, look_ups)),
        }))
    }
}

/// What of a builder can be shared by the loops of several threads.
#[derive(Clone, Debug)]
pub(super) struct Shareable {
    /// `None` is the environment's.
    reactor: Option<String>,
    polls_per_park: u32,
    time_per_park: Duration,
    timer_gap: Duration,
    start_paused: bool,
    shuffle_seed: Option<u64>,
    on_unhandled: PanicPolicy,
    slow_callback_duration: Duration,
    debug: Option<bool>,
    ending: Ending,
    blocking: tulipa_blocking::Config,
    max_look_ups: Option<usize>,
}

impl Shareable {
    pub(super) fn builder(&self) -> Builder {
        let mut config = Config::default();
        config.polls_per_park = self.polls_per_park;
        config.time_per_park = self.time_per_park;
        config.timer_gap = self.timer_gap;
        config.start_paused = self.start_paused;
        config.shuffle_seed = self.shuffle_seed;
        config.on_unhandled = self.on_unhandled;
        config.slow_callback_duration = self.slow_callback_duration;
        Builder {
            reactor: match &self.reactor {
                Some(name) => Choice::Named(name.clone()),
                None => Choice::Environment,
            },
            config,
            debug: self.debug,
            ending: self.ending.clone(),
            blocking: self.blocking.clone(),
            max_look_ups: self.max_look_ups,
            _built: PhantomData,
        }
    }
}

/// How a run may be ended from outside, and what happens then.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) signals: Vec<Termination>,
    pub(super) grace: Duration,
}

impl Default for Ending {
    fn default() -> Ending {
        Ending {
            signals: Vec::new(),
            grace: Duration::from_secs(10),
        }
    }
}

impl Ending {
    fn set(&mut self, signal: Termination, handle: bool) {
        self.signals.retain(|it| *it != signal);
        if handle {
            self.signals.push(signal);
        }
    }
}

impl Builder<Runner> {
    /// What several threads can share of this.
    pub(super) fn into_shareable(self) -> io::Result<Shareable> {
        let refuse = |what: &str| {
            let message =
                format!("{what} serves the loop of one thread: set it with Threads::each");
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        };
        let reactor = match self.reactor {
            Choice::Environment => None,
            Choice::Named(name) => Some(name),
            _ => return refuse("a reactor of one's own"),
        };
        let config = self.config;
        if config.exception_handler.is_some() {
            return refuse("an exception handler");
        }
        Ok(Shareable {
            reactor,
            polls_per_park: config.polls_per_park,
            time_per_park: config.time_per_park,
            timer_gap: config.timer_gap,
            start_paused: config.start_paused,
            shuffle_seed: config.shuffle_seed,
            on_unhandled: config.on_unhandled,
            slow_callback_duration: config.slow_callback_duration,
            debug: self.debug,
            ending: self.ending,
            blocking: self.blocking,
            max_look_ups: self.max_look_ups,
        })
    }

    /// Leaves signals alone.
    pub(super) fn without_signals(mut self) -> Builder {
        self.ending.signals.clear();
        self
    }

    /// Makes the runner.
    ///
    /// # Errors
    /// - `InvalidInput`, when no reactor has the name given; the message lists those that exist. Also when
    ///   `TULIPA_SHUFFLE` is not a number.
    /// - What the operating system says, when it refuses what the loop needs.
    pub fn build(self) -> io::Result<Runner> {
        self.make().map(Runner::from)
    }
}

impl Builder<EventLoop> {
    /// Makes the loop.
    ///
    /// # Errors
    /// As for a runner: see [`Builder::build`].
    pub fn build(self) -> io::Result<EventLoop> {
        self.make()
    }
}

fn seed_from_environment() -> io::Result<Option<u64>> {
    let Some(text) = std::env::var_os(SHUFFLE).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    match text.parse() {
        Ok(seed) => Ok(Some(seed)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{SHUFFLE} is to be a number from 0 to 2^64 - 1, not '{text}'"),
        )),
    }
}

fn is_debug_in_environment() -> bool {
    std::env::var_os(DEBUG).is_some_and(|value| !value.is_empty() && value != "0")
}
