//! Cancellation: asking code to end in a way that lets it clean up, with awaits.
//!
//! A future can always be dropped where it waits; that is what happens to a cancelled task with nothing to
//! clean up. But code can also catch the request where it arrives, and await what must be done: with
//! [`catch_cancel`] and [`finally`]. A cancelled task, a timeout, a group of tasks, Ctrl-C and the loop's
//! shutdown all ask in the same way.
//!
//! # How a request moves
//! Every request is aimed at a scope: a task, a timeout, a group, a [`CancelScope`]. It is delivered to the
//! innermost catch points inside that scope, each of which drops its body (destructors run) and yields
//! [`Cancelled`] to the code around it. That code may await, may swallow the request, or may pass it on with
//! [`Cancelled::resume`], to the next catch point further out. With no catch point in its way the request arrives
//! at the scope, which drops what runs in it: a task ends as cancelled, a timeout as elapsed.
//!
//! Each request is delivered once. A second request interrupts a clean-up that hangs.
//!
//! A task that awaits the join handle of another one hands the request on to that other task, and waits for it
//! to end, unless a [`shield`] is in between.
//!
//! `tree` holds the mechanism, its rules and its drawing; `place` ties a future to its node.

mod catch;
mod deadline;
mod finally;
mod place;
mod reason;
mod scope;
mod shield;
mod token;
mod tree;

pub use catch::{Cancelled, CatchCancel, Resume, catch_cancel};
pub use deadline::current_deadline;
pub use finally::{Finally, finally};
#[doc(hidden)]
pub use place::open_nodes;
pub use reason::CancelReason;
pub use scope::{CancelScope, MoveOn, ScopeCancelled, ScopeRun};
pub use shield::{Shield, shield};
pub use token::{CancelToken, CancelTokenCancelled};
pub use tree::Delivery;

pub(crate) use deadline::{Limit, LimitCell, Limited, LimitedFor};
pub(crate) use place::{InsideUnopened, Place, Settled, Spot, cancel_running};
pub(crate) use tree::{Delivered, End, Kind, NodeIndex, Tree};
