//! Sequences that once went wrong: wakers that panic or use what they wait for, and grants that come back at a bad moment.

mod support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use support::{meddling, poll_once};
use tulipa_base::{TaskId, current, resource, wait};
use tulipa_sync::*;

fn with<F: Future>(f: std::pin::Pin<&mut F>, w: &Waker) -> Poll<F::Output> {
    f.poll(&mut Context::from_waker(w))
}

#[test]
fn a_bounded_semaphore_keeps_its_bound() {
    let s = Semaphore::bounded(1);
    let p = s.try_acquire().unwrap();
    let mut a = Box::pin(s.acquire());
    assert!(poll_once(a.as_mut()).is_pending());
    drop(p); // assigned to a
    s.release(1).unwrap();
    drop(a);
    assert_eq!(s.available(), 1);
}

#[test]
fn a_grant_that_comes_back_does_not_wrap_the_count() {
    let s = Semaphore::new(1);
    let p = s.try_acquire().unwrap();
    let mut a = Box::pin(s.acquire());
    assert!(poll_once(a.as_mut()).is_pending());
    drop(p);
    s.release(usize::MAX).unwrap();
    drop(a);
    assert_eq!(s.available(), usize::MAX);
}

#[test]
fn a_waker_that_arrives_when_it_is_dropped_finds_the_barrier_in_order() {
    let b = Rc::new(Barrier::new(2));
    let other = b.clone();
    let passed = Rc::new(Cell::new(None));
    let p2 = passed.clone();
    let armed = Rc::new(Cell::new(false));
    let a2 = armed.clone();
    let w = meddling(Rc::new(move |what| {
        if what == "drop" && a2.replace(false) {
            let mut second = Box::pin(other.wait());
            p2.set(Some(poll_once(second.as_mut()).is_ready()));
        }
    }));
    let mut first = Box::pin(b.wait());
    assert!(with(first.as_mut(), &w).is_pending());
    armed.set(true);
    drop(first);
    assert_eq!(
        passed.get(),
        Some(false),
        "one party alone passed a barrier of two"
    );
}

#[test]
fn a_barrier_counts_right_after_a_waker_has_panicked() {
    let b = Barrier::new(2);
    let armed = Rc::new(Cell::new(false));
    let a2 = armed.clone();
    let w = meddling(Rc::new(move |what| {
        if what == "drop" && a2.replace(false) {
            panic!("drop")
        }
    }));
    let mut first = Box::pin(b.wait());
    assert!(with(first.as_mut(), &w).is_pending());
    armed.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(first))).is_err());
    assert_eq!(b.waiting(), 0);
}

#[test]
fn who_is_behind_one_who_leaves_is_served_even_if_that_panics() {
    let s = Semaphore::new(1);
    let armed = Rc::new(Cell::new(false));
    let a2 = armed.clone();
    let w = meddling(Rc::new(move |what| {
        if what == "drop" && a2.replace(false) {
            panic!("drop")
        }
    }));
    let mut first = Box::pin(s.acquire_many(2));
    let mut second = Box::pin(s.acquire());
    assert!(with(first.as_mut(), &w).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    armed.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(first))).is_err());
    assert!(
        poll_once(second.as_mut()).is_ready(),
        "second waits for ever"
    );
}

#[test]
fn a_contradicting_order_loses_nothing() {
    struct Mad;
    let n = Cell::new(1u32);
    let q = PriorityQueue::by_key(|_: &Mad| {
        let mut x = n.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        n.set(x);
        x
    });
    for _ in 0..500 {
        q.try_put(Mad).ok().unwrap();
    }
    let all = catch_unwind(AssertUnwindSafe(|| q.shutdown_now()));
    assert_eq!(all.ok().map(|all| all.len()), Some(500));
}

#[test]
fn a_message_survives_the_panic_of_a_senders_waker() {
    let (s, mut r) = mpsc::channel(1);
    s.try_send(7).unwrap();
    let w = meddling(Rc::new(|what| {
        if what == "wake" {
            panic!("wake")
        }
    }));
    let mut send = Box::pin(s.send(8));
    assert!(with(send.as_mut(), &w).is_pending());
    assert!(
        catch_unwind(AssertUnwindSafe(|| {
            let _ = r.try_recv();
        }))
        .is_err()
    );
    assert_eq!(r.try_recv().ok(), Some(7));
}

