//! `Notify`: a wake that is not lost.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::seen::Seen;
use crate::wait_list::{Panics, State, WaitList, Waiter, has_wait_list};

/// Wakes one task, or all that wait, without a value to go with it.
///
/// It is what other primitives are made of: a task looks at some state, and waits if there is nothing to do; another one
/// changes the state, and notifies. For 'something has happened, once and for all' see [`Event`](crate::Event), for a state with a
/// lock [`Condition`](crate::Condition).
///
/// # Fairness
/// [`notify_one`](Notify::notify_one) goes to whoever has waited longest. If nobody waits it is kept, once, for the next one who
/// does. [`notify_waiters`](Notify::notify_waiters) goes to all who wait, and is not kept.
///
/// # Cancel safety
/// Dropping a future that was notified by `notify_one`, and did not get to know, passes it on.
///
/// # Examples
/// ```
/// use std::cell::RefCell;
/// use tulipa_sync::Notify;
///
/// # futures_lite::future::block_on(async {
/// let (jobs, more) = (RefCell::new(vec![]), Notify::new());
/// let worker = async {
///     loop {
///         let job = jobs.borrow_mut().pop();
///         match job {
///             Some(job) => break job,
///             None => more.notified().await,
///         }
///     }
/// };
/// let boss = async {
///     jobs.borrow_mut().push("tidy up");
///     more.notify_one();
/// };
/// let (job, ()) = futures_lite::future::zip(worker, boss).await;
/// assert_eq!(job, "tidy up");
/// # });
/// ```
pub struct Notify {
    /// A notification that nobody was there for.
    is_kept: Cell<bool>,
    /// Those with a lower number were told by `notify_waiters`. It counts waiters, in the order of their first polls,
    /// and futures in the order of their making alike: see `Notified`.
    told_all_before: Cell<u64>,
    waiters: WaitList<Way>,
    /// How often `notify_waiters` was called.
    rounds: Cell<u64>,
    seen: Seen,
}

has_wait_list!([] Notify, Way, waiters);

/// By what a waiter was notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    NotYet,
    /// It is this one's, and goes on to another one if this one is dropped.
    One,
}

impl Notify {
    /// One without a notification.
    pub const fn new() -> Notify {
        Notify {
            is_kept: Cell::new(false),
            told_all_before: Cell::new(0),
            waiters: WaitList::new(),
            rounds: Cell::new(0),
            seen: Seen::new("Notify"),
        }
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> Notify {
        self.seen.set_name(name);
        self
    }

    /// Notifies the first one who waits, or else the next one who will. Several such calls are kept as one.
    #[doc(alias = "notify")]
    pub fn notify_one(&self) {
        // Those that are being told by `notify_waiters` have their notification, even if they are in the list still.
        let told = self.told_all_before.get();
        let mut panics = Panics::default();
        panics.catch(|| self.waiters.wake_before(told));
        panics.catch(|| match self.waiters.exchange_first(Way::One) {
            Ok(grant) => grant.wake(),
            Err(_) => self.is_kept.set(true),
        });
        panics.resume();
    }

    /// Notifies all who wait, and all whose future exists already. It is not kept for later ones.
    ///
    /// # Panics
    /// When a waker does, after the others have been woken.
    #[doc(alias = "notify_all")]
    pub fn notify_waiters(&self) {
        self.rounds.set(self.rounds.get() + 1);
        let ticket = self.waiters.next_ticket();
        self.told_all_before.set(ticket);
        self.waiters.wake_before(ticket);
    }

    /// Waits for a notification, or takes the one that was kept.
    ///
    /// The future takes part in [`notify_waiters`](Notify::notify_waiters) from this call on, and in
    /// [`notify_one`](Notify::notify_one) from its first poll, or [`enable`](Notified::enable).
    ///
    /// # Cancel safety
    /// Safe. The place in the queue is given up, and a notification that was not seen goes on.
    pub fn notified(&self) -> Notified<'_> {
        Notified {
            round: self.rounds.get(),
            waiter: Waiter::new(self),
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen
            .fmt_struct(f)
            .field("is_kept", &self.is_kept.get())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Notify::notified`]. Polled again after it has completed, it is complete.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Notified<'a> {
        // Calls of `notify_waiters` before this was made.
        round: u64,
        #[pin]
        waiter: Waiter<&'a Notify>,
    }

    impl PinnedDrop for Notified<'_> {
        fn drop(this: Pin<&mut Self>) {
            let waiter = this.project().waiter.into_ref();
            let notify = *waiter.handle();
            if waiter.leave() == State::Granted && waiter.take_payload() == Some(Way::One) {
                notify.notify_one();
            }
        }
    }
}

impl Notified<'_> {
    /// Takes a place in the queue without waiting: a notification from now on is this one's. Returns whether there is one already.
    ///
    /// A notification that was [kept](Notify::notify_one), and is taken by this, is lost if the future is dropped then.
    ///
    /// For code that first says that it will wait, then looks at its state, and then awaits.
    pub fn enable(self: Pin<&mut Self>) -> bool {
        let mut this = self.project();
        let waiter = this.waiter.as_mut().into_ref();
        if waiter.state() == State::Idle {
            if take_notification(&waiter, *this.round) {
                return true;
            }
            waiter.enter(Waker::noop().clone(), Way::NotYet);
        }
        is_notified(&this.waiter)
    }
}

/// Takes what is there for a future that has not waited yet.
fn take_notification(waiter: &Waiter<&Notify>, round: u64) -> bool {
    let notify = *waiter.handle();
    let is_notified = notify.rounds.get() != round || notify.is_kept.replace(false);
    if is_notified {
        waiter.finish();
    }
    is_notified
}

/// Whether one that waits, or did, has been notified.
fn is_notified(waiter: &Waiter<&Notify>) -> bool {
    waiter.state() != State::Waiting || waiter.ticket() < waiter.handle().told_all_before.get()
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let waiter = this.waiter.as_mut().into_ref();
        if waiter.state() == State::Idle {
            ready!(budget::poll_consume(cx));
            let waker = cx.waker().clone();
            if take_notification(&waiter, *this.round) {
                return Poll::Ready(());
            }
            budget::refund();
            waiter.enter(waker, Way::NotYet);
        } else if waiter.state() == State::Waiting {
            waiter.renew(cx.waker());
        }
        if is_notified(&this.waiter) {
            this.waiter.leave();
            return Poll::Ready(());
        }
        this.waiter.handle().seen.note_wait(None);
        Poll::Pending
    }
}

impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notified").finish_non_exhaustive()
    }
}
