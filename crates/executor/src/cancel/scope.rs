//! A scope made by hand: something that can be cancelled, with a deadline that can be moved.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::{Instant, wait};

use crate::cancel::CancelReason;
use crate::cancel::deadline::Limited;
use crate::cancel::place::Place;
use crate::cancel::token::CancelToken;
use crate::cancel::tree::{End, Kind};
use crate::report::{ExceptionKind, contain};
use crate::timer::Sleep;

/// A part of a task that can be cancelled by itself: on request, or by a deadline, which can be moved
/// while the part runs.
///
/// Clones name the same scope, so that the code inside can hold one too. A scope is entered once, with
/// [`run`](CancelScope::run), which fails when the scope is cancelled, or [`move_on`](CancelScope::move_on), which yields `None`.
///
/// A request to the scope goes to the innermost catch points inside first, as described in the [module](crate::cancel). If the code inside
/// swallows it and completes, its value counts, and [`is_cancelled`](CancelScope::is_cancelled) says that there was one.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use std::time::Duration;
/// use tulipa::cancel::CancelScope;
///
/// # async fn next_line() -> Option<String> { None }
/// # async fn example() {
/// // Gives up after ten seconds of silence.
/// let scope = CancelScope::new().timeout(Duration::from_secs(10));
/// let lines = scope.clone().move_on(async {
///     let mut lines = Vec::new();
///     while let Some(line) = next_line().await {
///         scope.reschedule(tulipa::Instant::now() + Duration::from_secs(10));
///         lines.push(line);
///     }
///     lines
/// });
/// let lines: Option<Vec<String>> = lines.await;
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "move_on_after")]
#[doc(alias = "fail_after")]
#[doc(alias = "Timeout")]
pub struct CancelScope {
    shared: Rc<Shared>,
}

struct Shared {
    deadline: Cell<Instant>,
    /// From the call of `timeout` until the scope is entered.
    after: Cell<Option<Duration>>,
    is_shielded: Cell<bool>,
    state: Cell<State>,
    /// The latest reason, once there was a request.
    reason: RefCell<Option<CancelReason>>,
    has_expired: Cell<bool>,
    /// The deadline was in the past when it was set, or when the scope was entered.
    is_overdue: Cell<bool>,
    /// Requests that were made and not sent into the tree yet.
    is_pending: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Fresh,
    Entered,
    Left,
}

impl Default for CancelScope {
    fn default() -> CancelScope {
        CancelScope::new()
    }
}

impl CancelScope {
    /// A scope without a deadline.
    pub fn new() -> CancelScope {
        CancelScope {
            shared: Rc::new(Shared {
                deadline: Cell::new(Instant::FAR_FUTURE),
                after: Cell::new(None),
                is_shielded: Cell::new(false),
                state: Cell::new(State::Fresh),
                reason: RefCell::new(None),
                has_expired: Cell::new(false),
                is_overdue: Cell::new(false),
                is_pending: Cell::new(false),
                waker: RefCell::new(None),
            }),
        }
    }

    /// Gives the scope until `deadline`.
    pub fn deadline_at(self, deadline: Instant) -> CancelScope {
        self.shared.deadline.set(deadline);
        self.shared.after.set(None);
        self
    }

    /// Gives the scope at most `duration`, counted from when it is entered.
    pub fn timeout(self, duration: Duration) -> CancelScope {
        self.shared.after.set(Some(duration));
        self
    }

    /// Keeps requests from outside away from what runs inside, until it is done; then they go on outwards. The
    /// scope's own requests and deadline still count.
    ///
    /// Aborting the task, or dropping the future, ends it all the same.
    #[doc(alias = "shield")]
    pub fn shielded(self) -> CancelScope {
        self.shared.is_shielded.set(true);
        self
    }

