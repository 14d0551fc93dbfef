//! `tokio::sync`. All of it may be used from several threads. There is no queue but the channel.

use std::future::Future;

use futures_util::FutureExt;
use tokio::sync::{
    Barrier, Mutex, MutexGuard, Notify, Semaphore, SemaphorePermit, broadcast, mpsc, oneshot,
};

use super::{OPEN, Primitives};

/// tokio's.
pub(crate) struct Tokio;

impl Primitives for Tokio {
    type Lock = Mutex<u64>;
    type Semaphore = Semaphore;
    type Queue<T: 'static> = Mpsc;
    type Mpsc<T: 'static> = Mpsc;
    type Oneshot<T: 'static> = Oneshot;
    type Broadcast = Broadcast;
    type Barrier = Barrier;
    type Event = Notify;
    type Remote = Mpsc;
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
    type Permit<'a> = SemaphorePermit<'a>;

    fn new(permits: usize) -> Self {
        Semaphore::new(permits)
    }

    #[inline]
    fn acquire(&self) -> impl Future<Output = SemaphorePermit<'_>> {
        self.acquire().map(|permit| permit.expect(OPEN))
    }
}

pub(crate) enum Mpsc {}

impl<T: 'static> super::Channel<T> for Mpsc {
    type Sender = mpsc::Sender<T>;
    type Receiver = mpsc::Receiver<T>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
    }

    fn another(sender: &Self::Sender) -> Self::Sender {
        sender.clone()
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: T) -> impl Future<Output = ()> {
        sender
            .send(value)
            .map(|sent| assert!(sent.is_ok(), "{OPEN}"))
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = T> {
        receiver.recv().map(|value| value.expect(OPEN))
    }
}

impl super::Remote for Mpsc {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
    }

    #[inline]
    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = ()> {
        sender.send(value).map(|sent| sent.expect(OPEN))
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = u64> {
        receiver.recv().map(|value| value.expect(OPEN))
    }
}

pub(crate) enum Oneshot {}

impl<T: 'static> super::Oneshot<T> for Oneshot {
    type Sender = oneshot::Sender<T>;
    type Receiver = oneshot::Receiver<T>;

    #[inline]
    fn new() -> (Self::Sender, Self::Receiver) {
        oneshot::channel()
    }

    #[inline]
    fn send(sender: Self::Sender, value: T) {
        assert!(sender.send(value).is_ok(), "{OPEN}");
    }

    #[inline]
    fn recv(receiver: Self::Receiver) -> impl Future<Output = T> {
        receiver.map(|value| value.expect(OPEN))
    }
}

pub(crate) enum Broadcast {}

impl super::Broadcast for Broadcast {
    type Sender = broadcast::Sender<u64>;
    type Receiver = broadcast::Receiver<u64>;

    fn new(capacity: usize, receivers: usize) -> (Self::Sender, Vec<Self::Receiver>) {
        let sender = broadcast::Sender::new(capacity);
        let receivers = (0..receivers).map(|_| sender.subscribe()).collect();
        (sender, receivers)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        sender.send(value).expect(OPEN);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = u64> {
        receiver.recv().map(|value| value.expect(OPEN))
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

impl super::Event for Notify {
    fn new() -> Self {
        Notify::new()
    }

    #[inline]
    fn happen(&self) {
        self.notify_waiters();
    }

    #[inline]
    fn wait(&self) -> impl Future<Output = ()> {
        self.notified()
    }
}
