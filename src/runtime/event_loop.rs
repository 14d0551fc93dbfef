//! The event loop, as its owner holds it: runs it, turns it, lends it to another loop, closes it.

use std::fmt;
use std::future::Future;
use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use tulipa_base::Instant;
use tulipa_blocking::current::{EnteredPools, LoopPools};
use tulipa_executor::dump::Dump;
use tulipa_executor::metrics::Metrics;
use tulipa_executor::report::ExceptionKind;
use tulipa_executor::shutdown::ShutdownReport;
use tulipa_executor::{
    Executor, Handle, JoinHandle, LoopClosed, LoopRef, RemoteHandle, Stopped, TimerHandle, Turn,
};
use tulipa_reactor::termination::{Termination, Watch};
use tulipa_reactor::{Driver, fork};

use crate::runtime::builder::{Builder, Ending};
use crate::runtime::parked::{OnSignal, Parked, Signals};

/// An event loop, in the hands of its owner.
///
/// Most programs need [`run`](crate::run) or a [`Runner`](crate::runtime::Runner) only. This is for those
/// that run a loop for ever and [stop](EventLoop::stop) it, turn it by hand, or let another event loop wait
/// for it. Code inside the loop gets at it through [`EventLoop::current`].
///
/// Dropping it closes the loop: every task that is left is dropped on this thread, oldest first; then
/// callbacks and timers, uncalled.
///
/// # Inside another event loop
/// A host (the loop of a graphical toolkit, or another runtime) waits for this loop's descriptor among its
/// own, and turns it when there is something to do. Again and again:
///
/// 1. `let timeout = event_loop.prepare_wait()?`.
/// 2. Wait until [`as_fd`](EventLoop::as_fd) is readable, or `timeout` is over (`None` is for ever). If
///    what waits counts in milliseconds, round up.
/// 3. `event_loop.turn(Some(Duration::ZERO))?`, also if the host woke up for another reason and is not sure.
///
/// The descriptor becomes readable when a socket is ready; when anybody, on another thread or in the host,
/// wakes a task or schedules something after `prepare_wait`; and, on Linux, at the deadline, to the
/// microsecond. It stays readable until the turn. A host that is told of changes only (tokio's `AsyncFd`)
/// forgets the readiness before the turn, not after it. A prepared wait need not take place, and preparing
/// again is cheap. `examples/embed.rs` does all this with poll(2), `examples/embed_tokio` with tokio.
///
/// # Examples
/// ```
/// use tulipa::runtime::EventLoop;
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = EventLoop::new()?;
/// event_loop.call_soon(|| println!("called in the loop"));
/// event_loop.spawn(async { EventLoop::current().stop() });
/// event_loop.run_forever()?;
/// assert_eq!(event_loop.run_until_complete(async { 6 * 7 }).unwrap(), 42);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "new_event_loop")]
#[doc(alias = "Loop")]
pub struct EventLoop {
    // The order matters: tasks, and the sockets in them, go before the driver.
    executor: Option<Executor<Parked>>,
    driver: Rc<Driver>,
    this: LoopRef,
    signals: Rc<Signals>,
    ending: Ending,
    /// Instead of cancelling the main future.
    on_signal: Option<OnSignal>,
    blocking: Rc<LoopPools>,
}

/// What a loop is made of.
pub(super) struct Parts {
    pub(super) executor: Executor<Parked>,
    pub(super) driver: Rc<Driver>,
    pub(super) signals: Rc<Signals>,
    pub(super) ending: Ending,
    pub(super) blocking: Rc<LoopPools>,
}

impl EventLoop {
    /// A loop with everything as by default.
    ///
    /// # Errors
    /// See [`Builder::build`].
    pub fn new() -> io::Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// Sets up a loop.
    pub fn builder() -> Builder<EventLoop> {
        Builder::default()
    }

    pub(super) fn from_parts(parts: Parts) -> EventLoop {
        fork::set_hook(EventLoop::after_fork);
        EventLoop {
            this: parts.executor.loop_ref(),
            executor: Some(parts.executor),
            driver: parts.driver,
            signals: parts.signals,
            ending: parts.ending,
            on_signal: None,
            blocking: parts.blocking,
        }
    }

    // ---- from inside ----

