//! `Lock`, `RwLock` and `Semaphore` against a naive model: random interleavings over eight futures of asking, polling, dropping,
//! releasing, adding and closing must give permits to the same ones, in the same order.
//!
//! See `support::play` for how a failure is repeated.

mod support;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use support::{Futures, Signal, play};
use tulipa_sync::{Lock, RwLock, Semaphore};

const FUTURES: usize = 8;

/// A primitive that consists of permits.
trait Kind: 'static {
    const TOTAL: usize;
    /// Whether permits can be added, taken away, and ended.
    const IS_OPEN_ENDED: bool;

    fn new() -> Self;
    /// How many are asked for.
    fn wanted(random: &mut fastrand::Rng) -> usize;
    /// Asks, says so in `has`, holds until the signal, and yields whether it had them.
    fn hold(
        self: Rc<Self>,
        wanted: usize,
        is_owned: bool,
        has: Rc<Cell<bool>>,
        signal: Signal,
    ) -> Pin<Box<dyn Future<Output = bool>>>;
    /// Whether they are there, without waiting. Gives them back.
    fn probe(&self, wanted: usize) -> bool;
    fn waiting(&self) -> usize;
    fn available(&self) -> Option<usize>;
    fn add(&self, _: usize) {
        unreachable!()
    }
    fn reduce(&self, _: usize) -> usize {
        unreachable!()
    }
    fn close(&self) {
        unreachable!()
    }
}

impl Kind for Lock<u32> {
    const TOTAL: usize = 1;
    const IS_OPEN_ENDED: bool = false;

    fn new() -> Self {
        Lock::new(0)
    }

    fn wanted(_: &mut fastrand::Rng) -> usize {
        1
    }

    fn hold(
        self: Rc<Self>,
        _: usize,
        is_owned: bool,
        has: Rc<Cell<bool>>,
        signal: Signal,
    ) -> Pin<Box<dyn Future<Output = bool>>> {
        Box::pin(async move {
            if is_owned {
                let mut guard = self.lock_owned().await;
                has.set(true);
                signal.await;
                *guard += 1;
            } else {
                let mut guard = self.lock().await;
                has.set(true);
                signal.await;
                *guard += 1;
            }
            true
        })
    }

    fn probe(&self, _: usize) -> bool {
        self.try_lock().is_some()
    }

    fn waiting(&self) -> usize {
        Lock::waiting(self)
    }

    fn available(&self) -> Option<usize> {
        Some(usize::from(!self.is_locked()))
    }
}

const ALL: usize = 1000;

impl Kind for RwLock<u32> {
    const TOTAL: usize = ALL;
    const IS_OPEN_ENDED: bool = false;

    fn new() -> Self {
        RwLock::new(0)
    }

    fn wanted(random: &mut fastrand::Rng) -> usize {
        if random.u8(0..3) == 0 { ALL } else { 1 }
    }

    fn hold(
        self: Rc<Self>,
        wanted: usize,
        is_owned: bool,
        has: Rc<Cell<bool>>,
        signal: Signal,
    ) -> Pin<Box<dyn Future<Output = bool>>> {
        Box::pin(async move {
            match (wanted, is_owned) {
                (1, false) => {
                    let guard = self.read().await;
                    has.set(true);
                    let seen = *guard;
                    signal.await;
                    assert_eq!(seen, *guard, "written while it was read");
                }
                (1, true) => {
                    let guard = self.read_owned().await;
                    has.set(true);
                    let seen = *guard;
                    signal.await;
                    assert_eq!(seen, *guard, "written while it was read");
                }
                (_, false) => {
                    let mut guard = self.write().await;
                    has.set(true);
                    *guard += 1;
                    signal.await;
                }
                (_, true) => {
                    let mut guard = self.write_owned().await;
                    has.set(true);
                    *guard += 1;
                    signal.await;
                }
            }
            true
        })
    }

    fn probe(&self, wanted: usize) -> bool {
        if wanted == 1 {
            self.try_read().is_some()
        } else {
            self.try_write().is_some()
        }
    }

    fn waiting(&self) -> usize {
        RwLock::waiting(self)
    }

    fn available(&self) -> Option<usize> {
        Some(if self.is_written() {
            0
        } else {
            ALL - self.readers()
        })
    }
}

impl Kind for Semaphore {
    const TOTAL: usize = 4;
    const IS_OPEN_ENDED: bool = true;

    fn new() -> Self {
        Semaphore::new(Self::TOTAL)
    }

    fn wanted(random: &mut fastrand::Rng) -> usize {
        random.usize(0..6)
    }

    fn hold(
        self: Rc<Self>,
        wanted: usize,
        is_owned: bool,
        has: Rc<Cell<bool>>,
        signal: Signal,
    ) -> Pin<Box<dyn Future<Output = bool>>> {
        Box::pin(async move {
            if is_owned {
                let Ok(permit) = self.acquire_many_owned(wanted).await else {
                    return false;
                };
                has.set(true);
                signal.await;
                assert_eq!(permit.count(), wanted);
            } else {
                let Ok(permit) = self.acquire_many(wanted).await else {
                    return false;
                };
                has.set(true);
                signal.await;
                assert_eq!(permit.count(), wanted);
            }
            true
        })
    }

