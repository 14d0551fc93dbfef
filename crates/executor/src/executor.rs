//! The executor: owns a loop's state, and turns it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tulipa_base::clock::{self, View};
use tulipa_base::{Instant, TaskId, budget, current, wait};

use crate::core::{self, Core, CorePtr, Enter};
use crate::debug::{Debug, SLOW_CALLBACK_DURATION};
use crate::dump::Dump;
use crate::inject::{Inject, Message};
use crate::metrics::Metrics;
use crate::park::{Park, Wait};
use crate::report::{self, ExceptionHandler, ExceptionKind, drop_quietly, panic_message};
use crate::task::{RootFuture, RootState};
use crate::timer::Timers;
use crate::unhandled::{PanicPolicy, Unhandled};

/// How an executor shares its time. The defaults suit most programs.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// While tasks are ready, the reactor and the clock are asked again after this many polls.
    ///
    /// Asking costs a system call, so a small number makes busy loops slow (a yield costs 20 ns, the
    /// call 300 ns); a large one makes sockets and timers wait for as many polls. Default: 256.
    pub polls_per_park: u32,
    /// And also after this much time, looked at every [`CLOCK_INTERVAL`] polls. Default: 500 µs.
    pub time_per_park: Duration,
    /// The least time between two waits that end because of timers.
    ///
    /// A timer that is alone ends the wait at its deadline. When timers are dense, those that fall
    /// into a gap are served together at its end: the loop wakes up for timers at most once a gap, so
    /// at most 10,000 times a second by default, and a timer is late by a gap at most. Zero serves
    /// each at its deadline. Default: 100 µs.
    pub timer_gap: Duration,
    /// Whether the clock stands still from the start, as after [`pause`](crate::timer::pause).
    pub start_paused: bool,
    /// Hears of failures that nobody else looks at. Default: a line on standard error.
    pub exception_handler: Option<ExceptionHandler>,
    /// What follows from a panic that nobody else looks at. Default: nothing more than the report.
    pub on_unhandled: PanicPolicy,
    /// Whether the loop is in [debug mode](crate::debug) from the start.
    pub debug: bool,
    /// How long a poll takes at least to be reported in debug mode. Default: 100 ms.
    pub slow_callback_duration: Duration,
}

/// How many polls go by between two looks at the clock in a busy loop. A reading costs 30 ns, so
/// this adds 1 ns to a poll; with many more, tasks that compute for a millisecond each would keep
/// timers waiting for a tenth of a second.
pub const CLOCK_INTERVAL: usize = 32;

impl Default for Config {
    fn default() -> Config {
        Config {
            polls_per_park: 256,
            time_per_park: Duration::from_micros(500),
            timer_gap: Duration::from_micros(100),
            start_paused: false,
            exception_handler: None,
            on_unhandled: PanicPolicy::Report,
            debug: false,
            slow_callback_duration: SLOW_CALLBACK_DURATION,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("polls_per_park", &self.polls_per_park)
            .field("time_per_park", &self.time_per_park)
            .field("timer_gap", &self.timer_gap)
            .field("start_paused", &self.start_paused)
            .field("on_unhandled", &self.on_unhandled)
            .field("debug", &self.debug)
            .field("slow_callback_duration", &self.slow_callback_duration)
            .finish_non_exhaustive()
    }
}

/// A loop's state, and the thread that turns it.
///
/// Dropping it drops all unfinished tasks, oldest first, on this thread; what their destructors
/// spawn is dropped too, in its turn.
pub struct Executor<P: Park> {
    core: CorePtr,
    park: std::cell::RefCell<P>,
    polls_per_park: usize,
    time_per_park: Duration,
    /// How many polls the loop will have made when it looks at the clock, or asks the reactor, though it is
    /// busy.
    polls_until: Cell<u64>,
    /// Polls since the reactor was asked, counted at each look at the clock.
    polls_since_park: Cell<usize>,
    /// When the reactor was asked last; unknown until the first look at the clock after that.
    last_park: Cell<Option<Instant>>,
    /// Kept for its memory.
    spare: Cell<Vec<Message>>,
}

impl<P: Park> Executor<P> {
    /// A loop without tasks, owned by the calling thread.
    pub fn new(park: P, config: Config) -> Executor<P> {
        let inject = Inject::new(park.unparker());
        // A loop may be made inside of another one, whose time may be virtual.
        let outside = clock::set_view(View::REAL);
        let now = park.now();
        clock::set_view(outside);
        let view = if config.start_paused {
            View::Frozen(now)
        } else {
            View::REAL
        };
        let timers = Timers::new(now, config.timer_gap, view);
        let core = Core::allocate(
            inject,
            timers,
            config.exception_handler,
            Unhandled::new(config.on_unhandled),
            Debug::new(config.debug, config.slow_callback_duration),
        );
        core.get().set_coarse(now);
        Executor {
            core,
            park: std::cell::RefCell::new(park),
            polls_per_park: config.polls_per_park.max(1) as usize,
            time_per_park: config.time_per_park,
            polls_until: Cell::new(0),
            polls_since_park: Cell::new(0),
            last_park: Cell::new(None),
            spare: Cell::new(Vec::new()),
        }
    }

