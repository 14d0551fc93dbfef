//! Who gets which item, and when: what the three queues have in common.
//!
//! # Rules
//! 1. While somebody waits for an item, whatever is put is assigned to the first who waits: it moves into the node of that
//!    future. While somebody waits to put, the room that an item leaves is the first one's: its item moves out of its
//!    node. Nobody overtakes.
//! 2. What was assigned to a future that is dropped goes to the next who waits, or back into the store. After `shutdown_now`
//!    it is dropped, and done.
//! 3. An item counts as unfinished from when it is in the store, or assigned, until somebody says that it is done.
//!
//! # Invariants
//! 1. Unless comparing has panicked, or other people's code is running below this: who waits for an item waits because
//!    there is none; who waits to put waits because there is no room; once the queue is shut down nobody waits
//!    to put, and nobody waits for an item that will not come.
//! 2. Other people's code is: wakers, destructors of items, and in stores that compare, comparing. When it is called,
//!    no cell is borrowed but the heap that is being compared, which has nothing to give then. Whoever comes to wait because
//!    of that is served by [`HandOver::settle`], which every operation calls that has compared.
//! 3. No item is dropped by a panic of other people's code, but the one that was being put when comparing it panicked.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::queue::error::{ShutDown, TryGetError, TryPutError};
use crate::queue::job::Done;
use crate::queue::store::{Entry, Store};
use crate::queue::unfinished::Unfinished;
use crate::seen::Seen;
use crate::wait_list::{Handle, HasWaitList, Panics, State, WaitList, Waiter, has_wait_list};

pub(crate) struct HandOver<T, S> {
    store: S,
    capacity: Option<usize>,
    phase: Cell<Phase>,
    /// Items that were assigned to somebody who has not run since: they may come back.
    assigned: Cell<usize>,
    /// A node has an item once one is assigned. If it has none when it is granted, there will be none any more.
    pub(crate) getters: WaitList<Option<Entry<T>>>,
    putters: Putters<T>,
    pub(crate) unfinished: Rc<Unfinished>,
    pub(crate) seen: Seen,
}

/// How far a queue is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing is put any more.
    Draining,
    /// Nothing is put any more, and what comes back is not kept.
    Closed,
}

/// Those who wait to put. A node has its item. If it still has it when it is granted, the queue is shut down.
struct Putters<T> {
    list: WaitList<T>,
}

has_wait_list!([T] Putters<T>, T, list);

/// A queue: its list of waiters is that of those who wait for items.
pub(crate) trait HasHandOver<T>: HasWaitList<Payload = Option<Entry<T>>> {
    type Store: Store<T>;

    fn hand_over(&self) -> &HandOver<T, Self::Store>;
}

impl<T, S> HandOver<T, S> {
    pub(crate) fn new(kind: &'static str, store: S, capacity: Option<usize>) -> HandOver<T, S> {
        HandOver {
            store,
            capacity,
            phase: Cell::new(Phase::Open),
            assigned: Cell::new(0),
            getters: WaitList::new(),
            putters: Putters {
                list: WaitList::new(),
            },
            unfinished: Rc::new(Unfinished::new()),
            seen: Seen::new(kind),
        }
    }

    #[inline]
    pub(crate) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    #[inline]
    pub(crate) fn is_shut_down(&self) -> bool {
        self.phase.get() != Phase::Open
    }

    pub(crate) fn waiting_getters(&self) -> usize {
        self.getters.len()
    }

    pub(crate) fn waiting_putters(&self) -> usize {
        self.putters.list.len()
    }
}

