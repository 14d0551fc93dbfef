//! Plain data in thread-locals that every part of tulipa may read: which time it is, how much of
//! its turn the running task has left, which task that is, and what it waits for.
//!
//! This is the one crate below executor, reactor and sync. It knows none of them: it holds numbers,
//! calls nothing and wakes nobody. Programs use it through the `tulipa` facade.

#![forbid(unsafe_code)]

pub mod budget;
pub mod clock;
pub mod current;
pub mod resource;
pub mod wait;

pub use clock::Instant;
pub use current::TaskId;
