//! The types that cross threads, and the cells beside them: std's and parking_lot's, or loom's when
//! the crate is built with `--cfg loom`, so that the models check the code that runs.

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::{Condvar, Mutex};
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

    /// loom's condition variable with parking_lot's signature: the guard stays where it is.
    pub(crate) struct Condvar(loom::sync::Condvar);

    /// A guard that can be lent to a wait.
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> std::ops::Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("lent only during a wait")
        }
    }

    impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("lent only during a wait")
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let inner = guard.0.take().expect("lent only during a wait");
            let inner = self
                .0
                .wait(inner)
                .expect("no model panics with a lock held");
            guard.0 = Some(inner);
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock();
            MutexGuard(Some(guard.expect("no model panics while it holds a lock")))
        }
    }
}

pub(crate) use real::*;