impl<T, S: Store<T>> HandOver<T, S> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|bound| self.len() >= bound)
    }

    #[inline]
    pub(crate) fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        if self.is_open_for_newcomers() {
            self.push(item);
            return Ok(());
        }
        Err(match self.phase.get() {
            Phase::Open => TryPutError::Full(item),
            Phase::Draining | Phase::Closed => TryPutError::ShutDown(item),
        })
    }

    #[inline]
    pub(crate) fn try_get(&self) -> Result<T, TryGetError> {
        self.take_as_newcomer().ok_or_else(|| self.why_nothing())
    }

    #[cold]
    fn why_nothing(&self) -> TryGetError {
        if self.is_drained() {
            TryGetError::ShutDown
        } else {
            TryGetError::Empty
        }
    }

    pub(crate) fn shut_down(&self) {
        if self.is_shut_down() {
            return;
        }
        self.phase.set(Phase::Draining);
        let mut panics = Panics::default();
        self.tell_of_the_end(&mut panics);
        panics.resume();
    }

    pub(crate) fn shut_down_now(&self) -> Vec<T> {
        self.phase.set(Phase::Closed);
        let entries = self.store.drain();
        let mut panics = Panics::default();
        panics.catch(|| self.unfinished.finish(entries.len()));
        self.tell_of_the_end(&mut panics);
        panics.resume();
        self.store.in_order(entries)
    }

    /// Whether one who comes now may put.
    #[inline]
    fn is_open_for_newcomers(&self) -> bool {
        self.phase.get() == Phase::Open && self.putters.list.is_empty() && !self.is_full()
    }

    /// Whether there is nothing to get, and never will be.
    fn is_drained(&self) -> bool {
        self.is_shut_down() && self.nothing_will_come()
    }

    /// Whether a queue that is shut down has nothing any more. What is assigned may come back, until it is closed.
    fn nothing_will_come(&self) -> bool {
        self.store.len() == 0 && (self.assigned.get() == 0 || self.phase.get() == Phase::Closed)
    }

    /// Adds an item, for which there is room, or gives it to the first one who waits.
    #[inline]
    fn push(&self, item: T) {
        if !self.getters.is_empty() {
            return self.hand(item);
        }
        if !S::COMPARES {
            self.store.push(item);
            self.unfinished.add();
            return;
        }
        let settle = SettleOnUnwind(self);
        self.store.push(item);
        self.unfinished.add();
        mem::forget(settle);
        if !self.is_settled() {
            self.settle();
        }
    }

    /// Gives an item to the first one who waits.
    #[inline(never)]
    fn hand(&self, item: T) {
        self.unfinished.add();
        if S::COMPARES && self.store.len() > 0 {
            // They have come while items were being compared. It is not yet said which one is the first.
            self.store.push_unsorted(item);
            return self.settle();
        }
        let number = self.store.next_number();
        self.give(Entry { number, item });
    }

    /// Gives an item to the first one who waits, or puts it back.
    #[inline]
    fn give(&self, entry: Entry<T>) {
        match self.getters.exchange_first(Some(entry)) {
            Ok(grant) => {
                self.assigned.set(self.assigned.get() + 1);
                grant.wake();
            }
            Err(entry) => entry
                .into_iter()
                .for_each(|entry| self.store.put_back(entry)),
        }
    }

    /// What was assigned has been fetched. If that was the last of a queue that is shut down, the others are told.
    #[inline]
    fn fetched(&self, entry: Entry<T>) -> T {
        self.assigned.set(self.assigned.get() - 1);
        if !self.is_shut_down() || self.getters.is_empty() {
            return entry.item;
        }
        let mut held = Held {
            by: self,
            entry: Some(entry),
        };
        let mut panics = Panics::default();
        self.tell_of_the_end(&mut panics);
        panics.resume();
        let entry = held.entry.take();
        entry.expect("nobody else has it").item
    }

    /// Takes back what was assigned to somebody who is gone.
    #[cold]
    fn give_back(&self, entry: Entry<T>) {
        self.assigned.set(self.assigned.get() - 1);
        self.take_back(entry);
        if self.is_shut_down() {
            let mut panics = Panics::default();
            self.tell_of_the_end(&mut panics);
            panics.resume();
        }
    }

    /// Takes back what nobody has any more.
    #[cold]
    fn take_back(&self, entry: Entry<T>) {
        if self.phase.get() == Phase::Closed {
            // It is done when it is dropped, even if that panics.
            let _done = Done(&*self.unfinished);
            drop(entry);
            return;
        }
        self.give(entry);
    }

    /// Takes the next item, unless somebody waits for it.
    #[inline]
    fn take_as_newcomer(&self) -> Option<T> {
        if !self.getters.is_empty() {
            return None;
        }
        let entry = if S::COMPARES {
            let settle = SettleOnUnwind(self);
            let entry = self.store.pop();
            mem::forget(settle);
            entry?
        } else {
            self.store.pop()?
        };
        if self.is_settled() {
            return Some(entry.item);
        }
        self.settle_holding(entry)
    }

    /// Whether all who wait do so with reason: invariant 1.
    #[inline]
    fn is_settled(&self) -> bool {
        let nobody_waits = self.getters.is_empty() && self.putters.list.is_empty();
        nobody_waits && self.phase.get() != Phase::Closed || self.is_settled_on_closer_look()
    }

    #[cold]
    fn is_settled_on_closer_look(&self) -> bool {
        let is_empty = self.store.len() == 0;
        let phase = self.phase.get();
        let getters_are = self.getters.is_empty() || (is_empty && !self.is_drained());
        let putters_are = self.putters.list.is_empty() || self.is_full() || phase != Phase::Open;
        let nothing_is_left = is_empty || phase != Phase::Closed;
        getters_are && putters_are && nothing_is_left
    }

    /// The same as `settle`, for one who has an item in hand, which is put back if a waker panics.
    #[cold]
    fn settle_holding(&self, entry: Entry<T>) -> Option<T> {
        let mut held = Held {
            by: self,
            entry: Some(entry),
        };
        self.settle();
        held.entry.take().map(|entry| entry.item)
    }

    /// Serves those who wait, as far as there are items and there is room.
    #[cold]
    fn settle(&self) {
        let mut panics = Panics::default();
        while self.serve_one(&mut panics) {}
        if self.phase.get() == Phase::Closed {
            // They were being compared when it was closed.
            let entries = self.store.drain();
            panics.catch(|| self.unfinished.finish(entries.len()));
            entries
                .into_iter()
                .for_each(|entry| panics.catch(|| drop(entry)));
        }
        if self.is_shut_down() {
            self.tell_of_the_end(&mut panics);
        }
        panics.resume();
    }

    /// `false` when there is nobody to serve.
    fn serve_one(&self, panics: &mut Panics) -> bool {
        let phase = self.phase.get();
        if phase != Phase::Closed && !self.getters.is_empty() && self.store.len() > 0 {
            let mut popped = None;
            panics.catch(|| popped = self.store.pop());
            // There is none if comparing has panicked, or is going on: then this is called again.
            let Some(entry) = popped else { return false };
            panics.catch(|| self.give(entry));
            return true;
        }
        if phase != Phase::Open || self.is_full() {
            return false;
        }
        let Some(mut grant) = self.putters.list.take_first() else {
            return false;
        };
        if let Some(item) = grant.payload.take() {
            self.unfinished.add();
            self.store.push_unsorted(item);
        }
        panics.catch(|| grant.wake());
        true
    }

    /// Tells those who wait in vain, once the queue is shut down.
    fn tell_of_the_end(&self, panics: &mut Panics) {
        while let Some(grant) = self.putters.list.grant_first() {
            panics.catch(|| grant.wake());
        }
        while self.nothing_will_come()
            && let Some(grant) = self.getters.grant_first()
        {
            panics.catch(|| grant.wake());
        }
    }
}