    fn probe(&self, wanted: usize) -> bool {
        self.try_acquire_many(wanted).is_ok()
    }

    fn waiting(&self) -> usize {
        Semaphore::waiting(self)
    }

    fn available(&self) -> Option<usize> {
        Some(Semaphore::available(self))
    }

    fn add(&self, count: usize) {
        self.release(count).unwrap();
    }

    fn reduce(&self, count: usize) -> usize {
        Semaphore::reduce(self, count)
    }

    fn close(&self) {
        Semaphore::close(self);
    }
}

/// What the rules say, with a queue and a number.
struct Model {
    available: usize,
    is_closed: bool,
    queue: VecDeque<(usize, usize)>,
    /// Assigned and not polled since: `None` for the news that it is closed.
    told: Vec<Option<Option<usize>>>,
    holding: Vec<Option<usize>>,
    woken: Vec<usize>,
}

impl Model {
    fn new(total: usize) -> Model {
        Model {
            available: total,
            is_closed: false,
            queue: VecDeque::new(),
            told: vec![None; FUTURES],
            holding: vec![None; FUTURES],
            woken: Vec::new(),
        }
    }

    fn serve(&mut self) {
        while let Some(&(who, wanted)) = self.queue.front()
            && wanted <= self.available
        {
            self.queue.pop_front();
            self.available -= wanted;
            self.told[who] = Some(Some(wanted));
            self.woken.push(who);
        }
    }

    fn can_have(&self, wanted: usize) -> bool {
        !self.is_closed && self.queue.is_empty() && wanted <= self.available
    }

    fn give_back(&mut self, count: usize) {
        self.available += count;
        self.serve();
    }

    fn close(&mut self) {
        self.is_closed = true;
        for (who, _) in self.queue.drain(..) {
            self.told[who] = Some(None);
            self.woken.push(who);
        }
    }
}

fn program<K: Kind>(random: &mut fastrand::Rng, length: u64) {
    let kind = Rc::new(K::new());
    let mut model = Model::new(K::TOTAL);
    let mut futures = Futures::new(FUTURES);
    let mut has: Vec<Rc<Cell<bool>>> = (0..FUTURES).map(|_| Rc::default()).collect();
    let mut signals: Vec<Rc<Cell<bool>>> = has.clone();
    for _ in 0..length {
        let who = random.usize(0..FUTURES);
        match random.u8(0..20) {
            // Asks, or is polled again.
            0..=9 if !futures.is_there(who) => {
                let wanted = K::wanted(random);
                (has[who], signals[who]) = Default::default();
                let (has, signal) = (has[who].clone(), Signal(signals[who].clone()));
                let future = kind.clone().hold(wanted, random.bool(), has, signal);
                let polled = futures.start(who, future);
                if model.can_have(wanted) {
                    model.available -= wanted;
                    model.holding[who] = Some(wanted);
                    assert!(polled.is_pending());
                } else if model.is_closed {
                    assert!(polled == std::task::Poll::Ready(false));
                } else {
                    model.queue.push_back((who, wanted));
                    assert!(polled.is_pending());
                }
            }
            0..=9 => {
                let polled = futures.poll(who);
                match model.told[who].take() {
                    Some(None) => assert!(polled == std::task::Poll::Ready(false)),
                    Some(wanted) => {
                        model.holding[who] = wanted;
                        assert!(polled.is_pending());
                    }
                    None => assert!(polled.is_pending()),
                }
            }
            // Gives back.
            10..=13 if model.holding[who].is_some() => {
                signals[who].set(true);
                assert!(futures.poll(who) == std::task::Poll::Ready(true));
                let wanted = model.holding[who].take().unwrap();
                model.give_back(wanted);
            }
            // Is dropped, wherever it is.
            14..=15 if futures.is_there(who) => {
                futures.drop(who);
                model.queue.retain(|it| it.0 != who);
                let told = model.told[who].take().flatten().unwrap_or(0);
                let held = model.holding[who].take().unwrap_or(0);
                model.give_back(told + held);
            }
            16 | 17 => {
                let wanted = K::wanted(random);
                assert_eq!(
                    kind.probe(wanted),
                    model.can_have(wanted),
                    "try_ for {wanted}"
                );
            }
            18 if K::IS_OPEN_ENDED => {
                let count = random.usize(0..3);
                if random.bool() {
                    kind.add(count);
                    model.give_back(count);
                } else {
                    assert_eq!(kind.reduce(count), count.min(model.available));
                    model.available -= count.min(model.available);
                }
            }
            19 if K::IS_OPEN_ENDED && random.u8(0..20) == 0 => {
                kind.close();
                model.close();
            }
            _ => {}
        }
        assert_eq!(futures.woken(), std::mem::take(&mut model.woken));
        assert_eq!(kind.waiting(), model.queue.len());
        assert_eq!(kind.available(), Some(model.available));
        for (who, has) in has.iter().enumerate().filter(|it| futures.is_there(it.0)) {
            assert_eq!(has.get(), model.holding[who].is_some());
        }
    }
}

#[test]
fn lock_equals_its_model() {
    play(200, program::<Lock<u32>>);
}

#[test]
fn rw_lock_equals_its_model() {
    play(200, program::<RwLock<u32>>);
}

#[test]
fn semaphore_equals_its_model() {
    play(200, program::<Semaphore>);
}
