//! `Event`, `Latch`, `Notify`, `Condition`, `Barrier` and `OnceCell` against naive models: random interleavings over eight futures.
//!
//! See `support::play` for how a failure is repeated.

mod support;

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem::take;
use std::rc::Rc;
use std::task::Poll;

use support::{Futures, Signal, play};
use tulipa_sync::{Barrier, Condition, Event, Latch, Lock, Notify, OnceCell};

const FUTURES: usize = 8;

// §9 Event: set wakes all who wait, and they go on even if it is cleared at once; first come, first woken.
#[test]
fn event_equals_its_model() {
    play(200, |random, length| {
        let event = Rc::new(Event::new());
        let mut futures = Futures::new(FUTURES);
        let (mut is_set, mut queue) = (false, VecDeque::new());
        let mut let_go = [false; FUTURES];
        for _ in 0..length {
            let who = random.usize(0..FUTURES);
            let mut woken: Vec<usize> = Vec::new();
            match random.u8(0..10) {
                0..=4 if !futures.is_there(who) => {
                    let event = event.clone();
                    let polled = futures.start(who, async move { event.wait().await });
                    assert_eq!(polled.is_ready(), is_set);
                    if !is_set {
                        queue.push_back(who);
                    }
                }
                0..=4 => assert_eq!(futures.poll(who).is_ready(), take(&mut let_go[who])),
                5 | 6 => {
                    futures.drop(who);
                    queue.retain(|it| *it != who);
                    let_go[who] = false;
                }
                7 => {
                    event.clear();
                    is_set = false;
                }
                number => {
                    if number == 8 {
                        event.set();
                        is_set = true;
                    } else {
                        event.pulse();
                    }
                    woken.extend(queue.drain(..));
                    woken.iter().for_each(|who| let_go[*who] = true);
                }
            }
            assert_eq!(futures.woken(), woken);
            assert_eq!((event.is_set(), event.waiting()), (is_set, queue.len()));
        }
    });
}

