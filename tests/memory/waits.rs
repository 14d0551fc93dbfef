//! To wait for a primitive allocates nothing, and waits that are given up leave nothing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tulipa::sync::{Barrier, Condition, Event, Latch, Lock, Notify, OnceCell, RwLock, Semaphore};
use tulipa::{join, select, yield_now};

use crate::allocator::{allocations, bytes_held};

/// Every primitive, with something to wait for that does not come.
struct All {
    lock: Lock<()>,
    rw_lock: RwLock<()>,
    semaphore: Semaphore,
    event: Event,
    notify: Notify,
    condition: Condition,
    barrier: Barrier,
    latch: Latch,
    cell: OnceCell<()>,
    free: Lock<()>,
}

impl All {
    fn new() -> All {
        All {
            lock: Lock::new(()),
            rw_lock: RwLock::new(()),
            semaphore: Semaphore::new(0),
            event: Event::new(),
            notify: Notify::new(),
            condition: Condition::new(),
            barrier: Barrier::new(2),
            latch: Latch::new(1),
            cell: OnceCell::new(),
            free: Lock::new(()),
        }
    }

    /// Waits for all of them, and is done when one of them is.
    async fn wait(&self) {
        select! {
            guard = self.lock.lock() => drop(guard),
            guard = self.rw_lock.read() => drop(guard),
            guard = self.rw_lock.write() => drop(guard),
            permit = self.semaphore.acquire() => drop(permit),
            _ = self.event.wait() => {}
            _ = self.notify.notified() => {}
            guard = async { self.condition.wait(self.free.lock().await).await } => drop(guard),
            _ = self.barrier.wait() => {}
            _ = self.latch.wait() => {}
            _ = self.cell.wait() => {}
        }
    }

    fn waiting(&self) -> usize {
        self.lock.waiting()
            + self.rw_lock.waiting()
            + self.semaphore.waiting()
            + self.event.waiting()
            + self.notify.waiting()
            + self.condition.waiting()
            + self.barrier.waiting()
            + self.latch.waiting()
    }
}

#[tulipa::test]
async fn a_wait_allocates_nothing() {
    let all = Rc::new(All::new());
    let _held = (
        all.lock.try_lock().unwrap(),
        all.rw_lock.try_write().unwrap(),
    );
    let mut counted = 0;
    for round in 0..100 {
        let before = allocations();
        {
            let mut waits = pin!(all.wait());
            let once = poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_pending()));
            assert!(once.await);
            assert_eq!(all.waiting(), 9);
        }
        assert_eq!(all.waiting(), 0);
        // The first ones make the entries by which a dump finds them.
        if round > 0 {
            counted += allocations() - before;
        }
    }
    assert_eq!(counted, 0);
}

#[tulipa::test]
async fn a_contended_lock_is_handed_over_without_allocating() {
    let lock = Lock::new(0);
    let work = async || {
        for _ in 0..100 {
            let mut guard = lock.lock().await;
            *guard += 1;
            yield_now().await;
        }
    };
    join!(work(), work(), work());
    let before = allocations();
    join!(work(), work(), work());
    assert_eq!(allocations() - before, 0);
    assert_eq!(*lock.lock().await, 600);
}

/// SY13: a million waits that lose a `select!`.
#[tulipa::test]
async fn cancelled_waits_leave_nothing() {
    let all = All::new();
    let _held = (
        all.lock.try_lock().unwrap(),
        all.rw_lock.try_write().unwrap(),
    );
    let rounds = if cfg!(debug_assertions) {
        20_000
    } else {
        100_000
    };
    let mut before = 0;
    for round in 0..rounds {
        if round == 10 {
            before = bytes_held();
        }
        // Ten waits in each round.
        let mut waits = pin!(all.wait());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!((all.waiting(), bytes_held() - before), (0, 0));
}
