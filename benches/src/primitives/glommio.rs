//! glommio's own. For one thread. Its lock is a `RwLock` for writing, its channel of one stands in for a oneshot one, and its
//! senders share one by reference. It has no broadcast, barrier or event, and no queue but the channel.

use std::future::Future;
use std::rc::Rc;

use futures_util::FutureExt;
use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::sync::{Permit, RwLock, RwLockWriteGuard, Semaphore};

use super::flume::Flume;
use super::missing::Missing;
use super::{OPEN, Primitives};

/// glommio's.
pub(crate) struct Glommio;

impl Primitives for Glommio {
    type Lock = RwLock<u64>;
    type Semaphore = Semaphore;
    type Queue<T: 'static> = Channel;
    type Mpsc<T: 'static> = Channel;
    type Oneshot<T: 'static> = ChannelOfOne;
    type Broadcast = Missing;
    type Barrier = Missing;
    type Event = Missing;
    type Remote = Flume;
}

impl super::Lock for RwLock<u64> {
    type Guard<'a> = RwLockWriteGuard<'a, u64>;

    fn new() -> Self {
        RwLock::new(0)
    }

    #[inline]
    fn lock(&self) -> impl Future<Output = RwLockWriteGuard<'_, u64>> {
        self.write().map(|guard| guard.expect(OPEN))
    }
}

impl super::Semaphore for Semaphore {
    type Permit<'a> = Permit<'a>;

    fn new(permits: usize) -> Self {
        Semaphore::new(permits as u64)
    }

    #[inline]
    fn acquire(&self) -> impl Future<Output = Permit<'_>> {
        self.acquire_permit(1).map(|permit| permit.expect(OPEN))
    }
}

pub(crate) enum Channel {}

impl<T: 'static> super::Channel<T> for Channel {
    type Sender = Rc<LocalSender<T>>;
    type Receiver = LocalReceiver<T>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        let (sender, receiver) = local_channel::new_bounded(capacity);
        (Rc::new(sender), receiver)
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

pub(crate) enum ChannelOfOne {}

impl<T: 'static> super::Oneshot<T> for ChannelOfOne {
    type Sender = LocalSender<T>;
    type Receiver = LocalReceiver<T>;

    #[inline]
    fn new() -> (Self::Sender, Self::Receiver) {
        local_channel::new_bounded(1)
    }

    #[inline]
    fn send(sender: Self::Sender, value: T) {
        assert!(sender.try_send(value).is_ok(), "{OPEN}");
    }

    #[inline]
    async fn recv(receiver: Self::Receiver) -> T {
        receiver.recv().await.expect(OPEN)
    }
}
