//! The driver of a loop: a backend, the sources registered with it, and who waits for them.
//!
//! # Tokens
//! A source's token is its slot and the slot's generation, which changes each time the slot is given
//! up. An event that comes late, for a source that is gone, does not match and is dropped; so a
//! recycled slot never receives a stale event.
//!
//! # Readiness
//! Backends report edges. The driver remembers, for each direction, that it is ready, until an
//! operation found it was not (or drained it) and says so with [`Slot::clear`]. So a task that comes
//! later than the event finds it, and one that comes earlier leaves its waker. Events arrive only
//! inside [`Driver::park`], on the same thread, so nothing comes between an operation and its clear.
//!
//! # User code
//! Wakers may be anyone's code, which may register, deregister and wait on other sources. They are
//! collected first and woken when no borrow is held.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use tulipa_base::Instant;

use crate::backend::Choice;
use crate::reactor::{Event, Interest, Reactor, Wait};
use crate::registration::{Direction, Key};
use crate::source::Source;
use crate::unparker::{Permission, Unparker};

/// Waits for the operating system on behalf of one loop.
pub struct Driver {
    reactor: RefCell<Box<dyn Reactor>>,
    pub(crate) slots: RefCell<Slots>,
    unparker: Arc<Unparker>,
    /// Kept for their memory.
    events: Cell<Vec<Event>>,
    wakers: Cell<Vec<Waker>>,
    needs_rearm: bool,
    is_closed: Cell<bool>,
}

impl Driver {
    /// A driver on the backend chosen.
    ///
    /// # Errors
    /// See [`Choice::make`].
    pub fn new(choice: Choice) -> io::Result<Rc<Driver>> {
        let reactor = choice.make()?;
        Ok(Rc::new(Driver {
            unparker: Arc::new(Unparker::new(reactor.waker())),
            needs_rearm: reactor.needs_rearm(),
            reactor: RefCell::new(reactor),
            slots: RefCell::new(Slots::default()),
            events: Cell::new(Vec::new()),
            wakers: Cell::new(Vec::new()),
            is_closed: Cell::new(false),
        }))
    }

