//! Models of the remote handle: what is sent is run or dropped once, whatever it races with, and whoever
//! waits for it hears.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{executor, model};
use crate::LoopRef;

/// Counts what became of a closure: its calls, and its drops.
#[derive(Clone, Default)]
struct Fate(Arc<Counts>);

struct Counts {
    calls: AtomicUsize,
    drops: AtomicUsize,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            calls: AtomicUsize::new(0),
            drops: AtomicUsize::new(0),
        }
    }
}

struct OnDrop(Fate);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.0.drops.fetch_add(1, Ordering::Relaxed);
    }
}

impl Fate {
    fn closure(&self) -> impl FnOnce() + Send + 'static {
        let held = OnDrop(self.clone());
        move || {
            held.0.0.calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    fn drops(&self) -> usize {
        self.0.drops.load(Ordering::Relaxed)
    }
}

#[test]
fn a_stop_from_elsewhere_ends_the_wait_after_what_was_sent_before() {
    model(|| {
        let executor = executor();
        let remote = executor.loop_ref().remote();
        let fate = Fate::default();
        let closure = fate.closure();
        let sender = thread::spawn(move || {
            remote.call_soon(closure).unwrap();
            remote.stop().unwrap();
        });
        executor.run_forever().unwrap();
        assert_eq!((fate.calls(), fate.drops()), (1, 1));
        sender.join().unwrap();
    });
}

#[test]
fn a_call_that_races_with_the_close_is_dropped_once_and_not_called_after() {
    model(|| {
        let executor = executor();
        let remote = executor.loop_ref().remote();
        let fate = Fate::default();
        let closure = fate.closure();
        let sender = thread::spawn(move || match remote.call_soon(closure) {
            Ok(call) => !call.cancel(),
            Err(_) => false,
        });
        drop(executor);
        sender.join().unwrap();
        assert_eq!((fate.calls(), fate.drops()), (0, 1));
    });
}

#[test]
fn a_call_is_either_cancelled_or_called() {
    model(|| {
        let executor = executor();
        let fate = Fate::default();
        let call = executor
            .loop_ref()
            .remote()
            .call_soon(fate.closure())
            .unwrap();
        let canceller = thread::spawn(move || call.cancel());
        executor.run(crate::yield_now()).unwrap();
        let is_cancelled = canceller.join().unwrap();
        assert_eq!(fate.calls(), usize::from(!is_cancelled));
        assert_eq!(fate.drops(), 1);
    });
}

#[test]
fn who_joins_a_remote_task_hears_of_its_value() {
    model(|| {
        let executor = executor();
        let remote = executor.loop_ref().remote();
        let joiner = thread::spawn(move || {
            let task = remote.spawn(|| async { 7 }).unwrap();
            let value = task.join().unwrap();
            remote.stop().unwrap();
            value
        });
        executor.run_forever().unwrap();
        assert_eq!(joiner.join().unwrap(), 7);
    });
}

#[test]
fn who_joins_a_remote_task_hears_of_the_close() {
    model(|| {
        let executor = executor();
        let remote = executor.loop_ref().remote();
        let joiner = thread::spawn(move || {
            if let Ok(task) = remote.spawn(std::future::pending::<()>) {
                assert!(task.join().unwrap_err().is_cancelled());
            }
        });
        drop(executor);
        joiner.join().unwrap();
    });
}

#[test]
fn an_abort_that_races_with_the_first_poll_is_seen() {
    model(|| {
        let executor = executor();
        let this = executor.loop_ref();
        // On the owner thread, so that the task is ready when the abort begins.
        let task = this.remote().spawn(std::future::pending::<()>).unwrap();
        let remote = this.remote();
        let aborter = thread::spawn(move || {
            task.abort();
            assert!(task.join().unwrap_err().is_cancelled());
            remote.stop().unwrap();
        });
        executor.run_forever().unwrap();
        aborter.join().unwrap();
    });
}

#[test]
fn a_handle_dropped_elsewhere_while_the_loop_goes() {
    model(|| {
        let executor = executor();
        let remote = executor.run(async { LoopRef::current().remote() }).unwrap();
        let clone = remote.clone();
        let other = thread::spawn(move || drop(clone));
        drop(executor);
        drop(remote);
        other.join().unwrap();
    });
}
