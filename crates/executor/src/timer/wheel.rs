//! The timer wheel: which deadlines have passed, and when is the next one?
//!
//! Pure data structure on nanoseconds. It never reads a clock and never wakes anyone: `timers` brings
//! the time, asks for the entries that are due, and wakes their tasks. Entries live in the futures
//! that wait, so setting and cancelling allocate nothing.
//!
//! # Shape
//! 8 levels of 64 slots. A slot of level 0 spans 2^16 ns (65.5 µs), a slot of level `n` 64 times the
//! one below, so the eight levels span all of `u64`. Deadlines are kept exactly: a slot is an unsorted
//! list in the order of insertion, and what comes due together is sorted by deadline. With this width
//! a timer of a second moves down three times; slots of a nanosecond would need more moves, wider
//! ones longer lists to look through for the next deadline.
//!
//! # Invariants
//! 1. An entry sits on the lowest level whose slot holds its deadline but not `elapsed`; on level 0
//!    the slot may hold both. A deadline before `elapsed` counts as `elapsed` for this.
//! 2. A bit in `occupied[level]` is set exactly when that slot's list has an entry, and a bit in
//!    `levels` exactly when `occupied[level]` is not zero.
//! 3. Two entries with the same deadline are always in the same list, in the order in which they were
//!    inserted: moving a list down keeps its order, and new entries are appended. So ties expire in
//!    the order they were made, without a sequence number.
//! 4. `next_cached`, when set, is not later than any deadline in a slot; and it is either a deadline
//!    or the start of a slot to be moved down, so the wheel makes progress when it is reached.
//! 5. An entry is in the list that its `place` names, in `due` for [`DUE`], in `never` for [`NEVER`], in none for [`IDLE`] and
//!    [`FIRED`].
//!
//! # Source
//! Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7.

#![allow(unsafe_code, reason = "fence: the intrusive lists of timer entries")]

use std::cell::Cell;
use std::ptr::NonNull;
use std::task::Waker;

const LEVELS: usize = 8;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// A slot of level 0 spans 2^16 ns.
const TICK_SHIFT: u32 = 16;

/// How many entries of a slot above level 0 are looked through for the earliest. A slot with more
/// is moved down at its start instead: one wake-up for at least this many timers.
const SCAN_LIMIT: usize = 64;

/// Not in the wheel.
const IDLE: u16 = u16::MAX;
/// Not in the wheel: its deadline has passed.
const FIRED: u16 = u16::MAX - 1;
/// In the list of entries that are about to be woken.
const DUE: u16 = u16::MAX - 2;
/// In the list of entries that never expire.
const NEVER: u16 = u16::MAX - 3;

/// One timer, inside the future that waits for it.
pub(crate) struct Entry {
    prev: Cell<Option<NonNull<Entry>>>,
    next: Cell<Option<NonNull<Entry>>>,
    deadline_ns: Cell<u64>,
    waker: Cell<Option<Waker>>,
    place: Cell<u16>,
}

impl Entry {
    pub(crate) fn new(deadline_ns: u64) -> Entry {
        Entry {
            prev: Cell::new(None),
            next: Cell::new(None),
            deadline_ns: Cell::new(deadline_ns),
            waker: Cell::new(None),
            place: Cell::new(IDLE),
        }
    }

    #[inline]
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns.get()
    }

    /// Changes the deadline of an entry that is in no list, and forgets that it has fired.
    pub(crate) fn set_deadline_ns(&self, deadline_ns: u64) {
        assert!(!self.is_linked(), "the deadline of an entry in the wheel");
        self.deadline_ns.set(deadline_ns);
        self.place.set(IDLE);
    }

    /// Whether the wheel points to this entry.
    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        self.place.get() <= DUE
    }

    #[inline]
    pub(crate) fn has_fired(&self) -> bool {
        self.place.get() == FIRED
    }

    #[inline]
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.take()
    }

    #[inline]
    pub(crate) fn set_waker(&self, waker: Option<Waker>) {
        self.waker.set(waker);
    }
}

/// A circular doubly linked list of entries; the head's `prev` is the tail.
struct List {
    head: Cell<Option<NonNull<Entry>>>,
}

