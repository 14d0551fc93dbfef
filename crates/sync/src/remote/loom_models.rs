//! Models of the channels that cross threads, run by loom: `RUSTFLAGS="--cfg loom" cargo test -p tulipa-sync
//! --release loom_models`.
//!
//! They run the real channels on loom's threads. A wake that is lost shows as a deadlock, a slot that is lost as a
//! sender that waits for ever. Models that end a channel count its values, and see that each is dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::mpsc::{self, Receiver, SendError, Sender, TrySendError};
use super::oneshot;
use super::parking::block_on;
use crate::shim::{Parker, Unparker};

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // A quick run unless LOOM_MAX_PREEMPTIONS asks for more.
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(f);
}

/// A value that counts itself. loom runs all threads of a model on one thread of the system, and sees no leak of what is
/// not its own, so it is looked at in the model's end.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(live: &Arc<AtomicUsize>) -> Counted {
        live.fetch_add(1, Ordering::Relaxed);
        Counted(live.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn live_count() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

fn assert_none_live(live: &Arc<AtomicUsize>) {
    assert_eq!(live.load(Ordering::Relaxed), 0, "values not dropped");
}

/// A waker that counts, and then passes the wake on.
struct Counting {
    wakes: AtomicUsize,
    then: Unparker,
}

impl Counting {
    fn new(parker: &Parker) -> Arc<Counting> {
        Arc::new(Counting {
            wakes: AtomicUsize::new(0),
            then: parker.unparker(),
        })
    }
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.then.unpark();
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// All that comes, until the last sender is gone.
fn drain(receiver: &mut Receiver<u8>) -> Vec<u8> {
    let mut received = Vec::new();
    while let Some(value) = receiver.blocking_recv() {
        received.push(value);
    }
    received
}

fn full_channel() -> (Sender<u8>, Receiver<u8>) {
    let (sender, receiver) = mpsc::channel(1);
    sender.try_send(1).unwrap();
    (sender, receiver)
}

#[test]
fn two_senders_lose_nothing_and_the_receiver_hears_of_the_end() {
    model(|| {
        let (sender, mut receiver) = mpsc::unbounded();
        let other = sender.clone();
        let one = thread::spawn(move || sender.send(1).unwrap());
        let two = thread::spawn(move || other.send(2).unwrap());
        let mut received = drain(&mut receiver);
        received.sort();
        assert_eq!(received, [1, 2]);
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn two_senders_wait_for_room_and_both_get_it() {
    model(|| {
        let (sender, mut receiver) = full_channel();
        let other = sender.clone();
        let two = thread::spawn(move || sender.blocking_send(2).unwrap());
        let three = thread::spawn(move || other.blocking_send(3).unwrap());
        let mut received = drain(&mut receiver);
        assert_eq!(received.remove(0), 1);
        received.sort();
        assert_eq!(received, [2, 3]);
        two.join().unwrap();
        three.join().unwrap();
    });
}

#[test]
fn one_sender_waits_again_and_again() {
    model(|| {
        let (sender, mut receiver) = mpsc::channel(1);
        let one = thread::spawn(move || {
            for value in 0..3 {
                sender.blocking_send(value).unwrap();
            }
            assert!(sender.capacity() <= 1);
        });
        assert_eq!(drain(&mut receiver), [0, 1, 2]);
        one.join().unwrap();
    });
}

#[test]
fn several_values_free_room_for_several_senders() {
    model(|| {
        let (sender, mut receiver) = mpsc::channel(2);
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        let other = sender.clone();
        let weak = sender.downgrade();
        let three = thread::spawn(move || sender.blocking_send(3).unwrap());
        let four = thread::spawn(move || other.blocking_send(4).unwrap());
        let mut received = Vec::new();
        while received.len() < 4 {
            let many = receiver.recv_many(&mut received, 4);
            assert!(block_on("model", many) > 0);
        }
        received.sort();
        assert_eq!(received, [1, 2, 3, 4]);
        three.join().unwrap();
        four.join().unwrap();
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn the_last_sender_is_dropped_while_the_receiver_goes_to_sleep() {
    model(|| {
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        let other = sender.clone();
        let one = thread::spawn(move || drop(sender));
        let two = thread::spawn(move || drop(other));
        assert_eq!(receiver.blocking_recv(), None);
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn a_weak_sender_comes_too_late_or_keeps_the_channel_open() {
    model(|| {
        let (sender, mut receiver) = mpsc::unbounded();
        let weak = sender.downgrade();
        let one = thread::spawn(move || drop(sender));
        let two = thread::spawn(move || match weak.upgrade() {
            Some(sender) => {
                sender.send(1).unwrap();
                1
            }
            None => 0,
        });
        let received = drain(&mut receiver);
        one.join().unwrap();
        assert_eq!(received.len(), two.join().unwrap());
    });
}

#[test]
fn a_sender_that_waits_hears_that_the_receiver_is_dropped() {
    model(|| {
        let live = live_count();
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(Counted::new(&live)).unwrap();
        let value = Counted::new(&live);
        let one = thread::spawn(move || {
            let SendError(value) = sender.blocking_send(value).unwrap_err();
            assert!(sender.is_closed());
            drop(value);
        });
        drop(receiver);
        one.join().unwrap();
        assert_none_live(&live);
    });
}

#[test]
fn what_is_sent_before_a_close_is_received_and_what_is_not_comes_back() {
    model(|| {
        let (sender, mut receiver) = full_channel();
        let one = thread::spawn(move || sender.blocking_send(2).is_ok());
        let mut received = vec![receiver.blocking_recv().unwrap()];
        receiver.close();
        received.extend(drain(&mut receiver));
        let expected: &[u8] = if one.join().unwrap() { &[1, 2] } else { &[1] };
        assert_eq!(received, expected);
    });
}

#[test]
fn a_value_sent_while_the_receiver_is_dropped_is_dropped_once() {
    model(|| {
        let live = live_count();
        let (sender, receiver) = mpsc::unbounded();
        let value = Counted::new(&live);
        let one = thread::spawn(move || {
            let _ = sender.send(value);
            sender
        });
        drop(receiver);
        // The channel is still there, but nothing is in it.
        let sender = one.join().unwrap();
        assert_none_live(&live);
        assert!(sender.is_closed());
    });
}

#[test]
fn a_sender_dropped_while_it_waits_passes_its_room_on() {
    model(|| {
        let (sender, mut receiver) = full_channel();
        let other = sender.clone();
        let gives_up = thread::spawn(move || poll_once(other.send(2)).is_ready());
        let waits = thread::spawn(move || sender.blocking_send(3).unwrap());
        let mut received = drain(&mut receiver);
        received.sort();
        let is_sent = gives_up.join().unwrap();
        let expected: &[u8] = if is_sent { &[1, 2, 3] } else { &[1, 3] };
        assert_eq!(received, expected);
        waits.join().unwrap();
    });
}

#[test]
fn nobody_overtakes_a_sender_that_waits() {
    model(|| {
        let (sender, mut receiver) = full_channel();
        let mut waits = pin!(sender.send(2));
        let parker = Parker::new();
        let waker = Waker::from(Counting::new(&parker));
        let mut cx = Context::from_waker(&waker);
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        let other = sender.clone();
        let overtakes = thread::spawn(move || match other.try_send(3) {
            Ok(()) => panic!("a slot was taken that another one waits for"),
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Closed(_)) => unreachable!(),
        });
        assert_eq!(receiver.blocking_recv(), Some(1));
        overtakes.join().unwrap();
        while waits.as_mut().poll(&mut cx).is_pending() {
            parker.park();
        }
        assert_eq!(receiver.blocking_recv(), Some(2));
    });
}

#[test]
fn the_waker_of_the_receivers_last_poll_is_woken() {
    model(|| {
        let (sender, mut receiver) = mpsc::unbounded();
        let one = thread::spawn(move || sender.send(1).unwrap());
        let parker = Parker::new();
        let first = Waker::from(Counting::new(&Parker::new()));
        let second = Counting::new(&parker);
        let waker = Waker::from(second.clone());
        let mut polled = receiver.poll_recv(&mut Context::from_waker(&first));
        while polled.is_pending() {
            polled = receiver.poll_recv(&mut Context::from_waker(&waker));
            if polled.is_pending() {
                parker.park();
                assert_eq!(second.wakes.load(Ordering::Relaxed), 1);
            }
        }
        assert_eq!(polled, Poll::Ready(Some(1)));
        one.join().unwrap();
    });
}

#[test]
fn the_waker_of_a_senders_last_poll_is_woken() {
    model(|| {
        let (sender, mut receiver) = full_channel();
        let one = thread::spawn(move || {
            let parker = Parker::new();
            let first = Waker::from(Counting::new(&Parker::new()));
            let second = Waker::from(Counting::new(&parker));
            let mut sending = pin!(sender.send(2));
            let mut polled = sending.as_mut().poll(&mut Context::from_waker(&first));
            while polled.is_pending() {
                polled = sending.as_mut().poll(&mut Context::from_waker(&second));
                if polled.is_pending() {
                    parker.park();
                }
            }
        });
        assert_eq!(drain(&mut receiver), [1, 2]);
        one.join().unwrap();
    });
}

#[test]
fn whoever_waits_for_the_end_hears_of_it() {
    model(|| {
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        let other = sender.clone();
        let one = thread::spawn(move || block_on("model", sender.closed()));
        let two = thread::spawn(move || poll_once(other.closed()));
        receiver.close();
        one.join().unwrap();
        let _ = two.join().unwrap();
    });
}

#[test]
fn a_oneshot_value_reaches_whoever_waits() {
    model(|| {
        let (sender, receiver) = oneshot::channel();
        let one = thread::spawn(move || sender.send(1).unwrap());
        assert_eq!(receiver.blocking_recv(), Ok(1));
        one.join().unwrap();
    });
}

#[test]
fn a_oneshot_receiver_hears_that_the_sender_is_dropped() {
    model(|| {
        let (sender, receiver) = oneshot::channel::<u8>();
        let one = thread::spawn(move || drop(sender));
        assert!(receiver.blocking_recv().is_err());
        one.join().unwrap();
    });
}

#[test]
fn a_oneshot_value_sent_while_the_receiver_is_dropped_is_dropped_once() {
    model(|| {
        let live = live_count();
        let (sender, mut receiver) = oneshot::channel();
        let value = Counted::new(&live);
        let one = thread::spawn(move || drop(sender.send(value)));
        let _ = poll_once(&mut receiver);
        drop(receiver);
        one.join().unwrap();
        assert_none_live(&live);
    });
}

#[test]
fn a_oneshot_value_is_received_or_comes_back_when_closed_meanwhile() {
    model(|| {
        let (sender, mut receiver) = oneshot::channel();
        let one = thread::spawn(move || sender.send(1).is_ok());
        receiver.close();
        let received = receiver.try_recv();
        let is_sent = one.join().unwrap();
        assert_eq!(received.is_ok(), is_sent);
        // What was sent was sent before the close, so there is nothing now.
        assert!(receiver.try_recv().is_err());
    });
}

#[test]
fn a_oneshot_sender_hears_of_the_end() {
    model(|| {
        let (mut sender, receiver) = oneshot::channel::<u8>();
        let one = thread::spawn(move || drop(receiver));
        block_on("model", sender.closed());
        assert_eq!(sender.send(1), Err(1));
        one.join().unwrap();
    });
}

#[test]
fn the_waker_of_a_oneshots_last_poll_is_woken() {
    model(|| {
        let (sender, mut receiver) = oneshot::channel();
        let one = thread::spawn(move || sender.send(1).unwrap());
        let first = poll_once(&mut receiver);
        let received = match first {
            Poll::Ready(received) => received,
            Poll::Pending => block_on("model", poll_fn(|cx| pin!(&mut receiver).poll(cx))),
        };
        assert_eq!(received, Ok(1));
        one.join().unwrap();
    });
}
