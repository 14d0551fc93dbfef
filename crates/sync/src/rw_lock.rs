//! `RwLock`: many tasks read a value, or one writes it.

#![allow(
    unsafe_code,
    reason = "fence: the value inside, which only the holders of guards reach"
)]

use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::permits::{Acquire, Permits, has_permits};

/// A writer takes them all, a reader one.
const ALL: usize = u32::MAX as usize;

/// Gives a value to any number of readers, or to one writer.
///
/// # Fairness
/// Readers and writers are served in the order in which they come. A reader that comes while a writer waits comes after it, so that readers
/// in relay do not keep a writer out; and so a task that reads must not wait for another read guard of the same lock.
/// Readers that are next in the queue are let in together.
///
/// # Cancel safety
/// Dropping the future of [`read`](RwLock::read) or [`write`](RwLock::write) gives up the place in the queue, and what was handed over
/// already goes on to the next. When a writer that waits gives up, the readers behind it go on at once.
///
/// # Panics
/// A panic while a guard is held unlocks it. There is no poisoning.
///
/// # Cost
/// As for [`Lock`](crate::Lock). Nothing is allocated to wait.
///
/// # Examples
/// ```
/// use tulipa_sync::RwLock;
///
/// # futures_lite::future::block_on(async {
/// let routes = RwLock::new(vec!["/"]);
/// {
///     let (one, other) = (routes.read().await, routes.read().await);
///     assert_eq!(one.len() + other.len(), 2);
/// }
/// routes.write().await.push("/about");
/// # });
/// ```
#[doc(alias = "ReaderWriterLock")]
pub struct RwLock<T: ?Sized> {
    permits: Permits,
    /// # Invariant
    /// Whoever has all permits reaches it exclusively, whoever has one shares it with those who have the others.
    value: UnsafeCell<T>,
}

has_permits!([T: ?Sized] RwLock<T>, permits);

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            permits: Permits::new("RwLock", ALL, ALL),
            value: UnsafeCell::new(value),
        }
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> RwLock<T> {
        self.permits.seen.set_name(name);
        self
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until it may be read.
    ///
    /// # Cancel safety
    /// Safe: see [the type](RwLock#cancel-safety).
    #[inline]
    pub fn read(&self) -> Reading<'_, T> {
        Reading {
            turn: Acquire::new(self, 1),
        }
    }

    /// Waits until it may be written.
    ///
    /// # Cancel safety
    /// Safe: see [the type](RwLock#cancel-safety).
    #[inline]
    pub fn write(&self) -> Writing<'_, T> {
        Writing {
            turn: Acquire::new(self, ALL),
        }
    }

    /// Waits until it may be read, with a guard that has a share of the lock.
    ///
    /// # Cancel safety
    /// Safe: see [the type](RwLock#cancel-safety).
    pub fn read_owned(self: &Rc<Self>) -> ReadingOwned<T> {
        ReadingOwned {
            turn: Acquire::new(self.clone(), 1),
        }
    }

    /// Waits until it may be written, with a guard that has a share of the lock.
    ///
    /// # Cancel safety
    /// Safe: see [the type](RwLock#cancel-safety).
    pub fn write_owned(self: &Rc<Self>) -> WritingOwned<T> {
        WritingOwned {
            turn: Acquire::new(self.clone(), ALL),
        }
    }

    /// Reads it if nobody writes or waits.
    #[inline]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        let given = self.permits.try_acquire(1);
        given.is_ok().then(|| ReadGuard { lock: self })
    }

    /// Writes it if nobody has or awaits it.
    #[inline]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let given = self.permits.try_acquire(ALL);
        given.is_ok().then(|| WriteGuard { lock: self })
    }

    /// Reads it if nobody writes or waits, with a guard that has a share of the lock.
    pub fn try_read_owned(self: &Rc<Self>) -> Option<OwnedReadGuard<T>> {
        let given = self.permits.try_acquire(1);
        given.is_ok().then(|| OwnedReadGuard { lock: self.clone() })
    }

    /// Writes it if nobody has or awaits it, with a guard that has a share of the lock.
    pub fn try_write_owned(self: &Rc<Self>) -> Option<OwnedWriteGuard<T>> {
        let given = self.permits.try_acquire(ALL);
        given
            .is_ok()
            .then(|| OwnedWriteGuard { lock: self.clone() })
    }

    /// How many read it now.
    pub fn readers(&self) -> usize {
        match self.permits.available() {
            0 => 0,
            available => ALL - available,
        }
    }

    /// Whether somebody writes it now.
    pub fn is_written(&self) -> bool {
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

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = self.permits.seen.fmt_struct(f);
        if let Some(guard) = self.try_read() {
            debug.field("value", &&*guard);
        }
        debug
            .field("readers", &self.readers())
            .field("writer", &self.permits.holder())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

macro_rules! future {
    ($(#[$docs:meta])* $future:ident<$($lifetime:lifetime)?>, $handle:ty => $guard:ident) => {
        pin_project! {
            $(#[$docs])*
            ///
            /// # Panics
            /// When it is polled again after it has yielded the guard.
            #[must_use = "futures do nothing unless awaited"]
            pub struct $future<$($lifetime,)? T: ?Sized> {
                #[pin]
                turn: Acquire<$handle>,
            }
        }

        impl<$($lifetime,)? T: ?Sized> Future for $future<$($lifetime,)? T> {
            type Output = $guard<$($lifetime,)? T>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut turn = self.project().turn;
                // Nobody closes a lock.
                ready!(turn.as_mut().poll_acquire(cx));
                #[allow(clippy::clone_on_copy, reason = "an `Rc` in the owned form")]
                Poll::Ready($guard {
                    lock: turn.handle().clone(),
                })
            }
        }

        impl<$($lifetime,)? T: ?Sized> fmt::Debug for $future<$($lifetime,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($future)).finish_non_exhaustive()
            }
        }
    };
}

