//! A place for one waker: where only one can wait, a list would cost more than it gives.
//!
//! # Rules
//! 1. Whoever waits [registers](WakerSlot::register) first and looks afterwards whether there is something: cloning a waker, and dropping
//!    the one before, may be anyone's code, and bring it.
//! 2. Whoever has something puts it where it is found, and [wakes](WakerSlot::wake) last. The waker is taken out
//!    before it runs, so that it may register another one, or whatever it likes.
//! 3. A future that is dropped while it waits [clears](WakerSlot::clear) the slot, so that no task is kept, or woken, for nothing. What was to be
//!    given to it is not in the future but in the channel: nothing is to be passed on.

use std::cell::Cell;
use std::task::Waker;

#[derive(Default)]
pub(crate) struct WakerSlot(Cell<Option<Waker>>);

impl WakerSlot {
    pub(crate) const fn new() -> WakerSlot {
        WakerSlot(Cell::new(None))
    }

    /// Says whom to wake. The caller looks again afterwards: rule 1.
    #[inline]
    pub(crate) fn register(&self, waker: &Waker) {
        let before = self.0.take();
        let is_same = before.as_ref().is_some_and(|it| it.will_wake(waker));
        // While the new one is cloned the old one is in its place.
        self.0.set(before);
        if !is_same {
            let new = waker.clone();
            drop(self.0.replace(Some(new)));
        }
    }

    /// Wakes whoever has registered. May run anyone's code.
    #[inline]
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Forgets whoever has registered. May run anyone's code.
    #[inline]
    pub(crate) fn clear(&self) {
        drop(self.take());
    }

    #[inline]
    pub(crate) fn take(&self) -> Option<Waker> {
        self.0.take()
    }
}
