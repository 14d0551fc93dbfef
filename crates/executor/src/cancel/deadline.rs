//! By when must the running code be done?

use std::cell::Cell;
use std::time::Duration;

use tulipa_base::Instant;

use crate::core::{self, CorePtr};

/// The nearest deadline that the running code has: of the timeouts and scopes around it, and of the
/// groups that its task belongs to. `None` when there is none.
///
/// Useful to hand a time limit on, to a server or another process, or not to start what cannot be done in time. In a clean-up
/// that a deadline has led to, that deadline does not count.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// # use tulipa::Instant;
/// use tulipa::cancel::current_deadline;
///
/// async fn ask() -> Option<std::time::Duration> {
///     current_deadline().map(|deadline| deadline - Instant::now())
/// }
/// ```
#[doc(alias = "current_effective_deadline")]
pub fn current_deadline() -> Option<Instant> {
    let limit = core::current()?.get().limit.get();
    Some(limit.deadline()).filter(|at| *at != Instant::FAR_FUTURE)
}

/// By when the running code must be done: at an instant, and within a time from now. The second is for timeouts that have
/// not had to read the clock yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) at: Instant,
    pub(crate) after_ns: u64,
    /// The deadline of the groups that the task belongs to. Others look after it.
    pub(crate) inherited: Instant,
}

impl Limit {
    pub(crate) const NONE: Limit = Limit {
        at: Instant::FAR_FUTURE,
        after_ns: u64::MAX,
        inherited: Instant::FAR_FUTURE,
    };

    /// All of it, as an instant.
    pub(crate) fn deadline(self) -> Instant {
        let at = self.at.min(self.inherited);
        match self.after_ns {
            u64::MAX => at,
            after_ns => at.min(Instant::now() + Duration::from_nanos(after_ns)),
        }
    }
}

/// The limit of the running code. In several cells, because a timeout changes one of them only.
pub(crate) struct LimitCell {
    at: Cell<Instant>,
    after_ns: Cell<u64>,
    inherited: Cell<Instant>,
}

impl LimitCell {
    pub(crate) fn new() -> LimitCell {
        LimitCell {
            at: Cell::new(Limit::NONE.at),
            after_ns: Cell::new(Limit::NONE.after_ns),
            inherited: Cell::new(Limit::NONE.inherited),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Limit {
        Limit {
            at: self.at.get(),
            after_ns: self.after_ns.get(),
            inherited: self.inherited.get(),
        }
    }

    #[inline]
    pub(crate) fn set(&self, limit: Limit) {
        self.at.set(limit.at);
        self.after_ns.set(limit.after_ns);
        self.inherited.set(limit.inherited);
    }

    #[inline]
    pub(crate) fn replace(&self, limit: Limit) -> Limit {
        let before = self.get();
        self.set(limit);
        before
    }
}

/// While it lives, the running code has a time limit from now, if that is the tighter one.
#[must_use]
pub(crate) struct LimitedFor {
    core: CorePtr,
    before_ns: u64,
}

impl LimitedFor {
    #[inline(always)]
    pub(crate) fn ns(core: CorePtr, ns: u64) -> LimitedFor {
        let after_ns = &core.get().limit.after_ns;
        let before_ns = after_ns.get();
        after_ns.set(before_ns.min(ns));
        LimitedFor { core, before_ns }
    }
}

impl Drop for LimitedFor {
    #[inline(always)]
    fn drop(&mut self) {
        self.core.get().limit.after_ns.set(self.before_ns);
    }
}

/// While it lives, the running code has another limit.
#[must_use]
pub(crate) struct Limited {
    core: CorePtr,
    before: Limit,
}

impl Limited {
    /// Tightens the limit to `at`.
    #[inline]
    pub(crate) fn at(at: Instant) -> Option<Limited> {
        Limited::by(|limit| Limit {
            at: limit.at.min(at),
            ..limit
        })
    }

    /// Tightens the limit to that of a group that the task belongs to.
    pub(crate) fn inherit(deadline: Instant) -> Option<Limited> {
        Limited::by(|limit| Limit {
            inherited: limit.inherited.min(deadline),
            ..limit
        })
    }

    /// Lifts the limit.
    pub(crate) fn lift() -> Option<Limited> {
        Limited::by(|_| Limit::NONE)
    }

    /// Makes `at` the only limit.
    pub(crate) fn only(at: Instant) -> Option<Limited> {
        Limited::by(|_| Limit { at, ..Limit::NONE })
    }

    /// Sets the limit, from that of the code around.
    pub(crate) fn by(f: impl FnOnce(Limit) -> Limit) -> Option<Limited> {
        let core = core::current()?;
        let before = core.get().limit.get();
        core.get().limit.set(f(before));
        Some(Limited { core, before })
    }
}

impl Drop for Limited {
    #[inline]
    fn drop(&mut self) {
        self.core.get().limit.set(self.before);
    }
}
