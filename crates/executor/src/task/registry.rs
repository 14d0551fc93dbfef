//! The registry: all unfinished tasks of a loop, oldest first.
//!
//! A doubly linked list through the tasks' headers, so that entering and leaving cost a few plain
//! writes and no allocation.

use tulipa_base::TaskId;

use crate::shim::Cell;
use crate::task::TaskRef;

pub(crate) struct Registry {
    oldest: Cell<Option<TaskRef>>,
    youngest: Cell<Option<TaskRef>>,
    len: Cell<usize>,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        Registry {
            oldest: Cell::new(None),
            youngest: Cell::new(None),
            len: Cell::new(0),
        }
    }

    /// Adds a task that is not in the registry, as the youngest.
    #[inline]
    pub(crate) fn push(&self, task: TaskRef) {
        let before = self.youngest.replace(Some(task));
        task.header().older.set(before);
        match before {
            Some(older) => older.header().younger.set(Some(task)),
            None => self.oldest.set(Some(task)),
        }
        self.len.set(self.len.get() + 1);
    }

    /// Removes a task that is in the registry.
    #[inline]
    pub(crate) fn remove(&self, task: TaskRef) {
        let header = task.header();
        let (older, younger) = (header.older.take(), header.younger.take());
        match older {
            Some(older) => older.header().younger.set(younger),
            None => self.oldest.set(younger),
        }
        match younger {
            Some(younger) => younger.header().older.set(older),
            None => self.youngest.set(older),
        }
        self.len.set(self.len.get() - 1);
    }

    /// The oldest unfinished task.
    pub(crate) fn first(&self) -> Option<TaskRef> {
        self.oldest.get()
    }

    /// The unfinished task of this id. Looks through all of them: for failures, not for daily use.
    #[cold]
    pub(crate) fn find(&self, id: TaskId) -> Option<TaskRef> {
        let mut next = self.oldest.get();
        while let Some(task) = next {
            if task.header().id == id {
                return Some(task);
            }
            next = task.header().younger.get();
        }
        None
    }

    /// All of them, oldest first. None may leave meanwhile.
    pub(crate) fn iter(&self) -> impl Iterator<Item = TaskRef> {
        std::iter::successors(self.oldest.get(), |task| task.header().younger.get())
    }

    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }
}
