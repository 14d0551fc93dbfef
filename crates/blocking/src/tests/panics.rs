//! Panics of jobs, destructors, wakers and hooks, and who hears of them.

use std::io;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use super::{Blocker, DropPanics, Lost, messages, pool_of, pool_with_hook};
use crate::{BlockingError, Config, Pool, ThreadName};

/// The pool's one thread is the same as at the start, so that none has ended.
fn assert_thread_survives(pool: &Pool, before: thread::ThreadId) {
    let after = pool.spawn(|| thread::current().id()).join().unwrap();
    assert_eq!(before, after);
}

fn thread_of(pool: &Pool) -> thread::ThreadId {
    pool.spawn(|| thread::current().id()).join().unwrap()
}

#[test]
fn whoever_joins_gets_the_panic() {
    let (pool, lost) = pool_with_hook();
    let thread = thread_of(&pool);
    let line = line!() + 1;
    let job = pool.spawn(|| -> u32 { panic!("number {}", 7) });
    let error = job.join().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "blocking job spawned at {}:{line}:20 panicked: number 7",
            file!()
        )
    );
    assert!(error.is_panic() && !error.is_cancelled());
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(error.to_string().contains("number 7"));
    assert_thread_survives(&pool, thread);
    assert!(messages(&lost).is_empty());
}

#[test]
fn the_payload_can_be_taken() {
    let pool = pool_of(1);
    let error = pool.spawn(|| panic_any(42_u32)).join().unwrap_err();
    match &error {
        BlockingError::Panicked(panic) => {
            assert_eq!(panic.message(), "(a value that is not text)");
            assert_eq!(panic.spawned_at(), error.spawned_at());
        }
        other => panic!("{other:?}"),
    }
    let payload = error.try_into_panic().unwrap();
    assert_eq!(*payload.downcast::<u32>().unwrap(), 42);

    let first = Blocker::start(&pool);
    let job = pool.spawn(|| ());
    assert!(job.cancel());
    assert!(job.join().unwrap_err().try_into_panic().is_err());
    first.finish();
}

#[test]
fn a_panic_that_nobody_takes_is_told_to_the_hook() {
    let (pool, lost) = pool_with_hook();
    let thread = thread_of(&pool);
    // Dropped before it runs, so that the pool's thread tells.
    let first = Blocker::start(&pool);
    let job = pool.spawn(|| panic!("detached"));
    let spawned_at = job.spawned_at();
    drop(job);
    first.finish();
    assert_thread_survives(&pool, thread);
    assert_eq!(*lost.lock().unwrap(), [("detached".to_owned(), spawned_at)]);

    // Dropped after it has run, so that this thread tells.
    let job = pool.spawn(|| panic!("finished"));
    assert_thread_survives(&pool, thread);
    drop(job);
    assert_eq!(messages(&lost), ["detached", "finished"]);
}

#[test]
fn destructors_that_panic_end_no_thread() {
    let (pool, lost) = pool_with_hook();
    let thread = thread_of(&pool);

    // A result that nobody takes, on the pool's thread.
    let first = Blocker::start(&pool);
    drop(pool.spawn(|| DropPanics("result")));
    first.finish();
    assert_thread_survives(&pool, thread);
    assert_eq!(messages(&lost), ["result (in a destructor)"]);

    // The same on this thread.
    let job = pool.spawn(|| DropPanics("late result"));
    assert_thread_survives(&pool, thread);
    drop(job);
    assert_eq!(messages(&lost)[1..], ["late result (in a destructor)"]);

    // A captured value: then it is the job that has panicked.
    let captured = DropPanics("captured");
    let job = pool.spawn(move || {
        let _captured = captured;
        5
    });
    assert!(
        job.join()
            .unwrap_err()
            .to_string()
            .ends_with("panicked: captured")
    );

    // A closure that never runs.
    let first = Blocker::start(&pool);
    let captured = DropPanics("cancelled");
    let job = pool.spawn(move || drop(captured));
    assert!(job.cancel());
    assert_eq!(messages(&lost)[2..], ["cancelled (in a destructor)"]);
    assert!(job.join().unwrap_err().is_cancelled());
    first.finish();

    // A payload.
    drop(pool.spawn(|| panic_any(DropPanics("payload"))));
    assert_thread_survives(&pool, thread);
}

#[test]
fn one_closure_that_panics_does_not_keep_the_others_from_being_dropped() {
    let (pool, lost) = pool_with_hook();
    let first = Blocker::start(&pool);
    let jobs: Vec<_> = ["one", "two"]
        .map(|name| {
            let captured = DropPanics(name);
            pool.spawn(move || drop(captured))
        })
        .into();
    pool.close();
    assert_eq!(
        messages(&lost),
        ["one (in a destructor)", "two (in a destructor)"]
    );
    for job in jobs {
        assert!(job.join().unwrap_err().is_cancelled());
    }
    first.finish();
}

struct WakePanics;

impl Wake for WakePanics {
    fn wake(self: Arc<Self>) {
        panic!("wake");
    }
}

#[test]
fn wakers_that_panic_end_no_thread() {
    let (pool, lost) = pool_with_hook();
    let thread = thread_of(&pool);
    let first = Blocker::start(&pool);
    let waker = Waker::from(Arc::new(WakePanics));
    let mut cx = Context::from_waker(&waker);
    let mut job = pool.spawn(|| 5);
    assert!(Pin::new(&mut job).poll(&mut cx).is_pending());
    let mut quiet = pool.wait_idle();
    assert!(Pin::new(&mut quiet).poll(&mut cx).is_pending());
    let spawned_at = job.spawned_at();
    first.finish();
    // Not joined before it has run, which would leave another waker.
    assert_thread_survives(&pool, thread);
    assert_eq!(job.try_join().unwrap().unwrap(), 5);
    // The last wakes come after the last result.
    let _ = pool.shutdown(Duration::MAX);
    assert_eq!(
        lost.lock().unwrap()[0],
        ("wake (in a waker)".to_owned(), spawned_at)
    );
    assert_eq!(lost.lock().unwrap()[1].0, "wake (in a waker)");
}

#[test]
fn a_hook_that_panics_ends_no_thread() {
    let pool = Pool::new(Config {
        max_threads: 1,
        on_lost_panic: Some(Arc::new(|message, _| panic!("hook for {message}"))),
        ..Config::default()
    });
    let thread = thread_of(&pool);
    let first = Blocker::start(&pool);
    drop(pool.spawn(|| panic!("job")));
    first.finish();
    assert_thread_survives(&pool, thread);
}

#[test]
fn a_thread_name_that_panics_or_holds_a_nul_does_no_harm() {
    let lost = Lost::default();
    let told = lost.clone();
    let line = line!() + 1;
    let pool = Pool::new(Config {
        max_threads: 2,
        thread_name: ThreadName::Made(Arc::new(|number| match number {
            1 => panic!("no name"),
            _ => "with\0nul".to_owned(),
        })),
        on_lost_panic: Some(Arc::new(move |message, made_at| {
            told.lock().unwrap().push((message.to_owned(), made_at));
        })),
        ..Config::default()
    });
    let name = || thread::current().name().unwrap().to_owned();
    assert_eq!(pool.spawn(name).join().unwrap(), "tulipa-pool-1");
    let first = Blocker::start(&pool);
    assert_eq!(pool.spawn(name).join().unwrap(), "withnul");
    first.finish();
    let lost = lost.lock().unwrap();
    assert_eq!(lost[0].0, "no name (in the pool's thread_name)");
    assert_eq!(lost[0].1.line(), line);
}
