//! The primitives' behaviour, one by one: sections 9 of the specification (rows are quoted as §9), what CPython's own
//! tests of locks ask (quoted by the behaviour), and the scenarios SY01 to SY14.

mod support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::future::{block_on, zip};
use support::{Futures, meddling, poll_once};
use tulipa_sync::semaphore::TryAcquireError;
use tulipa_sync::{Barrier, Condition, Event, Latch, Lock, Notify, OnceCell, RwLock, Semaphore};

fn turn<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match poll_once(future) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

// ---- Lock ----

/// CPython, Lock: acquire, locked, release.
#[test]
fn a_lock_is_held_until_its_guard_is_dropped() {
    let lock = Lock::new(1);
    assert!(!lock.is_locked());
    let mut guard = block_on(lock.lock());
    assert!(lock.is_locked() && lock.try_lock().is_none());
    *guard += 1;
    assert_eq!(format!("{guard} {guard:?}"), "2 2");
    drop(guard);
    assert!(!lock.is_locked());
    assert_eq!(lock.into_inner(), 2);
}

/// CPython, Lock: acquire in the order of arrival. §9: the lock never drops in between, and nobody overtakes (SY02).
#[test]
fn a_lock_is_handed_over_in_order_without_a_window() {
    let lock = Lock::new(());
    let mut futures = Futures::new(100);
    let first = lock.try_lock().unwrap();
    for number in 0..100 {
        assert!(futures.start(number, lock.lock()).is_pending());
    }
    let mut guard = first;
    for number in 0..100 {
        drop(guard);
        assert!(lock.is_locked() && lock.try_lock().is_none());
        // A newcomer comes last.
        let mut newcomer = Box::pin(lock.lock());
        assert!(turn(newcomer.as_mut()).is_none());
        drop(newcomer);
        assert_eq!(futures.woken(), [number]);
        let Poll::Ready(next) = futures.poll(number) else {
            panic!("it was its turn");
        };
        guard = next;
    }
    drop(guard);
    assert!(!lock.is_locked());
}

/// CPython, Lock: a waiter that is cancelled after it was woken wakes the next; one that is cancelled before
/// swallows no release; and never do two get in. SY01.
#[test]
fn a_lock_that_was_handed_to_a_dropped_future_goes_on() {
    let lock = Rc::new(Lock::new(()));
    let mut futures = Futures::new(4);
    let guard = lock.try_lock_owned().unwrap();
    for number in 0..4 {
        assert!(futures.start(number, lock.lock_owned()).is_pending());
    }
    futures.drop(1); // Waiting.
    drop(guard);
    assert_eq!(futures.woken(), [0]);
    futures.drop(0); // Woken.
    assert_eq!(futures.woken(), [2]);
    assert!(futures.poll(3).is_pending());
    let Poll::Ready(guard) = futures.poll(2) else {
        panic!("it was its turn");
    };
    assert!(lock.try_lock().is_none());
    drop(guard);
    futures.drop(3);
    assert!(!lock.is_locked() && lock.waiting() == 0);
}

/// CPython, Lock: the repr tells the state and the waiters. Here the value, the holder's task and the name too.
#[test]
fn a_lock_describes_itself() {
    let lock = Lock::new(5).named("accounts");
    let text = format!("{lock:?}");
    assert!(
        text.contains("Lock") && text.contains("accounts") && text.contains("value: 5"),
        "{text}"
    );
    let guard = lock.try_lock().unwrap();
    let mut waits = Box::pin(lock.lock());
    assert!(turn(waits.as_mut()).is_none());
    let text = format!("{lock:?}");
    assert!(
        text.contains("waiting: 1") && !text.contains("value"),
        "{text}"
    );
    drop(waits);
    drop(guard);
}

/// TK13: polled again after it was ready, it says what is wrong.
#[test]
fn a_future_that_has_yielded_says_so() {
    let lock = Lock::new(());
    let mut future = pin!(lock.lock());
    drop(turn(future.as_mut()).unwrap());
    let again = catch_unwind(AssertUnwindSafe(|| drop(turn(future.as_mut()))));
    let message = again.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("Lock polled after it has yielded"),
        "{message}"
    );
}

