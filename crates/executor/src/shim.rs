//! The types that cross threads, and the cells beside them: std's and parking_lot's, or loom's when
//! the crate is built with `--cfg loom`, so that the models check the code that runs.

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::Mutex;
    pub(crate) use std::cell::Cell;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
    pub(crate) use std::thread_local;
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::cell::Cell;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI32, Ordering};
    pub(crate) use loom::thread_local;

    /// loom's mutex with parking_lot's signature: no poisoning.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0
                .lock()
                .expect("no model panics while it holds a lock")
        }
    }
}

pub(crate) use real::*;
