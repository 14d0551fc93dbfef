//! The driver of a loop: a backend, the sources registered with it, and who waits for them.
//!
//! # Tokens
//! A source's token is its slot and the slot's generation, which changes each time the slot is given
//! up. An event that comes late, for a source that is gone, does not match and is dropped; so a
//! recycled slot never receives a stale event.
//!
//! What is ready, and who waits, is in the slot (see `slot`).

use std::any::Any;
#[cfg(unix)]
use std::cell::OnceCell;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem::{self, ManuallyDrop};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;
use tulipa_base::Instant;

use crate::backend::Choice;
use crate::fork;
use crate::reactor::{Event, Interest, Reactor, Token, Wait};
use crate::registration::{Direction, Key};
use crate::slot::Slot;
use crate::source::Source;
use crate::unparker::{Permission, Unparker};

/// How many wakers of one source may panic at one event before the rest of them is left unwoken.
const PANICS_PER_EVENT: u32 = 1000;

/// Waits for the operating system on behalf of one loop.
pub struct Driver {
    reactor: RefCell<Box<dyn Reactor>>,
    slots: RefCell<Slab<Rc<Slot>>>,
    /// The next generation to give out. One sequence for all slots serves as well as one each.
    next_generation: Cell<u32>,
    unparker: Arc<Unparker>,
    /// Kept for its memory.
    events: Cell<Vec<Event>>,
    needs_rearm: bool,
    /// Somebody else may wait for the reactor's descriptor: see [`Driver::prepare_wait`].
    is_prepared: Cell<bool>,
    /// A descriptor of our own for what the reactor's refers to, once somebody has asked for it.
    #[cfg(unix)]
    descriptor: OnceCell<OwnedFd>,
    /// In which process this was made: see `fork`.
    generation: u32,
    is_closed: Cell<bool>,
}