impl List {
    const fn new() -> List {
        List {
            head: Cell::new(None),
        }
    }

    /// # Safety
    /// `entry` is alive, in no list, and stays in place until it is removed.
    #[inline]
    unsafe fn push_back(&self, entry: NonNull<Entry>) {
        // SAFETY: entries in the list are alive: they are removed before they go.
        unsafe {
            match self.head.get() {
                None => {
                    entry.as_ref().prev.set(Some(entry));
                    entry.as_ref().next.set(Some(entry));
                    self.head.set(Some(entry));
                }
                Some(head) => {
                    let tail = head.as_ref().prev.get();
                    entry.as_ref().prev.set(tail);
                    entry.as_ref().next.set(Some(head));
                    head.as_ref().prev.set(Some(entry));
                    if let Some(tail) = tail {
                        tail.as_ref().next.set(Some(entry));
                    }
                }
            }
        }
    }

    /// # Safety
    /// `entry` is in this list.
    #[inline]
    unsafe fn remove(&self, entry: NonNull<Entry>) {
        // SAFETY: entries in the list, so the neighbours too, are alive.
        unsafe {
            let (prev, next) = (entry.as_ref().prev.take(), entry.as_ref().next.take());
            if next == Some(entry) {
                self.head.set(None);
                return;
            }
            if let (Some(prev), Some(next)) = (prev, next) {
                prev.as_ref().next.set(Some(next));
                next.as_ref().prev.set(Some(prev));
                if self.head.get() == Some(entry) {
                    self.head.set(Some(next));
                }
            }
        }
    }

    fn front(&self) -> Option<NonNull<Entry>> {
        self.head.get()
    }

    fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// Calls `f` with each entry's deadline from the front, until it says no.
    fn deadlines(&self, mut f: impl FnMut(u64) -> bool) {
        let Some(head) = self.head.get() else { return };
        let mut entry = head;
        loop {
            // SAFETY: entries in the list are alive.
            let this = unsafe { entry.as_ref() };
            if !f(this.deadline_ns.get()) {
                return;
            }
            match this.next.get() {
                Some(next) if next != head => entry = next,
                _ => return,
            }
        }
    }
}

pub(crate) struct Wheel {
    slots: [[List; SLOTS]; LEVELS],
    occupied: [Cell<u64>; LEVELS],
    levels: Cell<u8>,
    /// Everything up to here has been taken out.
    elapsed_ns: Cell<u64>,
    next_cached: Cell<Option<u64>>,
    due: List,
    /// Entries whose deadline is the end of time. They are kept so that a new deadline can be given to
    /// them, and so that closing reaches them.
    never: List,
    len: Cell<usize>,
    /// Kept for its memory, so that expiring does not allocate once it has grown.
    scratch: Cell<Vec<NonNull<Entry>>>,
}

impl Wheel {
    pub(crate) fn new(now_ns: u64) -> Wheel {
        Wheel {
            slots: [const { [const { List::new() }; SLOTS] }; LEVELS],
            occupied: [const { Cell::new(0) }; LEVELS],
            levels: Cell::new(0),
            elapsed_ns: Cell::new(now_ns),
            next_cached: Cell::new(None),
            due: List::new(),
            never: List::new(),
            len: Cell::new(0),
            scratch: Cell::new(Vec::new()),
        }
    }

    /// Entries in the wheel, those about to be woken included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// The time up to which [`Wheel::expire`] has been called.
    #[inline]
    pub(crate) fn elapsed_ns(&self) -> u64 {
        self.elapsed_ns.get()
    }

    /// Puts an entry in, by its deadline.
    ///
    /// # Safety
    /// - The entry is alive, in no list, and neither moves nor goes before it has been taken out, by
    ///   [`Wheel::remove`], [`Wheel::pop_due`] or [`Wheel::clear`] of this wheel.
    /// - Its deadline does not change meanwhile.
    #[inline]
    pub(crate) unsafe fn insert(&self, entry: NonNull<Entry>) {
        // SAFETY: alive, by the caller.
        let deadline_ns = unsafe { entry.as_ref() }.deadline_ns.get();
        let len = self.len.get();
        self.len.set(len + 1);
        if deadline_ns == u64::MAX {
            // SAFETY: by the caller.
            unsafe {
                entry.as_ref().place.set(NEVER);
                self.never.push_back(entry);
            }
            return;
        }
        // SAFETY: by the caller.
        unsafe { self.link(entry, deadline_ns) };
        match self.next_cached.get() {
            Some(next) if deadline_ns < next => self.next_cached.set(Some(deadline_ns)),
            None if len == 0 => self.next_cached.set(Some(deadline_ns)),
            _ => {} // Unknown stays unknown: others may come before.
        }
    }

