//! Models of what crosses threads, run by loom: `RUSTFLAGS="--cfg loom" cargo test -p tulipa-executor
//! --release loom_models`.
//!
//! Each runs the real executor with a parker made of loom's primitives, so that a wake that is lost
//! shows as a deadlock, and checks that every block is freed exactly once: the header counts itself in
//! this configuration. Plain fields touched from two threads are reported by loom's cells.

#[cfg(test)]
mod remote;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::task::spawn;
use crate::{Config, Executor, Park, Unpark, Wait, yield_now};

/// A parker with nothing but its unparker: it waits until it is unparked.
struct ModelPark(Arc<Flag>);

struct Flag {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Unpark for Flag {
    fn unpark(&self) {
        *self.is_set.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl Park for ModelPark {
    fn park(&mut self, wait: Wait) -> io::Result<()> {
        let mut is_set = self.0.is_set.lock().unwrap();
        if wait == Wait::Forever {
            while !*is_set {
                is_set = self.0.changed.wait(is_set).unwrap();
            }
        }
        *is_set = false;
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.0.clone()
    }
}

fn executor() -> Executor<ModelPark> {
    let flag = Flag {
        is_set: Mutex::new(false),
        changed: Condvar::new(),
    };
    Executor::new(ModelPark(Arc::new(flag)), Config::default())
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // A quick run unless LOOM_MAX_PREEMPTIONS asks for more.
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(move || {
        f();
        assert_eq!(LIVE.get(), 0, "blocks and cores that were not freed");
    });
}

// loom runs all threads of a model on one thread of the system, so this counts for each test.
std::thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Part of what must be freed: each header and each core holds one.
pub(crate) struct Live(());

impl Live {
    pub(crate) fn new() -> Live {
        LIVE.set(LIVE.get() + 1);
        Live(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

/// A task that leaves its waker once and then waits for `is_done`.
fn waits_for(
    is_done: Arc<AtomicBool>,
    place: Rc<RefCell<Option<Waker>>>,
) -> impl Future<Output = ()> {
    poll_fn(move |cx| {
        place.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        match is_done.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
}

#[cfg(test)]
#[test]
fn a_wake_that_races_with_the_park_is_seen() {
    model(|| {
        let executor = executor();
        let is_done = Arc::new(AtomicBool::new(false));
        let place = Rc::new(RefCell::new(None));
        let remote = executor
            .run(async {
                let task = spawn(waits_for(is_done.clone(), place.clone()));
                yield_now().await;
                let waker: Waker = place.borrow_mut().take().unwrap();
                let remote = thread::spawn(move || {
                    is_done.store(true, Ordering::Release);
                    waker.wake();
                });
                task.await.unwrap();
                remote
            })
            .unwrap();
        remote.join().unwrap();
        drop(place.take());
    });
}

#[cfg(test)]
#[test]
fn two_wakers_and_the_data_that_each_brings() {
    model(|| {
        let executor = executor();
        let brought = Arc::new(AtomicUsize::new(0));
        let remotes = executor
            .run(async {
                let place = Rc::new(RefCell::new(None));
                let (leave, seen) = (place.clone(), brought.clone());
                let task = spawn(poll_fn(move |cx| {
                    leave.borrow_mut().get_or_insert_with(|| cx.waker().clone());
                    // Relaxed: that both are seen must follow from the wakes alone.
                    match seen.load(Ordering::Relaxed) {
                        2 => Poll::Ready(()),
                        _ => Poll::Pending,
                    }
                }));
                yield_now().await;
                let waker: Waker = place.borrow_mut().take().unwrap();
                let remotes: Vec<_> = [waker.clone(), waker]
                    .into_iter()
                    .map(|waker| {
                        let brought = brought.clone();
                        thread::spawn(move || {
                            brought.fetch_add(1, Ordering::Relaxed);
                            waker.wake_by_ref();
                        })
                    })
                    .collect();
                task.await.unwrap();
                drop(place.take());
                remotes
            })
            .unwrap();
        for remote in remotes {
            remote.join().unwrap();
        }
    });
}

#[cfg(test)]
#[test]
fn wakers_used_while_the_task_completes() {
    model(|| {
        let executor = executor();
        let remote = executor
            .run(async {
                let place = Rc::new(RefCell::new(None));
                let leave = place.clone();
                let task = spawn(poll_fn(move |cx| {
                    *leave.borrow_mut() = Some(cx.waker().clone());
                    Poll::Ready(())
                }));
                yield_now().await;
                let waker: Waker = place.take().unwrap();
                let remote = thread::spawn(move || {
                    let clone = waker.clone();
                    waker.wake();
                    drop(clone);
                });
                task.await.unwrap();
                remote
            })
            .unwrap();
        remote.join().unwrap();
    });
}

#[cfg(test)]
#[test]
fn a_waker_dropped_elsewhere_while_the_task_ends_and_its_handle_goes() {
    model(|| {
        let executor = executor();
        let remote = executor
            .run(async {
                let place = Rc::new(RefCell::new(None));
                let is_done = Arc::new(AtomicBool::new(true));
                let leave = place.clone();
                let mut is_first = true;
                let task = spawn(poll_fn(move |cx| {
                    if std::mem::take(&mut is_first) {
                        *leave.borrow_mut() = Some(cx.waker().clone());
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    assert!(is_done.load(Ordering::Relaxed));
                    Poll::Ready(())
                }));
                yield_now().await;
                let waker: Waker = place.take().unwrap();
                let remote = thread::spawn(move || drop(waker));
                drop(task);
                yield_now().await;
                yield_now().await;
                remote
            })
            .unwrap();
        remote.join().unwrap();
    });
}

#[cfg(test)]
#[test]
fn a_wake_that_races_with_an_abort() {
    model(|| {
        let executor = executor();
        let remote = executor
            .run(async {
                let place = Rc::new(RefCell::new(None));
                let is_done = Arc::new(AtomicBool::new(false));
                let task = spawn(waits_for(is_done, place.clone()));
                yield_now().await;
                let waker: Waker = place.take().unwrap();
                let remote = thread::spawn(move || {
                    waker.wake_by_ref();
                    drop(waker);
                });
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
                remote
            })
            .unwrap();
        remote.join().unwrap();
    });
}

#[cfg(test)]
#[test]
fn wakes_that_race_with_the_close_of_the_loop() {
    model(|| {
        let executor = executor();
        let remote = executor
            .run(async {
                let place = Rc::new(RefCell::new(None));
                let is_done = Arc::new(AtomicBool::new(false));
                drop(spawn(waits_for(is_done, place.clone())));
                drop(spawn(pending::<()>()));
                yield_now().await;
                let waker: Waker = place.take().unwrap();
                let other = waker.clone();
                thread::spawn(move || {
                    waker.wake_by_ref();
                    waker.wake();
                    drop(other);
                })
            })
            .unwrap();
        drop(executor);
        remote.join().unwrap();
    });
}

#[cfg(test)]
#[test]
fn the_last_reference_may_go_on_either_thread_after_the_loop() {
    model(|| {
        let executor = executor();
        let (waker, handle) = executor
            .run(async {
                let place = Rc::new(RefCell::new(None));
                let is_done = Arc::new(AtomicBool::new(false));
                let handle = spawn(waits_for(is_done, place.clone()));
                yield_now().await;
                let waker: Waker = place.take().unwrap();
                (waker, handle)
            })
            .unwrap();
        let clone = waker.clone();
        let remote = thread::spawn(move || drop(clone));
        drop(executor);
        drop(handle);
        waker.wake();
        remote.join().unwrap();
    });
}