    /// Runs the loop until `future` is complete, and returns its value.
    ///
    /// Tasks that are unfinished then stay, and go on in the next run.
    ///
    /// # Errors
    /// - What [`Park::park`] says, when the operating system refuses to wait.
    /// - An error with [`UnhandledPanic`](crate::unhandled::UnhandledPanic) inside, if the
    ///   [policy](Config::on_unhandled) is to end the run.
    ///
    /// # Panics
    /// - When a loop runs on this thread already; [`Executor::ensure_no_loop`] says so instead.
    /// - When `future` panics, with its payload.
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let location = Location::caller();
        if let Err(nested) = Self::ensure_no_loop() {
            panic!("{nested}");
        }
        let _entered = Entered::new(self.core);
        let future = pin!(future);
        let mut state = RootState {
            future,
            output: Cell::new(None),
        };
        // Dropped before the future, whose destructors may ask what is running.
        let _idle = Idle(self.core);
        let outcome = {
            let mut root = RootFuture::spawn(self.core, &mut state, location);
            while !root.handle().is_finished() {
                self.turn()?;
            }
            let mut cx = Context::from_waker(Waker::noop());
            match std::pin::Pin::new(root.handle()).poll(&mut cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => unreachable!("the root task is finished"),
            }
        };
        if outcome.is_ok() {
            self.ensure_no_panic()?;
        }
        match outcome {
            Ok(()) => Ok(state
                .output
                .take()
                .expect("a finished root task has left its output")),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                Err(error) => unreachable!("nobody can abort the root task: {error}"),
            },
        }
    }

    /// Says whether a loop may be started on this thread.
    ///
    /// # Errors
    /// [`NestedLoop`], when one runs here already.
    pub fn ensure_no_loop() -> Result<(), NestedLoop> {
        match core::current() {
            None => Ok(()),
            Some(_) => Err(NestedLoop { _private: () }),
        }
    }

    /// Looks at all unfinished tasks of this loop. See [`dump`](crate::dump::dump).
    pub fn dump(&self) -> Dump {
        match core::current() {
            Some(core) if core == self.core => core.get().dump(),
            _ => {
                let _entered = Entered::new(self.core); // So that the time is this loop's.
                self.core.get().dump()
            }
        }
    }

    /// Numbers about this loop.
    pub fn metrics(&self) -> Metrics {
        self.core.get().metrics()
    }

    /// Unfinished tasks.
    pub fn task_count(&self) -> usize {
        self.core.get().tasks.len()
    }

    /// One turn of the loop. Its stages have the same numbers in `ARCHITECTURE.md`.
    #[inline(always)]
    fn turn(&self) -> io::Result<()> {
        let core = self.core.get();
        // Stages 1 to 4 look outside of the tasks. A loop that is busy with tasks skips them until its
        // budget is used up, another thread sends something, or a timer is set that is due already.
        let is_busy = !core.ready.is_empty()
            && self.has_polls_left()
            && !core.inject.is_pending()
            && !core.timers.has_overdue();
        if !is_busy {
            self.look_outside()?;
        }

        // 5. Run what is ready at this point, first in, first out. What becomes ready meanwhile runs
        //    in the next turn.
        let snapshot = core.ready.len();
        if core.debug.is_on() {
            core.run_watched(snapshot);
        } else {
            for _ in 0..snapshot {
                match core.ready.pop_front() {
                    Some(task) => task.run(),
                    None => break,
                }
            }
        }
        core.counters.count_turn(snapshot);
        Ok(())
    }

    /// Whether a busy loop need not look outside yet.
    #[inline]
    fn has_polls_left(&self) -> bool {
        self.core.get().counters.polls.get() < self.polls_until.get()
    }

    fn grant_polls(&self, polls: usize) {
        let now = self.core.get().counters.polls.get();
        self.polls_until.set(now + polls as u64);
    }

    /// Fails if a panic is to end the run.
    fn ensure_no_panic(&self) -> io::Result<()> {
        match self.core.get().unhandled.take() {
            None => Ok(()),
            Some(panic) => Err(io::Error::other(panic)),
        }
    }

    /// Stages 1 to 4 of a turn.
    #[inline(never)]
    fn look_outside(&self) -> io::Result<()> {
        let core = self.core.get();
        core.running.set(None);
        current::set_task_id(None);
        budget::end();
        wait::clear();
        self.ensure_no_panic()?;

        // 1. Take what other threads sent.
        if core.inject.is_pending() {
            self.take_messages(core);
        }

        // 2. Park in the reactor, which
        // 3. wakes what its events woke.
        let is_idle = core.ready.is_empty();
        let mut look_at_timers = core.timers.has_overdue();
        if is_idle || self.is_budget_spent() {
            let wait = if is_idle {
                core.timers.idle_wait()
            } else {
                Wait::Poll
            };
            if is_idle {
                core.pool.trim();
            }
            core.counters.count_park();
            self.park(wait)?;
            if is_idle && core.ready.is_empty() && !core.inject.is_pending() && wait == Wait::Poll {
                core.timers.skip_to_next();
            }
            self.renew_budget();
            look_at_timers = !core.timers.is_empty();
            if !look_at_timers {
                core.set_coarse(Instant::coarse_now());
            }
        }

        // 4. Expire the timers that are due.
        if look_at_timers {
            let now = Instant::now();
            core.set_coarse(now);
            core.timers.expire(now);
        }
        Ok(())
    }

    /// Parks. Wakers that the reactor woke may be anyone's code: a panic in one is reported.
    fn park(&self, wait: Wait) -> io::Result<()> {
        let mut park = self.park.borrow_mut();
        match catch_unwind(AssertUnwindSafe(|| park.park(wait))) {
            Ok(result) => result,
            Err(payload) => {
                report::report(ExceptionKind::WakerPanicked, panic_message(&*payload));
                drop_quietly(payload);
                Ok(())
            }
        }
    }

    #[cold]
    fn take_messages(&self, core: &Core) {
        let mut messages = core.inject.take(self.spare.take());
        core.counters.count_remote_wakes(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Wake(wake) => wake.deliver(),
            }
        }
        self.spare.set(messages);
    }

    /// Whether a busy loop must ask the reactor now. If not, it gets polls for another look at the
    /// clock.
    fn is_budget_spent(&self) -> bool {
        if self.has_polls_left() {
            return false; // It looks outside for another reason.
        }
        let since_park = self.polls_since_park.get() + CLOCK_INTERVAL;
        self.polls_since_park.set(since_park);
        if since_park >= self.polls_per_park {
            return true;
        }
        self.grant_polls(CLOCK_INTERVAL.min(self.polls_per_park - since_park));
        let now = Instant::machine_now();
        self.core.get().set_coarse(now.as_seen_here());
        match self.last_park.get() {
            Some(last_park) => now - last_park >= self.time_per_park,
            None => {
                self.last_park.set(Some(now));
                false
            }
        }
    }

    fn renew_budget(&self) {
        self.grant_polls(CLOCK_INTERVAL.min(self.polls_per_park));
        self.polls_since_park.set(0);
        self.last_park.set(None);
    }
}

