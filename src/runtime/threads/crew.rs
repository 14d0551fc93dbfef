//! What the threads of one program share: who is there, and whether all are to end.
//!
//! # Invariants
//! 1. Every member is asked to end at most once by the crew: a second request would interrupt the clean-up that the first
//!    has started.
//! 2. A scope is in its thread's [`Member`] before its loop is known to the others, so no request is lost.
//! 3. No lock is held while foreign code runs (wakers, remote handles).

use std::cell::RefCell;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tulipa_executor::cancel::{CancelReason, CancelScope};
use tulipa_executor::{Executor, RemoteHandle};

use crate::runtime::parked::Parked;

pub(super) struct Crew {
    count: usize,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    /// The loops that were made.
    remotes: Vec<Option<RemoteHandle>>,
    /// Mains that have not ended, or not begun.
    running: usize,
    /// Why all are to end.
    ending: Option<CancelReason>,
    first_failure: Option<usize>,
    /// Loops that wait for the mains of the others.
    waiting: Vec<Waker>,
}

impl Crew {
    pub(super) fn new(count: usize) -> Arc<Crew> {
        Arc::new(Crew {
            count,
            progress: Mutex::new(Progress {
                remotes: vec![None; count],
                running: count,
                ending: None,
                first_failure: None,
                waiting: Vec::new(),
            }),
            changed: Condvar::new(),
        })
    }

    /// Nobody panics while holding it.
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn remotes(&self) -> Vec<RemoteHandle> {
        self.lock().remotes.iter().flatten().cloned().collect()
    }

    pub(super) fn first_failure(&self) -> Option<usize> {
        self.lock().first_failure
    }

    /// Makes a loop known, and waits until all are there. Returns `false` if the program is to end instead.
    pub(super) fn assemble(&self, index: usize, remote: RemoteHandle) -> bool {
        let mut progress = self.lock();
        progress.remotes[index] = Some(remote);
        self.changed.notify_all();
        while progress.ending.is_none() && progress.remotes.iter().any(Option::is_none) {
            progress = self
                .changed
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
        progress.ending.is_none()
    }

    /// Takes note of a failure, and makes all others end.
    pub(super) fn fail(&self, index: usize) {
        self.lock().first_failure.get_or_insert(index);
        self.end_all(CancelReason::Group);
    }

    /// Makes all end, unless that has begun.
    pub(super) fn end_all(&self, reason: CancelReason) {
        let remotes = {
            let mut progress = self.lock();
            if progress.ending.is_some() {
                return;
            }
            progress.ending = Some(reason.clone());
            progress.remotes.clone()
        };
        self.changed.notify_all();
        for remote in remotes.into_iter().flatten() {
            let reason = reason.clone();
            // One that is closed has ended already.
            let _ = remote.call_soon(move || {
                with_member(|member| {
                    if let Some(member) = member {
                        member.scope.cancel_with(reason);
                    }
                });
            });
        }
    }

    /// A main has ended.
    pub(super) fn leave(&self) {
        let wakers = {
            let mut progress = self.lock();
            progress.running -= 1;
            match progress.running {
                0 => mem::take(&mut progress.waiting),
                _ => Vec::new(),
            }
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Whether every main has ended.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut progress = self.lock();
        if progress.running == 0 {
            return Poll::Ready(());
        }
        if !progress.waiting.iter().any(|it| it.will_wake(&waker)) {
            progress.waiting.push(waker);
        }
        Poll::Pending
    }
}

/// What a thread knows of itself.
pub(super) struct Member {
    pub(super) crew: Arc<Crew>,
    pub(super) index: usize,
    /// Around its main.
    pub(super) scope: CancelScope,
}

thread_local! {
    static MEMBER: RefCell<Option<Member>> = const { RefCell::new(None) };
}

/// Calls `f` with this thread's membership, if it has one.
pub(super) fn with_member<R>(f: impl FnOnce(Option<&Member>) -> R) -> R {
    let copy = MEMBER.try_with(|member| {
        let member = member.borrow();
        member.as_ref().map(|member| Member {
            crew: Arc::clone(&member.crew),
            index: member.index,
            scope: member.scope.clone(),
        })
    });
    // A thread that ends is no member any more.
    f(copy.ok().flatten().as_ref())
}

/// Makes this thread a member until the guard is dropped.
pub(super) fn enter(member: Member) -> Membership {
    Membership {
        before: MEMBER.replace(Some(member)),
    }
}

pub(super) struct Membership {
    before: Option<Member>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let ended = MEMBER.replace(self.before.take());
        drop(ended);
    }
}

/// # Errors
/// When a loop runs on this thread already.
pub(super) fn ensure_no_loop() -> io::Result<()> {
    Executor::<Parked>::ensure_no_loop().map_err(io::Error::other)
}
