//! `watch` from outside: the latest value, who has seen it, and values that are borrowed.

mod channel_support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use channel_support::{
    Act, Drops, counting, hooked, many_times, on_wake, poll, poll_once, poll_with,
};
use futures_lite::future::{block_on, or, ready, yield_now, zip};
use tulipa_sync::watch::{self, SendError};

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

fn message(result: std::thread::Result<()>) -> String {
    match result.unwrap_err().downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[test]
fn the_latest_value_is_seen() {
    let (tx, mut rx) = watch::channel(0);
    assert_eq!((*rx.borrow(), rx.has_changed()), (0, Ok(false)));
    assert!(poll_once(rx.changed()).is_pending());
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    assert_eq!(rx.has_changed(), Ok(true));
    assert!(rx.borrow().has_changed());
    assert_eq!(poll_once(rx.changed()), Poll::Ready(Ok(())));
    assert_eq!((*rx.borrow(), rx.has_changed()), (2, Ok(false)));
    rx.mark_changed();
    let value = rx.borrow_and_update();
    assert!(value.has_changed() && *value == 2);
    assert_eq!(rx.has_changed(), Ok(false));
    tx.send(3).unwrap();
    rx.mark_unchanged();
    assert!(poll_once(rx.changed()).is_pending());
    assert_eq!(*tx.borrow(), 3);
}

#[test]
fn everyone_who_waits_is_woken_in_order() {
    let (tx, rx) = watch::channel(0);
    let order = Rc::new(RefCell::new(Vec::new()));
    let mut receivers = vec![rx; 5];
    let wakers: Vec<_> = (0..5)
        .map(|n| {
            let order = order.clone();
            on_wake(move || order.borrow_mut().push(n))
        })
        .collect();
    let mut waits: Vec<_> = receivers
        .iter_mut()
        .map(|rx| Box::pin(rx.changed()))
        .collect();
    for (wait, waker) in waits.iter_mut().zip(&wakers) {
        assert!(poll_with(wait.as_mut(), waker).is_pending());
    }
    assert_eq!(tx.receiver_count(), 5);
    tx.send_modify(|value| *value += 1);
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
    for wait in &mut waits {
        assert_eq!(poll(wait.as_mut()), Poll::Ready(Ok(())));
    }
}

// SY08
#[test]
fn the_last_value_is_seen_and_then_the_end() {
    block_on(async {
        let (tx, mut rx) = watch::channel("first");
        let mut behind = rx.clone();
        let write = async {
            yield_now().await;
            tx.send("last").unwrap();
            drop(tx);
        };
        let read = async {
            assert_eq!(rx.changed().await, Ok(()));
            assert_eq!(*rx.borrow_and_update(), "last");
            assert!(rx.changed().await.is_err());
            assert!(rx.has_changed().is_err());
            assert_eq!(*rx.borrow(), "last");
        };
        zip(write, read).await;
        assert_eq!(behind.has_changed(), Ok(true));
        assert_eq!(behind.changed().await, Ok(()));
        assert!(behind.changed().await.is_err() && behind.wait_for(|_| false).await.is_err());
        assert_eq!(*behind.wait_for(|it| *it == "last").await.unwrap(), "last");
    });

    let (tx, mut rx) = watch::channel(0);
    let (waker, woken) = counting();
    let mut changed = pin!(rx.changed());
    let other = tx.clone();
    assert!(poll_with(changed.as_mut(), &waker).is_pending());
    assert_eq!(tx.sender_count(), 2);
    drop(tx);
    assert_eq!(woken.get(), 0);
    drop(other);
    assert_eq!(woken.get(), 1);
    assert!(matches!(poll(changed), Poll::Ready(Err(_))));
}

#[test]
fn without_receivers_a_value_comes_back() {
    let (tx, rx) = watch::channel(0);
    let (waker, woken) = counting();
    let mut closed = pin!(tx.closed());
    assert!(poll_with(closed.as_mut(), &waker).is_pending());
    drop(rx);
    assert_eq!(woken.get(), 1);
    assert!(tx.is_closed());
    assert_eq!(tx.send(1), Err(SendError(1)));
    assert_eq!(tx.send_replace(2), 0);
    let rx = tx.subscribe();
    assert_eq!((*rx.borrow(), rx.has_changed()), (2, Ok(false)));
    assert!(poll(closed).is_ready(), "there was none for a while");
    assert!(poll_once(tx.closed()).is_pending());
    assert!(!tx.send_if_modified(|_| false) && rx.has_changed() == Ok(false));
    assert!(tx.send_if_modified(|_| true) && rx.has_changed() == Ok(true));
    assert!(tx.same_channel(&tx.clone()) && rx.same_channel(&rx.clone()));
}

#[test]
fn a_wanted_value_is_waited_for() {
    let (tx, mut rx) = watch::channel(1);
    let (waker, woken) = counting();
    let mut wait = Box::pin(rx.wait_for(|value| *value > 2));
    assert!(poll_with(wait.as_mut(), &waker).is_pending());
    for value in [2, 3, 4] {
        tx.send(value).unwrap();
    }
    assert_eq!(woken.get(), 1);
    let Poll::Ready(Ok(value)) = poll(wait.as_mut()) else {
        panic!("it is there");
    };
    assert!(*value == 4 && value.has_changed());
    drop(value);
    drop(wait);
    assert_eq!(rx.has_changed(), Ok(false));

    // A closure that sends what it wants to see.
    let sender = tx.clone();
    let wait = rx.wait_for(|value| {
        sender.send(value + 1).unwrap();
        *value == 7
    });
    assert_eq!(*block_on(wait).unwrap(), 7);
    assert_eq!(*tx.borrow(), 8);
}

#[test]
fn a_borrowed_value_keeps_nobody_from_sending() {
    let drops = Drops::default();
    let (tx, mut rx) = watch::channel(drops.item(1));
    let old = rx.borrow();
    tx.send(drops.item(2)).unwrap();
    assert_eq!((old.name, rx.borrow().name, drops.take()), (1, 2, vec![]));
    drop(old);
    assert_eq!(drops.take(), [1]);
    tx.send(drops.item(3)).unwrap();
    assert_eq!(drops.take(), [2]);

    // Changing it in place needs it whole: nothing happens then, but for a panic that says what to do.
    let held = rx.borrow_and_update();
    let modify = || tx.send_modify(|value| value.name = 9);
    let text = message(catch_unwind(AssertUnwindSafe(modify)));
    assert!(text.contains("drop the `watch::Ref` before"), "{text}");
    let replace = || drop(tx.send_replace(drops.item(4)));
    assert!(catch_unwind(AssertUnwindSafe(replace)).is_err());
    assert_eq!(drops.take(), [4]);
    assert_eq!(held.name, 3);
    drop(held);
    assert_eq!(rx.has_changed(), Ok(false));
    tx.send_modify(|value| value.name = 5);
    assert_eq!(tx.send_replace(drops.item(6)).name, 5);
    drop((tx, rx));
    assert_eq!(drops.take(), [5, 6]);
}

#[test]
fn the_channel_is_not_for_the_closure_that_changes_the_value() {
    let (tx, rx) = watch::channel(1);
    let uses: [&dyn Fn(); 4] = [
        &|| tx.send(2).unwrap(),
        &|| assert_eq!(tx.send_replace(2), 2),
        &|| tx.send_modify(|_| ()),
        &|| assert_eq!(*rx.borrow(), 1),
    ];
    for used in uses {
        let nested = || tx.send_modify(|_| used());
        let text = message(catch_unwind(AssertUnwindSafe(nested)));
        assert!(text.contains("after the closure has returned"), "{text}");
        assert_eq!((*rx.borrow(), rx.has_changed()), (1, Ok(false)));
    }
    // What does not touch the value is allowed.
    tx.send_modify(|_| drop((tx.clone(), tx.subscribe(), rx.has_changed())));
    assert_eq!(rx.has_changed(), Ok(true));
}

// SY01
#[test]
fn a_wait_that_was_woken_and_dropped_loses_nothing() {
    block_on(async {
        let (tx, mut rx) = watch::channel(0);
        {
            let mut changed = pin!(rx.changed());
            assert!(poll(changed.as_mut()).is_pending());
            tx.send(1).unwrap();
        }
        assert!(
            or(ready(None), async { Some(rx.changed().await) })
                .await
                .is_none()
        );
        assert_eq!(rx.changed().await, Ok(()));
    });
}

// SY12
#[test]
fn wakers_may_use_the_channel() {
    let (tx, mut rx) = watch::channel(0);
    let sender = tx.clone();
    let sends = hooked(move |act| {
        if act == Act::Clone {
            sender.send(1).unwrap();
        }
    });
    assert_eq!(poll_with(pin!(rx.changed()), &sends), Poll::Ready(Ok(())));

    // `wake` sends again, to those who were not woken yet, and drops a wait that was not.
    let mut other = rx.clone();
    let waiting: Rc<RefCell<Option<Boxed>>> = Rc::default();
    let (sender, dropped) = (tx.clone(), waiting.clone());
    let sends = on_wake(move || {
        if *sender.borrow() < 5 {
            sender.send(5).unwrap();
            drop(dropped.take());
        }
    });
    let mut first = pin!(rx.changed());
    assert!(poll_with(first.as_mut(), &sends).is_pending());
    let mut second: Boxed = Box::pin(async move { other.changed().await.unwrap() });
    assert!(poll(second.as_mut()).is_pending());
    *waiting.borrow_mut() = Some(second);
    tx.send(2).unwrap();
    assert!(waiting.borrow().is_none());
    assert_eq!((poll(first), *tx.borrow()), (Poll::Ready(Ok(())), 5));
    assert_eq!(tx.receiver_count(), 1);

    // `drop` sends, when a wait is dropped.
    let mut rx = tx.subscribe();
    let sender = tx.clone();
    let sends = hooked(move |act| {
        if act == Act::Drop {
            sender.send(6).unwrap();
        }
    });
    assert!(poll_with(pin!(rx.changed()), &sends).is_pending());
    assert_eq!((*rx.borrow(), rx.has_changed()), (6, Ok(true)));
    std::mem::forget(sends);
}

// SY13
#[test]
fn waits_that_are_dropped_leave_nothing_behind() {
    let alive = Rc::new(Cell::new(0_i64));
    let waker = {
        let alive = alive.clone();
        hooked(move |act| alive.set(alive.get() + if act == Act::Clone { 1 } else { -1 }))
    };
    let (tx, mut rx) = watch::channel(0);
    for _ in 0..many_times() {
        assert!(poll_with(pin!(rx.changed()), &waker).is_pending());
        assert!(poll_with(pin!(rx.wait_for(|_| false)), &waker).is_pending());
        assert!(poll_with(pin!(tx.closed()), &waker).is_pending());
    }
    assert_eq!(alive.get(), 0);
}

// SY14
#[test]
fn one_waker_that_panics_does_not_keep_the_others_from_being_woken() {
    for ends in [false, true] {
        let (tx, rx) = watch::channel(0);
        let mut receivers = vec![rx; 10];
        let counts: Vec<_> = (0..10).map(|_| counting()).collect();
        let panics = on_wake(|| panic!("in the waker"));
        let mut waits: Vec<_> = receivers
            .iter_mut()
            .map(|rx| Box::pin(rx.changed()))
            .collect();
        for (n, wait) in waits.iter_mut().enumerate() {
            let waker = if n == 2 { &panics } else { &counts[n].0 };
            assert!(poll_with(wait.as_mut(), waker).is_pending());
        }
        let tells = catch_unwind(AssertUnwindSafe(|| {
            if ends { drop(tx) } else { tx.send(1).unwrap() }
        }));
        assert_eq!(message(tells), "in the waker");
        for (n, (_, woken)) in counts.iter().enumerate() {
            assert_eq!(woken.get(), usize::from(n != 2), "{n}");
        }
        for wait in &mut waits {
            assert!(poll(wait.as_mut()).is_ready());
        }
    }
}

// SY15
#[test]
fn values_may_use_the_channel_when_they_are_dropped() {
    let drops = Drops::default();
    let (tx, rx) = watch::channel(drops.item(0));
    let (sender, next) = (tx.clone(), drops.item(3));
    let receiver = rx.clone();
    tx.send(drops.acting(1, move || {
        assert_eq!(receiver.borrow().name, 2);
        sender.send(next).unwrap();
        sender.send_modify(|value| value.name = 4);
        drop(receiver);
    }))
    .unwrap();
    tx.send(drops.item(2)).unwrap();
    assert_eq!(drops.take(), [0, 1, 2]);
    assert_eq!(
        (rx.borrow().name, tx.sender_count(), tx.receiver_count()),
        (4, 1, 1)
    );
}
