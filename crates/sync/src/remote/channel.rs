//! What both kinds of [`mpsc`](super::mpsc) channels consist of: a queue behind a lock, with a bound or without.
//!
//! # The way of an item
//! ```text
//!            1 try_send, 2 poll_send                3 refill              4 pop
//!   sender ───────────────────────────▶ queue ────────────────▶ batch ──────────▶ receiver
//!                                    (locked)                (receiver's own)
//! ```
//! The receiver takes everything that is there at once, by a swap: so it takes one lock for a batch, and the
//! vectors go round. A sender wakes the receiver only if that has gone to sleep, which its waker in the state says.
//!
//! # The bound
//! A slot is taken, under the lock, before an item is pushed, and freed when the receiver hands the item out: items in its
//! batch still count. There are never more slots taken than the capacity. The counts only grow: `sent`, under the lock, and
//! `received`, of which only the receiver adds to, without a lock. Senders look at the latter only when by
//! what they saw last there is no room, so that it usually stays in the receiver's cache.
//!
//! A sender that has to wait sets [`WAITING`] in the same word, and looks once more at the count that came with it: either
//! it sees the slot that the receiver is just freeing, or the receiver sees the bit, and serves those who wait. While
//! somebody waits nobody else takes a slot. A slot that is granted belongs to the one who waits; if it is dropped
//! before it has used it, the next one gets it.
//!
//! # Invariants
//! 1. While the lock is free and somebody waits for a slot, `WAITING` is set, and there is no room, or whoever has made
//!    some is about to take the lock.
//! 2. While the lock is free and the queue is not empty, there is no waker of the receiver: it was taken out by whoever
//!    pushed, and is being woken.
//! 3. After the channel is closed nothing is pushed, and nobody enters a list.
//! 4. Nobody else's code runs while the lock is held.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::waiters::{Ticket, Waiters};
use crate::shim::{AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::wait_list::Panics;

/// One item, in the counts.
const STEP: usize = 2;

/// In the word `received`: a sender waits for a slot.
const WAITING: usize = 1;

/// More slots than this are never taken: by far less than what the counts can tell apart, and more than fits into memory.
const MAX_CAPACITY: usize = usize::MAX >> 3;

/// A batch that was this much larger than what comes now is given back to the allocator: after a burst, memory
/// shrinks. Less would do it at each change of pace, more would keep what nobody uses.
const SHED_FACTOR: usize = 8;

/// Batches up to this many items are kept anyway.
const SHED_FROM: usize = 1024;

pub(super) struct Channel<T> {
    state: Mutex<State<T>>,
    capacity: Option<usize>,
    senders: AtomicUsize,
    received: OwnLine<AtomicUsize>,
}

/// Keeps a word that one thread writes all the time from those that others do.
#[repr(align(128))]
struct OwnLine<T>(T);

struct State<T> {
    queue: VecDeque<T>,
    /// Wakes the receiver, which waits for an item.
    receiver: Option<Waker>,
    /// The receiver takes what is there, but no more.
    is_closed: bool,
    /// There are no senders any more.
    is_disconnected: bool,
    /// Slots that were taken, in `STEP`s.
    sent: usize,
    /// Slots that were freed, in `STEP`s, as a sender has seen it last.
    received: usize,
    /// Senders that wait for a slot.
    waiters: Waiters,
    /// Senders that wait for the end.
    watchers: Waiters,
}

/// Why an item was not sent.
pub(super) enum Refused<T> {
    Full(T),
    Closed(T),
}

/// What became of an item that may wait.
pub(super) enum Offered<T> {
    Sent(Wake),
    Closed(T),
    Waits(T, Ticket),
}

/// Whom to wake, when everything else is in order.
#[must_use = "the receiver sleeps until it is woken"]
pub(super) struct Wake(Option<Waker>);

impl Wake {
    #[inline]
    pub(super) fn wake(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

impl<T> State<T> {
    #[inline]
    fn used(&self) -> usize {
        self.sent.wrapping_sub(self.received) / STEP
    }

    #[inline]
    fn push(&mut self, item: T) -> Wake {
        self.queue.push_back(item);
        Wake(self.receiver.take())
    }

    #[inline]
    fn is_at_end(&self) -> bool {
        self.is_closed || self.is_disconnected
    }
}

impl<T> Channel<T> {
    /// A channel with one sender.
    pub(super) fn new(capacity: Option<usize>) -> Arc<Channel<T>> {
        Arc::new(Channel {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                receiver: None,
                is_closed: false,
                is_disconnected: false,
                sent: 0,
                received: 0,
                waiters: Waiters::new(),
                watchers: Waiters::new(),
            }),
            capacity: capacity.map(|it| it.min(MAX_CAPACITY)),
            senders: AtomicUsize::new(1),
            received: OwnLine(AtomicUsize::new(0)),
        })
    }

    pub(super) fn max_capacity(&self) -> usize {
        self.capacity.unwrap_or(usize::MAX)
    }

    /// The slots that are left.
    pub(super) fn capacity(&self) -> usize {
        let mut state = self.state.lock();
        self.look(&mut state);
        self.max_capacity().saturating_sub(state.used())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Whether nothing can be received any more but what is there.
    pub(super) fn is_at_end(&self) -> bool {
        self.state.lock().is_at_end()
    }

    /// How many items the receiver has not taken into its batch.
    pub(super) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    pub(super) fn add_sender(&self) {
        // More than an `Arc` counts cannot be: each one has one.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// The same, if there is one.
    pub(super) fn try_add_sender(&self) -> bool {
        let add = |senders: usize| (senders > 0).then(|| senders + 1);
        self.senders
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }

    pub(super) fn remove_sender(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = self.state.lock();
            state.is_disconnected = true;
            let wake = Wake(state.receiver.take());
            drop(state);
            wake.wake();
        }
    }

    #[inline]
    pub(super) fn try_send(&self, item: T) -> Result<(), Refused<T>> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Refused::Closed(item));
        }
        if !self.try_take_slot(&mut state) {
            return Err(Refused::Full(item));
        }
        let wake = state.push(item);
        drop(state);
        wake.wake();
        Ok(())
    }

    /// Sends an item, or enters the list of those who wait for a slot.
    #[cold]
    pub(super) fn send_or_enter(&self, item: T, waker: Waker) -> Offered<T> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Offered::Closed(item);
        }
        let has_slot = self.try_take_slot(&mut state) || {
            let word = self.received.0.fetch_or(WAITING, Ordering::AcqRel);
            state.received = word & !WAITING;
            // What the receiver has freed since is found here.
            self.try_take_slot(&mut state)
        };
        if has_slot {
            return Offered::Sent(state.push(item));
        }
        let ticket = state.waiters.enter(waker);
        Offered::Waits(item, ticket)
    }

    /// Sends the item of one who waits, if it has been granted a slot. It waits with this waker otherwise.
    pub(super) fn poll_waiting(&self, ticket: Ticket, item: T, waker: Waker) -> Offered<T> {
        // Its guard is dropped before the waker is.
        let mut state = self.state.lock();
        let is_granted = state.waiters.is_granted(ticket);
        if state.is_closed {
            if is_granted {
                state.sent = state.sent.wrapping_sub(STEP);
            }
            return Offered::Closed(item);
        }
        if is_granted {
            return Offered::Sent(state.push(item));
        }
        let before = state.waiters.waker_mut(ticket);
        let before = before.expect("whoever waits, and was not granted a slot, is in the list");
        let before = mem::replace(before, waker);
        drop(state);
        drop(before);
        Offered::Waits(item, ticket)
    }

    /// One who waits does so no longer. What it was granted goes to the next one.
    #[cold]
    pub(super) fn leave(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        if state.waiters.is_granted(ticket) {
            state.sent = state.sent.wrapping_sub(STEP);
            self.serve(state);
            return;
        }
        let waker = state.waiters.leave(ticket);
        drop(state);
        drop(waker);
    }

    /// Waits for the end.
    pub(super) fn poll_closed(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut waker = None;
        loop {
            let mut state = self.state.lock();
            if state.is_closed {
                *ticket = None;
                return Poll::Ready(());
            }
            let before = ticket.and_then(|ticket| state.watchers.waker_mut(ticket));
            if before.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if let Some(waker) = waker.take() {
                match before {
                    Some(before) => {
                        let before = mem::replace(before, waker);
                        drop(state);
                        drop(before);
                    }
                    None => *ticket = Some(state.watchers.enter(waker)),
                }
                return Poll::Pending;
            }
            drop(state);
            waker = Some(cx.waker().clone());
        }
    }

    /// One who waits for the end does so no longer.
    pub(super) fn leave_watchers(&self, ticket: Ticket) {
        let waker = self.state.lock().watchers.leave(ticket);
        drop(waker);
    }

    /// Takes a slot, unless others wait.
    #[inline]
    fn try_take_slot(&self, state: &mut State<T>) -> bool {
        let Some(capacity) = self.capacity else {
            return true;
        };
        if !state.waiters.is_empty() {
            return false;
        }
        if state.used() >= capacity {
            self.look(state);
            if state.used() >= capacity {
                return false;
            }
        }
        state.sent = state.sent.wrapping_add(STEP);
        true
    }

    /// Sees how many slots were freed.
    fn look(&self, state: &mut State<T>) {
        state.received = self.received.0.load(Ordering::Acquire) & !WAITING;
    }

    /// Frees slots. Says whether somebody waits for them, whom [`serve`](Channel::serve) serves.
    #[inline]
    fn free(&self, count: usize) -> bool {
        if self.capacity.is_none() {
            return false;
        }
        let steps = count.wrapping_mul(STEP);
        self.received.0.fetch_add(steps, Ordering::AcqRel) & WAITING != 0
    }

    /// Grants slots to those who wait, as far as there are some.
    #[cold]
    fn serve<'a>(&'a self, mut state: MutexGuard<'a, State<T>>) {
        let capacity = self.max_capacity();
        let mut panics = Panics::default();
        loop {
            self.look(&mut state);
            let waker = match state.used() < capacity {
                true => state.waiters.grant_first(),
                false => None,
            };
            if waker.is_some() {
                state.sent = state.sent.wrapping_add(STEP);
            }
            let is_last = state.waiters.is_empty();
            if is_last {
                self.received.0.fetch_and(!WAITING, Ordering::AcqRel);
            }
            drop(state);
            let Some(waker) = waker else { break };
            panics.catch(|| waker.wake());
            if is_last {
                break;
            }
            state = self.state.lock();
        }
        panics.resume();
    }

    /// Nothing is sent any more.
    fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let senders = state.waiters.take_all();
        let watchers = state.watchers.take_all();
        drop(state);
        let mut panics = Panics::default();
        for waker in senders.chain(watchers) {
            panics.catch(|| waker.wake());
        }
        panics.resume();
    }
}

