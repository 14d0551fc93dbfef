//! The ready queue: tasks that can run, first in, first out, linked through their headers.
//!
//! Appending and taking never allocate. A task is in the queue exactly while its `SCHEDULED` flag
//! is set, also when it finishes meanwhile: its block is freed only after it has been taken out.

use crate::shim::Cell;
use crate::task::TaskRef;

pub(crate) struct ReadyQueue {
    head: Cell<Option<TaskRef>>,
    tail: Cell<Option<TaskRef>>,
}

impl ReadyQueue {
    pub(crate) fn new() -> ReadyQueue {
        ReadyQueue {
            head: Cell::new(None),
            tail: Cell::new(None),
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
        Some(task)
    }

    /// Takes what is in the queue at this point, in order, and hands it to `run`. What is appended meanwhile
    /// stays. Says how many there were.
    #[inline(always)]
    pub(crate) fn run_snapshot(&self, mut run: impl FnMut(TaskRef)) -> usize {
        let mut count = 0;
        let Some(last) = self.tail.get() else {
            return count;
        };
        while let Some(task) = self.pop_front() {
            run(task);
            count += 1;
            // Compared, not used: its block may be gone. That of the last one stays until it is taken out.
            if task == last {
                break;
            }
        }
        count
    }

    /// How many there are. Goes through all of them: nothing is counted when they come and go.
    pub(crate) fn len(&self) -> usize {
        std::iter::successors(self.head.get(), |task| task.header().next.get()).count()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }
}
