//! Waiting on a thread that has no event loop: it is parked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tulipa_base::current;

use crate::shim::{Parker, Unparker, thread_local};

struct Parking {
    parker: Parker,
    waker: Waker,
}

impl Parking {
    fn new() -> Parking {
        let parker = Parker::new();
        let waker = Waker::from(Arc::new(Unparking(parker.unparker())));
        Parking { parker, waker }
    }

    fn block_on<F: Future + Unpin>(&self, future: &mut F) -> F::Output {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = Pin::new(&mut *future).poll(&mut cx) {
                return output;
            }
            self.parker.park();
        }
    }
}

struct Unparking(Unparker);

impl Wake for Unparking {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// One for each thread, so that to wait allocates nothing.
    static PARKING: Parking = Parking::new();
}

/// Parks the thread until the future is through.
///
/// # Panics
/// In a task: its loop would stand still, and what it waits for may be another task's to do.
#[track_caller]
pub(super) fn block_on<F: Future + Unpin>(method: &str, mut future: F) -> F::Output {
    assert!(
        current::task_id().is_none(),
        "{method} in a task would stop its event loop: await the method without `blocking_`"
    );
    let output = PARKING.try_with(|parking| parking.block_on(&mut future));
    // A thread that is about to end keeps none.
    output.unwrap_or_else(|_| Parking::new().block_on(&mut future))
}
