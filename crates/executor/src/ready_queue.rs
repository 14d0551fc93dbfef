//! The ready queue: tasks that can run, first in, first out, linked through their headers.
//!
//! Appending and taking never allocate. A task is in the queue exactly while its `SCHEDULED` flag
//! is set, also when it finishes meanwhile: its block is freed only after it has been taken out.

use crate::shim::Cell;
use crate::task::TaskRef;

pub(crate) struct ReadyQueue {
    head: Cell<Option<TaskRef>>,
    tail: Cell<Option<TaskRef>>,
    len: Cell<usize>,
}

impl ReadyQueue {
    pub(crate) fn new() -> ReadyQueue {
        ReadyQueue {
            head: Cell::new(None),
            tail: Cell::new(None),
            len: Cell::new(0),
        }
    }

    /// Appends a task that is not in the queue. The caller has set its `SCHEDULED` flag.
    #[inline]
    pub(crate) fn push_back(&self, task: TaskRef) {
        task.header().next.set(None);
        match self.tail.replace(Some(task)) {
            Some(tail) => tail.header().next.set(Some(task)),
            None => self.head.set(Some(task)),
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes the oldest task. The caller clears its `SCHEDULED` flag.
    #[inline]
    pub(crate) fn pop_front(&self) -> Option<TaskRef> {
        let task = self.head.get()?;
        let next = task.header().next.get();
        self.head.set(next);
        if next.is_none() {
            self.tail.set(None);
        }
        self.len.set(self.len.get() - 1);
        Some(task)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }
}
