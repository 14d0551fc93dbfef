//! `Lock`: one task at a time uses a value.

#![allow(
    unsafe_code,
    reason = "fence: the value inside, which only the holder of the guard reaches"
)]

use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::permits::{Acquire, Permits, has_permits};

/// Gives one task at a time a value to use, in the order in which they ask.
///
/// Unlike a [`RefCell`](std::cell::RefCell) it may be held across an `await`. It is for one thread, so it costs no atomic step; and
/// code that does not await while it uses the value needs no lock at all.
///
/// # Fairness
/// First come, first served. A guard that is dropped while others wait is handed over to the first one: in between
/// the lock is never free, so that nobody overtakes, [`try_lock`](Lock::try_lock) included. A task that locks again at once
/// comes after those who waited before.
///
/// What is handed over to a future that is never polled again stays with it until it is dropped. A
/// [task dump](https://docs.rs/tulipa) names the holder, and so does the `Debug` form.
///
/// # Cancel safety
/// Dropping the future of [`lock`](Lock::lock) gives up the place in the queue; a lock that was handed over already goes on to the next.
///
/// # Panics
/// A panic while the guard is held unlocks it. There is no poisoning: the value is as the panic left it.
///
/// # Cost
/// Uncontended: a comparison and two stores to lock, and as much to unlock. Nothing is allocated to wait.
///
/// # Examples
/// ```
/// use std::rc::Rc;
/// use tulipa_sync::Lock;
///
/// # futures_lite::future::block_on(async {
/// let connection = Rc::new(Lock::new(Vec::new()));
/// let mut requests = connection.lock().await;
/// requests.push("GET /");
/// // Others wait here, however often this task awaits, until the guard is dropped.
/// drop(requests);
/// # });
/// ```
///
/// # References
/// `asyncio.Lock`, without its window between a release and the next holder's turn.
#[doc(alias = "Mutex")]
pub struct Lock<T: ?Sized> {
    permits: Permits,
    /// # Invariant
    /// Only whoever has the permit reaches it, or has the whole lock for itself.
    value: UnsafeCell<T>,
}

has_permits!([T: ?Sized] Lock<T>, permits);

impl<T> Lock<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> Lock<T> {
        Lock::of_kind("Lock", value)
    }

    /// What is made of a lock, under its own name.
    pub(crate) const fn of_kind(kind: &'static str, value: T) -> Lock<T> {
        Lock {
            permits: Permits::new(kind, 1, 1),
            value: UnsafeCell::new(value),
        }
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> Lock<T> {
        self.permits.seen.set_name(name);
        self
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Lock<T> {
    /// Waits until it is this one's turn.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Lock#cancel-safety).
    #[doc(alias = "acquire")]
    #[inline]
    pub fn lock(&self) -> Locking<'_, T> {
        Locking {
            turn: Acquire::new(self, 1),
        }
    }

    /// The same, with a guard that has a share of the lock instead of a reference to it.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Lock#cancel-safety).
    #[inline]
    pub fn lock_owned(self: &Rc<Self>) -> LockingOwned<T> {
        LockingOwned {
            turn: Acquire::new(self.clone(), 1),
        }
    }

    /// Locks it if it is free. It never is while somebody waits.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        let locked = self.permits.try_acquire(1);
        locked.is_ok().then(|| LockGuard { lock: self })
    }

    /// The same, with a guard that has a share of the lock instead of a reference to it.
    #[inline]
    pub fn try_lock_owned(self: &Rc<Self>) -> Option<OwnedLockGuard<T>> {
        let locked = self.permits.try_acquire(1);
        locked
            .is_ok()
            .then(|| OwnedLockGuard { lock: self.clone() })
    }

    /// Whether somebody holds it.
    #[doc(alias = "locked")]
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.permits.available() == 0
    }

    /// How many wait for it.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// The value, for whoever has the whole lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Lock<T> {
        Lock::new(T::default())
    }
}

impl<T> From<T> for Lock<T> {
    fn from(value: T) -> Lock<T> {
        Lock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = self.permits.seen.fmt_struct(f);
        match self.try_lock() {
            Some(guard) => debug.field("value", &&*guard),
            None => debug
                .field("holder", &self.permits.holder())
                .field("waiting", &self.waiting()),
        };
        debug.finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Lock::lock`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded the guard.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Locking<'a, T: ?Sized> {
        #[pin]
        turn: Acquire<&'a Lock<T>>,
    }
}

impl<'a, T: ?Sized> Future for Locking<'a, T> {
    type Output = LockGuard<'a, T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LockGuard<'a, T>> {
        let mut turn = self.project().turn;
        // Nobody closes a lock.
        ready!(turn.as_mut().poll_acquire(cx));
        Poll::Ready(LockGuard {
            lock: turn.handle(),
        })
    }
}

pin_project! {
    /// Future of [`Lock::lock_owned`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded the guard.
    #[must_use = "futures do nothing unless awaited"]
    pub struct LockingOwned<T: ?Sized> {
        #[pin]
        turn: Acquire<Rc<Lock<T>>>,
    }
}

impl<T: ?Sized> Future for LockingOwned<T> {
    type Output = OwnedLockGuard<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedLockGuard<T>> {
        let mut turn = self.project().turn;
        ready!(turn.as_mut().poll_acquire(cx));
        Poll::Ready(OwnedLockGuard {
            lock: turn.handle().clone(),
        })
    }
}

/// The right to use what is in a [`Lock`], until it is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct LockGuard<'a, T: ?Sized> {
    /// The permit is this guard's.
    lock: &'a Lock<T>,
}

impl<'a, T: ?Sized> LockGuard<'a, T> {
    /// The lock that it holds.
    #[inline]
    pub fn lock(guard: &LockGuard<'a, T>) -> &'a Lock<T> {
        guard.lock
    }
}

/// The right to use what is in a [`Lock`], with a share of the lock, until it is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct OwnedLockGuard<T: ?Sized> {
    /// The permit is this guard's.
    lock: Rc<Lock<T>>,
}

impl<T: ?Sized> OwnedLockGuard<T> {
    /// The lock that it holds.
    #[inline]
    pub fn lock(guard: &OwnedLockGuard<T>) -> &Rc<Lock<T>> {
        &guard.lock
    }
}

macro_rules! guard {
    ([$($generics:tt)*] $guard:ty) => {
        impl<$($generics)*> Deref for $guard {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the guard has the only permit, so nobody else reaches the value (the field's invariant), and
                // this guard lends it exclusively only by a `&mut` to itself.
                unsafe { &*self.lock.value.get() }
            }
        }

        impl<$($generics)*> DerefMut for $guard {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: as in `deref`; and the guard is borrowed exclusively.
                unsafe { &mut *self.lock.value.get() }
            }
        }

        impl<$($generics)*> Drop for $guard {
            #[inline]
            fn drop(&mut self) {
                self.lock.permits.release(1);
            }
        }

        impl<$($generics)* + fmt::Debug> fmt::Debug for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<$($generics)* + fmt::Display> fmt::Display for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

impl<T: ?Sized> fmt::Debug for Locking<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locking").finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Debug for LockingOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockingOwned").finish_non_exhaustive()
    }
}

guard!([T: ?Sized] LockGuard<'_, T>);
guard!([T: ?Sized] OwnedLockGuard<T>);
