//! Odd orders of ends: loops that close before what they lent, destructors that use what is ending, scopes in the
//! wrong loop. Each of these has been a use of freed memory, or a value dropped twice or elsewhere. Under
//! AddressSanitizer they show it; blocks are large, because small ones are recycled and look alive.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tulipa::catch_cancel;
use tulipa::runtime::{EventLoop, Promise};
use tulipa::task::{self, JoinHandle, Scope, context_local};

use crate::support::Drops;

/// Makes a task's block too large to be recycled.
const LARGE: [u8; 2000] = [1; 2000];

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

thread_local! {
    static STASH: RefCell<Vec<Boxed>> = const { RefCell::new(Vec::new()) };
}

/// Polls a catch point where the running code is, and keeps it.
fn stash_a_catch_point() {
    let mut future: Boxed = Box::pin(async {
        let _ = catch_cancel(pending::<()>()).await;
    });
    assert!(poll_with_noop(future.as_mut()).is_pending());
    STASH.with_borrow_mut(|stash| stash.push(future));
}

fn poll_with_noop<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future once, in a task of the loop.
fn poll_once_in<F: Future>(event_loop: &EventLoop, mut future: Pin<&mut F>) {
    event_loop.block_on(poll_fn(move |cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    }));
}

#[test]
fn what_ran_last_is_not_current_between_runs() {
    let event_loop = EventLoop::new().unwrap();
    drop(event_loop.spawn(async { black_box(LARGE).len() }));
    let _turn = event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(event_loop.spawn(async {}).task().parent(), None);

    let done = event_loop.run_until_complete(async { black_box(LARGE).len() });
    assert_eq!(done.unwrap(), LARGE.len());
    event_loop.call_soon(|| ());
    assert_eq!(event_loop.spawn(async {}).task().parent(), None);
}

#[test]
fn a_scope_may_outlive_its_loop() {
    let drops = Drops::default();
    let event_loop = EventLoop::new().unwrap();
    let mut scope = Box::pin(tulipa::scope(async |scope: Scope<'_>| {
        let witness = drops.witness();
        scope.spawn(async move {
            stash_a_catch_point();
            let _witness = witness;
            pending::<()>().await;
            black_box(LARGE);
        });
        pending::<()>().await;
    }));
    poll_once_in(&event_loop, scope.as_mut());
    drop(event_loop);
    drop(scope);
    assert_eq!(drops.count(), 1);
    drop(STASH.take());
}

#[test]
fn a_value_that_loses_to_a_request_cannot_be_had_in_its_destructor() {
    thread_local! {
        static HANDLE: RefCell<Option<JoinHandle<Value>>> = const { RefCell::new(None) };
    }
    struct Value(Option<crate::support::Witness>);
    impl Drop for Value {
        fn drop(&mut self) {
            if let Some(mut handle) = HANDLE.take() {
                let had = handle.try_result().unwrap();
                assert!(had.is_err_and(|error| error.is_cancelled()));
            }
            drop(self.0.take());
        }
    }
    let drops = Drops::default();
    let value = Value(Some(drops.witness()));
    tulipa::run(async move {
        let task = tulipa::spawn(async move {
            task::current().cancel();
            value
        });
        HANDLE.set(Some(task));
        tulipa::yield_now().await;
        tulipa::yield_now().await;
    });
    assert_eq!(drops.count(), 1);
}

#[test]
fn nothing_is_tied_to_a_task_that_is_complete() {
    tulipa::run(async {
        drop(tulipa::spawn(async {
            black_box(LARGE);
            OnDrop(stash_a_catch_point)
        }));
        tulipa::yield_now().await;
        tulipa::yield_now().await;
        drop(STASH.take());
    });
}

/// Notes on which thread it is dropped.
struct Local(Rc<Cell<Option<ThreadId>>>);

impl Drop for Local {
    fn drop(&mut self) {
        self.0.set(Some(thread::current().id()));
    }
}

context_local! {
    static LOCAL: Local;
    static SETS_ANOTHER: OnDrop<Box<dyn FnMut()>>;
}

#[test]
fn a_context_variable_set_after_the_end_is_dropped_here() {
    let dropped = Rc::new(Cell::new(None));
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    tulipa::run({
        let (waker, dropped) = (waker.clone(), dropped.clone());
        async move {
            drop(tulipa::spawn(async move {
                poll_fn(|cx| {
                    *waker.lock().unwrap() = Some(cx.waker().clone());
                    Poll::Ready(())
                })
                .await;
                OnDrop(move || LOCAL.set(Local(dropped.clone())))
            }));
            tulipa::yield_now().await;
            tulipa::yield_now().await;
        }
    });
    thread::spawn(move || drop(waker.lock().unwrap().take()))
        .join()
        .unwrap();
    assert_eq!(dropped.get(), Some(thread::current().id()));
}

#[test]
fn a_context_variable_set_while_the_loop_closes_is_dropped_here() {
    let dropped = Rc::new(Cell::new(None));
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let dropped = dropped.clone();
        SETS_ANOTHER.set(OnDrop(Box::new(move || LOCAL.set(Local(dropped.clone())))));
    });
    let remote = event_loop.remote();
    drop(event_loop);
    thread::spawn(move || drop(remote)).join().unwrap();
    assert_eq!(dropped.get(), Some(thread::current().id()));
}

#[test]
fn a_task_spawned_by_the_loops_last_context_is_dropped() {
    let drops = Drops::default();
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let drops = drops.clone();
        SETS_ANOTHER.set(OnDrop(Box::new(move || {
            let witness = drops.witness();
            drop(tulipa::spawn(async move { drop(witness) }));
        })));
    });
    drop(event_loop);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_scope_is_refused_in_another_loop() {
    let (one, other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
    let mut scope = Box::pin(tulipa::scope(async |scope: Scope<'_>| {
        drop(scope.spawn(async {
            tulipa::yield_now().await;
            black_box(LARGE);
        }));
        pending::<()>().await;
    }));
    poll_once_in(&one, scope.as_mut());
    let refused = catch_unwind(AssertUnwindSafe(|| poll_once_in(&other, scope.as_mut())));
    let message = refused.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("another event loop"), "{message}");
    drop(scope);
}

#[test]
fn a_loop_that_runs_is_not_entered_again_even_where_it_was_forgotten() {
    let event_loop = Rc::new(EventLoop::new().unwrap());
    let again = event_loop.clone();
    event_loop.block_on(async move {
        EventLoop::after_fork();
        let refused = catch_unwind(AssertUnwindSafe(|| again.turn(Some(Duration::ZERO))));
        assert!(refused.is_err());
    });
}

#[tulipa::test(start_paused = true)]
async fn raising_a_limit_lets_the_next_child_run() {
    let done = tulipa::timeout(
        Duration::from_secs(1),
        tulipa::scope(async |scope: Scope<'_>| {
            scope.limit(1);
            let promise = Promise::new();
            let set = promise.clone();
            scope.spawn(async move { promise.await.unwrap() });
            scope.spawn(async move { set.set(()).unwrap() });
            tulipa::yield_now().await;
            tulipa::yield_now().await;
            scope.limit(2);
        }),
    );
    assert!(done.await.is_ok());
}
