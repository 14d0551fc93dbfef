//! `Semaphore`: so many at a time.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::permits::{Acquire, Permits, Refused, has_permits};

/// Hands out a number of permits: so many tasks at a time may do something, or so much of something may be in use.
///
/// # Fairness
/// First come, first served, whatever they want: while somebody waits, nobody who comes later gets a permit, even if
/// there is one left that the first cannot use yet. What is released is assigned to those who wait at once.
///
/// # Cancel safety
/// Dropping the future of [`acquire`](Semaphore::acquire) gives up the place in the queue, and permits that were assigned already
/// go on to the next.
///
/// # Cost
/// As for [`Lock`](crate::Lock). Nothing is allocated to wait.
///
/// # Examples
/// At most two requests at a time:
/// ```
/// use tulipa_sync::Semaphore;
///
/// # async fn request() {}
/// # futures_lite::future::block_on(async {
/// let connections = Semaphore::new(2);
/// {
///     let _permit = connections.acquire().await.unwrap();
///     request().await;
/// }
/// assert_eq!(connections.available(), 2);
/// # });
/// ```
///
/// A rate: permits that are used up come back by and by.
/// ```
/// use tulipa_sync::Semaphore;
///
/// # futures_lite::future::block_on(async {
/// let tokens = Semaphore::bounded(10);
/// for _ in 0..3 {
///     tokens.acquire().await.unwrap().forget();
/// }
/// // From a timer, as long as there is room:
/// tokens.release(1).unwrap();
/// assert_eq!(tokens.available(), 8);
/// # });
/// ```
///
/// # References
/// `asyncio.Semaphore` and `asyncio.BoundedSemaphore`, with several permits at once, owned permits, and an end.
#[doc(alias = "BoundedSemaphore")]
#[doc(alias = "CapacityLimiter")]
pub struct Semaphore {
    permits: Permits,
    /// There are never more available.
    bound: usize,
}

has_permits!([] Semaphore, permits, Semaphore::give_back);

