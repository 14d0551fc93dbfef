//! The executor: owns a loop's state, and turns it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tulipa_base::clock::{self, View};
use tulipa_base::{Instant, TaskId, budget, current, wait};

use crate::callback;
use crate::cancel::CancelReason;
use crate::core::{self, Core, CorePtr, Enter};
use crate::debug::{Debug, SLOW_CALLBACK_DURATION};
use crate::dump::Dump;
use crate::inject::{Inject, Message};
use crate::interrupt::Interrupter;
use crate::loop_ref::LoopRef;
use crate::metrics::Metrics;
use crate::park::{Park, Wait};
use crate::report::{self, ExceptionHandler, ExceptionKind, drop_quietly, panic_message};
use crate::shuffle::Shuffle;
use crate::shutdown::{self, Canceller, ShutdownReport};
use crate::stop::{Stopped, StoppedEarly, Turn};
use crate::task::{Extras, Flags, JoinHandle, RootFuture, RootState, TaskRef, spawn_on};
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
    /// Runs what is ready in a turn in an order drawn from this seed, instead of first in, first out.
    /// Default: no.
    pub shuffle_seed: Option<u64>,
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
            shuffle_seed: None,
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
            .field("shuffle_seed", &self.shuffle_seed)
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
    /// Whether the run is to be one turn.
    single: Cell<Single>,
    shuffle: Option<Shuffle>,
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
            single: Cell::new(Single::No),
            shuffle: config.shuffle_seed.map(Shuffle::new),
        }
    }

    /// Runs the loop until `future` is complete, and returns its value.
    ///
    /// Tasks that are unfinished then stay, and go on in the next run.
    ///
    /// # Errors
    /// - What [`Park::park`] says, when the operating system refuses to wait.
    /// - An error with [`StoppedEarly`] inside, when the loop was [stopped](LoopRef::stop) first. The
    ///   future is dropped then.
    /// - An error with [`UnhandledPanic`](crate::unhandled::UnhandledPanic) inside, if the
    ///   [policy](Config::on_unhandled) is to end the run.
    ///
    /// # Panics
    /// - When a loop runs on this thread already; [`Executor::ensure_no_loop`] says so instead.
    /// - When `future` panics, with its payload.
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let location = Location::caller();
        let _running = self.start();
        let future = pin!(future);
        let mut state = RootState {
            future,
            output: Cell::new(None),
        };
        // Dropped before the future, whose destructors may ask what is running.
        let _idle = Idle(self.core);
        let outcome = {
            let mut root = RootFuture::spawn(self.core, &mut state, location);
            self.core.get().main.set(Some(root.handle().task_ref()));
            if self.turn_until(Some(root.handle().task_ref()))? != Ended::Done {
                return Err(io::Error::other(StoppedEarly { _private: () }));
            }
            let mut cx = Context::from_waker(Waker::noop());
            match std::pin::Pin::new(root.handle()).poll(&mut cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => unreachable!("the root task is finished"),
            }
        };
        match outcome {
            Ok(()) => Ok(state
                .output
                .take()
                .expect("a finished root task has left its output")),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                Err(error) => Err(io::Error::other(MainCancelled {
                    reason: error.reason().cloned().unwrap_or_default(),
                })),
            },
        }
    }

    /// Ends the loop: asks every task to end, and waits until all have, but no longer than `grace`.
    ///
    /// Tasks that are spawned meanwhile are asked when those that were there before have ended: a clean-up may need
    /// them. Members of groups are asked by their groups. What has not ended is told to the exception handler, and named in the report; it is dropped with the loop. `grace` counts on the
    /// loop's clock.
    ///
    /// # Errors
    /// What [`Park::park`] says, when the operating system refuses to wait.
    ///
    /// # Panics
    /// When a loop runs on this thread already.
    #[track_caller]
    pub fn shutdown(&self, grace: Duration) -> io::Result<ShutdownReport> {
        let location = Location::caller();
        let _running = self.start();
        let _idle = Idle(self.core);
        let core = self.core.get();
        let panics_before = core.panics.get();
        core.unhandled.only_report(); // There is no run to end any more.
        let is_over = Rc::new(Cell::new(false));
        let timer = callback::call_at_on(
            self.core,
            Instant::now() + grace,
            {
                let is_over = Rc::clone(&is_over);
                move || is_over.set(true)
            },
            location,
        );
        let mut canceller = Canceller::default();
        loop {
            canceller.proceed(core);
            if core.tasks.len() == 0 || is_over.get() {
                break;
            }
            self.single.set(Single::Next(None));
            self.turn_until(None)?;
        }
        timer.cancel();
        let stuck = core.tasks.iter().collect::<Vec<_>>();
        let stuck = stuck.into_iter().map(|task| shutdown::give_up(core, task));
        Ok(ShutdownReport {
            stuck: stuck.collect(),
            cancelled: canceller.cancelled,
            failed: core.panics.get() - panics_before,
            ..ShutdownReport::default()
        })
    }

    /// The code that the process is to exit with, if [`exit`](crate::shutdown::exit) was called.
    pub fn exit_code(&self) -> Option<i32> {
        self.core.get().exit_code.get()
    }

    /// What cancels the main task of a run.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter::new(self.core.counted().remote())
    }

    /// Runs the loop until the task is complete that `future` becomes, and returns its value.
    ///
    /// # Errors
    /// [`Stopped`], with the task in it, which is unfinished and goes on in a later run: when the loop was
    /// [stopped](LoopRef::stop) first, or the operating system refused to wait. Also when the task was
    /// cancelled: the handle inside says so.
    ///
    /// # Panics
    /// As [`Executor::run`].
    #[track_caller]
    pub fn run_task<F>(&self, future: F) -> Result<F::Output, Stopped<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = Location::caller();
        let _running = self.start();
        let main = Extras::named(Some("main".into()));
        let mut task = spawn_on(self.core, future, location, main);
        match self.turn_until(Some(task.task_ref())) {
            Ok(Ended::Done) if !is_cancelled(&task) => Ok(value_of(&mut task)),
            Ok(_) => Err(Stopped::new(task, None)),
            Err(error) => Err(Stopped::new(task, Some(error))),
        }
    }

    /// Runs the loop until it is [stopped](LoopRef::stop).
    ///
    /// # Errors
    /// What [`Park::park`] says, when the operating system refuses to wait.
    ///
    /// # Panics
    /// When a loop runs on this thread already.
    #[track_caller]
    pub fn run_forever(&self) -> io::Result<()> {
        let _running = self.start();
        self.turn_until(None).map(|_| ())
    }

    /// Runs one turn, which waits for the outside no longer than `at_most`, or as long as it takes.
    ///
    /// If the loop was asked to stop before, it does not wait at all; the answer says so then, and when it
    /// is asked during this turn.
    ///
    /// # Errors
    /// What [`Park::park`] says, when the operating system refuses to wait.
    ///
    /// # Panics
    /// When a loop runs on this thread already.
    #[track_caller]
    pub fn turn_once(&self, at_most: Option<Duration>) -> io::Result<Turn> {
        let _running = self.start();
        self.single.set(Single::Next(at_most));
        Ok(match self.turn_until(None)? {
            Ended::Stopped => Turn::Stopped,
            Ended::Done | Ended::OneTurn => Turn::Continue,
        })
    }

    /// Prepares for a wait outside of this executor, and says how long it may take at most: `None` for
    /// ever, zero for not at all. See [`Park::prepare_wait`].
    ///
    /// # Errors
    /// What [`Park::prepare_wait`] says.
    ///
    /// # Panics
    /// When a loop runs on this thread already.
    #[track_caller]
    pub fn prepare_wait(&self) -> io::Result<Option<Duration>> {
        let _running = self.start();
        let wait = if self.has_ready() || self.core.get().is_stopping() {
            Wait::Poll
        } else {
            self.core.get().timers.idle_wait()
        };
        let wait = self.park.borrow_mut().prepare_wait(wait)?;
        self.core.get().set_hosted(wait != Wait::Poll);
        Ok(match wait {
            Wait::Poll => Some(Duration::ZERO),
            // As a duration, for outside of the loop its clock means nothing.
            Wait::Until(deadline) => Some(deadline - Instant::now()),
            Wait::Forever => None,
        })
    }

    /// Whether a turn would find something to run without waiting: what is ready, what other threads
    /// sent, a timer that was set too late.
    pub fn has_ready(&self) -> bool {
        let core = self.core.get();
        !core.ready.is_empty() || core.inject.is_pending() || core.timers.has_overdue()
    }

    /// The deadline up to which a wait may last, as far as timers are concerned.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.core.get().timers.next_wake()
    }

    /// A reference to this loop, for callbacks and tasks.
    pub fn loop_ref(&self) -> LoopRef {
        LoopRef::new(self.core.counted())
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

    /// Begins a run.
    #[track_caller]
    fn start(&self) -> Running {
        if let Err(nested) = Self::ensure_no_loop() {
            panic!("{nested}");
        }
        // Also where the thread was made to forget the loop that is running.
        assert!(
            !self.core.get().is_running(),
            "this loop is running already, further out on this stack"
        );
        self.core.get().set_running(true);
        self.core.get().set_hosted(false);
        Running {
            entered: Entered::new(self.core),
        }
    }

    /// Turns the loop until `task` is complete, whose handle the caller has, or until it is stopped, or
    /// until the one turn is over that [`Executor::single`] asks for.
    ///
    /// Not generic, and the only place where turns come one after the other, so that they are inlined here.
    fn turn_until(&self, task: Option<TaskRef>) -> io::Result<Ended> {
        let core = self.core.get();
        if core.is_stopping() {
            // Asked before the run: this run is one turn.
            self.single.set(Single::Next(Some(Duration::ZERO)));
        }
        if !matches!(self.single.get(), Single::No) {
            self.polls_until.set(0); // So that it looks outside.
        }
        let never = crate::shim::Cell::new(Flags::NONE);
        let flags = task.map_or(&never, |task| &task.header().flags);
        let interrupt = loop {
            if flags.get().has(Flags::COMPLETE) {
                break None;
            }
            if let Err(interrupt) = self.turn() {
                break Some(interrupt);
            }
        };
        self.single.set(Single::No);
        core.running.set(None);
        current::set_task_id(None);
        match interrupt {
            // Who has asked to stop meanwhile has got what it asked for.
            None => {
                core.take_stop();
                // A panic of the main future itself is for whoever has called `run`.
                if !flags.get().has(Flags::PANICKED) {
                    self.ensure_no_panic()?;
                }
                Ok(Ended::Done)
            }
            Some(Interrupt::End) if core.take_stop() => Ok(Ended::Stopped),
            Some(Interrupt::End) => Ok(Ended::OneTurn),
            Some(Interrupt::Failure(error)) => Err(error),
        }
    }

    /// One turn of the loop. Its stages have the same numbers in `ARCHITECTURE.md`.
    #[inline(always)]
    fn turn(&self) -> Result<(), Interrupt> {
        let core = self.core.get();
        // Stages 1 to 4 look outside of the tasks. A loop that is busy with tasks skips them until its
        // budget is used up, another thread sends something, or a timer is set that is due already.
        let is_busy = !core.ready.is_empty()
            && self.has_polls_left()
            && !core.inject.is_pending()
            && !core.timers.has_overdue();
        if !is_busy {
            self.look_outside()?;
            if core.debug.is_on() {
                core.run_watched();
                return Ok(());
            }
        }
        self.run_snapshot();
        Ok(())
    }

    /// Stage 5 of a turn.
    #[inline(always)]
    fn run_snapshot(&self) {
        let core = self.core.get();
        // 5. Run what is ready at this point, first in, first out. What becomes ready meanwhile runs
        //    in the next turn.
        let polls = core.ready.run_snapshot(|task| task.run(core));
        core.counters.count_turn(polls);
    }

    /// Stages 1 to 4 of a turn, unless the one before was to be the last.
    #[inline(never)]
    fn look_outside(&self) -> Result<(), Interrupt> {
        self.ensure_no_panic().map_err(Interrupt::Failure)?;
        let limit = match self.single.get() {
            Single::No if self.core.get().is_stopping() => return Err(Interrupt::End),
            Single::No => Limit::Budget,
            Single::Next(at_most) => {
                self.single.set(Single::Over);
                Limit::One(at_most)
            }
            Single::Over => return Err(Interrupt::End),
        };
        let result = self.look_outside_for(limit);
        if let Some(shuffle) = &self.shuffle {
            shuffle.permute(&self.core.get().ready);
        }
        if limit.is_one() || self.shuffle.is_some() || self.core.get().debug.is_on() {
            // The next turn looks outside too: for its end, to be shuffled, or to be watched.
            self.polls_until.set(0);
        }
        result.map_err(Interrupt::Failure)
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
    #[inline]
    fn look_outside_for(&self, limit: Limit) -> io::Result<()> {
        let core = self.core.get();
        core.running.set(None);
        current::set_task_id(None);
        budget::end();
        wait::clear();

        // 1. Take what other threads sent.
        if core.inject.is_pending() {
            self.take_messages(core);
        }

        // 2. Park in the reactor, which
        // 3. wakes what its events woke.
        let is_idle = core.ready.is_empty();
        let mut look_at_timers = core.timers.has_overdue();
        let must_ask = is_idle || limit.is_one() || core.was_left_by_fork();
        if must_ask || self.is_budget_spent() {
            let wait = if is_idle && !core.is_stopping() {
                limit.cut(core.timers.idle_wait())
            } else {
                Wait::Poll
            };
            if is_idle {
                core.pool.trim();
            }
            core.counters.count_park();
            self.park(wait)?;
            let found_nothing = core.ready.is_empty() && !core.inject.is_pending();
            if is_idle && found_nothing && wait == Wait::Poll && !core.is_stopping() {
                core.timers.skip_to_next();
            }
            self.renew_budget();
            look_at_timers |= !core.timers.is_empty();
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
                Message::Call(call) => call.deliver(self.core),
                Message::Spawn(spawn) => spawn.deliver(self.core),
                Message::Stop => core.stop(),
            }
        }
        self.spare.set(messages);
        if core.inject.take_interrupt()
            && let Some(main) = core.main.get()
        {
            main.cancel(CancelReason::Signal);
        }
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
        self.0.get().main.set(None);
        current::set_task_id(None);
    }
}

