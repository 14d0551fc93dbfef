//! What a task group and a scope have in common: a body, the children, and how they end together.
//!
//! # States
//! ```text
//!            first poll           1 failure, cancel(), request from outside
//!  fresh ───────────────▶ open ────────────────────────────────────────────▶ ending
//!                          │                                                   │
//!                          │ 2 body complete, no child left                    │ 2 body gone, no child left
//!                          └────────────────────────▶ left ◀───────────────────┘
//! ```
//! 1. [`Family::end`]: every child is cancelled, in the order of their spawns, and the body is sent a request. Children that are
//!    spawned from here on are cancelled before they run.
//! 2. The future yields. Errors go before everything; then a request from outside, which goes on outwards;
//!    then the body's value.
//!
//! # Invariants
//! 1. `children` holds a task exactly as long as its wrapper future exists: the wrapper's destructor takes it
//!    out.
//! 2. No user code runs while something here is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::task::Waker;

use slab::Slab;
use tulipa_base::{Instant, TaskId};

use crate::cancel::CancelReason;
use crate::group::error::Failure;
use crate::report::{ExceptionKind, contain};
use crate::task::Task;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fresh,
    Open,
    Ending,
    Left,
}

/// The shared state of a group or scope. Children may borrow for `'env`.
pub(crate) struct Family<'env, E> {
    pub(crate) state: Cell<State>,
    /// A place is reserved, empty, before its child is made.
    children: RefCell<Slab<Option<Task>>>,
    failures: RefCell<Vec<Failure<E>>>,
    /// The body is to be sent a request.
    pub(crate) interrupts_body: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// By when the code around must be done, which holds for the children too.
    pub(crate) deadline: Cell<Instant>,
    /// How many children may run at a time.
    limit: Cell<usize>,
    running: Cell<usize>,
    /// Those who wait for room, by their turn.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next_turn: Cell<u64>,
    _borrows: PhantomData<Cell<&'env ()>>,
}

impl<E> Family<'_, E> {
    pub(crate) fn new() -> Self {
        Family {
            state: Cell::new(State::Fresh),
            children: RefCell::new(Slab::new()),
            failures: RefCell::new(Vec::new()),
            interrupts_body: Cell::new(false),
            waker: RefCell::new(None),
            deadline: Cell::new(Instant::FAR_FUTURE),
            limit: Cell::new(usize::MAX),
            running: Cell::new(0),
            waiting: RefCell::new(BTreeMap::new()),
            next_turn: Cell::new(0),
            _borrows: PhantomData,
        }
    }

    /// Reserves a place for a child that is about to be made.
    pub(crate) fn reserve(&self) -> usize {
        self.children.borrow_mut().insert(None)
    }

    /// Adds a child, in the place reserved for it.
    pub(crate) fn adopt(&self, key: usize, child: Task) {
        if let Some(place) = self.children.borrow_mut().get_mut(key) {
            *place = Some(child);
        }
    }

    /// A child's wrapper goes away.
    pub(crate) fn bury(&self, key: usize) {
        let child = self.children.borrow_mut().try_remove(key);
        drop(child);
        if self.children.borrow().is_empty() {
            self.wake();
        }
    }

    /// Whether there is room for another child to run; if so it is taken. If not, the waker is kept
    /// under `turn`, which is the child's place in the line.
    pub(crate) fn poll_start(&self, turn: &mut Option<u64>, waker: &Waker) -> bool {
        let running = self.running.get();
        if running < self.limit.get() && turn.is_none_or(|turn| self.is_next(turn)) {
            self.running.set(running + 1);
            self.leave_line(turn);
            return true;
        }
        let waker = waker.clone();
        let turn = *turn.get_or_insert_with(|| {
            let turn = self.next_turn.get();
            self.next_turn.set(turn + 1);
            turn
        });
        let before = self.waiting.borrow_mut().insert(turn, waker);
        drop(before);
        false
    }

    /// Gives up a place in the line.
    #[inline]
    pub(crate) fn leave_line(&self, turn: &mut Option<u64>) {
        if let Some(turn) = turn.take() {
            self.leave_line_at(turn);
        }
    }

    #[cold]
    fn leave_line_at(&self, turn: u64) {
        let waker = self.waiting.borrow_mut().remove(&turn);
        drop(waker);
        self.wake_next();
    }

    /// A child that had started has ended: the next in line may.
    pub(crate) fn stop(&self) {
        self.running.set(self.running.get() - 1);
        self.wake_next();
    }

    fn is_next(&self, turn: u64) -> bool {
        self.waiting
            .borrow()
            .first_key_value()
            .is_none_or(|(first, _)| *first >= turn)
    }

    /// Lets at most `limit` children run at a time from now on.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
        self.wake_next();
    }

    fn wake_next(&self) {
        if self.running.get() >= self.limit.get() {
            return;
        }
        let next = match self.waiting.borrow_mut().first_entry() {
            // Its place in the line stays until it has started, or is gone.
            Some(mut first) => first.insert(Waker::noop().clone()),
            None => return,
        };
        contain(ExceptionKind::WakerPanicked, || next.wake());
    }

    pub(crate) fn is_childless(&self) -> bool {
        self.children.borrow().is_empty()
    }

    pub(crate) fn child_count(&self) -> usize {
        self.children.borrow().len()
    }

    /// Takes note of a failure. The first one ends the family, but for the child that failed: it has
    /// ended by itself.
    pub(crate) fn fail(&self, failure: Failure<E>) {
        let failed = failure.id();
        self.failures.borrow_mut().push(failure);
        self.end_but(failed, CancelReason::Group);
    }

    pub(crate) fn take_failures(&self) -> Vec<Failure<E>> {
        self.failures.take()
    }

    /// Makes everyone end, unless that has begun.
    pub(crate) fn end(&self, reason: CancelReason) {
        self.end_but(None, reason);
    }

    fn end_but(&self, spared: Option<TaskId>, reason: CancelReason) {
        match self.state.get() {
            State::Fresh | State::Open => {}
            State::Ending | State::Left => return,
        }
        self.state.set(State::Ending);
        self.interrupts_body.set(true);
        for child in self.all() {
            if Some(child.id()) != spared {
                child.cancel_with(reason.clone());
            }
        }
        self.wake();
    }

    /// Asks every child to end, also those that were asked before: a second request interrupts a clean-up
    /// that hangs.
    pub(crate) fn cancel_children(&self, reason: &CancelReason) {
        for child in self.all() {
            child.cancel_with(reason.clone());
        }
    }

    /// Drops every child's future at its next turn.
    pub(crate) fn abort_children(&self) {
        for child in self.all() {
            child.abort();
        }
    }

    /// The children, in the order of their spawns.
    pub(crate) fn all(&self) -> Vec<Task> {
        let mut children: Vec<_> = self
            .children
            .borrow()
            .iter()
            .filter_map(|(_, child)| child.clone())
            .collect();
        children.sort_by_key(Task::id);
        children
    }

    pub(crate) fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            contain(ExceptionKind::WakerPanicked, || waker.wake());
        }
    }

    /// Leaves the waker of the future. Cloning and dropping wakers may be anyone's code.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        if let Some(before) = &*self.waker.borrow()
            && before.will_wake(waker)
        {
            return;
        }
        let waker = waker.clone();
        let before = self.waker.replace(Some(waker));
        drop(before);
    }
}
