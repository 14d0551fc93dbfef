//! Ends a wait from any thread, with one system call a burst, and none for a loop that is awake.
//!
//! # States
//! ```text
//!            1 prepare                2 unpark: system call
//!   AWAKE ─────────────▶ PARKED ───────────────────────────▶ NOTIFIED
//!     ▲                    │ 3 finish                            │ 3 finish
//!     ├────────────────────┘                                     │
//!     ├──────────────────────────────────────────────────────────┘
//!     └──── 2 unpark: AWAKE ─▶ NOTIFIED, no system call; the next 1 says: do not wait
//! ```
//! 1. `prepare`, by the owner before it waits. If the state is `NOTIFIED`, it must not wait. An owner that
//!    has prepared, and did not wait after all, may prepare again.
//! 2. `unpark`, by anyone, after having left something for the owner to find.
//! 3. `finish`, by the owner after it has waited, before it looks for what was left.
//!
//! # Why no wake is lost
//! All steps are read-modify-writes of one word, so they have one order. An `unpark` before `prepare`
//! is seen by it; one after it, before `finish`, makes the system call; one after `finish` is seen by
//! the next `prepare`. In each case the owner looks for what was left after it has seen the unpark.

use std::fmt;
use std::sync::Arc;

use crate::reactor::Wakeup;
use crate::shim::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

/// Ends the wait of one loop. Any thread may use it, also after the loop is gone.
pub struct Unparker {
    state: AtomicU8,
    wakeup: Arc<dyn Wakeup>,
}

impl Unparker {
    pub(crate) fn new(wakeup: Arc<dyn Wakeup>) -> Unparker {
        Unparker {
            state: AtomicU8::new(AWAKE),
            wakeup,
        }
    }

    /// Ends the wait in progress, or else the next one.
    pub fn unpark(&self) {
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            self.wakeup.wakeup();
        }
    }

    /// Says that the owner is about to wait.
    pub(crate) fn prepare(&self) -> Permission {
        let step = self
            .state
            .compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Acquire);
        match step {
            Ok(_) | Err(PARKED) => Permission::Wait,
            Err(_) => Permission::PollOnly,
        }
    }

    /// Says that the owner has waited.
    pub(crate) fn finish(&self) {
        self.state.swap(AWAKE, Ordering::AcqRel);
    }
}

/// Whether the owner may wait.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// It may: an unpark will end it.
    Wait,
    /// It may only look at what has happened: there was an unpark already.
    PollOnly,
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unparker").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wakeup for Count {
        fn wakeup(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_burst_costs_one_system_call_and_an_awake_loop_none() {
        let count = Arc::new(Count::default());
        let unparker = Unparker::new(count.clone());
        let calls = || count.0.load(Ordering::Relaxed);

        unparker.unpark();
        unparker.unpark();
        assert_eq!((calls(), unparker.prepare()), (0, Permission::PollOnly));
        unparker.finish();

        assert_eq!(unparker.prepare(), Permission::Wait);
        for _ in 0..10 {
            unparker.unpark();
        }
        assert_eq!(calls(), 1);
        unparker.finish();
        assert_eq!(unparker.prepare(), Permission::Wait);
    }

    #[test]
    fn an_owner_that_did_not_wait_may_prepare_again() {
        let count = Arc::new(Count::default());
        let unparker = Unparker::new(count.clone());
        assert_eq!(unparker.prepare(), Permission::Wait);
        assert_eq!(unparker.prepare(), Permission::Wait);
        unparker.unpark();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(unparker.prepare(), Permission::PollOnly);
        assert_eq!(unparker.prepare(), Permission::PollOnly);
        unparker.finish();
        assert_eq!(unparker.prepare(), Permission::Wait);
    }
}

/// Model: whatever a thread leaves before it unparks is found by the owner, however the two meet.
/// A wait without a wake-up blocks for ever, which loom reports as a deadlock.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    /// Stands for an eventfd.
    struct Flag(Mutex<bool>, Condvar);

    impl Wakeup for Flag {
        fn wakeup(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_one();
        }
    }

    impl Flag {
        fn wait(&self) {
            let mut set = self.0.lock().unwrap();
            while !*set {
                set = self.1.wait(set).unwrap();
            }
            *set = false;
        }
    }

    #[test]
    fn no_unpark_is_lost() {
        loom::model(|| {
            let flag = Arc::new(Flag(Mutex::new(false), Condvar::new()));
            let unparker = Arc::new(Unparker::new(flag.clone()));
            let left = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let (unparker, left) = (unparker.clone(), left.clone());
                    thread::spawn(move || {
                        left.fetch_add(1, Ordering::Relaxed);
                        unparker.unpark();
                    })
                })
                .collect();
            while left.load(Ordering::Relaxed) < 2 {
                if unparker.prepare() == Permission::Wait {
                    flag.wait();
                }
                unparker.finish();
            }
            for sender in senders {
                sender.join().unwrap();
            }
        });
    }
}
