//! Fair, cancel-safe primitives and channels for tasks on one thread, and channels that cross threads.
//!
//! They know no runtime: only [`Waker`](std::task::Waker). Any executor can poll them, and so can a test, by hand.
//!
//! - What is had by one or by some at a time: [`Lock`], [`RwLock`], [`Semaphore`].
//! - What has happened: [`Event`], [`Notify`], [`Condition`], [`Barrier`], [`Latch`], [`OnceCell`].
//! - What is handed over: [`Queue`], [`LifoQueue`], [`PriorityQueue`], and the channels [`mpsc`], [`oneshot`], [`watch`], [`broadcast`].
//! - From other threads: [`remote`].
//!
//! # One thread
//! All but what is in [`remote`] stays on its thread:
//! ```compile_fail,E0277
//! fn cross<T: Send>(_: T) {}
//! cross(tulipa_sync::Lock::new(1));
//! ```
//! ```compile_fail,E0277
//! fn cross<T: Send>(_: T) {}
//! let lock = tulipa_sync::Lock::new(1);
//! cross(lock.try_lock()); // A guard neither.
//! ```
//! ```compile_fail,E0277
//! fn cross<T: Send>(_: T) {}
//! cross(tulipa_sync::Queue::<u8>::new());
//! ```
//! ```compile_fail,E0277
//! fn cross<T: Send>(_: T) {}
//! cross(tulipa_sync::mpsc::channel::<u8>(1));
//! ```

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
#[doc(inline)]
pub use lock::Lock as Mutex;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use notify::Notify;
pub use once_cell::OnceCell;
pub use queue::{LifoQueue, PriorityQueue, Queue};
pub use rw_lock::RwLock;
pub use semaphore::{OwnedPermit, Permit, Semaphore};
