//! Those who wait: a first-in, first-out list whose nodes live in the futures that wait.
//!
//! Every primitive for one thread is built on it. A future that has to wait [enters](Waiter::enter) its node at the end;
//! whoever has something to give takes the first node out with [`WaitList::grant_first`], hands it the grant, and
//! wakes its task. What is granted belongs to that future from then on, whether it is polled soon or not at all: if it is
//! dropped first, it finds the grant with [`Waiter::leave`], and its primitive passes it on.
//!
//! ```text
//!              1 enter              2 grant_first             3 take_grant
//!   Idle ───────────────▶ Waiting ────────────────▶ Granted ───────────────▶ Done
//!                            │ 4 leave                 │ 4 leave
//!                            └───────────▶ Done ◀──────┘ (and the primitive passes the grant on)
//! ```
//!
//! Nothing is allocated: a node is part of its future, which is pinned. Nothing of a node is visible from outside
//! but the payload that it came with, which is moved in and out whole.
//!
//! # Tickets
//! Each node that enters gets the next number. Something that is meant for all who wait at a moment, but for none who
//! come later, remembers the number that comes next: see [`WaitList::wake_before`].
//!
//! # Invariants
//! 1. `head`, `tail`, and the nodes' `prev` and `next` form one doubly linked list, in the order of their tickets, of just those
//!    nodes that are `Waiting`. Each of them belongs to a [`Waiter`] whose handle leads to this list.
//! 2. A node in the list is valid memory: its waiter is pinned, and leaves in its destructor. A waiter
//!    that is leaked keeps its memory, as pinning promises, and stays in the list.
//! 3. Nodes do not point to the list, so that it may be moved while leaked waiters are in it. A waiter that is not leaked
//!    keeps its list in place, by the handle it has.
//! 4. Nobody else's code (wakers, payloads' destructors) runs while a link is being changed: wakers and payloads are
//!    moved out, and used when everything is in order. So any of it may use the same primitive again.
//! 5. Nodes are reached by shared references only, and all of their fields are cells: there is no exclusive
//!    reference to a node that could be invalidated.

#![allow(
    unsafe_code,
    reason = "fence: the intrusive list of waiters, which the primitives use without unsafe code"
)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomPinned;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;
use std::thread;

use tulipa_base::{TaskId, current};

type Link<P> = Option<NonNull<Node<P>>>;

/// Where a waiter is on its way. See the drawing above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Waiting,
    Granted,
    Done,
}

struct Node<P> {
    state: Cell<State>,
    prev: Cell<Link<P>>,
    next: Cell<Link<P>>,
    waker: Cell<Option<Waker>>,
    payload: Cell<Option<P>>,
    ticket: Cell<u64>,
    /// Who waits, for those who look from outside.
    task: Cell<Option<TaskId>>,
    _pinned: PhantomPinned,
}

/// The list. It may be moved, see invariant 3.
pub(crate) struct WaitList<P> {
    head: Cell<Link<P>>,
    tail: Cell<Link<P>>,
    len: Cell<usize>,
    next_ticket: Cell<u64>,
}

/// What was taken out of a list: whom to wake, once the primitive is in order.
#[must_use = "whoever has been given something is to be woken"]
pub(crate) struct Grant<P> {
    waker: Option<Waker>,
    /// What the node came with, if it was replaced.
    pub(crate) payload: Option<P>,
    pub(crate) task: Option<TaskId>,
}

impl<P> Grant<P> {
    /// Wakes the task. May run anyone's code.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(waker) = self.waker {
            waker.wake();
        }
    }
}