/// Whether a run consists of one turn.
#[derive(Clone, Copy)]
enum Single {
    No,
    /// The next one is it, and waits no longer than this.
    Next(Option<Duration>),
    /// It has looked outside. The run ends at the next look.
    Over,
}

/// How long a look outside may wait.
#[derive(Clone, Copy)]
enum Limit {
    /// As the loop's own budget says.
    Budget,
    /// It is asked for one turn: the reactor is always asked, and waits no longer than this.
    One(Option<Duration>),
}

impl Limit {
    #[inline]
    fn is_one(self) -> bool {
        matches!(self, Limit::One(_))
    }

    #[inline]
    fn cut(self, wait: Wait) -> Wait {
        let Limit::One(Some(at_most)) = self else {
            return wait;
        };
        if at_most.is_zero() {
            return Wait::Poll;
        }
        let end = Instant::now() + at_most;
        match wait {
            Wait::Poll => Wait::Poll,
            Wait::Until(deadline) => Wait::Until(deadline.min(end)),
            Wait::Forever => Wait::Until(end),
        }
    }
}

/// Why a turn did not take place.
enum Interrupt {
    /// The one before was the last: the loop was asked to stop, or to turn once.
    End,
    /// The operating system refused to wait.
    Failure(io::Error),
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The task is complete.
    Done,
    /// The loop was asked to stop.
    Stopped,
    /// It was to be one turn.
    OneTurn,
}

fn is_cancelled<T>(task: &JoinHandle<T>) -> bool {
    task.task_ref().header().flags.get().has(Flags::CANCELLED)
}

/// The value of a complete task that was not cancelled; its panic goes on.
fn value_of<T>(task: &mut JoinHandle<T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(task).poll(&mut cx) {
        Poll::Ready(Ok(value)) => value,
        Poll::Ready(Err(error)) => match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            Err(error) => unreachable!("the task was not cancelled: {error}"),
        },
        Poll::Pending => unreachable!("the task is finished"),
    }
}

/// While it lives, a loop runs.
struct Running {
    entered: Entered,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.entered.core.get().running.set(None);
        self.entered.core.get().set_running(false);
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

/// The main future of a run was cancelled, and has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MainCancelled {
    reason: CancelReason,
}

impl MainCancelled {
    /// Why.
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }
}

impl fmt::Display for MainCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the main future was cancelled: {}", self.reason)
    }
}

impl std::error::Error for MainCancelled {}

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
