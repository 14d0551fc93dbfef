//! Groups: tasks that belong together, and end together.
//!
//! [`task_group`] runs children as tasks of the loop; the first failure cancels the others, everything is awaited,
//! and every error is in the result. In a [`scope`] children may borrow from the code around, because they are owned by, and
//! run inside of, the scope's future.
//!
//! Both are one mechanism: `family` holds the state that body and children share, with its drawing; `run` is the future
//! that ties them to the tree of `cancel`; `child` what a child's task runs.

mod child;
mod error;
mod family;
mod run;
mod scope;
mod task_group;

pub use child::ChildHandle;
pub use error::{Failure, FailureCause, GroupError};
pub use scope::{Scope, ScopeFuture, TryScope, TryScopeFuture, scope, try_scope};
pub use task_group::{GroupClosed, TaskGroup, TaskGroupFuture, task_group};
