//! `LifoQueue`: last in, first out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::queue::deque::{Deque, Newest};
use crate::queue::error::{ShutDown, TooManyTaskDone, TryGetError, TryPutError};
use crate::queue::hand_over::{Get, HandOver, HasHandOver, Put};
use crate::queue::job::{Job, OwnedJob};
use crate::queue::methods::queue;
use crate::queue::unfinished::Joining;

/// Items go from those who put them to those who get them, the newest first.
///
/// Except for that it is a [`Queue`](crate::Queue). Those who wait are served first come, first served here too.
///
/// # Cancel safety
/// An item that was assigned to a dropped future of [`get`](LifoQueue::get) goes to the next one who waits, or back into the queue, in
/// the place that its age gives it: below those that were put later. A dropped future of
/// [`put`](LifoQueue::put) that has not completed drops its item.
///
/// # Examples
/// ```
/// use tulipa_sync::LifoQueue;
///
/// # futures_lite::future::block_on(async {
/// let idle = LifoQueue::new();
/// idle.put("cold connection").await.unwrap();
/// idle.put("warm connection").await.unwrap();
/// assert_eq!(idle.get().await, Ok("warm connection"));
/// # });
/// ```
///
/// # References
/// `asyncio.LifoQueue`.
#[doc(alias = "stack")]
pub struct LifoQueue<T> {
    hand_over: HandOver<T, Deque<T, Newest>>,
}

impl<T> LifoQueue<T> {
    /// An empty queue without bound.
    pub fn new() -> LifoQueue<T> {
        LifoQueue {
            hand_over: HandOver::new("LifoQueue", Deque::new(), None),
        }
    }

    /// An empty queue with room for so many items.
    ///
    /// # Panics
    /// When that is zero: such a queue could never be used. (In asyncio it has no bound: here that is
    /// [`new`](LifoQueue::new).)
    #[track_caller]
    pub fn bounded(capacity: usize) -> LifoQueue<T> {
        assert!(
            capacity > 0,
            "LifoQueue::bounded(0): use `new` for a queue without bound"
        );
        LifoQueue {
            hand_over: HandOver::new("LifoQueue", Deque::new(), Some(capacity)),
        }
    }
}

impl<T> Default for LifoQueue<T> {
    fn default() -> LifoQueue<T> {
        LifoQueue::new()
    }
}

queue!([T] [T] LifoQueue, Deque<T, Newest>);
