//! Counted permits, handed over in strict order: what `Lock`, `RwLock`, `Semaphore` and the bounded channels consist of.
//!
//! # Rules
//! 1. First come, first served: whoever asks while somebody waits is queued behind, even if there are permits enough. The
//!    first one who waits is served as soon as there are as many as it wants, and keeps all others waiting until then.
//! 2. What is released while somebody waits is assigned to the first one at once; in between it is nobody else's.
//! 3. What was assigned to a future that is dropped before it was polled again is released, as if it had been used.
//!
//! # Invariants
//! 1. When nobody else's code is running below this, the first one who waits wants more than what is available.
//! 2. After `close` nobody waits.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::{TaskId, budget, current};

use crate::seen::Seen;
use crate::wait_list::{Handle, HasWaitList, Panics, State, WaitList, Waiter};

pub(crate) struct Permits {
    available: Cell<usize>,
    is_closed: Cell<bool>,
    pub(crate) waiters: WaitList<usize>,
    /// As many make their owner the only one.
    exclusive: usize,
    /// Who has all of them, or had them last.
    holder: Cell<Option<TaskId>>,
    pub(crate) seen: Seen,
}

/// Why permits were not had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There are not enough, or others wait.
    Unavailable,
    Closed,
}

impl Permits {
    /// Whoever has `exclusive` permits is shown as the holder.
    pub(crate) const fn new(kind: &'static str, available: usize, exclusive: usize) -> Permits {
        Permits {
            available: Cell::new(available),
            is_closed: Cell::new(false),
            waiters: WaitList::new(),
            exclusive,
            holder: Cell::new(None),
            seen: Seen::new(kind),
        }
    }

    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.available.get()
    }

    /// How many futures wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Who has all permits, if somebody has.
    pub(crate) fn holder(&self) -> Option<TaskId> {
        self.holder.get().filter(|_| self.available.get() == 0)
    }

    #[inline]
    pub(crate) fn try_acquire(&self, wanted: usize) -> Result<(), Refused> {
        let available = self.available.get();
        if available >= wanted && self.waiters.is_empty() && !self.is_closed.get() {
            self.available.set(available - wanted);
            if wanted == self.exclusive {
                self.holder.set(current::task_id());
            }
            return Ok(());
        }
        Err(self.why_refused())
    }

    #[cold]
    fn why_refused(&self) -> Refused {
        if self.is_closed.get() {
            Refused::Closed
        } else {
            Refused::Unavailable
        }
    }

    /// Gives permits back, or adds some. The caller has seen to it that they are not too many.
    #[inline]
    pub(crate) fn release(&self, count: usize) {
        self.available.set(self.available.get() + count);
        if !self.waiters.is_empty() {
            self.assign();
        }
    }

    /// Takes away up to so many of those that are available. Returns how many.
    pub(crate) fn reduce(&self, count: usize) -> usize {
        let taken = self.available.get().min(count);
        self.available.set(self.available.get() - taken);
        taken
    }

    /// From a writer to a reader, or the like: the holder is the only one no more.
    pub(crate) fn give_up_some(&self, count: usize) {
        self.holder.set(None);
        self.seen.set_holder(None);
        self.release(count);
    }

    /// Serves those who wait, as far as there are permits.
    #[inline(never)]
    fn assign(&self) {
        if self.is_closed.get() {
            return; // Those who wait are being told.
        }
        // The usual case first: there is one to serve, and nothing is left for a second one.
        let Some(wake) = self.assign_first() else {
            return;
        };
        let wants_more = |wanted| wanted <= self.available.get();
        if !self.waiters.first_payload().is_some_and(wants_more) {
            return wake.wake();
        }
        let mut panics = Panics::default();
        let mut next = Some(wake);
        while let Some(grant) = next {
            panics.catch(|| grant.wake());
            next = self.assign_first();
        }
        panics.resume();
    }

    #[inline]
    fn assign_first(&self) -> Option<crate::wait_list::Grant<usize>> {
        let available = self.available.get();
        let wanted = self.waiters.first_payload()?;
        if wanted > available {
            return None;
        }
        let grant = self.waiters.grant_first()?;
        self.available.set(available - wanted);
        let holder = grant.task.filter(|_| wanted == self.exclusive);
        if holder.is_some() || self.holder.get().is_some() {
            self.holder.set(holder);
            self.seen.set_holder(holder);
        }
        Some(grant)
    }

    /// Nobody gets permits any more. Whoever waits is told.
    pub(crate) fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        let mut panics = Panics::default();
        while let Some(grant) = self.waiters.take_first() {
            panics.catch(|| grant.wake());
        }
        panics.resume();
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("available", &self.available())
            .field("waiting", &self.waiting())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Something that is made of permits.
