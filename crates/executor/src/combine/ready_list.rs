//! Ready list: which of many futures were woken?
//!
//! Each entry has a waker of its own. It notes the entry's index, unless it is noted already, and
//! wakes whoever waits for the list. Indices come out in the order in which they were woken.
//!
//! Wakers may be used on any thread, so the list is behind a lock, and counted atomically: the price
//! of handing wakers of our own to futures that are anyone's. Sets of tasks of our own need none of
//! it: see `finish_list`.
//!
//! # Invariants
//! 1. An index is in `ready` once at most, and then marked in `is_noted`. So the queue is bounded.
//! 2. User code (cloning, waking and dropping the waiter) never runs under the lock.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::shim::Mutex;
use crate::task::JoinHandle;

pub(crate) struct ReadyList {
    shared: Arc<Mutex<State>>,
}

struct State {
    ready: VecDeque<u32>,
    is_noted: Vec<bool>,
    waiter: Option<Waker>,
}

/// What an entry's waker points to.
struct Entry {
    shared: Arc<Mutex<State>>,
    index: u32,
}

impl ReadyList {
    /// A list of `len` entries, none of them noted.
    pub(crate) fn new(len: usize) -> ReadyList {
        assert!(u32::try_from(len).is_ok(), "too many to wait for: {len}");
        ReadyList {
            shared: Arc::new(Mutex::new(State {
                ready: VecDeque::with_capacity(len),
                is_noted: vec![false; len],
                waiter: None,
            })),
        }
    }

    /// A waker of an entry. Each call allocates one.
    pub(crate) fn waker(&self, index: usize) -> Waker {
        Waker::from(Arc::new(Entry {
            shared: self.shared.clone(),
            index: index as u32,
        }))
    }

    /// Notes the entry when the task of `handle` has ended.
    pub(crate) fn watch<T>(&self, index: usize, handle: &mut JoinHandle<T>) {
        let waker = self.waker(index);
        if handle
            .poll_finished(&mut Context::from_waker(&waker))
            .is_ready()
        {
            waker.wake();
        }
    }

    /// Sets who is woken by the next wake of an entry. What was noted before is there to be taken, and
    /// wakes no more.
    pub(crate) fn set_waiter(&self, waker: &Waker) {
        let is_set = {
            let state = self.shared.lock();
            state.waiter.as_ref().is_some_and(|it| it.will_wake(waker))
        };
        if !is_set {
            let waiter = waker.clone();
            let replaced = self.shared.lock().waiter.replace(waiter);
            drop(replaced);
        }
    }

    /// Takes out the entry that was noted first, or waits for one.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(index) = self.pop() {
            return Poll::Ready(index);
        }
        self.set_waiter(cx.waker());
        // Another thread may have been faster.
        match self.pop() {
            Some(index) => Poll::Ready(index),
            None => Poll::Pending,
        }
    }

    /// How many entries are noted.
    pub(crate) fn len(&self) -> usize {
        self.shared.lock().ready.len()
    }

    /// Takes out the entry that was noted first.
    pub(crate) fn pop(&self) -> Option<usize> {
        let mut state = self.shared.lock();
        let index = state.ready.pop_front()? as usize;
        state.is_noted[index] = false;
        Some(index)
    }
}

impl State {
    /// Returns whom to wake.
    fn note(&mut self, index: u32) -> Option<Waker> {
        if std::mem::replace(&mut self.is_noted[index as usize], true) {
            return None;
        }
        self.ready.push_back(index);
        self.waiter.take()
    }
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiter = self.shared.lock().note(self.index);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl Drop for ReadyList {
    /// Wakers that are left wake nobody.
    fn drop(&mut self) {
        let waiter = self.shared.lock().waiter.take();
        drop(waiter);
    }
}

impl fmt::Debug for ReadyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyList").finish_non_exhaustive()
    }
}
