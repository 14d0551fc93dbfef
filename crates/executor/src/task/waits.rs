//! What a task waits for, in one word of its header.
//!
//! Either a label that the last poll noted (see `tulipa_base::wait`), or the tasks it awaits: the head of a
//! list linked through their headers, so that a request to cancel finds them, and so does a dump.
//!
//! # Invariants
//! 1. With bit 0 set, the rest but bit 1 is zero or the address of the header of an awaited task: it is unfinished,
//!    its joiner is the task that this word belongs to, and its join handle exists. Completing the awaited task,
//!    dropping its handle and polling the handle elsewhere take it out first.
//! 2. Bit 1 says that other things are waited for as well.

#![allow(unsafe_code, reason = "fence: the list of awaited tasks")]

use std::cell::Cell;
use std::ptr::{self, NonNull};

use tulipa_base::wait::{self, Label};

use crate::task::header::{Header, TaskRef};

const AWAITED: u64 = 1;
const BITS: u64 = 0b11;

/// Nothing is known: an empty list, so that after most polls one test of this word is enough.
const EMPTY: u64 = AWAITED;

pub(crate) struct Waits(Cell<u64>);

impl Waits {
    pub(crate) fn new() -> Waits {
        Waits(Cell::new(EMPTY))
    }

    /// Keeps what the last poll noted, beside the awaited tasks, if there are any.
    #[inline(always)]
    pub(crate) fn keep_noted(&self) {
        // Where nothing is waited for, or just a task, one test of each word.
        if wait::noted() != 0 || self.0.get() & BITS != AWAITED {
            self.replace_label();
        }
    }

    #[inline(never)]
    fn replace_label(&self) {
        let noted = wait::take();
        let word = self.0.get();
        let awaits = word & AWAITED != 0 && word & !BITS != 0;
        self.0.set(match (awaits, noted != 0) {
            (true, true) => wait::one_of_many(word),
            (true, false) => word & !BITS | AWAITED,
            (false, true) => noted,
            (false, false) => EMPTY,
        });
    }

    /// What the last poll noted, if no task is awaited.
    pub(crate) fn label(&self) -> Option<Label> {
        Label::from_u64(self.0.get())
    }

    /// Whether other things are waited for beside the awaited tasks.
    pub(crate) fn has_more(&self) -> bool {
        let word = self.0.get();
        word & AWAITED != 0 && word & BITS != AWAITED
    }

    /// The first of the awaited tasks.
    #[inline]
    pub(crate) fn first_awaited(&self) -> Option<TaskRef> {
        let word = self.0.get();
        if word & AWAITED == 0 {
            return None;
        }
        let header = ptr::with_exposed_provenance_mut::<Header>((word & !BITS) as usize);
        // SAFETY: invariant 1; an unfinished task's block is allocated.
        NonNull::new(header).map(|header| unsafe { TaskRef::new(header) })
    }

    /// Whether `task` is awaited, and nothing else.
    #[inline]
    pub(crate) fn is_only(&self, task: TaskRef) -> bool {
        self.0.get() == task.as_ptr().addr() as u64 | AWAITED
            && task.header().next_awaited.get().is_none()
    }

    /// Puts `task` in front of the awaited ones. Returns what was in front; the caller links it behind.
    #[inline]
    pub(crate) fn push_awaited(&self, task: TaskRef) -> Option<TaskRef> {
        let before = self.first_awaited();
        self.set_awaited(Some(task));
        before
    }

    /// Makes `task` the first of the awaited ones.
    #[inline]
    pub(crate) fn set_awaited(&self, task: Option<TaskRef>) {
        self.0.set(match task {
            Some(task) => task.as_ptr().expose_provenance() as u64 | AWAITED,
            None => EMPTY,
        });
    }
}
