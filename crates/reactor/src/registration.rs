//! A source's place in a driver: asks for readiness, and waits for it.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::driver::Driver;
use crate::reactor::{Interest, Token};
use crate::slot::{Recheck, Slot};
use crate::source::Source;

/// One way of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading and accepting.
    Read = 0,
    /// Writing and connecting.
    Write = 1,
}

impl Direction {
    pub(crate) fn interest(self) -> Interest {
        match self {
            Direction::Read => Interest::Read,
            Direction::Write => Interest::Write,
        }
    }
}

/// A slot and its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

/// Bits of a token for the slot; the rest, fewer where `usize` is small, is the generation.
const INDEX_BITS: u32 = usize::BITS / 2;
/// The topmost bit stays clear, so that no token meets the ones that backends keep for themselves.
const GENERATION_MASK: usize = usize::MAX >> (INDEX_BITS + 1);

impl Key {
    pub(crate) fn of(slot: &Slot) -> Key {
        let index = u32::try_from(slot.index()).expect("there are fewer than 2^32 descriptors");
        Key {
            index,
            generation: slot.generation(),
        }
    }

    /// Whether a token has room for this index. It has, but where addresses are of 32 bits.
    pub(crate) fn can_hold(index: usize) -> bool {
        index >> INDEX_BITS == 0 && u32::try_from(index).is_ok()
    }

    /// The generation to give out after `generation`.
    pub(crate) fn generation_after(generation: u32) -> u32 {
        generation.wrapping_add(1) & GENERATION_MASK as u32
    }

    #[inline]
    pub(crate) fn token(self) -> Token {
        Token((self.generation as usize) << INDEX_BITS | self.index as usize)
    }

    #[inline]
    pub(crate) fn from_token(token: Token) -> Key {
        let index = token.0 & ((1 << INDEX_BITS) - 1);
        Key {
            index: index as u32,
            generation: (token.0 >> INDEX_BITS) as u32,
        }
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }

    #[inline]
    pub(crate) fn generation(self) -> u32 {
        self.generation
    }
}

/// A source's registration with the driver of a loop.
///
/// It must be given up, by [`deregister`](Registration::deregister) or by dropping it, before the
/// source is closed; whoever holds both keeps that order.
pub struct Registration {
    driver: Rc<Driver>,
    slot: Rc<Slot>,
}

impl Registration {
    /// Registers `source` for both directions.
    ///
    /// # Errors
    /// What the operating system says; an error when the driver is closed.
    pub fn new(driver: &Rc<Driver>, source: &mut dyn Source) -> io::Result<Registration> {
        Registration::with_interest(driver, source, Interest::Both)
    }

    /// Registers `source` for the directions of `interest`.
    ///
    /// # Errors
    /// What the operating system says; an error when the driver is closed.
    pub fn with_interest(
        driver: &Rc<Driver>,
        source: &mut dyn Source,
        interest: Interest,
    ) -> io::Result<Registration> {
        let slot = driver.register(source, interest)?;
        Ok(Registration {
            driver: Rc::clone(driver),
            slot,
        })
    }

    /// The driver it is registered with.
    pub fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    /// Whether the last that was heard of `direction` is that it is ready.
    #[inline]
    pub fn is_ready(&self, direction: Direction) -> bool {
        self.slot.is_ready(direction)
    }

    /// Takes note that an operation in `direction` got on.
    #[inline]
    pub fn got_on(&self, direction: Direction) {
        self.slot.got_on(direction);
    }

    /// Takes note that the system refused an operation: `WouldBlock`. If an event had just said otherwise, the source
    /// has to be [registered again](Registration::reregister), since one of the two was false.
    #[inline]
    pub fn refused(&self, direction: Direction) -> Recheck {
        let recheck = self.slot.refused(direction);
        if self.driver.needs_rearm() {
            self.driver.rearm(&self.slot, direction);
            return Recheck::Needless; // It is reported again if it is ready.
        }
        recheck
    }

    /// Registers `source`, which is the one of this registration, again: what it is ready for is reported afresh.
    ///
    /// # Errors
    /// What the operating system says.
    #[cold]
    pub fn reregister(&self, source: &mut dyn Source) -> io::Result<()> {
        self.driver.reregister(source, &self.slot)
    }

    /// Takes note that the source is not ready, of which there is no doubt.
    #[inline]
    pub fn clear(&self, direction: Direction) {
        self.slot.clear(direction);
        self.driver.rearm(&self.slot, direction);
    }

    /// Takes note that a read found less than it asked for: all there was. The next read need not ask
    /// the kernel before it is told of more, unless the end of the stream was reported, of which
    /// nobody will be told again.
    #[inline]
    pub fn clear_drained(&self) {
        if !self.slot.is_undrainable() {
            self.clear(Direction::Read);
        }
    }

    /// Waits until `direction` is ready. For a caller that has the direction to itself: a later call
    /// replaces the waker of an earlier one.
    ///
    /// # Errors
    /// When the loop is closed.
    ///
    /// # Panics
    /// When it would have to wait in another loop than the one the source is registered with.
    #[inline]
    pub fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.slot.is_ready(direction) {
            return Poll::Ready(Ok(()));
        }
        if self.slot.is_closed() {
            return Poll::Ready(Err(closed()));
        }
        self.assert_current();
        self.slot.wait(direction, cx.waker());
        Poll::Pending
    }

    /// Waits until `direction` is ready. Any number of callers may wait: all are woken.
    ///
    /// # Errors
    /// When the loop is closed.
    ///
    /// # Panics
    /// When it would have to wait in another loop than the one the source is registered with.
    ///
    /// # Cancel safety
    /// Safe: a dropped call leaves the others waiting.
    pub async fn ready_shared(&self, direction: Direction) -> io::Result<()> {
        let waiter = Waiter {
            registration: self,
            direction,
            key: Cell::new(None),
        };
        poll_fn(|cx| waiter.poll(cx)).await
    }

    #[inline]
    fn assert_current(&self) {
        assert!(
            self.driver.is_current(),
            "a socket that belongs to another event loop is awaited here: use it where it was made, \
             or move it with into_std and from_std"
        );
    }

    /// Gives the registration up and stops watching `source`, which stays open.
    ///
    /// # Errors
    /// What the operating system says. The registration is gone all the same.
    pub fn deregister(self, source: &mut dyn Source) -> io::Result<()> {
        let result = self.driver.deregister(source, &self.slot);
        self.slot.close(); // So that dropping it does nothing more.
        result
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.slot.is_closed() {
            self.driver.forget(&self.slot);
            self.slot.close();
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("key", &Key::of(&self.slot))
            .finish_non_exhaustive()
    }
}

#[cold]
fn closed() -> io::Error {
    io::Error::other("the event loop that this socket belongs to is closed")
}

/// One of several who wait for the same direction.
struct Waiter<'a> {
    registration: &'a Registration,
    direction: Direction,
    key: Cell<Option<usize>>,
}

impl Waiter<'_> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let slot = &self.registration.slot;
        if slot.is_ready(self.direction) {
            return Poll::Ready(Ok(()));
        }
        if slot.is_closed() {
            return Poll::Ready(Err(closed()));
        }
        self.registration.assert_current();
        let waker = cx.waker().clone();
        self.key.set(Some(slot.wait_shared(
            self.direction,
            self.key.get(),
            waker,
        )));
        Poll::Pending
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            self.registration.slot.leave_shared(self.direction, key);
        }
    }
}
