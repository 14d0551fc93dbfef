//! `Barrier`: nobody goes on before all have arrived.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::seen::Seen;
use crate::wait_list::{State, WaitList, Waiter, has_wait_list};

/// Lets tasks go on together: each waits until so many have arrived.
///
/// It can be used again at once: those who come next belong to the next round, and rounds never mix.
///
/// # Fairness
/// The last one to arrive goes on without waiting, the others are woken in the order in which they came.
///
/// # Cancel safety
/// Dropping the future of [`wait`](Barrier::wait) while others are missing takes it back: the round needs one more. It does not break the
/// barrier. Once the round is complete there is nothing to take back.
///
/// # Cost
/// Nothing is allocated to wait; the last one takes a step for each that waits.
///
/// # Examples
/// ```
/// use tulipa_sync::Barrier;
///
/// # futures_lite::future::block_on(async {
/// let barrier = Barrier::new(2);
/// let (one, other) = futures_lite::future::zip(barrier.wait(), barrier.wait()).await;
/// // Each has a number of its own: one of them can do what is to be done once.
/// assert_eq!((one, other), (Ok(0), Ok(1)));
/// # });
/// ```
///
/// # References
/// `asyncio.Barrier`. There, newcomers wait until a complete round has left before they count as arrived; here they count at once, so that
/// one that was let go, and does not run, keeps nobody waiting.
pub struct Barrier {
    parties: usize,
    is_broken: Cell<bool>,
    /// Those of this round who wait.
    arrived: Cell<usize>,
    waiters: WaitList<Passage>,
    /// Those with a lower ticket are of earlier rounds: they have been told, even if they have not been woken yet.
    round_from: Cell<u64>,
    seen: Seen,
}

has_wait_list!([] Barrier, Passage, waiters);

/// What a waiter is told.
type Passage = Result<usize, Broken>;

impl Barrier {
    /// A barrier for so many tasks.
    ///
    /// # Panics
    /// When `parties` is zero.
    #[track_caller]
    pub const fn new(parties: usize) -> Barrier {
        assert!(
            parties > 0,
            "Barrier::new: there must be one party at least"
        );
        Barrier {
            parties,
            is_broken: Cell::new(false),
            arrived: Cell::new(0),
            waiters: WaitList::new(),
            round_from: Cell::new(0),
            seen: Seen::new("Barrier"),
        }
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> Barrier {
        self.seen.set_name(name);
        self
    }

    /// Arrives, and waits for the others. Yields the place in the order of arrival: from 0 to one less than the
    /// [parties](Barrier::parties), each once in a round.
    ///
    /// # Errors
    /// [`Broken`], when the barrier [is broken](Barrier::abort), or [reset](Barrier::reset) while this waits.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Barrier#cancel-safety).
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait {
            waiter: Waiter::new(self),
        }
    }

    /// Breaks it: who waits, and who comes, is told so, until it is [reset](Barrier::reset).
    pub fn abort(&self) {
        self.is_broken.set(true);
        self.end_round(|_| Err(Broken(())));
    }

    /// Begins a new round: who waits now is told that the barrier is [`Broken`], who comes later is not. Those whose
    /// round was complete are not concerned.
    pub fn reset(&self) {
        self.is_broken.set(false);
        self.end_round(|_| Err(Broken(())));
    }

    /// How many a round needs.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many wait for the others.
    #[doc(alias = "n_waiting")]
    pub fn waiting(&self) -> usize {
        self.arrived.get()
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// Ends the round: tells all who wait what `tell` says for their place, then wakes them.
    fn end_round(&self, tell: impl Fn(usize) -> Passage) {
        self.waiters.tell_from(self.round_from.get(), tell);
        let next = self.waiters.next_ticket();
        self.round_from.set(next);
        self.arrived.set(0);
        self.waiters.wake_before(next);
    }

    /// Arrives without waiting, if that is possible.
    fn try_pass(&self) -> Option<Passage> {
        if self.is_broken.get() {
            return Some(Err(Broken(())));
        }
        let before = self.arrived.get();
        (before + 1 == self.parties).then(|| {
            self.end_round(Ok);
            Ok(before)
        })
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen
            .fmt_struct(f)
            .field("parties", &self.parties)
            .field("waiting", &self.waiting())
            .field("is_broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Barrier::wait`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct BarrierWait<'a> {
        #[pin]
        waiter: Waiter<&'a Barrier>,
    }

    impl PinnedDrop for BarrierWait<'_> {
        fn drop(this: Pin<&mut Self>) {
            let waiter = this.project().waiter.into_ref();
            let barrier = *waiter.handle();
            let is_waiting = waiter.state() == State::Waiting;
            if is_waiting && waiter.ticket() >= barrier.round_from.get() {
                barrier.arrived.set(barrier.arrived.get() - 1);
            }
            // Last, because it drops a waker.
            waiter.leave();
        }
    }
}

impl Future for BarrierWait<'_> {
    type Output = Result<usize, Broken>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Passage> {
        let waiter = self.project().waiter.into_ref();
        let barrier = *waiter.handle();
        match waiter.state() {
            State::Idle => {
                ready!(budget::poll_consume(cx));
                let waker = cx.waker().clone();
                // Not to arrive a second time, when a waker that is woken panics.
                if barrier.is_broken() || barrier.arrived.get() + 1 == barrier.parties {
                    waiter.finish();
                }
                if let Some(passage) = barrier.try_pass() {
                    return Poll::Ready(passage);
                }
                budget::refund();
                // What it will be told is not known yet; it is asked for once it has been.
                waiter.as_ref().enter(waker, Err(Broken(())));
                barrier.arrived.set(barrier.arrived.get() + 1);
            }
            State::Waiting => waiter.renew(cx.waker()),
            State::Granted => {}
            State::Done => panic!("BarrierWait polled after it has yielded"),
        }
        if waiter.state() == State::Waiting && waiter.ticket() >= barrier.round_from.get() {
            barrier.seen.note_wait(None);
            return Poll::Pending;
        }
        waiter.leave();
        Poll::Ready(waiter.take_payload().unwrap_or(Err(Broken(()))))
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWait").finish_non_exhaustive()
    }
}

/// The barrier is broken, or was reset while this waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(());

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wait: the barrier is broken")
    }
}

impl Error for Broken {}
