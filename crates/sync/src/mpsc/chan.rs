//! What a channel consists of: the queue, the slots, and those who wait.
//!
//! A channel without a bound has as many slots as can be counted, so that both kinds are one.
//!
//! # Invariants
//! 1. Of the slots, `slots.available()` are free, one is taken by each message in the queue (but for those `without_slot`), and the others are reserved: by
//!    permits, and by futures that were given one and have not run yet.
//! 2. When the receiver is gone, nothing is in the queue, and nothing is put there.
//! 3. While the queue is borrowed messages are moved, and nobody else's code runs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Poll, ready};

use tulipa_base::budget;

use super::errors::SendError;
use crate::ending::Ending;
use crate::permits::{Permits, has_permits};
use crate::seen::Seen;
use crate::wait_list::Panics;
use crate::waker_slot::WakerSlot;

pub(super) struct Chan<T> {
    queue: RefCell<VecDeque<T>>,
    pub(super) slots: Permits,
    /// Messages in the queue whose slots have been given back: they were put back when a waker panicked.
    without_slot: Cell<usize>,
    pub(super) capacity: usize,
    /// The receiver, which waits for a message or the end.
    receiver: WakerSlot,
    senders: Cell<usize>,
    /// The receiver accepts nothing more.
    pub(super) closed: Ending,
    is_receiver_gone: Cell<bool>,
    seen: Seen,
}

has_permits!([T] Chan<T>, slots);

impl<T> Chan<T> {
    /// A channel with one sender.
    pub(super) fn new(capacity: usize) -> Chan<T> {
        Chan {
            queue: RefCell::new(VecDeque::new()),
            slots: Permits::new("mpsc slot", capacity, usize::MAX),
            without_slot: Cell::new(0),
            capacity,
            receiver: WakerSlot::new(),
            senders: Cell::new(1),
            closed: Ending::new("mpsc receiver's end"),
            is_receiver_gone: Cell::new(false),
            seen: Seen::new("mpsc message"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    pub(super) fn senders(&self) -> usize {
        self.senders.get()
    }

    pub(super) fn add_sender(&self) {
        self.senders.set(self.senders.get() + 1);
    }

    /// The last one ends the channel.
    #[inline]
    pub(super) fn remove_sender(&self) {
        let left = self.senders.get() - 1;
        self.senders.set(left);
        if left == 0 {
            self.receiver.wake();
        }
    }

    /// Sends a message by a slot that the caller has.
    #[inline]
    pub(super) fn send(&self, message: T) -> Result<(), SendError<T>> {
        if !self.accepts() {
            return Err(SendError(message));
        }
        self.queue.borrow_mut().push_back(message);
        self.receiver.wake();
        Ok(())
    }

    /// Whether a slot that was just given is of use. It is given back if not: the receiver has gone since.
    #[inline]
    pub(super) fn accepts(&self) -> bool {
        let is_gone = self.is_receiver_gone.get();
        if is_gone {
            self.slots.release(1);
        }
        !is_gone
    }

    /// Gives back a slot that was not used.
    #[inline]
    pub(super) fn release_slot(&self) {
        self.slots.release(1);
        self.settle();
    }

    /// A slot may have been given back, which a closed receiver waits for.
    #[inline]
    pub(super) fn settle(&self) {
        if self.closed.is_over() && self.has_ended() {
            self.receiver.wake();
        }
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let message = self.queue.borrow_mut().pop_front()?;
        if self.slots_of(1) == 0 {
            return Some(message);
        }
        let held = Held {
            chan: self,
            message: Some(message),
        };
        self.slots.release(1);
        held.take()
    }

    /// How many slots so many messages have, which have just been taken.
    #[inline]
    fn slots_of(&self, count: usize) -> usize {
        let without = self.without_slot.get();
        if without == 0 {
            return count;
        }
        let without_now = without.min(count);
        self.without_slot.set(without - without_now);
        count - without_now
    }

    /// Moves up to so many messages, and says how many.
    fn pop_many(&self, buffer: &mut Vec<T>, limit: usize) -> Option<usize> {
        let count = {
            let mut queue = self.queue.borrow_mut();
            let count = queue.len().min(limit);
            buffer.extend(queue.drain(..count));
            count
        };
        self.slots.release(self.slots_of(count));
        (count > 0).then_some(count)
    }

    /// Whether no message is there, and none will come.
    pub(super) fn has_ended(&self) -> bool {
        self.len() == 0 && self.nothing_will_come()
    }

    pub(super) fn nothing_will_come(&self) -> bool {
        // A slot that was reserved before the receiver closed may still be used, as long as there is a sender to use it.
        let taken = || self.len() - self.without_slot.get();
        let is_reserved = || self.slots.available() + taken() < self.capacity;
        self.senders.get() == 0 || (self.closed.is_over() && !is_reserved())
    }

    #[inline]
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_with(cx, || self.pop())
    }

    /// Yields how many, zero at the end.
    pub(super) fn poll_recv_many(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        self.poll_with(cx, || self.pop_many(buffer, limit))
            .map(Option::unwrap_or_default)
    }

    #[inline]
    fn poll_with<R>(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut() -> Option<R>,
    ) -> Poll<Option<R>> {
        ready!(budget::poll_consume(cx));
        if let Some(taken) = take() {
            return Poll::Ready(Some(taken));
        }
        if self.has_ended() {
            return Poll::Ready(None);
        }
        self.receiver.register(cx.waker());
        // That may have been anyone's code.
        let taken = take();
        if taken.is_some() || self.has_ended() {
            self.stop_waiting();
            return Poll::Ready(taken);
        }
        budget::refund();
        self.seen.note_wait(None);
        Poll::Pending
    }

    /// The receiver waits no more.
    pub(super) fn stop_waiting(&self) {
        self.receiver.clear();
    }

    /// Accepts nothing more.
    pub(super) fn close(&self) {
        if self.closed.is_over() {
            return;
        }
        // Before anyone's code runs, so that nobody finds it half closed.
        self.closed.mark();
        let mut panics = Panics::default();
        panics.catch(|| self.slots.close());
        panics.catch(|| self.closed.declare());
        panics.resume();
    }

    /// Closes, and drops what is in the queue.
    pub(super) fn drop_receiver(&self) {
        self.is_receiver_gone.set(true);
        let messages = mem::take(&mut *self.queue.borrow_mut());
        let waker = self.receiver.take();
        // Should this panic, the rest is dropped all the same, and on the way to whoever catches it.
        self.close();
        self.slots.release(self.slots_of(messages.len()));
        drop(messages);
        drop(waker);
    }
}

/// A message that is about to be returned, and is put back if the waker of the next sender panics before.
struct Held<'a, T> {
    chan: &'a Chan<T>,
    message: Option<T>,
}

impl<T> Held<'_, T> {
    #[inline]
    fn take(mut self) -> Option<T> {
        self.message.take()
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.chan.queue.borrow_mut().push_front(message);
            let without = &self.chan.without_slot;
            without.set(without.get() + 1);
        }
    }
}
