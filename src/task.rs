//! Tasks: futures that run beside one another on the loop's thread.
//!
//! [`spawn`] starts one, which runs from the next turn of the loop on; [`Builder`] gives it a name, or runs its first step at
//! once. The [`JoinHandle`] that comes back yields the result; dropping it detaches the task. A [`Task`] names a task
//! without its result, to look at it and to [cancel](crate::cancel) it, and there may be many: [`current`], [`all`].
//!
//! | a task ends | its handle yields |
//! |---|---|
//! | with a value | `Ok(value)`; a `Result` it returns is a value like any other |
//! | with a panic | [`JoinError::is_panic`]; unless someone awaits it, the [exception handler](crate::runtime::Builder::exception_handler) is told |
//! | cancelled, aborted, or with its loop | [`JoinError::is_cancelled`], with the [reason](JoinError::reason) |
//! | by awaiting itself | [`JoinError::is_deadlock`] |
//!
//! # Several at once
//! | what is waited for | one list, known when it is written | any number |
//! |---|---|---|
//! | futures, in place: all | [`join!`](crate::join!) | [`join_all`] |
//! | all, or the first error | [`try_join!`](crate::try_join!) | [`try_join_all`] |
//! | the first | [`select!`](crate::select!), [`race!`](crate::race!) | [`race()`] |
//! | the first success, begun one after the other | | [`staggered_race`] |
//! | new tasks: all | | [`gather()`], [`gather_settled`] |
//! | all, or the first error; the others go on | | [`gather()`], [`try_gather`] |
//! | as they end | | [`JoinSet`] |
//! | handles: all, the first, the first failure, or a timeout | | [`wait()`] |
//! | as they end | | [`as_completed`] |
//!
//! # Examples
//! ```
//! # tulipa::run(async {
//! let ok = tulipa::spawn(async { 6 * 7 });
//! assert_eq!(ok.await.unwrap(), 42);
//!
//! let endless = tulipa::task::Builder::new().name("endless").spawn(std::future::pending::<()>());
//! endless.abort();
//! assert!(endless.await.unwrap_err().is_cancelled());
//!
//! let panics = tulipa::spawn(async { panic!("oh no") });
//! assert_eq!(panics.await.unwrap_err().panic_message(), Some("oh no"));
//! # });
//! ```
//!
//! # Looking inside
//! Every task knows its name, where it was spawned, what it waits for and for how long. [`dump`] shows them all, at any time
//! and without a debug build:
//! ```
//! # tulipa::run(async {
//! let sleeper = tulipa::task::Builder::new()
//!     .name("sleeper")
//!     .spawn(tulipa::sleep(std::time::Duration::from_secs(5)));
//! tulipa::yield_now().await;
//! println!("{}", tulipa::task::dump());
//! // loop: 2 tasks, 1 running, 1 waiting
//! // └─ 1 'main', running, polls 2, spawned at src/main.rs:2:1
//! //    └─ 2 'sleeper', waiting 0ns for a timer in 4.999996s, polls 1, spawned at src/main.rs:5:6
//! # drop(sleeper);
//! # });
//! ```

pub use tulipa_executor::combine::{
    AsCompleted, AsCompletedUntil, Gather, GatherError, GatherSettled, Handles, JoinAll, JoinSet,
    JoinSetBuilder, Race, StaggeredRace, TryGather, TryJoinAll, Wait, WaitFor, as_completed,
    gather, gather_settled, join_all, race, staggered_race, try_gather, try_join_all, wait,
};
pub use tulipa_executor::context::{
    Context, ContextLocal, InContext, SharedContext, SharedContextLocal,
};
pub use tulipa_executor::context_local;
pub use tulipa_executor::dump::{
    CallGraph, CallGraphTask, Cancelling, Delivery, Dump, TaskInfo, TaskState, WaitsFor,
    call_graph, dump,
};
pub use tulipa_executor::group::{
    ChildHandle, Failure, FailureCause, GroupClosed, GroupError, Scope, ScopeFuture, TaskGroup,
    TaskGroupFuture, TryScope, TryScopeFuture, scope, task_group, try_scope,
};
pub use tulipa_executor::task::{
    AbortOnDrop, Builder, JoinError, JoinHandle, NoLoop, Task, TaskId, all, current, id, spawn,
    try_current, try_id, try_spawn,
};
pub use tulipa_executor::{YieldNow, consume_budget, yield_now};
