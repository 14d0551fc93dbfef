//! The wheel against a sorted map, and the cases that the map made worth keeping.

use super::*;
use std::collections::BTreeMap;
use std::pin::Pin;

use proptest::prelude::*;

/// A wheel with entries of known names, and the model: deadline and order of insertion to name.
struct Pair {
    wheel: Wheel,
    entries: Vec<Pin<Box<Entry>>>,
    model: BTreeMap<(u64, u64), usize>,
    keys: Vec<Option<(u64, u64)>>,
    sequence: u64,
    now_ns: u64,
}

const ENTRIES: usize = 48;

impl Pair {
    fn new(now_ns: u64) -> Pair {
        Pair {
            wheel: Wheel::new(now_ns),
            entries: (0..ENTRIES).map(|_| Box::pin(Entry::new(0))).collect(),
            model: BTreeMap::new(),
            keys: vec![None; ENTRIES],
            sequence: 0,
            now_ns,
        }
    }

    fn pointer(&self, name: usize) -> NonNull<Entry> {
        NonNull::from(&*self.entries[name])
    }

    /// Inserts, or moves if it is in already.
    fn set(&mut self, name: usize, deadline_ns: u64) {
        self.cancel(name);
        // The end of time itself is 'never', which has tests of its own.
        let deadline_ns = deadline_ns.min(u64::MAX - 1);
        self.entries[name].set_deadline_ns(deadline_ns);
        // SAFETY: pinned in `entries`, in no list, and taken out by `cancel`, `advance` or `drop`.
        unsafe { self.wheel.insert(self.pointer(name)) };
        let key = (deadline_ns, self.sequence);
        self.sequence += 1;
        self.model.insert(key, name);
        self.keys[name] = Some(key);
    }

    fn cancel(&mut self, name: usize) {
        assert_eq!(self.entries[name].is_linked(), self.keys[name].is_some());
        if let Some(key) = self.keys[name].take() {
            // SAFETY: it is linked.
            unsafe { self.wheel.remove(self.pointer(name)) };
            self.model.remove(&key);
        }
    }

    /// Moves the time on and checks what fires, and in which order.
    fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns.max(self.now_ns);
        self.wheel.expire(now_ns);
        while let Some(entry) = self.model.first_entry() {
            if entry.key().0 > self.now_ns {
                break;
            }
            let name = entry.remove();
            self.keys[name] = None;
            let front = self.wheel.due.front();
            assert_eq!(
                front,
                Some(self.pointer(name)),
                "due in another order than the model's"
            );
            assert!(self.wheel.pop_due().is_some());
            assert!(self.entries[name].has_fired());
        }
        assert!(self.wheel.pop_due().is_none(), "fired early");
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.model.len());
        let earliest = self.model.keys().next().map(|key| key.0);
        let next = self.wheel.next_ns();
        assert_eq!(next.is_some(), earliest.is_some());
        if let (Some(next), Some(earliest)) = (next, earliest) {
            // There are fewer entries than `SCAN_LIMIT`, so it is exact.
            assert_eq!(next, earliest);
        }
    }

    fn check_bitmaps(&self) {
        for level in 0..LEVELS {
            let occupied = self.wheel.occupied[level].get();
            assert_eq!(self.wheel.levels.get() >> level & 1 == 1, occupied != 0);
            for slot in 0..SLOTS {
                let is_empty = self.wheel.slots[level][slot].is_empty();
                assert_eq!(
                    occupied >> slot & 1 == 0,
                    is_empty,
                    "level {level} slot {slot}"
                );
            }
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        while self.wheel.clear_one().is_some() {}
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(usize, u64),
    Cancel(usize),
    Advance(u64),
    AdvanceToNext,
}

/// Distances of every magnitude, from a nanosecond to the end of time.
fn distance() -> impl Strategy<Value = u64> {
    (0..64u32, any::<u64>()).prop_map(|(bits, random)| random >> bits)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..ENTRIES, distance()).prop_map(|(name, by)| Step::Set(name, by)),
        2 => (0..ENTRIES).prop_map(Step::Cancel),
        1 => distance().prop_map(Step::Advance),
        2 => Just(Step::AdvanceToNext),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_500, ..ProptestConfig::default() })]

    /// TM06: same expirations in the same order as a sorted map, same next deadline after each step.
    #[test]
    fn wheel_equals_model(start in distance(), steps in prop::collection::vec(step(), 1..600)) {
        let mut pair = Pair::new(start >> 1);
        for step in steps {
            match step {
                // Deadlines before now are part of it.
                Step::Set(name, by) if by % 16 == 0 => pair.set(name, pair.now_ns.saturating_sub(by)),
                Step::Set(name, by) => pair.set(name, pair.now_ns.saturating_add(by)),
                Step::Cancel(name) => pair.cancel(name),
                Step::Advance(by) if by > 1 << 62 => {}
                Step::Advance(by) => pair.advance(pair.now_ns.saturating_add(by)),
                Step::AdvanceToNext => {
                    if let Some(next) = pair.wheel.next_ns() {
                        pair.advance(next);
                    }
                }
            }
            pair.check();
        }
        pair.check_bitmaps();
    }
}

