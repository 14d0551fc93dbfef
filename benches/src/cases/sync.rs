//! The synchronization primitives: alone, contended, and between tasks.
//!
//! Each runtime has its own, or those that programs on it take: see [`primitives`](crate::primitives). The tasks are the
//! runtime's own, so a row where tasks wake each other shows its wakes and polls too: read it beside `tasks/ping-pong`.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use super::Entrants;
use super::operation::{Batch, Operation, operation_cases};
use crate::primitives::{Barrier, Broadcast, Channel, Event, Lock, Oneshot, Primitives, Semaphore};
use crate::runtimes::{Runtime, WakeSelf};

operation_cases! {
    "sync/lock, free", "ns/lock", WITH_LOCK => LockFree;
    "sync/lock, 100 tasks", "ns/lock", WITH_LOCK => LockContended<WakesItself>;
    "sync/lock, 100 tasks, own yield", "ns/lock", WITH_LOCK => LockContended<OwnYield>;
    "sync/semaphore, free", "ns/permit", Entrants::Runtimes => SemaphoreFree;
    "sync/semaphore of 10, 100 tasks", "ns/permit", Entrants::Runtimes => SemaphoreContended<WakesItself>;
    "sync/semaphore of 10, 100 tasks, own yield", "ns/permit", Entrants::Runtimes => SemaphoreContended<OwnYield>;
    "sync/queue of 1, 1 to 1", "ns/item", Entrants::Runtimes => Flow<AQueue, 1, 1>;
    "sync/queue of 100, 1 to 1", "ns/item", Entrants::Runtimes => Flow<AQueue, 100, 1>;
    "sync/queue of 100, 100 to 1", "ns/item", WITH_SENDERS => Flow<AQueue, 100, 100>;
    "sync/mpsc of 100, 1 to 1", "ns/message", Entrants::Runtimes => Flow<AnMpsc, 100, 1>;
    "sync/mpsc of 100, 4 to 1", "ns/message", WITH_SENDERS => Flow<AnMpsc, 100, 4>;
    "sync/mpsc of 100, 100 to 1", "ns/message", WITH_SENDERS => Flow<AnMpsc, 100, 100>;
    "sync/oneshot, ask a task", "ns/answer", Entrants::Runtimes => Ask;
    "sync/broadcast to 100", "ns/delivery", WITH_BROADCAST => BroadcastToMany;
    "sync/barrier of 100", "ns/arrival", WITH_BARRIER => BarrierOfMany;
    "sync/event, 100 wait", "ns/waiter", WITH_EVENT => EventOfMany;
}

/// The packages that stand in for monoio and compio have none.
const WITH_LOCK: Entrants =
    Entrants::OursAnd(&["tokio-localset", "tokio-local", "smol", "glommio"]);

/// `unsync`, on compio, has a channel for one sender.
const WITH_SENDERS: Entrants = Entrants::OursAnd(&[
    "tokio-localset",
    "tokio-local",
    "smol",
    "monoio",
    "monoio-legacy",
    "glommio",
]);

const WITH_BROADCAST: Entrants =
    Entrants::OursAnd(&["tokio-localset", "tokio-local", "smol", "compio"]);

const WITH_BARRIER: Entrants = Entrants::OursAnd(&["tokio-localset", "tokio-local", "smol"]);

const WITH_EVENT: Entrants = WITH_BARRIER;

type LockOf<R> = <<R as Runtime>::Primitives as Primitives>::Lock;
type SemaphoreOf<R> = <<R as Runtime>::Primitives as Primitives>::Semaphore;
type MpscOf<R, T> = <<R as Runtime>::Primitives as Primitives>::Mpsc<T>;
type OneshotOf<R> = <<R as Runtime>::Primitives as Primitives>::Oneshot<u64>;
type BroadcastOf<R> = <<R as Runtime>::Primitives as Primitives>::Broadcast;
type BarrierOf<R> = <<R as Runtime>::Primitives as Primitives>::Barrier;
type EventOf<R> = <<R as Runtime>::Primitives as Primitives>::Event;

/// The tasks of the cases with many.
const TASKS: u64 = 100;

/// The tasks that wait for each other.
async fn join<R: Runtime>(tasks: Vec<R::Join<()>>) {
    for task in tasks {
        task.await;
    }
}

/// How whoever holds something lets the others come.
trait Yield: 'static {
    fn once<R: Runtime>() -> impl Future<Output = ()>;
}

/// The task wakes itself: the same for all runtimes.
struct WakesItself;

impl Yield for WakesItself {
    #[inline]
    fn once<R: Runtime>() -> impl Future<Output = ()> {
        WakeSelf::default()
    }
}

/// With what the runtime has for that. tokio's asks the driver when nobody else is ready.
struct OwnYield;

impl Yield for OwnYield {
    #[inline]
    fn once<R: Runtime>() -> impl Future<Output = ()> {
        R::yield_now()
    }
}

/// A task locks and unlocks what nobody else wants.
struct LockFree;

impl Operation for LockFree {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let lock = <LockOf<R> as Lock>::new();
        for _ in 0..count {
            *Lock::lock(&lock).await += 1;
        }
        assert_eq!(*Lock::lock(&lock).await, count);
    }
}

/// A hundred tasks lock, yield once while they hold it, unlock, and come again. All but one of them wait at any time.
struct LockContended<Y>(PhantomData<Y>);

impl<Y: Yield> Operation for LockContended<Y> {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let lock = Rc::new(<LockOf<R> as Lock>::new());
        let hold = || {
            let lock = lock.clone();
            R::spawn(async move {
                for _ in 0..count / TASKS {
                    let mut held = Lock::lock(&*lock).await;
                    Y::once::<R>().await;
                    *held += 1;
                }
            })
        };
        join::<R>((0..TASKS).map(|_| hold()).collect()).await;
        assert_eq!(*Lock::lock(&*lock).await, count / TASKS * TASKS);
    }
}