    /// # Safety
    /// As for [`Wheel::insert`].
    #[inline]
    unsafe fn link(&self, entry: NonNull<Entry>, deadline_ns: u64) {
        let (level, slot) = place(self.elapsed_ns.get(), deadline_ns);
        // SAFETY: by the caller.
        unsafe {
            self.slots[level][slot].push_back(entry);
            entry.as_ref().place.set((level << SLOT_BITS | slot) as u16);
        }
        self.occupied[level].set(self.occupied[level].get() | 1 << slot);
        self.levels.set(self.levels.get() | 1 << level);
    }

    /// Takes an entry out that is in this wheel.
    ///
    /// # Safety
    /// The entry [is linked](Entry::is_linked), into this wheel.
    #[inline]
    pub(crate) unsafe fn remove(&self, entry: NonNull<Entry>) {
        // SAFETY: alive, by the caller.
        let this = unsafe { entry.as_ref() };
        let place = this.place.replace(IDLE);
        self.len.set(self.len.get() - 1);
        if place >= NEVER {
            let list = if place == DUE { &self.due } else { &self.never };
            // SAFETY: in that list, by invariant 5.
            return unsafe { list.remove(entry) };
        }
        let (level, slot) = (usize::from(place) >> SLOT_BITS, usize::from(place) % SLOTS);
        let list = &self.slots[level][slot];
        // SAFETY: in that list, by invariant 5.
        unsafe { list.remove(entry) };
        if list.is_empty() {
            self.mark_empty(level, slot);
            if self.next_cached.get() == Some(self.slot_start_ns(level, slot)) {
                self.next_cached.set(None); // Nothing is left to be moved down then.
            }
        }
        if self.next_cached.get() == Some(this.deadline_ns.get()) {
            self.next_cached.set(None);
        }
    }

    #[inline]
    fn mark_empty(&self, level: usize, slot: usize) {
        let occupied = self.occupied[level].get() & !(1 << slot);
        self.occupied[level].set(occupied);
        if occupied == 0 {
            self.levels.set(self.levels.get() & !(1 << level));
        }
    }

