//! The channels whose senders cross threads, from outside: with real threads, and one poll at a time.
//!
//! Every interleaving of the short ways is in the crate's loom models; here are the long ones.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use futures_lite::future::block_on;
use futures_lite::{Stream, StreamExt};
use tulipa_base::{TaskId, budget, current, resource, wait};
use tulipa_sync::remote::mpsc::{
    self, Receiver, SendError, Sender, TryRecvError, TrySendError, UnboundedSender,
};
use tulipa_sync::remote::oneshot;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn new() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    fn wakes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

/// A value that counts those that are alive.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Live {
        count.fetch_add(1, Ordering::Relaxed);
        Live(count.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn live(count: &Arc<AtomicUsize>) -> usize {
    count.load(Ordering::Relaxed)
}

const THREADS: usize = 4;
const EACH: usize = 250_000;

/// Checks that nothing is lost, and that the values of each sender come in their order.
#[derive(Default)]
struct Arrivals([usize; THREADS]);

impl Arrivals {
    fn see(&mut self, (thread, number): (usize, usize)) {
        assert_eq!(self.0[thread], number, "of thread {thread}");
        self.0[thread] += 1;
    }

    fn assert_all(&self) {
        assert_eq!(self.0, [EACH; THREADS]);
    }
}

#[test]
fn a_million_values_from_four_threads_come_in_each_ones_order() {
    let (sender, mut receiver) = mpsc::unbounded();
    let senders: Vec<_> = (0..THREADS)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || (0..EACH).for_each(|it| sender.send((thread, it)).unwrap()))
        })
        .collect();
    drop(sender);
    let mut arrivals = Arrivals::default();
    block_on(async {
        while let Some(value) = receiver.recv().await {
            arrivals.see(value);
        }
    });
    arrivals.assert_all();
    senders.into_iter().for_each(|it| it.join().unwrap());
}

#[test]
fn a_million_values_fit_through_a_bound_that_is_never_exceeded() {
    const CAPACITY: usize = 64;
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let (sent, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (sender, sent, asked) = (sender.clone(), sent.clone(), asked.clone());
            // Each in another way.
            let send = move |value| match thread {
                0 => sender.blocking_send(value).unwrap(),
                1 => block_on(sender.send(value)).unwrap(),
                2 => match sender.try_send(value) {
                    Ok(()) => {}
                    Err(refused) => sender.blocking_send(refused.into_inner()).unwrap(),
                },
                _ => {
                    // Gives up now and then, and comes again.
                    let (_count, waker) = Count::new();
                    match poll_with(&mut sender.send(value), &waker) {
                        Poll::Ready(result) => result.unwrap(),
                        Poll::Pending => sender.blocking_send(value).unwrap(),
                    }
                }
            };
            thread::spawn(move || {
                for number in 0..EACH {
                    send((thread, number));
                    // Counted when it has been sent, and, by the receiver, before it is received.
                    let sent = sent.fetch_add(1, Ordering::SeqCst) + 1;
                    let most = asked.load(Ordering::SeqCst) + CAPACITY;
                    assert!(sent <= most, "{sent} sent, at most {most} expected");
                }
            })
        })
        .collect();
    let weak = sender.downgrade();
    drop(sender);
    let mut arrivals = Arrivals::default();
    let mut many = Vec::new();
    loop {
        asked.fetch_add(1, Ordering::SeqCst);
        assert!(receiver.len() <= CAPACITY);
        let Some(value) = receiver.blocking_recv() else {
            break;
        };
        arrivals.see(value);
        if value.1 % 1000 == 0 {
            asked.fetch_add(7, Ordering::SeqCst);
            let count = block_on(receiver.recv_many(&mut many, 7));
            asked.fetch_sub(7 - count, Ordering::SeqCst);
            many.drain(..).for_each(|it| arrivals.see(it));
        }
    }
    arrivals.assert_all();
    senders.into_iter().for_each(|it| it.join().unwrap());
    assert!(weak.upgrade().is_none());
}

