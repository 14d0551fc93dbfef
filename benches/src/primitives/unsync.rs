//! `unsync`, on compio. For one thread. Its channel has one sender; it has no lock, barrier or event, and no queue but the
//! channel.

use std::future::Future;

use futures_util::FutureExt;
use unsync::semaphore::{Permit, Semaphore};
use unsync::{broadcast, oneshot, spsc};

use super::flume::Flume;
use super::missing::Missing;
use super::{OPEN, Primitives};

/// The package `unsync`.
pub(crate) struct Unsync;

impl Primitives for Unsync {
    type Lock = Missing;
    type Semaphore = Semaphore;
    type Queue<T: 'static> = Spsc;
    type Mpsc<T: 'static> = Spsc;
    type Oneshot<T: 'static> = Oneshot;
    type Broadcast = Broadcast;
    type Barrier = Missing;
    type Event = Missing;
    type Remote = Flume;
}

impl super::Semaphore for Semaphore {
    type Permit<'a> = Permit<'a>;

    fn new(permits: usize) -> Self {
        Semaphore::new(permits)
    }

    #[inline]
    fn acquire(&self) -> impl Future<Output = Permit<'_>> {
        self.acquire(1)
    }
}

pub(crate) enum Spsc {}

impl<T: 'static> super::Channel<T> for Spsc {
    type Sender = spsc::Sender<T>;
    type Receiver = spsc::Receiver<T>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        spsc::channel(capacity)
    }

    fn another(_: &Self::Sender) -> Self::Sender {
        unreachable!("the case's entrants leave this runtime out: there is one sender")
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
        let mut sender = broadcast::channel(capacity);
        let receivers = (0..receivers).map(|_| sender.subscribe()).collect();
        (sender, receivers)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, value: u64) {
        sender.try_send(value).expect(OPEN);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = u64> {
        receiver.recv().map(|value| value.expect(OPEN))
    }
}
