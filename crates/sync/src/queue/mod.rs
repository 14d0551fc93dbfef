//! Queues: items go from those who put them to those who get them, and nobody overtakes.
//!
//! | type | which item is next |
//! |---|---|
//! | [`Queue`] | the oldest |
//! | [`LifoQueue`] | the newest |
//! | [`PriorityQueue`] | the smallest; of equal ones the oldest |
//!
//! All three have the same methods. They differ in nothing else.
//!
//! # Hand-over
//! An item that is put while somebody waits for one is assigned to the first who waits, at once; it is in the queue for
//! nobody else. An item that is taken from a full queue makes room for the first one who waits to put: its item is moved in
//! at once, and that one is done. So those who wait are served in the order in which they came, newcomers and
//! `try_` methods never overtake them, and whoever is woken finds what it was woken for.
//!
//! # When a future is dropped
//! An item that was assigned to a future that is dropped goes to the next one who waits. If there is none, it is back in
//! the queue, where it would be if nobody had asked: an older item than those in the queue, so the next one of a [`Queue`]. A
//! bounded queue may hold more items than its bound then, for as long as it takes to get them.
//!
//! # Work that is done
//! A queue counts how many of its items are unfinished: put, and not yet reported as done. Whoever
//! gets an item as a [`Job`] reports it by dropping that. `join` waits until nothing is unfinished.
//!
//! # Wakers and destructors
//! They may use the queue again, whenever they run: it is in order then. If a waker panics, the others are woken first, and
//! whoever has put, got or shut down has the panic. An item that was being put is put; one that was being got is in the queue
//! again, or goes to the next one who waits.
//!
//! # The end
//! After `shutdown` nothing can be put; what is in the queue can still be got. After `shutdown_now` nothing can
//! be got either, and what was in the queue is returned.

// In reading order.
pub mod fifo;
pub mod lifo;
pub mod priority;

mod methods;

mod hand_over;

mod store;

mod deque;
mod heap;

mod error;
mod job;
mod unfinished;

pub use error::{ShutDown, TooManyTaskDone, TryGetError, TryPutError};
pub use fifo::Queue;
pub use job::{Job, OwnedJob};
pub use lifo::LifoQueue;
pub use priority::PriorityQueue;
pub use unfinished::Joining;