future!(
    /// Future of [`RwLock::read`].
    Reading<'a>, &'a RwLock<T> => ReadGuard
);
future!(
    /// Future of [`RwLock::write`].
    Writing<'a>, &'a RwLock<T> => WriteGuard
);
future!(
    /// Future of [`RwLock::read_owned`].
    ReadingOwned<>, Rc<RwLock<T>> => OwnedReadGuard
);
future!(
    /// Future of [`RwLock::write_owned`].
    WritingOwned<>, Rc<RwLock<T>> => OwnedWriteGuard
);

/// The right to read what is in a [`RwLock`], until it is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct ReadGuard<'a, T: ?Sized> {
    /// One permit is this guard's.
    lock: &'a RwLock<T>,
}

/// The right to write what is in a [`RwLock`], until it is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct WriteGuard<'a, T: ?Sized> {
    /// All permits are this guard's.
    lock: &'a RwLock<T>,
}

/// The right to read what is in a [`RwLock`], with a share of the lock, until it is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct OwnedReadGuard<T: ?Sized> {
    /// One permit is this guard's.
    lock: Rc<RwLock<T>>,
}

/// The right to write what is in a [`RwLock`], with a share of the lock, until it is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct OwnedWriteGuard<T: ?Sized> {
    /// All permits are this guard's.
    lock: Rc<RwLock<T>>,
}

impl<'a, T: ?Sized> WriteGuard<'a, T> {
    /// Lets other readers in, and reads on. No writer comes in between.
    pub fn downgrade(guard: WriteGuard<'a, T>) -> ReadGuard<'a, T> {
        let reader = ReadGuard { lock: guard.lock };
        mem::forget(guard);
        reader.lock.permits.give_up_some(ALL - 1);
        reader
    }
}

impl<T: ?Sized> OwnedWriteGuard<T> {
    /// Lets other readers in, and reads on. No writer comes in between.
    pub fn downgrade(guard: OwnedWriteGuard<T>) -> OwnedReadGuard<T> {
        let guard = mem::ManuallyDrop::new(guard);
        // SAFETY: the guard is neither dropped nor used any more, so its share of the lock moves on.
        let lock = unsafe { std::ptr::read(&guard.lock) };
        let reader = OwnedReadGuard { lock };
        reader.lock.permits.give_up_some(ALL - 1);
        reader
    }
}

macro_rules! guard {
    ([$($lifetime:lifetime)?] $guard:ty, $permits:expr) => {
        impl<$($lifetime,)? T: ?Sized> Deref for $guard {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the guard has a permit, so nobody has them all but perhaps this guard itself, which lends the value
                // exclusively only by a `&mut` to itself (the field's invariant).
                unsafe { &*self.lock.value.get() }
            }
        }

        impl<$($lifetime,)? T: ?Sized> Drop for $guard {
            #[inline]
            fn drop(&mut self) {
                self.lock.permits.release($permits);
            }
        }

        impl<$($lifetime,)? T: ?Sized + fmt::Debug> fmt::Debug for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<$($lifetime,)? T: ?Sized + fmt::Display> fmt::Display for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

guard!(['a] ReadGuard<'a, T>, 1);
guard!(['a] WriteGuard<'a, T>, ALL);
guard!([] OwnedReadGuard<T>, 1);
guard!([] OwnedWriteGuard<T>, ALL);

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has all permits, so nobody else reaches the value, and it is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedWriteGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `WriteGuard`.
        unsafe { &mut *self.lock.value.get() }
    }
}
