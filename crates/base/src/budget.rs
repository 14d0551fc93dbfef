//! The cooperative budget: may this task go on, or is it the others' turn?
//!
//! A task that always finds its socket readable or its queue filled would never return `Pending`,
//! and starve the loop. So each poll of a task starts with [`OPERATIONS`], every operation that
//! completes without waiting takes one, and once none is left such operations wake their task and
//! return `Pending`: the task goes to the end of the ready queue.
//!
//! Outside of a task there is no limit, so that primitives can be polled by hand or by other
//! executors.

use std::cell::Cell;
use std::task::{Context, Poll};

/// Operations that a task may complete in one poll.
///
/// Fewer would send busy tasks to the end of the queue after a few microseconds, at the price of a
/// queue round each time; many more would let one task with a full socket hold the loop for
/// milliseconds (128 reads of 64 KiB are about 2 ms).
pub const OPERATIONS: u8 = 128;

/// No limit: nobody has started a budget on this thread.
const UNLIMITED: u8 = u8::MAX;

thread_local! {
    static LEFT: Cell<u8> = const { Cell::new(UNLIMITED) };
}

/// Starts a task's poll with a full budget.
#[inline]
pub fn start() {
    LEFT.set(OPERATIONS);
}

/// Lifts the limit: no task is being polled any more.
#[inline]
pub fn end() {
    LEFT.set(UNLIMITED);
}

/// What was left when it was put aside. See [`save`].
#[derive(Clone, Copy, Debug)]
pub struct Saved(u8);

/// Puts the budget of the running task aside, and lifts the limit.
pub fn save() -> Saved {
    Saved(LEFT.replace(UNLIMITED))
}

/// Puts back what was put aside.
pub fn restore(saved: Saved) {
    LEFT.set(saved.0);
}

/// Takes one operation from the budget; `false` when none is left.
#[inline]
pub fn try_consume() -> bool {
    match LEFT.get() {
        UNLIMITED => true,
        0 => false,
        left => {
            LEFT.set(left - 1);
            true
        }
    }
}

/// Takes one operation from the budget, or wakes the task and returns `Pending` when none is left.
///
/// An operation that then finds it must wait anyway gives its share back with [`refund`].
#[inline]
pub fn poll_consume(cx: &mut Context<'_>) -> Poll<()> {
    if try_consume() {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Gives back what [`try_consume`] took, because the operation made no progress.
#[inline]
pub fn refund() {
    let left = LEFT.get();
    if left < OPERATIONS {
        LEFT.set(left + 1);
    }
}

/// Whether the running task has used up its budget.
#[inline]
pub fn is_spent() -> bool {
    LEFT.get() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_and_is_unlimited_outside_of_a_task() {
        for _ in 0..1000 {
            assert!(try_consume());
        }
        start();
        for _ in 0..OPERATIONS {
            assert!(try_consume());
        }
        assert!(is_spent() && !try_consume());
        refund();
        assert!(try_consume() && !try_consume());
        end();
        refund();
        assert!(!is_spent() && try_consume());
    }

    #[test]
    fn a_spent_budget_wakes_the_task_and_waits() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};
        struct Count(AtomicU32);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = count.clone().into();
        let mut cx = Context::from_waker(&waker);
        start();
        while poll_consume(&mut cx).is_ready() {}
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        end();
    }
}
