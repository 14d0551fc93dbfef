//! The future of a group or scope: polls the body, waits for the children, and ends with what came of both.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::Instant;
use tulipa_base::wait::{self, Label};

use crate::cancel::{CancelReason, Delivered, End, Kind, Limit, Place, Settled};
use crate::core::{self, CorePtr};
use crate::group::error::{Failure, GroupError};
use crate::group::family::{Family, State};
use crate::task::ScopeQueue;

pin_project! {
    /// What task groups and scopes run.
    pub(crate) struct Run<'env, B: Future, E> {
        // Dropped first: what is inside may have requests to pass on to this.
        #[pin]
        body: Option<B>,
        outcome: Option<Outcome<B::Output>>,
        // Only for a scope: its tasks.
        queue: Option<Rc<ScopeQueue<'env>>>,
        place: Place,
        family: Rc<Family<'env, E>>,
    }

    impl<'env, B: Future, E> PinnedDrop for Run<'env, B, E> {
        /// Children of a group that is dropped before it ends are aborted: nobody is left to wait for them.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.body.set(None);
            this.family.state.set(State::Left);
            match this.queue.take() {
                Some(queue) => queue.drop_tasks(),
                None => this.family.abort_children(),
            }
        }
    }
}

/// What came of the body.
enum Outcome<R> {
    Returned(R),
    /// It was dropped, because the family ends.
    Ended,
    /// It was dropped, because of a request from outside.
    Cancelled,
}

impl<'env, B: Future, E> Run<'env, B, E> {
    pub(crate) fn new(
        body: B,
        family: Rc<Family<'env, E>>,
        queue: Option<Rc<ScopeQueue<'env>>>,
    ) -> Self {
        Run {
            body: Some(body),
            outcome: None,
            queue,
            place: Place::new(),
            family,
        }
    }
}

impl<R, E, B: Future<Output = Result<R, E>>> Future for Run<'_, B, E> {
    type Output = Result<R, GroupError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let family = Rc::clone(this.family);
        match family.state.get() {
            State::Fresh => family.state.set(State::Open),
            State::Open | State::Ending => {}
            State::Left => panic!("a group's future is polled after it has completed"),
        }
        let mut is_due = this.place.settle(Kind::Catch, cx) == Settled::InPlace;
        family.set_waker(cx.waker());
        if let Some(queue) = &this.queue {
            queue.set_owner(cx.waker());
        }
        let core = core::current();
        if !this.place.is_holding() {
            family.deadline.set(deadline_around(core));
        }
        loop {
            if is_due && let Some(hit) = this.place.take_hit() {
                if hit.is_own() {
                    this.outcome.get_or_insert(Outcome::Ended);
                } else {
                    // A request from outside: the children get it too, each time.
                    this.outcome.get_or_insert(Outcome::Cancelled);
                    family.deadline.set(Instant::FAR_FUTURE);
                    let reason = hit.reason().clone();
                    this.place.hold(hit);
                    if family.state.get() == State::Ending {
                        family.cancel_children(reason);
                    } else {
                        family.end(reason);
                    }
                }
                this.body.set(None);
            }
            if family.interrupts_body.take() && this.body.is_some() {
                match this.place.deliver(CancelReason::Group) {
                    None => {
                        this.outcome.get_or_insert(Outcome::Ended);
                        this.body.set(None); // Outside of a task nothing can catch it.
                    }
                    Some(Delivered::ToTarget) if is_due => continue,
                    Some(_) => {}
                }
            }
            if let Some(body) = this.body.as_mut().as_pin_mut() {
                let polled = {
                    let _inside = this.place.enter();
                    body.poll(cx)
                };
                if let Poll::Ready(result) = polled {
                    match result {
                        Ok(_) => *this.outcome = Some(Outcome::Returned(result)),
                        Err(error) => {
                            *this.outcome = Some(Outcome::Ended);
                            family.fail(Failure::of_body(error));
                        }
                    }
                    this.body.set(None);
                    family.interrupts_body.set(false);
                }
            }
            let has_more = match (&this.queue, core) {
                (Some(queue), Some(core)) => queue.run(core),
                _ => false,
            };
            if this.body.is_none() && family.is_childless() {
                break;
            }
            is_due = true;
            let is_changed =
                this.place.is_hit() || family.interrupts_body.get() && this.body.is_some();
            if !is_changed {
                if has_more {
                    cx.waker().wake_by_ref();
                }
                family.set_waker(cx.waker());
                let children = family.child_count() as u64;
                let label = Label::new(wait::Kind::Group, children);
                match *this.body {
                    Some(_) => wait::note_second(label), // The body says more.
                    None => wait::note(label),
                }
                return Poll::Pending;
            }
        }

        family.state.set(State::Left);
        let failures = family.take_failures();
        let was_cancelled = this.place.is_holding() || this.place.is_hit();
        // A request from outside goes on outwards, whatever comes of the group.
        this.place.close(End::PassOn);
        match this.outcome.take() {
            _ if !failures.is_empty() => Poll::Ready(Err(GroupError::new(failures))),
            outcome if was_cancelled => {
                // This code is about to be dropped.
                *this.outcome = outcome;
                wait::note(Label::new(wait::Kind::Cancelled, 0));
                family.state.set(State::Ending);
                Poll::Pending
            }
            Some(Outcome::Returned(Ok(value))) => Poll::Ready(Ok(value)),
            // An error that the body returned is among the failures.
            Some(Outcome::Returned(Err(_)) | Outcome::Ended | Outcome::Cancelled) | None => {
                Poll::Ready(Err(GroupError::new(failures)))
            }
        }
    }
}

/// The deadline of the code around, as an instant.
fn deadline_around(core: Option<CorePtr>) -> Instant {
    let limit = core.map_or(Limit::NONE, |core| core.get().limit.get());
    match limit.after_ns {
        u64::MAX => limit.at,
        after_ns => limit
            .at
            .min(Instant::now() + Duration::from_nanos(after_ns)),
    }
}