/// The receiver's end.
pub(super) struct Inlet<T> {
    channel: Arc<Channel<T>>,
    batch: VecDeque<T>,
}

/// What there is to receive.
enum Found {
    Items,
    Nothing,
    End,
}

impl<T> Inlet<T> {
    pub(super) fn new(channel: Arc<Channel<T>>) -> Inlet<T> {
        let batch = VecDeque::new();
        Inlet { channel, batch }
    }

    pub(super) fn channel(&self) -> &Channel<T> {
        &self.channel
    }

    pub(super) fn len(&self) -> usize {
        self.batch.len() + self.channel.len()
    }

    pub(super) fn close(&mut self) {
        self.channel.close();
    }

    /// Whether the next item is here.
    #[inline]
    pub(super) fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    /// The next item of the batch.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.batch.pop_front()?;
        if self.channel.free(1) {
            return Some(self.pop_and_serve(item));
        }
        Some(item)
    }

    #[cold]
    fn pop_and_serve(&mut self, item: T) -> T {
        let serve = || self.channel.serve(self.channel.state.lock());
        if let Err(panic) = catch_unwind(AssertUnwindSafe(serve)) {
            // The item is not lost. Its slot is, though: for once there may be one more than the capacity.
            let mut state = self.channel.state.lock();
            state.sent = state.sent.wrapping_add(STEP);
            drop(state);
            self.batch.push_front(item);
            resume_unwind(panic);
        }
        item
    }

    /// The first `limit` items of the batch.
    pub(super) fn pop_many(&mut self, to: &mut Vec<T>, limit: usize) -> usize {
        let count = self.batch.len().min(limit);
        to.extend(self.batch.drain(..count));
        if self.channel.free(count) {
            self.channel.serve(self.channel.state.lock());
        }
        count
    }

    /// Fills the batch, which is empty. `Ok(false)` when nothing is there, `Err` at the end.
    pub(super) fn try_fill(&mut self) -> Result<bool, AtEnd> {
        let channel = &self.channel;
        let (found, shed) = fill(&mut self.batch, &mut channel.state.lock());
        drop(shed);
        match found {
            Found::Items => Ok(true),
            Found::Nothing => Ok(false),
            Found::End => Err(AtEnd),
        }
    }

    /// Fills the batch, which is empty, or waits until it can be filled.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AtEnd>> {
        // Before the guard, so that it is dropped after it.
        let mut waker = None;
        loop {
            let mut state = self.channel.state.lock();
            let (found, shed) = fill(&mut self.batch, &mut state);
            match found {
                Found::Items => {
                    drop(state);
                    drop(shed);
                    return Poll::Ready(Ok(()));
                }
                Found::End => return Poll::Ready(Err(AtEnd)),
                Found::Nothing => {}
            }
            let before = state.receiver.as_ref();
            if before.is_some_and(|it| it.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if let Some(waker) = waker.take() {
                let before = state.receiver.replace(waker);
                drop(state);
                drop(before);
                return Poll::Pending;
            }
            drop(state);
            waker = Some(cx.waker().clone());
        }
    }
}