#[test]
fn a_panic_unlocks_and_poisons_nothing() {
    let lock = Lock::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = lock.try_lock().unwrap();
        *guard = 3;
        panic!("in the middle");
    }));
    assert!(panicked.is_err());
    assert_eq!(*lock.try_lock().unwrap(), 3);
}

// ---- RwLock ----

/// SY04: a writer that waits is not overtaken by readers; when it gives up they go on at once.
#[test]
fn a_writer_is_not_starved() {
    let lock = RwLock::new(0);
    let mut readers = Futures::new(4);
    let mut writers = Futures::new(2);
    let first = lock.try_read().unwrap();
    assert!(writers.start(0, lock.write()).is_pending());
    for number in 0..3 {
        assert!(readers.start(number, lock.read()).is_pending());
    }
    assert!(lock.try_read().is_none());
    drop(first);
    assert_eq!(writers.woken(), [0]);
    let Poll::Ready(mut guard) = writers.poll(0) else {
        panic!("its turn");
    };
    *guard = 1;
    assert!(lock.is_written() && lock.readers() == 0);
    let reads = tulipa_sync::rw_lock::WriteGuard::downgrade(guard);
    assert_eq!(readers.woken(), [0, 1, 2]);
    assert_eq!((*reads, lock.readers()), (1, 4));
    // A writer waits behind them, and a reader behind that; the writer goes away.
    assert!(writers.start(1, lock.write()).is_pending());
    assert!(readers.start(3, lock.read()).is_pending());
    writers.drop(1);
    assert_eq!(readers.woken(), [3]);
}

#[test]
fn an_owned_writer_may_go_on_as_a_reader() {
    let lock = Rc::new(RwLock::new(1));
    let writer = block_on(lock.write_owned());
    let reader = tulipa_sync::rw_lock::OwnedWriteGuard::downgrade(writer);
    assert_eq!((lock.readers(), Rc::strong_count(&lock)), (1, 2));
    assert!(lock.try_read_owned().is_some() && lock.try_write_owned().is_none());
    drop(reader);
    assert!(lock.try_write_owned().is_some());
    assert_eq!(Rc::strong_count(&lock), 1);
}

// ---- Event ----

/// CPython, Event: wait on a set event does not suspend; set wakes all; they go on though it is cleared at once.
#[test]
fn an_event_lets_all_go_who_waited() {
    let event = Event::new();
    let mut futures = Futures::new(3);
    for number in 0..2 {
        assert!(futures.start(number, event.wait()).is_pending());
    }
    event.set();
    event.clear();
    assert!(!event.is_set());
    assert!(futures.start(2, event.wait()).is_pending());
    assert_eq!(futures.woken(), [0, 1]);
    assert!(futures.poll(0).is_ready() && futures.poll(1).is_ready());
    assert!(futures.poll(2).is_pending());
    event.set();
    event.set();
    assert_eq!(futures.woken(), [2]);
    block_on(event.wait());
}

/// CPython, Event: a waiter that is cancelled is removed.
#[test]
fn an_event_forgets_who_does_not_wait_any_more() {
    let event = Event::new();
    let mut futures = Futures::new(2);
    assert!(futures.start(0, event.wait()).is_pending());
    assert!(futures.start(1, event.wait()).is_pending());
    futures.drop(0);
    assert_eq!(event.waiting(), 1);
    event.set();
    assert_eq!(futures.woken(), [1]);
}

/// SY11: each once, in order.
#[test]
fn an_event_wakes_very_many() {
    let event = Event::new();
    let count = 100_000;
    let mut futures = Futures::new(count);
    for number in 0..count {
        assert!(futures.start(number, event.wait()).is_pending());
    }
    event.set();
    assert!(futures.woken().into_iter().eq(0..count));
    assert_eq!(event.waiting(), 0);
}

