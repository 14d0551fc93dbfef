//! A bounded pool of threads for work that blocks: files, name look-ups, libraries without an async
//! face. It knows no executor and no reactor: a job finishes by waking a [`std::task::Waker`].
//!
//! Programs use this crate through the `tulipa` facade.
//!
//! # Map
//! - [`pool`]: the [`Pool`], its counters, [`close`](Pool::close) and [`shutdown`](Pool::shutdown).
//! - [`config`]: the [`Config`] of a pool: how many threads, for how long, under which names.
//! - [`handle`]: the [`BlockingHandle`] of a job: await it, join it, cancel it, or drop it.
//! - [`current`]: the pools of the loop that runs on this thread.
//! - [`stop`]: the [`StopToken`], which asks a running job to end early.
//! - [`error`]: why there is no value.
//! - `slot` (private): the place where a result meets the waker of who waits for it; `job` (private):
//!   a closure, its slot and its place in the queue, in one allocation; `dispatch` (private): the
//!   queue and the list of threads; `worker` (private): what one thread does all day; `report`
//!   (private): panics that nobody else looks at.
//!
//! # A job's life
//! ```text
//!            2 a thread takes it              4 its closure returns or panics
//!   QUEUED ─────────────────────▶ RUNNING ─────────────────────────────────────▶ FINISHED
//!     │ ▲                            │                                              │
//!     │ └ 1 spawn                    └ 3 cancel, close: its stop token is set,       └ 5 the handle takes
//!     │                                  no more                                       the result
//!     └──▶ FINISHED, and never run: cancel, close, no thread could be started
//! ```
//! 1. `Dispatch::submit`. 2. `Dispatch::turn`, on a pool thread. 3. `Dispatch::cancel`, `close`.
//!    4. `Job::run`, then `settle` in the thread's next turn. 5. `Slot::poll`; or `Slot::detach`, when the handle is dropped.
//!
//! Whether a job is in the queue is the one thing that decides whether it can still be cancelled.
//!
//! # What must stay true
//! 1. User code (closures, results, wakers, their clones and destructors, hooks) never runs while a lock
//!    of this crate is held, and a panic in it ends no thread of the pool. A panic that reaches no one
//!    is told to [`Config::on_lost_panic`].
//! 2. A handle resolves exactly once, whatever happens to pool, threads and job; but for a job that
//!    never returns.
//! 3. When a handle resolves, its job's closure has been dropped with all it held, the job does not count
//!    as running any more, and its thread is free for the next one.
//! 4. A queued job has a thread: one that was called for it, one that is being started, or a busy one
//!    that looks at the queue before it rests or ends. Where there is none, queued jobs fail.
//!
//! # After a fork
//! Threads do not survive `fork(2)`: the child has the pool's memory and none of its threads, and a lock
//! may be held by a thread that is not there. Do not touch a pool in a child that was forked without
//! `exec`; make a new one there.
//!
//! # Why not the `blocking` crate
//! It is well kept, and made for another case: one pool for the process. It has no cap for each loop
//! (so that one loop's hung look-ups starve another's files), nothing to close or wait for at the end,
//! no way to name what still runs, no stop token, its jobs wait for ever when no thread can be started,
//! and dropping a handle cancels, where asyncio's and tokio's detaches. What is left of it once these are
//! added is a queue and a condition variable.

#![forbid(unsafe_code)]

pub mod config;
pub mod current;
pub mod error;
pub mod handle;
pub mod pool;
pub mod stop;

mod dispatch;
mod job;
#[cfg(all(test, loom))]
mod loom_models;
mod report;
mod shim;
mod slot;
#[cfg(all(test, not(loom)))]
mod tests;
mod thread;
mod worker;

pub use config::{Config, DEFAULT_MAX_THREADS, LostPanicHook, ThreadName};
pub use error::{BlockingError, JobPanic};
pub use handle::{BlockingHandle, CancelOnDrop};
pub use pool::{AbandonedJob, Pool, ShutdownOutcome, WaitIdle};
pub use stop::StopToken;
