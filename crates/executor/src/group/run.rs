//! The future of a group or scope: polls the body, waits for the children, and ends with what came of both.

use std::any::Any;
use std::cell::OnceCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tulipa_base::Instant;
use tulipa_base::wait::{self, Label};

use crate::cancel::{CancelReason, Delivered, End, Kind, Place, Settled, cancel_running};
use crate::core::{self, CorePtr};
use crate::group::error::{Failure, GroupError};
use crate::group::family::{Family, State};
use crate::report::{ExceptionKind, drop_quietly, panic_message, report};
use crate::task::{ScopeQueue, Task};

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
    Cancelled(CancelReason),
    /// It panicked, or a destructor did when it was dropped.
    Panicked(Box<dyn Any + Send>),
    /// Everything has ended, and the request from outside is on its way outwards: this code is about to be dropped.
    PassedOn,
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

    /// Drops the body, which yields nothing any more, because of what `outcome` says.
    fn drop_body(self: Pin<&mut Self>, outcome: Outcome<B::Output>) {
        let mut this = self.project();
        this.outcome.get_or_insert(outcome);
        // Its destructors are anyone's code. The children are waited for, whatever they do.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.body.set(None))) {
            if let Some(Outcome::Panicked(_)) = this.outcome {
                report(ExceptionKind::DestructorPanicked, panic_message(&*payload));
                return drop_quietly(payload);
            }
            *this.outcome = Some(Outcome::Panicked(payload));
            this.family.end(CancelReason::Group);
        }
    }
}

impl<R, E, B: Future<Output = Result<R, E>>> Future for Run<'_, B, E> {
    type Output = Result<R, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        if matches!(this.outcome, Some(Outcome::PassedOn)) {
            wait::note(Label::new(wait::Kind::Cancelled, 0));
            return Poll::Pending;
        }
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
            let this = self.as_mut().project();
            if is_due && let Some(hit) = this.place.take_hit() {
                if hit.is_own() {
                    self.as_mut().drop_body(Outcome::Ended);
                } else {
                    // A request from outside: the children get it too, each time.
                    family.deadline.set(Instant::FAR_FUTURE);
                    let reason = hit.reason().clone();
                    this.place.hold(hit);
                    if family.state.get() == State::Ending {
                        family.cancel_children(&reason);
                    } else {
                        family.end(reason.clone());
                    }
                    self.as_mut().drop_body(Outcome::Cancelled(reason));
                }
            }
            let mut this = self.as_mut().project();
            if family.interrupts_body.take() && this.body.is_some() {
                // The children know already, also those that the body awaits.
                let children = OnceCell::new();
                let is_child = |task: &Task| {
                    let children = children.get_or_init(|| family.all());
                    children.binary_search_by_key(&task.id(), Task::id).is_ok()
                };
                match this.place.deliver_sparing(CancelReason::Group, is_child) {
                    // Outside of a task nothing can catch it.
                    None => self.as_mut().drop_body(Outcome::Ended),
                    Some(Delivered::ToTarget) if is_due => continue,
                    Some(_) => {}
                }
            }
            this = self.as_mut().project();
            if let Some(body) = this.body.as_mut().as_pin_mut() {
                let polled = {
                    let _inside = this.place.enter();
                    catch_unwind(AssertUnwindSafe(|| body.poll(cx)))
                };
                let ended = match polled {
                    Ok(Poll::Pending) => None,
                    Ok(Poll::Ready(Ok(value))) => Some(Outcome::Returned(Ok(value))),
                    Ok(Poll::Ready(Err(error))) => {
                        family.fail(Failure::of_body(error));
                        Some(Outcome::Ended)
                    }
                    Err(payload) => {
                        family.end(CancelReason::Group);
                        Some(Outcome::Panicked(payload))
                    }
                };
                if let Some(outcome) = ended {
                    self.as_mut().drop_body(outcome);
                    family.interrupts_body.set(false);
                }
            }
            let this = self.as_mut().project();
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

        let this = self.as_mut().project();
        family.state.set(State::Left);
        let failures = family.take_failures();
        // One that has come in this very step finds nothing to end: it arrives at the next await.
        let was_cancelled = this.place.is_holding();
        // A request from outside goes on outwards, whatever comes of the group.
        this.place.close(End::PassOn);
        let outcome = this.outcome.take();
        if let Some(Outcome::Panicked(payload)) = outcome {
            resume_unwind(payload);
        }
        if !failures.is_empty() {
            return Poll::Ready(Err(GroupError::new(failures)));
        }
        match outcome {
            _ if was_cancelled => {}
            Some(Outcome::Returned(Ok(value))) => return Poll::Ready(Ok(value)),
            // The task that was asked is gone: the one that runs this now takes its place.
            Some(Outcome::Cancelled(reason)) => cancel_running(reason),
            _ => return Poll::Ready(Err(GroupError::new(failures))),
        }
        *this.outcome = Some(Outcome::PassedOn);
        wait::note(Label::new(wait::Kind::Cancelled, 0));
        Poll::Pending
    }
}

/// The deadline of the code around, as an instant.
fn deadline_around(core: Option<CorePtr>) -> Instant {
    core.map_or(Instant::FAR_FUTURE, |core| {
        core.get().limit.get().deadline()
    })
}
