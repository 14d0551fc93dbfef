//! Tasks that wait until a stream has got further: all are woken at once, and look again.

use std::cell::RefCell;
use std::task::{Context, Waker};

use tulipa_base::resource::Resource;
use tulipa_base::wait;

/// A waker of a future that was dropped stays until the next wake. That costs a poll of its task at most.
pub(crate) struct WaitSet {
    kind: &'static str,
    waiting: RefCell<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// What dumps show; there while anybody waits.
    resource: Option<Resource>,
}

impl WaitSet {
    /// `kind` is what dumps say that is waited for.
    pub(crate) fn new(kind: &'static str) -> WaitSet {
        WaitSet {
            kind,
            waiting: RefCell::default(),
        }
    }

    /// Adds the task that is being polled, which is about to return `Pending`.
    pub(crate) fn add(&self, cx: &Context<'_>) {
        // Cloning may be anyone's code: nothing is borrowed meanwhile.
        let waker = cx.waker().clone();
        let mut waiting = self.waiting.borrow_mut();
        let resource = waiting
            .resource
            .get_or_insert_with(|| Resource::new(self.kind));
        wait::note(resource.label());
        let is_new = !waiting.wakers.iter().any(|it| it.will_wake(&waker));
        if is_new {
            waiting.wakers.push(waker);
        } else {
            drop(waiting);
            drop(waker);
        }
    }

    /// Wakes all who wait.
    pub(crate) fn wake(&self) {
        let waiting = self.waiting.take();
        drop(waiting.resource);
        for waker in waiting.wakers {
            waker.wake();
        }
    }
}