#[test]
fn two_threads_play_ping_pong() {
    let (ping, mut pings) = mpsc::channel(1);
    let (pong, mut pongs) = mpsc::channel(1);
    let other = thread::spawn(move || {
        block_on(async {
            while let Some(value) = pings.recv().await {
                pong.send(value).await.unwrap();
            }
        })
    });
    for number in 0..10_000 {
        ping.blocking_send(number).unwrap();
        assert_eq!(pongs.blocking_recv(), Some(number));
    }
    drop(ping);
    other.join().unwrap();
    assert_eq!(pongs.blocking_recv(), None);
}

#[test]
fn oneshots_cross_threads() {
    for number in 0..1_000 {
        let (sender, receiver) = oneshot::channel();
        let other = thread::spawn(move || match number % 2 {
            0 => sender.send(number),
            _ => {
                drop(sender);
                Ok(())
            }
        });
        match number % 4 {
            0 => assert_eq!(block_on(receiver), Ok(number)),
            1 => assert!(block_on(receiver).is_err()),
            2 => assert_eq!(receiver.blocking_recv(), Ok(number)),
            _ => assert!(receiver.blocking_recv().is_err()),
        }
        other.join().unwrap().unwrap();
    }
}

#[test]
fn threads_that_come_and_go_lose_no_value() {
    // Senders are cloned, dropped and upgraded meanwhile, and some sends are given up.
    let count = Arc::new(AtomicUsize::new(0));
    let (sender, mut receiver) = mpsc::channel(3);
    let threads: Vec<_> = (0..THREADS as u64)
        .map(|seed| {
            let (sender, count) = (sender.clone(), count.clone());
            thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut sent = 0;
                for _ in 0..5_000 {
                    let weak = sender.clone().downgrade();
                    let sender = weak.upgrade().expect("there is one");
                    let mut sending = sender.send(Live::new(&count));
                    let mut result = poll(&mut sending);
                    if result.is_pending() && random.bool() {
                        thread::yield_now();
                        result = poll(&mut sending);
                    }
                    sent += usize::from(result.is_ready());
                }
                sent
            })
        })
        .collect();
    let first_sender = sender;
    let receiving = thread::spawn(move || {
        let mut received = 0;
        while receiver.blocking_recv().is_some() {
            received += 1;
        }
        received
    });
    let sent: usize = threads.into_iter().map(|it| it.join().unwrap()).sum();
    drop(first_sender);
    assert_eq!(receiving.join().unwrap(), sent);
    assert_eq!(live(&count), 0);
}

#[test]
fn receivers_that_go_away_leave_no_value_and_no_sender_waiting() {
    let count = Arc::new(AtomicUsize::new(0));
    for round in 0..200 {
        let (sender, mut receiver) = mpsc::channel(2);
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (sender, count) = (sender.clone(), count.clone());
                thread::spawn(move || while sender.blocking_send(Live::new(&count)).is_ok() {})
            })
            .collect();
        for _ in 0..round % 10 {
            assert!(receiver.blocking_recv().is_some());
        }
        if round % 2 == 0 {
            receiver.close();
            while receiver.blocking_recv().is_some() {}
        }
        drop(receiver);
        senders.into_iter().for_each(|it| it.join().unwrap());
        // The channel is still there.
        assert_eq!((live(&count), sender.is_closed()), (0, true));
    }
}

// SY06
#[test]
fn the_length_and_the_room_are_right_at_every_step() {
    let (sender, mut receiver) = mpsc::channel(2);
    assert_eq!((receiver.len(), sender.capacity()), (0, 2));
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!((receiver.len(), sender.capacity()), (2, 0));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    let mut waits = sender.send(3);
    assert!(poll(&mut waits).is_pending());
    assert_eq!((receiver.len(), sender.capacity()), (2, 0));
    assert_eq!(receiver.try_recv(), Ok(1));
    // The room is the waiting one's.
    assert_eq!((receiver.len(), sender.capacity()), (1, 0));
    drop(waits);
    assert_eq!((receiver.len(), sender.capacity()), (1, 1));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((receiver.len(), sender.capacity()), (0, 2));
    assert_eq!(sender.max_capacity(), 2);
    drop(sender);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert!(receiver.is_closed());
}