    /// The loop that runs on this thread.
    ///
    /// # Panics
    /// Where none runs; [`try_current`](EventLoop::try_current) says so instead.
    ///
    /// # Examples
    /// ```
    /// use tulipa::runtime::EventLoop;
    ///
    /// tulipa::run(async {
    ///     let this_loop = EventLoop::current();
    ///     assert!(this_loop.is_running());
    /// });
    /// assert!(EventLoop::try_current().is_none());
    /// ```
    #[track_caller]
    #[doc(alias = "get_running_loop")]
    #[doc(alias = "get_event_loop")]
    pub fn current() -> LoopRef {
        LoopRef::current()
    }

    /// The loop that runs on this thread, if one does.
    ///
    /// In the child of a fork none does: see [`after_fork`](EventLoop::after_fork).
    #[doc(alias = "_get_running_loop")]
    pub fn try_current() -> Option<LoopRef> {
        LoopRef::try_current()
    }

    /// Makes this thread forget that a loop runs on it: for the child of a fork.
    ///
    /// It happens by itself in the child of `fork(2)`. A program that makes children by other means (the
    /// raw system call) calls it there. A child that was forked inside of a loop is outside of it:
    /// [`try_current`](EventLoop::try_current) finds none, [`spawn`](crate::spawn) panics, and a loop of its
    /// own may be started. The parent's loop cannot be used: should the child come back into it, what is
    /// ready in that turn still runs, and then the run ends with an error. So a child is to end
    /// (`_exit(2)`), to call `exec`, or to run its own loop, and then to end.
    #[doc(alias = "fork")]
    pub fn after_fork() {
        LoopRef::forget_current();
        Driver::forget_current();
    }

    // ---- running ----

