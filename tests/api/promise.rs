//! Promises: set once, awaited by many. (asyncio parity 4)

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::support::{Drops, Trace, listening_runner, poll_once, turns};
use tulipa::cancel::CancelReason;
use tulipa::runtime::{AlreadySet, EventLoop, ExceptionKind, Promise, PromiseError};

// ---- §4 states ----

#[test]
fn a_promise_is_pending_then_finished_or_cancelled() {
    let promise = Promise::new();
    assert!(!promise.is_done() && !promise.is_cancelled());
    assert_eq!(promise.try_result(), None);
    promise.set(1).unwrap();
    assert!(promise.is_done() && !promise.is_cancelled());
    assert_eq!(promise.try_result(), Some(Ok(&1)));

    let promise = Promise::<u8>::default();
    assert!(promise.cancel());
    assert!(promise.is_done() && promise.is_cancelled());
    assert_eq!(
        promise.try_result(),
        Some(Err(PromiseError::Cancelled(CancelReason::Requested)))
    );
    assert!(!promise.cancel());
}

// §4 set_result, set_exception
#[test]
fn it_changes_once_and_the_rejected_value_comes_back() {
    let promise = Promise::new();
    promise.set(Box::new(1)).unwrap();
    let rejected: AlreadySet<Box<i32>> = promise.set(Box::new(2)).unwrap_err();
    assert_eq!(*rejected.rejected, 2);
    assert!(!promise.cancel());
    assert_eq!(promise.try_result(), Some(Ok(&Box::new(1))));

    let fallible = Promise::<Result<u8, String>>::new();
    fallible.fail("no".into()).unwrap();
    assert_eq!(fallible.fail("again".into()).unwrap_err().rejected, "again");
    assert_eq!(fallible.try_result(), Some(Ok(&Err("no".into()))));

    let cancelled = Promise::new();
    assert!(cancelled.cancel());
    assert_eq!(cancelled.set(3).unwrap_err().rejected, 3);
}

#[test]
fn it_prints_its_state() {
    let promise = Promise::new();
    assert_eq!(format!("{promise:?}"), "Promise(pending)");
    promise.set(1).unwrap();
    assert_eq!(format!("{promise:?}"), "Promise(1)");
    let promise = Promise::<u8>::new();
    promise.cancel();
    assert_eq!(format!("{promise:?}"), "Promise(cancelled)");
}

// ---- §4 await fut ----

#[test]
fn awaiting_one_that_is_done_does_not_yield() {
    tulipa::run(async {
        let promise = Promise::new();
        promise.set(1).unwrap();
        assert_eq!(poll_once(&mut promise.clone()).await, Poll::Ready(Ok(1)));
        assert_eq!(
            poll_once(&mut pin!(promise.wait())).await,
            Poll::Ready(Ok(&1))
        );
        // And again: a promise stays done.
        let mut again = promise.clone();
        assert_eq!((&mut again).await, Ok(1));
        assert_eq!((&mut again).await, Ok(1));
    });
}

#[test]
fn waiters_run_in_the_turn_after_in_the_order_in_which_they_came() {
    tulipa::run(async {
        let (promise, trace) = (Promise::new(), Trace::default());
        for name in ["a", "b"] {
            let (promise, trace) = (promise.clone(), trace.clone());
            drop(tulipa::spawn(async move {
                let value = promise.await.unwrap();
                trace.add(format!("{name} {value}"));
            }));
        }
        let (lent, log) = (promise.clone(), trace.clone());
        drop(tulipa::spawn(async move {
            let value: Result<&i32, _> = lent.wait().await;
            log.add(format!("c {}", value.unwrap()));
        }));
        tulipa::yield_now().await;
        let log = trace.clone();
        promise.on_done(move |promise| log.add(format!("d {:?}", promise.try_result())));
        promise.set(7).unwrap();
        trace.add("set");
        assert_eq!(trace.take(), ["set"], "never inline");
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["a 7", "b 7", "c 7", "d Some(Ok(7))"]);
    });
}

#[test]
fn a_cancelled_promise_lets_its_waiters_go() {
    tulipa::run(async {
        let promise = Promise::<u8>::new();
        let waiter = tulipa::spawn(promise.clone());
        tulipa::yield_now().await;
        assert!(promise.cancel());
        assert_eq!(
            waiter.await.unwrap(),
            Err(PromiseError::Cancelled(CancelReason::Requested))
        );
    });
}

