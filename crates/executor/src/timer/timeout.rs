//! A deadline around a future.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::Instant;

use crate::cancel::{CancelReason, Delivered, End, InsideUnopened, Kind, Limit, Limited, Place};
use crate::timer::sleep::Sleep;

/// Gives `future` at most `duration`.
///
/// The time counts from the first poll, which sets the timer only if the future has to wait: around a
/// future that is ready at once, a timeout costs next to nothing. When the value and the deadline
/// come together, the value wins.
///
/// When the time is up, the future is cancelled: dropped where it waits, unless there are catch points in it
/// ([`catch_cancel`](crate::cancel::catch_cancel), [`finally`](crate::cancel::finally), a group, or an awaited
/// join handle, whose task is then cancelled). Those get the request first, and the timeout waits for their clean-up. If
/// the future completes all the same, its value counts.
///
/// A timeout of zero polls the future once, and yields its value if it is ready.
///
/// # Errors
/// [`Elapsed`], when the time is up. The future has then been dropped.
///
/// # Panics
/// When it is polled outside of a loop and the future has to wait.
///
/// # Cancel safety
/// As safe as `future`.
#[doc(alias = "wait_for")]
#[inline]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Timeout::new(future.into_future(), Allowed::ForNanos(ns))
}

/// Gives `future` until `deadline`. See [`timeout`].
///
/// If `deadline` has passed already, the future is polled once.
///
/// # Errors
/// [`Elapsed`], when the deadline has come. The future has then been dropped.
///
/// # Panics
/// When it is polled outside of a loop and the future has to wait.
///
/// # Cancel safety
/// As safe as `future`.
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(future.into_future(), Allowed::Until(deadline))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// More than 584 years are as good as for ever.
    ForNanos(u64),
    Until(Instant),
    /// Until a deadline that had passed already at the first poll.
    Nothing,
    /// The deadline has come, and the future was asked to end.
    Expired,
}

pin_project! {
    /// Future of [`timeout`] and [`timeout_at`].
    ///
    /// # Panics
    /// When it is polled again after it has completed.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        // Dropped first: what is inside may have requests to pass on to this.
        #[pin]
        future: Option<F>,
        allowed: Allowed,
        #[pin]
        sleep: Option<Sleep>,
        place: Place,
    }
}

impl<F> Timeout<F> {
    #[inline]
    fn new(future: F, allowed: Allowed) -> Timeout<F> {
        Timeout {
            future: Some(future),
            allowed,
            sleep: None,
            place: Place::new(),
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if this.place.is_open() {
                this.place.settle(Kind::Scope, cx);
                if this.place.take_hit().is_some() {
                    break; // What had to be cleaned up inside is done.
                }
            }
            let future = this.future.as_mut().as_pin_mut();
            let future = future.expect("Timeout polled after completion");
            if let Allowed::Until(deadline) = *this.allowed
                && this.sleep.is_none()
                && deadline <= Instant::now()
            {
                *this.allowed = Allowed::Nothing;
            }
            let allowed = *this.allowed;
            let (polled, around) = poll_inside(future, allowed, this.place, cx);
            if let Poll::Ready(value) = polled {
                // Nothing must wake the task for a deadline that no longer matters.
                this.sleep.set(None);
                if this.place.is_open() {
                    this.future.set(None);
                    this.place.close(End::PassOn);
                }
                return Poll::Ready(Ok(value));
            }
            // A future that has used up the task's budget does not hide the deadline: a sleep does not
            // count as an operation.
            if *this.allowed != Allowed::Expired
                && let Some(deadline) = expired(this.allowed, this.sleep.as_mut(), cx)
            {
                *this.allowed = Allowed::Expired;
                // Of two deadlines in a task that come together the outer one counts. It is about to be
                // noticed.
                if around.at <= deadline {
                    return Poll::Pending;
                }
                match this.place.deliver(CancelReason::Timeout) {
                    None | Some(Delivered::ToTarget) => break,
                    // What is inside is polled once more: this deadline does not limit it any longer.
                    Some(Delivered::ToStops) => continue,
                }
            }
            if !this.place.is_hit() {
                return Poll::Pending;
            }
        }
        this.sleep.set(None);
        this.future.set(None);
        this.place.close(End::Consumed);
        Poll::Ready(Err(Elapsed { _private: () }))
    }
}

/// Polls the body of a timeout, which is a scope that opens its node only when something inside asks
/// for it. Says what limits the code around, too.
#[inline(always)]
fn poll_inside<F: Future>(
    future: Pin<&mut F>,
    allowed: Allowed,
    place: &mut Place,
    cx: &mut Context<'_>,
) -> (Poll<F::Output>, Limit) {
    if place.is_open() {
        return poll_inside_opened(future, allowed, place, cx);
    }
    match InsideUnopened::enter(|limit| allowed.tighten(limit)) {
        Some(inside) => {
            let around = inside.limit_around();
            let polled = future.poll(cx);
            inside.leave(place);
            (polled, around)
        }
        None => (future.poll(cx), Limit::NONE),
    }
}

fn poll_inside_opened<F: Future>(
    future: Pin<&mut F>,
    allowed: Allowed,
    place: &Place,
    cx: &mut Context<'_>,
) -> (Poll<F::Output>, Limit) {
    let limited = Limited::by(|limit| allowed.tighten(limit));
    let around = limited.as_ref().map_or(Limit::NONE, Limited::around);
    let _inside = place.enter();
    (future.poll(cx), around)
}

impl Allowed {
    /// The limit of the code inside, from that of the code around. A deadline that has come limits nobody
    /// any more.
    #[inline(always)]
    fn tighten(self, around: Limit) -> Limit {
        match self {
            Allowed::ForNanos(ns) => Limit {
                after_ns: around.after_ns.min(ns),
                ..around
            },
            Allowed::Until(at) => Limit {
                at: around.at.min(at),
                ..around
            },
            Allowed::Nothing | Allowed::Expired => around,
        }
    }
}

/// Sets the timer when it is needed first, and says whether the deadline has come, and which it was.
fn expired(
    allowed: &mut Allowed,
    mut sleep: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Option<Instant> {
    if sleep.is_none() {
        let deadline = match *allowed {
            Allowed::ForNanos(0) | Allowed::Nothing | Allowed::Expired => {
                return Some(Instant::now());
            }
            Allowed::ForNanos(ns) => Instant::now() + Duration::from_nanos(ns),
            Allowed::Until(deadline) => deadline,
        };
        *allowed = Allowed::Until(deadline);
        sleep.set(Some(Sleep::new(deadline)));
    }
    let sleep = sleep.as_pin_mut()?;
    let deadline = sleep.deadline();
    sleep.poll(cx).is_ready().then_some(deadline)
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("allowed", &self.allowed)
            .field("is_complete", &self.future.is_none())
            .finish_non_exhaustive()
    }
}

/// The time that [`timeout`] gave a future is up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "TimeoutError")]
pub struct Elapsed {
    _private: (),
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
