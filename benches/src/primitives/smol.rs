//! What smol's users take: `async-lock`, `async-channel`, `async-broadcast`, `event-listener`. All of it may be used from
//! several threads. A channel of one stands in for a oneshot one.

use std::future::Future;

use async_broadcast::{Receiver as BroadcastReceiver, Sender as BroadcastSender};
use async_channel::{Receiver, Sender};
use async_lock::{Barrier, Mutex, MutexGuard, Semaphore, SemaphoreGuard};
use event_listener::Event;
use futures_util::FutureExt;

use super::{OPEN, Primitives};

/// smol's.
pub(crate) struct Smol;

impl Primitives for Smol {
    type Lock = Mutex<u64>;
    type Semaphore = Semaphore;
    type Queue<T: 'static> = Channel;
    type Mpsc<T: 'static> = Channel;
    type Oneshot<T: 'static> = ChannelOfOne;
    type Broadcast = Broadcast;
    type Barrier = Barrier;
    type Event = Event;
    type Remote = Channel;
}

impl super::Lock for Mutex<u64> {
    type Guard<'a> = MutexGuard<'a, u64>;

    fn new() -> Self {
        Mutex::new(0)
    }

    #[inline]
    fn lock(&self) -> impl Future<Output = MutexGuard<'_, u64>> {
        self.lock()
    }
}

impl super::Semaphore for Semaphore {
    type Permit<'a> = SemaphoreGuard<'a>;

    fn new(permits: usize) -> Self {
        Semaphore::new(permits)
    }

    #[inline]
    fn acquire(&self) -> impl Future<Output = SemaphoreGuard<'_>> {
        self.acquire()
    }
}

pub(crate) enum Channel {}

impl<T: 'static> super::Channel<T> for Channel {
    type Sender = Sender<T>;
    type Receiver = Receiver<T>;

    fn bounded(capacity: usize) -> (Sender<T>, Receiver<T>) {
        async_channel::bounded(capacity)
    }

    fn another(sender: &Sender<T>) -> Sender<T> {
        sender.clone()
    }

    #[inline]
    fn send(sender: &mut Sender<T>, value: T) -> impl Future<Output = ()> {
        sender
            .send(value)
            .map(|sent| assert!(sent.is_ok(), "{OPEN}"))
    }

    #[inline]
    fn recv(receiver: &mut Receiver<T>) -> impl Future<Output = T> {
        receiver.recv().map(|value| value.expect(OPEN))
    }
}

impl super::Remote for Channel {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn bounded(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        async_channel::bounded(capacity)
    }

    #[inline]
    fn send(sender: &Sender<u64>, value: u64) -> impl Future<Output = ()> {
        sender.send(value).map(|sent| sent.expect(OPEN))
    }

    #[inline]
    fn recv(receiver: &mut Receiver<u64>) -> impl Future<Output = u64> {
        receiver.recv().map(|value| value.expect(OPEN))
    }
}

pub(crate) enum ChannelOfOne {}

impl<T: 'static> super::Oneshot<T> for ChannelOfOne {
    type Sender = Sender<T>;
    type Receiver = Receiver<T>;

    #[inline]
    fn new() -> (Sender<T>, Receiver<T>) {
        async_channel::bounded(1)
    }

    #[inline]
    fn send(sender: Sender<T>, value: T) {
        assert!(sender.try_send(value).is_ok(), "{OPEN}");
    }

    #[inline]
    async fn recv(receiver: Receiver<T>) -> T {
        receiver.recv().await.expect(OPEN)
    }
}

pub(crate) enum Broadcast {}

impl super::Broadcast for Broadcast {
    type Sender = BroadcastSender<u64>;
    type Receiver = BroadcastReceiver<u64>;

    fn new(capacity: usize, receivers: usize) -> (Self::Sender, Vec<Self::Receiver>) {
        let (sender, first) = async_broadcast::broadcast(capacity);
        let mut all = vec![first];
        all.resize_with(receivers, || sender.new_receiver());
        (sender, all)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        sender.try_broadcast(value).expect(OPEN);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = u64> {
        // `recv` is the same with an allocation.
        receiver.recv_direct().map(|value| value.expect(OPEN))
    }
}

impl super::Barrier for Barrier {
    fn new(tasks: usize) -> Self {
        Barrier::new(tasks)
    }

    #[inline]
    fn wait(&self) -> impl Future<Output = ()> {
        self.wait().map(drop)
    }
}

impl super::Event for Event {
    fn new() -> Self {
        Event::new()
    }

    #[inline]
    fn happen(&self) {
        self.notify(usize::MAX);
    }

    #[inline]
    fn wait(&self) -> impl Future<Output = ()> {
        self.listen()
    }
}