#[test]
fn latch_equals_its_model() {
    play(40, |random, length| {
        let mut left = random.usize(0..12);
        let latch = Rc::new(Latch::new(left));
        let mut futures = Futures::new(FUTURES);
        let mut queue = Vec::new();
        for _ in 0..length {
            let who = random.usize(0..FUTURES);
            let mut woken = Vec::new();
            match random.u8(0..8) {
                0..=2 if !futures.is_there(who) => {
                    let latch = latch.clone();
                    let arrives = random.u8(0..4) == 0;
                    if arrives && left > 0 {
                        left -= 1;
                        if left == 0 {
                            woken = take(&mut queue);
                        }
                    }
                    let polled = futures.start(who, async move {
                        if arrives {
                            latch.arrive_and_wait().await;
                        } else {
                            latch.wait().await;
                        }
                    });
                    assert_eq!(polled.is_ready(), left == 0);
                    if left > 0 {
                        queue.push(who);
                    }
                }
                0..=2 => assert_eq!(futures.poll(who).is_ready(), left == 0),
                3 => {
                    futures.drop(who);
                    queue.retain(|it| *it != who);
                }
                _ => {
                    let count = random.usize(0..3);
                    latch.count_down(count);
                    let before = left;
                    left = left.saturating_sub(count);
                    if before > 0 && left == 0 {
                        woken = take(&mut queue);
                    }
                }
            }
            assert_eq!(futures.woken(), woken);
            assert_eq!(
                (latch.count(), latch.is_open(), latch.waiting()),
                (left, left == 0, queue.len())
            );
        }
    });
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Told {
    NotYet,
    ByOne,
    ByAll,
}

// One notification goes to the first one, is kept if there is none, and goes on if that one is dropped unheard.
#[test]
fn notify_equals_its_model() {
    struct Model {
        is_kept: bool,
        queue: VecDeque<usize>,
        told: [Told; FUTURES],
        woken: Vec<usize>,
    }
    impl Model {
        fn notify_one(&mut self) {
            match self.queue.pop_front() {
                Some(who) => {
                    self.told[who] = Told::ByOne;
                    self.woken.push(who);
                }
                None => self.is_kept = true,
            }
        }
    }
    play(200, |random, length| {
        let notify = Rc::new(Notify::new());
        let mut futures = Futures::new(FUTURES);
        let mut model = Model {
            is_kept: false,
            queue: VecDeque::new(),
            told: [Told::NotYet; FUTURES],
            woken: Vec::new(),
        };
        for _ in 0..length {
            let who = random.usize(0..FUTURES);
            match random.u8(0..10) {
                0..=4 if !futures.is_there(who) => {
                    let notify = notify.clone();
                    let polled = futures.start(who, async move { notify.notified().await });
                    assert_eq!(polled.is_ready(), take(&mut model.is_kept));
                    if polled.is_pending() {
                        model.queue.push_back(who);
                        model.told[who] = Told::NotYet;
                    }
                }
                0..=4 => {
                    let is_ready = futures.poll(who).is_ready();
                    assert_eq!(is_ready, model.told[who] != Told::NotYet);
                }
                5 | 6 if futures.is_there(who) => {
                    futures.drop(who);
                    model.queue.retain(|it| *it != who);
                    if model.told[who] == Told::ByOne {
                        model.notify_one();
                    }
                    model.told[who] = Told::NotYet;
                }
                7 | 8 => {
                    notify.notify_one();
                    model.notify_one();
                }
                9 => {
                    notify.notify_waiters();
                    let all: Vec<_> = model.queue.drain(..).collect();
                    for who in all {
                        model.told[who] = Told::ByAll;
                        model.woken.push(who);
                    }
                }
                _ => {}
            }
            assert_eq!(futures.woken(), take(&mut model.woken));
            assert_eq!(notify.waiting(), model.queue.len());
        }
    });
}

// §9 Condition: at most so many are notified, first come, first served; whoever ends without having got the lock
// again passes the notification on; nobody has the guard without the lock.
#[test]
fn condition_equals_its_model() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum At {
        Nowhere,
        Holding,
        InCondition,
        /// Notified, and woken for it, but not polled since.
        Notified,
        /// In the queue of the lock: for the first time, or again after a notification.
        InLock {
            again: bool,
        },
        /// The lock was handed over.
        HasLock {
            again: bool,
        },
    }
    struct Model {
        at: [At; FUTURES],
        is_locked: bool,
        lock_queue: VecDeque<usize>,
        condition_queue: VecDeque<usize>,
        woken: Vec<usize>,
    }
    impl Model {
        fn unlock(&mut self) {
            match self.lock_queue.pop_front() {
                Some(who) => {
                    let At::InLock { again } = self.at[who] else {
                        unreachable!()
                    };
                    self.at[who] = At::HasLock { again };
                    self.woken.push(who);
                }
                None => self.is_locked = false,
            }
        }

        fn lock(&mut self, who: usize, again: bool) {
            if self.is_locked {
                self.lock_queue.push_back(who);
                self.at[who] = At::InLock { again };
            } else {
                self.is_locked = true;
                self.at[who] = At::Holding;
            }
        }

        fn notify(&mut self, count: usize) {
            for _ in 0..count.min(self.condition_queue.len()) {
                let who = self.condition_queue.pop_front().unwrap();
                self.at[who] = At::Notified;
                self.woken.push(who);
            }
        }
    }
    play(200, |random, length| {
        let (lock, condition) = (Rc::new(Lock::new(0)), Rc::new(Condition::new()));
        let mut futures = Futures::new(FUTURES);
        let mut model = Model {
            at: [At::Nowhere; FUTURES],
            is_locked: false,
            lock_queue: VecDeque::new(),
            condition_queue: VecDeque::new(),
            woken: Vec::new(),
        };
        // What a holder does next: 1 unlocks and ends, 2 waits for the condition.
        let next: Vec<Rc<Cell<u8>>> = (0..FUTURES).map(|_| Rc::default()).collect();
        let holds = Rc::new(Cell::new(0_i32));
        for _ in 0..length {
            let who = random.usize(0..FUTURES);
            match random.u8(0..16) {
                0..=6 if model.at[who] == At::Nowhere => {
                    next[who].set(0);
                    model.lock(who, false);
                    let (lock, condition) = (lock.clone(), condition.clone());
                    let (next, holds) = (next[who].clone(), holds.clone());
                    let is_owned = random.bool();
                    let code = async move {
                        struct Hold(Rc<Cell<i32>>);
                        impl Drop for Hold {
                            fn drop(&mut self) {
                                self.0.set(self.0.get() - 1);
                            }
                        }
                        let hold = || {
                            holds.set(holds.get() + 1);
                            assert_eq!(holds.get(), 1, "two hold it");
                            Hold(holds.clone())
                        };
                        let decide = async || {
                            std::future::poll_fn(|_| match next.take() {
                                0 => Poll::Pending,
                                what => Poll::Ready(what),
                            })
                            .await
                        };
                        if is_owned {
                            let mut guard = lock.lock_owned().await;
                            let mut held = hold();
                            while decide().await == 2 {
                                drop(held);
                                guard = condition.wait_owned(guard).await;
                                held = hold();
                            }
                        } else {
                            let mut guard = lock.lock().await;
                            let mut held = hold();
                            while decide().await == 2 {
                                drop(held);
                                guard = condition.wait(guard).await;
                                held = hold();
                            }
                            drop(guard);
                        }
                    };
                    assert!(futures.start(who, code).is_pending());
                }
                0..=6 => {
                    match model.at[who] {
                        At::HasLock { .. } => model.at[who] = At::Holding,
                        At::Notified => model.lock(who, true),
                        _ => {}
                    }
                    assert!(futures.poll(who).is_pending());
                }
                7 | 8 if model.at[who] == At::Holding => {
                    next[who].set(1);
                    assert!(futures.poll(who).is_ready());
                    model.at[who] = At::Nowhere;
                    model.unlock();
                }
                9 | 10 if model.at[who] == At::Holding => {
                    next[who].set(2);
                    assert!(futures.poll(who).is_pending());
                    model.at[who] = At::InCondition;
                    model.condition_queue.push_back(who);
                    model.unlock();
                }
                11 | 12 if model.at[who] != At::Nowhere => {
                    futures.drop(who);
                    match std::mem::replace(&mut model.at[who], At::Nowhere) {
                        At::Nowhere => {}
                        At::Holding => model.unlock(),
                        At::InCondition => model.condition_queue.retain(|it| *it != who),
                        At::Notified => model.notify(1),
                        At::InLock { again } => {
                            model.lock_queue.retain(|it| *it != who);
                            if again {
                                model.notify(1);
                            }
                        }
                        At::HasLock { again } => {
                            if again {
                                model.notify(1);
                            }
                            model.unlock();
                        }
                    }
                }
                13 => {
                    let count = random.usize(0..3);
                    condition.notify(count);
                    model.notify(count);
                }
                14 => {
                    condition.notify_one();
                    model.notify(1);
                }
                15 => {
                    condition.notify_all();
                    model.notify(FUTURES);
                }
                _ => {}
            }
            assert_eq!(futures.woken(), take(&mut model.woken));
            assert_eq!(condition.waiting(), model.condition_queue.len());
            assert_eq!(lock.waiting(), model.lock_queue.len());
            assert_eq!(lock.is_locked(), model.is_locked);
            let is_held = model.at.contains(&At::Holding);
            assert_eq!(holds.get(), i32::from(is_held));
        }
    });
}

