//! tulipa is asyncio for Rust: one thread, one event loop, and futures, tasks, timers and sockets on it.
//!
//! Work that never leaves a thread needs no `Send`, no `Arc`, no locks and no atomics. A tulipa program shares data between tasks with [`Rc`](std::rc::Rc) and [`Cell`](std::cell::Cell), and
//! its tasks run in a guaranteed order: first ready, first run.
//!
//! # Start
//! ```
//! use std::time::Duration;
//!
//! #[tulipa::main]
//! async fn main() {
//!     let greeting = tulipa::spawn(async {
//!         tulipa::sleep(Duration::from_millis(10)).await;
//!         "hello"
//!     });
//!     println!("{}", greeting.await.unwrap());
//! }
//! ```
//!
//! # Find your way
//! - Coming from Python? The [guide] maps every name of asyncio to one here.
//! - [`main`], [`test`], [`run`], or a [`Runner`](runtime::Runner) to set things: how a loop starts.
//! - [`spawn`], and the module [`task`]: tasks and their handles.
//! - [`join!`], [`select!`], [`race!`], [`join_all`]: several futures within a task. [`gather`],
//!   [`JoinSet`](task::JoinSet), [`wait`](task::wait()): several tasks.
//! - [`sleep`], [`timeout`], [`interval`], and the module [`time`]: timers, and virtual time for tests.
//! - [`task_group`], and [`scope`] whose children may borrow: tasks that end together.
//! - [`catch_cancel`], [`finally`], [`shield`], and the module [`cancel`]: ending work in a way that lets it clean up.
//! - [`spawn_blocking`], and the module [`blocking`]: work for other threads.
//! - The module [`sync`]: locks, signals, queues and channels.
//! - The module [`net`]: sockets. They implement the traits of `futures-io`.
//! - The module [`io`]: those traits, readers and writers of streams, copying, standard input and output.
//! - The module [`runtime`]: the runner and the event loop, callbacks, promises, other threads, the
//!   reactor's choice, failures that nobody looks at.
//!
//! # Rules of the loop
//! - A wake never runs code: it appends to the ready queue. What becomes ready in one turn of the loop
//!   runs in the next, in the order in which it became ready.
//! - Everything stays on the thread of its loop, but [wakers](std::task::Waker) and
//!   [remote handles](runtime::RemoteHandle), which may be used anywhere.
//! - A panic in a task is that task's: whoever awaits its handle gets it, or else the loop's
//!   [exception handler](runtime::Builder::exception_handler) is told.

#![forbid(unsafe_code)]

pub mod blocking;
pub mod cancel;
pub mod guide;
pub mod io;
pub mod net;
pub mod runtime;
pub mod sync;
pub mod task;
pub mod time;

pub use blocking::spawn_blocking;
pub use runtime::run;
pub use tulipa_executor::cancel::{catch_cancel, finally, shield};
pub use tulipa_executor::combine::{
    gather, gather_settled, join_all, race, try_gather, try_join_all,
};
pub use tulipa_executor::group::{scope, task_group, try_scope};
pub use tulipa_executor::task::{spawn, try_spawn};
pub use tulipa_executor::timer::{interval, sleep, sleep_until, timeout, timeout_at};
pub use tulipa_executor::yield_now;
pub use tulipa_executor::{join, race, select, try_join};
pub use tulipa_macros::{main, test};
