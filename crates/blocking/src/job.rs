//! A job: a closure, the slot for its result, and how to stop it, in one allocation.
//!
//! The queue holds it as a [`Run`], which has forgotten the types; the handle as a [`Packet`], which
//! knows the result's type. Both are the same `Arc`.

use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::Waker;

use crate::error::{BlockingError, JobPanic};
use crate::report::Reporter;
use crate::shim::Mutex;
use crate::slot::{Filled, Slot};
use crate::stop::StopToken;

pub(crate) struct Job<F, T> {
    /// Touched by whoever has taken the job off the queue, so nobody ever waits for this lock. It is there
    /// because a shared block's contents cannot be moved out without one.
    work: Mutex<Work<F, T>>,
    slot: Slot<T>,
    stop: Option<StopToken>,
    spawned_at: &'static Location<'static>,
}

enum Work<F, T> {
    ToDo(F),
    Done(Result<T, BlockingError>),
    /// It is under way, or all is in the slot, or gone.
    Nothing,
}

/// A job as the queue sees it. The queue gives it to one place only, which calls `fail` once, or `run`
/// and then `settle`.
pub(crate) trait Run: Send + Sync {
    /// Runs it on this thread, and keeps the result.
    fn run(&self);

    /// Puts the result into the slot, if it is still wanted. It runs no user code: it is called with the pool's
    /// lock held.
    fn settle(&self) -> Settled;

    /// Drops the result that `settle` has left.
    fn discard(&self, reporter: &Reporter);

    /// Ends a job that does not run: drops its closure here, then wakes its handle.
    fn fail(&self, error: BlockingError, reporter: &Reporter);

    /// What stops it, if it listens.
    fn stop_token(&self) -> Option<&StopToken>;

    fn spawned_at(&self) -> &'static Location<'static>;
}

/// What is left to do for a job that has run.
#[must_use]
pub(crate) enum Settled {
    /// Wake this, if there is one; then the job is over.
    Wake(Option<Waker>),
    /// Nobody wants the result: `discard` it, then `settle` again.
    Discard,
}

/// A job as its handle sees it.
pub(crate) trait Packet<T>: Run {
    fn slot(&self) -> &Slot<T>;
}

impl<F, T> Job<F, T> {
    pub(crate) fn new(
        closure: F,
        stop: Option<StopToken>,
        spawned_at: &'static Location<'static>,
    ) -> Job<F, T> {
        Job {
            work: Mutex::new(Work::ToDo(closure)),
            slot: Slot::new(),
            stop,
            spawned_at,
        }
    }

    fn take_work(&self) -> Work<F, T> {
        mem::replace(&mut self.work.lock(), Work::Nothing)
    }
}

impl<F, T> Run for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self) {
        let Work::ToDo(closure) = self.take_work() else {
            unreachable!("a job is taken off the queue once");
        };
        // What the closure has captured is dropped inside, also by a panic.
        let result = catch_unwind(AssertUnwindSafe(closure))
            .map_err(|payload| BlockingError::Panicked(JobPanic::new(payload, self.spawned_at)));
        *self.work.lock() = Work::Done(result);
    }

    fn settle(&self) -> Settled {
        let Work::Done(result) = self.take_work() else {
            return Settled::Wake(None);
        };
        match self.slot.fill(result) {
            Filled::Wake(waker) => Settled::Wake(waker),
            Filled::Discard(result) => {
                *self.work.lock() = Work::Done(result);
                Settled::Discard
            }
        }
    }

    fn discard(&self, reporter: &Reporter) {
        if let Work::Done(result) = self.take_work() {
            reporter.discard(result, self.spawned_at);
        }
    }

    fn fail(&self, error: BlockingError, reporter: &Reporter) {
        reporter.drop_contained(self.take_work(), self.spawned_at);
        match self.slot.fill(Err(error)) {
            Filled::Wake(Some(waker)) => reporter.wake(waker, self.spawned_at),
            Filled::Wake(None) => {}
            Filled::Discard(result) => reporter.discard(result, self.spawned_at),
        }
    }

    fn stop_token(&self) -> Option<&StopToken> {
        self.stop.as_ref()
    }

    fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }
}

impl<F, T> Packet<T> for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn slot(&self) -> &Slot<T> {
        &self.slot
    }
}
