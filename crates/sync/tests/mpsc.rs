//! `mpsc` from outside: order, ends, and what is left when futures are dropped.

mod channel_support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};

use channel_support::{
    Act, Drops, counting, hooked, many_times, on_wake, poll, poll_once, poll_with,
};
use futures_lite::future::{block_on, or, ready, zip};
use futures_lite::{Stream, StreamExt};
use tulipa_sync::mpsc::{self, SendError, TryRecvError, TrySendError};

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

#[test]
fn messages_come_in_order_and_end_with_the_last_sender() {
    block_on(async {
        let (tx, mut rx) = mpsc::channel(2);
        let other = tx.clone();
        let produce = async move {
            for n in 0..10 {
                tx.send(n).await.unwrap();
            }
            drop(tx);
            other.send(10).await.unwrap();
        };
        let consume = async {
            let mut all = Vec::new();
            while let Some(n) = rx.recv().await {
                all.push(n);
            }
            all
        };
        let ((), all) = zip(produce, consume).await;
        assert_eq!(all, Vec::from_iter(0..=10));
        assert_eq!(rx.recv().await, None);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn without_a_bound_nobody_waits() {
    block_on(async {
        let (tx, rx) = mpsc::unbounded();
        for n in 0..1000 {
            tx.send(n).unwrap();
        }
        let (weak, clone) = (tx.downgrade(), tx.clone());
        assert!(weak.clone().upgrade().unwrap().same_channel(&tx));
        assert_eq!((tx.strong_count(), rx.len()), (2, 1000));
        drop((tx, clone));
        assert!(weak.upgrade().is_none());
        assert_eq!(rx.collect::<Vec<_>>().await, Vec::from_iter(0..1000));

        let (tx, rx) = mpsc::unbounded();
        assert!(poll_once(tx.closed()).is_pending());
        drop(rx);
        assert!(tx.is_closed() && poll_once(tx.closed()).is_ready());
        assert_eq!(tx.send("back"), Err(SendError("back")));
    });
}

#[test]
fn room_is_counted() {
    let (tx, mut rx) = mpsc::channel(3);
    assert_eq!((tx.capacity(), tx.max_capacity(), rx.len()), (3, 3, 0));
    tx.try_send(1).unwrap();
    let permit = tx.try_reserve().unwrap();
    assert_eq!((tx.capacity(), rx.len()), (1, 1));
    tx.try_send(2).unwrap();
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Full(()));
    drop(permit);
    assert_eq!((tx.capacity(), rx.len(), rx.capacity()), (1, 2, 1));
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((tx.capacity(), rx.is_empty()), (3, true));
}

#[test]
#[should_panic(expected = "capacity of 0")]
fn a_channel_without_room_is_refused() {
    drop(mpsc::channel::<()>(0));
}

#[test]
fn owned_permits_have_the_sender() {
    block_on(async {
        let (tx, mut rx) = mpsc::channel(1);
        let permit = tx.reserve_owned().await.unwrap();
        assert_eq!((rx.capacity(), rx.sender_strong_count()), (0, 1));
        let tx = permit.send(1);
        let tx = tx.try_reserve_owned().unwrap_err().into_inner();
        assert_eq!(rx.recv().await, Some(1));
        let tx = tx.try_reserve_owned().unwrap().release();
        assert_eq!(tx.capacity(), 1);
        let permit = tx.clone().try_reserve_owned().unwrap();
        drop(tx);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        drop(permit);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn several_are_received_at_once() {
    let (tx, mut rx) = mpsc::channel(4);
    let mut all = vec![0];
    assert_eq!(poll_once(rx.recv_many(&mut all, 0)), Poll::Ready(0));
    assert!(poll_once(rx.recv_many(&mut all, 3)).is_pending());
    for n in 1..=4 {
        tx.try_send(n).unwrap();
    }
    let waiting: Vec<Boxed<_>> = (5..=6)
        .map(|n| {
            let tx = tx.clone();
            let mut send: Boxed<_> = Box::pin(async move { tx.send(n).await.unwrap() });
            assert!(poll(send.as_mut()).is_pending());
            send
        })
        .collect();
    assert_eq!(poll_once(rx.recv_many(&mut all, 3)), Poll::Ready(3));
    for mut send in waiting {
        assert!(poll(send.as_mut()).is_ready());
    }
    drop(tx);
    assert_eq!(
        poll_once(rx.recv_many(&mut all, usize::MAX)),
        Poll::Ready(3)
    );
    assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(poll_once(rx.recv_many(&mut all, 3)), Poll::Ready(0));
}

// SY01: two wait; the first is given the slot, and dropped before it runs.
#[test]
fn a_slot_that_was_given_to_a_dropped_sender_goes_to_the_next() {
    for reserves in [false, true] {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(1).unwrap();
        let waiter = |n| -> Boxed<()> {
            let tx = tx.clone();
            Box::pin(async move {
                if reserves {
                    tx.reserve().await.unwrap().send(n);
                } else {
                    tx.send(n).await.unwrap();
                }
            })
        };
        let ((first_waker, first_woken), (second_waker, second_woken)) = (counting(), counting());
        let (mut first, mut second) = (waiter(2), waiter(3));
        assert!(poll_with(first.as_mut(), &first_waker).is_pending());
        assert!(poll_with(second.as_mut(), &second_waker).is_pending());
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!((first_woken.get(), second_woken.get()), (1, 0));
        drop(first);
        assert_eq!(second_woken.get(), 1);
        assert!(poll(second.as_mut()).is_ready());
        assert_eq!(rx.try_recv(), Ok(3));
        assert_eq!(tx.capacity(), 1);
    }
}

// SY01: the receiver is woken, and its future dropped before it runs.
#[test]
fn a_message_is_not_lost_with_the_future_that_waits_for_it() {
    block_on(async {
        let (tx, mut rx) = mpsc::channel(1);
        {
            let mut recv = pin!(rx.recv());
            assert!(poll(recv.as_mut()).is_pending());
            tx.try_send(1).unwrap();
        }
        assert_eq!(or(ready(None), rx.recv()).await, None);
        assert_eq!(rx.recv().await, Some(1));
    });
}

// SY02
#[test]
fn slots_are_given_in_the_order_of_arrival() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(0).unwrap();
    let mut waiting: Vec<Boxed<_>> = Vec::new();
    for n in 1..=100 {
        let tx = tx.clone();
        waiting.push(Box::pin(async move { tx.send(n).await.unwrap() }));
        assert!(poll(waiting[n - 1].as_mut()).is_pending());
    }
    for n in 0..=100 {
        assert_eq!(rx.try_recv(), Ok(n));
        if n == 100 {
            break;
        }
        assert_eq!(tx.try_send(1000), Err(TrySendError::Full(1000)));
        assert!(tx.try_reserve().is_err());
        let newcomer = poll_once(tx.send(1000));
        assert!(newcomer.is_pending());
        for (index, send) in waiting.iter_mut().enumerate().skip(n + 1) {
            assert!(poll(send.as_mut()).is_pending(), "{index}");
        }
        assert!(poll(waiting[n].as_mut()).is_ready());
    }
    assert_eq!(tx.capacity(), 1);
}

// SY06: capacity 1, a sender that waits, and is dropped.
#[test]
fn a_sender_that_is_dropped_while_it_waits_takes_its_message_along() {
    let drops = Drops::default();
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(drops.item(1)).unwrap();
    let mut send = Box::pin(tx.send(drops.item(2)));
    assert!(poll(send.as_mut()).is_pending());
    assert_eq!(rx.len(), 1);
    drop(send);
    assert_eq!(drops.take(), [2]);
    assert_eq!(rx.try_recv().unwrap().name, 1);
    assert_eq!((rx.len(), tx.capacity()), (0, 1));
    drop(tx);
    assert!(matches!(rx.try_recv(), Err(TryRecvError::Disconnected)));
    assert_eq!(drops.take(), [1]);
}

// SY06: the receiver is dropped with messages, with a reserved slot, with senders that wait and one that was given a slot.
#[test]
fn a_receiver_that_is_dropped_tells_everybody_and_drops_what_is_there() {
    let drops = Drops::default();
    let (tx, mut rx) = mpsc::channel(3);
    tx.try_send(drops.item(1)).unwrap();
    tx.try_send(drops.item(2)).unwrap();
    let permit = tx.try_reserve().unwrap();
    let wakers: Vec<_> = (0..3).map(|_| counting()).collect();
    let mut sends: Vec<_> = (3..6).map(|n| Box::pin(tx.send(drops.item(n)))).collect();
    for (send, (waker, _)) in sends.iter_mut().zip(&wakers) {
        assert!(poll_with(send.as_mut(), waker).is_pending());
    }
    let (waker, woken) = counting();
    let mut closed = pin!(tx.closed());
    assert!(poll_with(closed.as_mut(), &waker).is_pending());
    assert_eq!(rx.try_recv().unwrap().name, 1);
    assert_eq!((rx.len(), drops.take()), (1, vec![1]));
    drop(rx);
    assert_eq!(drops.take(), [2]);
    assert_eq!(woken.get(), 1);
    assert!(poll(closed).is_ready());
    for (n, (send, (_, woken))) in sends.iter_mut().zip(&wakers).enumerate() {
        assert_eq!(woken.get(), 1);
        let Poll::Ready(Err(SendError(item))) = poll(send.as_mut()) else {
            panic!("sent to nobody");
        };
        assert_eq!(item.name as usize, 3 + n);
    }
    assert_eq!(drops.take(), [3, 4, 5]);
    permit.send(drops.item(6));
    assert_eq!(drops.take(), [6]);
    assert!(tx.try_send(drops.item(7)).unwrap_err().is_closed());
    assert!(matches!(
        poll_once(tx.send(drops.item(8))),
        Poll::Ready(Err(_))
    ));
    assert!(matches!(poll_once(tx.reserve()), Poll::Ready(Err(_))));
    assert_eq!(drops.take(), [7, 8]);
    assert_eq!(tx.capacity(), 3);
}

// SY06: close, then send; what was reserved before is still received.
#[test]
fn a_closed_channel_is_drained_with_the_slots_that_are_reserved() {
    let (tx, mut rx) = mpsc::channel(4);
    tx.try_send(1).unwrap();
    let used = tx.try_reserve().unwrap();
    let unused = tx.try_reserve().unwrap();
    tx.try_send(2).unwrap();
    let mut given = Box::pin(tx.send(3));
    let mut waits = Box::pin(tx.send(4));
    assert!(poll(given.as_mut()).is_pending() && poll(waits.as_mut()).is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    rx.close();
    assert!(tx.is_closed() && rx.is_closed());
    assert_eq!(poll(waits.as_mut()), Poll::Ready(Err(SendError(4))));
    assert_eq!(tx.try_send(5), Err(TrySendError::Closed(5)));
    assert_eq!((rx.try_recv(), rx.len()), (Ok(2), 0));

    let (waker, woken) = counting();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert!(poll_with(pin!(rx.recv()), &waker).is_pending());
    assert_eq!(poll(given.as_mut()), Poll::Ready(Ok(())));
    assert_eq!((rx.len(), rx.try_recv()), (1, Ok(3)));
    used.send(6);
    assert_eq!(rx.try_recv(), Ok(6));

    let mut recv = Box::pin(rx.recv());
    assert!(poll_with(recv.as_mut(), &waker).is_pending());
    assert_eq!(woken.get(), 0, "the futures before were dropped");
    drop(unused);
    assert_eq!(woken.get(), 1);
    assert_eq!(poll(recv.as_mut()), Poll::Ready(None));
    drop(recv);
    assert_eq!((rx.len(), tx.capacity()), (0, 4));
}

// The same where the slot is that of a future which is dropped before it runs.
#[test]
fn a_closed_receiver_does_not_wait_for_a_sender_that_was_dropped() {
    for kind in 0..3 {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(0).unwrap();
        let mut future: Boxed<()> = match (kind, tx.clone()) {
            (0, tx) => Box::pin(async move { tx.send(1).await.unwrap() }),
            (1, tx) => Box::pin(async move { tx.reserve().await.unwrap().send(1) }),
            (_, tx) => Box::pin(async move { drop(tx.reserve_owned().await) }),
        };
        assert!(poll(future.as_mut()).is_pending());
        assert_eq!(rx.try_recv(), Ok(0));
        rx.close();
        let (waker, woken) = counting();
        let mut recv = pin!(rx.recv());
        assert!(poll_with(recv.as_mut(), &waker).is_pending());
        drop(future);
        assert_eq!(woken.get(), 1, "kind {kind}");
        assert_eq!(poll(recv), Poll::Ready(None));
        drop(tx);
    }
}

#[test]
fn a_slot_given_before_the_receiver_went_is_of_no_use() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(1).unwrap();
    let mut send = Box::pin(tx.send(2));
    assert!(poll(send.as_mut()).is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    drop(rx);
    assert_eq!(poll(send.as_mut()), Poll::Ready(Err(SendError(2))));

    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(1).unwrap();
    let mut reserve = Box::pin(tx.clone().reserve_owned());
    assert!(poll(reserve.as_mut()).is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    drop(rx);
    assert!(matches!(poll(reserve.as_mut()), Poll::Ready(Err(_))));
    drop(reserve);
    assert_eq!((tx.capacity(), tx.strong_count()), (1, 1));
}

#[test]
fn the_last_sender_wakes_the_receiver() {
    let (tx, mut rx) = mpsc::channel::<u32>(1);
    let weak = tx.downgrade();
    let other = weak.upgrade().unwrap();
    let (waker, woken) = counting();
    let mut recv = pin!(rx.recv());
    assert!(poll_with(recv.as_mut(), &waker).is_pending());
    drop(tx);
    assert_eq!(woken.get(), 0);
    drop(other);
    assert_eq!(woken.get(), 1);
    assert_eq!(poll(recv), Poll::Ready(None));
    assert!(weak.upgrade().is_none());
}

// SY12: `clone`, `wake` and `drop` of wakers use the same channel.
#[test]
fn wakers_may_use_the_channel() {
    // `clone` sends what is waited for.
    let (tx, mut rx) = mpsc::channel(1);
    let sender = tx.clone();
    let sends = hooked(move |act| {
        if act == Act::Clone {
            sender.try_send(1).unwrap();
        }
    });
    assert_eq!(poll_with(pin!(rx.recv()), &sends), Poll::Ready(Some(1)));

    // `clone` receives, which makes the room that is waited for.
    let rx = Rc::new(RefCell::new(rx));
    tx.try_send(2).unwrap();
    let receiver = rx.clone();
    let receives = hooked(move |act| {
        if act == Act::Clone {
            assert_eq!(receiver.borrow_mut().try_recv(), Ok(2));
        }
    });
    assert_eq!(poll_with(pin!(tx.send(3)), &receives), Poll::Ready(Ok(())));
    assert_eq!(rx.borrow_mut().try_recv(), Ok(3));

    // `wake` of the receiver receives, and the sender it makes room for is woken.
    let received = Rc::new(Cell::new(0));
    let (receiver, seen) = (rx.clone(), received.clone());
    let receives = on_wake(move || seen.set(receiver.borrow_mut().try_recv().unwrap()));
    assert!(poll_recv(&rx, &receives).is_pending());
    tx.try_send(4).unwrap();
    assert_eq!(received.get(), 4);

    // `drop` of the receiver's waker sends, when the receiver goes: nobody is there.
    let (tx, mut rx) = mpsc::channel(1);
    let refused = Rc::new(Cell::new(0));
    let (sender, seen) = (tx.clone(), refused.clone());
    let sends = hooked(move |act| {
        if act == Act::Drop && sender.try_send(5).unwrap_err().is_closed() {
            seen.set(seen.get() + 1);
        }
    });
    let mut cx = std::task::Context::from_waker(&sends);
    assert!(rx.poll_recv(&mut cx).is_pending());
    drop(rx);
    assert_eq!(refused.get(), 1);

    // `wake` of a sender that waits drops the other one that does.
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(1).unwrap();
    let second: Rc<RefCell<Option<Boxed<_>>>> = Rc::default();
    let dropped = second.clone();
    let drops_it = on_wake(move || drop(dropped.take()));
    let mut first = Box::pin(tx.send(2));
    assert!(poll_with(first.as_mut(), &drops_it).is_pending());
    let sender = tx.clone();
    let mut future: Boxed<_> = Box::pin(async move { sender.send(3).await });
    assert!(poll(future.as_mut()).is_pending());
    *second.borrow_mut() = Some(future);
    rx.close();
    assert!(second.borrow().is_none());
    assert_eq!(poll(first.as_mut()), Poll::Ready(Err(SendError(2))));
}

fn poll_recv<T>(rx: &RefCell<mpsc::Receiver<T>>, waker: &Waker) -> Poll<Option<T>> {
    let mut cx = std::task::Context::from_waker(waker);
    rx.borrow_mut().poll_recv(&mut cx)
}

// SY13
#[test]
fn waits_that_are_dropped_leave_nothing_behind() {
    let alive = Rc::new(Cell::new(0_i64));
    let waker = {
        let alive = alive.clone();
        hooked(move |act| alive.set(alive.get() + if act == Act::Clone { 1 } else { -1 }))
    };
    let (tx, mut rx) = mpsc::channel::<u32>(1);
    for _ in 0..many_times() {
        assert!(poll_with(pin!(rx.recv()), &waker).is_pending());
        assert!(poll_with(pin!(tx.closed()), &waker).is_pending());
    }
    tx.try_send(1).unwrap();
    for _ in 0..many_times() {
        assert!(poll_with(pin!(tx.send(2)), &waker).is_pending());
        assert!(poll_with(pin!(tx.reserve()), &waker).is_pending());
    }
    assert_eq!(alive.get(), 0);
    assert!(format!("{tx:?}").contains("waiting: 0"), "{tx:?}");
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(tx.capacity(), 1);
}

// SY14
#[test]
fn one_waker_that_panics_does_not_keep_the_others_from_being_woken() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(0).unwrap();
    let counts: Vec<_> = (0..10).map(|_| counting()).collect();
    let panics = on_wake(|| panic!("in the waker"));
    let mut sends: Vec<_> = (0..10).map(|n| Box::pin(tx.send(n))).collect();
    for (n, send) in sends.iter_mut().enumerate() {
        let waker = if n == 2 { &panics } else { &counts[n].0 };
        assert!(poll_with(send.as_mut(), waker).is_pending());
    }
    let closing = catch_unwind(AssertUnwindSafe(|| rx.close()));
    let message = closing.unwrap_err();
    assert_eq!(message.downcast_ref(), Some(&"in the waker"));
    for (n, (_, woken)) in counts.iter().enumerate() {
        assert_eq!(woken.get(), usize::from(n != 2), "{n}");
    }
    for (n, send) in sends.iter_mut().enumerate() {
        assert_eq!(poll(send.as_mut()), Poll::Ready(Err(SendError(n))));
    }
    rx.close();
    assert_eq!((rx.try_recv(), rx.len()), (Ok(0), 0));

    // The receiver goes although two kinds of wakers panic, and its messages with it.
    let drops = Drops::default();
    let (tx, rx) = mpsc::channel(1);
    tx.try_send(drops.item(1)).unwrap();
    let mut send = Box::pin(tx.send(drops.item(2)));
    let mut closed = Box::pin(tx.closed());
    assert!(poll_with(send.as_mut(), &panics).is_pending());
    assert!(poll_with(closed.as_mut(), &panics).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert_eq!(drops.take(), [1]);
    assert!(poll(closed.as_mut()).is_ready());
}

// SY15: messages whose destructor sends, receives, or closes the same channel.
#[test]
fn messages_may_use_the_channel_when_they_are_dropped() {
    let drops = Drops::default();

    // Sends into the channel whose receiver is going, and clones and drops its sender.
    let (tx, rx) = mpsc::channel(8);
    for n in 1..=3 {
        let (sender, again) = (tx.clone(), drops.item(10 + n));
        let item = drops.acting(n, move || {
            let error = sender.clone().try_send(again).unwrap_err();
            assert!(error.is_closed());
        });
        tx.try_send(item).unwrap();
    }
    drop(tx);
    drop(rx);
    let mut dropped = drops.take();
    dropped.sort_unstable();
    assert_eq!(dropped, [1, 2, 3, 11, 12, 13]);

    // Receives from the channel that it could not be sent to, and closes it.
    let (tx, rx) = mpsc::channel(1);
    tx.try_send(drops.item(1)).unwrap();
    let shared = Rc::new(RefCell::new(rx));
    let rx = shared.clone();
    let item = drops.acting(2, move || {
        drop(rx.borrow_mut().try_recv().unwrap());
        rx.borrow_mut().close();
    });
    drop(tx.try_send(item));
    assert_eq!(drops.take(), [2, 1]);
    assert!(tx.is_closed());

    // It is dropped with the future that waits to send it.
    let (tx, rx) = mpsc::channel(1);
    tx.try_send(drops.item(1)).unwrap();
    let shared = Rc::new(RefCell::new(rx));
    let (rx, sender, again) = (shared.clone(), tx.clone(), drops.item(3));
    let item = drops.acting(2, move || {
        drop(rx.borrow_mut().try_recv().unwrap());
        sender.try_send(again).unwrap();
    });
    let mut send = Box::pin(tx.send(item));
    assert!(poll(send.as_mut()).is_pending());
    drop(send);
    assert_eq!(drops.take(), [2, 1]);
    assert_eq!(shared.borrow_mut().try_recv().unwrap().name, 3);
    assert_eq!(drops.take(), [3]);

    // A message holds the only sender of the channel that it is in: it ends when that is received.
    let (tx, mut rx) = mpsc::unbounded();
    let sender = tx.clone();
    tx.send(drops.acting(1, move || drop(sender))).unwrap();
    drop(tx);
    assert!(!rx.is_closed());
    drop(rx.try_recv().unwrap());
    assert!(rx.is_closed() && rx.try_recv().is_err());
}

#[test]
fn a_stream_of_messages() {
    block_on(async {
        let (tx, mut rx) = mpsc::channel(4);
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        assert_eq!(rx.size_hint(), (2, None));
        drop(tx);
        assert_eq!(rx.size_hint(), (2, Some(2)));
        assert_eq!(rx.next().await, Some(1));
        assert_eq!(rx.collect::<Vec<_>>().await, [2]);
    });
}
