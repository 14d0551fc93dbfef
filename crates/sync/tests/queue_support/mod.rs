//! For the tests of the queues: futures polled by hand, wakers that run anything, and a count of allocations.

#![allow(
    unsafe_code,
    reason = "an allocator that counts, and a waker whose clones are anyone's code, cannot be made without"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: it is the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + layout.size() as isize));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let _ = LIVE_BYTES.try_with(|live| live.set(live.get() - layout.size() as isize));
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often this thread has allocated.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.get()
}

/// What this thread has allocated and not freed.
pub(crate) fn live_bytes() -> isize {
    LIVE_BYTES.get()
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future that is polled by hand, with a waker that counts.
pub(crate) struct Hand<F> {
    future: Pin<Box<F>>,
    count: Arc<Count>,
}

pub(crate) fn hand<F: Future>(future: F) -> Hand<F> {
    Hand {
        future: Box::pin(future),
        count: Arc::new(Count(AtomicUsize::new(0))),
    }
}

/// One that has been polled, and waits.
pub(crate) fn waiting<F: Future>(future: F) -> Hand<F> {
    let mut hand = hand(future);
    assert!(hand.poll().is_pending());
    hand
}

impl<F: Future> Hand<F> {
    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(self.count.clone());
        self.poll_with(&waker)
    }

    pub(crate) fn poll_with(&mut self, waker: &Waker) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// What it yields, at once.
    pub(crate) fn now(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it waits"),
        }
    }

    /// How often it was woken.
    pub(crate) fn woken(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }
}

/// Something that happens to a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Clone,
    Wake,
    Drop,
}

type Hook = Rc<dyn Fn(On)>;

thread_local! {
    static HOOKS: RefCell<HashMap<usize, Hook>> = RefCell::default();
    static NEXT: Cell<usize> = const { Cell::new(1) };
}

/// A waker that calls `hook` with everything that happens to it and its clones.
pub(crate) fn hooked(hook: impl Fn(On) + 'static) -> Waker {
    let id = NEXT.replace(NEXT.get() + 1);
    HOOKS.with_borrow_mut(|hooks| hooks.insert(id, Rc::new(hook)));
    // SAFETY: the data is a number, not a pointer; nothing is done with it but to look it up in a thread-local.
    unsafe { Waker::from_raw(raw(id)) }
}

fn raw(id: usize) -> RawWaker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            call(data, On::Clone);
            raw(data.addr())
        },
        |data| {
            call(data, On::Wake);
            call(data, On::Drop);
        },
        |data| call(data, On::Wake),
        |data| call(data, On::Drop),
    );
    RawWaker::new(std::ptr::without_provenance(id), &TABLE)
}

fn call(data: *const (), on: On) {
    let hook = HOOKS.with_borrow(|hooks| hooks.get(&data.addr()).cloned());
    if let Some(hook) = hook {
        hook(on);
    }
}