// §9 Barrier: indices in the order of arrival, each once; the last one does not wait; a dropped one only lowers
// the count; abort and reset tell who waits; rounds never mix.
#[test]
fn barrier_equals_its_model() {
    play(200, |random, length| {
        let parties = random.usize(1..6);
        let barrier = Rc::new(Barrier::new(parties));
        let mut futures = Futures::new(FUTURES);
        let (mut queue, mut is_broken) = (Vec::new(), false);
        let mut told: [Option<Option<usize>>; FUTURES] = [None; FUTURES];
        for _ in 0..length {
            let who = random.usize(0..FUTURES);
            let mut woken = Vec::new();
            match random.u8(0..20) {
                0..=9 if !futures.is_there(who) => {
                    let barrier = barrier.clone();
                    let polled = futures.start(who, async move { barrier.wait().await.ok() });
                    if is_broken {
                        assert_eq!(polled, Poll::Ready(None));
                    } else if queue.len() + 1 == parties {
                        assert_eq!(polled, Poll::Ready(Some(parties - 1)));
                        woken = take(&mut queue);
                        for (place, who) in woken.iter().enumerate() {
                            told[*who] = Some(Some(place));
                        }
                    } else {
                        assert!(polled.is_pending());
                        queue.push(who);
                    }
                }
                0..=9 => {
                    let expected = match told[who].take() {
                        Some(told) => Poll::Ready(told),
                        None => Poll::Pending,
                    };
                    assert_eq!(futures.poll(who), expected);
                }
                10..=13 => {
                    futures.drop(who);
                    queue.retain(|it| *it != who);
                    told[who] = None;
                }
                number @ (18 | 19) => {
                    if number == 18 {
                        barrier.abort();
                    } else {
                        barrier.reset();
                    }
                    is_broken = number == 18;
                    woken = take(&mut queue);
                    woken.iter().for_each(|who| told[*who] = Some(None));
                }
                _ => {}
            }
            assert_eq!(futures.woken(), woken);
            assert_eq!(barrier.waiting(), queue.len());
            assert_eq!(barrier.is_broken(), is_broken);
        }
    });
}

