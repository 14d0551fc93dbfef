//! The executor of tulipa: a ready queue, tasks, timers, and the turn that moves them. It knows no
//! operating system: all it asks of the outside is the [`Park`] trait.
//!
//! Programs use this crate through the `tulipa` facade.
//!
//! # Map
//! - [`executor`]: the [`Executor`], its configuration, and the turn with its numbered stages.
//! - [`park`]: what the executor asks of whoever waits for the operating system.
//! - [`task`]: the task's block of memory, its wakers and its [`JoinHandle`].
//! - [`combine`]: waiting for several futures, or several tasks.
//! - [`timer`]: the wheel, and [`Sleep`], [`Timeout`], [`Interval`] on it; the pausable clock.
//! - [`yield_now()`]: giving the others a turn. [`report`]: failures that nobody else looks at.
//! - `core` (private): the state of one loop, and which thread owns it; `inject` (private): what
//!   other threads send; `ready_queue` (private).
//!
//! # Threads
//! Everything here stays on the thread that made it, but [`std::task::Waker`]: waking, cloning and
//! dropping wakers is legal on any thread.

pub mod combine;
pub mod executor;
pub mod park;
pub mod report;
pub mod task;
pub mod timer;

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
