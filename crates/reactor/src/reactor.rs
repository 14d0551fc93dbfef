//! What a backend must do: the [`Reactor`] trait, and the words it speaks.

use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use tulipa_base::Instant;

use crate::source::Source;

/// Identifies a source towards the backend. The value is the driver's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub usize);

/// What a source is asked about, or has become ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Reading, accepting, and the end of the stream.
    Read,
    /// Writing, and the end of a connection attempt.
    Write,
    /// Both.
    Both,
}

impl Interest {
    /// Whether reading is of interest.
    pub fn is_readable(self) -> bool {
        matches!(self, Interest::Read | Interest::Both)
    }

    /// Whether writing is of interest.
    pub fn is_writable(self) -> bool {
        matches!(self, Interest::Write | Interest::Both)
    }
}

/// A source has become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token it was registered under.
    pub token: Token,
    /// What it is ready for.
    pub readiness: Readiness,
}

/// What a source has become ready for: a set of the constants.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// A read may get on, if only to find the end or an error.
    pub const READABLE: Readiness = Readiness(1);
    /// A write may get on, if only to find an error.
    pub const WRITABLE: Readiness = Readiness(1 << 1);
    /// From now on a read that finds less than it asked for does not mean that nothing is left: the
    /// end of the stream or an error follows, of which nobody will be told again, or the read stopped
    /// at urgent data.
    pub const UNDRAINABLE: Readiness = Readiness(1 << 2);

    /// Adds `other` if `condition` holds.
    #[inline]
    #[must_use]
    pub const fn with_if(self, other: Readiness, condition: bool) -> Readiness {
        if condition {
            Readiness(self.0 | other.0)
        } else {
            self
        }
    }

    /// Whether all of `other` is in it.
    #[inline]
    pub const fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set as bits, the lowest for the constant that stands first here.
    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Readiness::READABLE, "READABLE"),
            (Readiness::WRITABLE, "WRITABLE"),
            (Readiness::UNDRAINABLE, "UNDRAINABLE"),
        ];
        let set: Vec<_> = names
            .iter()
            .filter(|(it, _)| self.contains(*it))
            .map(|(_, name)| *name)
            .collect();
        f.write_str(if set.is_empty() { "NONE" } else { "" })?;
        f.write_str(&set.join(" | "))
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Poll,
    /// Until this instant at the latest; as little after it as the operating system allows, and not
    /// before it without an event.
    Until(Instant),
    /// Until something happens.
    Forever,
}

/// Waits for the operating system: the contract of a backend.
///
/// 1. A source is registered under a [`Token`] with an [`Interest`]. Until it is deregistered, each
///    time it becomes ready in a direction of interest, some later [`Reactor::poll`] reports it.
/// 2. Readiness is told on its edge: once reported, a direction need not be reported again before
///    [`Reactor::rearm`] was called for it, after an operation had found it not ready. A source that is
///    ready when it is registered, registered again or rearmed is reported.
/// 3. Reporting more, or a source that is not ready, is allowed: whoever acts on it tries.
/// 4. After `deregister`, the token is not reported by later polls.
/// 5. `poll` returns at once when the waker was used since the last poll.
pub trait Reactor {
    /// The backend's name, as in `TULIPA_REACTOR`.
    fn name(&self) -> &'static str;

    /// Starts to watch `source`.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` for a kind of source the backend cannot watch.
    fn register(
        &mut self,
        source: &mut dyn Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()>;

    /// Reports `source`, which is registered under `token`, afresh for what it is ready for. Called only where
    /// [`Reactor::needs_rearm`] says no.
    ///
    /// # Errors
    /// What the operating system says.
    fn reregister(
        &mut self,
        source: &mut dyn Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let _ = (source, token, interest);
        Ok(())
    }

    /// Stops watching `source`.
    ///
    /// # Errors
    /// What the operating system says; the token is not reported any more all the same.
    fn deregister(&mut self, source: &mut dyn Source, token: Token) -> io::Result<()>;

    /// Stops watching the source of `token`, whose only descriptor the caller closes next.
    ///
    /// Backends whose kernel forgets closed descriptors need no system call here.
    fn forget(&mut self, token: Token);

    /// Reports the source again once it is ready in the direction of `interest`.
    fn rearm(&mut self, token: Token, interest: Interest);

    /// Whether [`Reactor::rearm`] does anything, so that it need not be called.
    fn needs_rearm(&self) -> bool;

    /// Waits as long as `wait` says, and appends what has become ready to `events`.
    ///
    /// Signals that interrupt the wait end it, without an error.
    ///
    /// # Errors
    /// What the operating system says.
    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()>;

    /// What ends a wait from another thread.
    fn waker(&self) -> Arc<dyn Wakeup>;

    /// The descriptor that becomes readable when [`Reactor::poll`] would find something, if the backend has
    /// one: for event loops that wait for this one among other things.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Makes that descriptor readable at `deadline` too, if the backend can.
    ///
    /// # Errors
    /// What the operating system says.
    fn arm(&mut self, deadline: Instant) -> io::Result<()> {
        let _ = deadline;
        Ok(())
    }

    /// The time. A backend that owns time (a simulator) answers with its own, and sets the thread's
    /// view of the clock accordingly (`tulipa::runtime::reactor::set_view`).
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Ends a backend's wait, from any thread: one system call each time. [`crate::Unparker`] sees to it
/// that it is used once a burst.
///
/// It is also used from signal handlers: it takes no lock, allocates nothing, and does not panic.
pub trait Wakeup: Send + Sync {
    /// Ends the wait in progress, or the next one.
    fn wakeup(&self);
}

/// `deadline` as a timeout from `now`.
pub(crate) fn timeout_until(deadline: Instant, now: Instant) -> Duration {
    deadline.duration_since(now)
}
