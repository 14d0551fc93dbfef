//! What the tests share: wakers that tell, futures that are polled by hand, and random programs.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// A waker that counts, and tells a log which one it was.
pub(crate) struct Bell {
    number: usize,
    log: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.log.lock().unwrap().push(self.number);
    }
}

/// Futures that are polled by hand, by number, and who of them was woken.
pub(crate) struct Futures<'a, T> {
    slots: Vec<Option<Pin<Box<dyn Future<Output = T> + 'a>>>>,
    log: Arc<Mutex<Vec<usize>>>,
}

impl<'a, T> Futures<'a, T> {
    pub(crate) fn new(count: usize) -> Futures<'a, T> {
        Futures {
            slots: (0..count).map(|_| None).collect(),
            log: Arc::default(),
        }
    }

    /// Puts a future there, which has not been polled.
    pub(crate) fn put(&mut self, number: usize, future: impl Future<Output = T> + 'a) {
        if number >= self.slots.len() {
            self.slots.resize_with(number + 1, || None);
        }
        self.slots[number] = Some(Box::pin(future));
    }

    /// Puts a future there, and polls it.
    pub(crate) fn start(&mut self, number: usize, future: impl Future<Output = T> + 'a) -> Poll<T> {
        self.put(number, future);
        self.poll(number)
    }

    pub(crate) fn waker(&self, number: usize) -> Waker {
        Waker::from(Arc::new(Bell {
            number,
            log: self.log.clone(),
        }))
    }

    /// Polls it with a waker of its own, and lets go of it when it is done.
    pub(crate) fn poll(&mut self, number: usize) -> Poll<T> {
        let waker = self.waker(number);
        self.poll_with(number, &waker)
    }

    pub(crate) fn poll_with(&mut self, number: usize, waker: &Waker) -> Poll<T> {
        let future = self.slots[number].as_mut().expect("a future");
        let polled = future.as_mut().poll(&mut Context::from_waker(waker));
        if polled.is_ready() {
            self.slots[number] = None;
        }
        polled
    }

    pub(crate) fn drop(&mut self, number: usize) {
        self.slots[number] = None;
    }

    pub(crate) fn is_there(&self, number: usize) -> bool {
        self.slots[number].is_some()
    }

    /// Who was woken since the last call, in order.
    pub(crate) fn woken(&self) -> Vec<usize> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A waker that runs a closure when it is cloned, woken or dropped, on this thread.
#[allow(unsafe_code, reason = "no safe waker tells when it is cloned")]
pub(crate) fn meddling(meddle: Rc<dyn Fn(&'static str)>) -> Waker {
    type Meddle = Rc<dyn Fn(&'static str)>;
    thread_local! {
        static MEDDLERS: RefCell<Vec<Meddle>> = const { RefCell::new(Vec::new()) };
    }
    fn call(data: *const (), what: &'static str) {
        let meddle = MEDDLERS.try_with(|all| all.borrow().get(data.addr() - 1).cloned());
        if let Ok(Some(meddle)) = meddle {
            meddle(what);
        }
    }
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            call(data, "clone");
            RawWaker::new(data, &VTABLE)
        },
        |data| {
            call(data, "wake");
            call(data, "drop");
        },
        |data| call(data, "wake"),
        |data| call(data, "drop"),
    );
    let number = MEDDLERS.with_borrow_mut(|all| {
        all.push(meddle);
        all.len()
    });
    // SAFETY: the data is a number, of which there may be any number of copies. On another thread it finds nothing.
    unsafe { Waker::new(std::ptr::without_provenance(number), &VTABLE) }
}

/// How many steps the random programs of a test play in all.
pub(crate) fn model_steps() -> u64 {
    let default = if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    };
    std::env::var("TULIPA_MODEL_STEPS").map_or(default, |it| it.parse().expect("a number"))
}

/// Plays random programs of `length` steps each, from seeds in turn, until there were enough steps. A seed whose
/// program fails is printed.
pub(crate) fn play(length: u64, program: impl Fn(&mut fastrand::Rng, u64)) {
    let first: u64 = std::env::var("TULIPA_MODEL_SEED").map_or(1, |it| it.parse().unwrap());
    for seed in first..first + model_steps().div_ceil(length) {
        struct Tell(u64);
        impl Drop for Tell {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    eprintln!("TULIPA_MODEL_SEED={}", self.0);
                }
            }
        }
        let _tell = Tell(seed);
        program(&mut fastrand::Rng::with_seed(seed), length);
    }
}

/// A future that is done when its signal has been given. The signal wakes nobody.
pub(crate) struct Signal(pub(crate) Rc<Cell<bool>>);

impl Future for Signal {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.get() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
