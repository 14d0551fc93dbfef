//! Items by age: the store of `Queue`, which takes the oldest, and of `LifoQueue`, which takes the newest.
//!
//! # Invariants
//! 1. `items` are in the order of their age, the oldest first.
//! 2. The first of them, as many as there are `returned` numbers, were handed over and came back, and those are
//!    their numbers. They are older than the others: an item is handed over only while the store is empty. The others
//!    need no numbers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;

use crate::queue::store::{Entry, Store};

pub(crate) struct Deque<T, E> {
    line: RefCell<Line<T>>,
    last_number: Cell<u64>,
    _end: PhantomData<E>,
}

pub(crate) struct Line<T> {
    items: VecDeque<T>,
    returned: VecDeque<u64>,
}

/// At which end items are taken.
pub(crate) trait End {
    fn pop<T>(line: &mut Line<T>) -> Option<Entry<T>>;

    /// Puts back what `pop` has taken, and had no number.
    fn undo_pop<T>(line: &mut Line<T>, item: T);

    fn in_order<T>(items: impl DoubleEndedIterator<Item = T>) -> Vec<T>;
}

/// The end where the oldest item is.
pub(crate) enum Oldest {}

/// The end where the newest item is.
pub(crate) enum Newest {}

impl End for Oldest {
    #[inline]
    fn pop<T>(line: &mut Line<T>) -> Option<Entry<T>> {
        let item = line.items.pop_front()?;
        let number = line.returned.pop_front().unwrap_or(0);
        Some(Entry { number, item })
    }

    fn undo_pop<T>(line: &mut Line<T>, item: T) {
        line.items.insert(line.returned.len(), item);
    }

    fn in_order<T>(items: impl DoubleEndedIterator<Item = T>) -> Vec<T> {
        items.collect()
    }
}

impl End for Newest {
    #[inline]
    fn pop<T>(line: &mut Line<T>) -> Option<Entry<T>> {
        let item = line.items.pop_back()?;
        let is_returned = line.items.len() < line.returned.len();
        let number = match is_returned {
            true => line.returned.pop_back().unwrap_or(0),
            false => 0,
        };
        Some(Entry { number, item })
    }

    fn undo_pop<T>(line: &mut Line<T>, item: T) {
        line.items.push_back(item);
    }

    fn in_order<T>(items: impl DoubleEndedIterator<Item = T>) -> Vec<T> {
        items.rev().collect()
    }
}

impl<T, E> Deque<T, E> {
    pub(crate) const fn new() -> Deque<T, E> {
        Deque {
            line: RefCell::new(Line {
                items: VecDeque::new(),
                returned: VecDeque::new(),
            }),
            last_number: Cell::new(0),
            _end: PhantomData,
        }
    }
}

impl<T, E: End> Store<T> for Deque<T, E> {
    const COMPARES: bool = false;

    #[inline]
    fn len(&self) -> usize {
        self.line.borrow().items.len()
    }

    #[inline]
    fn next_number(&self) -> u64 {
        let number = self.last_number.get() + 1;
        self.last_number.set(number);
        number
    }

    #[inline]
    fn push(&self, item: T) {
        self.line.borrow_mut().items.push_back(item);
    }

    #[inline]
    fn push_unsorted(&self, item: T) {
        self.push(item);
    }

    #[inline]
    fn pop(&self) -> Option<Entry<T>> {
        E::pop(&mut self.line.borrow_mut())
    }

    #[cold]
    fn put_back(&self, entry: Entry<T>) {
        let Entry { number, item } = entry;
        let line = &mut *self.line.borrow_mut();
        if number == 0 {
            return E::undo_pop(line, item);
        }
        let place = line.returned.partition_point(|&older| older < number);
        line.returned.insert(place, number);
        line.items.insert(place, item);
    }

    fn drain(&self) -> Vec<Entry<T>> {
        let line = &mut *self.line.borrow_mut();
        line.returned.clear();
        let number = 0;
        line.items
            .drain(..)
            .map(|item| Entry { number, item })
            .collect()
    }

    fn in_order(&self, entries: Vec<Entry<T>>) -> Vec<T> {
        E::in_order(entries.into_iter().map(|entry| entry.item))
    }
}
