//! `Queue`: first in, first out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::queue::deque::{Deque, Oldest};
use crate::queue::error::{ShutDown, TooManyTaskDone, TryGetError, TryPutError};
use crate::queue::hand_over::{Get, HandOver, HasHandOver, Put};
use crate::queue::job::{Job, OwnedJob};
use crate::queue::methods::queue;
use crate::queue::unfinished::Joining;

/// Items go from those who put them to those who get them, the oldest first.
///
/// Any number of tasks may put, and any number may get; they share the queue by reference or in an `Rc`. It is open
/// until it is [shut down](Queue::shutdown).
///
/// # Fairness
/// First come, first served, on both sides: see [the module](crate::queue#hand-over).
///
/// # Cancel safety
/// An item that was assigned to a dropped future of [`get`](Queue::get) goes to the next one who waits, or is the next one in
/// the queue again, among others that came back in the order of their age. A dropped future of [`put`](Queue::put)
/// that has not completed drops its item.
///
/// # Cost
/// A few comparisons and stores. Nothing is allocated to wait; the queue itself grows like a `VecDeque`.
///
/// # Examples
/// Two workers; the program ends when all is done.
/// ```
/// use tulipa_sync::Queue;
///
/// # futures_lite::future::block_on(async {
/// let queue = Queue::bounded(10);
/// let worker = async || {
///     while let Ok(job) = queue.get_job().await {
///         println!("{}", *job);
///         // The job is done when it is dropped.
///     }
/// };
/// let producer = async {
///     for page in 0..100 {
///         queue.put(page).await.unwrap();
///     }
///     queue.join().await;
///     queue.shutdown();
/// };
/// # use futures_lite::future::zip;
/// # zip(producer, zip(worker(), worker())).await;
/// # assert_eq!(queue.unfinished(), 0);
/// # });
/// ```
///
/// # References
/// `asyncio.Queue`, without its window in which a newcomer gets what another one was woken for.
#[doc(alias = "channel")]
pub struct Queue<T> {
    hand_over: HandOver<T, Deque<T, Oldest>>,
}

impl<T> Queue<T> {
    /// An empty queue without bound.
    pub fn new() -> Queue<T> {
        Queue {
            hand_over: HandOver::new("Queue", Deque::new(), None),
        }
    }

    /// An empty queue with room for so many items.
    ///
    /// # Panics
    /// When that is zero: such a queue could never be used. (In asyncio it has no bound: here that is [`new`](Queue::new).)
    #[track_caller]
    pub fn bounded(capacity: usize) -> Queue<T> {
        assert!(
            capacity > 0,
            "Queue::bounded(0): use `new` for a queue without bound"
        );
        Queue {
            hand_over: HandOver::new("Queue", Deque::new(), Some(capacity)),
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

queue!([T] [T] Queue, Deque<T, Oldest>);
