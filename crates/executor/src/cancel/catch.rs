//! Catching a request to cancel where it arrives.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tulipa_base::TaskId;
use tulipa_base::wait::{self, Label};

use crate::cancel::CancelReason;
use crate::cancel::place::{Place, Settled};
use crate::cancel::tree::{End, Kind, Request, Target};
use crate::core;

/// Runs `future`, and catches a request to cancel it.
///
/// Yields the future's value, or `Err(Cancelled)` when the task, or a scope around, was asked to end
/// meanwhile: the future has then been dropped where it waited, and the code that follows may await
/// its clean-up. What to do with the request is up to that code: pass it on with
/// [`Cancelled::resume`] (as nearly always), or swallow it and go on.
///
/// It costs nothing until it is polled in a task; outside of one it only polls `future`.
///
/// # Cancel safety
/// As safe as `future`. A dropped call passes on a request that it was about to deliver.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use tulipa::cancel::catch_cancel;
///
/// async fn serve() {
///     match catch_cancel(std::future::pending::<()>()).await {
///         Ok(()) => {}
///         Err(cancelled) => {
///             // Clean-up that awaits goes here.
///             cancelled.resume().await
///         }
///     }
/// }
/// ```
#[doc(alias = "CancelledError")]
#[doc(alias = "try/except CancelledError")]
pub fn catch_cancel<F: IntoFuture>(future: F) -> CatchCancel<F::IntoFuture> {
    CatchCancel {
        body: Some(future.into_future()),
        place: Place::new(),
    }
}

pin_project! {
    /// Future of [`catch_cancel`].
    ///
    /// # Panics
    /// When it is polled again after it has completed.
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancel<F> {
        // Dropped first: what is inside may have requests to pass on to this.
        #[pin]
        body: Option<F>,
        place: Place,
    }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        assert!(
            this.body.is_some(),
            "CatchCancel polled after it has completed"
        );
        let mut is_due = this.place.settle(Kind::Catch, cx) == Settled::InPlace;
        loop {
            if is_due && let Some(hit) = this.place.take_hit() {
                this.body.set(None);
                return Poll::Ready(Err(this.place.put_in_hand(hit)));
            }
            let polled = {
                let _inside = this.place.enter();
                match this.body.as_mut().as_pin_mut() {
                    Some(body) => body.poll(cx),
                    None => return Poll::Pending,
                }
            };
            if let Poll::Ready(value) = polled {
                this.body.set(None);
                this.place.close(End::PassOn);
                return Poll::Ready(Ok(value));
            }
            if !this.place.is_hit() {
                return Poll::Pending;
            }
            is_due = true;
        }
    }
}

impl<F> fmt::Debug for CatchCancel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchCancel")
            .field("is_complete", &self.body.is_none())
            .finish_non_exhaustive()
    }
}

/// A request to cancel, as [`catch_cancel`] delivers it.
///
/// It is no `std::error::Error`, so that no `?` turns it into one by accident and hides it among I/O errors.
#[must_use = "a request that is dropped is swallowed: pass it on with `resume().await`, or say `forgive()`"]
pub struct Cancelled {
    request: Request,
    /// Where the catch point was. Others wait for it, until it is given up.
    place: Place,
    /// The task that was asked.
    task: Option<TaskId>,
    _not_send: PhantomData<Rc<()>>,
}

impl Cancelled {
    pub(crate) fn new(request: Request, place: Place) -> Cancelled {
        Cancelled {
            request,
            task: place.task(),
            place,
            _not_send: PhantomData,
        }
    }

    /// Why.
    pub fn reason(&self) -> &CancelReason {
        &self.request.reason
    }

    /// Passes the request on to the next catch point further out, or to what it was aimed at. Awaiting
    /// it never returns: the code that awaits is dropped.
    ///
    /// The number of requests ([`Task::cancelling`](crate::task::Task::cancelling)) does not change. In another task than the one that
    /// was asked, that other task is cancelled.
    #[doc(alias = "raise")]
    pub fn resume<T>(self) -> Resume<T> {
        Resume {
            cancelled: Some(self),
            _value: PhantomData,
        }
    }

    /// Takes the request back: it counts as never made.
    ///
    /// Of a task's requests one is taken off, as by [`Task::uncancel`](crate::task::Task::uncancel).
    #[doc(alias = "uncancel")]
    pub fn forgive(self) {
        if self.request.target == Target::Root
            && let Some(task) = running(self.task)
        {
            task.uncancel();
        }
    }

    fn pass_on(self) {
        if self.place.pass_on(&self.request) {
            return;
        }
        // The place is gone, with the code carried elsewhere: the next one is the root, or that of another task.
        let Some(core) = core::current() else { return };
        let (Some(task), Some(tree)) = (core.get().running_task(), core.get().tree()) else {
            return;
        };
        if Some(task.header().id) == self.task {
            tree.pass_on(task, None, self.request.clone());
        } else {
            task.cancel(self.request.reason.clone());
        }
    }
}

/// The running task, if it has this id.
fn running(id: Option<TaskId>) -> Option<crate::task::TaskRef> {
    let task = core::current()?.get().running_task()?;
    (Some(task.header().id) == id).then_some(task)
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("reason", &self.request.reason)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.request.reason)
    }
}

/// Future of [`Cancelled::resume`]; it never completes.
#[derive(Debug)]
#[must_use = "the request is passed on when this is awaited"]
pub struct Resume<T> {
    cancelled: Option<Cancelled>,
    _value: PhantomData<fn() -> T>,
}

impl<T> Future for Resume<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        if let Some(cancelled) = self.cancelled.take() {
            cancelled.pass_on();
        }
        wait::note(Label::new(wait::Kind::Cancelled, 0));
        Poll::Pending
    }
}