    /// Enters the scope with `future`.
    ///
    /// # Errors
    /// [`ScopeCancelled`], when the scope was cancelled or its deadline has come. The future has then been
    /// dropped.
    ///
    /// # Panics
    /// When it is polled and the scope was entered before.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    pub fn run<F: IntoFuture>(self, future: F) -> ScopeRun<F::IntoFuture> {
        ScopeRun {
            body: Some(future.into_future()),
            sleep: None,
            place: Place::new(),
            is_inside: false,
            scope: self,
        }
    }

    /// Enters the scope with `future`, and yields `None` when the scope was cancelled.
    ///
    /// # Panics
    /// When it is polled and the scope was entered before.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    #[doc(alias = "move_on_after")]
    pub fn move_on<F: IntoFuture>(self, future: F) -> MoveOn<F::IntoFuture> {
        MoveOn {
            run: self.run(future),
        }
    }

    /// Asks what runs inside to end. Returns `false` when the scope has been left already.
    ///
    /// Before the scope is entered, this makes it end as soon as it is, without polling its future.
    pub fn cancel(&self) -> bool {
        self.cancel_with(CancelReason::Requested)
    }

    /// Asks what runs inside to end, and says why.
    pub fn cancel_with(&self, reason: impl Into<CancelReason>) -> bool {
        if self.shared.state.get() == State::Left {
            return false;
        }
        *self.shared.reason.borrow_mut() = Some(reason.into());
        self.shared.is_pending.set(true);
        self.shared.wake();
        true
    }

    /// Makes `deadline` the scope's new deadline. Returns `false` when the scope has been left, or its
    /// deadline has come, already.
    pub fn reschedule(&self, deadline: Instant) -> bool {
        if self.shared.state.get() == State::Left || self.shared.has_expired.get() {
            return false;
        }
        self.shared.deadline.set(deadline);
        self.shared.after.set(None);
        if self.shared.state.get() == State::Entered {
            self.shared.check_deadline();
        }
        self.shared.wake();
        true
    }

    /// The scope's deadline; `None` without one, or while it is a timeout that has not begun.
    #[doc(alias = "when")]
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.shared.deadline.get()).filter(|at| *at != Instant::FAR_FUTURE)
    }

    /// Whether the scope was asked to end, by a call or by its deadline.
    pub fn is_cancelled(&self) -> bool {
        self.shared.reason.borrow().is_some()
    }

    /// Why the scope was asked to end, if it was.
    pub fn reason(&self) -> Option<CancelReason> {
        self.shared.reason.borrow().clone()
    }

    /// Whether the scope's deadline came while it was running.
    pub fn expired(&self) -> bool {
        self.shared.has_expired.get()
    }

    /// A trigger for this scope, to hand around.
    pub fn token(&self) -> CancelToken {
        let token = CancelToken::new();
        token.attach(self);
        token
    }

    pub(crate) fn downgrade(&self) -> impl Fn() -> Option<CancelScope> + use<> {
        let weak = Rc::downgrade(&self.shared);
        move || {
            let shared = weak.upgrade()?;
            (shared.state.get() != State::Left).then_some(CancelScope { shared })
        }
    }
}

impl Shared {
    /// Takes note of whether the deadline lies in the past: the next time that the code inside waits, it
    /// has come.
    fn check_deadline(&self) {
        let deadline = self.deadline.get();
        self.is_overdue
            .set(deadline != Instant::FAR_FUTURE && deadline <= Instant::now());
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            contain(ExceptionKind::WakerPanicked, || waker.wake());
        }
    }

    /// Leaves a waker. Cloning and dropping wakers may be anyone's code.
    fn set_waker(&self, waker: &Waker) {
        if let Some(before) = &*self.waker.borrow()
            && before.will_wake(waker)
        {
            return;
        }
        let waker = waker.clone();
        let before = self.waker.replace(Some(waker));
        drop(before);
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("state", &self.shared.state.get())
            .field("deadline", &self.deadline())
            .field("reason", &self.shared.reason.borrow())
            .field("is_shielded", &self.shared.is_shielded.get())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`CancelScope::run`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct ScopeRun<F> {
        // Dropped first: what is inside may have requests to pass on to this.
        #[pin]
        body: Option<F>,
        #[pin]
        sleep: Option<Sleep>,
        place: Place,
        is_inside: bool,
        scope: CancelScope,
    }

    impl<F> PinnedDrop for ScopeRun<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Of one that was never polled, another may still enter the scope.
            if *this.is_inside {
                this.scope.shared.state.set(State::Left);
            }
        }
    }
}