    /// The name of the backend.
    pub fn reactor_name(&self) -> &'static str {
        self.reactor.borrow().name()
    }

    /// The time on the backend's clock.
    pub fn now(&self) -> Instant {
        self.reactor.borrow().now()
    }

    /// What ends [`Driver::park`] from any thread.
    pub fn unparker(&self) -> Arc<Unparker> {
        Arc::clone(&self.unparker)
    }

    /// Sources registered now.
    pub fn source_count(&self) -> usize {
        self.slots.borrow().slab.len()
    }

    /// Waits as long as `wait` says, and wakes whoever waits for what has happened.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn park(&self, wait: Wait) -> io::Result<()> {
        let mut events = self.events.take();
        // A loop that only looks need not be told that it must not wait.
        let result = if wait == Wait::Poll {
            self.reactor.borrow_mut().poll(&mut events, wait)
        } else {
            let wait = match self.unparker.prepare() {
                Permission::Wait => wait,
                Permission::PollOnly => Wait::Poll,
            };
            let result = self.reactor.borrow_mut().poll(&mut events, wait);
            self.unparker.finish();
            result
        };
        let mut wakers = self.wakers.take();
        {
            let mut slots = self.slots.borrow_mut();
            for event in events.drain(..) {
                slots.take_event(event, &mut wakers);
            }
        }
        self.events.set(events);
        wake_all(&mut wakers);
        self.wakers.set(wakers);
        result
    }

    pub(crate) fn register(&self, source: &mut dyn Source, interest: Interest) -> io::Result<Key> {
        if self.is_closed.get() {
            return Err(io::Error::other("the event loop is closed"));
        }
        let key = self.slots.borrow_mut().insert();
        let registered = self
            .reactor
            .borrow_mut()
            .register(source, key.token(), interest);
        if let Err(error) = registered {
            drop(self.slots.borrow_mut().remove(key));
            return Err(error);
        }
        Ok(key)
    }

    /// Gives a source's slot up and stops watching the source.
    pub(crate) fn deregister(&self, source: &mut dyn Source, key: Key) -> io::Result<()> {
        let wakers = self.slots.borrow_mut().remove(key);
        let result = match self.is_closed.get() {
            true => Ok(()),
            false => self.reactor.borrow_mut().deregister(source, key.token()),
        };
        drop(wakers);
        result
    }

    /// Gives a source's slot up; the caller closes the source next.
    pub(crate) fn forget(&self, key: Key) {
        let wakers = self.slots.borrow_mut().remove(key);
        self.reactor.borrow_mut().forget(key.token());
        drop(wakers);
    }

    /// Takes note that an operation in this direction found the source not ready, or drained it.
    #[inline]
    pub(crate) fn clear(&self, key: Key, direction: Direction) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return;
        };
        if slot.clear(direction) && self.needs_rearm {
            self.reactor
                .borrow_mut()
                .rearm(key.token(), direction.interest());
        }
    }

    /// Ends the driver: nothing is registered any more, and everyone who waits is let go.
    pub fn close(&self) {
        self.is_closed.set(true);
        let wakers = std::mem::take(&mut *self.slots.borrow_mut()).into_wakers();
        drop(wakers);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// The driver of the loop that runs on this thread.
    pub fn current() -> Option<Rc<Driver>> {
        CURRENT.with_borrow(Option::clone)
    }

    /// Whether this is the driver of the loop that runs on this thread.
    pub(crate) fn is_current(self: &Rc<Driver>) -> bool {
        CURRENT.with_borrow(|current| current.as_ref().is_some_and(|it| Rc::ptr_eq(it, self)))
    }

    /// Makes this the current thread's driver, until the guard is dropped.
    pub fn enter(self: &Rc<Driver>) -> Entered {
        Entered {
            before: CURRENT.replace(Some(Rc::clone(self))),
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

/// While it lives, a driver is the current thread's. See [`Driver::enter`].
#[derive(Debug)]
#[must_use = "the driver is current only as long as this lives"]
pub struct Entered {
    before: Option<Rc<Driver>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        drop(CURRENT.replace(self.before.take()));
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("reactor", &self.reactor_name())
            .field("sources", &self.source_count())
            .finish_non_exhaustive()
    }
}

/// Wakes all, also when one of them panics; its panic goes on when the others are woken.
fn wake_all(wakers: &mut Vec<Waker>) {
    let mut panic = None;
    for waker in wakers.drain(..) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            panic.get_or_insert(payload);
        }
    }
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// The slots of all sources.
#[derive(Default)]
pub(crate) struct Slots {
    slab: Slab<Slot>,
    /// The next generation to give out. One sequence for all slots serves as well as one each.
    next_generation: u32,
}

impl Slots {
    fn insert(&mut self) -> Key {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        Key::new(self.slab.insert(Slot::new(generation)), generation)
    }

    fn remove(&mut self, key: Key) -> Option<Slot> {
        self.get_mut(key)?;
        Some(self.slab.remove(key.index()))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.slab
            .get_mut(key.index())
            .filter(|slot| slot.generation == key.generation())
    }

    fn take_event(&mut self, event: Event, wakers: &mut Vec<Waker>) {
        let Some(slot) = self.get_mut(Key::from_token(event.token)) else {
            return;
        };
        slot.is_undrainable |= event.is_undrainable;
        if event.is_readable {
            slot.set_ready(Direction::Read, wakers);
        }
        if event.is_writable {
            slot.set_ready(Direction::Write, wakers);
        }
    }

    fn into_wakers(self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for (_, mut slot) in self.slab {
            for waiters in &mut slot.waiters {
                waiters.take_all(&mut wakers);
            }
        }
        wakers
    }
}

/// A source: what it is ready for, and who waits.
pub(crate) struct Slot {
    generation: u32,
    /// See [`Event::is_undrainable`].
    is_undrainable: bool,
    is_ready: [bool; 2],
    waiters: [Waiters; 2],
}

/// Who waits for one direction of a source.
#[derive(Default)]
struct Waiters {
    /// Whoever has the direction to itself.
    owner: Option<Waker>,
    /// Those who share it, each under a key of its own. Boxed: few sources have any.
    sharers: Option<Box<Slab<Option<Waker>>>>,
}

impl Waiters {
    fn take_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.owner.take());
        if let Some(sharers) = &mut self.sharers {
            wakers.extend(sharers.iter_mut().filter_map(|(_, waker)| waker.take()));
        }
    }
}

impl Slot {
    fn new(generation: u32) -> Slot {
        Slot {
            generation,
            is_undrainable: false,
            is_ready: [false; 2],
            waiters: Default::default(),
        }
    }

    fn set_ready(&mut self, direction: Direction, wakers: &mut Vec<Waker>) {
        self.is_ready[direction as usize] = true;
        self.waiters[direction as usize].take_all(wakers);
    }

    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.is_ready[direction as usize]
    }

    /// Whether a short read does not mean that nothing is left.
    #[inline]
    pub(crate) fn is_undrainable(&self) -> bool {
        self.is_undrainable
    }

    /// Says that a direction is not ready. Returns whether it was until now.
    #[inline]
    fn clear(&mut self, direction: Direction) -> bool {
        std::mem::replace(&mut self.is_ready[direction as usize], false)
    }

    /// The waker of whoever has the direction to itself.
    #[inline]
    pub(crate) fn owner(&mut self, direction: Direction) -> &mut Option<Waker> {
        &mut self.waiters[direction as usize].owner
    }

    /// The wakers of those who share the direction.
    pub(crate) fn sharers(&mut self, direction: Direction) -> &mut Slab<Option<Waker>> {
        self.waiters[direction as usize]
            .sharers
            .get_or_insert_default()
    }
}
