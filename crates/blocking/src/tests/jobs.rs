//! Order, results, handles dropped at each stage, many jobs.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;

use super::{Blocker, counting_waker, drop_tells, pool_of};
use crate::{BlockingHandle, Pool};

fn poll<T>(job: &mut BlockingHandle<T>, waker: &Waker) -> Poll<Result<T, crate::BlockingError>> {
    Pin::new(job).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_job_runs_on_a_thread_of_the_pool() {
    let pool = Pool::default();
    let here = thread::current().id();
    let there = block_on(pool.spawn(|| thread::current().id())).unwrap();
    assert_ne!(here, there);
}

#[test]
fn jobs_start_in_the_order_in_which_they_were_spawned() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let order = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<_> = (0..100)
        .map(|number| {
            let order = order.clone();
            pool.spawn(move || order.lock().unwrap().push(number))
        })
        .collect();
    assert_eq!((pool.queued(), pool.running()), (100, 1));
    first.finish();
    for job in jobs {
        job.join().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
    assert_eq!(pool.queued(), 0);
}

#[test]
fn a_job_may_spawn_jobs() {
    let pool = pool_of(1);
    let inner = pool.clone();
    let outer = pool.spawn(move || inner.spawn(|| "inner"));
    assert_eq!(outer.join().unwrap().join().unwrap(), "inner");
}

#[test]
fn a_finished_job_is_ready_at_the_first_poll() {
    let pool = pool_of(1);
    let mut job = pool.spawn(|| 5);
    pool.spawn(|| ()).join().unwrap();
    assert!(job.is_finished());
    let (waker, wakes) = counting_waker();
    assert!(matches!(poll(&mut job, &waker), Poll::Ready(Ok(5))));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
}

#[test]
fn a_waiting_handle_is_woken_once_and_by_its_last_waker() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let mut job = pool.spawn(|| 5);
    let (early, early_wakes) = counting_waker();
    let (late, late_wakes) = counting_waker();
    assert!(poll(&mut job, &early).is_pending());
    assert!(poll(&mut job, &late).is_pending());
    assert!(poll(&mut job, &late).is_pending());
    assert!(!job.is_finished());
    first.finish();
    // The queue is in order, and a thread wakes before it runs the next job.
    pool.spawn(|| ()).join().unwrap();
    assert_eq!(early_wakes.0.load(Ordering::SeqCst), 0);
    assert_eq!(late_wakes.0.load(Ordering::SeqCst), 1);
    assert!(matches!(poll(&mut job, &late), Poll::Ready(Ok(5))));
}

#[test]
fn try_join_never_waits() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let mut job = pool.spawn(|| 5);
    assert!(job.try_join().is_none());
    first.finish();
    pool.spawn(|| ()).join().unwrap();
    assert_eq!(job.try_join().unwrap().unwrap(), 5);
}

#[test]
fn join_timeout_gives_the_handle_back() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let mut job = pool.spawn(|| 5);
    assert!(job.join_timeout(Duration::ZERO).is_none());
    assert!(job.join_timeout(Duration::from_millis(1)).is_none());
    first.finish();
    assert_eq!(job.join_timeout(Duration::MAX).unwrap().unwrap(), 5);
}

#[test]
#[should_panic(expected = "polled after it has yielded the result")]
fn taking_a_result_twice_is_refused() {
    let pool = pool_of(1);
    let mut job = pool.spawn(|| 5);
    assert!(job.join_timeout(Duration::MAX).is_some());
    let _ = job.try_join();
}

#[test]
#[should_panic(expected = "await the handle instead")]
fn joining_inside_of_a_task_is_refused() {
    let pool = pool_of(1);
    let job = pool.spawn(|| 5);
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            tulipa_base::current::set_task_id(None);
        }
    }
    tulipa_base::current::set_task_id(Some(tulipa_base::TaskId::new(1, 1)));
    let _leave = Leave;
    let _ = job.join();
}

#[test]
fn a_job_whose_handle_is_dropped_while_queued_runs_and_drops_its_result_there() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let (value, dropped) = drop_tells();
    drop(pool.spawn(move || value));
    let place = pool.spawn(|| thread::current().id());
    first.finish();
    assert_eq!(dropped.recv().unwrap(), place.join().unwrap());
}

#[test]
fn a_job_whose_handle_is_dropped_while_it_runs_drops_its_result_there() {
    let pool = pool_of(1);
    let (value, dropped) = drop_tells();
    let (started, has_started) = channel();
    let (let_go, is_let_go) = channel::<()>();
    let mut job = pool.spawn(move || {
        started.send(thread::current().id()).unwrap();
        is_let_go.recv().unwrap();
        value
    });
    let there = has_started.recv().unwrap();
    // Polled once: its waker goes with the handle.
    let (waker, wakes) = counting_waker();
    assert!(poll(&mut job, &waker).is_pending());
    drop(job);
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 1);
    let_go.send(()).unwrap();
    assert_eq!(dropped.recv().unwrap(), there);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
}

#[test]
fn a_result_that_nobody_took_is_dropped_with_the_handle() {
    let pool = pool_of(1);
    let (value, dropped) = drop_tells();
    let job = pool.spawn(move || value);
    pool.spawn(|| ()).join().unwrap();
    assert!(job.is_finished());
    assert!(dropped.try_recv().is_err());
    drop(job);
    assert_eq!(dropped.recv().unwrap(), thread::current().id());
}

#[test]
fn what_a_closure_holds_is_gone_when_its_handle_resolves() {
    let pool = pool_of(1);
    let shared = Arc::new(());
    let held = shared.clone();
    block_on(pool.spawn(move || drop(held))).unwrap();
    assert_eq!(Arc::strong_count(&shared), 1);
    let held = shared.clone();
    let outcome = block_on(pool.spawn(move || {
        let _held = held;
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_eq!(Arc::strong_count(&shared), 1);
}

#[test]
fn a_hundred_thousand_jobs_each_run_once() {
    const JOBS: usize = 100_000;
    let pool = pool_of(4);
    let runs = Arc::new(AtomicUsize::new(0));
    let jobs: Vec<_> = (0..JOBS)
        .map(|number| {
            let runs = runs.clone();
            pool.spawn(move || {
                runs.fetch_add(1, Ordering::Relaxed);
                number
            })
        })
        .collect();
    block_on(async {
        for (number, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await.unwrap(), number);
        }
    });
    assert_eq!(runs.load(Ordering::Relaxed), JOBS);
    assert!(pool.shutdown(Duration::MAX).joined <= 4);
}

/// Four threads spawn, and await, cancel or drop at once, so that each outcome meets each stage of a job.
#[test]
fn every_job_ends_once_whatever_happens_to_its_handle() {
    const ROUNDS: usize = 5_000;
    let pool = pool_of(3);
    let ended = Arc::new(AtomicUsize::new(0));
    struct Ends(Arc<AtomicUsize>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let ends = Ends(ended.clone());
                    let mut job = pool.spawn(move || ends);
                    match round % 5 {
                        0 => drop(job),
                        1 => drop(job.cancel_on_drop()),
                        2 => {
                            let is_cancelled = job.cancel();
                            assert_eq!(job.join().is_err(), is_cancelled);
                        }
                        3 => {
                            let _ = poll(&mut job, Waker::noop());
                            drop(job);
                        }
                        _ => drop(block_on(job).unwrap()),
                    }
                }
            });
        }
    });
    block_on(pool.wait_idle());
    assert_eq!(ended.load(Ordering::Relaxed), 4 * ROUNDS);
}