/// Nothing comes any more.
#[derive(Debug)]
pub(super) struct AtEnd;

/// Exchanges the batch, which is empty, for the queue. The second value is an empty one that has become too large.
#[inline]
fn fill<T>(batch: &mut VecDeque<T>, state: &mut State<T>) -> (Found, Option<VecDeque<T>>) {
    if state.queue.is_empty() {
        let found = match state.is_at_end() {
            true => Found::End,
            false => Found::Nothing,
        };
        return (found, None);
    }
    let is_large =
        batch.capacity() > SHED_FROM && batch.capacity() / SHED_FACTOR > state.queue.len();
    let shed = is_large.then(|| mem::take(batch));
    mem::swap(batch, &mut state.queue);
    (Found::Items, shed)
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        let mut panics = Panics::default();
        // Those who wait hear of it first: destructors may take their time.
        panics.catch(|| self.channel.close());
        panics.catch(|| drop(mem::take(&mut self.batch)));
        let mut state = self.channel.state.lock();
        let queue = mem::take(&mut state.queue);
        let receiver = state.receiver.take();
        drop(state);
        panics.catch(|| drop(queue));
        panics.catch(|| drop(receiver));
        panics.resume();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn memory_shrinks_after_a_burst() {
        let channel = Channel::new(None);
        let mut inlet = Inlet::new(channel.clone());
        let mut pass = |count: usize| {
            (0..count).for_each(|it| assert!(channel.try_send(it).is_ok()));
            for expected in 0..count {
                if !inlet.has_batch() {
                    assert!(inlet.try_fill().unwrap());
                }
                assert_eq!(inlet.pop(), Some(expected));
            }
            inlet.batch.capacity() + channel.state.lock().queue.capacity()
        };
        assert!(pass(100_000) >= 100_000);
        assert!(pass(100_000) >= 100_000);
        for _ in 0..3 {
            pass(10);
        }
        assert!(pass(10) <= 2 * SHED_FROM);
    }

    #[test]
    fn the_counts_may_wrap() {
        let channel = Channel::new(Some(2));
        let start = usize::MAX - 5;
        channel
            .received
            .0
            .store(start & !WAITING, Ordering::Relaxed);
        channel.state.lock().sent = start & !WAITING;
        channel.state.lock().received = start & !WAITING;
        let mut inlet = Inlet::new(channel.clone());
        for number in 0..10 {
            assert_eq!(channel.capacity(), 2);
            assert!(channel.try_send(number).is_ok());
            assert!(channel.try_send(number).is_ok());
            assert_eq!(channel.capacity(), 0);
            assert!(matches!(channel.try_send(number), Err(Refused::Full(_))));
            assert!(inlet.try_fill().unwrap());
            assert_eq!((inlet.pop(), inlet.pop()), (Some(number), Some(number)));
        }
    }
}