#[test]
fn ties_fire_in_the_order_they_were_made_also_across_levels() {
    let mut pair = Pair::new(0);
    let deadline_ns = 5_000_000_000;
    for name in 0..8 {
        pair.set(name, deadline_ns);
        pair.advance(pair.now_ns + 700_000_000 / (name as u64 + 1));
    }
    pair.advance(deadline_ns - 1);
    pair.set(8, deadline_ns);
    pair.advance(deadline_ns);
    assert!(pair.model.is_empty());
}

#[test]
fn many_far_timers_are_moved_down_instead_of_looked_through() {
    let wheel = Wheel::new(0);
    let entries: Vec<_> = (0..1000)
        .map(|i| Box::pin(Entry::new(60_000_000_000 + i)))
        .collect();
    for entry in &entries {
        // SAFETY: pinned in `entries`, in no list, and taken out below.
        unsafe { wheel.insert(NonNull::from(&**entry)) };
    }
    wheel.next_cached.set(None);
    let mut wakes = 0;
    let mut fired = 0;
    while let Some(next) = wheel.next_ns() {
        wheel.expire(next);
        wakes += 1;
        while wheel.pop_due().is_some() {
            fired += 1;
        }
    }
    // A wake for each timer, one for each level they were moved down through.
    assert_eq!(
        (fired, wakes <= 1000 + LEVELS),
        (1000, true),
        "{wakes} wakes"
    );
}

#[test]
fn the_end_of_time_has_a_slot() {
    let mut pair = Pair::new(1);
    pair.set(0, u64::MAX - 1);
    pair.set(1, u64::MAX - 2);
    pair.check();
    pair.check_bitmaps();
    pair.advance(u64::MAX - 2);
    pair.check();
    pair.set(2, 0);
    pair.advance(u64::MAX);
    assert!(pair.model.is_empty());
}

#[test]
fn a_slot_that_is_emptied_by_cancels_is_not_waited_for() {
    for count in [SCAN_LIMIT, SCAN_LIMIT + 1, 3 * SCAN_LIMIT] {
        let wheel = Wheel::new(0);
        let entries: Vec<_> = (0..count as u64)
            .map(|i| Box::pin(Entry::new(60_000_000_000 + i)))
            .collect();
        for entry in &entries {
            // SAFETY: pinned in `entries`, in no list, and taken out below.
            unsafe { wheel.insert(NonNull::from(&**entry)) };
        }
        // Not known from the insertions: found by a look, which gives the slot's start.
        wheel.next_cached.set(None);
        assert!(wheel.next_ns().is_some());
        for entry in &entries {
            // SAFETY: linked above.
            unsafe { wheel.remove(NonNull::from(&**entry)) };
        }
        assert_eq!((wheel.next_ns(), wheel.len()), (None, 0), "{count} entries");
    }
}

#[test]
fn an_entry_for_never_is_kept_and_cleared() {
    let wheel = Wheel::new(0);
    let entry = Box::pin(Entry::new(u64::MAX));
    // SAFETY: pinned, in no list, and taken out by `remove`, then by `clear_one`.
    unsafe {
        wheel.insert(NonNull::from(&*entry));
        assert!(entry.is_linked() && wheel.next_ns().is_none());
        wheel.expire(u64::MAX);
        assert!(wheel.pop_due().is_none());
        wheel.remove(NonNull::from(&*entry));
        assert!(!entry.is_linked());
        wheel.insert(NonNull::from(&*entry));
    }
    assert!(wheel.clear_one().is_some());
    assert!(!entry.is_linked() && wheel.clear_one().is_none());
}
