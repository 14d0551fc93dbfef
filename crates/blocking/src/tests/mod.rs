//! Tests of the whole pool on real threads.
//!
//! - `jobs`: order, results, handles dropped at each stage, many jobs.
//! - `cancel`: queued, running and finished jobs; stop tokens.
//! - `panics`: of jobs, destructors, wakers and hooks, and who hears of them.
//! - `threads`: when they start, how many, when they end, and when the system gives none.
//! - `shutdown`: closing, waiting, and what is abandoned.
//!
//! Order comes from channels and barriers alone: no test sleeps, and none asserts how long something took.

mod cancel;
mod jobs;
mod panics;
mod shutdown;
mod threads;

use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread;

use crate::{BlockingHandle, Config, Pool};

/// A pool of so many threads, which stay.
fn pool_of(threads: usize) -> Pool {
    Pool::new(Config {
        max_threads: threads,
        keep_alive: std::time::Duration::MAX,
        ..Config::default()
    })
}

/// A job that has started, and holds its thread until it is let go or forgotten.
struct Blocker {
    job: BlockingHandle<()>,
    let_go: Sender<()>,
}

impl Blocker {
    fn start(pool: &Pool) -> Blocker {
        let (let_go, is_let_go) = channel();
        let (started, has_started) = channel();
        let job = pool.spawn(move || {
            started.send(()).unwrap();
            // An error is fine too: the test is over.
            let _: Result<(), _> = is_let_go.recv();
        });
        has_started.recv().unwrap();
        Blocker { job, let_go }
    }

    fn finish(self) {
        self.let_go.send(()).unwrap();
        self.job.join().unwrap();
    }
}

/// Says on which thread it was dropped.
struct DropTells(Sender<thread::ThreadId>);

fn drop_tells() -> (DropTells, Receiver<thread::ThreadId>) {
    let (sender, receiver) = channel();
    (DropTells(sender), receiver)
}

impl Drop for DropTells {
    fn drop(&mut self) {
        // The test may not care any more.
        let _ = self.0.send(thread::current().id());
    }
}

/// Panics when it is dropped.
struct DropPanics(&'static str);

impl Drop for DropPanics {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// A waker that counts.
#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counting_waker() -> (Waker, Arc<CountWakes>) {
    let count = Arc::new(CountWakes::default());
    (Waker::from(count.clone()), count)
}

/// What `on_lost_panic` was told.
type Lost = Arc<Mutex<Vec<(String, &'static Location<'static>)>>>;

/// A pool of one thread, and what its hook hears.
fn pool_with_hook() -> (Pool, Lost) {
    let lost = Lost::default();
    let told = lost.clone();
    let pool = Pool::new(Config {
        max_threads: 1,
        on_lost_panic: Some(Arc::new(move |message, spawned_at| {
            told.lock().unwrap().push((message.to_owned(), spawned_at));
        })),
        ..Config::default()
    });
    (pool, lost)
}

fn messages(lost: &Lost) -> Vec<String> {
    let lost = lost.lock().unwrap();
    lost.iter().map(|(message, _)| message.clone()).collect()
}

#[test]
fn what_crosses_threads_may_and_nothing_is_pinned() {
    fn send_sync<T: Send + Sync + Unpin>() {}
    send_sync::<Pool>();
    send_sync::<Config>();
    send_sync::<crate::StopToken>();
    send_sync::<crate::BlockingError>();
    send_sync::<crate::WaitIdle>();
    // Whatever it yields needs to be `Send` only.
    send_sync::<BlockingHandle<std::cell::Cell<u32>>>();
    send_sync::<crate::CancelOnDrop<std::cell::Cell<u32>>>();
}
