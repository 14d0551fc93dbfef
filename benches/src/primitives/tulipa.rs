//! `tulipa::sync`.

use std::future::Future;

use futures_util::FutureExt;
use tulipa::sync::{Event, Lock, LockGuard, Permit, Semaphore};

use super::flume::Flume;
use super::missing::Missing;
use super::{OPEN, Primitives};

/// tulipa's.
pub(crate) struct Tulipa;

impl Primitives for Tulipa {
    type Lock = Lock<u64>;
    type Semaphore = Semaphore;
    type Queue<T: 'static> = Missing;
    type Mpsc<T: 'static> = Missing;
    type Oneshot<T: 'static> = Missing;
    type Broadcast = Missing;
    type Barrier = Missing;
    type Event = Event;
    type Remote = Flume;
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
