//! A deadline around a future.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::{Instant, wait};

use crate::cancel::{
    CancelReason, Delivered, End, InsideUnopened, Kind, Limit, Limited, LimitedFor, Place,
};
use crate::core;
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
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let noted_before = wait::noted();
        let mut this = self.as_mut().project();
        // The first poll: nothing is set up yet, and most of what is guarded is ready in time.
        if let Allowed::ForNanos(ns) = *this.allowed
            && !this.place.is_open()
            && let Some(inside) = InsideUnopened::enter()
        {
            let limited = LimitedFor::ns(inside.core(), ns);
            let polled = not_over(this.future.as_mut()).poll(cx);
            drop(limited);
            inside.leave(this.place);
            return match polled {
                Poll::Ready(value) if !this.place.is_open() => Poll::Ready(Ok(value)),
                Poll::Ready(value) => self.complete(value),
                Poll::Pending => self.go_on(Step::LookAtTimer, noted_before, cx),
            };
        }
        self.go_on(Step::PollInside, noted_before, cx)
    }
}

/// What a poll of a timeout does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    PollInside,
    /// The future waits.
    LookAtTimer,
}

impl<F: Future> Timeout<F> {
    #[inline(never)]
    fn go_on(
        mut self: Pin<&mut Self>,
        from: Step,
        noted_before: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Elapsed>> {
        let mut this = self.as_mut().project();
        let mut step = from;
        loop {
            if step == Step::PollInside {
                if this.place.is_open() {
                    this.place.settle(Kind::Scope, cx);
                    if this.place.take_hit().is_some() {
                        break; // What had to be cleaned up inside is done.
                    }
                }
                if let Allowed::Until(deadline) = *this.allowed
                    && this.sleep.is_none()
                    && deadline <= Instant::now()
                {
                    *this.allowed = Allowed::Nothing;
                }
                let future = not_over(this.future.as_mut());
                if let Poll::Ready(value) = poll_inside(future, *this.allowed, this.place, cx) {
                    return self.complete(value);
                }
            }
            // A future that has used up the task's budget does not hide the deadline: a sleep does not
            // count as an operation.
            if *this.allowed != Allowed::Expired
                && let Some(deadline) = expired(this.allowed, this.sleep.as_mut(), cx)
            {
                *this.allowed = Allowed::Expired;
                // Of two deadlines in a task that come together the outer one counts. It is about to be
                // noticed.
                let around = core::current().map_or(Limit::NONE, |core| core.get().limit.get());
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
            step = Step::PollInside;
        }
        this.sleep.set(None);
        this.future.set(None);
        this.place.close(End::Consumed);
        wait::restore(noted_before); // What the future has noted is not waited for any more.
        Poll::Ready(Err(Elapsed::new()))
    }

    /// Ends a timeout whose future was in time.
    fn complete(self: Pin<&mut Self>, value: F::Output) -> Poll<Result<F::Output, Elapsed>> {
        let mut this = self.project();
        // Nothing must wake the task for a deadline that no longer matters.
        this.sleep.set(None);
        if this.place.is_open() {
            this.future.set(None);
            this.place.close(End::PassOn);
        }
        Poll::Ready(Ok(value))
    }
}

#[inline(always)]
fn not_over<F>(future: Pin<&mut Option<F>>) -> Pin<&mut F> {
    let future = future.as_pin_mut();
    future.expect("Timeout polled after completion")
}

/// Polls the body of a timeout, which is a scope that opens its node only when something inside asks
/// for it.
fn poll_inside<F: Future>(
    future: Pin<&mut F>,
    allowed: Allowed,
    place: &mut Place,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    let _limited = Limited::by(|limit| allowed.tighten(limit));
    if place.is_open() {
        let _inside = place.enter();
        return future.poll(cx);
    }
    match InsideUnopened::enter() {
        Some(inside) => {
            let polled = future.poll(cx);
            inside.leave(place);
            polled
        }
        None => future.poll(cx),
    }
}

impl Allowed {
    /// The limit of the code inside, from that of the code around. A deadline that has come limits nobody
    /// any more.
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
    sleep.poll_as_limit(cx).is_ready().then_some(deadline)
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

impl Elapsed {
    pub(crate) fn new() -> Elapsed {
        Elapsed { _private: () }
    }
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
