//! `tulipa::sync`.

use std::future::Future;
use std::rc::Rc;

use futures_util::FutureExt;
use tulipa::sync::{
    Barrier, Event, Lock, LockGuard, Permit, Semaphore, broadcast, mpsc, oneshot, remote,
};

use super::{OPEN, Primitives};

/// tulipa's.
pub(crate) struct Tulipa;

impl Primitives for Tulipa {
    type Lock = Lock<u64>;
    type Semaphore = Semaphore;
    type Queue<T: 'static> = Queue;
    type Mpsc<T: 'static> = Mpsc;
    type Oneshot<T: 'static> = Oneshot;
    type Broadcast = Broadcast;
    type Barrier = Barrier;
    type Event = Event;
    type Remote = Remote;
}

impl super::Lock for Lock<u64> {
    type Guard<'a> = LockGuard<'a, u64>;

    fn new() -> Self {
        Lock::new(0)
    }

    #[inline]
    fn lock(&self) -> impl Future<Output = LockGuard<'_, u64>> {
        self.lock()
    }
}

impl super::Semaphore for Semaphore {
    type Permit<'a> = Permit<'a>;

    fn new(permits: usize) -> Self {
        Semaphore::new(permits)
    }

    #[inline]
    fn acquire(&self) -> impl Future<Output = Permit<'_>> {
        self.acquire().map(|permit| permit.expect(OPEN))
    }
}

pub(crate) enum Queue {}

impl<T: 'static> super::Channel<T> for Queue {
    type Sender = Rc<tulipa::sync::Queue<T>>;
    type Receiver = Rc<tulipa::sync::Queue<T>>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        let queue = Rc::new(tulipa::sync::Queue::bounded(capacity));
        (queue.clone(), queue)
    }

    fn another(sender: &Self::Sender) -> Self::Sender {
        sender.clone()
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: T) -> impl Future<Output = ()> {
        sender
            .put(value)
            .map(|sent| assert!(sent.is_ok(), "{OPEN}"))
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = T> {
        receiver.get().map(|value| value.expect(OPEN))
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
        let (sender, first) = broadcast::channel(capacity);
        let mut all = vec![first];
        all.resize_with(receivers, || sender.subscribe());
        (sender, all)
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

impl super::Event for Event {
    fn new() -> Self {
        Event::new()
    }

    #[inline]
    fn happen(&self) {
        // As a program has it; `pulse` does it in one step.
        self.set();
        self.clear();
    }

    #[inline]
    fn wait(&self) -> impl Future<Output = ()> {
        self.wait()
    }
}

pub(crate) enum Remote {}

impl super::Remote for Remote {
    type Sender = remote::mpsc::Sender<u64>;
    type Receiver = remote::mpsc::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        remote::mpsc::channel(capacity)
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