impl Semaphore {
    /// A semaphore with so many permits, to which more can be [added](Semaphore::release) without bound.
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore {
            permits: Permits::new("Semaphore", permits, usize::MAX),
            bound: usize::MAX,
        }
    }

    /// A semaphore with so many permits, and never more.
    #[doc(alias = "BoundedSemaphore")]
    pub const fn bounded(permits: usize) -> Semaphore {
        Semaphore {
            permits: Permits::new("Semaphore", permits, usize::MAX),
            bound: permits,
        }
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> Semaphore {
        self.permits.seen.set_name(name);
        self
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore is closed, before or while this waits.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Semaphore#cancel-safety).
    #[inline]
    pub fn acquire(&self) -> Acquiring<'_> {
        self.acquire_many(1)
    }

    /// Waits for so many permits at once.
    ///
    /// None of them is taken before all are there. For more than there will ever be it waits until the semaphore is closed.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore is closed, before or while this waits.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Semaphore#cancel-safety).
    #[inline]
    pub fn acquire_many(&self, count: usize) -> Acquiring<'_> {
        Acquiring {
            turn: Acquire::new(self, count),
        }
    }

    /// Waits for a permit that has a share of the semaphore instead of a reference to it.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore is closed, before or while this waits.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Semaphore#cancel-safety).
    #[inline]
    pub fn acquire_owned(self: &Rc<Self>) -> AcquiringOwned {
        self.acquire_many_owned(1)
    }

    /// Waits for so many permits at once, which have a share of the semaphore instead of a reference to it.
    ///
    /// # Errors
    /// [`AcquireError`] when the semaphore is closed, before or while this waits.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Semaphore#cancel-safety).
    #[inline]
    pub fn acquire_many_owned(self: &Rc<Self>, count: usize) -> AcquiringOwned {
        AcquiringOwned {
            turn: Acquire::new(self.clone(), count),
        }
    }

    /// Takes a permit if there is one, and nobody waits.
    ///
    /// # Errors
    /// [`TryAcquireError`] says why not.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes so many permits if they are there, and nobody waits.
    ///
    /// # Errors
    /// [`TryAcquireError`] says why not.
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.permits.try_acquire(count)?;
        Ok(Permit {
            semaphore: self,
            count,
        })
    }

    /// Takes so many permits if they are there, and nobody waits.
    ///
    /// # Errors
    /// [`TryAcquireError`] says why not.
    #[inline]
    pub fn try_acquire_many_owned(
        self: &Rc<Self>,
        count: usize,
    ) -> Result<OwnedPermit, TryAcquireError> {
        self.permits.try_acquire(count)?;
        Ok(OwnedPermit {
            semaphore: self.clone(),
            count,
        })
    }

    /// Adds permits: new ones, or such as were [forgotten](Permit::forget). Those who wait are served first.
    ///
    /// # Errors
    /// [`OverRelease`] when there would be more than the bound, or than a `usize` counts. Nothing is added then.
    #[doc(alias = "add_permits")]
    pub fn release(&self, count: usize) -> Result<(), OverRelease> {
        if count > self.bound - self.permits.available().min(self.bound) {
            return Err(OverRelease {
                count,
                available: self.available(),
                bound: self.bound,
            });
        }
        self.permits.release(count);
        Ok(())
    }

    /// Takes away up to so many of the permits that are available, for good. Returns how many those were.
    #[doc(alias = "forget_permits")]
    pub fn reduce(&self, count: usize) -> usize {
        self.permits.reduce(count)
    }

    /// The permits that are left. While somebody waits for more than those, others do not get them.
    #[doc(alias = "available_permits")]
    #[inline]
    pub fn available(&self) -> usize {
        self.permits.available()
    }

    /// Whether whoever asks for a permit now has to wait: there is none, or others wait.
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        self.available() == 0 || self.waiting() > 0
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Gives out no permits any more: those who wait are told, and those who come later. Permits that are out can be
    /// used until they are dropped.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// A permit comes back. Where more have been added meanwhile than there is room for, it is one too many.
    #[inline]
    fn give_back(&self, count: usize) {
        let room = self.bound - self.permits.available().min(self.bound);
        self.permits.release(count.min(room));
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.permits
            .seen
            .fmt_struct(f)
            .field("available", &self.available())
            .field("waiting", &self.waiting())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Semaphore::acquire`] and [`Semaphore::acquire_many`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Acquiring<'a> {
        #[pin]
        turn: Acquire<&'a Semaphore>,
    }
}

impl<'a> Future for Acquiring<'a> {
    type Output = Result<Permit<'a>, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.turn.as_mut().poll_acquire(cx).map(|is_given| {
            let semaphore = *this.turn.handle();
            let count = this.turn.wanted();
            is_given
                .then(|| Permit { semaphore, count })
                .ok_or(AcquireError(()))
        })
    }
}

pin_project! {
    /// Future of [`Semaphore::acquire_owned`] and [`Semaphore::acquire_many_owned`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct AcquiringOwned {
        #[pin]
        turn: Acquire<Rc<Semaphore>>,
    }
}

impl Future for AcquiringOwned {
    type Output = Result<OwnedPermit, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.turn.as_mut().poll_acquire(cx).map(|is_given| {
            let count = this.turn.wanted();
            is_given
                .then(|| OwnedPermit {
                    semaphore: this.turn.handle().clone(),
                    count,
                })
                .ok_or(AcquireError(()))
        })
    }
}

impl fmt::Debug for Acquiring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring").finish_non_exhaustive()
    }
}

impl fmt::Debug for AcquiringOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquiringOwned").finish_non_exhaustive()
    }
}

/// One or more permits of a [`Semaphore`], which go back to it when this is dropped.
#[must_use = "a permit that is dropped at once is given back at once"]
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

/// One or more permits of a [`Semaphore`], with a share of it, which go back to it when this is dropped.
#[must_use = "a permit that is dropped at once is given back at once"]
#[derive(Debug)]
pub struct OwnedPermit {
    semaphore: Rc<Semaphore>,
    count: usize,
}

macro_rules! permit {
    ([$($lifetime:tt)*] $permit:ty, $share:expr) => {
        impl<$($lifetime)*> $permit {
            /// How many permits they are.
            pub fn count(&self) -> usize {
                self.count
            }

            /// Does not give them back. [`Semaphore::release`] does, or nobody.
            pub fn forget(mut self) {
                self.count = 0;
            }

            /// Takes so many permits out of this; `None` if they are fewer.
            pub fn split(&mut self, count: usize) -> Option<$permit> {
                self.count = self.count.checked_sub(count)?;
                let semaphore = $share(&self.semaphore);
                Some(Self { semaphore, count })
            }

            /// Takes in those of another one.
            ///
            /// # Panics
            /// When they are of another semaphore, or more than a `usize` counts.
            #[track_caller]
            pub fn merge(&mut self, mut other: $permit) {
                let is_same = std::ptr::eq(&*self.semaphore, &*other.semaphore);
                assert!(is_same, "merge: the permits are of different semaphores");
                let sum = self.count.checked_add(other.count);
                self.count = sum.expect("merge: more permits than a `usize` counts");
                other.count = 0;
            }
        }

        impl<$($lifetime)*> Drop for $permit {
            #[inline]
            fn drop(&mut self) {
                self.semaphore.give_back(self.count);
            }
        }
    };
}

permit!(['a] Permit<'a>, |it: &&'a Semaphore| *it);
permit!([] OwnedPermit, Rc::clone);

/// The semaphore is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireError(());

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("acquire: the semaphore is closed")
    }
}

impl Error for AcquireError {}

/// Why [`Semaphore::try_acquire`] has no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// There are not enough of them, or others wait.
    NoPermits,
    /// The semaphore is closed.
    Closed,
}

impl From<Refused> for TryAcquireError {
    fn from(refused: Refused) -> TryAcquireError {
        match refused {
            Refused::Unavailable => TryAcquireError::NoPermits,
            Refused::Closed => TryAcquireError::Closed,
        }
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryAcquireError::NoPermits => "try_acquire: no permits are free",
            TryAcquireError::Closed => "try_acquire: the semaphore is closed",
        })
    }
}

impl Error for TryAcquireError {}

/// More was released than there is room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverRelease {
    count: usize,
    available: usize,
    bound: usize,
}

impl fmt::Display for OverRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverRelease {
            count,
            available,
            bound,
        } = self;
        write!(
            f,
            "release: {count} more than the {available} available would exceed the bound of {bound}"
        )
    }
}

impl Error for OverRelease {}
