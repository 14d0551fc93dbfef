//! A task: one block of memory with its header, its future and later its result.
//!
//! # Files
//! `header`: the words every task has, its flags, and the steps that need no types · `cell`: the
//! block with the future, and the steps that do · `waker` · `join`: [`JoinHandle`] · `registry`: all
//! unfinished tasks of a loop · `spawn` · `pool`: freed blocks, kept for the next tasks.
//!
//! # States
//! ```text
//!            ┌───────────────── 2 poll: Pending ────────────────┐
//!            ▼                                                  │
//!  spawn ─▶ parked ── 1 schedule ─▶ scheduled ── run ─▶ running ┤
//!                                       │                       │ 3 poll: Ready or panic
//!                                       │ run, ABORT set        ▼
//!                                       └── 4 ──────────▶  complete ── 5 ─▶ freed
//! ```
//! 1. `TaskRef::schedule`: sets `SCHEDULED` and appends to the ready queue. A task that is running
//!    may be scheduled: it is then run again in the next turn.
//! 2. `TaskRef::run` clears `SCHEDULED` before it polls, never after, so no wake is lost.
//! 3. `TaskRef::complete`: the future is dropped first, then the result becomes visible, then the
//!    joiner is woken. Without a join handle the result is dropped, a panic reported.
//! 4. An aborted task's future is dropped at its next turn, never inside the call that asked.
//! 5. `TaskRef::free_if_unused`: when it is in no queue (`SCHEDULED`), not on the stack (`RUNNING`),
//!    without a handle (`HANDLE`), and no waker is left (`BiasedCount`).
//!
//! # Invariants
//! 1. A `TaskRef` points to an allocated block.
//! 2. Future, result and every plain field of the header are touched by the owner thread alone. Other
//!    threads reach `core`, `count` and, to free the block, `vtable`.
//! 3. The stage holds what the flags say: the future until `COMPLETE`, then what `VALUE` or
//!    `PANICKED` names, else nothing.
//! 4. An unfinished task is in the registry and its count is not settled: so it is not freed.
//! 5. No user code (poll, drop, wake) runs while a flag says something that is not true yet.
//!
//! # Callbacks
//! A callback is a block too, with the flag `CALLBACK` (see the module `callback`). It is in no registry:
//! until it is complete, what keeps it is the ready queue, or a timer, whose waker the closing loop
//! finds.

mod cell;
mod error;
mod header;
mod join;
mod joiner;
mod pool;
mod reference;
mod registry;
mod scope_queue;
mod spawn;
mod surroundings;
mod waits;
mod waker;

pub use error::JoinError;
pub use join::{AbortOnDrop, JoinHandle};
pub use reference::{Task, all, current, try_current};
pub use spawn::{Builder, NoLoop, spawn, try_spawn};
pub use tulipa_base::TaskId;

pub use crate::dump::{CallGraph, Dump, call_graph, dump};

pub(crate) use cell::allocate;
pub(crate) use header::{Extras, Flags, RemoteWake, TaskRef};
pub(crate) use join::Outcome;
pub(crate) use pool::Pool;
pub(crate) use registry::Registry;
pub(crate) use scope_queue::{ScopeQueue, ScopedTasks};
pub(crate) use spawn::{RootFuture, RootState, spawn_on};
pub(crate) use surroundings::Surroundings;
pub(crate) use waker::{counted as counted_waker, task_of};

/// The id of the task that is running, or `None` outside of a task.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// assert!(tulipa::task::try_id().is_none());
/// ```
pub fn try_id() -> Option<TaskId> {
    tulipa_base::current::task_id()
}

/// The id of the task that is running.
///
/// # Panics
/// Outside of a task; [`try_id`] says so instead.
#[track_caller]
pub fn id() -> TaskId {
    match try_id() {
        Some(id) => id,
        None => panic!(
            "no task is running here: call task::id() from inside a spawned task or the main \
             future, or use task::try_id()"
        ),
    }
}
