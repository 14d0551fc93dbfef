//! The timers of one loop: its wheel, the bound on its wake-ups, and virtual time.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tulipa_base::Instant;
use tulipa_base::clock::{self, View};

use crate::callback;
use crate::park::Wait;
use crate::report::{self, ExceptionKind, drop_quietly, panic_message};
use crate::timer::wheel::Wheel;

pub(crate) struct Timers {
    pub(crate) wheel: Wheel,
    /// See `Config::timer_gap`.
    gap: Duration,
    /// When timers last ended a wait, or would have.
    last_fired: Cell<Instant>,
    /// A timer was set that is past its deadline already: it is due in the next turn, without a look
    /// at the clock.
    has_overdue: Cell<bool>,
    is_paused: Cell<bool>,
    /// The loop's view of the time while another is set: outside of its runs.
    saved_view: Cell<View>,
}

impl Timers {
    pub(crate) fn new(now: Instant, gap: Duration, view: View) -> Timers {
        Timers {
            wheel: Wheel::new(now.as_nanos()),
            gap,
            last_fired: Cell::new(Instant::from_nanos(0)),
            has_overdue: Cell::new(false),
            is_paused: Cell::new(matches!(view, View::Frozen(_))),
            saved_view: Cell::new(view),
        }
    }

    /// Puts the loop's view of the time in place, for a run.
    pub(crate) fn enter(&self) {
        let outside = clock::set_view(self.saved_view.get());
        self.saved_view.set(outside);
    }

    /// Puts back the view of the time that was there before the run.
    pub(crate) fn leave(&self) {
        let inside = clock::set_view(self.saved_view.get());
        self.saved_view.set(inside);
    }

    /// Takes note that a timer for `deadline` was set.
    #[inline]
    pub(crate) fn note_deadline(&self, deadline: Instant) {
        if deadline.as_nanos() <= self.wheel.elapsed_ns() {
            self.has_overdue.set(true);
        }
    }

    /// Makes the next turn look at the timers, and so at everything outside, however busy the loop is.
    #[inline]
    pub(crate) fn hurry(&self) {
        self.has_overdue.set(true);
    }

    /// Whether timers must be looked at in this turn, whatever the clock says.
    #[inline]
    pub(crate) fn has_overdue(&self) -> bool {
        self.has_overdue.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.wheel.len() == 0
    }

    /// How long an idle loop may wait.
    pub(crate) fn idle_wait(&self) -> Wait {
        if self.has_overdue.get() {
            return Wait::Poll;
        }
        let Some(deadline) = self.next_wake() else {
            return Wait::Forever;
        };
        if self.is_paused.get() {
            return Wait::Poll; // Virtual time passes by `skip_to_next`.
        }
        Wait::Until(deadline)
    }

    /// When timers are to be looked at next, if any is set.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let next_ns = self.wheel.next_ns()?;
        let earliest = self.last_fired.get() + self.gap;
        Some(Instant::from_nanos(next_ns).max(earliest))
    }

    /// With paused time, and nothing else to do: makes it the time of the next deadline.
    pub(crate) fn skip_to_next(&self) {
        if let (true, Some(next_ns)) = (self.is_paused.get(), self.wheel.next_ns()) {
            self.move_paused_clock(Instant::from_nanos(next_ns));
        }
    }

    /// Wakes whatever is due at `now`, in deadline order.
    pub(crate) fn expire(&self, now: Instant) {
        self.has_overdue.set(false);
        let is_due = self
            .wheel
            .next_ns()
            .is_some_and(|next_ns| next_ns <= now.as_nanos());
        self.wheel.expire(now.as_nanos());
        if is_due {
            self.last_fired.set(now);
        }
        while let Some(waker) = self.wheel.pop_due() {
            let Some(waker) = waker else { continue };
            // A waker may be anyone's code: it may set and cancel timers, and it may panic.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                report::report(ExceptionKind::WakerPanicked, panic_message(&*payload));
                drop_quietly(payload);
            }
        }
    }

    /// Takes all entries out without waking anyone: the loop is closed. The callbacks of timers are
    /// dropped.
    pub(crate) fn clear(&self) {
        while let Some(waker) = self.wheel.clear_one() {
            callback::cancel_woken_by(waker.as_ref());
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(waker))) {
                report::report(ExceptionKind::WakerPanicked, panic_message(&*payload));
                drop_quietly(payload);
            }
        }
    }

    /// The time on the loop's clock, also while the thread has another view of it. `is_entered` says
    /// whether the loop's view is in place now.
    pub(crate) fn now(&self, is_entered: bool) -> Instant {
        if is_entered {
            return Instant::now();
        }
        let outside = clock::set_view(self.saved_view.get());
        let now = Instant::now();
        clock::set_view(outside);
        now
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.get()
    }

    pub(crate) fn pause(&self) {
        let now = Instant::now();
        clock::set_view(View::Frozen(now));
        self.is_paused.set(true);
    }

    pub(crate) fn resume(&self) {
        let ahead = Instant::now() - Instant::machine_now();
        clock::set_view(View::Running {
            ahead_ns: ahead.as_nanos() as u64,
        });
        self.is_paused.set(false);
    }

    /// Moves the paused clock on to `at`; timers that are due by then expire in the next turn.
    pub(crate) fn move_paused_clock(&self, at: Instant) {
        debug_assert!(self.is_paused.get());
        let now = Instant::now().max(at);
        clock::set_view(View::Frozen(now));
        self.has_overdue.set(true);
    }
}