impl<F: Future> Future for ScopeRun<F> {
    type Output = Result<F::Output, ScopeCancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let shared = Rc::clone(&this.scope.shared);
        match shared.state.get() {
            State::Fresh => {
                shared.state.set(State::Entered);
                *this.is_inside = true;
                if let Some(after) = shared.after.take() {
                    shared.deadline.set(Instant::now() + after);
                }
                shared.check_deadline();
                if shared.is_pending.get() {
                    this.body.set(None); // Cancelled before it was entered.
                    return Poll::Ready(Err(ScopeCancelled::leave(&shared)));
                }
            }
            State::Entered if *this.is_inside => {}
            State::Entered | State::Left => {
                panic!("a CancelScope is entered once: make another one with CancelScope::new()")
            }
        }
        let kind = if shared.is_shielded.get() {
            Kind::Shield
        } else {
            Kind::Scope
        };
        this.place.settle(kind, cx);
        shared.set_waker(cx.waker());
        let noted_before = wait::noted();
        loop {
            if shared.is_pending.take() {
                let reason = shared.reason.borrow().clone().unwrap_or_default();
                if this.place.deliver(reason).is_none() {
                    this.body.set(None); // Outside of a task nothing can catch it.
                    wait::restore(noted_before);
                    return Poll::Ready(Err(ScopeCancelled::leave(&shared)));
                }
            }
            if this.place.take_hit().is_some() {
                this.body.set(None);
                this.place.close(End::PassOn);
                wait::restore(noted_before);
                return Poll::Ready(Err(ScopeCancelled::leave(&shared)));
            }
            let polled = {
                let _inside = this.place.enter();
                let _limited = if this.scope.is_cancelled() {
                    None // A deadline that has come limits nobody any more.
                } else if shared.is_shielded.get() {
                    Limited::only(shared.deadline.get())
                } else {
                    Limited::at(shared.deadline.get())
                };
                match this.body.as_mut().as_pin_mut() {
                    Some(body) => body.poll(cx),
                    None => return Poll::Pending,
                }
            };
            if let Poll::Ready(value) = polled {
                this.body.set(None);
                this.sleep.set(None);
                this.place.close(End::PassOn);
                shared.state.set(State::Left);
                return Poll::Ready(Ok(value));
            }
            if !shared.has_expired.get() && deadline_has_come(this.sleep.as_mut(), &shared, cx) {
                shared.has_expired.set(true);
                *shared.reason.borrow_mut() = Some(CancelReason::Timeout);
                shared.is_pending.set(true);
            }
            if !shared.is_pending.get() && !this.place.is_hit() {
                return Poll::Pending;
            }
        }
    }
}

/// Sets or moves the timer to where the deadline is now, and says whether it has come.
fn deadline_has_come(
    mut sleep: Pin<&mut Option<Sleep>>,
    shared: &Shared,
    cx: &mut Context<'_>,
) -> bool {
    let deadline = shared.deadline.get();
    if deadline == Instant::FAR_FUTURE {
        sleep.set(None);
        return false;
    }
    if shared.is_overdue.get() {
        return true;
    }
    if sleep.is_none() {
        sleep.set(Some(Sleep::new(deadline)));
    }
    let Some(mut sleep) = sleep.as_pin_mut() else {
        return false;
    };
    if sleep.deadline() != deadline {
        sleep.as_mut().reset(deadline);
    }
    sleep.poll_as_limit(cx).is_ready()
}

impl<F> fmt::Debug for ScopeRun<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeRun")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`CancelScope::move_on`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct MoveOn<F> {
        #[pin]
        run: ScopeRun<F>,
    }
}

impl<F: Future> Future for MoveOn<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx).map(Result::ok)
    }
}

/// The scope was cancelled, or its deadline has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeCancelled {
    reason: CancelReason,
}

impl ScopeCancelled {
    fn leave(shared: &Shared) -> ScopeCancelled {
        shared.state.set(State::Left);
        let reason = shared.reason.borrow().clone().unwrap_or_default();
        ScopeCancelled { reason }
    }

    /// Why.
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }
}

impl fmt::Display for ScopeCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the scope was cancelled: {}", self.reason)
    }
}

impl std::error::Error for ScopeCancelled {}