/// Serves those who have come to wait while items were being compared, when that panics.
struct SettleOnUnwind<'a, T, S: Store<T>>(&'a HandOver<T, S>);

impl<T, S: Store<T>> Drop for SettleOnUnwind<'_, T, S> {
    #[cold]
    fn drop(&mut self) {
        if !self.0.is_settled() {
            self.0.settle();
        }
    }
}

/// An item that is about to be returned, and is put back if there is a panic before.
struct Held<'a, T, S: Store<T>> {
    by: &'a HandOver<T, S>,
    entry: Option<Entry<T>>,
}

impl<T, S: Store<T>> Drop for Held<'_, T, S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            // There is a panic under way, so a second one goes no further than this.
            Panics::default().catch(|| self.by.take_back(entry));
        }
    }
}

pin_project! {
    /// Waits for room, and puts an item.
    pub(crate) struct Put<'a, T, S> {
        #[pin]
        waiter: Waiter<&'a Putters<T>>,
        queue: &'a HandOver<T, S>,
        item: Option<T>,
    }
}

impl<'a, T, S: Store<T>> Put<'a, T, S> {
    #[inline]
    pub(crate) fn new(queue: &'a HandOver<T, S>, item: T) -> Put<'a, T, S> {
        Put {
            waiter: Waiter::new(&queue.putters),
            queue,
            item: Some(item),
        }
    }

    #[inline]
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ShutDown<T>>> {
        if self.waiter.state() == State::Idle {
            ready!(budget::poll_consume(cx));
            if self.queue.is_open_for_newcomers() {
                return Poll::Ready(self.put());
            }
        }
        self.poll_waiting(cx)
    }

    #[inline]
    fn put(self: Pin<&mut Self>) -> Result<(), ShutDown<T>> {
        let this = self.project();
        this.waiter.finish();
        if let Some(item) = this.item.take() {
            this.queue.push(item);
        }
        Ok(())
    }

    #[inline(never)]
    fn poll_waiting(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ShutDown<T>>> {
        match self.waiter.state() {
            State::Idle => {
                let waker = cx.waker().clone();
                // That may have been anyone's code.
                if self.queue.is_open_for_newcomers() {
                    return Poll::Ready(self.put());
                }
                let this = self.as_ref().project_ref();
                if this.queue.is_shut_down() {
                    this.waiter.finish();
                    let item = self.project().item.take();
                    return Poll::Ready(item.map_or(Ok(()), |item| Err(ShutDown(item))));
                }
                budget::refund();
                let this = self.project();
                if let Some(item) = this.item.take() {
                    this.waiter.as_ref().enter(waker, item);
                }
                this.queue.seen.note_wait(None);
                return Poll::Pending;
            }
            State::Waiting => self.waiter.renew(cx.waker()),
            State::Granted => {}
            State::Done => panic!("put: polled after it has completed"),
        }
        if self.waiter.state() == State::Granted {
            let refused = self.waiter.take_grant();
            return Poll::Ready(refused.map_or(Ok(()), |item| Err(ShutDown(item))));
        }
        self.queue.seen.note_wait(None);
        Poll::Pending
    }
}

pin_project! {
    /// Waits for an item.
    pub(crate) struct Get<T, L: Handle<Target: HasHandOver<T>>> {
        #[pin]
        waiter: Waiter<L>,
        _item: PhantomData<T>,
    }

    impl<T, L: Handle<Target: HasHandOver<T>>> PinnedDrop for Get<T, L> {
        fn drop(this: Pin<&mut Self>) {
            if this.waiter.state() == State::Granted {
                this.abandon();
            }
        }
    }
}

impl<T, L: Handle<Target: HasHandOver<T>>> Get<T, L> {
    #[inline]
    pub(crate) fn new(handle: L) -> Get<T, L> {
        Get {
            waiter: Waiter::new(handle),
            _item: PhantomData,
        }
    }

    /// The queue.
    #[inline]
    pub(crate) fn handle(&self) -> &L {
        self.waiter.handle()
    }

    #[inline]
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, ShutDown>> {
        if self.waiter.state() == State::Idle {
            ready!(budget::poll_consume(cx));
            if let Some(item) = self.waiter.handle().hand_over().take_as_newcomer() {
                self.waiter.finish();
                return Poll::Ready(Ok(item));
            }
        }
        self.poll_waiting(cx)
    }

    #[inline(never)]
    fn poll_waiting(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, ShutDown>> {
        let waiter = self.project().waiter.into_ref();
        let queue = waiter.handle().hand_over();
        match waiter.state() {
            State::Idle => {
                let waker = cx.waker().clone();
                // That may have been anyone's code.
                if let Some(item) = queue.take_as_newcomer() {
                    waiter.finish();
                    return Poll::Ready(Ok(item));
                }
                if queue.is_drained() {
                    waiter.finish();
                    return Poll::Ready(Err(ShutDown(())));
                }
                budget::refund();
                waiter.as_ref().enter(waker, None);
            }
            State::Waiting => waiter.renew(cx.waker()),
            State::Granted => {}
            State::Done => panic!("get: polled after it has completed"),
        }
        if waiter.state() == State::Granted {
            let entry = waiter.take_grant().flatten();
            let item = entry.map(|entry| queue.fetched(entry));
            return Poll::Ready(item.ok_or(ShutDown(())));
        }
        queue.seen.note_wait(None);
        Poll::Pending
    }

    /// Gives back what was assigned.
    #[cold]
    #[inline(never)]
    fn abandon(self: Pin<&mut Self>) {
        let this = self.as_ref().project_ref();
        this.waiter.leave();
        if let Some(entry) = this.waiter.take_payload().flatten() {
            this.waiter.handle().hand_over().give_back(entry);
        }
    }
}
