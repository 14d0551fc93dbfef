//! The synchronization primitives of each runtime: its own, or the package that programs on it take.
//!
//! As with [`Runtime`](crate::runtimes::Runtime), cases are generic over [`Primitives`], and nothing dynamic stands in
//! the measured path. What all of them guard, send and receive are numbers.

mod flume;
mod glommio;
mod local_sync;
mod missing;
mod smol;
mod tokio;
mod tulipa;
mod unsync;

use std::future::Future;
use std::ops::DerefMut;

pub(crate) use self::glommio::Glommio;
pub(crate) use self::local_sync::LocalSync;
pub(crate) use self::smol::Smol;
pub(crate) use self::tokio::Tokio;
pub(crate) use self::tulipa::Tulipa;
pub(crate) use self::unsync::Unsync;

/// What a runtime has. Where there is nothing it is [`Missing`](missing::Missing), and the case's entrants leave the
/// runtime out.
pub(crate) trait Primitives: 'static {
    type Lock: Lock;
    type Semaphore: Semaphore;
    /// Where a queue is but the channel, both are the same.
    type Queue<T: 'static>: Channel<T>;
    type Mpsc<T: 'static>: Channel<T>;
    type Oneshot<T: 'static>: Oneshot<T>;
    type Broadcast: Broadcast;
    type Barrier: Barrier;
    type Event: Event;
    /// For messages from other threads.
    type Remote: Remote;
}

/// One task at a time has the number.
pub(crate) trait Lock: 'static {
    type Guard<'a>: DerefMut<Target = u64>;

    fn new() -> Self;

    fn lock(&self) -> impl Future<Output = Self::Guard<'_>>;
}

/// So many tasks at a time.
pub(crate) trait Semaphore: 'static {
    /// Gives the permit back when it is dropped.
    type Permit<'a>;

    fn new(permits: usize) -> Self;

    fn acquire(&self) -> impl Future<Output = Self::Permit<'_>>;
}

/// A bounded channel or queue, to one receiver.
pub(crate) trait Channel<T>: 'static {
    type Sender: 'static;
    type Receiver: 'static;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// A second sender.
    fn another(sender: &Self::Sender) -> Self::Sender;

    fn send(sender: &mut Self::Sender, value: T) -> impl Future<Output = ()>;

    /// What comes next. The sender is there.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = T>;
}

/// One value, once.
pub(crate) trait Oneshot<T>: 'static {
    type Sender: 'static;
    type Receiver: 'static;

    fn new() -> (Self::Sender, Self::Receiver);

    /// The receiver is there.
    fn send(sender: Self::Sender, value: T);

    /// The value. The sender does not give up.
    fn recv(receiver: Self::Receiver) -> impl Future<Output = T>;
}

/// Every receiver gets every value.
pub(crate) trait Broadcast: 'static {
    type Sender: 'static;
    type Receiver: 'static;

    /// With so many receivers.
    fn new(capacity: usize, receivers: usize) -> (Self::Sender, Vec<Self::Receiver>);

    /// There is room.
    fn send(sender: &mut Self::Sender, value: u64);

    /// What comes next. The sender is there, and nothing was missed.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

/// So many wait for each other.
pub(crate) trait Barrier: 'static {
    fn new(tasks: usize) -> Self;

    fn wait(&self) -> impl Future<Output = ()>;
}

/// Many wait until something happens.
pub(crate) trait Event: 'static {
    fn new() -> Self;

    /// Lets go of all who wait now, and of nobody who comes later.
    fn happen(&self);

    fn wait(&self) -> impl Future<Output = ()>;
}

/// A bounded channel whose senders go to other threads.
pub(crate) trait Remote: 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: 'static;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// The receiver is there.
    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = ()>;

    /// What comes next. A sender is there.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

const OPEN: &str = "the other side of the channel is there";
