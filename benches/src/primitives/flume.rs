//! `flume`: what crosses threads where the runtime has no channel of many senders for that.

use std::future::Future;

use flume::{Receiver, Sender};
use futures_util::FutureExt;

use super::OPEN;

/// A channel of flume.
pub(crate) enum Flume {}

impl super::Remote for Flume {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn bounded(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        flume::bounded(capacity)
    }

    #[inline]
    fn send(sender: &Sender<u64>, value: u64) -> impl Future<Output = ()> {
        sender.send_async(value).map(|sent| sent.expect(OPEN))
    }

    #[inline]
    fn recv(receiver: &mut Receiver<u64>) -> impl Future<Output = u64> {
        receiver.recv_async().map(|value| value.expect(OPEN))
    }
}
