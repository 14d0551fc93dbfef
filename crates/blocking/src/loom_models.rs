//! Models of what crosses threads, run by loom: `RUSTFLAGS="--cfg loom" cargo test -p tulipa-blocking
//! --release loom_models`.
//!
//! They run the real pool on loom's threads. A wake that is lost, or a job that nobody runs, shows as a
//! deadlock. Each model counts its values and sees that each is dropped once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::shim::{Mutex, Parker, Unparker};
use crate::{BlockingError, BlockingHandle, Config, Pool};

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // A quick run unless LOOM_MAX_PREEMPTIONS asks for more.
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(f);
}

fn pool_of_one() -> Pool {
    let config = Config {
        max_threads: 1,
        ..Config::default()
    };
    Pool::new(config)
}

/// Ends all threads, so that loom sees any that cannot end.
fn shut_down(pool: &Pool) {
    let outcome = pool.shutdown(Duration::MAX);
    assert!(outcome.abandoned.is_empty());
}

/// What closures capture and return: counts itself. loom runs all threads of a model on one thread of
/// the system, and frees nothing that is leaked, so it is looked at in the model's end.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(live: &Arc<AtomicUsize>) -> Counted {
        live.fetch_add(1, Ordering::Relaxed);
        Counted(live.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn live_count() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

fn assert_none_live(live: &Arc<AtomicUsize>) {
    assert_eq!(live.load(Ordering::Relaxed), 0, "values not dropped");
}

fn block_on<F: Future>(future: F) -> F::Output {
    let parker = Parker::new();
    let waker = Waker::from(Arc::new(parker.unparker()));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parker.park();
    }
}

/// A waker that counts, and then passes the wake on.
struct Counting {
    wakes: AtomicUsize,
    then: Unparker,
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.then.unpark();
    }
}

#[test]
fn a_result_reaches_whoever_waits() {
    model(|| {
        let live = live_count();
        let pool = pool_of_one();
        let captured = Counted::new(&live);
        let job = pool.spawn(move || captured);
        let value = block_on(job).unwrap();
        assert_eq!((pool.running(), pool.idle()), (0, 1));
        assert_eq!(value.0.load(Ordering::Relaxed), 1);
        drop(value);
        assert_none_live(&live);
        shut_down(&pool);
    });
}

#[test]
fn an_idle_thread_is_called_for_the_next_job() {
    model(|| {
        let pool = pool_of_one();
        assert_eq!(block_on(pool.spawn(|| 1)).unwrap(), 1);
        assert_eq!(block_on(pool.spawn(|| 2)).unwrap(), 2);
        assert_eq!(pool.threads(), 1);
        shut_down(&pool);
    });
}

#[test]
fn jobs_from_two_threads_all_run() {
    model(|| {
        let pool = pool_of_one();
        let other = pool.clone();
        let spawner = thread::spawn(move || block_on(other.spawn(|| 1)).unwrap());
        assert_eq!(block_on(pool.spawn(|| 2)).unwrap(), 2);
        assert_eq!(spawner.join().unwrap(), 1);
        shut_down(&pool);
    });
}

