//! `PriorityQueue`: smallest first.

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::queue::error::{ShutDown, TooManyTaskDone, TryGetError, TryPutError};
use crate::queue::hand_over::{Get, HandOver, HasHandOver, Put};
use crate::queue::heap::Heap;
use crate::queue::job::{Job, OwnedJob};
use crate::queue::methods::queue;
use crate::queue::unfinished::Joining;

/// Items go from those who put them to those who get them, the smallest first, and of equal ones the oldest.
///
/// Except for that it is a [`Queue`](crate::Queue). For the largest first, put [`Reverse`](std::cmp::Reverse)d items, or see
/// [`by_key`](PriorityQueue::by_key). Those who wait are served first come, first served, whatever it is that they put: an item
/// is compared with others once there is room for it.
///
/// # Comparing
/// Items are compared by [`Ord`], or by another [`Order`], when they are put or got. That may be any code:
///
/// - It may panic. Then whoever puts or gets has the panic. What was being put is dropped; the queue is as it was before.
/// - It may use the same queue. Until the comparison is over, nothing can be got: [`try_get`](PriorityQueue::try_get) says that the
///   queue is empty, and [`get`](PriorityQueue::get) waits. What is put is in the queue, or waits for room. After
///   [`shutdown_now`](PriorityQueue::shutdown_now), items that were being compared are dropped instead of returned.
/// - It may contradict itself. Then the order is any order, but nothing is lost.
///
/// # Cancel safety
/// An item that was assigned to a dropped future of [`get`](PriorityQueue::get) goes to the next one who waits, or back into the
/// queue, where it is as old as it was. A dropped future of [`put`](PriorityQueue::put) that has not completed drops
/// its item.
///
/// # Cost
/// As for a [`BinaryHeap`](std::collections::BinaryHeap): to put takes a few comparisons on average, to get takes some for
/// each doubling of the length.
///
/// # Examples
/// ```
/// use tulipa_sync::PriorityQueue;
///
/// # futures_lite::future::block_on(async {
/// let queue = PriorityQueue::new();
/// queue.put((5, "sweep")).await.unwrap();
/// queue.put((1, "put out the fire")).await.unwrap();
/// assert_eq!(queue.get().await, Ok((1, "put out the fire")));
/// # });
/// ```
///
/// Items that have no order, by something that has:
/// ```
/// use tulipa_sync::PriorityQueue;
///
/// struct Job {
///     priority: u32,
///     work: Box<dyn FnOnce()>,
/// }
///
/// let queue = PriorityQueue::by_key(|job: &Job| job.priority);
/// let work = Box::new(|| println!("at work"));
/// queue.try_put(Job { priority: 1, work }).unwrap();
/// (queue.try_get().unwrap().work)();
/// ```
///
/// # References
/// `asyncio.PriorityQueue`, whose ties compare the rest of the item, and fail if that has no order.
#[doc(alias = "heapq")]
pub struct PriorityQueue<T, O = Natural> {
    hand_over: HandOver<T, Heap<T, O>>,
}

impl<T: Ord> PriorityQueue<T> {
    /// An empty queue without bound, in the order of [`Ord`].
    pub fn new() -> PriorityQueue<T> {
        PriorityQueue::with_order(Natural)
    }

    /// An empty queue with room for so many items, in the order of [`Ord`].
    ///
    /// # Panics
    /// When that is zero: such a queue could never be used. (In asyncio it has no bound: here that is
    /// [`new`](PriorityQueue::new).)
    #[track_caller]
    pub fn bounded(capacity: usize) -> PriorityQueue<T> {
        PriorityQueue::bounded_with_order(capacity, Natural)
    }
}

impl<T, F> PriorityQueue<T, ByKey<F>> {
    /// An empty queue without bound, in the order of what `key` returns. It is called for each comparison.
    pub fn by_key<K: Ord>(key: F) -> PriorityQueue<T, ByKey<F>>
    where
        F: Fn(&T) -> K,
    {
        PriorityQueue::with_order(ByKey(key))
    }

    /// An empty queue with room for so many items, in the order of what `key` returns. It is called for each comparison.
    ///
    /// # Panics
    /// When there is room for none.
    #[track_caller]
    pub fn bounded_by_key<K: Ord>(capacity: usize, key: F) -> PriorityQueue<T, ByKey<F>>
    where
        F: Fn(&T) -> K,
    {
        PriorityQueue::bounded_with_order(capacity, ByKey(key))
    }
}

impl<T, O: Order<T>> PriorityQueue<T, O> {
    /// An empty queue without bound, in that order.
    pub fn with_order(order: O) -> PriorityQueue<T, O> {
        PriorityQueue {
            hand_over: HandOver::new("PriorityQueue", Heap::new(order), None),
        }
    }

    /// An empty queue with room for so many items, in that order.
    ///
    /// # Panics
    /// When there is room for none.
    #[track_caller]
    pub fn bounded_with_order(capacity: usize, order: O) -> PriorityQueue<T, O> {
        assert!(
            capacity > 0,
            "PriorityQueue::bounded(0): use `new` for a queue without bound"
        );
        PriorityQueue {
            hand_over: HandOver::new("PriorityQueue", Heap::new(order), Some(capacity)),
        }
    }
}

impl<T, O: Order<T> + Default> Default for PriorityQueue<T, O> {
    fn default() -> PriorityQueue<T, O> {
        PriorityQueue::with_order(O::default())
    }
}

/// Says which of two items comes first.
pub trait Order<T> {
    /// `Less` if `a` comes before `b`, `Equal` if the older one does.
    fn compare(&self, a: &T, b: &T) -> Ordering;
}

/// The order of [`Ord`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Natural;

impl<T: Ord> Order<T> for Natural {
    #[inline]
    fn compare(&self, a: &T, b: &T) -> Ordering {
        a.cmp(b)
    }
}

/// The order of what a function returns.
#[derive(Clone, Copy)]
pub struct ByKey<F>(F);

impl<T, K: Ord, F: Fn(&T) -> K> Order<T> for ByKey<F> {
    #[inline]
    fn compare(&self, a: &T, b: &T) -> Ordering {
        (self.0)(a).cmp(&(self.0)(b))
    }
}

impl<F> fmt::Debug for ByKey<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").finish_non_exhaustive()
    }
}

queue!([T, O: Order<T>] [T, O] PriorityQueue, Heap<T, O>);