#[test]
fn a_value_without_clone_is_lent() {
    struct NoClone(u8);
    tulipa::run(async {
        let promise = Promise::new();
        let setter = promise.clone();
        drop(tulipa::spawn(async move {
            assert!(setter.set(NoClone(3)).is_ok());
        }));
        assert_eq!(promise.wait().await.map(|value| value.0), Ok(3));
    });
}

#[test]
fn a_promise_needs_no_loop_to_be_set_and_awaited() {
    let promise = Promise::new();
    let mut waiting = promise.clone();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(&mut waiting).poll(&mut cx).is_pending());
    promise.set(1).unwrap();
    assert!(std::pin::Pin::new(&mut waiting).poll(&mut cx).is_ready());
}

// ---- wakers ----

struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn no_waker_is_kept_by_a_wait_that_is_over() {
    let promise = Promise::<u8>::new();
    let counted = Arc::new(Counted);
    let waker = Waker::from(counted.clone());
    let mut cx = Context::from_waker(&waker);
    let alone = Arc::strong_count(&counted);
    {
        let mut one = pin!(promise.wait());
        let mut two = promise.clone();
        for _ in 0..3 {
            assert!(one.as_mut().poll(&mut cx).is_pending());
            assert!(std::pin::Pin::new(&mut two).poll(&mut cx).is_pending());
        }
        assert_eq!(Arc::strong_count(&counted), alone + 2, "one for each wait");
        // Another waker takes the place of the first.
        let mut other = Context::from_waker(Waker::noop());
        assert!(one.as_mut().poll(&mut other).is_pending());
        assert_eq!(Arc::strong_count(&counted), alone + 1);
    }
    assert_eq!(Arc::strong_count(&counted), alone);
    let mut done = promise.clone();
    assert!(std::pin::Pin::new(&mut done).poll(&mut cx).is_pending());
    promise.set(1).unwrap();
    assert_eq!(Arc::strong_count(&counted), alone, "set drops them all");
}

#[test]
fn a_waiter_that_is_aborted_leaves_the_others() {
    tulipa::run(async {
        let promise = Promise::new();
        let tasks: Vec<_> = (0..3).map(|_| tulipa::spawn(promise.clone())).collect();
        tulipa::yield_now().await;
        tasks[1].abort();
        turns(2).await;
        promise.set(5).unwrap();
        let mut values = Vec::new();
        for task in tasks {
            values.push(task.await.ok());
        }
        assert_eq!(values, [Some(Ok(5)), None, Some(Ok(5))]);
    });
}

thread_local! {
    static RUDE: RefCell<Option<Promise<u8>>> = const { RefCell::new(None) };
}

/// Uses the promise in the thread-local when it is woken, and panics.
struct RudeWaker;

impl Wake for RudeWaker {
    fn wake(self: Arc<Self>) {
        RUDE.with_borrow(|promise| {
            let promise = promise.as_ref().unwrap();
            assert!(promise.is_done(), "told only when it is done");
            assert!(promise.set(9).is_err() && !promise.cancel());
            promise.on_done(|_| ());
        });
        panic!("rude");
    }
}

#[test]
fn a_waker_that_uses_the_promise_and_panics_does_not_keep_the_others_waiting() {
    let (mut runner, heard) = listening_runner();
    runner.run(async {
        let promise = Promise::new();
        RUDE.set(Some(promise.clone()));
        let mut rude = promise.clone();
        let waker = Waker::from(Arc::new(RudeWaker));
        let polled = std::pin::Pin::new(&mut rude).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        let waiter = tulipa::spawn(promise.clone());
        tulipa::yield_now().await;
        promise.set(4).unwrap();
        assert_eq!(waiter.await.unwrap(), Ok(4));
        RUDE.set(None);
    });
    assert_eq!(heard.take()[0].0, ExceptionKind::WakerPanicked);
}

// ---- §4 add_done_callback, remove_done_callback ----

