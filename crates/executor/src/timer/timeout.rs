//! A deadline around a future.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::Instant;

use crate::timer::sleep::Sleep;

/// Gives `future` at most `duration`.
///
/// The time counts from the first poll, which sets the timer only if the future has to wait: around a
/// future that is ready at once, a timeout costs next to nothing. When the value and the deadline
/// come together, the value wins.
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
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(future.into_future(), Limit::After(duration))
}

/// Gives `future` until `deadline`. See [`timeout`].
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
    Timeout::new(future.into_future(), Limit::At(deadline))
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    After(Duration),
    At(Instant),
}

pin_project! {
    /// Future of [`timeout`] and [`timeout_at`].
    ///
    /// # Panics
    /// When it is polled again after it has completed.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: Option<F>,
        limit: Limit,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F> Timeout<F> {
    fn new(future: F, limit: Limit) -> Timeout<F> {
        Timeout {
            future: Some(future),
            limit,
            sleep: None,
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut();
        if let Poll::Ready(value) = future.expect("Timeout polled after completion").poll(cx) {
            // Nothing must wake the task for a deadline that no longer matters.
            this.sleep.set(None);
            return Poll::Ready(Ok(value));
        }
        if this.sleep.is_none() {
            let deadline = match *this.limit {
                Limit::After(duration) => Instant::now() + duration,
                Limit::At(deadline) => deadline,
            };
            this.sleep.set(Some(Sleep::new(deadline)));
        }
        let Some(sleep) = this.sleep.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        // A future that has used up the task's budget does not hide the deadline: a sleep does not
        // count as an operation.
        match sleep.poll(cx) {
            Poll::Ready(()) => {
                this.future.set(None);
                Poll::Ready(Err(Elapsed::new()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("limit", &self.limit)
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
