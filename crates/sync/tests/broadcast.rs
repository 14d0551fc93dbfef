//! `broadcast` from outside: everybody gets everything, or hears how much is missing.

mod channel_support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use channel_support::{
    Act, Drops, counting, hooked, many_times, on_wake, poll, poll_once, poll_with,
};
use futures_lite::StreamExt;
use futures_lite::future::{block_on, or, ready, zip};
use tulipa_sync::broadcast::{self, Lagged, RecvError, SendError, TryRecvError};

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

#[test]
fn everybody_gets_everything_in_order() {
    block_on(async {
        let (tx, mut first) = broadcast::channel(8);
        let mut second = tx.subscribe();
        let send = async {
            for n in 0..5 {
                assert_eq!(tx.send(n), Ok(2));
            }
            drop(tx);
        };
        let receive = async {
            for n in 0..5 {
                assert_eq!(first.recv().await, Ok(n));
            }
            assert_eq!(first.recv().await, Err(RecvError::Closed));
        };
        zip(send, receive).await;
        let mut late = second.resubscribe();
        for n in 0..5 {
            assert_eq!(second.try_recv(), Ok(n));
        }
        assert_eq!(second.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(late.try_recv(), Err(TryRecvError::Closed));
    });
}

// SY07
#[test]
fn a_slow_receiver_hears_how_many_it_has_missed() {
    let (tx, mut slow) = broadcast::channel(4);
    let mut quick = tx.subscribe();
    for n in 0..100 {
        tx.send(n).unwrap();
        assert_eq!(quick.try_recv(), Ok(n));
    }
    assert_eq!((slow.len(), tx.len()), (100, 4));
    assert_eq!(block_on(slow.recv()), Err(RecvError::Lagged(96)));
    assert_eq!(slow.len(), 4);
    for n in 96..100 {
        assert_eq!(block_on(slow.recv()), Ok(n));
    }
    assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((slow.len(), tx.len()), (0, 0));

    // Not a power of two; and the end comes after what is left.
    let (tx, mut slow) = broadcast::channel(3);
    for n in 0..5 {
        tx.send(n).unwrap();
    }
    drop(tx);
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(2)));
    assert_eq!(
        (slow.try_recv(), slow.try_recv(), slow.try_recv()),
        (Ok(2), Ok(3), Ok(4))
    );
    assert_eq!(slow.try_recv(), Err(TryRecvError::Closed));
}

#[test]
#[should_panic(expected = "capacity of 0")]
fn a_channel_without_room_is_refused() {
    drop(broadcast::channel::<()>(0));
}

#[test]
fn without_receivers_a_message_comes_back() {
    let (tx, rx) = broadcast::channel(2);
    let (waker, woken) = counting();
    let mut closed = pin!(tx.closed());
    assert!(poll_with(closed.as_mut(), &waker).is_pending());
    drop(rx);
    assert_eq!(woken.get(), 1);
    assert!(poll(closed).is_ready());
    assert_eq!(tx.send("back"), Err(SendError("back")));
    let mut rx = tx.subscribe();
    assert_eq!((tx.send("again"), tx.receiver_count()), (Ok(1), 1));
    assert_eq!(rx.try_recv(), Ok("again"));
}

#[test]
fn the_last_receiver_gets_the_message_itself() {
    #[derive(Debug)]
    struct Counted(Rc<Cell<u32>>);

    impl Clone for Counted {
        fn clone(&self) -> Counted {
            self.0.set(self.0.get() + 1);
            Counted(self.0.clone())
        }
    }

    let clones = Rc::new(Cell::new(0));
    let (tx, mut first) = broadcast::channel(2);
    for _ in 0..10 {
        tx.send(Counted(clones.clone())).unwrap();
        first.try_recv().unwrap();
    }
    assert_eq!(clones.get(), 0);
    let mut others = [tx.subscribe(), tx.subscribe()];
    tx.send(Counted(clones.clone())).unwrap();
    for rx in others.iter_mut().chain([&mut first]) {
        rx.try_recv().unwrap();
    }
    assert_eq!((clones.get(), tx.len()), (2, 0));
}

#[test]
fn a_message_goes_when_nobody_misses_it_any_more() {
    let drops = Drops::default();
    let (tx, mut first) = broadcast::channel(4);
    let second = tx.subscribe();
    for n in 1..=6 {
        tx.send(drops.item(n)).unwrap();
    }
    assert_eq!(drops.take(), [1, 2], "the oldest");
    assert!(matches!(first.try_recv(), Err(TryRecvError::Lagged(2))));
    drop(first.try_recv().unwrap());
    assert_eq!(drops.take(), [3], "the clone");
    drop(second);
    assert_eq!((drops.take(), tx.len()), (vec![3], 3));
    tx.send(drops.item(7)).unwrap();
    drop(first);
    assert_eq!((drops.take(), tx.len()), (vec![4, 5, 6, 7], 0));
}