impl<P> WaitList<P> {
    pub(crate) const fn new() -> WaitList<P> {
        WaitList {
            head: Cell::new(None),
            tail: Cell::new(None),
            len: Cell::new(0),
            next_ticket: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// How many wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// The number that the next waiter gets.
    #[inline]
    pub(crate) fn next_ticket(&self) -> u64 {
        self.next_ticket.get()
    }

    /// Takes the first waiter out. It keeps its payload.
    #[inline]
    pub(crate) fn grant_first(&self) -> Option<Grant<P>> {
        self.pop().map(|node| Self::grant(node, None))
    }

    /// Takes the first waiter out, exchanges its payload, and says what that was.
    #[inline]
    pub(crate) fn exchange_first(&self, payload: P) -> Result<Grant<P>, P> {
        match self.pop() {
            Some(node) => Ok(Self::grant(node, Some(payload))),
            None => Err(payload),
        }
    }

    /// Takes the first waiter out, and its payload from it.
    #[inline]
    pub(crate) fn take_first(&self) -> Option<Grant<P>> {
        let node = self.pop()?;
        let payload = node.payload.take();
        let mut grant = Self::grant(node, None);
        grant.payload = payload;
        Some(grant)
    }

    /// Grants all who wait with a ticket lower than `ticket`, first come first woken. Those who come meanwhile have
    /// higher ones. When a waker panics, the others are woken first.
    pub(crate) fn wake_before(&self, ticket: u64) {
        self.wake_some(usize::MAX, ticket);
    }

    /// Grants all who wait now.
    pub(crate) fn wake_all(&self) {
        self.wake_before(self.next_ticket());
    }

    /// Grants up to so many of those who wait now, in the same way.
    pub(crate) fn wake_first(&self, count: usize) {
        self.wake_some(count, self.next_ticket());
    }

    fn wake_some(&self, count: usize, before: u64) {
        let left = Cell::new(count);
        let mut panics = Panics::default();
        let mut is_over = false;
        while !is_over {
            // One for all of them, entered again after a panic.
            panics.catch(|| {
                self.wake_until_a_panic(&left, before);
                is_over = true;
            });
        }
        panics.resume();
    }

    fn wake_until_a_panic(&self, left: &Cell<usize>, before: u64) {
        while left.get() > 0
            && let Some(node) = self.first()
            && node.ticket.get() < before
            && let Some(grant) = self.grant_first()
        {
            left.set(left.get() - 1);
            grant.wake();
        }
    }

    #[inline]
    fn grant(node: &Node<P>, payload: Option<P>) -> Grant<P> {
        node.state.set(State::Granted);
        let payload = match payload {
            Some(payload) => node.payload.replace(Some(payload)),
            None => None,
        };
        Grant {
            waker: node.waker.take(),
            payload,
            task: node.task.get(),
        }
    }

    #[inline]
    fn first(&self) -> Option<&Node<P>> {
        // SAFETY: by invariant 2 a node in the list is valid. The reference is shared (invariant 5), and is used only
        // before anyone else's code runs, so the node is not dropped meanwhile (invariant 4).
        self.head.get().map(|node| unsafe { node.as_ref() })
    }

    #[inline]
    fn pop(&self) -> Option<&Node<P>> {
        let node = self.first()?;
        self.unlink(node);
        Some(node)
    }

    #[inline]
    fn push(&self, node: &Node<P>) {
        let link = Some(NonNull::from(node));
        let last = self.tail.replace(link);
        node.prev.set(last);
        node.next.set(None);
        match last {
            // SAFETY: by invariant 2 a node in the list is valid.
            Some(last) => unsafe { last.as_ref() }.next.set(link),
            None => self.head.set(link),
        }
        let ticket = self.next_ticket.get();
        node.ticket.set(ticket);
        self.next_ticket.set(ticket + 1);
        self.len.set(self.len.get() + 1);
    }

    /// Takes out a node, which is in this list.
    #[inline]
    fn unlink(&self, node: &Node<P>) {
        let (prev, next) = (node.prev.get(), node.next.get());
        match prev {
            // SAFETY: by invariants 1 and 2 the neighbour is in the list, and valid.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head.set(next),
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.tail.set(prev),
        }
        self.len.set(self.len.get() - 1);
    }
}

impl<P: Copy> WaitList<P> {
    /// What the first one waits for.
    #[inline]
    pub(crate) fn first_payload(&self) -> Option<P> {
        let node = self.first()?;
        let payload = node.payload.take();
        node.payload.set(payload);
        payload
    }

    /// Exchanges the payloads of all who wait with this ticket or a higher one, for what `tell` says for
    /// their places, counted from 0. They stay in the list.
    pub(crate) fn tell_from(&self, ticket: u64, tell: impl Fn(usize) -> P) {
        let mut place = 0;
        let mut next = self.first();
        while let Some(node) = next {
            if node.ticket.get() >= ticket {
                node.payload.set(Some(tell(place)));
                place += 1;
            }
            // SAFETY: by invariant 2 a node in the list is valid; nobody else's code runs here (`tell` is one of this crate's,
            // and what it replaces has no destructor).
            next = node.next.get().map(|node| unsafe { node.as_ref() });
        }
    }
}

/// The panics of several wakers: the first one goes on when all have been woken.
#[derive(Default)]
pub(crate) struct Panics(Option<Box<dyn Any + Send>>);

impl Panics {
    pub(crate) fn catch(&mut self, wake: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(wake)) {
            match &self.0 {
                None => self.0 = Some(payload),
                // Its destructor may panic in turn, and so may what comes of that: there it ends.
                Some(_) => {
                    if let Err(nested) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                        mem::forget(nested);
                    }
                }
            }
        }
    }