impl Driver {
    /// A driver on the backend chosen.
    ///
    /// # Errors
    /// See [`Choice::make`].
    pub fn new(choice: Choice) -> io::Result<Rc<Driver>> {
        fork::watch();
        let reactor = choice.make()?;
        Ok(Rc::new(Driver {
            unparker: Arc::new(Unparker::new(reactor.waker())),
            needs_rearm: reactor.needs_rearm(),
            reactor: RefCell::new(reactor),
            slots: RefCell::new(Slab::new()),
            next_generation: Cell::new(0),
            events: Cell::new(Vec::new()),
            is_prepared: Cell::new(false),
            #[cfg(unix)]
            descriptor: OnceCell::new(),
            generation: fork::generation(),
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
        self.slots.borrow().len()
    }

    /// Waits as long as `wait` says, and wakes whoever waits for what has happened.
    ///
    /// # Errors
    /// - What the operating system says.
    /// - In the child of a fork: the parent's loop cannot be used there, since the two share what they wait
    ///   for.
    pub fn park(&self, wait: Wait) -> io::Result<()> {
        self.ensure_same_process()?;
        let mut events = self.events.take();
        // A loop that only looks need not be told that it must not wait. If somebody else was to wait for
        // it, that is over.
        let is_prepared = self.is_prepared.take();
        let result = if wait == Wait::Poll && !is_prepared {
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
        let result = result.map_err(|error| self.cannot_wait(error));
        let panic = self.deliver(&events);
        events.clear();
        self.events.set(events);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        result
    }

    #[cold]
    fn cannot_wait(&self, error: io::Error) -> io::Error {
        let name = self.reactor_name();
        let message = format!("the reactor '{name}' cannot wait for events: {error}");
        io::Error::new(error.kind(), message)
    }

    /// Prepares for a wait that somebody else does, on [`Driver::descriptor`], for as long as the answer
    /// says at most. Until the next [`Driver::park`], unparking makes the descriptor readable, and so does
    /// the deadline where the backend can tell it (on Linux).
    ///
    /// # Errors
    /// `Unsupported`, when the backend has no descriptor. What the operating system says.
    pub fn prepare_wait(&self, wait: Wait) -> io::Result<Wait> {
        self.ensure_same_process()?;
        self.ensure_descriptor()?;
        // Also where there is no wait: the park that follows takes note of what the unparker says.
        self.is_prepared.set(true);
        if wait == Wait::Poll || self.unparker.prepare() == Permission::PollOnly {
            return Ok(Wait::Poll);
        }
        if let Wait::Until(deadline) = wait {
            self.reactor.borrow_mut().arm(deadline)?;
        }
        Ok(wait)
    }

    /// A descriptor that is readable when [`Driver::park`] would find something, if the backend has one.
    ///
    /// # Errors
    /// What the operating system says: it is a duplicate, made at the first call.
    #[cfg(unix)]
    pub fn descriptor(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        // The reactor's own cannot be lent for longer than the reactor is borrowed.
        if self.descriptor.get().is_none() {
            let reactor = self.reactor.borrow();
            let Some(fd) = reactor.as_fd() else {
                return Ok(None);
            };
            let _ = self.descriptor.set(fd.try_clone_to_owned()?); // It was empty.
        }
        Ok(self.descriptor.get().map(AsFd::as_fd))
    }

    fn ensure_descriptor(&self) -> io::Result<()> {
        #[cfg(unix)]
        if self.reactor.borrow().as_fd().is_some() {
            return Ok(());
        }
        let name = self.reactor_name();
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "the reactor '{name}' has no descriptor to be waited for here: turn it instead"
            ),
        ))
    }

    /// Says whether this driver is of this process, and not of the parent that forked it.
    ///
    /// # Errors
    /// One that names the remedy, in the child of a fork.
    pub fn ensure_same_process(&self) -> io::Result<()> {
        if self.is_inherited() {
            return Err(io::Error::other(
                "this event loop belongs to the parent process: start another one in the child",
            ));
        }
        Ok(())
    }

    /// Whether this is the child of a fork, and the driver its parent's.
    fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Delivers events to their slots. A waker that panics does not keep the others from being woken;
    /// the first panic is returned.
    fn deliver(&self, events: &[Event]) -> Option<Box<dyn Any + Send>> {
        let mut first_panic = None;
        let mut panics = 0;
        let mut next = 0;
        while next < events.len() {
            let delivered = catch_unwind(AssertUnwindSafe(|| {
                while let Some(event) = events.get(next) {
                    if let Some(slot) = self.slot(Key::from_token(event.token)) {
                        slot.deliver(event.readiness);
                    }
                    next += 1;
                    panics = 0;
                }
            }));
            let Err(payload) = delivered else { continue };
            // The event is delivered again: who has been woken is not woken twice. Unless wakers that
            // panic put themselves back, which must have an end.
            panics += 1;
            if panics > PANICS_PER_EVENT {
                next += 1;
            }
            match first_panic {
                None => first_panic = Some(payload),
                // Its destructor is anyone's code too; two panics are enough trouble.
                Some(_) => mem::forget(payload),
            }
        }
        first_panic
    }

    /// The slot of a source that is registered under this very key.
    #[inline]
    fn slot(&self, key: Key) -> Option<Rc<Slot>> {
        let slots = self.slots.borrow();
        let slot = slots.get(key.index())?;
        (slot.generation() == key.generation()).then(|| Rc::clone(slot))
    }

    pub(crate) fn register(
        &self,
        source: &mut dyn Source,
        interest: Interest,
    ) -> io::Result<Rc<Slot>> {
        if self.is_closed.get() {
            return Err(io::Error::other("the event loop is closed"));
        }
        self.ensure_same_process()?;
        let slot = self.new_slot(interest)?;
        let token = Key::of(&slot).token();
        if let Err(error) = self.reactor.borrow_mut().register(source, token, interest) {
            self.slots.borrow_mut().remove(slot.index());
            return Err(error);
        }
        Ok(slot)
    }

    fn new_slot(&self, interest: Interest) -> io::Result<Rc<Slot>> {
        let generation = self.next_generation.get();
        self.next_generation.set(Key::generation_after(generation));
        let mut slots = self.slots.borrow_mut();
        let place = slots.vacant_entry();
        if !Key::can_hold(place.key()) {
            return Err(io::Error::other("more sources than a token can tell apart"));
        }
        let slot = Rc::new(Slot::new(place.key(), generation, interest));
        place.insert(Rc::clone(&slot));
        Ok(slot)
    }

    /// Has the source reported afresh.
    pub(crate) fn reregister(&self, source: &mut dyn Source, slot: &Slot) -> io::Result<()> {
        if self.is_closed.get() || self.is_inherited() {
            return Ok(()); // Whoever waits is told elsewhere.
        }
        let token = Key::of(slot).token();
        let mut reactor = self.reactor.borrow_mut();
        reactor.reregister(source, token, slot.interest())
    }

    /// Gives a source's slot up and stops watching the source.
    pub(crate) fn deregister(&self, source: &mut dyn Source, slot: &Slot) -> io::Result<()> {
        if self.is_closed.get() {
            return Ok(());
        }
        let token = self.remove(slot);
        if self.is_inherited() {
            return Ok(()); // It would be deregistered for the parent too.
        }
        self.reactor.borrow_mut().deregister(source, token)
    }

    /// Gives a source's slot up; the caller closes the source next.
    pub(crate) fn forget(&self, slot: &Slot) {
        if !self.is_closed.get() {
            let token = self.remove(slot);
            self.reactor.borrow_mut().forget(token);
        }
    }

    fn remove(&self, slot: &Slot) -> Token {
        let removed = self.slots.borrow_mut().try_remove(slot.index());
        drop(removed);
        Key::of(slot).token()
    }

    #[inline]
    pub(crate) fn needs_rearm(&self) -> bool {
        self.needs_rearm
    }

    /// Asks the backend to report `direction` again.
    #[inline]
    pub(crate) fn rearm(&self, slot: &Slot, direction: Direction) {
        if self.needs_rearm && !self.is_closed.get() {
            let token = Key::of(slot).token();
            self.reactor.borrow_mut().rearm(token, direction.interest());
        }
    }

    /// Ends the driver: nothing is registered any more, and whoever waits is let go.
    pub fn close(&self) {
        self.is_closed.set(true);
        let slots = mem::take(&mut *self.slots.borrow_mut());
        for (_, slot) in &slots {
            slot.close();
        }
    }

    /// The driver of the loop that runs on this thread.
    pub fn current() -> Option<Rc<Driver>> {
        CURRENT.with_borrow(|current| Option::clone(current))
    }

    /// Forgets the driver of the loop that runs on this thread: for the child of a fork.
    pub fn forget_current() {
        // It is not dropped: that is left to the one who entered it, should it come to that.
        CURRENT_ADDRESS.set(0);
        let _ = CURRENT.try_with(|current| {
            if let Ok(mut current) = current.try_borrow_mut() {
                *current = ManuallyDrop::new(None);
            }
        });
    }

    /// Whether this is the driver of the loop that runs on this thread.
    pub(crate) fn is_current(self: &Rc<Driver>) -> bool {
        CURRENT_ADDRESS.get() == Rc::as_ptr(self).addr()
    }

    /// Makes this the current thread's driver, until the guard is dropped.
    pub fn enter(self: &Rc<Driver>) -> Entered {
        Entered {
            before: set_current(Some(Rc::clone(self))),
        }
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

thread_local! {
    /// Without a destructor, so that a runner kept in a thread-local of the program's can be dropped
    /// at whatever moment the thread ends. It is empty unless a guard lives.
    static CURRENT: RefCell<ManuallyDrop<Option<Rc<Driver>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
    /// Where it is, for a quick look: zero for none.
    static CURRENT_ADDRESS: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, a driver is the current thread's. See [`Driver::enter`].
#[derive(Debug)]
#[must_use = "the driver is current only as long as this lives"]
pub struct Entered {
    before: Option<Rc<Driver>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        drop(set_current(self.before.take()));
    }
}

/// Makes `driver` the current one, and returns the one before.
fn set_current(driver: Option<Rc<Driver>>) -> Option<Rc<Driver>> {
    CURRENT_ADDRESS.set(driver.as_ref().map_or(0, |it| Rc::as_ptr(it).addr()));
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(driver)))
}