#[test]
fn a_cancel_wins_or_loses_against_the_thread() {
    model(|| {
        let live = live_count();
        let ran = live_count();
        let pool = pool_of_one();
        let (captured, count) = (Counted::new(&live), ran.clone());
        let job = pool.spawn(move || {
            count.fetch_add(1, Ordering::Relaxed);
            captured
        });
        let is_cancelled = job.cancel();
        match block_on(job) {
            Ok(_) => assert!(!is_cancelled),
            Err(BlockingError::Cancelled { .. }) => assert!(is_cancelled),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(ran.load(Ordering::Relaxed), usize::from(!is_cancelled));
        assert_none_live(&live);
        shut_down(&pool);
    });
}

#[test]
fn a_cancel_from_elsewhere_wakes_whoever_waits() {
    model(|| {
        let pool = pool_of_one();
        let job = Arc::new(Mutex::new(pool.spawn(|| 1)));
        let other = job.clone();
        let canceller = thread::spawn(move || other.lock().cancel());
        let result = block_on(poll_fn(|cx| pin!(&mut *job.lock()).poll(cx)));
        assert_eq!(result.is_err(), canceller.join().unwrap());
        shut_down(&pool);
    });
}

#[test]
fn a_handle_dropped_meanwhile_leaves_no_value() {
    model(|| {
        let live = live_count();
        let pool = pool_of_one();
        let captured = Counted::new(&live);
        drop(pool.spawn(move || captured));
        shut_down(&pool);
        assert_none_live(&live);
    });
}

#[test]
fn a_handle_dropped_after_a_poll_leaves_neither_value_nor_waker() {
    model(|| {
        let live = live_count();
        let pool = pool_of_one();
        let captured = Counted::new(&live);
        let counting = Arc::new(Counting {
            wakes: AtomicUsize::new(0),
            then: Parker::new().unparker(),
        });
        let waker = Waker::from(counting.clone());
        let mut job = pool.spawn(move || captured);
        let _ = poll_once(&mut job, &waker);
        drop(job);
        drop(waker);
        shut_down(&pool);
        assert_none_live(&live);
        assert_eq!(Arc::strong_count(&counting), 1, "a waker is still held");
    });
}

fn poll_once<T>(job: &mut BlockingHandle<T>, waker: &Waker) -> Poll<Result<T, BlockingError>> {
    pin!(job).poll(&mut Context::from_waker(waker))
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    model(|| {
        let pool = pool_of_one();
        let mut job = pool.spawn(|| 1);
        // A task that moves between two executors, or a handle in a select: another waker each time.
        let parker = Parker::new();
        let first = Arc::new(Counting {
            wakes: AtomicUsize::new(0),
            then: Parker::new().unparker(),
        });
        let second = Arc::new(Counting {
            wakes: AtomicUsize::new(0),
            then: parker.unparker(),
        });
        let mut result = poll_once(&mut job, &Waker::from(first));
        let waker = Waker::from(second.clone());
        while result.is_pending() {
            result = poll_once(&mut job, &waker);
            if result.is_pending() {
                parker.park();
                assert_eq!(second.wakes.load(Ordering::Relaxed), 1);
            }
        }
        assert!(matches!(result, Poll::Ready(Ok(1))));
        shut_down(&pool);
    });
}

#[test]
fn every_handle_resolves_when_the_pool_is_closed_meanwhile() {
    model(|| {
        let live = live_count();
        let pool = pool_of_one();
        let (other, captured) = (pool.clone(), Counted::new(&live));
        let spawner = thread::spawn(move || block_on(other.spawn(move || drop(captured))));
        pool.close();
        match spawner.join().unwrap() {
            Ok(())
            | Err(BlockingError::Cancelled { .. })
            | Err(BlockingError::PoolClosed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert_none_live(&live);
        block_on(pool.wait_idle());
        shut_down(&pool);
    });
}

#[test]
fn a_wait_for_quiet_hears_of_the_last_job() {
    model(|| {
        let live = live_count();
        let pool = pool_of_one();
        let captured = Counted::new(&live);
        drop(pool.spawn(move || captured));
        block_on(pool.wait_idle());
        assert_none_live(&live);
        shut_down(&pool);
    });
}

#[test]
fn threads_end_when_the_last_pool_is_dropped() {
    model(|| {
        let pool = pool_of_one();
        let job = pool.spawn(|| 1);
        drop(pool);
        assert_eq!(block_on(job).unwrap(), 1);
        // A thread that stayed would be a deadlock.
    });
}

#[test]
fn a_stop_is_seen_by_a_job_that_waits_for_it() {
    model(|| {
        let pool = pool_of_one();
        let job = pool.spawn_with_stop(|stop| stop.wait_timeout(Duration::MAX));
        match job.cancel() {
            true => assert!(block_on(job).is_err()),
            false => assert!(block_on(job).unwrap()),
        }
        shut_down(&pool);
    });
}

#[test]
fn a_close_stops_a_job_that_waits_for_it() {
    model(|| {
        let pool = pool_of_one();
        let job = pool.spawn_with_stop(|stop| stop.wait_timeout(Duration::MAX));
        shut_down(&pool);
        if let Ok(is_stopped) = block_on(job) {
            assert!(is_stopped);
        }
    });
}