    /// Runs the loop until it is [stopped](EventLoop::stop).
    ///
    /// Stopped before, it runs one turn, without waiting.
    ///
    /// # Errors
    /// - When a loop runs on this thread already: an error with
    ///   [`NestedLoop`](crate::runtime::NestedLoop) inside.
    /// - What the operating system says when it refuses to wait for events.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tulipa::runtime::EventLoop;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = EventLoop::new()?;
    /// event_loop.call_later(Duration::from_millis(1), || EventLoop::current().stop());
    /// event_loop.run_forever()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_forever(&self) -> io::Result<()> {
        let executor = self.executor()?;
        let _entered = self.enter();
        executor.run_forever()
    }

    /// Starts `future` as a task, called `main`, and runs the loop until it is complete.
    ///
    /// # Errors
    /// [`Stopped`], when the loop is stopped first, or the operating system refuses to wait. The task is
    /// in it, unfinished: it goes on in later runs, and one of them may await it.
    ///
    /// # Panics
    /// - When a loop runs on this thread already.
    /// - When `future` panics, with its payload.
    ///
    /// # Examples
    /// ```
    /// use tulipa::runtime::EventLoop;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = EventLoop::new()?;
    /// event_loop.stop();
    /// let stopped = event_loop.run_until_complete(async {
    ///     tulipa::yield_now().await;
    ///     "late"
    /// });
    /// let task = stopped.unwrap_err().into_task();
    /// assert_eq!(event_loop.run_until_complete(task).unwrap().unwrap(), "late");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn run_until_complete<F>(&self, future: F) -> Result<F::Output, Stopped<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let _entered = self.enter();
        self.open().run_task(future)
    }

    /// Runs the loop until `future` is complete, which may borrow from the caller.
    ///
    /// # Panics
    /// - When a loop runs on this thread already.
    /// - When `future` panics, with its payload.
    /// - When the loop is [stopped](EventLoop::stop) first, or the operating system refuses to wait;
    ///   [`try_block_on`](EventLoop::try_block_on) returns that as an error.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.try_block_on(future) {
            Ok(output) => output,
            Err(error) => panic!("tulipa: {error}"),
        }
    }

    /// Runs the loop until `future` is complete, which may borrow from the caller.
    ///
    /// # Errors
    /// - When a loop runs on this thread already: an error with
    ///   [`NestedLoop`](crate::runtime::NestedLoop) inside.
    /// - When the loop is [stopped](EventLoop::stop) first: an error with
    ///   [`StoppedEarly`](crate::runtime::StoppedEarly) inside.
    /// - What the operating system says when it refuses to wait for events.
    ///
    /// The future is dropped then.
    ///
    /// # Panics
    /// When `future` panics, with its payload.
    #[track_caller]
    pub fn try_block_on<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let executor = self.executor()?;
        let _entered = self.enter();
        let _watching = self.watch_signals(executor)?;
        executor.run(future)
    }

    /// Runs one turn of the loop. It waits until something happens, but no longer than `timeout`; `None` is
    /// as long as it takes.
    ///
    /// The turn takes what other threads sent, waits, and runs what is ready then. What that makes ready is
    /// left for the next turn. With a paused clock a turn that finds nothing to do moves the clock to the
    /// next deadline, whatever the timeout.
    ///
    /// # Errors
    /// - When a loop runs on this thread already: an error with
    ///   [`NestedLoop`](crate::runtime::NestedLoop) inside.
    /// - What the operating system says when it refuses to wait for events.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tulipa::runtime::{EventLoop, Turn};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = EventLoop::new()?;
    /// let handle = event_loop.call_soon(|| EventLoop::current().stop());
    /// assert_eq!(event_loop.turn(Some(Duration::ZERO))?, Turn::Stopped);
    /// assert!(handle.is_finished());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "_run_once")]
    pub fn turn(&self, timeout: Option<Duration>) -> io::Result<Turn> {
        let executor = self.executor()?;
        let _entered = self.enter();
        executor.turn_once(timeout)
    }

    /// Ends the run when what is ready in this turn has run. See [`LoopRef::stop`].
    pub fn stop(&self) {
        self.this.stop();
    }

    /// Closes the loop: what dropping it does.
    pub fn close(self) {
        drop(self);
    }

    // ---- scheduling ----

    /// Calls `callback` in the next turn. See [`call_soon`](crate::runtime::call_soon).
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        still_open(self.this.call_soon(callback))
    }

    /// Calls `callback` when `delay` has passed on the loop's clock. See
    /// [`call_at`](crate::runtime::call_at).
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        still_open(self.this.call_later(delay, callback))
    }

    /// Calls `callback` once the loop's clock has reached `when`. See
    /// [`call_at`](crate::runtime::call_at).
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
        still_open(self.this.call_at(when, callback))
    }

    /// Starts a task, which runs when the loop does. See [`spawn`](crate::spawn).
    #[track_caller]
    #[doc(alias = "create_task")]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        still_open(self.this.spawn(future))
    }

    /// What callbacks and tasks may hold of this loop, also before it runs.
    pub fn loop_ref(&self) -> LoopRef {
        self.this.clone()
    }

    /// What other threads may hold of this loop.
    pub fn remote(&self) -> RemoteHandle {
        self.this.remote()
    }

    // ---- state ----

    /// Whether the loop runs now.
    pub fn is_running(&self) -> bool {
        self.this.is_running()
    }

    /// The time on the loop's clock, which may be virtual.
    pub fn time(&self) -> Instant {
        self.this.time()
    }

    /// The name of the reactor's backend.
    pub fn reactor_name(&self) -> &'static str {
        self.driver.reactor_name()
    }

    /// Numbers about this loop. Inside of a run there is [`metrics`](crate::runtime::metrics).
    pub fn metrics(&self) -> Metrics {
        self.open().metrics()
    }

    /// Looks at all unfinished tasks of this loop. Inside of a run there is [`task::dump`](crate::task::dump).
    pub fn dump(&self) -> Dump {
        self.open().dump()
    }

    // ---- inside another event loop ----

    /// The descriptor that becomes readable when a turn would find something: see the
    /// [type's text](EventLoop#inside-another-event-loop). It is for waiting only.
    ///
    /// `None` if the reactor has none (`poll`), or the system refuses a duplicate of it: the host then has
    /// to give this loop turns that wait, on a thread of their own.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.driver.descriptor().ok().flatten()
    }

    /// Prepares for a wait by the host, and says how long it may take: at most so long, `None` for ever,
    /// zero not at all. See the [type's text](EventLoop#inside-another-event-loop).
    ///
    /// # Errors
    /// - `Unsupported`, when the reactor has no descriptor to wait for.
    /// - When a loop runs on this thread already: an error with
    ///   [`NestedLoop`](crate::runtime::NestedLoop) inside.
    /// - What the operating system says.
    pub fn prepare_wait(&self) -> io::Result<Option<Duration>> {
        self.executor()?.prepare_wait()
    }

    /// Whether a turn would find something to run without waiting.
    pub fn has_ready(&self) -> bool {
        self.open().has_ready()
    }

    /// When timers have to be looked at next, on the loop's clock ([`time`](EventLoop::time)), if any is
    /// set.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.open().next_deadline()
    }

    /// Ends the loop in order, and says what happened.
    ///
    /// 1. Every task that is left is [cancelled](crate::task::Task::cancel), so that it can clean up, oldest first. Members
    ///    of groups are left to their groups. Tasks that clean-ups spawn are cancelled when the tasks before them have
    ///    ended.
    /// 2. The loop runs until all of them have ended, or the [grace period](Builder::shutdown_grace) is over. Tasks
    ///    that have not ended then are named, to the exception handler and in the report.
    /// 3. Blocking work is refused from now on, what is queued is dropped, what runs is asked to stop; that takes as
    ///    long as another grace period.
    /// 4. The loop is closed: tasks that did not end are dropped where they wait.
    ///
    /// Whatever goes wrong with waiting for the operating system ends the wait, and the loop is closed.
    ///
    /// # Panics
    /// When a loop runs on this thread already.
    #[doc(alias = "shutdown_default_executor")]
    #[doc(alias = "shutdown_asyncgens")]
    pub fn shutdown(self) -> ShutdownReport {
        let mut report = {
            let _entered = self.enter();
            match self.open().shutdown(self.ending.grace) {
                Ok(report) => report,
                Err(error) => {
                    let context =
                        format!("the tasks that are left could not be waited for: {error}");
                    tulipa_executor::report::report(ExceptionKind::Other, &context);
                    ShutdownReport::default()
                }
            }
        };
        if let Some(outcome) = self.blocking.shutdown(self.ending.grace) {
            let abandoned = outcome.abandoned.iter().map(ToString::to_string);
            report.abandoned_threads.extend(abandoned);
        }
        report
    }

    /// Ends the loop like [`shutdown`](EventLoop::shutdown), but at once where another loop runs on this thread.
    pub(super) fn end(self) -> ShutdownReport {
        match self.executor() {
            Ok(_) => self.shutdown(),
            Err(_) => ShutdownReport::default(),
        }
    }

    /// The code that the process is to exit with, if `exit` was called.
    pub(super) fn exit_code(&self) -> Option<i32> {
        self.open().exit_code()
    }

    /// The signal that came in the last run, if one did.
    pub(super) fn signal(&self) -> Option<Termination> {
        self.signals.last()
    }

    /// Lets a signal lead to this, instead of cancelling the main future.
    pub(super) fn set_on_signal(&mut self, on_signal: OnSignal) {
        self.on_signal = Some(on_signal);
    }

    /// Makes this thread's sockets and blocking work this loop's.
    fn enter(&self) -> (tulipa_reactor::driver::Entered, EnteredPools) {
        (self.driver.enter(), self.blocking.enter())
    }

    /// Watches for signals until the guard is dropped.
    fn watch_signals(&self, executor: &Executor<Parked>) -> io::Result<Option<Watching<'_>>> {
        if self.ending.signals.is_empty() {
            return Ok(None);
        }
        let watch = Watch::new(&self.ending.signals, &self.driver.unparker())?;
        let on_signal = self.on_signal.clone().unwrap_or_else(|| {
            let interrupter = executor.interrupter();
            Rc::new(move || interrupter.interrupt())
        });
        self.signals.watch(watch, on_signal);
        Ok(Some(Watching(&self.signals)))
    }

    /// The executor, if a loop may run here.
    fn executor(&self) -> io::Result<&Executor<Parked>> {
        Executor::<Parked>::ensure_no_loop().map_err(io::Error::other)?;
        self.driver.ensure_same_process()?;
        Ok(self.open())
    }

    fn open(&self) -> &Executor<Parked> {
        self.executor.as_ref().expect("only drop takes it")
    }
}

/// While it lives, a loop watches for signals.
struct Watching<'a>(&'a Signals);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.rest();
    }
}

/// The owner's loop is open as long as the owner is there.
#[track_caller]
fn still_open<T>(result: Result<T, LoopClosed>) -> T {
    result.expect("only drop closes the loop")
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        let _entered = self.enter();
        drop(self.executor.take());
        self.blocking.close();
        self.driver.close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("executor", &self.executor)
            .field("driver", &self.driver)
            .finish()
    }
}
