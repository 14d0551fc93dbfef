//! Wakers that do something, messages that count, and futures polled by hand.

#![allow(dead_code, reason = "each test binary uses some of it")]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// What is done to a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Clone,
    Wake,
    Drop,
}

type Hook = Rc<dyn Fn(Act)>;

thread_local! {
    static HOOKS: RefCell<Vec<Hook>> = const { RefCell::new(Vec::new()) };
}

fn call(data: *const (), act: Act) {
    // Not while the thread ends.
    let hook = HOOKS.try_with(|hooks| hooks.borrow().get(data as usize).cloned());
    if let Ok(Some(hook)) = hook {
        hook(act);
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        call(data, Act::Clone);
        RawWaker::new(data, &VTABLE)
    },
    |data| call(data, Act::Wake),
    |data| call(data, Act::Wake),
    |data| call(data, Act::Drop),
);

/// A waker that calls `hook` for whatever is done to it. For this thread only, where it is never forgotten.
pub(crate) fn hooked(hook: impl Fn(Act) + 'static) -> Waker {
    let index = HOOKS.with_borrow_mut(|hooks| {
        hooks.push(Rc::new(hook));
        hooks.len() - 1
    });
    let raw = RawWaker::new(index as *const (), &VTABLE);
    #[allow(unsafe_code, reason = "there is no safe way to see a waker cloned")]
    // SAFETY: the functions of the table never use the data as a pointer: it is an index into a table of the thread that
    // calls them. On another thread, or later, they find nothing there, or something of the same kind.
    unsafe {
        Waker::from_raw(raw)
    }
}

/// A waker that counts how often it wakes.
pub(crate) fn counting() -> (Waker, Rc<Cell<usize>>) {
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    let waker = hooked(move |act| {
        if act == Act::Wake {
            counted.set(counted.get() + 1);
        }
    });
    (waker, count)
}

/// A waker that does something when it wakes.
pub(crate) fn on_wake(hook: impl Fn() + 'static) -> Waker {
    hooked(move |act| {
        if act == Act::Wake {
            hook();
        }
    })
}

pub(crate) fn poll_with<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

pub(crate) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

/// Polls a new future once.
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    poll(std::pin::pin!(future))
}

/// Counts how often it is dropped, and does something then.
pub(crate) struct Dropped {
    pub(crate) name: u32,
    drops: Rc<RefCell<Vec<u32>>>,
    action: Option<Box<dyn FnOnce()>>,
}

/// Who was dropped, in order.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<RefCell<Vec<u32>>>);

impl Drops {
    pub(crate) fn item(&self, name: u32) -> Dropped {
        Dropped {
            name,
            drops: self.0.clone(),
            action: None,
        }
    }

    pub(crate) fn acting(&self, name: u32, action: impl FnOnce() + 'static) -> Dropped {
        let mut item = self.item(name);
        item.action = Some(Box::new(action));
        item
    }

    pub(crate) fn take(&self) -> Vec<u32> {
        self.0.take()
    }
}

impl Clone for Dropped {
    fn clone(&self) -> Dropped {
        Dropped {
            name: self.name,
            drops: self.drops.clone(),
            action: None,
        }
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.drops.borrow_mut().push(self.name);
        if let Some(action) = self.action.take() {
            action();
        }
    }
}

impl std::fmt::Debug for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

/// How often something is done that must leave nothing behind: SY13.
pub(crate) fn many_times() -> u32 {
    if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    }
}