/// SY14: the third of ten wakers panics; the others are woken, and the panic surfaces once.
#[test]
fn a_waker_that_panics_keeps_nobody_from_being_woken() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }
    type Waits<'a> = &'a dyn Fn() -> Pin<Box<dyn Future<Output = ()> + 'a>>;
    type Wakes<'a> = Box<dyn Fn() + 'a>;
    let (event, notify, condition) = (Event::new(), Notify::new(), Condition::new());
    let (semaphore, barrier, lock) = (Semaphore::new(0), Barrier::new(11), Lock::new(()));
    let cases: [(Waits<'_>, Wakes<'_>); 6] = [
        (&|| Box::pin(event.wait()), Box::new(|| event.set())),
        (
            &|| Box::pin(notify.notified()),
            Box::new(|| notify.notify_waiters()),
        ),
        (
            &|| Box::pin(async { drop(condition.wait(lock.lock().await).await) }),
            Box::new(|| condition.notify_all()),
        ),
        (
            &|| Box::pin(async { semaphore.acquire().await.unwrap().forget() }),
            Box::new(|| semaphore.release(10).unwrap()),
        ),
        (
            &|| Box::pin(async { assert!(semaphore.acquire().await.is_err()) }),
            Box::new(|| semaphore.close()),
        ),
        (
            &|| Box::pin(async { barrier.wait().await.map(drop).unwrap() }),
            Box::new(|| assert!(turn(pin!(barrier.wait())).is_some())),
        ),
    ];
    for (wait, wake) in &cases {
        let mut futures = Futures::new(10);
        for number in 0..10 {
            if number == 2 {
                futures.put(number, wait());
                let waker = Waker::from(Arc::new(Panics));
                let polled = futures.poll_with(number, &waker);
                assert!(polled.is_pending());
            } else {
                assert!(futures.start(number, wait()).is_pending());
            }
        }
        let panicked = catch_unwind(AssertUnwindSafe(wake)).unwrap_err();
        assert_eq!(*panicked.downcast::<&str>().unwrap(), "in a waker");
        assert_eq!(futures.woken(), [0, 1, 3, 4, 5, 6, 7, 8, 9]);
        for number in 0..10 {
            assert!(futures.poll(number).is_ready());
        }
    }
}

// ---- Notify ----

#[test]
fn a_notification_is_kept_once_and_goes_to_one() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_one();
    block_on(notify.notified());
    let mut futures = Futures::new(2);
    assert!(futures.start(0, notify.notified()).is_pending());
    assert!(futures.start(1, notify.notified()).is_pending());
    notify.notify_one();
    // SY01: it goes on in the same order.
    futures.drop(0);
    assert_eq!(futures.woken(), [0, 1]);
    assert!(futures.poll(1).is_ready());
    // `notify_waiters` is not kept, nor passed on.
    notify.notify_waiters();
    assert!(futures.start(0, notify.notified()).is_pending());
    notify.notify_waiters();
    futures.drop(0);
    assert!(futures.start(1, notify.notified()).is_pending());
}

#[test]
fn notify_waiters_tells_futures_that_exist_already() {
    let notify = Notify::new();
    let mut before = pin!(notify.notified());
    notify.notify_waiters();
    assert!(turn(before.as_mut()).is_some());
    // A place taken without waiting counts for `notify_one`.
    let mut enabled = pin!(notify.notified());
    assert!(!enabled.as_mut().enable());
    let mut futures = Futures::new(1);
    assert!(futures.start(0, notify.notified()).is_pending());
    notify.notify_one();
    assert!(enabled.as_mut().enable());
    assert!(futures.woken().is_empty());
    assert!(turn(enabled).is_some());
}

// ---- Condition ----

/// CPython, Condition: notify(n) wakes n in the order of arrival, and they run only after the notifier has released.
#[test]
fn a_condition_notifies_so_many_in_order() {
    let (lock, condition) = (Lock::new(()), Condition::new());
    let mut futures = Futures::new(4);
    for number in 0..4 {
        let waits = async { condition.wait(lock.lock().await).await };
        assert!(futures.start(number, waits).is_pending());
    }
    let guard = lock.try_lock().unwrap();
    condition.notify(2);
    assert_eq!(futures.woken(), [0, 1]);
    assert!(futures.poll(0).is_pending() && futures.poll(1).is_pending());
    assert!(futures.poll(2).is_pending());
    drop(guard);
    assert_eq!(futures.woken(), [0]);
    let Poll::Ready(guard) = futures.poll(0) else {
        panic!("it has the lock");
    };
    drop(guard);
    assert!(futures.poll(1).is_ready());
    condition.notify_all();
    assert_eq!(futures.woken(), [1, 2, 3]);
}

