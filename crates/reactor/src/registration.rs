//! A source's place in a driver: asks for readiness, and waits for it.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::driver::Driver;
use crate::reactor::{Interest, Token};
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
    pub(crate) fn new(index: usize, generation: u32) -> Key {
        let index = u32::try_from(index).expect("there are fewer than 2^32 descriptors");
        Key {
            index,
            generation: generation & GENERATION_MASK as u32,
        }
    }

    pub(crate) fn token(self) -> Token {
        Token((self.generation as usize) << INDEX_BITS | self.index as usize)
    }

    pub(crate) fn from_token(token: Token) -> Key {
        let index = token.0 & ((1 << INDEX_BITS) - 1);
        Key {
            index: index as u32,
            generation: (token.0 >> INDEX_BITS) as u32,
        }
    }

    pub(crate) fn index(self) -> usize {
        self.index as usize
    }

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
    key: Key,
    is_deregistered: Cell<bool>,
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
        let key = driver.register(source, interest)?;
        Ok(Registration {
            driver: Rc::clone(driver),
            key,
            is_deregistered: Cell::new(false),
        })
    }

    /// The driver it is registered with.
    pub fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    /// Whether the last that was heard of `direction` is that it is ready.
    ///
    /// # Errors
    /// When the loop is closed.
    #[inline]
    pub fn is_ready(&self, direction: Direction) -> io::Result<bool> {
        match self.driver.slots.borrow_mut().get_mut(self.key) {
            Some(slot) => Ok(slot.is_ready(direction)),
            None => Err(closed()),
        }
    }

    /// Takes note that an operation found the source not ready: `WouldBlock`.
    #[inline]
    pub fn clear(&self, direction: Direction) {
        self.driver.clear(self.key, direction);
    }

    /// Takes note that a read found less than it asked for: all there was. The next read need not ask
    /// the kernel before it is told of more, unless the end of the stream was reported, of which
    /// nobody will be told again.
    #[inline]
    pub fn clear_drained(&self) {
        let is_undrainable = match self.driver.slots.borrow_mut().get_mut(self.key) {
            Some(slot) => slot.is_undrainable(),
            None => return,
        };
        if !is_undrainable {
            self.driver.clear(self.key, Direction::Read);
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
        let before = {
            let mut slots = self.driver.slots.borrow_mut();
            let Some(slot) = slots.get_mut(self.key) else {
                return Poll::Ready(Err(closed()));
            };
            if slot.is_ready(direction) {
                return Poll::Ready(Ok(()));
            }
            let owner = slot.owner(direction);
            if owner
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                return Poll::Pending;
            }
            owner.take()
        };
        self.assert_current();
        // Dropping and cloning wakers may be anyone's code: no borrow is held.
        drop(before);
        let waker = cx.waker().clone();
        match self.driver.slots.borrow_mut().get_mut(self.key) {
            Some(slot) => *slot.owner(direction) = Some(waker),
            None => return Poll::Ready(Err(closed())),
        }
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
        self.is_deregistered.set(true);
        self.driver.deregister(source, self.key)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.is_deregistered.get() && !self.driver.is_closed() {
            self.driver.forget(self.key);
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("key", &self.key)
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
        let waker = cx.waker().clone();
        let before = {
            let mut slots = self.registration.driver.slots.borrow_mut();
            let Some(slot) = slots.get_mut(self.registration.key) else {
                return Poll::Ready(Err(closed()));
            };
            if slot.is_ready(self.direction) {
                return Poll::Ready(Ok(()));
            }
            self.registration.assert_current();
            let sharers = slot.sharers(self.direction);
            match self.key.get() {
                Some(key) => sharers[key].replace(waker),
                None => {
                    self.key.set(Some(sharers.insert(Some(waker))));
                    None
                }
            }
        };
        drop(before);
        Poll::Pending
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key.get() else { return };
        let waker = {
            let mut slots = self.registration.driver.slots.borrow_mut();
            slots
                .get_mut(self.registration.key)
                .and_then(|slot| slot.sharers(self.direction).try_remove(key))
        };
        drop(waker);
    }
}