    pub(crate) fn resume(self) {
        // A second panic while the first one unwinds would abort the process.
        if let Some(payload) = self.0
            && !thread::panicking()
        {
            resume_unwind(payload);
        }
    }
}

/// Something with a list of waiters.
///
/// # Safety
/// `wait_list` returns the same list whenever it is called on the same value.
pub(crate) unsafe trait HasWaitList {
    /// What the nodes come with.
    type Payload;

    fn wait_list(&self) -> &WaitList<Self::Payload>;
}

/// Says of a type that it has a list of waiters, in one of its fields.
macro_rules! has_wait_list {
    ([$($generics:tt)*] $type:ty, $payload:ty, $($field:ident).+) => {
        // SAFETY: it is always the same field. (The fields named are plain ones, in the same value: there is no
        // way to name another one's list by them but through a type that dereferences, and none of ours does.)
        #[allow(unsafe_code, reason = "the promise is kept by what this macro expands to")]
        unsafe impl<$($generics)*> crate::wait_list::HasWaitList for $type {
            type Payload = $payload;

            #[inline]
            fn wait_list(&self) -> &crate::wait_list::WaitList<$payload> {
                &self.$($field).+
            }
        }
    };
}
pub(crate) use has_wait_list;

/// A way to hold something shared, and to keep it where it is.
///
/// # Safety
/// `deref` returns the same value whenever it is called, and that is not moved or dropped before the handle is.
pub(crate) unsafe trait Handle: Deref {}

// SAFETY: what a reference points to is borrowed for as long as the reference lives, and is neither moved nor dropped.
unsafe impl<T: ?Sized> Handle for &T {}

// SAFETY: an `Rc` keeps its value, in place, until the last one is dropped. (`get_mut` needs that there is no other, and
// `try_unwrap` consumes it: whoever has it in a future has lent it to nobody.)
unsafe impl<T: ?Sized> Handle for Rc<T> {}

/// A place in a list, and the handle that keeps the list. It belongs into the future that waits.
///
/// The node is made only when it enters: most futures never have to wait, and are made, moved and dropped all the same.
pub(crate) struct Waiter<L: Handle<Target: HasWaitList>> {
    phase: Cell<Phase>,
    handle: L,
    /// # Invariant
    /// It is there from when `phase` says `Entered`, which stays so. Until then nobody refers to it, and from then on only by
    /// shared references (invariant 5).
    node: UnsafeCell<MaybeUninit<Node<<L::Target as HasWaitList>::Payload>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    /// The node says the rest.
    Entered,
    /// It did not have to wait.
    Finished,
}

