//! Waiting for several things: futures in place.
//!
//! They are part of the task that awaits them, may borrow, and are dropped when the wait is over.
//! - A written list, without allocation: [`join!`](crate::join!), [`try_join!`](crate::try_join!),
//!   [`select!`](crate::select!), [`race!`](crate::race!).
//! - An iterator's: [`join_all`], [`try_join_all`], [`race()`].

mod children;
mod fair_share;
mod join_all;
mod join_list;
mod race;
mod ready_list;
mod select_list;

pub use join_all::{JoinAll, TryJoinAll, join_all, try_join_all};
pub use race::{Race, race};

/// What the macros expand to. Not for use by hand.
#[doc(hidden)]
pub mod expansion {
    pub use super::join_list::{Each, End, each, join, try_join};
    pub use super::select_list::{Branch, Chosen, branch, select};
}
