//! The executor of tulipa: a ready queue, tasks, timers, and the turn that moves them. It knows no
//! operating system: all it asks of the outside is the [`Park`] trait.
//!
//! Programs use this crate through the `tulipa` facade.
//!
//! # Map
//! - [`executor`]: the [`Executor`], its configuration, and the turn with its numbered stages.
//! - [`park`]: what the executor asks of whoever waits for the operating system.
//! - [`task`]: the task's block of memory, its wakers and its [`JoinHandle`].
//! - [`timer`]: the wheel, and [`Sleep`], [`Timeout`], [`Interval`] on it; the pausable clock.
//! - [`yield_now()`]: giving the others a turn. [`report`]: failures that nobody else looks at; [`unhandled`]: what
//!   follows from panics among them.
//! - Looking inside: [`dump`], all tasks and what they wait for; [`metrics`]; [`debug`], debug mode.
//! - `core` (private): the state of one loop, and which thread owns it; `inject` (private): what
//!   other threads send; `ready_queue` (private).
//!
//! # Threads
//! Everything here stays on the thread that made it, but [`std::task::Waker`]: waking, cloning and
//! dropping wakers is legal on any thread.

pub mod cancel;
pub mod debug;
pub mod dump;
pub mod executor;
pub mod metrics;
pub mod park;
pub mod report;
pub mod task;
pub mod timer;
pub mod unhandled;

mod biased_count;
mod core;
mod inject;
#[cfg(loom)]
mod loom_models;
mod ready_queue;
mod shim;
mod yield_now;

pub use executor::{Config, Executor, NestedLoop};
pub use park::{Park, Unpark, Wait};
pub use report::{ExceptionContext, ExceptionKind};
pub use task::{JoinError, JoinHandle, NoLoop, TaskId};
pub use timer::{Elapsed, Interval, MissedTickBehavior, Sleep, Timeout};
pub use tulipa_base::Instant;
pub use yield_now::{YieldNow, yield_now};
