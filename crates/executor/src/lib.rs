//! The executor of tulipa: a ready queue, tasks, timers, and the turn that moves them. It knows no
//! operating system: all it asks of the outside is the [`Park`] trait.
//!
//! Programs use this crate through the `tulipa` facade.
//!
//! # Map
//! - [`executor`]: the [`Executor`], its configuration, and the turn with its numbered stages.
//! - [`park`]: what the executor asks of whoever waits for the operating system.
//! - [`task`]: the task's block of memory, its wakers and its [`JoinHandle`].
//! - [`callback`]: closures in the same queue, and their handles. [`loop_ref`]: what code in the loop holds
//!   of it. [`remote`]: what other threads hold of it. [`stop`]: how a run ends early.
//! - [`promise`]: a value that is set once and awaited by many.
//! - [`combine`]: waiting for several futures, or several tasks.
//! - [`timer`]: the wheel, and [`Sleep`], [`Timeout`], [`Interval`] on it; the pausable clock.
//! - [`yield_now()`]: giving the others a turn. [`report`]: failures that nobody else looks at; [`unhandled`]: what
//!   follows from panics among them.
//! - Looking inside: [`dump`], all tasks and what they wait for; [`metrics`]; [`debug`], debug mode.
//! - `core` (private): the state of one loop, and which thread owns it; `inject` (private): what
//!   other threads send; `ready_queue` and `shuffle` (private).
//!
//! # Threads
//! Everything here stays on the thread that made it, but [`std::task::Waker`] and what is in [`remote`]:
//! waking, cloning and dropping wakers is legal on any thread.

pub mod callback;
pub mod cancel;
pub mod combine;
pub mod context;
pub mod debug;
pub mod dump;
pub mod executor;
pub mod group;
pub mod interrupt;
pub mod loop_ref;
pub mod metrics;
pub mod park;
pub mod promise;
pub mod remote;
pub mod report;
pub mod shutdown;
pub mod stop;
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
mod shuffle;
mod yield_now;

pub use callback::{Handle, TimerHandle, call_at, call_later, call_soon};
pub use executor::{Config, Executor, NestedLoop};
pub use loop_ref::{LoopClosed, LoopRef};
pub use park::{Park, Unpark, Wait};
pub use promise::{Promise, PromiseError};
pub use remote::{RemoteCall, RemoteHandle, RemoteTask};
pub use report::{ExceptionContext, ExceptionKind};
pub use stop::{Stopped, StoppedEarly, Turn};
pub use task::{JoinError, JoinHandle, NoLoop, TaskId};
pub use timer::{Elapsed, Interval, MissedTickBehavior, Sleep, Timeout};
pub use tulipa_base::Instant;
pub use yield_now::{YieldNow, consume_budget, yield_now};
