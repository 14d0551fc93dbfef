//! `local-sync`, on monoio. For one thread. It has no lock, broadcast, barrier or event, and no queue but the channel.

use std::future::Future;

use futures_util::FutureExt;
use local_sync::mpsc::bounded;
use local_sync::oneshot;
use local_sync::semaphore::{Semaphore, SemaphorePermit};

use super::flume::Flume;
use super::missing::Missing;
use super::{OPEN, Primitives};

/// The package `local-sync`.
pub(crate) struct LocalSync;

impl Primitives for LocalSync {
    type Lock = Missing;
    type Semaphore = Semaphore;
    type Queue<T: 'static> = Mpsc;
    type Mpsc<T: 'static> = Mpsc;
    type Oneshot<T: 'static> = Oneshot;
    type Broadcast = Missing;
    type Barrier = Missing;
    type Event = Missing;
    type Remote = Flume;
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
    type Sender = bounded::Tx<T>;
    type Receiver = bounded::Rx<T>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        bounded::channel(capacity)
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
