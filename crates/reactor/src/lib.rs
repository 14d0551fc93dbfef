//! The reactor of tulipa: waits for the operating system, and turns its events into wakes.
//!
//! It knows tasks only as [`std::task::Waker`]. Programs use it through the `tulipa` facade, where
//! they choose a backend, or bring their own [`Reactor`].
//!
//! # Map
//! - [`reactor`]: the [`Reactor`] trait, the contract of a backend, and the words it speaks.
//! - [`backend`]: the backends, and the choice of one by name.
//! - [`driver`]: the [`Driver`] of a loop: its sources, their wakers, and waiting.
//! - [`source`]: what can be registered. [`registration`]: a source's place in the driver.
//! - `slot` (private): what a source is ready for, and who waits.
//! - [`fork`]: noticing that this is the child of a fork.
//! - `termination`: Ctrl-C and its kind, which end a wait.
//! - [`unparker`]: ending a wait from another thread, once a burst.

pub mod backend;
pub mod driver;
pub mod fork;
pub mod reactor;
pub mod registration;
pub mod source;
#[cfg(not(loom))]
pub mod termination;
pub mod unparker;

mod shim;
mod slot;

pub use backend::Choice;
pub use driver::Driver;
pub use reactor::{Event, Interest, Reactor, Readiness, Token};
pub use registration::{Direction, Registration};
pub use slot::Recheck;
#[cfg(unix)]
pub use source::Descriptor;
pub use source::Source;
pub use unparker::Unparker;
