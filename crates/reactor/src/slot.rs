//! A source as the driver knows it: what it is ready for, and who waits.
//!
//! # Readiness
//! Backends report edges. The slot remembers, for each direction, that it is ready, until an operation
//! found it was not (or drained it) and says so with [`Slot::clear`]. So a task that comes later than
//! the event finds it, and one that comes earlier leaves its waker. Events arrive only while the driver
//! parks, on the same thread, so nothing comes between an operation and its clear.
//!
//! # Waiters
//! A direction mostly belongs to one waiter. Its waker stays in place when it has been woken, since it
//! will come again with the same one: only the bit that says it waits is cleared. Where several share a
//! direction (accepting from one listener), each has a place of its own.
//!
//! # User code
//! Wakers may be anyone's code, which may use this very slot. None is cloned, woken or dropped while
//! something here is borrowed.

use std::cell::{Cell, RefCell};
use std::mem;
use std::task::Waker;

use slab::Slab;

use crate::reactor::Readiness;
use crate::registration::Direction;

/// What is known of a source, in bits. Those of a direction are shifted by its number.
type Bits = u8;

// The three lowest are those of `Readiness`, so that an event is added by one operation.
const READY: Bits = Readiness::READABLE.bits();
const UNDRAINABLE: Bits = Readiness::UNDRAINABLE.bits();
const WAITING: Bits = 1 << WAITING_SHIFT;
const SHARED: Bits = 1 << SHARED_SHIFT;
/// The driver is closed: nothing will be reported any more.
const CLOSED: Bits = 1 << 7;

const WAITING_SHIFT: u32 = 3;
const SHARED_SHIFT: u32 = 5;
const BOTH_DIRECTIONS: Bits = READY | READY << 1;
const _: () = assert!(Readiness::WRITABLE.bits() == READY << Direction::Write as u8);

pub(crate) struct Slot {
    index: usize,
    generation: u32,
    bits: Cell<Bits>,
    /// Of those who have a direction to themselves.
    wakers: [Cell<Option<Waker>>; 2],
    /// Those who share a direction. Boxed: few sources have any.
    sharers: RefCell<Option<Box<Sharers>>>,
}

/// For each direction a place for each who shares it, empty once woken.
type Sharers = [Slab<Option<Waker>>; 2];

impl Slot {
    pub(crate) fn new(index: usize, generation: u32) -> Slot {
        Slot {
            index,
            generation,
            bits: Cell::new(0),
            wakers: Default::default(),
            sharers: RefCell::new(None),
        }
    }

    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    fn has(&self, bits: Bits) -> bool {
        self.bits.get() & bits != 0
    }

    #[inline]
    fn set(&self, bits: Bits) {
        self.bits.set(self.bits.get() | bits);
    }

    #[inline]
    fn unset(&self, bits: Bits) {
        self.bits.set(self.bits.get() & !bits);
    }

    /// Whether the last that was heard of `direction` is that it is ready.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.has(READY << direction as u8)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.has(CLOSED)
    }

    #[inline]
    pub(crate) fn is_undrainable(&self) -> bool {
        self.has(UNDRAINABLE)
    }

    /// Takes note that `direction` is not ready.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) {
        self.unset(READY << direction as u8);
    }

    /// Takes note of an event, and wakes who waited for it.
    #[inline]
    pub(crate) fn deliver(&self, readiness: Readiness) {
        let bits = self.bits.get() | readiness.bits();
        self.bits.set(bits);
        let waited_for = (bits >> WAITING_SHIFT | bits >> SHARED_SHIFT) & readiness.bits();
        if waited_for & BOTH_DIRECTIONS != 0 {
            if readiness.contains(Readiness::READABLE) {
                self.wake(Direction::Read);
            }
            if readiness.contains(Readiness::WRITABLE) {
                self.wake(Direction::Write);
            }
        }
    }

    #[inline]
    fn wake(&self, direction: Direction) {
        if self.has(SHARED << direction as u8) {
            self.wake_sharers(direction);
        }
        if !self.has(WAITING << direction as u8) {
            return;
        }
        self.unset(WAITING << direction as u8);
        let place = &self.wakers[direction as usize];
        if let Some(waker) = place.take() {
            waker.wake_by_ref();
            // Unless the wake itself has left another one here, it may serve again.
            match place.take() {
                None => place.set(Some(waker)),
                newer => place.set(newer),
            }
        }
    }

    /// Wakes those who share `direction`, one by one: should one panic, the others still wait.
    #[cold]
    fn wake_sharers(&self, direction: Direction) {
        loop {
            let waker = match &mut *self.sharers.borrow_mut() {
                Some(sharers) => sharers[direction as usize]
                    .iter_mut()
                    .find_map(|(_, it)| it.take()),
                None => None,
            };
            match waker {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    /// Leaves the waker of one who has `direction` to itself.
    #[inline]
    pub(crate) fn wait(&self, direction: Direction, waker: &Waker) {
        self.set(WAITING << direction as u8);
        let place = &self.wakers[direction as usize];
        let before = place.take();
        if before.as_ref().is_some_and(|it| it.will_wake(waker)) {
            place.set(before);
        } else {
            drop(before);
            let waker = waker.clone();
            drop(place.replace(Some(waker)));
        }
    }

    /// Leaves a waker of one who shares `direction`: in the place of `key`, or in a new one.
    pub(crate) fn wait_shared(
        &self,
        direction: Direction,
        key: Option<usize>,
        waker: Waker,
    ) -> usize {
        self.set(SHARED << direction as u8);
        let (key, before) = {
            let mut sharers = self.sharers.borrow_mut();
            let sharers = &mut sharers.get_or_insert_default()[direction as usize];
            match key {
                Some(key) => (key, sharers[key].replace(waker)),
                None => (sharers.insert(Some(waker)), None),
            }
        };
        drop(before);
        key
    }

    /// Gives the place of one who shared `direction` up.
    pub(crate) fn leave_shared(&self, direction: Direction, key: usize) {
        let waker = match &mut *self.sharers.borrow_mut() {
            Some(sharers) => {
                let sharers = &mut sharers[direction as usize];
                let waker = sharers.try_remove(key);
                if sharers.is_empty() {
                    self.unset(SHARED << direction as u8);
                }
                waker
            }
            None => None,
        };
        drop(waker);
    }

    /// Says that nothing will be reported any more, and forgets who waits.
    pub(crate) fn close(&self) {
        self.bits.set(CLOSED);
        let wakers = [self.wakers[0].take(), self.wakers[1].take()];
        let sharers = mem::take(&mut *self.sharers.borrow_mut());
        drop((wakers, sharers));
    }
}
