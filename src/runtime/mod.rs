//! The runtime: how a loop is set up, run and closed, which reactor it waits with, and the loop's own
//! interface: callbacks, timers that call, promises, and what other threads hold of it.
//!
//! - [`Runner`] runs futures one after the other. [`EventLoop`] is what is below: run for ever and stopped,
//!   turned by hand, or waited for by another event loop.
//! - [`LoopRef`] is the loop as its own tasks and callbacks hold it: [`EventLoop::current`].
//!   [`RemoteHandle`] is what other threads hold.
//! - [`call_soon`], [`call_later`], [`call_at`]: closures that the loop calls, with a [`Handle`] to cancel
//!   them. They share the ready queue with tasks: first ready, first run.
//! - [`Promise`]: a value that is set once and awaited by many.
//! - [`Builder`] sets a loop up: the reactor, Ctrl-C, the grace period of a shutdown, who hears of failures.
//!   [`exit`] ends the program in order, from anywhere in it.
//! - [`Builder::threads`]: the same program on several loops, each on a thread of its own.
//! - [`metrics()`], [`set_debug`]: numbers, and a debug mode that reports slow polls.
//!
//! # From start to end
//! [`run`], and [`#[tulipa::main]`](crate::main), do all of this; a [`Runner`] does it step by step:
//! ```
//! use std::time::Duration;
//! use tulipa::runtime::Runner;
//!
//! # fn main() -> std::io::Result<()> {
//! let mut runner = Runner::builder()
//!     .handle_ctrl_c(true)
//!     .shutdown_grace(Duration::from_secs(5))
//!     .exception_handler(|context| eprintln!("{context}"))
//!     .build()?;
//! let answer = runner.run(async { 42 });
//! let report = runner.close(); // Cancels what is left, and waits for its clean-up.
//! assert!(report.is_clean(), "{report}");
//! # assert_eq!(answer, 42);
//! # Ok(())
//! # }
//! ```

mod builder;
mod event_loop;
mod parked;
mod runner;
mod threads;

use std::future::Future;

pub use builder::Builder;
pub use event_loop::EventLoop;
pub use runner::Runner;
pub use threads::{
    ThreadOutput, Threads, ThreadsOutcome, thread_count, thread_index, thread_remotes,
};
pub use tulipa_executor::callback::{
    CancelOnDrop, Handle, TimerCancelOnDrop, TimerHandle, call_at, call_later, call_soon,
};
pub use tulipa_executor::debug::{
    is_debug, set_debug, set_slow_callback_duration, slow_callback_duration,
};
pub use tulipa_executor::executor::{MainCancelled, NestedLoop};
pub use tulipa_executor::loop_ref::{LoopClosed, LoopRef};
pub use tulipa_executor::metrics::{Metrics, metrics, try_metrics};
pub use tulipa_executor::promise::{AlreadySet, CallbackId, Promise, PromiseError, PromiseWait};
pub use tulipa_executor::remote::{RemoteCall, RemoteHandle, RemoteTask};
pub use tulipa_executor::report::{ExceptionContext, ExceptionHandler, ExceptionKind};
pub use tulipa_executor::shutdown::{ShutdownReport, StuckTask, exit};
pub use tulipa_executor::stop::{Stopped, StoppedEarly, Turn};
pub use tulipa_executor::unhandled::{PanicPolicy, UnhandledPanic};
pub use tulipa_reactor::termination::Termination;

/// The reactor: what waits for the operating system.
///
/// A loop uses the backend that the environment variable `TULIPA_REACTOR` names, or `mio` (epoll,
/// kqueue, IOCP). `poll` (poll(2)) is there on any Unix. A program chooses with
/// [`Builder::reactor`](super::runtime::Builder::reactor), by name or with a [`Reactor`](reactor::Reactor)
/// of its own.
pub mod reactor {
    pub use tulipa_base::clock::{View, set_view};
    pub use tulipa_reactor::backend::{VARIABLE, names};
    pub use tulipa_reactor::reactor::{Event, Interest, Reactor, Readiness, Token, Wait, Wakeup};
    pub use tulipa_reactor::{Choice, Source};
}

/// Runs a future on a new event loop on this thread, and returns its value.
///
/// When it is complete, whatever came of it, tasks that are left are asked to end, and their clean-up is awaited; then
/// the loop is closed. See [`EventLoop::shutdown`] for the phases. The future may borrow from the caller.
///
/// Ctrl-C does what it always does: ends the process. With [`#[tulipa::main]`](crate::main), or
/// [`Builder::handle_ctrl_c`], it cancels the future.
///
/// # Panics
/// - When a loop runs on this thread already: await the future there instead.
/// - When the operating system refuses what a loop needs (descriptors, mostly), or `TULIPA_REACTOR`
///   names a reactor that does not exist. [`Builder::build`] returns that as an error.
/// - When the future panics, with its payload.
///
/// # Examples
/// ```
/// let words = vec!["one", "loop"];
/// let count = tulipa::run(async { words.len() });
/// assert_eq!(count, 2);
/// ```
#[track_caller]
#[doc(alias = "asyncio.run")]
#[doc(alias = "block_on")]
#[doc(alias = "run_until_complete")]
pub fn run<F: Future>(future: F) -> F::Output {
    match Runner::builder().build() {
        Ok(runner) => runner.run_and_close(future),
        Err(error) => panic!("tulipa: could not start the event loop: {error}"),
    }
}