#[test]
fn a_remote_oneshot_drops_no_waker_under_its_lock() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut s, r) = remote::oneshot::channel::<u8>();
        let r = Rc::new(RefCell::new(r));
        let w = meddling(Rc::new(move |what| match what {
            "clone" => r.borrow_mut().close(),
            "drop" => {
                let _ = r.borrow_mut().try_recv();
            }
            _ => {}
        }));
        let mut cx = Context::from_waker(&w);
        assert!(s.poll_closed(&mut cx).is_ready());
        done.send(()).unwrap();
    });
    assert!(
        finished
            .recv_timeout(std::time::Duration::from_secs(5))
            .is_ok(),
        "deadlock"
    );
}

#[test]
fn a_reader_is_not_shown_as_the_writer_before_it() {
    let l = RwLock::new(());
    let (ta, tb, tc) = (TaskId::new(1, 1), TaskId::new(1, 2), TaskId::new(1, 3));
    current::set_task_id(Some(ta));
    let a = l.try_write().unwrap();
    current::set_task_id(Some(tb));
    let mut b = Box::pin(l.read());
    assert!(poll_once(b.as_mut()).is_pending());
    current::set_task_id(Some(tc));
    wait::take();
    let mut c = Box::pin(l.write());
    assert!(poll_once(c.as_mut()).is_pending());
    let label = wait::Label::from_u64(wait::take()).unwrap();
    current::set_task_id(None);
    drop(a);
    assert_eq!(resource::find(label).unwrap().holder, None);
}

#[test]
fn an_item_that_comes_back_after_the_shutdown_goes_to_who_waits() {
    let q = Queue::new();
    let mut one = Box::pin(q.get());
    let mut two = Box::pin(q.get());
    assert!(poll_once(one.as_mut()).is_pending());
    assert!(poll_once(two.as_mut()).is_pending());
    q.try_put(1).unwrap();
    q.shutdown();
    drop(one);
    let got = poll_once(two.as_mut());
    assert_eq!(
        got,
        Poll::Ready(Ok(1)),
        "told of the end, and left: {} unfinished",
        q.unfinished()
    );
}

#[test]
fn a_semaphore_that_is_being_closed_gives_nothing_out() {
    let s = Rc::new(Semaphore::new(1));
    let other = s.clone();
    let w = meddling(Rc::new(move |what| {
        if what == "wake" {
            other.release(1).unwrap()
        }
    }));
    let mut first = Box::pin(s.acquire_many(2));
    let mut second = Box::pin(s.acquire());
    assert!(with(first.as_mut(), &w).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    s.close();
    assert!(matches!(poll_once(second.as_mut()), Poll::Ready(Err(_))));
}

#[test]
fn who_waits_for_a_value_goes_on_when_it_is_set_elsewhere() {
    let c = OnceCell::new();
    let mut maker = Box::pin(c.get_or_init(std::future::pending::<u8>));
    let mut other = Box::pin(c.get_or_init(|| async { 2 }));
    assert!(poll_once(maker.as_mut()).is_pending());
    assert!(poll_once(other.as_mut()).is_pending());
    c.set(1).unwrap();
    assert_eq!(poll_once(other.as_mut()), Poll::Ready(&1));
}

#[test]
fn a_notification_survives_a_panicking_waker() {
    let n = Rc::new(Notify::new());
    let other = n.clone();
    let w1 = meddling(Rc::new(move |what| {
        if what == "wake" {
            assert!(catch_unwind(AssertUnwindSafe(|| other.notify_one())).is_err());
        }
    }));
    let w2 = meddling(Rc::new(move |what| {
        if what == "wake" {
            panic!("wake")
        }
    }));
    let mut a = Box::pin(n.notified());
    let mut b = Box::pin(n.notified());
    assert!(with(a.as_mut(), &w1).is_pending());
    assert!(with(b.as_mut(), &w2).is_pending());
    n.notify_waiters();
    let mut c = Box::pin(n.notified());
    assert!(poll_once(c.as_mut()).is_ready(), "the notification is lost");
}
