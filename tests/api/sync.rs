//! The primitives in a loop: cancellation, timeouts, budgets, and what a dump tells.
//!
//! What they do by themselves is tested where they are, in `crates/sync/tests`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tulipa::sync::{Condition, Lock, RwLock, Semaphore};
use tulipa::task::{Builder, WaitsFor};
use tulipa::{catch_cancel, join, sleep, spawn, timeout, yield_now};

const MS: Duration = Duration::from_millis(1);

// §21 introspection: a dump names the lock, who holds it, and the circle of two who wait for each other.
#[tulipa::test(start_paused = true)]
async fn a_dump_names_locks_their_holders_and_circles() {
    let (left, right) = (
        Rc::new(Lock::new(()).named("left")),
        Rc::new(Lock::new(()).named("right")),
    );
    let both = |name: &str, first: &Rc<Lock<()>>, second: &Rc<Lock<()>>| {
        let (first, second) = (first.clone(), second.clone());
        Builder::new().name(name).spawn(async move {
            let _first = first.lock().await;
            sleep(MS).await;
            let _second = second.lock().await;
        })
    };
    let (one, other) = (both("one", &left, &right), both("other", &right, &left));
    let waits = spawn({
        let left = left.clone();
        async move { drop(left.lock().await) }
    });
    sleep(MS * 2).await;
    let dump = tulipa::task::dump();
    let info = dump.tasks.iter().find(|it| it.id == one.id()).unwrap();
    let [
        WaitsFor::Resource {
            kind, name, holder, ..
        },
    ] = &*info.waits_for
    else {
        panic!("{info:?}");
    };
    assert_eq!((*kind, name.as_deref()), ("Lock", Some("right")));
    assert_eq!(*holder, Some(other.id()));
    let text = dump.to_string();
    assert!(text.contains("right") && text.contains("Lock"), "{text}");
    let cycles = dump.cycles();
    assert_eq!(cycles.len(), 1);
    assert_eq!(cycles[0].len(), 2);

    // A lock that was handed to a task which has not run since is that task's.
    one.abort();
    yield_now().await;
    assert!(other.await.is_ok() && waits.await.is_ok());
    assert!(!left.is_locked() && !right.is_locked());
    drop(one);
}

// §9: cancelled and timed-out waiters leave the queue, and pass on what they were given.
#[tulipa::test(start_paused = true)]
async fn waits_end_with_timeouts_and_requests_to_cancel() {
    let lock = Rc::new(Lock::new(0));
    let guard = lock.lock().await;
    assert!(timeout(MS, lock.lock()).await.is_err());
    let queue: Vec<_> = (0..3)
        .map(|_| {
            let lock = lock.clone();
            spawn(async move { *lock.lock().await += 1 })
        })
        .collect();
    yield_now().await;
    assert_eq!(lock.waiting(), 3);
    // It is handed to the first, which is cancelled before it runs.
    drop(guard);
    queue[0].cancel();
    let mut ended = Vec::new();
    for task in queue {
        ended.push(task.await.is_ok());
    }
    assert_eq!(ended, [false, true, true]);
    assert_eq!(*lock.lock().await, 2);
}

// SY05, §9 Condition.wait: the guard goes with a wait that is cancelled; clean-up locks again, and the notification went on.
#[tulipa::test(start_paused = true)]
async fn a_cancelled_wait_for_a_condition_cleans_up_with_the_lock() {
    let shared = Rc::new((Lock::new(0), Condition::new()));
    let waits = |cleans_up: bool| {
        let shared = shared.clone();
        spawn(async move {
            let (lock, condition) = &*shared;
            let wait = async { drop(condition.wait(lock.lock().await).await) };
            match catch_cancel(wait).await {
                Ok(()) => "notified",
                Err(cancelled) => {
                    assert!(cleans_up);
                    *lock.lock().await += 1;
                    cancelled.forgive();
                    "cleaned up"
                }
            }
        })
    };
    let (first, second) = (waits(true), waits(false));
    sleep(MS).await;
    let guard = shared.0.lock().await;
    shared.1.notify_one();
    first.cancel();
    sleep(MS).await;
    drop(guard);
    assert_eq!(
        (first.await.unwrap(), second.await.unwrap()),
        ("cleaned up", "notified")
    );
    assert_eq!(*shared.0.lock().await, 1);
}

// LP04: a primitive that is never empty does not keep the others from running.
#[tulipa::test(start_paused = true)]
async fn who_never_has_to_wait_lets_others_run_all_the_same() {
    let (lock, semaphore, rw_lock) = (Lock::new(()), Semaphore::new(1), RwLock::new(()));
    let rounds = Cell::new(0);
    let busy = async {
        while rounds.get() < 10_000 {
            rounds.set(rounds.get() + 1);
            drop(lock.lock().await);
            drop(semaphore.acquire().await);
            drop(rw_lock.write().await);
        }
    };
    let seen = Rc::new(Cell::new(0));
    let other = spawn({
        let seen = seen.clone();
        async move {
            loop {
                seen.set(seen.get() + 1);
                yield_now().await;
            }
        }
    });
    join!(busy, async {});
    assert!(seen.get() > 100, "{}", seen.get());
    other.abort();
}
