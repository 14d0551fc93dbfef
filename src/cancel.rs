//! Cancellation: asking tasks, and parts of tasks, to end in a way that lets them clean up, with awaits.
//!
//! What cannot be caught in other runtimes can be here: a cancelled task may await its clean-up, a task may
//! refuse, and a second request ends a clean-up that hangs.
//!
//! # How a request moves
//! Every request is aimed at a scope: a [task](crate::task::Task::cancel), a [timeout](crate::timeout()), a
//! [`CancelScope`]. It is delivered to the innermost catch points inside that scope, each of which drops its
//! body (destructors run) and hands the request, a [`Cancelled`], to the code around it. That code may await its clean-up,
//! and then passes the request on with [`Cancelled::resume`], to the next catch point further out; or it swallows the request
//! and goes on. Where no catch point is left in the way, the request arrives at its scope, which drops what runs in it: a task ends as
//! cancelled, a timeout as elapsed.
//!
//! Each request is delivered once. A second one interrupts a clean-up that hangs.
//!
//! A task that awaits another one's join handle hands the request on to that other task first, and waits
//! for it to end, unless a [`shield`] is in between.
//!
//! # Examples
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
//!     tulipa::yield_now().await;
//!     task.cancel_with("closing time");
//!     let error = task.await.unwrap_err();
//!     assert_eq!(error.reason().unwrap().to_string(), "closing time");
//! }
//! # fn main() {}
//! ```

#[doc(hidden)]
pub use tulipa_executor::cancel::open_nodes;
pub use tulipa_executor::cancel::{
    CancelReason, CancelScope, CancelToken, CancelTokenCancelled, Cancelled, CatchCancel, Finally,
    MoveOn, Resume, ScopeCancelled, ScopeRun, Shield, catch_cancel, current_deadline, finally,
    shield,
};