    /// When to call [`Wheel::expire`] next: the earliest deadline, or an earlier instant at which a
    /// slot with many entries is to be moved down. `None` when no entry waits in a slot.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        if self.next_cached.get().is_none() {
            self.next_cached.set(self.find_next_ns());
        }
        self.next_cached.get()
    }

    fn find_next_ns(&self) -> Option<u64> {
        let (level, slot) = self.first_slot()?;
        let start_ns = self.slot_start_ns(level, slot);
        let mut earliest = u64::MAX;
        let mut seen = 0;
        self.slots[level][slot].deadlines(|deadline_ns| {
            earliest = earliest.min(deadline_ns);
            seen += 1;
            level == 0 || seen <= SCAN_LIMIT
        });
        // Level 0 is looked through whole: its slots are not moved down any further.
        Some(if level > 0 && seen > SCAN_LIMIT {
            start_ns
        } else {
            earliest
        })
    }

    /// The earliest slot with entries: by invariant 1, all of a level come before those above.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let levels = self.levels.get();
        if levels == 0 {
            return None;
        }
        let level = levels.trailing_zeros() as usize;
        Some((level, self.occupied[level].get().trailing_zeros() as usize))
    }

    /// The first nanosecond of a slot, in the turn of its level that `elapsed` is in.
    fn slot_start_ns(&self, level: usize, slot: usize) -> u64 {
        let shift = TICK_SHIFT + SLOT_BITS * level as u32;
        // The topmost level has no level above whose slots it could be a turn of.
        let above = match shift + SLOT_BITS {
            64.. => 0,
            bits => self.elapsed_ns.get() >> bits << bits,
        };
        above | (slot as u64) << shift
    }

    /// Takes out what is due at `now_ns`, for [`Wheel::pop_due`] to hand out in deadline order. A
    /// `now_ns` before an earlier one counts as that one.
    pub(crate) fn expire(&self, now_ns: u64) {
        let now_ns = now_ns.max(self.elapsed_ns.get());
        let mut due = self.scratch.take();
        while let Some((level, slot)) = self.first_slot() {
            let start_ns = self.slot_start_ns(level, slot);
            if start_ns > now_ns {
                break;
            }
            self.elapsed_ns.set(start_ns.max(self.elapsed_ns.get()));
            if self.empty_slot(level, slot, now_ns, &mut due) == Emptied::Partly {
                break;
            }
        }
        self.elapsed_ns.set(now_ns);
        // Slots come in order and keep theirs, so this is mostly sorted. The sort is stable: ties
        // stay in the order of invariant 3.
        // SAFETY: entries that were in a list are alive.
        due.sort_by_key(|entry| unsafe { entry.as_ref() }.deadline_ns.get());
        if !due.is_empty() {
            self.next_cached.set(None);
        }
        for entry in due.drain(..) {
            // SAFETY: alive, and taken out of its slot by `empty_slot`.
            unsafe {
                entry.as_ref().place.set(DUE);
                self.due.push_back(entry);
            }
        }
        self.scratch.set(due);
    }

    /// Moves the entries of a slot: those due to `due`, the others to where they belong now.
    fn empty_slot(
        &self,
        level: usize,
        slot: usize,
        now_ns: u64,
        due: &mut Vec<NonNull<Entry>>,
    ) -> Emptied {
        self.next_cached.set(None);
        let list = List {
            head: Cell::new(self.slots[level][slot].head.take()),
        };
        self.mark_empty(level, slot);
        let mut emptied = Emptied::Wholly;
        while let Some(entry) = list.front() {
            // SAFETY: the entry is in the list, alive, and then in none, so it can be linked.
            unsafe {
                list.remove(entry);
                let deadline_ns = entry.as_ref().deadline_ns.get();
                if deadline_ns <= now_ns {
                    due.push(entry);
                } else {
                    self.link(entry, deadline_ns);
                    if level == 0 {
                        emptied = Emptied::Partly;
                    }
                }
            }
        }
        emptied
    }

    /// Hands out the next entry that is due: marks it as fired and returns its waker.
    pub(crate) fn pop_due(&self) -> Option<Option<Waker>> {
        let entry = self.due.front()?;
        self.len.set(self.len.get() - 1);
        // SAFETY: in that list, so alive.
        unsafe {
            self.due.remove(entry);
            entry.as_ref().place.set(FIRED);
            Some(entry.as_ref().take_waker())
        }
    }

    /// Takes one entry out, whichever, and returns its waker; `None` when the wheel is empty.
    pub(crate) fn clear_one(&self) -> Option<Option<Waker>> {
        let entry = match self.due.front().or(self.never.front()) {
            Some(entry) => entry,
            None => {
                let (level, slot) = self.first_slot()?;
                self.slots[level][slot].front()?
            }
        };
        // SAFETY: in a list of this wheel, so alive.
        unsafe {
            self.remove(entry);
            Some(entry.as_ref().take_waker())
        }
    }
}

/// Whether entries stayed behind in a slot of level 0, which holds `now`.
#[derive(PartialEq, Eq)]
enum Emptied {
    Wholly,
    Partly,
}

/// The level and slot of a deadline, by invariant 1.
#[inline]
fn place(elapsed_ns: u64, deadline_ns: u64) -> (usize, usize) {
    let elapsed = elapsed_ns >> TICK_SHIFT;
    let tick = (deadline_ns >> TICK_SHIFT).max(elapsed);
    // The highest group of six bits in which they differ; equal ticks go to level 0.
    let differing = (elapsed ^ tick) | (SLOTS as u64 - 1);
    let level = (u64::BITS - 1 - differing.leading_zeros()) / SLOT_BITS;
    let slot = tick >> (level * SLOT_BITS) & (SLOTS as u64 - 1);
    (level as usize, slot as usize)
}

#[cfg(all(test, not(loom)))]
mod tests;