impl<L: Handle<Target: HasWaitList>> Waiter<L> {
    #[inline]
    pub(crate) const fn new(handle: L) -> Waiter<L> {
        Waiter {
            phase: Cell::new(Phase::Fresh),
            handle,
            node: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The primitive.
    #[inline]
    pub(crate) fn handle(&self) -> &L {
        &self.handle
    }

    /// The node, once it has entered.
    #[inline]
    fn node(&self) -> Option<&Node<<L::Target as HasWaitList>::Payload>> {
        if self.phase.get() != Phase::Entered {
            return None;
        }
        // SAFETY: the field's invariant: it is there, and there are shared references only.
        Some(unsafe { (*self.node.get()).assume_init_ref() })
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.phase.get() {
            Phase::Fresh => State::Idle,
            Phase::Entered => self.node().map_or(State::Done, |node| node.state.get()),
            Phase::Finished => State::Done,
        }
    }

    /// Its number, once it has entered.
    #[inline]
    pub(crate) fn ticket(&self) -> u64 {
        self.node().map_or(0, |node| node.ticket.get())
    }

    /// Says that it needs not wait, and is through.
    #[inline]
    pub(crate) fn finish(&self) {
        debug_assert_eq!(self.state(), State::Idle);
        self.phase.set(Phase::Finished);
    }

    /// Enters the list at its end. The waker was cloned before the caller has found that it must wait: cloning may be
    /// anyone's code, and change that.
    pub(crate) fn enter(
        self: Pin<&Self>,
        waker: Waker,
        payload: <L::Target as HasWaitList>::Payload,
    ) {
        let this = self.get_ref();
        assert_eq!(this.state(), State::Idle, "a waiter waits once");
        let node = Node {
            state: Cell::new(State::Waiting),
            prev: Cell::new(None),
            next: Cell::new(None),
            waker: Cell::new(Some(waker)),
            payload: Cell::new(Some(payload)),
            ticket: Cell::new(0),
            task: Cell::new(current::task_id()),
            _pinned: PhantomPinned,
        };
        // SAFETY: the phase is `Fresh`, so nobody refers to the node (the field's invariant).
        let node = unsafe { (*this.node.get()).write(node) };
        this.phase.set(Phase::Entered);
        // The waiter is pinned, and leaves in its destructor: invariant 2. Its handle leads to this list.
        this.handle.wait_list().push(node);
    }

    /// Says whom to wake. Runs anyone's code, so what was waited for may be there afterwards.
    #[inline]
    pub(crate) fn renew(&self, waker: &Waker) {
        let waiting = |node: &&Node<_>| node.state.get() == State::Waiting;
        let Some(node) = self.node().filter(waiting) else {
            return;
        };
        let before = node.waker.take();
        let is_same = before.as_ref().is_some_and(|it| it.will_wake(waker));
        // While the new one is cloned the old one is to be found: somebody may have something for this waiter.
        node.waker.set(before);
        if is_same {
            return;
        }
        let new = waker.clone();
        if node.state.get() == State::Waiting {
            node.task.set(current::task_id());
            drop(node.waker.replace(Some(new)));
        }
    }

    /// Takes what was granted, with the payload that came with it, or that it came with.
    #[inline]
    pub(crate) fn take_grant(&self) -> Option<<L::Target as HasWaitList>::Payload> {
        debug_assert_eq!(self.state(), State::Granted);
        let node = self.node()?;
        node.state.set(State::Done);
        node.payload.take()
    }

    /// Ends the wait, wherever it was, and says where that was: what was granted is to be passed on. The
    /// payload stays.
    #[inline]
    pub(crate) fn leave(&self) -> State {
        self.leave_with_waker().0
    }

    /// The same for a caller that has something to put in order before the waker is dropped, which may be anyone's code.
    #[inline]
    pub(crate) fn leave_with_waker(&self) -> (State, Option<Waker>) {
        let Some(node) = self.node() else {
            let before = self.phase.replace(Phase::Finished);
            let is_fresh = before == Phase::Fresh;
            return (if is_fresh { State::Idle } else { State::Done }, None);
        };
        let state = node.state.replace(State::Done);
        if state != State::Waiting {
            return (state, None);
        }
        self.handle.wait_list().unlink(node);
        (state, node.waker.take())
    }

    /// Takes the payload out.
    #[inline]
    pub(crate) fn take_payload(&self) -> Option<<L::Target as HasWaitList>::Payload> {
        self.node()?.payload.take()
    }
}

impl<L: Handle<Target: HasWaitList>> Drop for Waiter<L> {
    #[inline]
    fn drop(&mut self) {
        if self.phase.get() == Phase::Entered {
            drop_entered(self);
        }
    }
}

#[inline(never)]
fn drop_entered<L: Handle<Target: HasWaitList>>(waiter: &mut Waiter<L>) {
    let waker = waiter.leave_with_waker();
    waiter.phase.set(Phase::Finished);
    // SAFETY: the phase was `Entered`, so the node is there (the field's invariant). It is in no list any more, so nobody
    // else refers to it; and the phase says so no more, so it is dropped once.
    unsafe { waiter.node.get_mut().assume_init_drop() };
    drop(waker);
}

impl<P> fmt::Debug for WaitList<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.len())
    }
}
