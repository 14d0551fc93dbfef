//! Closing, waiting, and what is abandoned.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;

use super::{Blocker, counting_waker, drop_tells, pool_of};
use crate::{BlockingError, Pool};

#[test]
fn a_pool_without_jobs_joins_its_threads() {
    let pool = pool_of(2);
    let (one, two) = (Blocker::start(&pool), Blocker::start(&pool));
    one.finish();
    two.finish();
    let outcome = pool.shutdown(Duration::ZERO);
    assert_eq!((outcome.joined, outcome.abandoned.len()), (2, 0));
    assert_eq!(pool.threads(), 0);
    let again = pool.shutdown(Duration::MAX);
    assert_eq!((again.joined, again.abandoned.len()), (0, 0));
}

#[test]
fn a_pool_that_was_never_used_is_shut_down_at_once() {
    let outcome = Pool::default().shutdown(Duration::MAX);
    assert_eq!((outcome.joined, outcome.abandoned.len()), (0, 0));
}

#[test]
fn a_closed_pool_refuses_jobs() {
    let pool = pool_of(1);
    pool.close();
    assert!(pool.is_closed());
    let (held, dropped) = drop_tells();
    let job = pool.spawn(move || drop(held));
    assert_eq!(dropped.recv().unwrap(), thread::current().id());
    let error = job.join().unwrap_err();
    assert!(matches!(error, BlockingError::PoolClosed { .. }));
    assert!(error.to_string().ends_with("found the pool closed"));
    assert_eq!(pool.threads(), 0);
}

#[test]
fn closing_cancels_what_is_queued_and_tells_what_runs() {
    let pool = pool_of(1);
    let (started, has_started) = channel();
    let running = pool.spawn_with_stop(move |stop| {
        started.send(()).unwrap();
        stop.wait_timeout(Duration::MAX)
    });
    has_started.recv().unwrap();
    let (held, dropped) = drop_tells();
    let queued = pool.spawn(move || drop(held));
    let detached = pool.spawn(|| unreachable!("it was cancelled"));
    drop(detached);

    pool.close();
    assert_eq!(dropped.recv().unwrap(), thread::current().id());
    assert!(queued.join().unwrap_err().is_cancelled());
    assert!(running.join().unwrap());
    let outcome = pool.shutdown(Duration::ZERO);
    assert_eq!((outcome.joined, outcome.abandoned.len()), (1, 0));
}

#[test]
fn a_stuck_job_is_abandoned_and_named_and_can_be_joined_later() {
    let pool = pool_of(2);
    let stuck = Blocker::start(&pool);
    let other = pool.spawn(|| ());
    other.join().unwrap();

    let outcome = pool.shutdown(Duration::ZERO);
    assert_eq!(outcome.joined, 1);
    assert_eq!(outcome.abandoned.len(), 1);
    let job = outcome.abandoned[0];
    assert_eq!(job.spawned_at, stuck.job.spawned_at());
    let text = job.to_string();
    assert!(text.starts_with("blocking job spawned at "), "{text}");
    assert!(text.contains("tests/mod.rs") || text.contains(r"tests\mod.rs"));
    assert!(text.contains(", running for "));
    assert_eq!((pool.threads(), pool.running()), (1, 1));

    // Its handle still resolves.
    stuck.finish();
    let outcome = pool.shutdown(Duration::MAX);
    assert_eq!((outcome.joined, outcome.abandoned.len()), (1, 0));
}

#[test]
fn the_oldest_of_the_abandoned_comes_first() {
    let pool = pool_of(3);
    let stuck: Vec<_> = (0..3).map(|_| Blocker::start(&pool)).collect();
    let outcome = pool.shutdown(Duration::from_millis(1));
    let times: Vec<_> = outcome
        .abandoned
        .iter()
        .map(|job| job.running_for)
        .collect();
    assert_eq!(times.len(), 3);
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    stuck.into_iter().for_each(Blocker::finish);
}

#[test]
fn shutting_down_waits_for_a_job_that_ends() {
    let pool = pool_of(1);
    let blocker = Blocker::start(&pool);
    let other = pool.clone();
    let waits = thread::spawn(move || other.shutdown(Duration::MAX));
    // Until it has closed the pool: a job is refused then.
    while !pool.is_closed() {
        thread::yield_now();
    }
    blocker.finish();
    let outcome = waits.join().unwrap();
    assert_eq!((outcome.joined, outcome.abandoned.len()), (1, 0));
}

#[test]
fn a_job_that_shuts_its_own_pool_down_is_its_own_abandoned_job() {
    let pool = pool_of(1);
    let own = pool.clone();
    let outcome = pool
        .spawn(move || own.shutdown(Duration::ZERO))
        .join()
        .unwrap();
    assert_eq!((outcome.joined, outcome.abandoned.len()), (0, 1));
    assert_eq!(pool.shutdown(Duration::MAX).joined, 1);
}

#[test]
fn a_loop_can_close_wait_and_then_collect() {
    let pool = pool_of(4);
    let (started, has_started) = channel();
    let jobs: Vec<_> = (0..4)
        .map(|_| {
            let started = started.clone();
            pool.spawn_with_stop(move |stop| {
                started.send(()).unwrap();
                stop.wait_timeout(Duration::MAX)
            })
        })
        .collect();
    for _ in 0..4 {
        has_started.recv().unwrap();
    }
    pool.close();
    block_on(pool.wait_idle());
    let outcome = pool.shutdown(Duration::ZERO);
    assert_eq!((outcome.joined, outcome.abandoned.len()), (4, 0));
    for job in jobs {
        assert!(job.join().unwrap());
    }
}

#[test]
fn a_waiter_for_quiet_that_gives_up_leaves_nothing_behind() {
    let pool = pool_of(1);
    let blocker = Blocker::start(&pool);
    let (waker, wakes) = counting_waker();
    let mut cx = Context::from_waker(&waker);
    let mut quiet = pool.wait_idle();
    assert!(Pin::new(&mut quiet).poll(&mut cx).is_pending());
    assert!(Pin::new(&mut quiet).poll(&mut cx).is_pending());
    assert_eq!(
        Arc::strong_count(&wakes),
        3,
        "here, in the waker, in the pool"
    );
    drop(quiet);
    assert_eq!(Arc::strong_count(&wakes), 2);
    blocker.finish();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    block_on(pool.wait_idle());
    assert_eq!(
        Pin::new(&mut pool.wait_idle()).poll(&mut cx),
        Poll::Ready(())
    );
}

#[test]
fn jobs_spawned_while_the_pool_closes_all_resolve() {
    for _ in 0..200 {
        let pool = pool_of(2);
        thread::scope(|scope| {
            let spawner = scope.spawn(|| {
                let jobs: Vec<_> = (0..50).map(|_| pool.spawn(|| ())).collect();
                for job in jobs {
                    match job.join() {
                        Ok(())
                        | Err(BlockingError::Cancelled { .. } | BlockingError::PoolClosed { .. }) =>
                            {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let outcome = pool.shutdown(Duration::MAX);
            assert!(outcome.abandoned.is_empty());
            spawner.join().unwrap();
        });
        assert_eq!((pool.threads(), pool.queued(), pool.running()), (0, 0, 0));
    }
}
