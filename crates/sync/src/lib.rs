//! Fair, cancel-safe primitives and channels for tasks on one thread, and channels that cross threads.

pub mod barrier;
pub mod broadcast;
pub mod condition;
pub mod event;
pub mod latch;
pub mod lock;
pub mod mpsc;
pub mod notify;
pub mod once_cell;
pub mod oneshot;
pub mod queue;
pub mod remote;
pub mod rw_lock;
pub mod semaphore;
pub mod watch;

mod ending;
mod permits;
mod seen;
mod shim;
mod wait_list;
mod waker_slot;

pub use barrier::Barrier;
pub use condition::Condition;
pub use event::Event;
pub use latch::Latch;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use notify::Notify;
pub use once_cell::OnceCell;
pub use queue::{LifoQueue, PriorityQueue, Queue};
pub use rw_lock::RwLock;
pub use semaphore::{OwnedPermit, Permit, Semaphore};
