//! What a task waits for, in one word of its header.
//!
//! Either a label that the last poll noted (see `tulipa_base::wait`), or the tasks it awaits: the head of a
//! list linked through their headers, so that a request to cancel finds them, and so does a dump.
//!
//! # Invariants
//! 1. With bit 0 clear, the rest but bit 1 is zero or the address of the header of an awaited task: it is unfinished,
//!    its joiner is the task that this word belongs to, and its join handle exists. Completing the awaited task,
//!    dropping its handle and polling the handle elsewhere take it out first.
//! 2. With bit 0 set, the word is a label, whose own bit 0 is clear.
//! 3. Bit 1 says that other things are waited for as well.
//!
//! So after most polls, before and after which nothing is waited for or just tasks, the lower bits are clear, and
//! one test of the word is enough.

#![allow(unsafe_code, reason = "fence: the list of awaited tasks")]

use std::cell::Cell;
use std::ptr::{self, NonNull};

use tulipa_base::wait::{self, Label};

use crate::task::header::{Header, TaskRef};

const LABEL: u64 = 1;
const BITS: u64 = 0b11;

/// Nothing is known: an empty list.
const EMPTY: u64 = 0;

pub(crate) struct Waits(Cell<u64>);

impl Waits {
    pub(crate) fn new() -> Waits {
        Waits(Cell::new(EMPTY))
    }

    /// Whether the last poll has changed what is waited for: not where that is nothing, or just tasks, before and after.
    #[inline(always)]
    pub(crate) fn is_stale(&self) -> bool {
        wait::noted() != 0 || self.0.get() & BITS != 0
    }

    /// Keeps what the last poll noted, beside the awaited tasks, if there are any.
    pub(crate) fn keep_noted(&self) {
        let noted = wait::take();
        let word = self.0.get();
        let awaits = word & LABEL == 0 && word & !BITS != 0;
        self.0.set(match (awaits, noted != 0) {
            (true, true) => wait::one_of_many(word),
            (true, false) => word & !BITS,
            (false, true) => noted | LABEL,
            (false, false) => EMPTY,
        });
    }

    /// What the last poll noted, if no task is awaited.
    pub(crate) fn label(&self) -> Option<Label> {
        let word = self.0.get();
        if word & LABEL == 0 {
            return None;
        }
        Label::from_u64(word & !LABEL)
    }

    /// Whether other things are waited for beside the awaited tasks.
    pub(crate) fn has_more(&self) -> bool {
        let word = self.0.get();
        word & LABEL == 0 && word & BITS != 0
    }

    /// The first of the awaited tasks.
    #[inline]
    pub(crate) fn first_awaited(&self) -> Option<TaskRef> {
        let word = self.0.get();
        if word & LABEL != 0 {
            return None;
        }
        let header = ptr::with_exposed_provenance_mut::<Header>((word & !BITS) as usize);
        // SAFETY: invariant 1; an unfinished task's block is allocated.
        NonNull::new(header).map(|header| unsafe { TaskRef::new(header) })
    }

    /// Whether `task` is awaited, and nothing else.
    #[inline]
    pub(crate) fn is_only(&self, task: TaskRef) -> bool {
        self.0.get() == task.as_ptr().addr() as u64 && task.header().next_awaited.get().is_none()
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
            Some(task) => task.as_ptr().expose_provenance() as u64,
            None => EMPTY,
        });
    }
}