pub(crate) trait HasPermits: HasWaitList<Payload = usize> {
    fn permits(&self) -> &Permits;

    /// Takes back permits that were assigned to somebody who is gone.
    #[inline]
    fn give_back(&self, count: usize) {
        self.permits().release(count);
    }
}

/// Says of a type that it is made of permits, in one of its fields.
macro_rules! has_permits {
    ([$($generics:tt)*] $type:ty, $field:ident $(, $give_back:path)?) => {
        crate::wait_list::has_wait_list!([$($generics)*] $type, usize, $field.waiters);

        impl<$($generics)*> crate::permits::HasPermits for $type {
            $(
                #[inline]
                fn give_back(&self, count: usize) {
                    $give_back(self, count);
                }
            )?


            #[inline]
            fn permits(&self) -> &crate::permits::Permits {
                &self.$field
            }
        }
    };
}
pub(crate) use has_permits;

pin_project! {
    /// Waits for permits. Once it has yielded, they are the caller's, to be released.
    pub(crate) struct Acquire<L: Handle<Target: HasPermits>> {
        #[pin]
        waiter: Waiter<L>,
        wanted: usize,
    }

    impl<L: Handle<Target: HasPermits>> PinnedDrop for Acquire<L> {
        fn drop(this: Pin<&mut Self>) {
            if this.waiter.state() != State::Done {
                this.abandon();
            }
        }
    }
}

impl<L: Handle<Target: HasPermits>> Acquire<L> {
    #[inline]
    pub(crate) fn new(handle: L, wanted: usize) -> Acquire<L> {
        Acquire {
            waiter: Waiter::new(handle),
            wanted,
        }
    }

    /// Whose permits they are.
    #[inline]
    pub(crate) fn handle(&self) -> &L {
        self.waiter.handle()
    }

    /// How many.
    #[inline]
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// The same as `poll`, which yields `false` when no more permits are given out.
    #[inline]
    pub(crate) fn poll_acquire(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        if self.waiter.state() == State::Idle {
            ready!(budget::poll_consume(cx));
            if self.permits().try_acquire(self.wanted).is_ok() {
                self.waiter.finish();
                return Poll::Ready(true);
            }
        }
        self.poll_waiting(cx)
    }

    #[inline]
    fn permits(&self) -> &Permits {
        self.waiter.handle().permits()
    }

    #[inline(never)]
    fn poll_waiting(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = self.as_ref().project_ref();
        let permits = this.waiter.handle().permits();
        match this.waiter.state() {
            State::Idle => {
                let waker = cx.waker().clone();
                // That may have been anyone's code.
                match permits.try_acquire(*this.wanted) {
                    Ok(()) => {
                        this.waiter.finish();
                        return Poll::Ready(true);
                    }
                    Err(Refused::Closed) => {
                        this.waiter.finish();
                        return Poll::Ready(false);
                    }
                    Err(Refused::Unavailable) => {}
                }
                budget::refund();
                this.waiter.enter(waker, *this.wanted);
            }
            State::Waiting => this.waiter.renew(cx.waker()),
            State::Granted => {}
            State::Done => panic!("{} polled after it has yielded", permits.seen.kind()),
        }
        if this.waiter.state() == State::Granted {
            // It was given them, or told that there are none any more.
            let is_given = this.waiter.take_grant().is_some();
            return Poll::Ready(is_given);
        }
        permits.seen.note_wait(permits.holder());
        Poll::Pending
    }

    /// Leaves the queue, which may be the others' turn then, or passes on what was assigned.
    #[cold]
    #[inline(never)]
    fn abandon(self: Pin<&mut Self>) {
        let this = self.as_ref().project_ref();
        let handle = this.waiter.handle();
        // Its waker is dropped last, which may be anyone's code, and may panic.
        let (state, _waker) = this.waiter.leave_with_waker();
        match state {
            State::Granted => {
                if let Some(given) = this.waiter.take_payload() {
                    handle.give_back(given);
                }
            }
            // The next one may want less.
            State::Waiting => handle.permits().release(0),
            State::Idle | State::Done => {}
        }
    }
}