/// CPython, Condition: a waiter that was notified and is then cancelled passes the notification on, before it asks for
/// the lock again, while it waits for that, and when it has been handed over. SY05.
#[test]
fn a_notification_of_one_who_ends_goes_on() {
    for when in 0..3 {
        let (lock, condition) = (Lock::new(()), Condition::new());
        let mut futures = Futures::new(2);
        for number in 0..2 {
            let waits = async { condition.wait(lock.lock().await).await };
            assert!(futures.start(number, waits).is_pending());
        }
        let guard = lock.try_lock().unwrap();
        condition.notify_one();
        assert_eq!(futures.woken(), [0]);
        if when > 0 {
            assert!(futures.poll(0).is_pending()); // In the queue of the lock.
        }
        if when > 1 {
            drop(guard); // Handed over.
            assert_eq!(futures.woken(), [0]);
        }
        futures.drop(0);
        assert_eq!(futures.woken(), [1], "when {when}");
        if when > 1 {
            assert!(!lock.is_locked());
        }
    }
}

/// CPython, Condition: cancelled in the wait, it is removed, and a notification goes to another one.
#[test]
fn a_condition_forgets_who_does_not_wait_any_more() {
    let (lock, condition) = (Rc::new(Lock::new(())), Condition::new());
    let mut futures = Futures::new(2);
    for number in 0..2 {
        let waits = async { condition.wait_owned(lock.lock_owned().await).await };
        assert!(futures.start(number, waits).is_pending());
    }
    futures.drop(0);
    condition.notify_one();
    assert_eq!(futures.woken(), [1]);
    assert_eq!(condition.waiting(), 0);
}

/// CPython, Condition: wait_for loops until the predicate is true, and returns what it says.
#[test]
fn wait_for_looks_again_after_each_notification() {
    let (lock, condition) = (Rc::new(Lock::new(0)), Condition::new());
    let looked = Cell::new(0);
    let waits = async {
        let guard = lock.lock_owned().await;
        let (guard, half) = condition
            .wait_for_owned(guard, |it| {
                looked.set(looked.get() + 1);
                (*it >= 3).then_some(*it * 2)
            })
            .await;
        (*guard, half)
    };
    let counts = async {
        for _ in 0..3 {
            *lock.lock().await += 1;
            condition.notify_one();
            futures_lite::future::yield_now().await;
        }
    };
    assert_eq!(block_on(zip(waits, counts)).0, (3, 6));
    assert_eq!(looked.get(), 4);
}

// ---- Semaphore ----

/// CPython, Semaphore: value, acquire, locked, release; zero to begin with is legal.
#[test]
fn a_semaphore_counts() {
    let semaphore = Semaphore::new(0);
    assert!(semaphore.is_locked());
    assert_eq!(
        semaphore.try_acquire().unwrap_err(),
        TryAcquireError::NoPermits
    );
    semaphore.release(2).unwrap();
    let mut one = semaphore.try_acquire_many(2).unwrap();
    let other = one.split(1).unwrap();
    assert!(one.split(2).is_none());
    assert_eq!(
        (one.count(), other.count(), semaphore.available()),
        (1, 1, 0)
    );
    one.merge(other);
    drop(one);
    assert_eq!(semaphore.available(), 2);
}

/// §9: locked is true, and nobody overtakes, as long as somebody waits, even with permits left. SY03: head of the line.
#[test]
fn the_first_in_line_is_served_first_whatever_it_wants() {
    let semaphore = Semaphore::new(7);
    let held = semaphore.try_acquire_many(5).unwrap();
    let mut futures = Futures::new(8);
    assert!(futures.start(0, semaphore.acquire_many(6)).is_pending());
    for number in 1..8 {
        assert!(
            futures
                .start(number, semaphore.acquire_many(1))
                .is_pending()
        );
    }
    assert!(semaphore.is_locked() && semaphore.available() == 2);
    assert_eq!(
        semaphore.try_acquire().unwrap_err(),
        TryAcquireError::NoPermits
    );
    drop(held);
    assert_eq!(futures.woken(), [0, 1]);
    // CPython, Semaphore: a woken and then cancelled waiter returns its permits, and wakes as many as those allow.
    futures.drop(0);
    assert_eq!(futures.woken(), [2, 3, 4, 5, 6, 7]);
    assert_eq!(semaphore.waiting(), 0);
}

