//! Queued, running and finished jobs; stop tokens.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;

use super::{Blocker, counting_waker, drop_tells, pool_of};
use crate::BlockingError;

#[test]
fn a_queued_job_never_runs_and_its_closure_is_dropped_here() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let (held, dropped) = drop_tells();
    let mut job = pool.spawn(move || {
        drop(held);
        unreachable!("it was cancelled")
    });
    let (waker, wakes) = counting_waker();
    assert!(
        Pin::new(&mut job)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );

    assert_eq!(pool.queued(), 1);
    assert!(job.cancel());
    assert_eq!(pool.queued(), 0);
    assert_eq!(dropped.recv().unwrap(), thread::current().id());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(job.is_finished());
    assert!(!job.cancel(), "once is enough");

    match block_on(&mut job) {
        Err(error @ BlockingError::Cancelled { .. }) => {
            assert_eq!(error.spawned_at(), job.spawned_at());
            assert!(
                error
                    .to_string()
                    .ends_with("was cancelled before it started")
            );
        }
        other => panic!("{other:?}"),
    }
    first.finish();
}

#[test]
fn the_others_keep_their_order() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let (ran, runs) = channel();
    let jobs: Vec<_> = (0..9)
        .map(|number| {
            let ran = ran.clone();
            pool.spawn(move || ran.send(number).unwrap())
        })
        .collect();
    drop(ran);
    for job in jobs.iter().step_by(2) {
        assert!(job.cancel());
    }
    first.finish();
    assert_eq!(runs.iter().collect::<Vec<_>>(), [1, 3, 5, 7]);
}

#[test]
fn a_running_job_goes_on_and_yields_its_value() {
    let pool = pool_of(1);
    let (started, has_started) = channel();
    let (let_go, is_let_go) = channel::<()>();
    let job = pool.spawn(move || {
        started.send(()).unwrap();
        is_let_go.recv().unwrap();
        7
    });
    has_started.recv().unwrap();
    assert!(!job.cancel());
    let_go.send(()).unwrap();
    assert_eq!(job.join().unwrap(), 7);
}

#[test]
fn a_running_job_is_told_through_its_stop_token() {
    let pool = pool_of(1);
    let (started, has_started) = channel();
    let job = pool.spawn_with_stop(move |stop| {
        assert!(!stop.is_stopped());
        started.send(stop.clone()).unwrap();
        stop.wait_timeout(Duration::MAX)
    });
    let stop = has_started.recv().unwrap();
    assert!(!job.cancel());
    assert!(stop.is_stopped());
    assert!(job.join().unwrap());
    assert!(stop.wait_timeout(Duration::ZERO));
}

#[test]
fn a_wait_for_a_stop_that_does_not_come_ends() {
    let pool = pool_of(1);
    let job = pool.spawn_with_stop(|stop| {
        [Duration::ZERO, Duration::from_millis(1)].map(|timeout| stop.wait_timeout(timeout))
    });
    assert_eq!(job.join().unwrap(), [false, false]);
}

#[test]
fn a_job_that_is_dropped_by_its_owner_is_not_told_to_stop() {
    let pool = pool_of(1);
    let (started, has_started) = channel();
    drop(pool.spawn_with_stop(move |stop| started.send(stop).unwrap()));
    assert!(!has_started.recv().unwrap().is_stopped());
}

#[test]
fn a_finished_job_keeps_its_value() {
    let pool = pool_of(1);
    let job = pool.spawn(|| 7);
    pool.spawn(|| ()).join().unwrap();
    assert!(!job.cancel());
    assert_eq!(job.join().unwrap(), 7);
}

#[test]
fn cancel_on_drop_cancels_what_is_queued_and_tells_what_runs() {
    let pool = pool_of(1);
    let (started, has_started) = channel();
    let running = pool
        .spawn_with_stop(move |stop| {
            started.send(stop.clone()).unwrap();
            stop.wait_timeout(Duration::MAX);
        })
        .cancel_on_drop();
    let stop = has_started.recv().unwrap();
    let queued = pool.spawn(|| unreachable!("it was cancelled"));
    drop(queued.cancel_on_drop());
    assert_eq!(pool.queued(), 0);
    assert!(!running.handle().is_finished());
    drop(running);
    assert!(stop.is_stopped());
    assert_eq!(block_on(pool.spawn(|| 1).cancel_on_drop()).unwrap(), 1);
}

#[test]
fn a_hundred_thousand_queued_jobs_can_be_cancelled_in_any_order() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let mut jobs: Vec<_> = (0..100_000).map(|_| pool.spawn(|| ())).collect();
    // Odd ones forwards, then even ones backwards.
    for job in jobs.iter().skip(1).step_by(2) {
        assert!(job.cancel());
    }
    for job in jobs.iter().rev().skip(1).step_by(2) {
        assert!(job.cancel());
    }
    assert_eq!(pool.queued(), 0);
    for job in &mut jobs {
        assert!(matches!(
            job.try_join(),
            Some(Err(BlockingError::Cancelled { .. }))
        ));
    }
    first.finish();
}

#[test]
fn a_waiter_for_quiet_is_woken_by_the_cancel_of_the_last_job() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let job = pool.spawn(|| ());
    let mut quiet = pool.wait_idle();
    let (waker, wakes) = counting_waker();
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut quiet).poll(&mut cx).is_pending());
    assert!(job.cancel());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "one still runs");
    first.finish();
    block_on(&mut quiet);
    assert_eq!(Pin::new(&mut quiet).poll(&mut cx), Poll::Ready(()));
}
