//! A source as the driver knows it: what it is ready for, and who waits.
//!
//! # Readiness
//! Backends report edges. The slot remembers, for each direction, that it is ready, until an operation
//! found it was not (or drained it) and says so with [`Slot::clear`]. So a task that comes later than
//! the event finds it, and one that comes earlier leaves its waker. Events arrive only while the driver
//! parks, on the same thread, so nothing comes between an operation and its clear.
//!
//! # Doubts
//! An operation that an event has led to, and that the system refuses all the same, leaves the slot in doubt: was the
//! event false, or the refusal? After a false refusal no edge would come until more arrives. So the
//! source is registered again, once, which has what it is ready for reported afresh; it is not done again before an
//! operation got on, so that a source whose events are false costs a system call, and does not spin. A
//! refusal that follows an operation which got on is the ordinary end of what was there, and is believed.
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

use crate::reactor::{Interest, Readiness};
use crate::registration::Direction;

/// What is known of a source, in bits. Those of a direction are shifted by its number.
type Bits = u16;

// The three lowest are those of `Readiness`, so that an event is added by one operation.
const READY: Bits = Readiness::READABLE.bits() as Bits;
const UNDRAINABLE: Bits = Readiness::UNDRAINABLE.bits() as Bits;
const WAITING: Bits = 1 << WAITING_SHIFT;
const SHARED: Bits = 1 << SHARED_SHIFT;
/// The driver is closed: nothing will be reported any more.
const CLOSED: Bits = 1 << 7;
/// An event has come, and no operation got on since.
const UNTRIED: Bits = 1 << UNTRIED_SHIFT;
/// Registered again because of a refusal, and no operation got on since.
const DOUBTED: Bits = 1 << DOUBTED_SHIFT;

const WAITING_SHIFT: u32 = 3;
const SHARED_SHIFT: u32 = 5;
const UNTRIED_SHIFT: u32 = 8;
const DOUBTED_SHIFT: u32 = 10;
const BOTH_DIRECTIONS: Bits = READY | READY << 1;
const _: () = assert!(Readiness::WRITABLE.bits() as Bits == READY << Direction::Write as u8);

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a source in doubt has to be registered again"]
pub enum Recheck {
    /// It is believed.
    Needless,
    /// The source has to be registered again.
    Needed,
}

pub(crate) struct Slot {
    index: usize,
    generation: u32,
    interest: Interest,
    bits: Cell<Bits>,
    /// Of those who have a direction to themselves.
    wakers: [Cell<Option<Waker>>; 2],
    /// Those who share a direction. Boxed: few sources have any.
    sharers: RefCell<Option<Box<Sharers>>>,
}

/// For each direction a place for each who shares it, empty once woken.
type Sharers = [Slab<Option<Waker>>; 2];

impl Slot {
    pub(crate) fn new(index: usize, generation: u32, interest: Interest) -> Slot {
        Slot {
            index,
            generation,
            interest,
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

    /// What the source is registered for.
    pub(crate) fn interest(&self) -> Interest {
        self.interest
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

    /// Takes note that an operation in `direction` got on.
    #[inline]
    pub(crate) fn got_on(&self, direction: Direction) {
        self.unset((UNTRIED | DOUBTED) << direction as u8);
    }

    /// Takes note that the system refused an operation: `direction` is not ready, or the slot in doubt.
    #[inline]
    pub(crate) fn refused(&self, direction: Direction) -> Recheck {
        let bits = self.bits.get() >> direction as u8;
        self.unset((READY | UNTRIED) << direction as u8);
        if bits & (UNTRIED | DOUBTED) != UNTRIED {
            return Recheck::Needless;
        }
        self.set(DOUBTED << direction as u8);
        Recheck::Needed
    }

    /// Takes note of an event, and wakes who waited for it.
    #[inline]
    pub(crate) fn deliver(&self, readiness: Readiness) {
        let told = Bits::from(readiness.bits());
        let bits = self.bits.get() | told | (told & BOTH_DIRECTIONS) << UNTRIED_SHIFT;
        self.bits.set(bits);
        let waited_for = (bits >> WAITING_SHIFT | bits >> SHARED_SHIFT) & told;
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const READ: Direction = Direction::Read;
    const WRITE: Direction = Direction::Write;

    fn slot() -> Slot {
        Slot::new(0, 0, Interest::Both)
    }

    #[test]
    fn a_refusal_right_after_an_event_is_doubted_once() {
        let slot = slot();
        for _ in 0..2 {
            slot.deliver(Readiness::READABLE);
            assert_eq!(slot.refused(READ), Recheck::Needed);
            assert!(!slot.is_ready(READ));
            for _ in 0..3 {
                slot.deliver(Readiness::READABLE);
                assert_eq!(slot.refused(READ), Recheck::Needless, "it would spin");
            }
            slot.got_on(READ);
        }
    }

    #[test]
    fn a_refusal_after_an_operation_that_got_on_is_believed() {
        let slot = slot();
        slot.deliver(Readiness::READABLE);
        slot.got_on(READ);
        assert!(slot.is_ready(READ), "there may be more");
        assert_eq!(slot.refused(READ), Recheck::Needless);
        assert_eq!(slot.refused(READ), Recheck::Needless, "no event at all");
    }

    #[test]
    fn directions_are_doubted_apart() {
        let slot = slot();
        slot.deliver(Readiness::READABLE.with_if(Readiness::WRITABLE, true));
        slot.got_on(WRITE);
        assert_eq!(slot.refused(WRITE), Recheck::Needless);
        assert!(slot.is_ready(READ) && !slot.is_ready(WRITE));
        assert_eq!(slot.refused(READ), Recheck::Needed);
        slot.deliver(Readiness::WRITABLE);
        assert_eq!(slot.refused(WRITE), Recheck::Needed);
    }
}