// SY01
#[test]
fn a_message_is_not_lost_with_the_future_that_waits_for_it() {
    block_on(async {
        let (tx, mut rx) = broadcast::channel(1);
        {
            let mut recv = pin!(rx.recv());
            assert!(poll(recv.as_mut()).is_pending());
            tx.send(1).unwrap();
        }
        assert!(
            or(ready(None), async { Some(rx.recv().await) })
                .await
                .is_none()
        );
        assert_eq!(rx.recv().await, Ok(1));
    });
}

#[test]
fn who_waits_hears_of_what_it_has_missed_and_of_the_end() {
    let (tx, mut rx) = broadcast::channel(1);
    {
        let mut recv = pin!(rx.recv());
        let (waker, woken) = counting();
        assert!(poll_with(recv.as_mut(), &waker).is_pending());
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        assert_eq!(woken.get(), 1);
        assert_eq!(poll(recv), Poll::Ready(Err(RecvError::Lagged(1))));
    }
    assert_eq!(rx.try_recv(), Ok(2));
    let (waker, woken) = counting();
    let mut recv = pin!(rx.recv());
    assert!(poll_with(recv.as_mut(), &waker).is_pending());
    let other = tx.clone();
    drop(tx);
    assert_eq!(woken.get(), 0);
    drop(other);
    assert_eq!(woken.get(), 1);
    assert_eq!(poll(recv), Poll::Ready(Err(RecvError::Closed)));
}

#[test]
fn a_stream_of_messages() {
    let (tx, rx) = broadcast::channel(2);
    let mut messages = Box::pin(rx.into_stream());
    let (waker, woken) = counting();
    assert!(poll_with(pin!(messages.next()), &waker).is_pending());
    assert!(poll_with(pin!(messages.next()), &waker).is_pending());
    for n in 0..3 {
        tx.send(n).unwrap();
    }
    assert_eq!(woken.get(), 1);
    drop(tx);
    let all = block_on(messages.collect::<Vec<_>>());
    assert_eq!(all, [Err(Lagged(1)), Ok(1), Ok(2)]);
}

// SY12
#[test]
fn wakers_may_use_the_channel() {
    let (tx, mut rx) = broadcast::channel(2);
    let sender = tx.clone();
    let sends = hooked(move |act| {
        if act == Act::Clone {
            sender.send(1).unwrap();
        }
    });
    assert_eq!(poll_with(pin!(rx.recv()), &sends), Poll::Ready(Ok(1)));

    // `wake` sends, and drops one that was not woken yet, with its receiver.
    let mut other = tx.subscribe();
    let waiting: Rc<RefCell<Option<Boxed>>> = Rc::default();
    let (sender, dropped) = (tx.clone(), waiting.clone());
    let sends = on_wake(move || {
        assert_eq!(sender.send(3), Ok(2));
        drop(dropped.take());
    });
    {
        let mut first = pin!(rx.recv());
        assert!(poll_with(first.as_mut(), &sends).is_pending());
        let mut second: Boxed = Box::pin(async move {
            other.recv().await.unwrap_err();
        });
        assert!(poll(second.as_mut()).is_pending());
        *waiting.borrow_mut() = Some(second);
        assert_eq!(tx.send(2), Ok(2));
        assert_eq!(poll(first), Poll::Ready(Ok(2)));
    }
    assert_eq!((tx.receiver_count(), tx.len()), (1, 1));
    assert_eq!(rx.try_recv(), Ok(3));

    // `drop` sends, when a wait is dropped.
    let sender = tx.clone();
    let sends = hooked(move |act| {
        if act == Act::Drop {
            sender.send(4).unwrap();
        }
    });
    assert!(poll_with(pin!(rx.recv()), &sends).is_pending());
    assert_eq!(rx.try_recv(), Ok(4));
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
    let (tx, mut rx) = broadcast::channel::<u32>(1);
    for _ in 0..many_times() {
        assert!(poll_with(pin!(rx.recv()), &waker).is_pending());
        assert!(poll_with(pin!(tx.closed()), &waker).is_pending());
        drop(tx.subscribe());
    }
    assert_eq!(alive.get(), 0);
}

// SY14
#[test]
fn one_waker_that_panics_does_not_keep_the_others_from_being_woken() {
    let (tx, rx) = broadcast::channel(2);
    let mut receivers: Vec<_> = (0..10).map(|_| rx.resubscribe()).collect();
    drop(rx);
    let counts: Vec<_> = (0..10).map(|_| counting()).collect();
    let panics = on_wake(|| panic!("in the waker"));
    let mut waits: Vec<_> = receivers.iter_mut().map(|rx| Box::pin(rx.recv())).collect();
    for (n, wait) in waits.iter_mut().enumerate() {
        let waker = if n == 2 { &panics } else { &counts[n].0 };
        assert!(poll_with(wait.as_mut(), waker).is_pending());
    }
    let sends = catch_unwind(AssertUnwindSafe(|| tx.send(1)));
    assert_eq!(sends.unwrap_err().downcast_ref(), Some(&"in the waker"));
    for (n, (_, woken)) in counts.iter().enumerate() {
        assert_eq!(woken.get(), usize::from(n != 2), "{n}");
    }
    for wait in &mut waits {
        assert_eq!(poll(wait.as_mut()), Poll::Ready(Ok(1)));
    }
    assert_eq!(tx.len(), 0);
}

