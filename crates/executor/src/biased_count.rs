//! A reference count in two halves: plain for the owner thread, atomic for all others.
//!
//! Nearly every reference to a task is made and dropped on the thread that owns it. Those change a
//! plain cell. References made or dropped elsewhere change an atomic word. Neither half means
//! anything alone (a reference made here and dropped there leaves them at +1 and −1): the number of
//! references is their sum, and only the owner can form it, in [`BiasedCount::settle`].
//!
//! # Life
//! 1. *Biased*: the counted block is kept alive by its owner's knowledge (an unfinished task, an
//!    open loop), so the count is not looked at, and no release can be the last.
//! 2. The owner is done and calls `settle`. If the sum is zero, the owner holds the only way to the
//!    block and frees it. No atomic read-modify-write has happened.
//! 3. *Settled*: otherwise the plain half is folded into the word, which from now on holds the
//!    sum. Every release is atomic, and the one that reaches zero is the last, on whatever thread.
//!
//! # The word
//! Bit 0 `SETTLED`; bit 1 `QUEUED`: the block lies in the inject queue, which holds one of the
//! references; bits 2 and up the count, signed.
//!
//! # Invariants
//! 1. `local` is touched by the owner thread alone. It is `SETTLED_LOCAL` exactly when bit 0 is set.
//! 2. While any thread holds a reference, the sum is at least one: a reference can be made only from
//!    one that exists. So a sum of zero, once seen, stays.
//! 3. Every atomic step that another thread's answer may depend on is a read-modify-write with
//!    acquire and release, also `mark_queued` where the bit was set before: what the second waker
//!    wrote before it woke must be seen by the poll that the first waker's entry causes.
//!
//! # Source
//! Choi, Shull and Torrellas, "Biased reference counting", PACT 2018; the settling is simpler here,
//! because the owner always knows when it is done.

use crate::shim::{AtomicI32, Cell, Ordering};

const SETTLED: i32 = 1;
const QUEUED: i32 = 2;
const ONE: i32 = 4;
const SHIFT: u32 = 2;

/// The plain half's value once it has been folded into the word.
const SETTLED_LOCAL: i32 = i32::MIN;

/// What giving up a reference obliges the caller to.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Others still need the block. The caller must not touch it any more.
    Kept,
    /// This was the last reference: the caller frees the block.
    Last,
}

/// What the owner finds when it takes a block from the inject queue.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unqueued {
    /// Not settled: the owner thread alone can free the block, so it may go on using it.
    Biased,
    /// Settled: the queue's reference was given up like any other.
    Settled(Release),
}

pub(crate) struct BiasedCount {
    local: Cell<i32>,
    shared: AtomicI32,
}

impl BiasedCount {
    /// A count without references, biased to the calling thread.
    pub(crate) fn new() -> BiasedCount {
        BiasedCount {
            local: Cell::new(0),
            shared: AtomicI32::new(0),
        }
    }