// SY06
#[test]
fn a_dropped_receiver_drops_what_is_there_and_gives_back_what_comes() {
    let count = Arc::new(AtomicUsize::new(0));
    let (sender, mut receiver) = mpsc::channel(2);
    sender.try_send(Live::new(&count)).unwrap();
    sender.try_send(Live::new(&count)).unwrap();
    let (wakes, waker) = Count::new();
    let mut waits = sender.send(Live::new(&count));
    let mut granted = sender.send(Live::new(&count));
    assert!(poll_with(&mut granted, &waker).is_pending());
    assert!(poll_with(&mut waits, &waker).is_pending());
    // One is in the receiver's batch, one has room already, one waits.
    drop(receiver.try_recv());
    assert_eq!((live(&count), wakes.wakes()), (3, 1));
    let mut closed = sender.closed();
    assert!(poll_with(&mut closed, &waker).is_pending());
    drop(receiver);
    assert_eq!((live(&count), wakes.wakes()), (2, 3));
    assert!(poll(&mut closed).is_ready() && poll(&mut closed).is_ready());
    assert!(matches!(poll(&mut granted), Poll::Ready(Err(SendError(_)))));
    assert!(matches!(poll(&mut waits), Poll::Ready(Err(SendError(_)))));
    assert_eq!(live(&count), 0);
    let refused = sender.try_send(Live::new(&count));
    assert!(matches!(refused, Err(TrySendError::Closed(_))));
    assert!(block_on(sender.send(Live::new(&count))).is_err());
    assert!(sender.blocking_send(Live::new(&count)).is_err());
}

// SY06
#[test]
fn what_was_sent_before_a_close_is_received_after_it() {
    let (sender, mut receiver) = mpsc::channel(2);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let mut waits = sender.send(3);
    assert!(poll(&mut waits).is_pending());
    receiver.close();
    receiver.close();
    assert_eq!(poll(&mut waits), Poll::Ready(Err(SendError(3))));
    assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
    assert!(sender.is_closed() && receiver.is_closed());
    assert_eq!(receiver.len(), 2);
    assert_eq!(block_on(receiver.recv()), Some(1));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(block_on(receiver.recv()), None);
    assert_eq!(block_on(receiver.recv()), None);
}

#[test]
fn the_last_sender_ends_the_channel_and_weak_ones_do_not_keep_it() {
    let (sender, mut receiver) = mpsc::unbounded();
    let (other, weak) = (sender.clone(), sender.downgrade());
    let (wakes, waker) = Count::new();
    assert!(sender.same_channel(&other));
    assert!(!sender.same_channel(&mpsc::unbounded().0));
    drop(sender);
    {
        let mut receiving = receiver.recv();
        assert!(poll_with(&mut receiving, &waker).is_pending());
    }
    weak.upgrade().unwrap().send(1).unwrap();
    assert_eq!(wakes.wakes(), 1);
    drop(other);
    assert!(weak.clone().upgrade().is_none());
    assert!(receiver.is_closed() && !receiver.is_empty());
    assert_eq!(block_on(receiver.recv()), Some(1));
    assert_eq!(block_on(receiver.recv()), None);
}

