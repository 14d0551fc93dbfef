//! When threads start, how many there are, when they end, and when the system gives none.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Blocker, DropTells, drop_tells, pool_of};
use crate::thread::{StartThread, System, ThreadSpec};
use crate::{BlockingError, Config, DEFAULT_MAX_THREADS, Pool};

#[test]
fn a_pool_begins_without_threads() {
    let pool = Pool::default();
    assert_eq!((pool.threads(), pool.idle(), pool.queued()), (0, 0, 0));
    pool.spawn(|| ()).join().unwrap();
    assert_eq!(pool.threads(), 1);
}

#[test]
fn a_thread_is_started_for_each_job_while_none_is_idle_up_to_the_cap() {
    let pool = pool_of(3);
    let mut blockers: Vec<_> = (1..=3)
        .map(|number| {
            let blocker = Blocker::start(&pool);
            assert_eq!((pool.threads(), pool.running()), (number, number));
            blocker
        })
        .collect();
    let more: Vec<_> = (0..5).map(|_| pool.spawn(|| ())).collect();
    assert_eq!((pool.threads(), pool.queued()), (3, 5));
    blockers.pop().unwrap().finish();
    for job in more {
        job.join().unwrap();
    }
    assert_eq!(pool.threads(), 3);
    blockers.into_iter().for_each(Blocker::finish);
}

#[test]
fn as_many_jobs_as_the_default_cap_can_wait_for_each_other() {
    let pool = Pool::default();
    let barrier = Arc::new(Barrier::new(DEFAULT_MAX_THREADS));
    let jobs: Vec<_> = (0..DEFAULT_MAX_THREADS)
        .map(|_| {
            let barrier = barrier.clone();
            pool.spawn(move || barrier.wait().is_leader())
        })
        .collect();
    for job in jobs {
        job.join().unwrap();
    }
    assert_eq!(pool.threads(), DEFAULT_MAX_THREADS);
}