/// CPython, BoundedSemaphore: release above the initial value is an error, and changes nothing.
#[test]
fn a_bounded_semaphore_refuses_too_many() {
    let semaphore = Rc::new(Semaphore::bounded(2));
    assert!(semaphore.release(1).is_err());
    let permit = semaphore.try_acquire_many_owned(1).unwrap();
    semaphore.release(1).unwrap();
    let error = semaphore.release(1).unwrap_err().to_string();
    assert!(error.contains("bound of 2"), "{error}");
    // One more came back than was lent: there are never more than the bound.
    drop(permit);
    assert_eq!(semaphore.available(), 2);
    let unbounded = Semaphore::new(usize::MAX);
    assert!(unbounded.release(1).is_err());
}

/// SY03: forget, add, close.
#[test]
fn a_closed_semaphore_tells_all_who_wait() {
    let semaphore = Semaphore::new(1);
    semaphore.try_acquire().unwrap().forget();
    let mut futures = Futures::new(3);
    for number in 0..3 {
        assert!(futures.start(number, semaphore.acquire()).is_pending());
    }
    semaphore.release(1).unwrap();
    semaphore.close();
    semaphore.close();
    assert_eq!(futures.woken(), [0, 1, 2]);
    // What was assigned before stays so.
    assert!(matches!(futures.poll(0), Poll::Ready(Ok(_))));
    assert!(matches!(futures.poll(1), Poll::Ready(Err(_))));
    drop(futures);
    assert_eq!(
        semaphore.try_acquire().unwrap_err(),
        TryAcquireError::Closed
    );
    assert!(block_on(semaphore.acquire()).is_err());
    assert!(semaphore.is_closed());
}

// ---- Barrier ----

/// CPython, Barrier: unique indices in the order of arrival; the last one does not suspend; filling twice.
#[test]
fn a_barrier_lets_go_of_all_and_is_used_again() {
    let barrier = Barrier::new(3);
    let mut futures = Futures::new(3);
    for _ in 0..2 {
        for number in 0..2 {
            assert!(futures.start(number, barrier.wait()).is_pending());
            assert_eq!(barrier.waiting(), number + 1);
        }
        assert_eq!(futures.start(2, barrier.wait()), Poll::Ready(Ok(2)));
        assert_eq!(barrier.waiting(), 0);
        assert_eq!(futures.woken(), [0, 1]);
        assert_eq!(futures.poll(1), Poll::Ready(Ok(1)));
        assert_eq!(futures.poll(0), Poll::Ready(Ok(0)));
    }
    assert_eq!(block_on(Barrier::new(1).wait()), Ok(0));
}

/// CPython, Barrier: cancelling one waiter does not break it, and a newcomer takes the place; SY10.
#[test]
fn a_barrier_survives_one_who_leaves() {
    let barrier = Barrier::new(3);
    let mut futures = Futures::new(4);
    assert!(futures.start(0, barrier.wait()).is_pending());
    assert!(futures.start(1, barrier.wait()).is_pending());
    futures.drop(0);
    assert_eq!((barrier.waiting(), barrier.is_broken()), (1, false));
    assert!(futures.start(2, barrier.wait()).is_pending());
    assert_eq!(futures.start(3, barrier.wait()), Poll::Ready(Ok(2)));
    assert_eq!(
        (futures.poll(1), futures.poll(2)),
        (Poll::Ready(Ok(0)), Poll::Ready(Ok(1)))
    );
}

