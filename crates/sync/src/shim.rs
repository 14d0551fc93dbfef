//! What threads meet at: std's and parking_lot's, or loom's when the crate is built with `--cfg loom`,
//! so that the models check the code that runs.

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
    pub(crate) use std::thread_local;

    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    /// Lets the thread that made it wait until it is unparked.
    ///
    /// The flag is needed beside the thread's own token, which anyone's code may take: a waker that is dropped in between,
    /// for one, and parks the thread for something else.
    #[derive(Debug)]
    pub(crate) struct Parker(Arc<AtomicBool>);

    impl Parker {
        pub(crate) fn new() -> Parker {
            Parker(Arc::default())
        }

        pub(crate) fn unparker(&self) -> Unparker {
            Unparker(self.0.clone(), thread::current())
        }

        pub(crate) fn park(&self) {
            while !self.0.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    }

    /// Ends a [`Parker`]'s wait in progress, or else the next one.
    #[derive(Clone, Debug)]
    pub(crate) struct Unparker(Arc<AtomicBool>, thread::Thread);

    impl Unparker {
        pub(crate) fn unpark(&self) {
            self.0.store(true, Ordering::Release);
            self.1.unpark();
        }
    }
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
    pub(crate) use loom::thread_local;

    use std::sync::Arc;

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

    /// Not loom's own `park`: its `unpark` also frees a thread that waits for a mutex.
    #[derive(Debug)]
    pub(crate) struct Parker(Unparker);

    #[derive(Clone, Debug)]
    pub(crate) struct Unparker(Arc<(Mutex<bool>, loom::sync::Condvar)>);

    impl Parker {
        pub(crate) fn new() -> Parker {
            let inner = (Mutex::new(false), loom::sync::Condvar::new());
            Parker(Unparker(Arc::new(inner)))
        }

        pub(crate) fn unparker(&self) -> Unparker {
            self.0.clone()
        }

        pub(crate) fn park(&self) {
            let (is_set, changed) = &*self.0.0;
            let mut guard = is_set.lock();
            while !*guard {
                guard = changed
                    .wait(guard)
                    .expect("no model panics while it holds a lock");
            }
            *guard = false;
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