#[test]
fn no_more_jobs_than_the_cap_run_at_once() {
    let pool = pool_of(2);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let jobs: Vec<_> = (0..1_000)
        .map(|_| {
            let (now, most) = (now.clone(), most.clone());
            pool.spawn(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    for job in jobs {
        job.join().unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert!(pool.threads() <= 2);
}

#[test]
fn spawning_and_awaiting_in_turn_needs_one_thread_only() {
    let pool = Pool::default();
    let first = pool.spawn(|| thread::current().id()).join().unwrap();
    for _ in 0..1_000 {
        let next = pool.spawn(|| thread::current().id()).join().unwrap();
        assert_eq!(first, next);
    }
    assert_eq!(pool.threads(), 1);
}

#[test]
fn the_thread_that_went_idle_last_is_called_first() {
    let pool = pool_of(2);
    let (one, two) = (Blocker::start(&pool), Blocker::start(&pool));
    one.finish();
    // Only the first is free.
    let first = pool.spawn(|| thread::current().id()).join().unwrap();
    two.finish();
    for _ in 0..10 {
        assert_eq!(pool.idle(), 2);
        let called = pool.spawn(|| thread::current().id()).join().unwrap();
        assert_ne!(called, first);
    }
}

thread_local! {
    static AT_THREAD_END: RefCell<Option<DropTells>> = const { RefCell::new(None) };
}

#[test]
fn an_idle_thread_ends_after_its_time_and_the_pool_starts_another() {
    let pool = Pool::new(Config {
        keep_alive: Duration::ZERO,
        ..Config::default()
    });
    for _ in 0..3 {
        let (tells, ended) = drop_tells();
        let job = pool.spawn(move || {
            AT_THREAD_END.set(Some(tells));
            thread::current().id()
        });
        let place = job.join().unwrap();
        assert_eq!(ended.recv().unwrap(), place);
        assert_eq!(pool.threads(), 0);
    }
    assert_eq!(pool.shutdown(Duration::MAX).joined, 0);
}

#[test]
fn idle_threads_end_when_the_last_pool_is_dropped() {
    let pool = pool_of(1);
    let (tells, ended) = drop_tells();
    pool.spawn(move || AT_THREAD_END.set(Some(tells)))
        .join()
        .unwrap();
    let clone = pool.clone();
    drop(pool);
    clone.spawn(|| ()).join().unwrap();
    assert!(ended.try_recv().is_err());
    drop(clone);
    ended.recv().unwrap();
}

#[test]
fn queued_jobs_run_though_the_last_pool_is_dropped() {
    let pool = pool_of(1);
    let first = Blocker::start(&pool);
    let (ran, runs) = channel();
    let jobs: Vec<_> = (0..3)
        .map(|number| {
            let ran = ran.clone();
            pool.spawn(move || ran.send(number).unwrap())
        })
        .collect();
    drop((pool, jobs, ran));
    first.finish();
    assert_eq!(runs.iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn threads_have_names_and_stacks_as_asked() {
    let pool = Pool::new(Config {
        thread_name: String::from("disk").into(),
        stack_size: Some(64 << 20),
        ..Config::default()
    });
    let job = pool.spawn(|| {
        // More than the two mebibytes that std gives.
        let big = std::hint::black_box([1_u8; 4 << 20]);
        (thread::current().name().unwrap().to_owned(), big.len())
    });
    assert_eq!(job.join().unwrap(), ("disk-1".to_owned(), 4 << 20));
}

#[test]
#[should_panic(expected = "a pool needs at least one thread")]
fn a_cap_of_zero_is_refused() {
    pool_of(0);
}

/// A system that gives so many threads.
struct Gives(AtomicUsize);

impl StartThread for Arc<Gives> {
    fn start(
        &self,
        spec: ThreadSpec,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<JoinHandle<()>> {
        let left = &self.0;
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => System.start(spec, body),
            Err(_) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
        }
    }
}

fn pool_given(threads: usize) -> (Pool, Arc<Gives>) {
    let gives = Arc::new(Gives(AtomicUsize::new(threads)));
    let pool = Pool::with_starter(Config::default(), Box::new(gives.clone()));
    (pool, gives)
}

#[test]
fn without_any_thread_the_job_fails_and_later_ones_run_again() {
    let (pool, gives) = pool_given(0);
    let (held, dropped) = drop_tells();
    let job = pool.spawn(move || drop(held));
    assert_eq!(dropped.recv().unwrap(), thread::current().id());
    assert!(job.is_finished());
    match job.join().unwrap_err() {
        BlockingError::ThreadSpawn { error, .. } => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let error = BlockingError::ThreadSpawn {
                error,
                spawned_at: std::panic::Location::caller(),
            };
            assert!(error.to_string().contains("found no thread: "));
            // On a socket's path this would mean something else.
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Other);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((pool.threads(), pool.queued()), (0, 0));

    gives.0.store(1, Ordering::SeqCst);
    assert_eq!(pool.spawn(|| 5).join().unwrap(), 5);
}

#[test]
fn with_a_thread_the_jobs_wait_for_it() {
    let (pool, _) = pool_given(1);
    let first = Blocker::start(&pool);
    let jobs: Vec<_> = (0..10).map(|number| pool.spawn(move || number)).collect();
    assert_eq!((pool.threads(), pool.queued()), (1, 10));
    first.finish();
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.join().unwrap(), number);
    }
}

#[test]
fn when_threads_are_refused_from_everywhere_each_handle_still_resolves() {
    let (pool, gives) = pool_given(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..500 {
                    if round % 50 == 0 {
                        gives.0.store(1, Ordering::SeqCst);
                    }
                    match pool.spawn(|| ()).join() {
                        Ok(()) | Err(BlockingError::ThreadSpawn { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}

/// The real system, with a stack that it cannot give.
#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn a_system_that_refuses_is_an_error() {
    let pool = Pool::new(Config {
        stack_size: Some(1 << 50),
        ..Config::default()
    });
    let error = pool.spawn(|| ()).join().unwrap_err();
    assert!(
        matches!(error, BlockingError::ThreadSpawn { .. }),
        "{error}"
    );
}
