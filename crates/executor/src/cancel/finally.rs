//! Clean-up that runs in any case, and may await.

use std::any::Any;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::wait::{self, Label};

use crate::cancel::CancelReason;
use crate::cancel::deadline::Limited;
use crate::cancel::place::{Place, Settled, cancel_running};
use crate::cancel::tree::{End, Kind};
use crate::report::{ExceptionKind, drop_quietly, panic_message, report};
use crate::timer::{Timeout, timeout};

/// Runs `body`, then `cleanup`, whatever becomes of the body: it completes, panics, or is cancelled.
///
/// A request to cancel drops the body where it waits. The clean-up then runs out of reach of that request,
/// and of the deadline that made it; when it is done the request goes on outwards, and the code around is
/// dropped. [`grace`](Finally::grace) sets the clean-up a deadline of its own. The clean-up lets one
/// request pass by; the next one interrupts it, so that a clean-up that hangs can be ended.
///
/// With a body that completes, yields its value after the clean-up. With one that panics, the clean-up is run and
/// the panic goes on.
///
/// The clean-up does not run if the body was never polled, nor when the task is
/// [aborted](crate::JoinHandle::abort) or dropped with its loop: those run destructors only.
///
/// # Cancel safety
/// Being cancelled is what it is for. Dropping it (as `select!` or `abort` do) drops both halves.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use std::time::Duration;
/// use tulipa::cancel::finally;
///
/// # async fn work() {}
/// # async fn say_goodbye() {}
/// # async fn example() {
/// finally(work(), say_goodbye())
///     .grace(Duration::from_secs(5))
///     .await;
/// # }
/// ```
#[doc(alias = "try/finally")]
pub fn finally<F, C>(body: F, cleanup: C) -> Finally<F::IntoFuture, C::IntoFuture>
where
    F: IntoFuture,
    C: IntoFuture<Output = ()>,
{
    Finally {
        body: Some(body.into_future()),
        cleanup: Cleanup::Waiting {
            future: Some(cleanup.into_future()),
        },
        grace: None,
        outcome: None,
        place: Place::new(),
    }
}

/// What came of the body.
enum Outcome<T> {
    Value(T),
    Panicked(Box<dyn Any + Send>),
    Cancelled(CancelReason),
    /// Nothing, and the request is on its way outwards: this code is about to be dropped.
    PassedOn,
}

pin_project! {
    #[project = CleanupPinned]
    enum Cleanup<C> {
        Waiting { future: Option<C> },
        Running { #[pin] future: C },
        Timed { #[pin] future: Timeout<C> },
        Done,
    }
}

pin_project! {
    /// Future of [`finally`].
    ///
    /// # Panics
    /// - With the body's panic, after the clean-up.
    /// - When it is polled again after it has completed.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Finally<F: Future, C> {
        // Dropped first: what is inside may have requests to pass on to this.
        #[pin]
        body: Option<F>,
        #[pin]
        cleanup: Cleanup<C>,
        grace: Option<Duration>,
        outcome: Option<Outcome<F::Output>>,
        place: Place,
    }
}

impl<F: Future, C: Future<Output = ()>> Finally<F, C> {
    /// Gives the clean-up at most `grace`; then it is cancelled as by a [timeout](crate::timer::timeout). Without this, only another
    /// request ends a clean-up that hangs.
    pub fn grace(mut self, grace: Duration) -> Finally<F, C> {
        self.grace = Some(grace);
        self
    }
}

impl<F: Future, C: Future<Output = ()>> Future for Finally<F, C> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if matches!(this.outcome, Some(Outcome::PassedOn)) {
            wait::note(Label::new(wait::Kind::Cancelled, 0));
            return Poll::Pending;
        }
        let mut is_due = this.place.settle(Kind::Catch, cx) == Settled::InPlace;

        while let Some(body) = this.body.as_mut().as_pin_mut() {
            let hit = if is_due { this.place.take_hit() } else { None };
            is_due = true;
            let mut outcome = if let Some(hit) = hit {
                let reason = hit.reason().clone();
                this.place.hold(hit);
                Outcome::Cancelled(reason)
            } else {
                let _inside = this.place.enter();
                match catch_unwind(AssertUnwindSafe(|| body.poll(cx))) {
                    Ok(Poll::Ready(value)) => Outcome::Value(value),
                    Err(payload) => Outcome::Panicked(payload),
                    Ok(Poll::Pending) if this.place.is_hit() => continue,
                    Ok(Poll::Pending) => return Poll::Pending,
                }
            };
            // Its destructors are anyone's code, and the clean-up runs whatever they do. Of two panics the first
            // goes on, as with any other body.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.body.set(None))) {
                if let Outcome::Panicked(_) = &outcome {
                    report(ExceptionKind::DestructorPanicked, panic_message(&*payload));
                    drop_quietly(payload);
                } else {
                    outcome = Outcome::Panicked(payload);
                }
            }
            // One request passes the clean-up by, unless it has ended the body.
            match this.place.take_hit() {
                Some(hit) => this.place.hold(hit),
                None => this.place.let_one_pass(),
            }
            *this.outcome = Some(outcome);
            let CleanupPinned::Waiting { future } = this.cleanup.as_mut().project() else {
                break;
            };
            let Some(future) = future.take() else { break };
            this.cleanup.set(match *this.grace {
                None => Cleanup::Running { future },
                Some(grace) => Cleanup::Timed {
                    future: timeout(grace, future),
                },
            });
        }

        loop {
            if let Some(hit) = this.place.take_hit() {
                this.place.hold(hit);
                this.cleanup.set(Cleanup::Done);
            }
            let polled = {
                let _inside = this.place.enter();
                let _limited = Limited::lift();
                match this.cleanup.as_mut().project() {
                    CleanupPinned::Running { future } => future.poll(cx),
                    CleanupPinned::Timed { future } => future.poll(cx).map(drop),
                    CleanupPinned::Waiting { .. } | CleanupPinned::Done => Poll::Ready(()),
                }
            };
            if polled.is_ready() {
                break;
            }
            if !this.place.is_hit() {
                return Poll::Pending;
            }
        }

        this.cleanup.set(Cleanup::Done);
        let is_holding = this.place.is_holding();
        this.place.close(End::PassOn);
        match this.outcome.take() {
            Some(Outcome::Value(value)) => Poll::Ready(value),
            Some(Outcome::Panicked(payload)) => resume_unwind(payload),
            Some(Outcome::Cancelled(reason)) => {
                if !is_holding {
                    cancel_running(reason);
                }
                *this.outcome = Some(Outcome::PassedOn);
                wait::note(Label::new(wait::Kind::Cancelled, 0));
                Poll::Pending
            }
            Some(Outcome::PassedOn) | None => panic!("Finally polled after it has completed"),
        }
    }
}

impl<F: Future, C> fmt::Debug for Finally<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finally")
            .field("grace", &self.grace)
            .field("is_cleaning_up", &self.body.is_none())
            .finish_non_exhaustive()
    }
}
