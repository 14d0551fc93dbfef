//! The handle of a callback that waits for an instant: cancels it, or moves its deadline.
//!
//! The timer is a [`Sleep`] that the callback's block and the handle share. It is armed from the start,
//! with the block's own waker; so firing is scheduling the block, like any wake.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tulipa_base::Instant;

use crate::callback::handle::{Handle, state};
use crate::core::CorePtr;
use crate::task::{self, Flags};
use crate::timer::Sleep;

/// A callback that was registered with [`call_at`](crate::call_at) or [`call_later`](crate::call_later):
/// cancels it, or moves its deadline.
///
/// Dropping the handle changes nothing. A timer that is cancelled is taken out at once.
#[doc(alias = "asyncio.TimerHandle")]
pub struct TimerHandle {
    handle: Handle,
    sleep: Pin<Rc<Sleep>>,
}

impl TimerHandle {
    /// The deadline.
    pub fn when(&self) -> Instant {
        self.sleep.deadline()
    }

    /// Moves the deadline to `when`, and returns whether the callback is still to come.
    ///
    /// It is possible until the callback is called, also when its deadline has passed and it waits for
    /// its turn: it is then called at the new deadline only. A callback that is running, was called or
    /// was cancelled is not changed, and `false` returned: it cannot be called twice, so register another
    /// one.
    ///
    /// Among equal deadlines it now comes last. Nothing is allocated: this is the way to restart a
    /// timeout at each sign of life.
    pub fn reschedule(&self, when: Instant) -> bool {
        let task = self.handle.task();
        let core = task.header().core;
        if self
            .handle
            .flags()
            .has(Flags::COMPLETE.with(Flags::RUNNING))
            || core.get().is_closing()
        {
            return false;
        }
        let sleep = self.sleep.as_ref();
        let has_fired = !sleep.is_armed();
        sleep.move_to(when);
        hurry_if_past(core, when);
        if has_fired {
            // It stays in the ready queue; the poll finds it not elapsed, and leaves it waiting.
            sleep.arm(core, task::counted_waker(task));
        }
        core.get().tell_host();
        true
    }

    /// Drops the callback, which is then never called. See [`Handle::cancel`].
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// See [`Handle::is_cancelled`].
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.handle.is_cancelled()
    }

    /// See [`Handle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Where the callback was registered.
    pub fn registered_at(&self) -> &'static Location<'static> {
        self.handle.registered_at()
    }

    /// A handle that cancels the callback when it is dropped.
    pub fn guard(self) -> TimerCancelOnDrop {
        TimerCancelOnDrop { handle: self }
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when())
            .field("registered_at", &format_args!("{}", self.registered_at()))
            .field("state", &format_args!("{}", state(self.handle.flags())))
            .finish_non_exhaustive()
    }
}

/// A [`TimerHandle`] that cancels its callback when it is dropped. See [`TimerHandle::guard`].
#[derive(Debug)]
#[must_use = "dropping it at once cancels the callback at once"]
pub struct TimerCancelOnDrop {
    handle: TimerHandle,
}

impl TimerCancelOnDrop {
    /// The handle inside.
    pub fn handle(&self) -> &TimerHandle {
        &self.handle
    }
}

impl Drop for TimerCancelOnDrop {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}

/// Sets a timer of a loop for a callback. Owner thread only.
pub(crate) fn call_at_on(
    core: CorePtr,
    when: Instant,
    callback: impl FnOnce() + 'static,
    location: &'static Location<'static>,
) -> TimerHandle {
    let sleep = Rc::pin(Sleep::new(when));
    let call = TimerCall {
        sleep: Pin::clone(&sleep),
        callback: Some(callback),
    };
    let handle = Handle::new(core, call, location);
    if core.get().is_closing() {
        handle.cancel();
    } else {
        let waker = task::counted_waker(handle.task());
        sleep.as_ref().arm(core, waker);
        hurry_if_past(core, when);
    }
    TimerHandle { handle, sleep }
}

/// A deadline that has passed already is met in the next turn, however busy that is.
fn hurry_if_past(core: CorePtr, when: Instant) {
    let timers = &core.get().timers;
    if when <= timers.now(core.is_current()) {
        timers.hurry();
    }
}

/// Calls the closure when it is polled after its timer has fired.
struct TimerCall<F> {
    sleep: Pin<Rc<Sleep>>,
    callback: Option<F>,
}

impl<F: FnOnce()> Future for TimerCall<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        if let Some(callback) = self.callback.take() {
            callback();
        }
        Poll::Ready(())
    }
}

// The closure is moved out before it is called; it is never pinned.
impl<F> Unpin for TimerCall<F> {}

impl<F> Drop for TimerCall<F> {
    /// The handle may keep the timer; it must not fire any more.
    fn drop(&mut self) {
        self.sleep.disarm();
    }
}
