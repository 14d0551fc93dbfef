//! Fair, cancel-safe primitives and channels for tasks on one thread, and channels that cross threads.

pub mod event;
pub mod lock;
pub mod remote;
pub mod semaphore;

mod permits;
mod seen;
mod shim;
mod wait_list;

pub use event::Event;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use semaphore::{OwnedPermit, Permit, Semaphore};
