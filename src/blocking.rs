//! Work that blocks: on threads of its own, awaited like any task.
//!
//! Files, name look-ups, and libraries without an async face would hold up the whole loop. They go to a pool of
//! threads that each loop has: none until it is needed, at most as many as
//! [set](crate::runtime::Builder::max_blocking_threads), 32 by default. Jobs beyond that wait their turn. Name
//! look-ups have a [lane of their own](crate::runtime::Builder::max_look_ups), so that those that hang leave the rest alone.
//!
//! # Examples
//! ```
//! # tulipa::run(async {
//! let answer = tulipa::spawn_blocking(|| std::fs::read_to_string("/no/such/file")).await;
//! assert!(answer.unwrap().is_err());
//! # });
//! ```
//!
//! A job that looks whether it is still wanted:
//! ```
//! use std::time::Duration;
//! use tulipa::blocking::spawn_blocking_with_stop;
//!
//! # tulipa::run(async {
//! let job = spawn_blocking_with_stop(|stop| {
//!     let mut rounds = 0;
//!     while !stop.wait_timeout(Duration::from_millis(1)) {
//!         rounds += 1;
//!     }
//!     rounds
//! });
//! job.cancel();
//! let _rounds = job.await;
//! # });
//! ```

use std::panic::Location;

use tulipa_blocking::current::{Lane, current};
use tulipa_executor::context::Context;

pub use tulipa_blocking::{
    AbandonedJob, BlockingError, BlockingHandle, CancelOnDrop, Config, JobPanic, Pool,
    ShutdownOutcome, StopToken, ThreadName, WaitIdle,
};

/// Runs a closure that blocks on a thread of the loop's pool.
///
/// Dropping the handle, as cancelling the task that awaits it does, detaches the job: it goes on if it has begun, and its
/// result is dropped. [`BlockingHandle::cancel_on_drop`] takes it off the queue instead. Values of `shared` context
/// variables ([`context_local!`](crate::task::context_local)) are seen inside.
///
/// # Panics
/// Outside of a loop.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let sum = tulipa::spawn_blocking(|| (1..=1_000_u64).sum::<u64>()).await;
/// assert_eq!(sum.unwrap(), 500_500);
/// # });
/// ```
#[track_caller]
#[doc(alias = "to_thread")]
#[doc(alias = "run_in_executor")]
#[doc(alias = "unblock")]
pub fn spawn_blocking<F, T>(job: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let context = Context::current().shared();
    current_pool(Location::caller()).spawn(move || context.enter(job))
}

/// Runs a closure that blocks, like [`spawn_blocking`], and lends it a token by which it learns that it is not wanted
/// any more: because its handle was [cancelled](BlockingHandle::cancel), or the loop shuts down.
///
/// # Panics
/// Outside of a loop.
#[track_caller]
pub fn spawn_blocking_with_stop<F, T>(job: F) -> BlockingHandle<T>
where
    F: FnOnce(StopToken) -> T + Send + 'static,
    T: Send + 'static,
{
    let context = Context::current().shared();
    let pool = current_pool(Location::caller());
    pool.spawn_with_stop(move |stop| context.enter(|| job(stop)))
}

/// The pool of the loop that runs on this thread.
///
/// # Panics
/// Outside of a loop.
#[track_caller]
pub fn pool() -> Pool {
    current_pool(Location::caller())
}

fn current_pool(caller: &Location<'_>) -> Pool {
    match current(Lane::Work) {
        Some(pool) => pool,
        None => panic!(
            "no tulipa event loop runs on this thread (used at {caller}): start the program with \
             #[tulipa::main], or call this from inside tulipa::run(..)"
        ),
    }
}
