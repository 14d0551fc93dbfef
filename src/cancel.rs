//! Cancellation: asking tasks, and parts of tasks, to end in a way that lets them clean up, with awaits.
//!
//! What cannot be caught in other runtimes can be here: a cancelled task may await its clean-up, a task may
//! refuse, and a second request ends a clean-up that hangs.
//!
//! # What to use
//! | to | write |
//! |---|---|
//! | ask a task to end | [`JoinHandle::cancel`](crate::task::JoinHandle::cancel), or [`Task::cancel_with`](crate::task::Task::cancel_with) with a reason |
//! | clean up whatever happens | [`finally`]`(body, cleanup)`, `.grace(limit)` |
//! | look at the request, clean up, and decide | [`catch_cancel`]`(body)`, then [`Cancelled::resume`], or drop it to go on |
//! | finish something that must not be half done | [`shield`], or [`CancelScope::shielded`] for code that borrows |
//! | limit the time | [`timeout`](crate::timeout()), or a [`CancelScope`] whose deadline can be moved |
//! | end a part of a task, or many parts at once | [`CancelScope`], [`CancelToken`] |
//! | end several tasks together | [`task_group`](crate::task_group) |
//! | drop a task where it waits, without clean-up | [`JoinHandle::abort`](crate::task::JoinHandle::abort) |
//!
//! Code that does none of this needs nothing: it is dropped where it waits, and its destructors run.
//!
//! # How a request moves
//! ```text
//! cancel()
//!   └─ 1 ─▶ the inner catch point's body is dropped
//!             └─ 2 ─▶ its clean-up ─ 3, resume ─▶ the outer one's body is dropped
//!                                                   └─ 2 ─▶ its clean-up ─ 4, resume ─▶ the task ends
//! ```
//! 1. A request is delivered to the innermost catch points inside its aim, whose bodies are dropped where they wait.
//! 2. The code around each gets the request, a [`Cancelled`], and may await its clean-up.
//! 3. [`Cancelled::resume`] passes it on to the next catch point further out. ([`finally`] does so by itself.) A request
//!    that is dropped is swallowed: the code goes on.
//! 4. With no catch point left in its way it arrives at its aim, which ends: a task as cancelled, a timeout as elapsed.
//!
//! It arrives where code waits: what computes without awaiting is not interrupted. Each request is delivered once; a second
//! one interrupts a clean-up that hangs. A group, and whoever awaits another task's join handle, are catch points too:
//! they hand the request on to their children, or to that task, and wait for them to end, unless a [`shield`] is in between.
//!
//! The number of requests, [`Task::cancelling`](crate::task::Task::cancelling), is a fact about the past: swallowing one does not
//! lower it. [`Cancelled::forgive`] and [`Task::uncancel`](crate::task::Task::uncancel) take a request back.
//!
//! # Examples
//! A task that says goodbye, and why:
//! ```
//! use std::time::Duration;
//!
//! #[tulipa::test(start_paused = true)]
//! async fn a_cancelled_task_says_goodbye() {
//!     let task = tulipa::spawn(async {
//!         tulipa::finally(std::future::pending::<()>(), async {
//!             tulipa::sleep(Duration::from_millis(5)).await; // Clean-up may await.
//!             println!("goodbye");
//!         })
//!         .await
//!     });
//!     tulipa::yield_now().await; // It begins: a task that has not is dropped without a clean-up.
//!     task.cancel_with("closing time");
//!     let error = task.await.unwrap_err();
//!     assert_eq!(error.reason().unwrap().to_string(), "closing time");
//! }
//! # fn main() {}
//! ```
//!
//! A task that refuses, once:
//! ```
//! # tulipa::run(async {
//! let task = tulipa::spawn(async {
//!     if let Err(cancelled) = tulipa::catch_cancel(std::future::pending::<()>()).await {
//!         println!("not now: {cancelled}");
//!         cancelled.forgive();
//!     }
//!     "done"
//! });
//! tulipa::yield_now().await;
//! task.cancel();
//! assert_eq!(task.await.unwrap(), "done");
//! # });
//! ```

#[doc(hidden)]
pub use tulipa_executor::cancel::open_nodes;
pub use tulipa_executor::cancel::{
    CancelReason, CancelScope, CancelToken, CancelTokenCancelled, Cancelled, CatchCancel, Finally,
    MoveOn, Resume, ScopeCancelled, ScopeRun, Shield, catch_cancel, current_deadline, finally,
    shield,
};