#[test]
fn callbacks_are_never_called_inline_and_in_the_order_of_their_registration() {
    tulipa::run(async {
        let (promise, trace) = (Promise::new(), Trace::default());
        for name in ["a", "b", "c"] {
            let log = trace.clone();
            promise.on_done(move |promise| {
                assert_eq!(promise.try_result(), Some(Ok(&1)));
                assert!(tulipa::task::try_id().is_none());
                log.add(name);
            });
        }
        promise.set(1).unwrap();
        let log = trace.clone();
        promise.on_done(move |_| log.add("late")); // It is done: scheduled at once.
        trace.add("main");
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["main", "a", "b", "c", "late"]);
    });
}

// §4 (tests)
#[test]
fn a_callback_is_removed_by_its_id_until_the_promise_is_done() {
    tulipa::run(async {
        let (promise, trace, drops) = (Promise::new(), Trace::default(), Drops::default());
        let (log, witness) = (trace.clone(), drops.witness());
        let first = promise.on_done(move |_| {
            let _witness = &witness;
            log.add("first");
        });
        let log = trace.clone();
        let second = promise.on_done(move |_| log.add("second"));
        let other = Promise::<u8>::new();
        assert!(!other.remove(first), "another promise's");
        assert!(promise.remove(first) && !promise.remove(first));
        assert_eq!(drops.count(), 1);
        promise.set(1).unwrap();
        assert!(!promise.remove(second), "it is scheduled");
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["second"]);
    });
}

#[test]
fn an_id_of_another_promise_removes_no_waiter() {
    tulipa::run(async {
        let (one, two) = (Promise::new(), Promise::<u8>::new());
        let id = two.on_done(|_| ());
        let waiter = tulipa::spawn(one.clone());
        tulipa::yield_now().await;
        assert!(!one.remove(id));
        one.set(1).unwrap();
        assert_eq!(waiter.await.unwrap(), Ok(1));
    });
}

// §4 (tests): removal while the callbacks are being told.
#[test]
fn callbacks_may_remove_and_add_others() {
    tulipa::run(async {
        let (promise, trace) = (Promise::new(), Trace::default());
        let log = trace.clone();
        let ids = Rc::new(RefCell::new(Vec::new()));
        let known = ids.clone();
        promise.on_done(move |promise| {
            log.add("first");
            for id in known.take() {
                assert!(!promise.remove(id), "they are scheduled already");
            }
            let log = log.clone();
            promise.on_done(move |_| log.add("added"));
        });
        let log = trace.clone();
        ids.borrow_mut()
            .push(promise.on_done(move |_| log.add("second")));
        promise.set(()).unwrap();
        turns(2).await;
        assert_eq!(trace.take(), ["first", "second", "added"]);
    });
}

#[test]
fn a_callback_runs_in_the_loop_it_was_registered_in() {
    let (one, two) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
    let (promise, trace) = (Promise::new(), Trace::default());
    let (setter, log, this) = (promise.clone(), trace.clone(), one.loop_ref());
    one.block_on(async move {
        promise.on_done(move |_| {
            assert!(EventLoop::current() == this);
            log.add("called");
        });
    });
    two.block_on(async move {
        setter.set(()).unwrap();
        turns(3).await;
    });
    assert_eq!(trace.take(), Vec::<String>::new());
    one.block_on(turns(1));
    assert_eq!(trace.take(), ["called"]);
}

#[test]
fn callbacks_of_a_closed_loop_or_of_a_promise_never_set_are_dropped() {
    let drops = Drops::default();
    let promise = Promise::new();
    let event_loop = EventLoop::new().unwrap();
    let inside = promise.clone();
    let witness = drops.witness();
    event_loop.block_on(async move {
        inside.on_done(move |_: &Promise<u8>| {
            let _witness = &witness;
            unreachable!("its loop is closed");
        });
    });
    drop(event_loop);
    assert_eq!(drops.count(), 0);
    promise.set(1).unwrap();
    assert_eq!(drops.count(), 1);

    let witness = drops.witness();
    tulipa::run(async move {
        let promise = Promise::<u8>::new();
        promise.on_done(move |_| _ = &witness);
    });
    assert_eq!(drops.count(), 2);
}

#[test]
#[should_panic(expected = "no tulipa event loop runs on this thread")]
fn a_done_callback_needs_a_loop() {
    Promise::<u8>::new().on_done(|_| ());
}
