//! `oneshot` from outside: who gets the value, who is woken, and who drops it.

mod channel_support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use channel_support::{
    Act, Drops, counting, hooked, many_times, on_wake, poll, poll_once, poll_with,
};
use futures_lite::future::{block_on, or, ready, zip};
use tulipa_sync::oneshot::{self, TryRecvError};

#[test]
fn a_value_goes_from_one_to_the_other() {
    let (tx, rx) = oneshot::channel();
    let (sent, received) = block_on(zip(async { tx.send(5) }, rx));
    assert_eq!((sent, received), (Ok(()), Ok(5)));

    let (tx, mut rx) = oneshot::channel::<u32>();
    let (waker, woken) = counting();
    assert!(poll_with(Pin::new(&mut rx), &waker).is_pending());
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    tx.send(6).unwrap();
    assert_eq!(woken.get(), 1);
    assert_eq!(poll_with(Pin::new(&mut rx), &waker), Poll::Ready(Ok(6)));
    assert!(
        matches!(poll(Pin::new(&mut rx)), Poll::Ready(Err(_))),
        "once"
    );
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_sender_that_is_dropped_tells_the_receiver() {
    let (tx, mut rx) = oneshot::channel::<u32>();
    let (waker, woken) = counting();
    assert!(poll_with(Pin::new(&mut rx), &waker).is_pending());
    drop(tx);
    assert_eq!(woken.get(), 1);
    assert!(matches!(poll(Pin::new(&mut rx)), Poll::Ready(Err(_))));
}

#[test]
fn a_receiver_that_is_gone_hands_the_value_back() {
    let (tx, rx) = oneshot::channel();
    drop(rx);
    assert!(tx.is_closed());
    assert_eq!(tx.send("value"), Err("value"));

    let (mut tx, mut rx) = oneshot::channel::<u32>();
    let (waker, woken) = counting();
    {
        let mut closed = pin!(tx.closed());
        assert!(poll_with(closed.as_mut(), &waker).is_pending());
        rx.close();
        assert_eq!(woken.get(), 1);
        assert!(poll(closed).is_ready());
    }
    assert_eq!(tx.send(1), Err(1));
    assert!(block_on(rx).is_err());
}

#[test]
fn what_was_sent_before_the_close_is_received() {
    let (tx, mut rx) = oneshot::channel();
    tx.send(1).unwrap();
    rx.close();
    assert_eq!(rx.try_recv(), Ok(1));
    // The same where it waits.
    let (tx, mut rx) = oneshot::channel();
    tx.send(2).unwrap();
    rx.close();
    assert_eq!(block_on(rx), Ok(2));
}

// SY06: a value that nobody receives is dropped once.
#[test]
fn every_value_is_dropped_once() {
    let drops = Drops::default();
    let (tx, rx) = oneshot::channel();
    tx.send(drops.item(1)).unwrap();
    drop(rx);
    assert_eq!(drops.take(), [1]);

    let (tx, rx) = oneshot::channel();
    drop(rx);
    drop(tx.send(drops.item(2)));
    assert_eq!(drops.take(), [2]);

    let (tx, mut rx) = oneshot::channel();
    tx.send(drops.item(3)).unwrap();
    let value = block_on(&mut rx).unwrap();
    drop(rx);
    assert_eq!(drops.take(), []);
    drop(value);
    assert_eq!(drops.take(), [3]);
}

// SY01: woken, and dropped before it ran: the value is still to be had.
#[test]
fn a_receiver_that_loses_the_race_still_has_the_value() {
    block_on(async {
        let (tx, mut rx) = oneshot::channel();
        assert_eq!(or(async { (&mut rx).await.ok() }, ready(None)).await, None);
        tx.send(1).unwrap();
        let lost = async { None::<u32> };
        assert_eq!(or(lost, async { (&mut rx).await.ok() }).await, None);
        assert_eq!(rx.await, Ok(1));
    });
}

// SY12: wakers whose clone, wake and drop use the same channel.
#[test]
fn a_waker_may_use_the_channel() {
    // `clone` sends: the receiver has it at once.
    let (tx, mut rx) = oneshot::channel();
    let tx = Cell::new(Some(tx));
    let waker = hooked(move |act| {
        if act == Act::Clone {
            tx.take().unwrap().send(1).unwrap();
        }
    });
    assert_eq!(poll_with(Pin::new(&mut rx), &waker), Poll::Ready(Ok(1)));

    // `drop` sends, when another waker takes its place.
    let (tx, mut rx) = oneshot::channel();
    let tx = Cell::new(Some(tx));
    let waker = hooked(move |act| {
        if act == Act::Drop {
            tx.take().unwrap().send(2).unwrap();
        }
    });
    assert!(poll_with(Pin::new(&mut rx), &waker).is_pending());
    assert_eq!(poll(Pin::new(&mut rx)), Poll::Ready(Ok(2)));
    std::mem::forget(waker);

    // `wake` receives, and drops the receiver.
    let (tx, rx) = oneshot::channel();
    let shared = Rc::new(RefCell::new(Some(rx)));
    let seen = Rc::new(Cell::new(0));
    let waker = {
        let (shared, seen) = (shared.clone(), seen.clone());
        on_wake(move || {
            let rx = shared.borrow_mut().take();
            if let Some(mut rx) = rx {
                seen.set(rx.try_recv().unwrap());
            }
        })
    };
    let polled = poll_with(Pin::new(shared.borrow_mut().as_mut().unwrap()), &waker);
    assert!(polled.is_pending());
    tx.send(3).unwrap();
    assert_eq!(seen.get(), 3);

    // The sender's waker drops the sender when the receiver goes.
    let (tx, rx) = oneshot::channel::<u32>();
    let tx = Rc::new(RefCell::new(Some(tx)));
    let waker = {
        let tx = tx.clone();
        on_wake(move || drop(tx.take()))
    };
    let polled = poll_fn(|cx| Poll::Ready(tx.borrow_mut().as_mut().unwrap().poll_closed(cx)));
    assert!(matches!(
        poll_with(pin!(polled), &waker),
        Poll::Ready(Poll::Pending)
    ));
    drop(rx);
    assert!(tx.borrow().is_none());
}

// SY13
#[test]
fn waits_that_are_dropped_leave_no_waker_behind() {
    let (mut tx, mut rx) = oneshot::channel::<u32>();
    let alive = Rc::new(Cell::new(0_i64));
    let waker = {
        let alive = alive.clone();
        hooked(move |act| {
            alive.set(alive.get() + if act == Act::Clone { 1 } else { -1 });
        })
    };
    for _ in 0..many_times() {
        assert!(poll_with(pin!(tx.closed()), &waker).is_pending());
        assert!(poll_with(Pin::new(&mut rx), &waker).is_pending());
    }
    assert_eq!(alive.get(), 1, "the receiver waits, the sender does not");
    drop(rx);
    assert_eq!(alive.get(), 0);
}

// SY14
#[test]
fn a_waker_that_panics_leaves_the_channel_in_order() {
    let drops = Drops::default();
    let (tx, mut rx) = oneshot::channel();
    let waker = on_wake(|| panic!("in the waker"));
    assert!(poll_with(Pin::new(&mut rx), &waker).is_pending());
    let item = drops.item(1);
    assert!(catch_unwind(AssertUnwindSafe(|| tx.send(item))).is_err());
    assert_eq!(block_on(rx).unwrap().name, 1);

    let (mut tx, rx) = oneshot::channel::<u32>();
    let polled = poll_fn(|cx| Poll::Ready(tx.poll_closed(cx)));
    assert!(matches!(
        poll_with(pin!(polled), &waker),
        Poll::Ready(Poll::Pending)
    ));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert!(tx.is_closed());
    assert!(poll_once(tx.closed()).is_ready());
}

// SY15: the destructor of the value uses a channel, its own one where that is possible: it holds the receiver of the
// answer, whose sender it is sent by.
#[test]
fn a_value_may_use_channels_when_it_is_dropped() {
    let drops = Drops::default();
    let (tx, rx) = oneshot::channel();
    let (echo, mut echoed) = oneshot::channel();
    tx.send(drops.acting(1, move || echo.send("dropped").unwrap()))
        .unwrap();
    drop(rx);
    assert_eq!(drops.take(), [1]);
    assert_eq!(echoed.try_recv(), Ok("dropped"));
}
