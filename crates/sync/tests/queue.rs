//! What the queues promise. § 10 is the section of the specification that the project is built to; the names of asyncio's own
//! tests are in the comments.

mod queue_support;

use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_lite::StreamExt;
use futures_lite::future::{block_on, or, yield_now, zip};
use tulipa_base::{budget, resource, wait};
use tulipa_sync::queue::{Job, OwnedJob, ShutDown, TooManyTaskDone, TryGetError, TryPutError};
use tulipa_sync::{LifoQueue, PriorityQueue, Queue};

use crate::queue_support::{Hand, On, allocations, hand, hooked, live_bytes, waiting};

/// Tests that are the same for all queues.
macro_rules! for_all_queues {
    (mod $group:ident; $($(#[$attribute:meta])* fn $name:ident($queue:ident) $body:block)*) => {
        mod $group {
            use super::*;

            for_all_queues!(in fifo, Queue, $($(#[$attribute])* $name, $queue, $body;)*);
            for_all_queues!(in lifo, LifoQueue, $($(#[$attribute])* $name, $queue, $body;)*);
            for_all_queues!(in priority, PriorityQueue, $($(#[$attribute])* $name, $queue, $body;)*);
        }
    };
    (in $module:ident, $type:ident, $($(#[$attribute:meta])* $name:ident, $queue:ident, $body:block;)*) => {
        mod $module {
            use super::*;

            $(
                #[test]
                $(#[$attribute])*
                fn $name() {
                    use tulipa_sync::$type as $queue;
                    $body
                }
            )*
        }
    };
}

fn now<F: Future>(future: F) -> F::Output {
    hand(future).now()
}

// `Queue(maxsize)`, put and get.

for_all_queues! {
    mod basics;

    // test_queue.QueueBasicTests.test_empty, test_full, test_order, test_maxsize
    fn without_bound_it_is_never_full(Queue) {
        let queue = Queue::new();
        assert_eq!((queue.capacity(), queue.is_full(), queue.is_empty()), (None, false, true));
        for item in 0..1000 {
            queue.try_put(item).unwrap();
        }
        assert_eq!((queue.len(), queue.is_full(), queue.is_empty()), (1000, false, false));
        assert_eq!(queue.unfinished(), 1000);
    }

    fn a_full_queue_gives_the_item_back(Queue) {
        let queue = Queue::bounded(2);
        assert_eq!((queue.capacity(), queue.is_full()), (Some(2), false));
        queue.try_put("a").unwrap();
        now(queue.put("b")).unwrap();
        assert!(queue.is_full());
        let error = queue.try_put("c").unwrap_err();
        assert_eq!(error, TryPutError::Full("c"));
        assert!(error.is_full());
        assert_eq!((error.into_inner(), queue.len(), queue.unfinished()), ("c", 2, 2));
    }

    #[should_panic(expected = "bounded(0): use `new` for a queue without bound")]
    fn a_queue_without_room_is_refused(Queue) {
        Queue::<u8>::bounded(0);
    }

    // test_nonblocking_get_exception
    fn an_empty_queue_has_nothing(Queue) {
        let queue = Queue::<u8>::default();
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        let mut getter = waiting(queue.get());
        assert_eq!(queue.waiting_getters(), 1);
        assert_eq!(getter.woken(), 0);
        assert!(getter.poll().is_pending());
        assert_eq!(queue.waiting_getters(), 1);
    }

    // test_blocking_get_wait
    fn a_getter_waits_for_an_item(Queue) {
        let queue = Queue::new();
        let mut getter = waiting(queue.get());
        queue.try_put(1).unwrap();
        // It is the getter's already.
        assert_eq!((getter.woken(), queue.len(), queue.waiting_getters()), (1, 0, 0));
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        assert_eq!(getter.now(), Ok(1));
    }

    // test_blocking_put_wait
    fn a_putter_waits_for_room(Queue) {
        let queue = Queue::bounded(1);
        queue.try_put(1).unwrap();
        let mut putter = waiting(queue.put(2));
        assert_eq!((queue.waiting_putters(), queue.unfinished()), (1, 1));
        assert_eq!(queue.try_get(), Ok(1));
        // Its item is in already.
        assert_eq!((putter.woken(), queue.len(), queue.waiting_putters()), (1, 1, 0));
        assert_eq!(queue.unfinished(), 2);
        assert_eq!(queue.try_put(3), Err(TryPutError::Full(3)));
        assert_eq!(putter.now(), Ok(()));
        assert_eq!(queue.try_get(), Ok(2));
    }

    // test_getter and test_putter of asyncio's producer-consumer tests
    fn through_a_narrow_queue_goes_everything(Queue) {
        let queue = Queue::bounded(1);
        let mut got = Vec::new();
        let put = async {
            for item in 0..1000 {
                queue.put(item).await.unwrap();
            }
            queue.shutdown();
        };
        let get = async {
            while let Ok(item) = queue.get().await {
                got.push(item);
            }
        };
        block_on(zip(put, get));
        assert_eq!(got, Vec::from_iter(0..1000));
    }

    // test_why_are_getters_waiting
    fn two_getters_and_one_late_putter(Queue) {
        let queue = Queue::bounded(1);
        let mut getters = [waiting(queue.get()), waiting(queue.get())];
        now(queue.put(1)).unwrap();
        now(queue.put(2)).unwrap();
        assert_eq!(getters[0].now(), Ok(1));
        assert_eq!(getters[1].now(), Ok(2));
    }

    // test_why_are_putters_waiting
    fn four_putters_and_one_getter_that_takes_all(Queue) {
        let queue = Queue::bounded(2);
        let putters = async |items: [u8; 2]| {
            for item in items {
                queue.put(item).await.unwrap();
            }
        };
        let get = async {
            for _ in 0..4 {
                queue.get().await.unwrap();
                yield_now().await;
            }
        };
        block_on(zip(get, zip(putters([0, 1]), putters([2, 3]))));
        assert_eq!((queue.len(), queue.waiting_putters()), (0, 0));
    }
}

// Order.

#[test]
fn a_queue_yields_the_oldest_first() {
    let queue = Queue::new();
    [1, 3, 2]
        .into_iter()
        .for_each(|item| queue.try_put(item).unwrap());
    assert_eq!([(); 3].map(|()| queue.try_get().unwrap()), [1, 3, 2]);
}

#[test]
fn a_lifo_queue_yields_the_newest_first() {
    // LifoQueueTests.test_order
    let queue = LifoQueue::new();
    [1, 3, 2]
        .into_iter()
        .for_each(|item| queue.try_put(item).unwrap());
    assert_eq!([(); 3].map(|()| queue.try_get().unwrap()), [2, 3, 1]);
}

#[test]
fn a_priority_queue_yields_the_smallest_first() {
    // PriorityQueueTests.test_order
    let queue = PriorityQueue::new();
    [1, 3, 2]
        .into_iter()
        .for_each(|item| queue.try_put(item).unwrap());
    assert_eq!([(); 3].map(|()| queue.try_get().unwrap()), [1, 2, 3]);
    let queue = PriorityQueue::new();
    [1, 3, 2]
        .into_iter()
        .for_each(|item| queue.try_put(Reverse(item)).unwrap());
    assert_eq!([(); 3].map(|()| queue.try_get().unwrap().0), [3, 2, 1]);
}

#[test]
fn equal_items_come_out_in_the_order_in_which_they_were_put() {
    let queue = PriorityQueue::by_key(|item: &(u32, u32)| item.0);
    let mut random = fastrand::Rng::with_seed(1);
    let mut items = Vec::from_iter((0..1000).map(|index| (random.u32(0..10), index)));
    items.iter().for_each(|item| queue.try_put(*item).unwrap());
    items.sort_by_key(|item| item.0);
    let got = Vec::from_iter(std::iter::from_fn(|| queue.try_get().ok()));
    assert_eq!(got, items);
}

#[test]
fn a_heap_that_is_put_to_and_taken_from_in_turns_keeps_its_order() {
    let mut random = fastrand::Rng::with_seed(2);
    for bound in [1, 2, 7, 100] {
        let queue = PriorityQueue::bounded_by_key(bound, |item: &(u32, usize)| item.0);
        let mut expected = Vec::<(u32, usize)>::new();
        for index in 0..5000 {
            let item = (random.u32(0..20), index);
            if random.bool() && queue.try_put(item).is_ok() {
                expected.push(item);
                expected.sort();
            } else if !expected.is_empty() {
                assert_eq!(queue.try_get(), Ok(expected.remove(0)));
            }
            assert_eq!(queue.len(), expected.len());
        }
    }
}

#[test]
fn the_smallest_of_those_in_the_queue_is_next_not_of_those_who_wait() {
    let queue = PriorityQueue::bounded(1);
    queue.try_put(5).unwrap();
    let _nine = waiting(queue.put(9));
    let _one = waiting(queue.put(1));
    assert_eq!([(); 3].map(|()| queue.try_get().unwrap()), [5, 9, 1]);
}

// Fairness. SY02; trap 21: a newcomer does not get what another one was woken for.

for_all_queues! {
    mod fairness;

    fn newcomers_do_not_overtake_getters(Queue) {
        let queue = Queue::new();
        let mut first = waiting(queue.get());
        let mut second = waiting(queue.get());
        queue.try_put(1).unwrap();
        let mut newcomer = waiting(queue.get());
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        queue.try_put(2).unwrap();
        queue.try_put(3).unwrap();
        assert_eq!(newcomer.now(), Ok(3));
        assert_eq!(second.now(), Ok(2));
        assert_eq!(first.now(), Ok(1));
    }

    fn newcomers_do_not_overtake_putters(Queue) {
        let queue = Queue::bounded(1);
        queue.try_put(1).unwrap();
        let mut putters = [2, 3, 4].map(|item| waiting(queue.put(item)));
        for round in 2..5 {
            assert_eq!(queue.try_put(99), Err(TryPutError::Full(99)));
            assert_eq!(queue.try_get(), Ok(round - 1));
            assert_eq!(putters[round - 2].now(), Ok(()));
        }
        assert_eq!(queue.try_get(), Ok(4));
    }

    fn a_hundred_getters_are_served_in_their_order(Queue) {
        let queue = Queue::new();
        let mut getters = Vec::from_iter((0..100).map(|_| waiting(queue.get())));
        for item in 0..100 {
            assert!(queue.try_get().is_err());
            queue.try_put(item).unwrap();
        }
        for (item, getter) in getters.iter_mut().enumerate().rev() {
            assert_eq!((getter.woken(), getter.now()), (1, Ok(item)));
        }
    }

    fn a_hundred_putters_are_served_in_their_order(Queue) {
        let queue = Queue::bounded(1);
        queue.try_put(0).unwrap();
        let mut putters = Vec::from_iter((1..100).map(|item| waiting(queue.put(item))));
        for item in 0..100 {
            assert_eq!(queue.try_put(1000), Err(TryPutError::Full(1000)));
            assert_eq!(queue.try_get(), Ok(item));
        }
        assert!(putters.iter_mut().all(|it| it.woken() == 1 && it.now().is_ok()));
    }
}

// Cancellation. SY01.

/// All ways to choose some of `count`, one after the other.
fn choices(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    let mut next = 0;
    while next < all.len() {
        for choice in 0..count {
            if !all[next].contains(&choice) {
                let longer = [&all[next][..], &[choice]].concat();
                all.push(longer);
            }
        }
        next += 1;
    }
    all
}

for_all_queues! {
    mod cancellation;

    // test_put_cancel_drop_one_pending_reader, test_put_cancel_drop_many_pending_readers,
    // test_cancelled_getters_not_being_held_in_self_getters, test_put_cancelled_race
    fn whichever_getters_are_dropped_nothing_is_lost(Queue) {
        const GETTERS: usize = 4;
        for put in 0..=GETTERS + 1 {
            for order in choices(GETTERS) {
                let queue = Queue::new();
                let mut getters = [(); GETTERS].map(|()| Some(waiting(queue.get())));
                (0..put).for_each(|item| queue.try_put(item).unwrap());
                order.iter().for_each(|&index| getters[index] = None);
                let mut got = Vec::new();
                for getter in getters.iter_mut().flatten() {
                    if let Poll::Ready(item) = getter.poll() {
                        got.push(item.unwrap());
                    }
                }
                // Nobody waits while there is something in the queue.
                assert!(queue.is_empty() || queue.waiting_getters() == 0);
                let served = (GETTERS - order.len()).min(put);
                assert_eq!(got.len(), served, "{put} put, {order:?} dropped");
                let left = Vec::from_iter(std::iter::from_fn(|| queue.try_get().ok()));
                if left.len() > 1 {
                    let is_lifo = std::any::type_name_of_val(&queue).contains("Lifo");
                    assert!(left.is_sorted_by(|a, b| (a < b) != is_lifo), "{left:?}");
                }
                got.extend(left);
                got.sort();
                assert_eq!(got, Vec::from_iter(0..put), "{order:?} dropped");
                drop(getters);
                assert_eq!((queue.waiting_getters(), queue.unfinished()), (0, put));
            }
        }
    }

    // test_get_cancel_drop_one_pending_writer, test_cancelled_puts_not_being_held_in_self_putters
    fn whichever_putters_are_dropped_the_others_put(Queue) {
        const PUTTERS: usize = 4;
        for taken in 0..=PUTTERS {
            for order in choices(PUTTERS) {
                let queue = Queue::bounded(1);
                queue.try_put(0).unwrap();
                let mut index = 0;
                let mut putters = [(); PUTTERS].map(|()| {
                    index += 1;
                    Some(waiting(queue.put(index)))
                });
                for dropped in order.iter().take(2) {
                    putters[*dropped] = None;
                }
                let mut got = Vec::from_iter((0..taken).map_while(|_| queue.try_get().ok()));
                // What was moved in before its future is dropped is in.
                for dropped in order.iter().skip(2) {
                    putters[*dropped] = None;
                }
                let left = putters.iter_mut().flatten();
                let done = left.filter_map(|putter| putter.poll().is_ready().then_some(())).count();
                assert!(queue.is_full() || queue.waiting_putters() == 0);
                assert!(done <= taken);
                while let Ok(item) = queue.try_get() {
                    got.push(item);
                }
                let lost = |item: &usize| {
                    let dropped = order.iter().position(|index| index + 1 == *item);
                    dropped.is_some_and(|at| at < 2 || !got.contains(item))
                };
                let expected = Vec::from_iter((0..=PUTTERS).filter(|item| !lost(item)));
                assert_eq!(got, expected, "{order:?} dropped, {taken} taken");
                assert_eq!(queue.waiting_putters(), 0);
            }
        }
    }

    fn an_item_assigned_to_a_dropped_getter_goes_to_the_next(Queue) {
        let queue = Queue::new();
        let first = waiting(queue.get());
        let mut second = waiting(queue.get());
        queue.try_put(1).unwrap();
        assert_eq!((first.woken(), second.woken()), (1, 0));
        drop(first);
        assert_eq!(second.woken(), 1);
        assert_eq!(second.now(), Ok(1));
        assert_eq!(queue.unfinished(), 1);
    }

    fn an_item_assigned_to_a_dropped_getter_is_next_again(Queue) {
        let queue = Queue::bounded(1);
        let getter = waiting(queue.get());
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        let mut putter = waiting(queue.put(3));
        drop(getter);
        // One more than there is room for, so the putter goes on waiting.
        assert_eq!((queue.len(), queue.is_full(), queue.unfinished()), (2, true, 2));
        assert_eq!(putter.woken(), 0);
        let mut got = vec![queue.try_get().unwrap()];
        assert!(putter.poll().is_pending());
        got.push(queue.try_get().unwrap());
        assert_eq!(putter.now(), Ok(()));
        got.push(queue.try_get().unwrap());
        got.sort();
        assert_eq!(got, [1, 2, 3]);
    }

    fn a_dropped_put_drops_its_item(Queue) {
        let item = Rc::new(());
        let queue = Queue::bounded(1);
        drop(queue.put(item.clone()));
        assert_eq!(Rc::strong_count(&item), 1);
        queue.try_put(item.clone()).unwrap();
        drop(waiting(queue.put(item.clone())));
        assert_eq!((Rc::strong_count(&item), queue.waiting_putters()), (2, 0));
        assert_eq!(queue.unfinished(), 1);
    }

    // SY13
    fn a_million_cancelled_waits_leave_nothing(Queue) {
        let rounds = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
        let queue = Queue::bounded(1);
        let full = Queue::bounded(1);
        full.try_put(0).unwrap();
        let round = || {
            block_on(async {
                or(async { _ = queue.get().await }, async {}).await;
                or(async { _ = full.put(1).await }, async {}).await;
                or(full.join(), async {}).await;
                or(async { drop(queue.get_job().await) }, async {}).await;
            });
            // Assigned, and then dropped.
            let mut getter = pin!(Some(queue.get()));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(getter.as_mut().as_pin_mut().unwrap().poll(&mut cx).is_pending());
            queue.try_put(1).unwrap();
            getter.set(None);
            assert_eq!(queue.try_get(), Ok(1));
            queue.task_done().unwrap();
        };
        (0..100).for_each(|_| round());
        let (live, count) = (live_bytes(), allocations());
        (0..rounds).for_each(|_| round());
        assert_eq!((live_bytes(), allocations()), (live, count));
        assert_eq!((queue.waiting_getters(), full.waiting_putters()), (0, 0));
    }
}

#[test]
fn items_that_come_back_are_in_the_order_of_their_age() {
    for order in choices(3) {
        let queue = Queue::new();
        let mut getters = [(); 3].map(|()| Some(waiting(queue.get())));
        (0..5).for_each(|item| queue.try_put(item).unwrap());
        order.iter().for_each(|&index| getters[index] = None);
        let mut expected = order.clone();
        expected.sort();
        expected.extend([3, 4]);
        let left = Vec::from_iter(std::iter::from_fn(|| queue.try_get().ok()));
        assert_eq!(left, expected, "{order:?}");
    }
}

#[test]
fn in_a_lifo_queue_what_comes_back_is_below_what_was_put_later() {
    let queue = LifoQueue::new();
    let mut getters = [(); 3].map(|()| Some(waiting(queue.get())));
    (0..5).for_each(|item| queue.try_put(item).unwrap());
    [1, 2, 0]
        .into_iter()
        .for_each(|index| getters[index] = None);
    queue.try_put(5).unwrap();
    assert_eq!(
        [(); 6].map(|()| queue.try_get().unwrap()),
        [5, 4, 3, 2, 1, 0]
    );
}

#[test]
fn what_comes_back_to_a_priority_queue_is_as_old_as_it_was() {
    let queue = PriorityQueue::by_key(|item: &(u8, char)| item.0);
    let getter = waiting(queue.get());
    queue.try_put((1, 'a')).unwrap();
    queue.try_put((1, 'b')).unwrap();
    queue.try_put((0, 'c')).unwrap();
    drop(getter);
    let left = [(); 3].map(|()| queue.try_get().unwrap().1);
    assert_eq!(left, ['c', 'a', 'b']);
}

// Nothing is allocated to wait.

for_all_queues! {
    mod allocation;

    fn nothing_is_allocated_to_wait(Queue) {
        let queue = Queue::bounded(1);
        let mut cx = Context::from_waker(Waker::noop());
        let mut round = || {
            let mut getter = pin!(queue.get());
            assert!(getter.as_mut().poll(&mut cx).is_pending());
            assert!(pin!(queue.put(1)).poll(&mut cx).is_ready());
            assert!(pin!(queue.put(2)).poll(&mut cx).is_ready());
            let mut putter = pin!(queue.put(3));
            assert!(putter.as_mut().poll(&mut cx).is_pending());
            assert_eq!(getter.poll(&mut cx), Poll::Ready(Ok(1)));
            assert!(matches!(pin!(queue.get_job()).poll(&mut cx), Poll::Ready(Ok(_))));
            assert_eq!(putter.poll(&mut cx), Poll::Ready(Ok(())));
            assert_eq!(pin!(queue.get()).poll(&mut cx), Poll::Ready(Ok(3)));
        };
        round();
        let before = allocations();
        (0..1000).for_each(|_| round());
        assert_eq!(allocations(), before);
    }
}

// `task_done` and `join`.

for_all_queues! {
    mod done;

    // test_task_done_underflow
    fn task_done_more_often_than_put_is_an_error(Queue) {
        let queue = Queue::new();
        let error: TooManyTaskDone = queue.task_done().unwrap_err();
        assert_eq!(error.to_string(), "task_done: called more often than items were put");
        queue.try_put(1).unwrap();
        assert!(queue.task_done().is_ok() && queue.task_done().is_err());
        assert_eq!((queue.len(), queue.unfinished()), (1, 0));
    }

    // test_task_done
    fn join_waits_until_everything_is_done(Queue) {
        let queue = Queue::new();
        (0..100).for_each(|item| queue.try_put(item).unwrap());
        let sum = Cell::new(0);
        let work = async {
            while let Ok(item) = queue.get().await {
                sum.set(sum.get() + item);
                yield_now().await;
                queue.task_done().unwrap();
            }
        };
        let join = async {
            queue.join().await;
            assert_eq!(sum.get(), 4950);
            queue.shutdown();
        };
        block_on(zip(join, work));
    }

    // test_join_empty_queue
    fn join_does_not_wait_if_nothing_is_unfinished(Queue) {
        let queue = Queue::<u8>::new();
        now(queue.join());
        now(queue.join());
    }

    fn join_waits_for_items_that_were_taken(Queue) {
        let queue = Queue::new();
        queue.try_put(1).unwrap();
        queue.try_get().unwrap();
        assert!(queue.is_empty());
        let mut joins = [waiting(queue.join()), waiting(queue.join())];
        queue.task_done().unwrap();
        assert!(joins.iter_mut().all(|join| join.woken() == 1));
        // It goes on, even if there is something to do again.
        queue.try_put(2).unwrap();
        joins.iter_mut().for_each(Hand::now);
        let mut again = waiting(queue.join());
        queue.task_done().unwrap();
        again.now();
        again.now();
    }

    fn a_dropped_join_leaves(Queue) {
        let queue = Queue::new();
        queue.try_put(1).unwrap();
        let mut joins = [0; 3].map(|_| Some(waiting(queue.join())));
        joins[1] = None;
        queue.task_done().unwrap();
        joins.iter_mut().flatten().for_each(Hand::now);
    }

    // test_format
    fn an_item_counts_once_it_is_put(Queue) {
        let queue = Queue::bounded(1);
        queue.try_put(1).unwrap();
        let putter = waiting(queue.put(2));
        assert_eq!(queue.unfinished(), 1);
        drop(putter);
        assert_eq!(queue.unfinished(), 1);
        queue.try_get().unwrap();
        let getters = [waiting(queue.get_job()), waiting(queue.get_job())];
        drop(getters);
        assert_eq!(queue.unfinished(), 1);
    }
}

// Jobs.

for_all_queues! {
    mod jobs;

    fn a_job_is_done_when_it_is_dropped(Queue) {
        let queue = Queue::new();
        queue.try_put(1).unwrap();
        let mut join = waiting(queue.join());
        let mut job = now(queue.get_job()).unwrap();
        *job += 1;
        assert_eq!((*job, queue.unfinished(), queue.len()), (2, 1, 0));
        assert!(join.poll().is_pending());
        drop(job);
        join.now();
        assert_eq!(queue.unfinished(), 0);
    }

    fn a_job_waits_its_turn(Queue) {
        let queue = Queue::new();
        let dropped = waiting(queue.get_job());
        let mut second = waiting(queue.get_job());
        queue.try_put("a").unwrap();
        drop(dropped);
        let job = second.now().unwrap();
        assert_eq!((format!("{job:?}"), queue.unfinished()), (String::from("Job(\"a\")"), 1));
        assert_eq!((Job::into_inner(job), queue.unfinished()), ("a", 0));
    }

    fn a_job_without_its_item_is_unfinished(Queue) {
        let queue = Queue::new();
        queue.try_put(String::from("a")).unwrap();
        let (item, job) = Job::into_parts(now(queue.get_job()).unwrap());
        drop(item);
        assert_eq!(queue.unfinished(), 1);
        drop(job);
        assert_eq!(queue.unfinished(), 0);
    }

    fn an_owned_job_outlives_the_queue(Queue) {
        let queue = Rc::new(Queue::new());
        let mut getter = waiting(queue.get_job_owned());
        queue.try_put(String::from("a")).unwrap();
        let mut job = getter.now().unwrap();
        job.push('b');
        assert_eq!((format!("{job:?}"), queue.unfinished()), (String::from("OwnedJob(\"ab\")"), 1));
        let (item, rest) = OwnedJob::into_parts(job);
        assert_eq!((item.as_str(), queue.unfinished()), ("ab", 1));
        let weak = Rc::downgrade(&queue);
        drop((queue, getter));
        assert!(weak.upgrade().is_none());
        drop(rest);
    }

    fn an_owned_wait_passes_its_item_on(Queue) {
        let queue = Rc::new(Queue::new());
        let first = waiting(queue.get_job_owned());
        let mut second = waiting(queue.get_job_owned());
        queue.try_put(1).unwrap();
        drop(first);
        assert_eq!(OwnedJob::into_inner(second.now().unwrap()), 1);
        assert_eq!(queue.unfinished(), 0);
        queue.shutdown();
        assert_eq!(now(queue.get_job_owned()).unwrap_err(), ShutDown(()));
    }

    fn a_leaked_wait_keeps_its_queue(Queue) {
        let queue = Rc::new(Queue::new());
        let weak = Rc::downgrade(&queue);
        std::mem::forget(waiting(queue.get_job_owned()));
        drop(queue);
        let queue = weak.upgrade().unwrap();
        // It is assigned to nobody who will ever look.
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        assert_eq!(queue.try_get(), Ok(2));
    }

    fn a_job_whose_destructor_panics_is_done(Queue) {
        let queue = Queue::new();
        queue.try_put(OnDrop::new(|| panic!("on drop"))).unwrap();
        let job = now(queue.get_job());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(job))).is_err());
        assert_eq!(queue.unfinished(), 0);
    }
}

// Shutdown.

for_all_queues! {
    mod shutdown;

    // test_shutdown_empty, test_shutdown_repr
    fn shut_down_and_empty(Queue) {
        let queue = Queue::new();
        assert!(!queue.is_shut_down());
        queue.shutdown();
        assert!(queue.is_shut_down());
        assert_eq!(now(queue.put("a")), Err(ShutDown("a")));
        assert_eq!(queue.try_put("b"), Err(TryPutError::ShutDown("b")));
        assert_eq!(now(queue.get()), Err(ShutDown(())));
        assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
        assert!(now(queue.get_job()).is_err());
        now(queue.join());
        assert_eq!(queue.unfinished(), 0);
    }

    // test_shutdown_nonempty
    fn shut_down_it_drains(Queue) {
        let queue = Queue::bounded(2);
        queue.try_put(1).unwrap();
        queue.shutdown();
        queue.shutdown();
        assert_eq!(now(queue.put(2)), Err(ShutDown(2)));
        assert_eq!((queue.len(), now(queue.get())), (1, Ok(1)));
        assert_eq!(now(queue.get()), Err(ShutDown(())));
        let mut join = waiting(queue.join());
        queue.task_done().unwrap();
        join.now();
    }

    // test_shutdown_immediate
    fn shut_down_now_it_returns_what_is_left(Queue) {
        let queue = Queue::new();
        (0..3).for_each(|item| queue.try_put(item).unwrap());
        let mut join = waiting(queue.join());
        let mut expected = Vec::from_iter(0..3);
        if std::any::type_name_of_val(&queue).contains("Lifo") {
            expected.reverse();
        }
        assert_eq!(queue.shutdown_now(), expected);
        join.now();
        assert_eq!((queue.len(), queue.unfinished()), (0, 0));
        assert_eq!(now(queue.get()), Err(ShutDown(())));
        assert_eq!(queue.shutdown_now(), []);
    }

    // test_shutdown_immediate_with_unfinished
    fn shut_down_now_what_was_taken_is_unfinished(Queue) {
        let queue = Queue::new();
        (0..3).for_each(|item| queue.try_put(item).unwrap());
        let job = now(queue.get_job()).unwrap();
        let mut join = waiting(queue.join());
        assert_eq!(queue.shutdown_now().len(), 2);
        assert_eq!((join.woken(), queue.unfinished()), (0, 1));
        drop(job);
        join.now();
        assert!(queue.task_done().is_err());
    }

    fn shut_down_and_then_now(Queue) {
        let queue = Queue::new();
        queue.try_put(1).unwrap();
        queue.shutdown();
        let mut join = waiting(queue.join());
        assert_eq!(queue.shutdown_now(), [1]);
        join.now();
        queue.shutdown();
        assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
    }

    // test_shutdown_get, test_shutdown_immediate_get
    fn shutdown_tells_getters(Queue) {
        for is_now in [false, true] {
            let queue = Queue::<u8>::new();
            let mut getters = [waiting(queue.get()), waiting(queue.get())];
            let mut job = waiting(queue.get_job());
            if is_now {
                assert_eq!(queue.shutdown_now(), []);
            } else {
                queue.shutdown();
            }
            assert_eq!(queue.waiting_getters(), 0);
            for getter in &mut getters {
                assert_eq!((getter.woken(), getter.now()), (1, Err(ShutDown(()))));
            }
            assert!(job.now().is_err());
        }
    }

    // test_shutdown_put, test_shutdown_immediate_put, test_shutdown_put_waiting
    fn shutdown_gives_putters_their_items_back(Queue) {
        for is_now in [false, true] {
            let queue = Queue::bounded(1);
            queue.try_put(1).unwrap();
            let mut putters = [2, 3].map(|item| waiting(queue.put(item)));
            let dropped = waiting(queue.put(4));
            if is_now {
                assert_eq!(queue.shutdown_now(), [1]);
            } else {
                queue.shutdown();
                assert_eq!(queue.len(), 1);
            }
            drop(dropped);
            assert_eq!(putters[0].now(), Err(ShutDown(2)));
            assert_eq!(putters[1].now(), Err(ShutDown(3)));
            assert_eq!(queue.try_get().ok(), (!is_now).then_some(1));
            assert_eq!((queue.len(), queue.waiting_putters()), (0, 0));
        }
    }

    // test_shutdown_get_task_done_join, test_shutdown_put_join
    fn shutdown_does_not_end_a_join(Queue) {
        let queue = Queue::bounded(1);
        queue.try_put(1).unwrap();
        let mut putter = waiting(queue.put(2));
        let mut join = waiting(queue.join());
        queue.shutdown();
        assert!(putter.now().is_err());
        assert!(join.poll().is_pending());
        assert_eq!(now(queue.get()), Ok(1));
        assert!(join.poll().is_pending());
        queue.task_done().unwrap();
        join.now();
    }

    fn what_was_put_or_assigned_before_the_shutdown_is_so(Queue) {
        for is_now in [false, true] {
            let queue = Queue::bounded(1);
            let mut getter = waiting(queue.get());
            queue.try_put(1).unwrap();
            queue.try_put(2).unwrap();
            let mut putter = waiting(queue.put(3));
            assert_eq!(queue.try_get(), Ok(2));
            if is_now {
                assert_eq!(queue.shutdown_now(), [3]);
            } else {
                queue.shutdown();
            }
            assert_eq!(putter.now(), Ok(()));
            assert_eq!(getter.now(), Ok(1));
            assert_eq!(queue.unfinished(), if is_now { 2 } else { 3 });
        }
    }

    fn what_comes_back_after_the_shutdown_can_be_got_or_is_done(Queue) {
        for is_now in [false, true] {
            let queue = Queue::new();
            let item = Rc::new(1);
            let getter = waiting(queue.get());
            queue.try_put(item.clone()).unwrap();
            let mut join = waiting(queue.join());
            if is_now {
                assert!(queue.shutdown_now().is_empty());
            } else {
                queue.shutdown();
            }
            drop(getter);
            assert_eq!(queue.try_get().is_ok(), !is_now);
            assert_eq!((Rc::strong_count(&item), join.poll().is_ready()), (1, is_now));
        }
    }

    // SY06
    fn a_queue_that_ends_drops_its_items_once(Queue) {
        let item = Rc::new(1);
        let queue = Queue::bounded(2);
        queue.try_put(item.clone()).unwrap();
        queue.try_put(item.clone()).unwrap();
        let putter = waiting(queue.put(item.clone()));
        assert_eq!(Rc::strong_count(&item), 4);
        drop(putter);
        drop(queue);
        assert_eq!(Rc::strong_count(&item), 1);
    }
}

// The stream.

for_all_queues! {
    mod streams;

    fn a_stream_yields_items_and_ends(Queue) {
        let queue = Queue::bounded(1);
        let mut stream = pin!(queue.stream());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(stream.as_mut().poll_next(&mut cx).is_pending());
        assert_eq!(queue.waiting_getters(), 1);
        queue.try_put(1).unwrap();
        assert_eq!(stream.as_mut().poll_next(&mut cx), Poll::Ready(Some(1)));
        queue.try_put(2).unwrap();
        queue.shutdown();
        assert_eq!(stream.as_mut().poll_next(&mut cx), Poll::Ready(Some(2)));
        assert_eq!(stream.as_mut().poll_next(&mut cx), Poll::Ready(None));
        assert_eq!(stream.as_mut().poll_next(&mut cx), Poll::Ready(None));
    }

    fn a_dropped_stream_passes_its_item_on(Queue) {
        let queue = Queue::new();
        {
            let mut stream = Box::pin(queue.stream());
            assert!(now(or(async { stream.next().await }, async { None })).is_none());
            queue.try_put(1).unwrap();
            assert!(queue.is_empty());
        }
        assert_eq!(queue.try_get(), Ok(1));
    }

    fn two_streams_share_what_there_is(Queue) {
        let queue = Queue::bounded(3);
        let put = async {
            for item in 0..100 {
                queue.put(item).await.unwrap();
            }
            queue.shutdown();
        };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let collect = zip(
            queue.stream().for_each(|item| a.push(item)),
            queue.stream().for_each(|item| b.push(item)),
        );
        block_on(zip(put, collect));
        a.extend(b);
        a.sort();
        assert_eq!(a, Vec::from_iter(0..100));
    }
}

// What is seen from outside.

for_all_queues! {
    mod outside;

    fn what_debug_shows(Queue) {
        let queue = Queue::bounded(2).named("mail");
        queue.try_put(1).unwrap();
        let kind = std::any::type_name_of_val(&queue).split(['<', ':']).find(|it| it.ends_with("Queue"));
        assert_eq!(
            format!("{queue:?}"),
            format!(
                "{} {{ name: \"mail\", len: 1, capacity: Some(2), waiting_getters: 0, waiting_putters: 0, \
                 unfinished: 1, joining: 0, is_shut_down: false, .. }}",
                kind.unwrap(),
            ),
        );
        assert_eq!(format!("{:?}", queue.put(1)), "Putting { .. }");
        assert_eq!(format!("{:?}", queue.get()), "Getting { .. }");
        assert_eq!(format!("{:?}", queue.get_job()), "GettingJob { .. }");
        assert_eq!(format!("{:?}", queue.stream()), "Items { .. }");
        assert_eq!(format!("{:?}", queue.join()), "Joining { .. }");
    }

    fn who_waits_says_for_what(Queue) {
        let queue = Queue::bounded(1).named("mail");
        let seen = || wait::Label::from_u64(wait::noted()).and_then(resource::find).and_then(|info| info.name);
        wait::clear();
        let getter = waiting(queue.get());
        assert_eq!(seen().as_deref(), Some("mail"));
        drop(getter);
        queue.try_put(1).unwrap();
        wait::clear();
        assert_eq!(seen(), None);
        let putter = waiting(queue.put(2));
        assert_eq!(seen().as_deref(), Some("mail"));
        drop(putter);
        wait::clear();
        let join = waiting(queue.join());
        assert_eq!(seen().as_deref(), Some("mail"));
        drop(join);
        wait::clear();
    }

    fn what_does_not_wait_takes_from_the_budget(Queue) {
        let queue = Queue::new();
        budget::start();
        let mut puts = 0;
        loop {
            let mut putter = hand(queue.put(puts));
            if putter.poll().is_pending() {
                // It is its turn again later, so it was woken; and it has put nothing.
                assert_eq!((putter.woken(), queue.waiting_putters()), (1, 0));
                break;
            }
            puts += 1;
        }
        assert_eq!((puts, queue.len()), (128, 128));
        assert!(hand(queue.get()).poll().is_pending() && hand(queue.join()).poll().is_pending());
        assert_eq!(queue.waiting_getters(), 0);
        budget::end();
        assert!(now(queue.get()).is_ok());
    }

    fn waiting_takes_nothing_from_the_budget(Queue) {
        let queue = Queue::<u8>::new();
        budget::start();
        for _ in 0..1000 {
            assert!(hand(queue.get()).poll().is_pending());
        }
        assert!(!budget::is_spent());
        budget::end();
    }

    #[should_panic(expected = "put: polled after it has completed")]
    fn a_put_that_is_polled_again_panics(Queue) {
        let queue = Queue::new();
        let mut putter = hand(queue.put(1));
        putter.now().unwrap();
        let _ = putter.poll();
    }

    #[should_panic(expected = "get: polled after it has completed")]
    fn a_get_that_is_polled_again_panics(Queue) {
        let queue = Queue::new();
        queue.try_put(1).unwrap();
        let mut getter = hand(queue.get());
        getter.now().unwrap();
        let _ = getter.poll();
    }
}

#[test]
fn errors_say_what_happened() {
    assert_eq!(ShutDown(1).to_string(), "the queue is shut down");
    assert_eq!(
        format!("{:?}", ShutDown(1)),
        "ShutDown(..)".replace("(..)", " { .. }")
    );
    assert_eq!(ShutDown(1).into_inner(), 1);
    assert_eq!(
        TryPutError::Full(1).to_string(),
        "try_put: the queue is full"
    );
    assert_eq!(
        TryPutError::ShutDown(1).to_string(),
        "try_put: the queue is shut down"
    );
    assert_eq!(format!("{:?}", TryPutError::Full(1)), "Full(..)");
    assert_eq!(
        TryGetError::Empty.to_string(),
        "try_get: the queue is empty"
    );
    assert_eq!(
        TryGetError::ShutDown.to_string(),
        "try_get: the queue is shut down"
    );
}

// Anyone's code, in the middle. SY12, SY14, SY15.

/// Runs something when it is dropped. All of them are equal.
struct OnDrop(Cell<Option<Box<dyn FnOnce()>>>);

impl OnDrop {
    fn new(run: impl FnOnce() + 'static) -> OnDrop {
        OnDrop(Cell::new(Some(Box::new(run))))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

impl PartialEq for OnDrop {
    fn eq(&self, _: &OnDrop) -> bool {
        true
    }
}

impl Eq for OnDrop {}

impl PartialOrd for OnDrop {
    fn partial_cmp(&self, other: &OnDrop) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OnDrop {
    fn cmp(&self, _: &OnDrop) -> Ordering {
        Ordering::Equal
    }
}

for_all_queues! {
    mod reentry;

    // SY12: every use of the queue, in every call of a waker, of one who gets or puts or joins, on every way out.
    fn wakers_that_use_the_queue(Queue) {
        for on in [On::Clone, On::Wake, On::Drop] {
            for (who, how, what) in (0..4 * 5 * 9).map(|it| (it % 4, it / 4 % 5, it / 20)) {
                let queue = Rc::new(Queue::bounded(1));
                // For whatever is put, one count: items are not lost, and not there twice.
                let item = Rc::new(());
                if who == 1 || who == 2 {
                    queue.try_put(item.clone()).unwrap();
                }
                let other = Rc::new(RefCell::new(None));
                let more = Rc::new(RefCell::new(Vec::new()));
                let depth = Cell::new(0);
                let hook = {
                    let (queue, item, other, more) =
                        (queue.clone(), Rc::downgrade(&item), other.clone(), more.clone());
                    move |event| {
                        if event != on || depth.get() > 2 {
                            return;
                        }
                        depth.set(depth.get() + 1);
                        let item = item.upgrade();
                        let item = || item.clone().unwrap();
                        match what {
                            0 => drop(queue.try_put(item())),
                            1 => drop(queue.try_get()),
                            2 => drop(other.take()),
                            3 => queue.shutdown(),
                            4 => drop(queue.shutdown_now()),
                            5 => drop(queue.task_done()),
                            6 => {
                                let mut getter = hand(queue.clone().get_job_owned());
                                let polled = getter.poll();
                                drop(polled);
                                more.borrow_mut().push(getter);
                            }
                            7 => {
                                let _ = hand(queue.put(item())).poll();
                                let _ = hand(queue.get()).poll();
                            }
                            _ => {
                                let _ = hand(queue.join()).poll();
                            }
                        }
                    }
                };
                let waker = hooked(hook);
                let future = |who| -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
                    let (queue, item) = (queue.clone(), item.clone());
                    match who {
                        0 => Box::pin(async move { drop(queue.get().await) }),
                        1 => Box::pin(async move { drop(queue.put(item).await) }),
                        2 => Box::pin(async move { queue.join().await }),
                        _ => Box::pin(async move { drop(queue.get_job().await) }),
                    }
                };
                let poll = |waiting: &mut Option<Hand<_>>, waker: &Waker| {
                    if waiting.as_mut().is_some_and(|it| it.poll_with(waker).is_ready()) {
                        *waiting = None;
                    }
                };
                let mut first = Some(hand(future(who)));
                let mut second = hand(future(who));
                let _ = second.poll();
                poll(&mut first, &waker);
                other.replace(Some(second));
                match how {
                    0 => poll(&mut first, Waker::noop()),
                    1 => drop(first.take()),
                    2 => {
                        let _ = queue.try_put(item.clone());
                        let _ = queue.try_get();
                        drop(first.take());
                    }
                    3 => {
                        queue.shutdown();
                        poll(&mut first, Waker::noop());
                    }
                    _ => {
                        drop(queue.shutdown_now());
                        poll(&mut first, &waker);
                    }
                }
                drop(waker);
                drop(first);
                drop(other.take());
                let is_settled = queue.is_empty() || queue.waiting_getters() == 0;
                assert!(is_settled, "{on:?} {who} {how} {what}: {queue:?}");
                more.borrow_mut().clear();
                assert_eq!(queue.waiting_getters() + queue.waiting_putters(), 0);
                while queue.try_get().is_ok() {}
                assert_eq!(Rc::strong_count(&item), 1, "{on:?} {who} {how} {what}");
            }
        }
    }

    // What was waited for may be there when the waker has been cloned.
    fn a_waker_whose_clone_makes_waiting_needless(Queue) {
        let queue = Rc::new(Queue::bounded(1));
        let on_clone = |run: fn(&Queue<i32>)| {
            let queue = Rc::downgrade(&queue);
            hooked(move |on| {
                if on == On::Clone {
                    run(&queue.upgrade().unwrap());
                }
            })
        };
        let put = on_clone(|queue| queue.try_put(1).unwrap());
        let get = on_clone(|queue| _ = queue.try_get());
        let done = on_clone(|queue| while queue.task_done().is_ok() {});
        let end = on_clone(|queue| queue.shutdown());
        assert_eq!(hand(queue.get()).poll_with(&put), Poll::Ready(Ok(1)));
        queue.try_put(2).unwrap();
        assert_eq!(hand(queue.put(3)).poll_with(&get), Poll::Ready(Ok(())));
        assert!(hand(queue.join()).poll_with(&done).is_ready());
        assert_eq!(hand(queue.put(4)).poll_with(&end), Poll::Ready(Err(ShutDown(4))));
        let empty = Rc::new(Queue::<u8>::new());
        let weak = Rc::downgrade(&empty);
        let end = hooked(move |on| {
            if on == On::Clone {
                weak.upgrade().unwrap().shutdown();
            }
        });
        assert_eq!(hand(empty.get()).poll_with(&end), Poll::Ready(Err(ShutDown(()))));
    }

    // SY14
    fn a_waker_that_panics_keeps_nobody_from_being_told(Queue) {
        let queue = Queue::<u8>::new();
        let mut getters = Vec::from_iter((0..10).map(|_| hand(queue.get())));
        for (index, getter) in getters.iter_mut().enumerate() {
            let waker = hooked(|on| assert!(on != On::Wake, "the waker panics"));
            let polled = if index == 2 { getter.poll_with(&waker) } else { getter.poll() };
            assert!(polled.is_pending());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| queue.shutdown())).is_err());
        for (index, getter) in getters.iter_mut().enumerate() {
            assert_eq!(getter.woken(), usize::from(index != 2));
            assert_eq!(getter.now(), Err(ShutDown(())));
        }
    }

    fn a_waker_that_panics_loses_no_item(Queue) {
        let queue = Queue::bounded(1);
        let waker = hooked(|on| assert!(on != On::Wake, "the waker panics"));
        let mut getter = hand(queue.get());
        assert!(getter.poll_with(&waker).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| queue.try_put(1))).is_err());
        assert_eq!(getter.now(), Ok(1));

        queue.try_put(2).unwrap();
        let mut putter = hand(queue.put(3));
        assert!(putter.poll_with(&waker).is_pending());
        // The item that is on its way to whoever gets is in the queue again.
        assert!(catch_unwind(AssertUnwindSafe(|| queue.try_get())).is_err());
        assert_eq!(putter.now(), Ok(()));
        let mut left = [(); 2].map(|()| queue.try_get().unwrap());
        left.sort();
        assert_eq!((left, queue.len(), queue.unfinished()), ([2, 3], 0, 3));

        let mut join = hand(queue.join());
        assert!(join.poll_with(&waker).is_pending());
        let mut second = waiting(queue.join());
        (0..2).for_each(|_| queue.task_done().unwrap());
        assert!(catch_unwind(AssertUnwindSafe(|| queue.task_done())).is_err());
        join.now();
        second.now();
    }

    // SY15
    fn destructors_that_use_the_queue(Queue) {
        for what in 0..6 {
            for how in 0..6 {
                let queue = Rc::new(Queue::bounded(2));
                let dropped = Rc::new(Cell::new(0));
                let made = Cell::new(0);
                let item = || {
                    made.set(made.get() + 1);
                    let (queue, dropped) = (Rc::downgrade(&queue), dropped.clone());
                    OnDrop::new(move || {
                        dropped.set(dropped.get() + 1);
                        let Some(queue) = Weak::upgrade(&queue) else { return };
                        match what {
                            0 => drop(queue.try_get()),
                            1 => drop(queue.shutdown_now()),
                            2 => queue.shutdown(),
                            3 => drop(queue.task_done()),
                            4 => {
                                let dropped = dropped.clone();
                                dropped.set(dropped.get() - 1);
                                let inner = OnDrop::new(move || dropped.set(dropped.get() + 1));
                                drop(queue.try_put(inner));
                            }
                            _ => drop(hand(queue.get()).poll()),
                        }
                    })
                };
                queue.try_put(item()).unwrap();
                queue.try_put(item()).unwrap();
                let putter = waiting(queue.put(item()));
                let mut putter = Some(putter);
                match how {
                    0 => drop(putter.take()),
                    1 => drop(queue.shutdown_now()),
                    2 => drop((queue.try_get(), queue.try_get())),
                    3 => {
                        let job = now(queue.get_job());
                        drop(putter.take());
                        drop(job);
                    }
                    4 => {
                        while queue.try_get().is_ok() {}
                        let mut getter = hand(queue.get());
                        let _ = getter.poll();
                        let _ = queue.try_put(item());
                        drop(queue.shutdown_now());
                        drop(getter);
                    }
                    _ => drop(queue.try_put(item())),
                }
                drop(putter);
                while queue.try_get().is_ok() {}
                let weak = Rc::downgrade(&queue);
                drop(queue);
                assert!(weak.upgrade().is_none());
                assert_eq!(dropped.get(), made.get(), "{what} {how}");
            }
        }
    }
}

// Comparing is anyone's code too.

/// Compares by number, and runs something before.
struct Compared {
    number: i32,
    before: Rc<dyn Fn()>,
}

impl PartialEq for Compared {
    fn eq(&self, other: &Compared) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Compared {}

impl PartialOrd for Compared {
    fn partial_cmp(&self, other: &Compared) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Compared {
    fn cmp(&self, other: &Compared) -> Ordering {
        (self.before)();
        self.number.cmp(&other.number)
    }
}

fn drain(queue: &PriorityQueue<Compared>) -> Vec<i32> {
    Vec::from_iter(std::iter::from_fn(|| queue.try_get().ok()).map(|item| item.number))
}

#[test]
fn comparing_that_panics_changes_nothing() {
    let countdown = Rc::new(Cell::new(u32::MAX));
    let before: Rc<dyn Fn()> = {
        let countdown = countdown.clone();
        Rc::new(move || match countdown.get() {
            0 => panic!("comparing panics"),
            left => countdown.set(left - 1),
        })
    };
    let new = |number| Compared {
        number,
        before: before.clone(),
    };
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let queue = PriorityQueue::new();
        let mut expected = Vec::new();
        for _ in 0..100 {
            countdown.set(random.u32(0..8));
            let number = random.i32(0..50);
            if random.u8(0..3) > 0 {
                if catch_unwind(AssertUnwindSafe(|| queue.try_put(new(number)))).is_ok() {
                    expected.push(number);
                    expected.sort();
                }
            } else if let Ok(got) = catch_unwind(AssertUnwindSafe(|| queue.try_get())) {
                let got = got.ok().map(|item| item.number);
                let next = (!expected.is_empty()).then(|| expected.remove(0));
                assert_eq!(got, next);
            }
            assert_eq!(
                (queue.len(), queue.is_empty()),
                (expected.len(), expected.is_empty())
            );
        }
        countdown.set(u32::MAX);
        assert_eq!(drain(&queue), expected);
    }
}

#[test]
fn comparing_that_panics_when_a_putter_is_served_loses_nothing() {
    let is_bad = Rc::new(Cell::new(false));
    let before: Rc<dyn Fn()> = {
        let is_bad = is_bad.clone();
        Rc::new(move || assert!(!is_bad.get(), "comparing panics"))
    };
    let new = |number| Compared {
        number,
        before: before.clone(),
    };
    let queue = PriorityQueue::bounded(2);
    queue.try_put(new(1)).unwrap();
    queue.try_put(new(2)).unwrap();
    let mut putter = waiting(queue.put(new(0)));
    assert_eq!(queue.try_get().unwrap().number, 1);
    assert!(putter.now().is_ok());
    is_bad.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.try_get())).is_err());
    let mut getter = hand(queue.get());
    assert!(catch_unwind(AssertUnwindSafe(|| getter.poll())).is_err());
    assert_eq!((queue.len(), queue.unfinished()), (2, 3));
    is_bad.set(false);
    assert_eq!(getter.now().unwrap().number, 0);
    assert_eq!(drain(&queue), [2]);
}

type Reentry<R> = (
    Rc<PriorityQueue<Compared>>,
    Rc<dyn Fn(i32) -> Compared>,
    Rc<RefCell<Vec<R>>>,
    Rc<Cell<bool>>,
);

/// A queue that is used by a comparison, in one way, once it is armed. The others: what makes items, the results, the trigger.
fn with_reentry<R: 'static>(
    capacity: usize,
    reenter: impl Fn(&Rc<PriorityQueue<Compared>>) -> R + 'static,
) -> Reentry<R> {
    let queue = Rc::new(PriorityQueue::bounded(capacity));
    let is_armed = Rc::new(Cell::new(false));
    let results = Rc::new(RefCell::new(Vec::new()));
    let before: Rc<dyn Fn()> = {
        let (queue, is_armed, results) = (Rc::downgrade(&queue), is_armed.clone(), results.clone());
        Rc::new(move || {
            if is_armed.replace(false) {
                let queue = queue.upgrade().unwrap();
                let result = reenter(&queue);
                results.borrow_mut().push(result);
            }
        })
    };
    let new: Rc<dyn Fn(i32) -> Compared> = Rc::new(move |number| Compared {
        number,
        before: before.clone(),
    });
    (queue, new, results, is_armed)
}

fn compared(number: i32) -> Compared {
    Compared {
        number,
        before: Rc::new(|| ()),
    }
}

#[test]
fn what_is_put_during_a_comparison_is_in_the_queue() {
    let (queue, new, results, is_armed) =
        with_reentry(10, |queue| queue.try_put(compared(0)).is_ok());
    for number in [5, 3, 4] {
        queue.try_put(new(number)).unwrap();
    }
    is_armed.set(true);
    queue.try_put(new(1)).unwrap();
    assert_eq!(
        (results.take(), queue.len(), queue.unfinished()),
        (vec![true], 5, 5)
    );
    is_armed.set(true);
    assert_eq!(queue.try_get().unwrap().number, 0);
    assert_eq!(results.take(), [true]);
    assert_eq!(drain(&queue), [0, 1, 3, 4, 5]);
}

#[test]
fn nothing_can_be_taken_during_a_comparison() {
    let (queue, new, results, is_armed) = with_reentry(10, |queue| {
        assert_eq!(queue.waiting_getters(), 0);
        matches!(queue.try_get(), Err(TryGetError::Empty))
    });
    for number in [5, 3, 4] {
        queue.try_put(new(number)).unwrap();
    }
    is_armed.set(true);
    assert_eq!(queue.try_get().unwrap().number, 3);
    assert_eq!(results.take(), [true]);
    assert_eq!(drain(&queue), [4, 5]);
}

#[test]
fn who_comes_to_wait_during_a_comparison_is_served_after_it() {
    for is_put in [false, true] {
        let (queue, new, results, is_armed) =
            with_reentry(10, |queue| waiting(queue.clone().get_job_owned()));
        for number in [5, 3, 4] {
            queue.try_put(new(number)).unwrap();
        }
        is_armed.set(true);
        let expected = if is_put {
            queue.try_put(new(1)).unwrap();
            1
        } else {
            assert_eq!(queue.try_get().unwrap().number, 3);
            4
        };
        let mut getters = results.take();
        assert_eq!((getters.len(), getters[0].woken()), (1, 1));
        assert_eq!(getters[0].now().unwrap().number, expected);
        assert_eq!(queue.waiting_getters(), 0);
        let left = if is_put { vec![3, 4, 5] } else { vec![5] };
        assert_eq!(drain(&queue), left);
    }
}

#[test]
fn what_is_put_while_somebody_waits_for_a_comparison_is_compared_too() {
    let (queue, new, results, is_armed) = with_reentry(10, |queue| {
        let getter = waiting(queue.clone().get_job_owned());
        queue.try_put(compared(9)).unwrap();
        assert_eq!((getter.woken(), queue.waiting_getters()), (0, 1));
        getter
    });
    for number in [5, 3, 4] {
        queue.try_put(new(number)).unwrap();
    }
    is_armed.set(true);
    assert_eq!(queue.try_get().unwrap().number, 3);
    assert_eq!(results.take()[0].now().unwrap().number, 4);
    assert_eq!(drain(&queue), [5, 9]);
}

#[test]
fn nobody_overtakes_those_who_wait_for_a_comparison() {
    let (queue, new, results, is_armed) = with_reentry(10, |queue| {
        let mut first = hand(queue.clone().get_job_owned());
        let weak = Rc::downgrade(queue);
        let waker = hooked(move |on| {
            if on == On::Wake {
                let queue = weak.upgrade().unwrap();
                assert_eq!((queue.len(), queue.waiting_getters()), (2, 1));
                assert!(matches!(queue.try_get(), Err(TryGetError::Empty)));
            }
        });
        assert!(first.poll_with(&waker).is_pending());
        [first, waiting(queue.clone().get_job_owned())]
    });
    for number in [5, 3, 4, 6] {
        queue.try_put(new(number)).unwrap();
    }
    is_armed.set(true);
    assert_eq!(queue.try_get().unwrap().number, 3);
    let mut getters = results.take().remove(0);
    let got = getters.each_mut().map(|it| it.now().unwrap().number);
    assert_eq!((got, drain(&queue)), ([4, 5], vec![6]));
}

#[test]
fn who_comes_to_wait_during_a_comparison_that_panics_is_served_too() {
    let (queue, new, results, is_armed) =
        with_reentry(10, |queue| waiting(queue.clone().get_job_owned()));
    let is_bad = Rc::new(Cell::new(true));
    let bad = {
        let (new, is_bad) = (new.clone(), is_bad.clone());
        let good = new(0);
        Compared {
            number: 1,
            before: Rc::new(move || {
                (good.before)();
                assert!(!is_bad.replace(false), "comparing panics");
            }),
        }
    };
    for number in [5, 3, 4] {
        queue.try_put(new(number)).unwrap();
    }
    is_armed.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.try_put(bad))).is_err());
    let mut getters = results.take();
    assert_eq!(getters[0].now().unwrap().number, 3);
    assert_eq!((drain(&queue), queue.unfinished()), (vec![4, 5], 2));
}

#[test]
fn a_wait_that_is_dropped_during_a_comparison_puts_its_item_back() {
    let slot = Rc::new(RefCell::new(None));
    let in_hook = slot.clone();
    let (queue, new, _results, is_armed) = with_reentry(10, move |_| drop(in_hook.take()));
    slot.replace(Some(waiting(queue.clone().get_job_owned())));
    for number in [1, 5, 3, 4] {
        queue.try_put(new(number)).unwrap();
    }
    assert_eq!(queue.len(), 3);
    is_armed.set(true);
    assert_eq!(queue.try_get().unwrap().number, 3);
    assert_eq!((queue.len(), drain(&queue)), (3, vec![1, 4, 5]));
}

#[test]
fn a_shutdown_during_a_comparison() {
    for is_put in [false, true] {
        let (queue, new, results, is_armed) = with_reentry(10, |queue| {
            let mut getter = waiting(queue.clone().get_job_owned());
            queue.shutdown();
            // There are items, and it will get one.
            assert!(getter.poll().is_pending());
            getter
        });
        for number in [5, 3, 4] {
            queue.try_put(new(number)).unwrap();
        }
        is_armed.set(true);
        if is_put {
            // It had begun before.
            assert!(queue.try_put(new(1)).is_ok());
        } else {
            assert_eq!(queue.try_get().unwrap().number, 3);
        }
        let got = results.take()[0].now().unwrap().number;
        assert_eq!(got, if is_put { 1 } else { 4 });
        assert_eq!(drain(&queue), if is_put { vec![3, 4, 5] } else { vec![5] });
        assert!(matches!(queue.try_get(), Err(TryGetError::ShutDown)));
    }
}

#[test]
fn a_shutdown_now_during_a_comparison_drops_what_is_compared() {
    for is_put in [false, true] {
        let (queue, new, results, is_armed) = with_reentry(10, |queue| {
            queue.try_put(compared(9)).unwrap();
            let getter = waiting(queue.clone().get_job_owned());
            let items = queue.shutdown_now();
            let numbers = Vec::from_iter(items.iter().map(|item| item.number));
            assert!(queue.try_put(compared(9)).is_err());
            (getter, numbers)
        });
        for number in [5, 3, 4] {
            queue.try_put(new(number)).unwrap();
        }
        let mut join = waiting(queue.join());
        is_armed.set(true);
        if is_put {
            // It had begun before.
            queue.try_put(new(1)).unwrap();
        } else {
            assert_eq!(queue.try_get().unwrap().number, 3);
            assert!(join.poll().is_pending());
            queue.task_done().unwrap();
        }
        let (mut getter, numbers) = results.take().remove(0);
        assert_eq!(numbers, [9]);
        assert!(getter.now().is_err());
        assert_eq!(
            (queue.len(), queue.unfinished(), drain(&queue)),
            (0, 0, vec![])
        );
        join.now();
    }
}

#[test]
fn a_shutdown_now_during_a_comparison_that_nobody_waits_for() {
    let (queue, new, results, is_armed) = with_reentry(10, |queue| queue.shutdown_now().len());
    for number in [5, 3, 4] {
        queue.try_put(new(number)).unwrap();
    }
    is_armed.set(true);
    assert_eq!(queue.try_get().unwrap().number, 3);
    assert_eq!(
        (results.take(), queue.len(), queue.unfinished()),
        (vec![0], 0, 1)
    );
}

#[test]
fn an_order_that_contradicts_itself_loses_nothing() {
    struct Chaos(RefCell<fastrand::Rng>);
    impl tulipa_sync::queue::priority::Order<u32> for Chaos {
        fn compare(&self, _: &u32, _: &u32) -> Ordering {
            [Ordering::Less, Ordering::Equal, Ordering::Greater][self.0.borrow_mut().usize(0..3)]
        }
    }
    let queue = PriorityQueue::with_order(Chaos(RefCell::new(fastrand::Rng::with_seed(4))));
    (0..1000).for_each(|item| queue.try_put(item).unwrap());
    let mut got = Vec::from_iter(std::iter::from_fn(|| queue.try_get().ok()));
    got.sort();
    assert_eq!(got, Vec::from_iter(0..1000));
}