// SY09: one at a time makes the value, and it is set once; if one fails, panics or is dropped, the next one tries.
#[test]
fn once_cell_equals_its_model() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum At {
        Nowhere,
        Making,
        InQueue,
        /// It is this one's turn, and it was woken.
        Next,
    }
    struct Model {
        at: [At; FUTURES],
        queue: VecDeque<usize>,
        /// Those in the queue, and those whose turn it is, as they came: they are told when there is a value.
        unserved: Vec<usize>,
        value: Option<usize>,
        is_busy: bool,
        woken: Vec<usize>,
    }
    impl Model {
        fn pass_on(&mut self) {
            match self.queue.pop_front() {
                Some(who) => {
                    self.at[who] = At::Next;
                    self.woken.push(who);
                }
                None => self.is_busy = false,
            }
        }

        fn set(&mut self, value: usize) {
            if self.value.is_none() {
                self.value = Some(value);
                self.woken.append(&mut self.unserved);
            }
        }
    }
    play(60, |random, length| {
        let cell = Rc::new(OnceCell::new());
        let mut futures = Futures::new(FUTURES);
        let mut model = Model {
            at: [At::Nowhere; FUTURES],
            queue: VecDeque::new(),
            unserved: Vec::new(),
            value: None,
            is_busy: false,
            woken: Vec::new(),
        };
        let signals: Vec<Rc<Cell<bool>>> = (0..FUTURES).map(|_| Rc::default()).collect();
        let fails: Vec<Rc<Cell<bool>>> = (0..FUTURES).map(|_| Rc::default()).collect();
        for _ in 0..length {
            let who = random.usize(0..FUTURES);
            match random.u8(0..12) {
                0..=5 if model.at[who] == At::Nowhere => {
                    signals[who].set(false);
                    let (signal, fails) = (Signal(signals[who].clone()), fails[who].clone());
                    let cell = cell.clone();
                    let polled = futures.start(who, async move {
                        let made = cell.get_or_try_init(async || {
                            signal.await;
                            if fails.get() { Err(()) } else { Ok(who) }
                        });
                        made.await.copied()
                    });
                    match model.value {
                        Some(value) => assert_eq!(polled, Poll::Ready(Ok(value))),
                        None if model.is_busy => {
                            model.at[who] = At::InQueue;
                            model.queue.push_back(who);
                            model.unserved.push(who);
                        }
                        None => {
                            model.is_busy = true;
                            model.at[who] = At::Making;
                        }
                    }
                    assert_eq!(polled.is_pending(), model.value.is_none());
                }
                0..=5 => {
                    let polled = futures.poll(who);
                    let expected = match (model.at[who], model.value) {
                        (At::InQueue, Some(value)) => {
                            model.at[who] = At::Nowhere;
                            model.queue.retain(|it| *it != who);
                            Poll::Ready(Ok(value))
                        }
                        (At::Next, Some(value)) => {
                            model.at[who] = At::Nowhere;
                            model.pass_on();
                            Poll::Ready(Ok(value))
                        }
                        (At::Next, None) => {
                            model.at[who] = At::Making;
                            model.unserved.retain(|it| *it != who);
                            Poll::Pending
                        }
                        _ => Poll::Pending,
                    };
                    assert_eq!(polled, expected);
                }
                6..=8 if model.at[who] == At::Making => {
                    signals[who].set(true);
                    fails[who].set(random.u8(0..4) != 0);
                    let polled = futures.poll(who);
                    let expected = if fails[who].get() {
                        Err(())
                    } else {
                        model.set(who);
                        Ok(model.value.unwrap())
                    };
                    assert_eq!(polled, Poll::Ready(expected));
                    model.at[who] = At::Nowhere;
                    model.pass_on();
                }
                9 | 10 => {
                    futures.drop(who);
                    model.unserved.retain(|it| *it != who);
                    match std::mem::replace(&mut model.at[who], At::Nowhere) {
                        At::Making | At::Next => model.pass_on(),
                        _ => model.queue.retain(|it| *it != who),
                    }
                }
                11 if random.u8(0..10) == 0 => {
                    let is_first = cell.set(100).is_ok();
                    assert_eq!(is_first, model.value.is_none());
                    model.set(100);
                }
                _ => {}
            }
            assert_eq!(futures.woken(), take(&mut model.woken));
            assert_eq!(cell.get().copied(), model.value);
        }
    });
}