// SY01
#[test]
fn a_sender_that_was_given_room_and_is_dropped_passes_it_on() {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(1).unwrap();
    let (first_wakes, first_waker) = Count::new();
    let (second_wakes, second_waker) = Count::new();
    let mut first = sender.send(2);
    let mut second = sender.send(3);
    assert!(poll_with(&mut first, &first_waker).is_pending());
    assert!(poll_with(&mut second, &second_waker).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!((first_wakes.wakes(), second_wakes.wakes()), (1, 0));
    drop(first);
    assert_eq!((first_wakes.wakes(), second_wakes.wakes()), (1, 1));
    assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(sender.capacity(), 1);
}

// SY02
#[test]
fn room_goes_to_those_who_wait_in_their_order_and_nobody_barges() {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(0).unwrap();
    let wakers: Vec<_> = (0..101).map(|_| Count::new()).collect();
    let mut sends: VecDeque<_> = (1..=100).map(|number| sender.send(number)).collect();
    for (send, (_, waker)) in sends.iter_mut().zip(&wakers[1..]) {
        assert!(poll_with(send, waker).is_pending());
    }
    // Every third one gives up.
    let mut number = 0;
    sends.retain(|_| {
        number += 1;
        number % 3 != 0
    });
    let mut expected = (1..=100).filter(|it| it % 3 != 0);
    assert_eq!(receiver.try_recv(), Ok(0));
    for mut send in sends {
        let number = expected.next().unwrap();
        let woken: Vec<_> = (0..101).filter(|&it| wakers[it].0.wakes() > 0).collect();
        assert_eq!(woken.last(), Some(&number));
        assert_eq!(sender.try_send(999), Err(TrySendError::Full(999)));
        assert!(poll(&mut sender.send(999)).is_pending());
        assert_eq!(poll(&mut send), Poll::Ready(Ok(())));
        assert_eq!(receiver.try_recv(), Ok(number));
    }
    assert_eq!(expected.next(), None);
    assert_eq!(sender.capacity(), 1);
}

// SY13
#[test]
fn waits_that_were_given_up_leave_no_waker() {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(0).unwrap();
    let (wakes, waker) = Count::new();
    let mut first = sender.send(1);
    assert!(poll_with(&mut first, &waker).is_pending());
    for _ in 0..10_000 {
        let (mut send, mut closed) = (sender.send(2), sender.closed());
        assert!(poll_with(&mut send, &waker).is_pending());
        assert!(poll_with(&mut closed, &waker).is_pending());
        assert!(poll_with(&mut send, &waker).is_pending());
    }
    // `wakes`, `waker`, and the one who waits.
    assert_eq!(Arc::strong_count(&wakes), 3);
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(Arc::strong_count(&wakes), 2);
    assert_eq!(poll(&mut first), Poll::Ready(Ok(())));
    drop(receiver);
    assert_eq!((Arc::strong_count(&wakes), wakes.wakes()), (2, 1));
}

#[test]
fn the_last_poll_says_whom_to_wake() {
    let (sender, mut receiver) = mpsc::channel(1);
    let (stale, stale_waker) = Count::new();
    let (last, last_waker) = Count::new();
    for waker in [&stale_waker, &last_waker] {
        assert!(poll_with(&mut receiver.recv(), waker).is_pending());
    }
    sender.try_send(1).unwrap();
    assert_eq!((stale.wakes(), last.wakes()), (0, 1));
    let (mut send, mut closed) = (sender.send(2), sender.closed());
    for waker in [&stale_waker, &last_waker] {
        assert!(poll_with(&mut send, waker).is_pending());
        assert!(poll_with(&mut closed, waker).is_pending());
    }
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!((stale.wakes(), last.wakes()), (0, 2));
    receiver.close();
    assert_eq!((stale.wakes(), last.wakes()), (0, 3));
    assert_eq!(Arc::strong_count(&stale), 2);

    let (mut sender, mut receiver) = oneshot::channel();
    for waker in [&stale_waker, &last_waker] {
        assert!(poll_with(&mut receiver, waker).is_pending());
        assert!(poll_with(&mut sender.closed(), waker).is_pending());
    }
    sender.send(1).unwrap();
    assert_eq!((stale.wakes(), last.wakes()), (0, 4));
    assert_eq!(
        (Arc::strong_count(&stale), Arc::strong_count(&last)),
        (2, 2)
    );
    assert_eq!(poll(&mut receiver), Poll::Ready(Ok(1)));
}

#[test]
fn a_receiver_that_does_not_sleep_is_not_woken() {
    let (sender, mut receiver) = mpsc::unbounded();
    let (wakes, waker) = Count::new();
    assert!(poll_with(&mut receiver.recv(), &waker).is_pending());
    for number in 0..10 {
        sender.send(number).unwrap();
    }
    assert_eq!(wakes.wakes(), 1);
    for number in 0..10 {
        assert_eq!(
            poll_with(&mut receiver.recv(), &waker),
            Poll::Ready(Some(number))
        );
        sender.send(number).unwrap();
    }
    assert_eq!(wakes.wakes(), 1);
}

#[test]
fn many_values_come_at_once_also_where_one_was_taken_before() {
    let (sender, mut receiver) = mpsc::unbounded();
    let mut values = vec![100];
    assert_eq!(block_on(receiver.recv_many(&mut values, 0)), 0);
    (0..4).for_each(|it| sender.send(it).unwrap());
    assert_eq!(block_on(receiver.recv()), Some(0));
    (4..10).for_each(|it| sender.send(it).unwrap());
    assert_eq!(block_on(receiver.recv_many(&mut values, 5)), 5);
    assert_eq!(values, [100, 1, 2, 3, 4, 5]);
    assert_eq!((receiver.len(), receiver.is_empty()), (4, false));
    drop(sender);
    assert_eq!(block_on(receiver.recv_many(&mut values, 100)), 4);
    assert_eq!(block_on(receiver.recv_many(&mut values, 100)), 0);
    assert_eq!(values.len(), 10);
}

#[test]
fn a_receiver_is_a_stream() {
    let (sender, receiver) = mpsc::channel(8);
    (0..5).for_each(|it| sender.try_send(it).unwrap());
    drop(sender);
    assert_eq!(receiver.size_hint().0, 5);
    assert_eq!(block_on(receiver.collect::<Vec<_>>()), [0, 1, 2, 3, 4]);
}

#[test]
fn a_oneshot_ends_in_every_way() {
    let (sender, mut receiver) = oneshot::channel();
    assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Empty));
    sender.send(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Closed));
    assert!(block_on(&mut receiver).is_err());

    let (sender, mut receiver) = oneshot::channel();
    receiver.close();
    assert!(sender.is_closed());
    assert_eq!(sender.send(1), Err(1));
    assert!(block_on(receiver).is_err());

    let (sender, mut receiver) = oneshot::channel();
    sender.send(1).unwrap();
    receiver.close();
    assert_eq!(block_on(receiver), Ok(1));

    let count = Arc::new(AtomicUsize::new(0));
    let (mut sender, receiver) = oneshot::channel();
    let (wakes, waker) = Count::new();
    assert!(poll_with(&mut sender.closed(), &waker).is_pending());
    drop(receiver);
    assert_eq!(wakes.wakes(), 1);
    block_on(sender.closed());
    assert!(sender.send(Live::new(&count)).is_err());
    let (sender, receiver) = oneshot::channel();
    assert!(sender.send(Live::new(&count)).is_ok());
    assert_eq!(live(&count), 1);
    drop(receiver);
    assert_eq!(live(&count), 0);
}

