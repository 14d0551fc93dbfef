//! `Condition`: wait until what a lock protects is as it should be.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::lock::{LockGuard, Locking, LockingOwned, OwnedLockGuard};
use crate::seen::Seen;
use crate::wait_list::{Panics, State, WaitList, Waiter, has_wait_list};

/// Tells those who wait for a change of what a [`Lock`](crate::Lock) protects that there was one.
///
/// To wait takes the guard, unlocks, and locks again before it yields: that nobody waits without the lock is a matter of types.
/// Any number of conditions may go with one lock.
///
/// # Fairness
/// Those who wait are notified in the order in which they came, and then queue for the lock in that order.
///
/// # Cancel safety
/// Dropping the future of [`wait`](Condition::wait) gives the guard up: the lock is not held by it any more, nor is it locked again.
/// One that was notified, and is dropped before it has the lock, passes the notification on, so that none is lost; for
/// that reason, and others, somebody may be woken once too often: look at the state again, or use
/// [`wait_for`](Condition::wait_for), which does. Clean-up that needs the lock locks it again.
///
/// # Cost
/// Nothing is allocated to wait.
///
/// # Examples
/// ```
/// use tulipa_sync::{Condition, Lock};
///
/// # futures_lite::future::block_on(async {
/// let (level, changed) = (Lock::new(0), Condition::new());
/// let wait = async {
///     let guard = level.lock().await;
///     let (guard, high) = changed.wait_for(guard, |level| (*level >= 2).then_some(*level)).await;
///     drop(guard);
///     high
/// };
/// let raise = async {
///     for _ in 0..2 {
///         *level.lock().await += 1;
///         changed.notify_all();
///     }
/// };
/// let (high, ()) = futures_lite::future::zip(wait, raise).await;
/// assert_eq!(high, 2);
/// # });
/// ```
///
/// # References
/// `asyncio.Condition`. There a cancelled wait locks again before it raises; here the guard has gone with the future that was
/// dropped.
#[doc(alias = "Condvar")]
pub struct Condition {
    waiters: WaitList<()>,
    /// Those with a lower ticket were notified together.
    told_before: Cell<u64>,
    seen: Seen,
}

has_wait_list!([] Condition, (), waiters);

impl Condition {
    /// A condition, for use with any lock.
    pub const fn new() -> Condition {
        Condition {
            waiters: WaitList::new(),
            told_before: Cell::new(0),
            seen: Seen::new("Condition"),
        }
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> Condition {
        self.seen.set_name(name);
        self
    }

    /// Unlocks, waits until it is notified, and locks again.
    ///
    /// It may yield without a notification, though seldom.
    ///
    /// # Cancel safety
    /// See [the type](Condition#cancel-safety): the guard is lost, no notification is.
    pub fn wait<'a, T: ?Sized>(&'a self, guard: LockGuard<'a, T>) -> ConditionWait<'a, T> {
        let lock = LockGuard::lock(&guard);
        ConditionWait {
            guard: Some(guard),
            waiter: Waiter::new(self),
            relock: lock.lock(),
        }
    }

    /// The same with an owned guard.
    ///
    /// # Cancel safety
    /// See [the type](Condition#cancel-safety): the guard is lost, no notification is.
    pub fn wait_owned<T: ?Sized>(&self, guard: OwnedLockGuard<T>) -> ConditionWaitOwned<'_, T> {
        let lock = OwnedLockGuard::lock(&guard).clone();
        ConditionWaitOwned {
            guard: Some(guard),
            waiter: Waiter::new(self),
            relock: lock.lock_owned(),
        }
    }

