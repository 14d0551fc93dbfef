//! Waiting until an instant.

#![allow(unsafe_code, reason = "fence: the intrusive lists of timer entries")]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomPinned;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tulipa_base::Instant;
use tulipa_base::wait::{self, Label};

use crate::core::{self, CorePtr};
use crate::task::NoLoop;
use crate::timer::wheel::Entry;

/// Waits for `duration`, counted from this call.
///
/// A zero duration lets everything that is ready run first, like [`yield_now`](crate::yield_now()).
/// One that ends beyond what the clock can count (511 years from the start) means never.
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Safe. Dropping it removes the timer.
#[track_caller]
#[inline]
pub fn sleep(duration: Duration) -> Sleep {
    match core::current() {
        Some(_) => Sleep::new(Instant::now() + duration),
        None => core::panic_outside(Location::caller()),
    }
}

/// Waits until `deadline`. One in the past lets everything that is ready run first.
///
/// # Panics
/// Outside of a loop; [`try_sleep_until`] says so instead.
///
/// # Cancel safety
/// Safe. Dropping it removes the timer.
#[track_caller]
#[doc(alias = "delay_until")]
pub fn sleep_until(deadline: Instant) -> Sleep {
    match try_sleep_until(deadline) {
        Ok(sleep) => sleep,
        Err(NoLoop { .. }) => core::panic_outside(Location::caller()),
    }
}

/// Waits until `deadline`, like [`sleep_until`].
///
/// # Errors
/// [`NoLoop`], where no loop runs on this thread.
pub fn try_sleep_until(deadline: Instant) -> Result<Sleep, NoLoop<Instant>> {
    match core::current() {
        Some(_) => Ok(Sleep::new(deadline)),
        None => Err(NoLoop { rejected: deadline }),
    }
}

/// Future of [`sleep`] and [`sleep_until`].
///
/// It never completes early. It completes late by as much as the loop is busy, plus, when many
/// timers fire close to one another, up to the runtime's timer gap (100 µs unless set otherwise),
/// plus what the operating system adds: a few microseconds on Linux and kqueue systems, up to 16 ms
/// on Windows. Sleeps complete in the order of their deadlines, ties in the order of their first
/// polls. Once complete it stays so: polled again it is ready again.
///
/// The timer is set at the first poll, in the loop that runs then, and it lives inside this value:
/// setting it allocates nothing, and the value must be pinned.
///
/// # Panics
/// When it is polled outside of a loop, or in another loop than the one that holds its timer.
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    entry: Entry,
    /// The loop whose wheel the entry is in.
    ///
    /// Invariant: while the entry is linked, this loop is open. Closing it takes all entries out.
    core: Cell<Option<CorePtr>>,
    /// Wheels point to the entry, so it must not move, and two threads must not meet in it.
    _pinned: PhantomPinned,
}

impl Sleep {
    #[inline]
    pub(crate) fn new(deadline: Instant) -> Sleep {
        Sleep {
            entry: Entry::new(deadline.as_nanos()),
            core: Cell::new(None),
            _pinned: PhantomPinned,
        }
    }

    /// When this sleep ends.
    pub fn deadline(&self) -> Instant {
        Instant::from_nanos(self.entry.deadline_ns())
    }

    /// Whether the timer has fired. A deadline that has passed since the loop last looked does not
    /// count yet.
    pub fn is_elapsed(&self) -> bool {
        self.entry.has_fired()
    }

    /// Makes `deadline` the new end, whether or not the old one has passed. A task that waits for
    /// this sleep need not poll it again.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        self.into_ref().move_to(deadline);
    }

    /// See [`Sleep::reset`].
    pub(crate) fn move_to(self: Pin<&Self>, deadline: Instant) {
        let was_linked = self.unlink();
        self.entry.set_deadline_ns(deadline.as_nanos());
        if was_linked && let Some(core) = self.core.get() {
            self.link(core);
        }
    }

    /// Sets the timer before any poll, in the open loop `core`: `waker` is woken at the deadline. The
    /// timer is not set yet.
    pub(crate) fn arm(self: Pin<&Self>, core: CorePtr, waker: Waker) {
        assert!(!self.entry.is_linked(), "a timer that is set already");
        assert!(!core.get().is_closing(), "a timer in a closed loop");
        self.entry.set_waker(Some(waker));
        self.link(core);
    }

    /// Takes the timer out for good, and drops its waker.
    pub(crate) fn disarm(&self) {
        self.unlink();
        drop(self.entry.take_waker());
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.entry.is_linked()
    }

    /// Takes the entry out of its wheel, if it is in one.
    #[inline]
    fn unlink(&self) -> bool {
        let Some(core) = self.core.get().filter(|_| self.entry.is_linked()) else {
            return false;
        };
        // SAFETY: linked, so the loop is open, by the invariant of `core`; and entries are linked
        // by `link` alone, into the wheel of `self.core`.
        unsafe { core.get().timers.wheel.remove(NonNull::from(&self.entry)) };
        true
    }

    /// Puts the entry, which is in no wheel, into the one of `core`.
    #[inline]
    fn link(self: Pin<&Self>, core: CorePtr) {
        self.core.set(Some(core));
        let deadline = self.deadline();
        let timers = &core.get().timers;
        // SAFETY: the entry is pinned, and `drop` takes it out before it goes. The deadline changes
        // only in `reset`, which takes it out first.
        unsafe { timers.wheel.insert(NonNull::from(&self.get_ref().entry)) };
        timers.note_deadline(deadline);
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let label = Label::timer(self.deadline());
        let polled = self.poll_unnoted(cx);
        if polled.is_pending() {
            wait::note(label);
        }
        polled
    }
}

impl Sleep {
    /// Polls it as the limit of another future, which has been polled before.
    #[inline]
    pub(crate) fn poll_as_limit(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let label = Label::timer(self.deadline());
        let polled = self.poll_unnoted(cx);
        if polled.is_pending() {
            wait::note_second(label);
        }
        polled
    }

    #[inline]
    fn poll_unnoted(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.into_ref();
        if this.entry.has_fired() {
            return Poll::Ready(());
        }
        if !this.entry.is_linked() {
            // The waker is cloned first, because that may be anyone's code.
            this.entry.set_waker(Some(cx.waker().clone()));
            match core::current() {
                Some(core) if !core.get().is_closing() => this.link(core),
                Some(_) => {} // A loop that is closing turns no more.
                None => core::panic_polled_outside(),
            }
            return Poll::Pending;
        }
        assert!(
            this.core.get() == core::current(),
            "a Sleep is polled in another loop than before"
        );
        let before = this.entry.take_waker();
        if before
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            this.entry.set_waker(before);
        } else {
            this.entry.set_waker(Some(cx.waker().clone()));
            drop(before);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.unlink();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline())
            .field("is_elapsed", &self.is_elapsed())
            .finish_non_exhaustive()
    }
}