/// What a waker does when it is woken, and when the last of its clones is dropped. (To do it when it is cloned too, it
/// would have to be made of unsafe code.)
struct Meddling<F: Fn() + Send + Sync + 'static>(F);

impl<F: Fn() + Send + Sync + 'static> Meddling<F> {
    fn waker(meddle: F) -> Waker {
        Waker::from(Arc::new(Meddling(meddle)))
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for Meddling<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

impl<F: Fn() + Send + Sync + 'static> Drop for Meddling<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

// SY12
#[test]
fn wakers_may_use_the_channel_that_wakes_or_drops_them() {
    let (sender, receiver) = mpsc::channel::<u8>(1);
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let meddle = {
        let (sender, receiver) = (sender.downgrade(), receiver.clone());
        move || {
            if let Some(sender) = sender.upgrade() {
                let _ = sender.try_send(1);
                let _ = poll(&mut sender.send(2));
                let _ = poll(&mut sender.closed());
                let _ = (sender.capacity(), sender.is_closed());
            }
            if let Ok(mut receiver) = receiver.try_lock()
                && let Some(receiver) = receiver.as_mut()
            {
                let _ = receiver.try_recv();
            }
        }
    };
    let poll_recv = |waker: &Waker| {
        let mut receiver = receiver.lock().unwrap();
        poll_with(&mut receiver.as_mut().unwrap().recv(), waker).is_pending()
    };
    while receiver
        .lock()
        .unwrap()
        .as_mut()
        .unwrap()
        .try_recv()
        .is_ok()
    {}
    // Replaced by another one, which drops it; woken by a value; and dropped with the receiver.
    assert!(poll_recv(&Meddling::waker(meddle.clone())));
    let _ = poll_recv(&Meddling::waker(meddle.clone()));
    let _ = sender.try_send(3);
    let mut send = sender.send(4);
    let mut closed = sender.closed();
    for _ in 0..2 {
        let _ = poll_with(&mut send, &Meddling::waker(meddle.clone()));
        let _ = poll_with(&mut closed, &Meddling::waker(meddle.clone()));
    }
    let _ = receiver.lock().unwrap().as_mut().unwrap().try_recv();
    let _ = poll_recv(&Meddling::waker(meddle.clone()));
    let gone = receiver.lock().unwrap().take();
    drop(gone);
    drop((send, closed));
    assert!(sender.is_closed());
}

// SY12
#[test]
fn wakers_of_a_oneshot_may_use_it() {
    type Ends = (Option<oneshot::Sender<u8>>, Option<oneshot::Receiver<u8>>);
    let (sender, receiver) = oneshot::channel::<u8>();
    let ends = Arc::new(Mutex::new((Some(sender), Some(receiver))));
    let meddle = |ends: &Arc<Mutex<Ends>>| {
        let ends = ends.clone();
        move || {
            if let Ok(mut ends) = ends.try_lock() {
                let _ = ends.0.as_ref().map(|it| it.is_closed());
                let _ = ends.1.as_mut().map(|it| it.try_recv());
            }
        }
    };
    for _ in 0..2 {
        let mut guard = ends.lock().unwrap();
        let receiver = guard.1.as_mut().unwrap();
        assert!(poll_with(receiver, &Meddling::waker(meddle(&ends))).is_pending());
        let sender = guard.0.as_mut().unwrap();
        assert!(poll_with(&mut sender.closed(), &Meddling::waker(meddle(&ends))).is_pending());
    }
    let sender = ends.lock().unwrap().0.take().unwrap();
    sender.send(1).unwrap();
    let receiver = ends.lock().unwrap().1.take().unwrap();
    drop(receiver);
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

fn assert_panics(f: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a waker that panics"));
}

// SY14
#[test]
fn a_waker_that_panics_does_not_keep_the_others_from_being_woken() {
    for end in [Receiver::close, |receiver: &mut Receiver<u8>| {
        *receiver = mpsc::channel(1).1;
    }] {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(0).unwrap();
        let (wakes, waker) = Count::new();
        let panicking = Waker::from(Arc::new(Panicking));
        let mut sends: Vec<_> = (0..10).map(|_| sender.send(1)).collect();
        let mut watches: Vec<_> = (0..10).map(|_| sender.closed()).collect();
        for (number, send) in sends.iter_mut().enumerate() {
            let waker = if number == 2 { &panicking } else { &waker };
            assert!(poll_with(send, waker).is_pending());
        }
        for watch in &mut watches {
            assert!(poll_with(watch, &waker).is_pending());
        }
        assert_panics(|| end(&mut receiver));
        assert_eq!(wakes.wakes(), 19);
        for send in &mut sends {
            assert_eq!(poll(send), Poll::Ready(Err(SendError(1))));
        }
    }
}

// SY14
#[test]
fn a_waker_that_panics_costs_no_value() {
    let panicking = Waker::from(Arc::new(Panicking));
    let (sender, mut receiver) = mpsc::channel(2);
    assert!(poll_with(&mut receiver.recv(), &panicking).is_pending());
    assert_panics(|| assert!(sender.try_send(1).is_ok()));
    sender.try_send(2).unwrap();
    let (wakes, waker) = Count::new();
    let (mut third, mut fourth) = (sender.send(3), sender.send(4));
    assert!(poll_with(&mut third, &panicking).is_pending());
    assert!(poll_with(&mut fourth, &waker).is_pending());
    assert_panics(|| assert!(receiver.try_recv().is_ok()));
    assert_eq!(poll(&mut third), Poll::Ready(Ok(())));
    assert_eq!(receiver.len(), 3);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!((wakes.wakes(), sender.capacity()), (0, 0));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(wakes.wakes(), 1);
    assert_eq!(poll(&mut fourth), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(receiver.try_recv(), Ok(4));
    assert_eq!(sender.capacity(), 2);

    // Many at once: those who wait are all woken.
    let (sender, mut receiver) = mpsc::channel(2);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let (mut third, mut fourth) = (sender.send(3), sender.send(4));
    assert!(poll_with(&mut third, &panicking).is_pending());
    assert!(poll_with(&mut fourth, &waker).is_pending());
    let mut values = Vec::new();
    assert_panics(|| assert!(poll(&mut receiver.recv_many(&mut values, 8)).is_ready()));
    assert_eq!((values, wakes.wakes()), (vec![1, 2], 2));

    // The last sender, and both ends of a oneshot.
    assert!(poll(&mut third).is_ready() && poll(&mut fourth).is_ready());
    drop((third, fourth));
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(receiver.try_recv(), Ok(4));
    assert!(poll_with(&mut receiver.recv(), &panicking).is_pending());
    assert_panics(|| drop(sender));
    assert_eq!(block_on(receiver.recv()), None);
    let (sender, mut receiver) = oneshot::channel();
    assert!(poll_with(&mut receiver, &panicking).is_pending());
    assert_panics(|| sender.send(1).unwrap());
    assert_eq!(block_on(receiver), Ok(1));
    let (mut sender, receiver) = oneshot::channel();
    assert!(poll_with(&mut sender.closed(), &panicking).is_pending());
    assert_panics(|| drop(receiver));
    assert_eq!(sender.send(1), Err(1));
}

/// A message that sends another one through the same channel when it is dropped.
struct Echo {
    to: mpsc::WeakUnboundedSender<Echo>,
    times: usize,
    live: Live,
}

impl Drop for Echo {
    fn drop(&mut self) {
        let Some(sender) = self.to.upgrade() else {
            return;
        };
        assert!(sender.is_closed() || self.times < 100);
        if self.times > 0 {
            let _ = sender.send(Echo {
                to: self.to.clone(),
                times: self.times - 1,
                live: Live(self.live.0.clone()),
            });
            self.live.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SY15
#[test]
fn messages_may_use_the_channel_when_they_are_dropped() {
    let count = Arc::new(AtomicUsize::new(0));
    let (sender, mut receiver) = mpsc::unbounded();
    let echo = |times| Echo {
        to: sender.downgrade(),
        times,
        live: Live::new(&count),
    };
    assert!(sender.send(echo(3)).is_ok());
    let mut received = 0;
    while let Ok(message) = receiver.try_recv() {
        received += 1;
        drop(message);
    }
    assert_eq!((received, live(&count)), (4, 0));
    for _ in 0..3 {
        assert!(sender.send(echo(3)).is_ok());
    }
    drop(receiver.try_recv());
    drop(receiver);
    assert_eq!(live(&count), 0);
    assert!(sender.send(echo(3)).is_err());
    assert_eq!(live(&count), 0);
}

// SY15
#[test]
fn messages_may_hold_the_ends_of_their_channel() {
    thread_local! {
        static DROPPED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    struct Message(u8, #[allow(dead_code)] Option<UnboundedSender<Message>>);
    impl Drop for Message {
        fn drop(&mut self) {
            DROPPED.with_borrow_mut(|dropped| dropped.push(self.0));
        }
    }
    let (sender, mut receiver) = mpsc::unbounded();
    for number in 0..4 {
        assert!(sender.send(Message(number, Some(sender.clone()))).is_ok());
    }
    drop(sender);
    drop(receiver.try_recv());
    assert!(!receiver.is_closed());
    drop(receiver);
    assert_eq!(DROPPED.take(), [0, 1, 2, 3]);

    let (sender, receiver) = oneshot::channel::<Box<dyn Send>>();
    let (other, other_receiver) = oneshot::channel::<u8>();
    assert!(sender.send(Box::new(other)).is_ok());
    drop(receiver);
    assert!(block_on(other_receiver).is_err());
}

#[test]
fn a_busy_receiver_and_a_busy_sender_let_others_have_their_turn() {
    let (sender, mut receiver) = mpsc::channel(1000);
    let (wakes, waker) = Count::new();
    let most = usize::from(budget::OPERATIONS);
    budget::start();
    let sent = (0..1000).take_while(|&it| poll_with(&mut sender.send(it), &waker).is_ready());
    assert_eq!((sent.count(), wakes.wakes()), (most, 1));
    budget::start();
    let received = (0..).take_while(|_| poll_with(&mut receiver.recv(), &waker).is_ready());
    assert_eq!((received.count(), wakes.wakes()), (most, 2));
    // What waits after all takes nothing from the budget.
    budget::start();
    for _ in 0..1000 {
        assert!(poll_with(&mut receiver.recv(), &waker).is_pending());
        assert!(poll_with(&mut sender.closed(), &waker).is_pending());
    }
    assert!(!budget::is_spent());
    assert_eq!(wakes.wakes(), 2);
    budget::end();
}

#[test]
fn a_dump_sees_what_is_waited_for() {
    let task = current::set_task_id(Some(TaskId::new(1, 1)));
    let kind = || {
        let label = wait::Label::from_u64(wait::take()).unwrap();
        resource::find(label).unwrap().kind
    };
    let (sender, mut receiver) = mpsc::channel(1);
    assert!(poll(&mut receiver.recv()).is_pending());
    assert_eq!(kind(), "remote::mpsc");
    sender.try_send(1).unwrap();
    assert!(poll(&mut sender.send(1)).is_pending());
    assert_eq!(kind(), "remote::mpsc");
    assert!(poll(&mut sender.closed()).is_pending());
    assert_eq!(kind(), "remote::mpsc");
    let (_sender, mut receiver) = oneshot::channel::<u8>();
    assert!(poll(&mut receiver).is_pending());
    assert_eq!(kind(), "remote::oneshot");
    current::set_task_id(task);
}

#[test]
fn a_task_is_told_not_to_block() {
    let (sender, mut receiver) = mpsc::channel::<u8>(1);
    let (_sender, oneshot) = oneshot::channel::<u8>();
    type Call<'a> = (&'static str, Box<dyn FnOnce() + 'a>);
    let calls: [Call<'_>; 3] = [
        (
            "blocking_send",
            Box::new(|| sender.blocking_send(1).unwrap()),
        ),
        (
            "blocking_recv",
            Box::new(|| assert!(receiver.blocking_recv().is_none())),
        ),
        (
            "blocking_recv",
            Box::new(|| assert!(oneshot.blocking_recv().is_err())),
        ),
    ];
    for (method, call) in calls {
        let task = current::set_task_id(Some(TaskId::new(1, 1)));
        let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        current::set_task_id(task);
        let message = panic.downcast::<String>().unwrap();
        assert!(message.starts_with(method), "{message}");
        assert!(message.contains("await"), "{message}");
    }
}

#[test]
#[should_panic = "use 1 or more"]
fn a_capacity_of_zero_is_refused() {
    let _ = mpsc::channel::<u8>(0);
}

#[test]
fn a_capacity_beyond_all_memory_is_as_good_as_none() {
    let (sender, mut receiver) = mpsc::channel(usize::MAX);
    sender.try_send(1).unwrap();
    assert_eq!(sender.capacity(), sender.max_capacity() - 1);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(sender.capacity(), sender.max_capacity());
}

// XS04
#[test]
fn what_the_types_may_be_used_for() {
    type NotSync = std::cell::Cell<u8>;
    type NotUnpin = (std::marker::PhantomPinned, NotSync);
    fn crosses<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
    fn moves<T: Send + Unpin>() {}
    crosses::<Sender<NotUnpin>>();
    crosses::<UnboundedSender<NotUnpin>>();
    crosses::<mpsc::WeakSender<NotUnpin>>();
    crosses::<mpsc::WeakUnboundedSender<NotUnpin>>();
    crosses::<oneshot::Sender<NotUnpin>>();
    crosses::<oneshot::Receiver<NotUnpin>>();
    moves::<Receiver<NotUnpin>>();
    moves::<mpsc::Sending<'static, NotUnpin>>();
    moves::<mpsc::Closing<'static, NotUnpin>>();
    moves::<mpsc::Receiving<'static, NotUnpin>>();
    moves::<oneshot::Closing<'static, NotUnpin>>();
    let (sender, receiver) = mpsc::channel::<NotUnpin>(1);
    assert_eq!(format!("{sender:?}"), "Sender { is_closed: false, .. }");
    assert_eq!(
        format!("{receiver:?}"),
        "Receiver { len: 0, is_closed: false, .. }"
    );
    let send = pin!(sender.send((std::marker::PhantomPinned, NotSync::new(1))));
    assert_eq!(block_on(send), Ok(()));
}