/// CPython, Barrier: abort breaks it for now and later; reset repairs it, breaks for who waits, and leaves alone who was
/// let go already; those who come while others leave belong to the next round.
#[test]
fn a_barrier_can_be_aborted_and_reset() {
    let barrier = Barrier::new(2);
    let mut futures = Futures::new(4);
    assert!(futures.start(0, barrier.wait()).is_pending());
    barrier.abort();
    assert!(barrier.is_broken());
    assert!(matches!(futures.poll(0), Poll::Ready(Err(_))));
    assert!(block_on(barrier.wait()).is_err());
    barrier.reset();
    assert!(!barrier.is_broken());
    // Let go, and not run yet: neither a reset nor an abort concerns it, and newcomers wait for one of theirs.
    assert!(futures.start(0, barrier.wait()).is_pending());
    assert_eq!(futures.start(1, barrier.wait()), Poll::Ready(Ok(1)));
    assert!(futures.start(2, barrier.wait()).is_pending());
    assert_eq!(barrier.waiting(), 1);
    barrier.reset();
    assert_eq!(barrier.waiting(), 0);
    assert!(matches!(futures.poll(2), Poll::Ready(Err(_))));
    barrier.abort();
    assert_eq!(futures.poll(0), Poll::Ready(Ok(0)));
    assert_eq!(barrier.parties(), 2);
}

/// CPython, Barrier: fewer than one party is refused.
#[test]
#[should_panic(expected = "there must be one party at least")]
fn a_barrier_without_parties_is_refused() {
    drop(Barrier::new(0));
}

// ---- Latch, OnceCell ----

#[test]
fn a_latch_opens_once_at_zero() {
    let latch = Latch::new(3);
    let mut futures = Futures::new(2);
    assert!(futures.start(0, latch.wait()).is_pending());
    assert!(futures.start(1, latch.wait()).is_pending());
    latch.count_down(2);
    assert!(futures.woken().is_empty() && !latch.is_open());
    block_on(latch.arrive_and_wait());
    assert_eq!(futures.woken(), [0, 1]);
    latch.count_down(5);
    assert_eq!((latch.count(), latch.is_open()), (0, true));
    block_on(Latch::new(0).wait());
}

/// SY09: the initialiser is dropped, then panics, then fails, then succeeds, while ten wait.
#[test]
fn a_value_is_made_once_by_one_at_a_time() {
    let cell = OnceCell::new();
    let makers = Rc::new(Cell::new(0));
    let tries = Rc::new(RefCell::new(Vec::new()));
    let mut futures = Futures::new(10);
    for number in 0..10 {
        let (cell, makers, tries) = (&cell, makers.clone(), tries.clone());
        let future = async move {
            let make = async || {
                makers.set(makers.get() + 1);
                assert_eq!(makers.get(), 1);
                scopeguard(&makers, async {
                    tries.borrow_mut().push(number);
                    futures_lite::future::yield_now().await;
                    match number {
                        0 => std::future::pending().await,
                        1 => panic!("in the initialiser"),
                        2 => Err("no"),
                        _ => Ok(number),
                    }
                })
                .await
            };
            cell.get_or_try_init(make).await.copied()
        };
        assert!(futures.start(number, future).is_pending());
    }
    assert!(futures.poll(0).is_pending());
    futures.drop(0);
    assert!(futures.poll(1).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| futures.poll(1))).is_err());
    futures.drop(1);
    assert!(futures.poll(2).is_pending());
    assert_eq!(futures.poll(2), Poll::Ready(Err("no")));
    assert!(futures.poll(3).is_pending() && cell.get().is_none());
    for number in 3..10 {
        assert_eq!(futures.poll(number), Poll::Ready(Ok(3)));
    }
    assert_eq!(*tries.borrow(), [0, 1, 2, 3]);
    assert_eq!(block_on(cell.wait()), &3);
    assert_eq!(cell.set(4), Err(4));
    drop(futures);
    let mut cell = cell;
    assert_eq!((cell.take(), cell.is_set()), (Some(3), false));
    assert!(turn(pin!(cell.wait())).is_none());
}

async fn scopeguard<T>(makers: &Cell<i32>, future: impl Future<Output = T>) -> T {
    struct Leave<'a>(&'a Cell<i32>);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let _leave = Leave(makers);
    future.await
}

// ---- all of them ----