    /// Adds a reference. Owner thread only.
    #[inline]
    pub(crate) fn acquire_local(&self) {
        let local = self.local.get();
        // One test for both: the settled value is the lowest, and wraps round to the highest.
        if local.wrapping_sub(1) < ABSURD {
            self.local.set(local + 1);
        } else {
            self.acquire_local_unusual(local);
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_local_unusual(&self, local: i32) {
        if local != SETTLED_LOCAL {
            std::process::abort();
        }
        self.acquire_remote();
    }

    /// Adds a reference, from any thread that holds one.
    pub(crate) fn acquire_remote(&self) {
        // Relaxed: the new reference is reachable only through the one the caller holds.
        let before = self.shared.fetch_add(ONE, Ordering::Relaxed);
        abort_if_absurd(before >> SHIFT);
    }

    /// Gives up a reference. Owner thread only.
    #[inline]
    pub(crate) fn release_local(&self) -> Release {
        // One less than the settled value is none.
        match self.local.get().checked_sub(1) {
            Some(less) => {
                self.local.set(less);
                Release::Kept
            }
            None => self.release_remote(),
        }
    }

    /// Gives up a reference, on any thread.
    pub(crate) fn release_remote(&self) -> Release {
        let before = self.shared.fetch_sub(ONE, Ordering::AcqRel);
        last_if_settled_at_one(before)
    }

    /// Ends the biased phase: the owner has no claim of its own on the block any more. Owner thread
    /// only; once is enough, further calls say `Kept`.
    #[inline]
    pub(crate) fn settle(&self) -> Release {
        let local = self.local.get();
        if local == SETTLED_LOCAL {
            return Release::Kept;
        }
        let word = self.shared.load(Ordering::Acquire);
        if (word >> SHIFT) + local == 0 {
            return Release::Last; // Invariant 2: nobody else is left.
        }
        self.settle_shared(local)
    }

    #[cold]
    fn settle_shared(&self, local: i32) -> Release {
        self.local.set(SETTLED_LOCAL);
        let before = self
            .shared
            .fetch_add(local * ONE + SETTLED, Ordering::AcqRel);
        if (before >> SHIFT) + local == 0 {
            Release::Last
        } else {
            Release::Kept
        }
    }

    /// Claims the right to put the block into the inject queue. On `true` the caller puts it there,
    /// together with a reference. On `false` an entry that will be taken out later is there
    /// already, or the block is settled and needs no waking.
    pub(crate) fn mark_queued(&self) -> bool {
        let before = self.shared.fetch_or(QUEUED, Ordering::AcqRel);
        before & (QUEUED | SETTLED) == 0
    }

    /// Takes the block out of the inject queue, with the queue's reference. Owner thread only.
    pub(crate) fn unqueue(&self) -> Unqueued {
        let before = self.shared.fetch_sub(QUEUED + ONE, Ordering::AcqRel);
        if before & SETTLED == 0 {
            Unqueued::Biased
        } else {
            Unqueued::Settled(last_if_settled_at_one(before))
        }
    }
}

const ABSURD: i32 = i32::MAX / 16;

/// Ends the process before a count wraps, as `Arc` does: a program that forgets a hundred million clones
/// of one waker gets here. 32 bits keep the block's header small.
#[inline]
fn abort_if_absurd(count: i32) {
    if count > ABSURD {
        std::process::abort();
    }
}

/// Whether a step down from the word `before` gave up the last reference.
fn last_if_settled_at_one(before: i32) -> Release {
    if before & SETTLED != 0 && before >> SHIFT == 1 {
        Release::Last
    } else {
        Release::Kept
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_owners_references_need_no_atomic_step() {
        let count = BiasedCount::new();
        count.acquire_local();
        count.acquire_local();
        assert_eq!(count.release_local(), Release::Kept);
        assert_eq!(count.release_local(), Release::Kept);
        assert_eq!(count.shared.load(Ordering::Relaxed), 0);
        assert_eq!(count.settle(), Release::Last);
        assert_eq!(count.shared.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn references_that_changed_threads_cancel_out() {
        let count = BiasedCount::new();
        count.acquire_local(); // made here, dropped there
        assert_eq!(count.release_remote(), Release::Kept);
        count.acquire_remote(); // made there, dropped here
        assert_eq!(count.release_local(), Release::Kept);
        assert_eq!(count.settle(), Release::Last);
    }

    #[test]
    fn after_settling_the_last_release_frees() {
        let count = BiasedCount::new();
        count.acquire_local();
        count.acquire_remote();
        assert_eq!(count.settle(), Release::Kept);
        assert_eq!(count.settle(), Release::Kept);
        count.acquire_local();
        assert_eq!(count.release_remote(), Release::Kept);
        assert_eq!(count.release_local(), Release::Kept);
        assert_eq!(count.release_remote(), Release::Last);
    }

    #[test]
    fn a_block_is_queued_once_until_it_is_taken() {
        let count = BiasedCount::new();
        count.acquire_local();
        assert!(count.mark_queued());
        count.acquire_remote();
        assert!(!count.mark_queued());
        assert_eq!(count.unqueue(), Unqueued::Biased);
        assert!(count.mark_queued());
        count.acquire_remote();
        assert_eq!(count.settle(), Release::Kept);
        assert_eq!(count.release_local(), Release::Kept);
        assert!(!count.mark_queued());
        assert_eq!(count.unqueue(), Unqueued::Settled(Release::Last));
    }
}
