//! Fair, cancel-safe primitives and channels for tasks on one thread, and channels that cross threads.

pub mod event;
pub mod lock;
pub mod queue;
pub mod semaphore;

mod permits;
mod seen;
mod wait_list;

pub use event::Event;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use queue::{LifoQueue, PriorityQueue, Queue};
pub use semaphore::{OwnedPermit, Permit, Semaphore};