// SY15
#[test]
fn messages_may_use_the_channel_when_they_are_dropped() {
    let drops = Drops::default();
    let (tx, rx) = broadcast::channel(1);
    let (sender, next) = (tx.clone(), drops.item(3));
    tx.send(drops.acting(1, move || assert_eq!(sender.send(next).unwrap(), 1)))
        .unwrap();
    // The first has to go, and sends the third, for which the second has to go.
    tx.send(drops.item(2)).unwrap();
    assert_eq!((drops.take(), tx.len()), (vec![1, 2], 1));

    // Dropped with the last receiver, they find none; and subscribe.
    let sender = tx.clone();
    let item = drops.acting(4, move || {
        assert!(sender.send(Drops::default().item(0)).is_err());
        drop(sender.subscribe());
    });
    tx.send(item).unwrap();
    drop(rx);
    assert_eq!(
        (drops.take(), tx.len(), tx.receiver_count()),
        (vec![3, 4], 0, 0)
    );
}

type Action = Rc<dyn Fn()>;

/// A message that does something when it is cloned.
struct OnClone(u32, Option<Action>, Rc<Cell<i32>>);

impl OnClone {
    fn new(n: u32, alive: &Rc<Cell<i32>>, action: Option<Action>) -> OnClone {
        alive.set(alive.get() + 1);
        OnClone(n, action, alive.clone())
    }
}

impl Clone for OnClone {
    fn clone(&self) -> OnClone {
        if let Some(action) = &self.1 {
            action();
        }
        OnClone::new(self.0, &self.2, None)
    }
}

impl Drop for OnClone {
    fn drop(&mut self) {
        self.2.set(self.2.get() - 1);
    }
}

#[test]
fn cloning_may_use_the_channel() {
    let alive = Rc::new(Cell::new(0));
    let message = |n| OnClone::new(n, &alive, None);
    let (tx, mut first) = broadcast::channel(2);
    let shared: Rc<RefCell<Option<broadcast::Receiver<OnClone>>>> =
        Rc::new(RefCell::new(Some(tx.subscribe())));

    // The other receiver takes the same message, as the last one, while it is cloned.
    let other = shared.clone();
    let action: Action = Rc::new(move || {
        let taken = other.borrow_mut().take();
        if let Some(mut rx) = taken {
            assert_eq!(rx.try_recv().ok().unwrap().0, 1);
            assert_eq!(rx.try_recv().ok().unwrap().0, 2);
            *other.borrow_mut() = Some(rx);
        }
    });
    tx.send(OnClone::new(1, &alive, Some(action.clone())))
        .unwrap();
    tx.send(message(2)).unwrap();
    let received = first.try_recv().ok().unwrap();
    assert_eq!((received.0, tx.len()), (1, 1));
    drop((action, received));
    assert_eq!(first.try_recv().ok().unwrap().0, 2);
    assert_eq!((alive.get(), tx.len()), (0, 0));

    // It is pushed out while it is cloned, and sends what pushes it out.
    let (sender, counted) = (tx.clone(), alive.clone());
    let action: Action = Rc::new(move || {
        for n in 4..=6 {
            sender.send(OnClone::new(n, &counted, None)).unwrap();
        }
    });
    tx.send(OnClone::new(3, &alive, Some(action))).unwrap();
    assert_eq!(first.try_recv().ok().unwrap().0, 3);
    assert_eq!(alive.get(), 2);
    assert!(matches!(first.try_recv(), Err(TryRecvError::Lagged(1))));
    assert_eq!(first.try_recv().ok().unwrap().0, 5);

    // The other receivers, and the senders, are dropped while it is cloned.
    let (dropped, last) = (shared.clone(), Rc::new(RefCell::new(Some(tx.clone()))));
    let action: Action = Rc::new(move || drop((dropped.take(), last.take())));
    tx.send(OnClone::new(7, &alive, Some(action))).unwrap();
    drop(tx);
    assert_eq!(first.try_recv().ok().unwrap().0, 6);
    assert_eq!(first.try_recv().ok().unwrap().0, 7);
    assert!(matches!(first.try_recv(), Err(TryRecvError::Closed)));
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_message_whose_clone_panics_counts_as_received() {
    let alive = Rc::new(Cell::new(0));
    let (tx, mut first) = broadcast::channel(2);
    let mut second = tx.subscribe();
    let action: Action = Rc::new(|| panic!("in clone"));
    tx.send(OnClone::new(1, &alive, Some(action))).unwrap();
    let receive = catch_unwind(AssertUnwindSafe(|| drop(first.try_recv())));
    assert!(receive.is_err());
    assert!(matches!(first.try_recv(), Err(TryRecvError::Empty)));
    assert_eq!(second.try_recv().ok().unwrap().0, 1);
    assert_eq!((alive.get(), tx.len()), (0, 0));
    assert!(poll_once(first.recv()).is_pending());
}
