//! Fair, cancel-safe primitives and channels for tasks on one thread, and channels that cross threads.

pub mod broadcast;
pub mod event;
pub mod lock;
pub mod mpsc;
pub mod oneshot;
pub mod semaphore;
pub mod watch;

mod ending;
mod permits;
mod seen;
mod wait_list;
mod waker_slot;

pub use event::Event;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use semaphore::{OwnedPermit, Permit, Semaphore};
