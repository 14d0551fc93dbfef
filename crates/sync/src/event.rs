//! `Event`: something has happened, and everybody may go on.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::seen::Seen;
use crate::wait_list::{State, WaitList, Waiter, has_wait_list};

/// A flag that tasks wait for: all who wait go on when it is set.
///
/// # Fairness
/// Those who wait are woken in the order in which they came. [`set`](Event::set) lets go of everyone who waits at that moment, even if the
/// event is [cleared](Event::clear) before they run.
///
/// # Cancel safety
/// Dropping the future of [`wait`](Event::wait) takes it out of the list. There is nothing to lose: a flag that is set is set for all.
///
/// # Cost
/// A comparison if it is set. Nothing is allocated to wait; to set it takes a step for each one who waits.
///
/// # Examples
/// ```
/// use tulipa_sync::Event;
///
/// # futures_lite::future::block_on(async {
/// let ready = Event::new();
/// let server = async { ready.set() };
/// let client = async {
///     ready.wait().await;
///     // Connect.
/// };
/// # futures_lite::future::zip(client, server).await;
/// # });
/// ```
///
/// # References
/// `asyncio.Event`.
#[doc(alias = "ManualResetEvent")]
pub struct Event {
    is_set: Cell<bool>,
    /// Those with a lower ticket were waiting when it was set last, and may go.
    let_go_before: Cell<u64>,
    waiters: WaitList<()>,
    seen: Seen,
}

has_wait_list!([] Event, (), waiters);

impl Event {
    /// An event that is not set.
    pub const fn new() -> Event {
        Event::of_kind("Event", false)
    }

    /// What is made of an event, under its own name.
    pub(crate) const fn of_kind(kind: &'static str, is_set: bool) -> Event {
        Event {
            is_set: Cell::new(is_set),
            let_go_before: Cell::new(0),
            waiters: WaitList::new(),
            seen: Seen::new(kind),
        }
    }

    /// Begins to describe what is made of it.
    pub(crate) fn describe<'a, 'b>(
        &self,
        f: &'a mut fmt::Formatter<'b>,
    ) -> fmt::DebugStruct<'a, 'b> {
        self.seen.fmt_struct(f)
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> Event {
        self.seen.set_name(name);
        self
    }

    /// Sets it: whoever waits goes on, and whoever waits later does not have to.
    ///
    /// # Panics
    /// When a waker does, after the others have been woken.
    pub fn set(&self) {
        self.is_set.set(true);
        self.let_go();
    }

    /// Whoever waits goes on; whoever waits later waits.
    #[doc(alias = "notify_all")]
    pub fn pulse(&self) {
        self.let_go();
    }

    fn let_go(&self) {
        let ticket = self.waiters.next_ticket();
        self.let_go_before.set(ticket);
        self.waiters.wake_before(ticket);
    }

    /// Takes it back: whoever waits from now on waits for the next [`set`](Event::set).
    pub fn clear(&self) {
        self.is_set.set(false);
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Waits until it is set. If it is, this does not wait.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn wait(&self) -> Waiting<'_> {
        Waiting {
            waiter: Waiter::new(self),
        }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen
            .fmt_struct(f)
            .field("is_set", &self.is_set())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Event::wait`]. Polled again after it has completed, it is complete.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Waiting<'a> {
        #[pin]
        waiter: Waiter<&'a Event>,
    }
}

impl Future for Waiting<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waiter = self.project().waiter.into_ref();
        let event = *waiter.handle();
        if waiter.state() == State::Idle {
            ready!(budget::poll_consume(cx));
            if event.is_set() {
                waiter.leave();
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            // That may have been anyone's code.
            if event.is_set() {
                waiter.leave();
                return Poll::Ready(());
            }
            budget::refund();
            waiter.as_ref().enter(waker, ());
        } else {
            waiter.renew(cx.waker());
        }
        let is_let_go = waiter.ticket() < event.let_go_before.get();
        if waiter.state() != State::Waiting || is_let_go {
            waiter.leave();
            return Poll::Ready(());
        }
        event.seen.note_wait(None);
        Poll::Pending
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}