/// A task takes a permit, and gives it back.
struct SemaphoreFree;

impl Operation for SemaphoreFree {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let semaphore = <SemaphoreOf<R> as Semaphore>::new(10);
        for _ in 0..count {
            let permit = Semaphore::acquire(&semaphore).await;
            drop(permit);
        }
    }
}

/// A hundred tasks want one of ten permits each, yield once while they have it, and give it back.
struct SemaphoreContended<Y>(PhantomData<Y>);

impl<Y: Yield> Operation for SemaphoreContended<Y> {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let semaphore = Rc::new(<SemaphoreOf<R> as Semaphore>::new(10));
        let use_it = || {
            let semaphore = semaphore.clone();
            R::spawn(async move {
                for _ in 0..count / TASKS {
                    let permit = Semaphore::acquire(&*semaphore).await;
                    Y::once::<R>().await;
                    drop(permit);
                }
            })
        };
        join::<R>((0..TASKS).map(|_| use_it()).collect()).await;
    }
}

/// Which channel.
trait Kind: 'static {
    type Of<R: Runtime>: Channel<u64>;
}

struct AQueue;

impl Kind for AQueue {
    type Of<R: Runtime> = <R::Primitives as Primitives>::Queue<u64>;
}

struct AnMpsc;

impl Kind for AnMpsc {
    type Of<R: Runtime> = MpscOf<R, u64>;
}

/// So many tasks send numbers through a channel of that capacity, as fast as it takes them; one receives them.
struct Flow<K, const CAPACITY: usize, const SENDERS: u64>(PhantomData<K>);

impl<K: Kind, const CAPACITY: usize, const SENDERS: u64> Operation for Flow<K, CAPACITY, SENDERS> {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let (first, mut receiver) = K::Of::<R>::bounded(CAPACITY);
        let mut senders = vec![first];
        while senders.len() < SENDERS as usize {
            senders.push(K::Of::<R>::another(&senders[0]));
        }
        let each = count / SENDERS;
        let mut tasks: Vec<_> = senders
            .into_iter()
            .map(|mut sender| {
                R::spawn(async move {
                    for number in 0..each {
                        K::Of::<R>::send(&mut sender, number).await;
                    }
                })
            })
            .collect();
        tasks.push(R::spawn(async move {
            let mut sum = 0;
            for _ in 0..each * SENDERS {
                sum += K::Of::<R>::recv(&mut receiver).await;
            }
            assert_eq!(sum, each * each.saturating_sub(1) / 2 * SENDERS);
        }));
        join::<R>(tasks).await;
    }
}

/// A task asks another one through a channel, with a oneshot channel for the answer, and waits for it.
struct Ask;

impl Operation for Ask {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let (mut requests, mut inbox) = MpscOf::<R, _>::bounded(100);
        let server = R::spawn(async move {
            for _ in 0..count {
                let (number, answer) = MpscOf::<R, _>::recv(&mut inbox).await;
                OneshotOf::<R>::send(answer, number);
            }
        });
        for number in 0..count {
            let (answer, answered) = OneshotOf::<R>::new();
            MpscOf::<R, _>::send(&mut requests, (number, answer)).await;
            assert_eq!(OneshotOf::<R>::recv(answered).await, number);
        }
        server.await;
    }
}

/// A hundred tasks receive each message. The last one to get it sends the next, so that nobody has to yield, and
/// all others wait by then.
struct BroadcastToMany;

impl Operation for BroadcastToMany {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let rounds = count / TASKS;
        let (mut sender, receivers) = BroadcastOf::<R>::new(16, TASKS as usize);
        BroadcastOf::<R>::send(&mut sender, 0);
        let sender = Rc::new(RefCell::new(sender));
        let received = Rc::new(Cell::new(0));
        let receive = |mut receiver| {
            let (sender, received) = (sender.clone(), received.clone());
            R::spawn(async move {
                for round in 0..rounds {
                    assert_eq!(BroadcastOf::<R>::recv(&mut receiver).await, round);
                    received.set(received.get() + 1);
                    if received.get() == TASKS * (round + 1) && round + 1 < rounds {
                        BroadcastOf::<R>::send(&mut sender.borrow_mut(), round + 1);
                    }
                }
            })
        };
        join::<R>(receivers.into_iter().map(receive).collect()).await;
    }
}

/// A hundred tasks wait for each other, again and again.
struct BarrierOfMany;

impl Operation for BarrierOfMany {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let barrier = Rc::new(<BarrierOf<R> as Barrier>::new(TASKS as usize));
        let meet = || {
            let barrier = barrier.clone();
            R::spawn(async move {
                for _ in 0..count / TASKS {
                    Barrier::wait(&*barrier).await;
                }
            })
        };
        join::<R>((0..TASKS).map(|_| meet()).collect()).await;
    }
}

/// A hundred tasks wait until it happens. It happens by the hundred and first, and who that is depends on who comes
/// last: so nobody has to yield.
struct EventOfMany;

impl Operation for EventOfMany {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let event = Rc::new(<EventOf<R> as Event>::new());
        let arrived = Rc::new(Cell::new(0));
        let take_part = || {
            let (event, arrived) = (event.clone(), arrived.clone());
            R::spawn(async move {
                for _ in 0..count / TASKS {
                    if arrived.get() < TASKS {
                        arrived.set(arrived.get() + 1);
                        Event::wait(&*event).await;
                    } else {
                        arrived.set(0);
                        event.happen();
                    }
                }
            })
        };
        join::<R>((0..=TASKS).map(|_| take_part()).collect()).await;
    }
}
