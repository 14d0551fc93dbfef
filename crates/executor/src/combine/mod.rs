//! Waiting for several things: futures in place, and tasks by their join handles.
//!
//! # Futures in place
//! They are part of the task that awaits them, may borrow, and are dropped when the wait is over.
//! - A written list, without allocation: [`join!`](crate::join!), [`try_join!`](crate::try_join!),
//!   [`select!`](crate::select!), [`race!`](crate::race!).
//! - An iterator's: [`join_all`], [`try_join_all`], [`race()`], [`staggered_race`].
//!
//! # Tasks
//! They run by themselves, whoever waits. [`JoinSet`], [`gather`], [`try_gather`] and
//! [`gather_settled`] spawn them; [`wait()`] and [`as_completed`] take handles.
//!
//! # How they know who is ready
//! - `fair_share`: a list polls its futures in order, and none can starve those after it.
//! - `children`: boxed futures; where they are many, only those that were woken are polled.
//! - `ready_list`: wakers that note an index, then wake the task. Behind `children`, [`wait()`] and
//!   [`as_completed`].
//! - `finish_list`: tasks that were spawned for a set say themselves when they have ended. No waker,
//!   no lock. Behind [`JoinSet`] and [`gather`].

mod as_completed;
mod children;
mod fair_share;
mod finish_list;
mod gather;
mod join_all;
mod join_list;
mod join_set;
mod race;
mod ready_list;
mod select_list;
mod staggered_race;
mod wait;

pub use as_completed::{AsCompleted, AsCompletedUntil, as_completed};
pub use gather::{
    Gather, GatherError, GatherSettled, TryGather, gather, gather_settled, try_gather,
};
pub use join_all::{JoinAll, TryJoinAll, join_all, try_join_all};
pub use join_set::{Builder as JoinSetBuilder, JoinSet};
pub use race::{Race, race};
pub use staggered_race::{StaggeredRace, staggered_race};
pub use wait::{Handles, Wait, WaitFor, wait};

/// What the macros expand to. Not for use by hand.
#[doc(hidden)]
pub mod expansion {
    pub use super::join_list::{Each, End, each, join, try_join};
    pub use super::select_list::{Branch, Chosen, branch, select};
}
