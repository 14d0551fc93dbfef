//! Items by size: the store of `PriorityQueue`, a binary heap.
//!
//! To compare items is the program's code. It may panic, and it may use the queue that the items are in. So every change comes in
//! two steps: first it is found out, by comparing, what goes where, and the heap stays as it is, lent out to be
//! read; then items are moved, and nothing is compared. Whoever wants to change the heap during the first step
//! is told that there is nothing to take, and what they add is put aside.
//!
//! # Invariants
//! 1. Of `entries`, the first `sorted` ones form a heap: none comes before its parent, which is at `(index - 1) / 2`.
//! 2. While items are being compared, `entries` is borrowed, and at no other time while anyone else's code runs. What is
//!    added meanwhile is put aside, and added to `entries` by the next `pop`.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::mem;

use crate::queue::priority::Order;
use crate::queue::store::{Entry, Store};

pub(crate) struct Heap<T, O> {
    order: O,
    entries: RefCell<Vec<Entry<T>>>,
    sorted: Cell<usize>,
    aside: RefCell<Vec<Entry<T>>>,
    last_number: Cell<u64>,
}

impl<T, O> Heap<T, O> {
    pub(crate) const fn new(order: O) -> Heap<T, O> {
        Heap {
            order,
            entries: RefCell::new(Vec::new()),
            sorted: Cell::new(0),
            aside: RefCell::new(Vec::new()),
            last_number: Cell::new(0),
        }
    }
}

impl<T, O: Order<T>> Heap<T, O> {
    fn is_before(&self, a: &Entry<T>, b: &Entry<T>) -> bool {
        match self.order.compare(&a.item, &b.item) {
            Ordering::Less => true,
            Ordering::Equal => a.number < b.number,
            Ordering::Greater => false,
        }
    }

    /// Where the entry at `from`, the first one behind the heap, belongs: there, or in the place of one of its ancestors.
    fn find_way_up(&self, entries: &[Entry<T>], from: usize) -> usize {
        let entry = &entries[from];
        let mut place = from;
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.is_before(entry, &entries[parent]) {
                break;
            }
            place = parent;
        }
        place
    }

    /// Where the last entry belongs when the first one is gone, and those on the way have moved up.
    fn find_way_down(&self, entries: &[Entry<T>]) -> usize {
        let last = entries.len() - 1;
        let mut place = 0;
        loop {
            let mut child = 2 * place + 1;
            if child >= last {
                return place;
            }
            if child + 1 < last && self.is_before(&entries[child + 1], &entries[child]) {
                child += 1;
            }
            if !self.is_before(&entries[child], &entries[last]) {
                return place;
            }
            place = child;
        }
    }

    /// Makes the first entry behind the heap a part of it. `false` if there is none.
    #[inline]
    fn sort_in_one(&self) -> bool {
        let from = self.sorted.get();
        let place = {
            let entries = self.entries.borrow();
            if from == entries.len() {
                return false;
            }
            self.find_way_up(&entries, from)
        };
        let entries = &mut *self.entries.borrow_mut();
        let mut at = from;
        while at > place {
            let parent = (at - 1) / 2;
            entries.swap(at, parent);
            at = parent;
        }
        self.sorted.set(from + 1);
        true
    }

    fn sort_in(&self) {
        loop {
            while self.sort_in_one() {}
            let mut aside = self.aside.borrow_mut();
            if aside.is_empty() {
                return;
            }
            self.entries.borrow_mut().append(&mut aside);
        }
    }

    #[inline]
    fn push_entry(&self, entry: Entry<T>) {
        match self.entries.try_borrow_mut() {
            Ok(mut entries) => entries.push(entry),
            Err(_) => self.aside.borrow_mut().push(entry),
        }
    }

    fn is_comparing(&self) -> bool {
        self.entries.try_borrow_mut().is_err()
    }
}

/// An order that is another heap's.
struct Borrowed<'a, O>(&'a O);

impl<T, O: Order<T>> Order<T> for Borrowed<'_, O> {
    #[inline]
    fn compare(&self, a: &T, b: &T) -> Ordering {
        self.0.compare(a, b)
    }
}

/// Takes the entry at the end out again when comparing panics.
struct UndoPush<'a, T>(&'a RefCell<Vec<Entry<T>>>);

impl<T> Drop for UndoPush<'_, T> {
    fn drop(&mut self) {
        let entry = self.0.borrow_mut().pop();
        drop(entry);
    }
}

impl<T, O: Order<T>> Store<T> for Heap<T, O> {
    const COMPARES: bool = true;

    #[inline]
    fn len(&self) -> usize {
        self.entries.borrow().len() + self.aside.borrow().len()
    }

    #[inline]
    fn next_number(&self) -> u64 {
        let number = self.last_number.get() + 1;
        self.last_number.set(number);
        number
    }

    fn push(&self, item: T) {
        // If there are others to be sorted in, it is left to `pop` with them.
        let is_first_unsorted = match self.entries.try_borrow_mut() {
            Ok(entries) => entries.len() == self.sorted.get(),
            Err(_) => false,
        };
        self.push_unsorted(item);
        if is_first_unsorted {
            let undo = UndoPush(&self.entries);
            self.sort_in_one();
            mem::forget(undo);
        }
    }

    fn push_unsorted(&self, item: T) {
        let number = self.next_number();
        self.push_entry(Entry { number, item });
    }

    fn pop(&self) -> Option<Entry<T>> {
        if self.is_comparing() {
            return None;
        }
        self.sort_in();
        let place = {
            let entries = self.entries.borrow();
            if entries.is_empty() {
                return None;
            }
            self.find_way_down(&entries)
        };
        let entries = &mut *self.entries.borrow_mut();
        let mut moved = entries.pop()?;
        self.sorted.set(entries.len());
        if entries.is_empty() {
            return Some(moved);
        }
        // From that place upwards everyone takes the parent's, and the first one is left over.
        let mut at = place;
        loop {
            mem::swap(&mut moved, &mut entries[at]);
            if at == 0 {
                return Some(moved);
            }
            at = (at - 1) / 2;
        }
    }

    fn put_back(&self, entry: Entry<T>) {
        self.push_entry(entry);
    }

    fn drain(&self) -> Vec<Entry<T>> {
        let mut drained = self.aside.take();
        if let Ok(mut entries) = self.entries.try_borrow_mut() {
            drained.append(&mut entries);
            self.sorted.set(0);
        }
        drained
    }

    fn in_order(&self, entries: Vec<Entry<T>>) -> Vec<T> {
        // Not by `sort`, which may panic when an order contradicts itself.
        let heap = Heap::new(Borrowed(&self.order));
        heap.entries.replace(entries);
        std::iter::from_fn(|| heap.pop())
            .map(|entry| entry.item)
            .collect()
    }
}
