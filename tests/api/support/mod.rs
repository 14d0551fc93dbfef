//! What several test modules use.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use tulipa::runtime::{ExceptionKind, Runner};

/// A list that tasks append to, to be compared whole.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub(crate) fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Counts drops, and remembers the thread of the last.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<(u32, Option<ThreadId>)>>);

impl Drops {
    pub(crate) fn count(&self) -> u32 {
        self.0.get().0
    }

    pub(crate) fn thread(&self) -> Option<ThreadId> {
        self.0.get().1
    }

    pub(crate) fn witness(&self) -> Witness {
        Witness(self.clone())
    }
}

/// Tells its [`Drops`] when it is dropped.
pub(crate) struct Witness(Drops);

impl Drop for Witness {
    fn drop(&mut self) {
        let (count, _) = self.0.0.get();
        self.0.0.set((count + 1, Some(thread::current().id())));
    }
}

/// Leaves its task's waker in a place, once, and then waits for ever.
pub(crate) struct LeaveWaker {
    pub(crate) place: Rc<RefCell<Option<Waker>>>,
    pub(crate) polls: Rc<Cell<u32>>,
}

impl Future for LeaveWaker {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.set(self.polls.get() + 1);
        self.place
            .borrow_mut()
            .get_or_insert_with(|| cx.waker().clone());
        Poll::Pending
    }
}

/// What a runner's exception handler heard.
#[derive(Clone, Default)]
pub(crate) struct Heard(Rc<RefCell<Vec<(ExceptionKind, String)>>>);

impl Heard {
    pub(crate) fn take(&self) -> Vec<(ExceptionKind, String)> {
        self.0.take()
    }
}

/// A runner whose exception handler fills a list.
pub(crate) fn listening_runner() -> (Runner, Heard) {
    let heard = Heard::default();
    let list = heard.clone();
    let runner = Runner::builder()
        .exception_handler(move |context| {
            list.0
                .borrow_mut()
                .push((context.kind, context.to_string()));
        })
        .build()
        .unwrap();
    (runner, heard)
}

/// Polls a future once, outside of its usual task.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Lets `turns` turns of the loop pass.
pub(crate) async fn turns(turns: u32) {
    for _ in 0..turns {
        tulipa::yield_now().await;
    }
}

/// A runner whose clock stands still while anything is ready.
pub(crate) fn paused<T>(future: impl Future<Output = T>) -> T {
    Runner::builder()
        .start_paused(true)
        .build()
        .unwrap()
        .run(future)
}

/// Is ready at its poll number `ready_at`, counted from 1, and wakes itself until then. Counts polls and
/// its drop.
pub(crate) struct Countdown<T> {
    ready_at: u32,
    value: Option<T>,
    polls: Rc<Cell<u32>>,
    _witness: Witness,
}

impl<T> Countdown<T> {
    pub(crate) fn new(ready_at: u32, value: T, polls: &Rc<Cell<u32>>, drops: &Drops) -> Self {
        Countdown {
            ready_at,
            value: Some(value),
            polls: polls.clone(),
            _witness: drops.witness(),
        }
    }
}

impl<T: Unpin> Future for Countdown<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.polls.set(self.polls.get() + 1);
        self.ready_at -= 1;
        if self.ready_at > 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.value.take().expect("polled after it was ready"))
    }
}