    /// Waits until `predicate` yields something, and yields that with the guard. It is asked at once, and after each notification.
    ///
    /// # Cancel safety
    /// See [the type](Condition#cancel-safety): the guard is lost, no notification is.
    pub async fn wait_for<'a, T: ?Sized, R>(
        &'a self,
        mut guard: LockGuard<'a, T>,
        mut predicate: impl FnMut(&mut T) -> Option<R>,
    ) -> (LockGuard<'a, T>, R) {
        loop {
            if let Some(found) = predicate(&mut guard) {
                return (guard, found);
            }
            guard = self.wait(guard).await;
        }
    }

    /// The same with an owned guard.
    ///
    /// # Cancel safety
    /// See [the type](Condition#cancel-safety): the guard is lost, no notification is.
    pub async fn wait_for_owned<T: ?Sized, R>(
        &self,
        mut guard: OwnedLockGuard<T>,
        mut predicate: impl FnMut(&mut T) -> Option<R>,
    ) -> (OwnedLockGuard<T>, R) {
        loop {
            if let Some(found) = predicate(&mut guard) {
                return (guard, found);
            }
            guard = self.wait_owned(guard).await;
        }
    }

    /// Notifies the one who has waited longest, if anyone waits. It runs when the lock is free.
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Notifies up to so many of those who wait, in the order in which they came.
    ///
    /// # Panics
    /// When a waker does, after the others have been woken.
    pub fn notify(&self, count: usize) {
        // Those whom another call is about to wake are not the ones to be notified.
        let mut panics = Panics::default();
        panics.catch(|| self.waiters.wake_before(self.told_before.get()));
        panics.catch(|| self.waiters.wake_first(count));
        panics.resume();
    }

    /// Notifies all who wait.
    ///
    /// # Panics
    /// When a waker does, after the others have been woken.
    pub fn notify_all(&self) {
        let ticket = self.waiters.next_ticket();
        self.told_before.set(ticket);
        self.waiters.wake_before(ticket);
    }

    /// How many wait to be notified.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }
}

impl Default for Condition {
    fn default() -> Condition {
        Condition::new()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen
            .fmt_struct(f)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

macro_rules! condition_wait {
    ($(#[$docs:meta])* $future:ident, $guard:ty, $relock:ty) => {
        pin_project! {
            $(#[$docs])*
            ///
            /// # Panics
            /// When it is polled again after it has yielded the guard.
            #[must_use = "futures do nothing unless awaited"]
            pub struct $future<'a, T: ?Sized> {
                // Until it waits.
                guard: Option<$guard>,
                // Granted, it stays so until the lock is held again: whoever drops this meanwhile passes it on.
                #[pin]
                waiter: Waiter<&'a Condition>,
                #[pin]
                relock: $relock,
            }

            impl<T: ?Sized> PinnedDrop for $future<'_, T> {
                fn drop(this: Pin<&mut Self>) {
                    let waiter = this.project().waiter.into_ref();
                    let condition = *waiter.handle();
                    if waiter.leave() == State::Granted {
                        condition.notify_one();
                    }
                }
            }
        }

        impl<'a, T: ?Sized> Future for $future<'a, T> {
            type Output = $guard;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let this = self.project();
                let waiter = this.waiter.into_ref();
                match waiter.state() {
                    State::Idle => {
                        waiter.enter(cx.waker().clone(), ());
                        // Those who wait for the lock are woken, and perhaps notify this one.
                        drop(this.guard.take());
                    }
                    State::Waiting => waiter.renew(cx.waker()),
                    State::Granted | State::Done => {}
                }
                if waiter.state() == State::Waiting {
                    waiter.handle().seen.note_wait(None);
                    return Poll::Pending;
                }
                let guard = ready!(this.relock.poll(cx));
                waiter.take_grant();
                Poll::Ready(guard)
            }
        }

        impl<T: ?Sized> fmt::Debug for $future<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($future)).finish_non_exhaustive()
            }
        }
    };
}

condition_wait!(
    /// Future of [`Condition::wait`].
    ConditionWait, LockGuard<'a, T>, Locking<'a, T>
);
condition_wait!(
    /// Future of [`Condition::wait_owned`].
    ConditionWaitOwned, OwnedLockGuard<T>, LockingOwned<T>
);
