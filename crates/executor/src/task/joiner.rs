//! The place for whoever awaits a join handle: one word.
//!
//! It is nearly always a task of the same loop. Then the word points to that task's block, with a reference in
//! its count; so the finished task schedules it without a waker's table, and a task knows
//! who awaits it. Any other waker is boxed.
//!
//! # Invariants
//! 1. The pointer is null (nobody), the header of a task that a reference is held for, or, with the lowest bit set, a
//!    leaked `Box<Waker>`.

#![allow(unsafe_code, reason = "fence: tagged pointers to task blocks")]

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::task::Waker;

use crate::task::header::{Header, TaskRef};

const WAKER: usize = 1;

/// Who awaits a join handle.
pub(crate) enum Joiner {
    /// A task of the same loop, counted.
    Task(TaskRef),
    /// Anyone else.
    Waker(Waker),
}

pub(crate) struct JoinerSlot(Cell<*mut Header>);

impl JoinerSlot {
    pub(crate) fn new() -> JoinerSlot {
        JoinerSlot(Cell::new(ptr::null_mut()))
    }

    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.get().is_null()
    }

    /// Takes out a task, whose reference goes to the caller.
    #[inline]
    pub(crate) fn forget_task(&self) {
        debug_assert!(self.task().is_some());
        self.0.set(ptr::null_mut());
    }

    /// Whether it is this task.
    #[inline]
    pub(crate) fn is_task(&self, task: TaskRef) -> bool {
        ptr::eq(self.0.get(), task.as_ptr())
    }

    /// The task that waits, if it is one of the same loop.
    #[inline]
    pub(crate) fn task(&self) -> Option<TaskRef> {
        let pointer = self.0.get();
        if pointer.addr() & WAKER != 0 {
            return None;
        }
        // SAFETY: by invariant 1 it points to a block, which the reference held here keeps.
        NonNull::new(pointer).map(|header| unsafe { TaskRef::new(header) })
    }

    /// Whether it is a boxed waker that wakes the same as `waker`.
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        let pointer = self.0.get();
        if pointer.addr() & WAKER == 0 {
            return false;
        }
        let boxed = pointer.map_addr(|addr| addr & !WAKER).cast::<Waker>();
        // SAFETY: by invariant 1 it is a leaked box, which stays as long as it is here; `will_wake`
        // compares pointers and calls nobody.
        unsafe { &*boxed }.will_wake(waker)
    }

    /// Leaves a task, with a reference that the caller has acquired. The place is empty.
    #[inline]
    pub(crate) fn put_task(&self, task: TaskRef) {
        debug_assert!(self.0.get().is_null());
        self.0.set(task.as_ptr());
    }

    /// Leaves a task, like `put_task`. Returns what was there.
    pub(crate) fn replace_with_task(&self, task: TaskRef) -> Option<Joiner> {
        unpack(self.0.replace(task.as_ptr()))
    }

    /// Leaves a waker. Returns what was there.
    pub(crate) fn replace(&self, waker: Waker) -> Option<Joiner> {
        let pointer = Box::into_raw(Box::new(waker)).cast::<Header>();
        unpack(self.0.replace(pointer.map_addr(|addr| addr | WAKER)))
    }

    /// Takes out who waits; a task's reference goes to the caller.
    #[inline]
    pub(crate) fn take(&self) -> Option<Joiner> {
        unpack(self.0.replace(ptr::null_mut()))
    }
}

#[inline]
fn unpack(pointer: *mut Header) -> Option<Joiner> {
    if pointer.addr() & WAKER == 0 {
        // SAFETY: invariant 1; the reference is the caller's from here on.
        return NonNull::new(pointer).map(|header| Joiner::Task(unsafe { TaskRef::new(header) }));
    }
    let boxed = pointer.map_addr(|addr| addr & !WAKER).cast::<Waker>();
    // SAFETY: invariant 1: it was leaked from a box, and has been taken out of its place.
    Some(Joiner::Waker(*unsafe { Box::from_raw(boxed) }))
}