/// SY12: wakers whose clone, wake and drop use the same primitive.
#[test]
fn wakers_may_use_the_primitive_they_wait_for() {
    let lock = Rc::new(Lock::new(()));
    let rw_lock = Rc::new(RwLock::new(()));
    let semaphore = Rc::new(Semaphore::new(1));
    let (event, notify, condition) = (
        Rc::new(Event::new()),
        Rc::new(Notify::new()),
        Rc::new(Condition::new()),
    );
    let barrier = Rc::new(Barrier::new(3));
    let calls = Rc::new(Cell::new(0));
    let meddle: Rc<dyn Fn(&'static str)> = {
        let (lock, rw_lock, semaphore) = (lock.clone(), rw_lock.clone(), semaphore.clone());
        let (event, notify, condition) = (event.clone(), notify.clone(), condition.clone());
        let (barrier, calls) = (barrier.clone(), calls.clone());
        let depth = Cell::new(0);
        Rc::new(move |_| {
            calls.set(calls.get() + 1);
            if depth.get() > 3 {
                return;
            }
            depth.set(depth.get() + 1);
            drop(lock.try_lock());
            drop(rw_lock.try_read());
            drop(rw_lock.try_write());
            drop(semaphore.try_acquire());
            // Futures that come and go while the list is at work.
            let (mut a, mut b) = (Box::pin(lock.lock()), Box::pin(semaphore.acquire()));
            let (mut c, mut d) = (Box::pin(event.wait()), Box::pin(notify.notified()));
            drop((
                turn(a.as_mut()),
                turn(b.as_mut()),
                turn(c.as_mut()),
                turn(d.as_mut()),
            ));
            let _ = turn(pin!(barrier.wait()));
            event.set();
            event.clear();
            notify.notify_waiters();
            condition.notify_one();
            depth.set(depth.get() - 1);
        })
    };
    for _ in 0..3 {
        let waker = || meddling(meddle.clone());
        let (guard, writes, permit) = (
            lock.try_lock().unwrap(),
            rw_lock.try_write().unwrap(),
            semaphore.try_acquire().unwrap(),
        );
        let mut futures: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        for _ in 0..4 {
            futures.push(Box::pin(async { drop(lock.lock().await) }));
            futures.push(Box::pin(async { drop(rw_lock.read().await) }));
            futures.push(Box::pin(async { drop(rw_lock.write().await) }));
            futures.push(Box::pin(async { drop(semaphore.acquire().await) }));
            futures.push(Box::pin(event.wait()));
            futures.push(Box::pin(notify.notified()));
            futures.push(Box::pin(async {
                let _ = barrier.wait().await;
            }));
        }
        // Polled twice, with different wakers: the second one is exchanged for the first.
        for _ in 0..2 {
            futures.retain_mut(|future| {
                let waker = waker();
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            });
        }
        drop((guard, writes, permit));
        event.set();
        notify.notify_waiters();
        // Some of them are dropped while they wait, or after they were woken.
        let mut left: Vec<_> = futures
            .into_iter()
            .enumerate()
            .filter(|it| it.0 % 3 > 0)
            .collect();
        for _ in 0..20 {
            left.retain_mut(|(_, future)| {
                let waker = waker();
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            });
        }
        drop(left);
        event.clear();
        assert!(!lock.is_locked() && lock.waiting() == 0);
        assert!(rw_lock.try_write().is_some() && rw_lock.waiting() == 0);
        assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
        assert_eq!(
            (event.waiting(), notify.waiting(), condition.waiting()),
            (0, 0, 0)
        );
        assert!(barrier.waiting() == 0);
    }
    assert!(calls.get() > 100);
}

/// §21: a dump tells what is waited for, by its name.
#[test]
fn wait_labels_name_what_is_waited_for() {
    use tulipa_base::{resource, wait};
    let lock = Lock::new(()).named("accounts");
    let guard = lock.try_lock().unwrap();
    let mut waits = Box::pin(lock.lock());
    wait::clear();
    assert!(turn(waits.as_mut()).is_none());
    let label = wait::Label::from_u64(wait::noted()).expect("a label");
    let info = resource::find(label).expect("an entry");
    assert_eq!(
        (info.kind, info.name.as_deref()),
        ("Lock", Some("accounts"))
    );
    wait::clear();
    drop((waits, guard));
}