impl<P: Park> Drop for Executor<P> {
    fn drop(&mut self) {
        {
            let _entered = Entered::new(self.core);
            self.core.get().close();
        }
        self.core.release_executor();
    }
}

impl<P: Park> fmt::Debug for Executor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("tasks", &self.task_count())
            .finish_non_exhaustive()
    }
}

/// Says, when it is dropped, that no task is running any more.
struct Idle(CorePtr);

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.get().running.set(None);
        current::set_task_id(None);
    }
}

/// While it lives, a core is the thread's current one, and the thread sees the loop's time.
struct Entered {
    core: CorePtr,
    _enter: Enter,
    /// Of the task around, if this loop is closed inside another one's task.
    outer_task: Option<TaskId>,
    outer_budget: budget::Saved,
}

impl Entered {
    fn new(core: CorePtr) -> Entered {
        core.get().timers.enter();
        core.get().running.set(None);
        Entered {
            core,
            _enter: Enter::new(core),
            outer_task: current::set_task_id(None),
            outer_budget: budget::save(),
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        current::set_task_id(self.outer_task);
        budget::restore(self.outer_budget);
        self.core.get().timers.leave();
    }
}

/// A loop was to be started on a thread where one runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NestedLoop {
    _private: (),
}

impl fmt::Display for NestedLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an event loop runs on this thread already: await the future instead of running it, or \
             start the other loop on a thread of its own",
        )
    }
}

impl std::error::Error for NestedLoop {}
