//! What other threads hold of a loop: [`RemoteHandle`], and what it hands out.
//!
//! - `handle`: [`RemoteHandle`], which sends closures, tasks and a stop through the inject queue.
//! - `call`: [`RemoteCall`], a closure that was sent. · `task`: [`RemoteTask`], a task that was sent.
//!
//! # Where things run and end
//! A closure that was sent runs on the loop's thread. One that does not run is dropped where it was
//! stopped: by [`RemoteCall::cancel`] on the thread that calls it, by a closed loop's refusal on the thread
//! that sends, by a loop that closes on the loop's thread. A future is made by such a closure, on the
//! loop's thread, and never leaves it; only its value does, which is `Send`.
//!
//! On the loop's own thread nothing is sent: closures and tasks go straight to the ready queue, so their
//! order is that of [`call_soon`](crate::call_soon) and [`spawn`](crate::task::spawn).

mod call;
mod handle;
mod task;

pub use call::RemoteCall;
pub use handle::RemoteHandle;
pub use task::RemoteTask;

pub(crate) use call::RemoteCallMessage;
pub(crate) use task::RemoteSpawn;
