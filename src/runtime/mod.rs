//! The runtime: how a loop is set up, run and closed, and which reactor it waits with.

mod event_loop;
mod runner;

use std::future::Future;

pub use runner::{Builder, Runner};
pub use tulipa_executor::debug::{
    is_debug, set_debug, set_slow_callback_duration, slow_callback_duration,
};
pub use tulipa_executor::executor::NestedLoop;
pub use tulipa_executor::metrics::{Metrics, metrics, try_metrics};
pub use tulipa_executor::report::{ExceptionContext, ExceptionHandler, ExceptionKind};
pub use tulipa_executor::unhandled::{PanicPolicy, UnhandledPanic};

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
/// When it is complete, tasks that are left are dropped, oldest first, and the loop is closed. The
/// future may borrow from the caller.
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
#[doc(alias = "block_on")]
#[doc(alias = "run_until_complete")]
pub fn run<F: Future>(future: F) -> F::Output {
    match Runner::builder().build() {
        Ok(mut runner) => runner.run(future),
        Err(error) => panic!("tulipa: could not start the event loop: {error}"),
    }
}
