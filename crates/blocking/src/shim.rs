//! What threads meet at: std's and parking_lot's, or loom's when the crate is built with `--cfg loom`,
//! so that the models check the code that runs. loom knows no time: there, waits have no end.

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use std::thread;

    use std::time::{Duration, Instant};

    /// parking_lot's condition variable with the signature that loom's can have too.
    #[derive(Debug)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(parking_lot::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Waits for a notification, until the deadline if there is one. May return early.
        pub(crate) fn wait_until<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            deadline: Option<Instant>,
        ) -> MutexGuard<'a, T> {
            match deadline {
                Some(deadline) => drop(self.0.wait_until(&mut guard, deadline)),
                None => self.0.wait(&mut guard),
            }
            guard
        }
    }

    /// Lets the thread that made it wait until it is unparked. May return early.
    #[derive(Debug)]
    pub(crate) struct Parker(());

    impl Parker {
        pub(crate) fn new() -> Parker {
            Parker(())
        }

        pub(crate) fn unparker(&self) -> Unparker {
            Unparker(thread::current())
        }

        pub(crate) fn park(&self) {
            thread::park();
        }

        pub(crate) fn park_timeout(&self, timeout: Duration) {
            thread::park_timeout(timeout);
        }
    }

    /// Ends a [`Parker`]'s wait in progress, or else the next one.
    #[derive(Clone, Debug)]
    pub(crate) struct Unparker(thread::Thread);

    impl Unparker {
        pub(crate) fn unpark(&self) {
            self.0.unpark();
        }
    }
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::thread;

    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// loom's mutex with parking_lot's signature: no poisoning.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0
                .lock()
                .expect("no model panics while it holds a lock")
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn wait_until<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _deadline: Option<Instant>,
        ) -> MutexGuard<'a, T> {
            self.0
                .wait(guard)
                .expect("no model panics while it holds a lock")
        }
    }

    /// Not loom's own `park`: its `unpark` also frees a thread that waits for a mutex.
    #[derive(Debug)]
    pub(crate) struct Parker(Unparker);

    #[derive(Clone, Debug)]
    pub(crate) struct Unparker(Arc<(Mutex<bool>, Condvar)>);

    impl Parker {
        pub(crate) fn new() -> Parker {
            Parker(Unparker(Arc::new((Mutex::new(false), Condvar::new()))))
        }

        pub(crate) fn unparker(&self) -> Unparker {
            self.0.clone()
        }

        pub(crate) fn park(&self) {
            let (is_set, changed) = &*self.0.0;
            let mut guard = is_set.lock();
            while !*guard {
                guard = changed.wait_until(guard, None);
            }
            *guard = false;
        }

        pub(crate) fn park_timeout(&self, _timeout: Duration) {
            self.park();
        }
    }

    impl Unparker {
        pub(crate) fn unpark(&self) {
            let (is_set, changed) = &*self.0;
            *is_set.lock() = true;
            changed.notify_all();
        }
    }
}

pub(crate) use real::*;
