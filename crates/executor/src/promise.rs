//! Promises: a value that is set once, by anyone who holds the cell, and awaited by many.
//!
//! # States
//! Pending, then either finished, with a value, or cancelled; it changes once. What changes it wakes whoever
//! waits and schedules the callbacks, in the order in which they came, and runs none of them.
//!
//! # Invariants
//! 1. Before the outcome is set, everyone in `listeners` is still to be told; after it, the list is empty.
//! 2. No user code (wakers, callbacks, their destructors) runs while the list is borrowed.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tulipa_base::wait::{self, Label};

use crate::cancel::CancelReason;
use crate::context;
use crate::core;
use crate::loop_ref::LoopRef;
use crate::report::{self, ExceptionKind, drop_quietly, panic_message};

/// A cell for a value that is set once, and awaited by any number of tasks.
///
/// Clones are the same cell. Any of them sets the value, cancels, asks, or awaits: awaiting a promise by
/// value (or by `&mut`) needs `T: Clone` and yields a copy, [`wait`](Promise::wait) lends it. A value that
/// may be a failure is a `Promise<Result<T, E>>`, which also has [`fail`](Promise::fail).
///
/// Setting the value runs nobody's code: who waits runs in the next turn, in the order in which they came.
/// It needs no loop; [`on_done`](Promise::on_done) does. A promise whose setters are all gone stays pending,
/// because clones cannot be told apart: whoever gives up should [`cancel`](Promise::cancel).
///
/// # Cancel safety
/// Safe: a dropped wait loses nothing, and its waker is dropped with it.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_executor as runtime; pub use tulipa_executor::task::spawn; }
/// # use tulipa_executor::*;
/// # struct NoPark; impl Park for NoPark {
/// #     fn park(&mut self, _: Wait) -> std::io::Result<()> { Ok(()) }
/// #     fn unparker(&self) -> std::sync::Arc<dyn Unpark> { std::sync::Arc::new(NoUnpark) }
/// # }
/// # struct NoUnpark; impl Unpark for NoUnpark { fn unpark(&self) {} }
/// # Executor::new(NoPark, Config::default()).run(async {
/// use tulipa::runtime::Promise;
///
/// let answer = Promise::new();
/// let readers = [answer.clone(), answer.clone()].map(|answer| tulipa::spawn(answer));
/// answer.set(42).unwrap();
/// for reader in readers {
///     assert_eq!(reader.await.unwrap(), Ok(42));
/// }
/// assert_eq!(answer.wait().await, Ok(&42));
/// assert_eq!(answer.set(43).unwrap_err().rejected, 43);
/// # }).unwrap();
/// ```
#[doc(alias = "asyncio.Future")]
#[doc(alias = "create_future")]
#[doc(alias = "Deferred")]
pub struct Promise<T> {
    cell: Rc<PromiseCell<T>>,
    /// This clone's own wait.
    wait: Listening,
}

struct PromiseCell<T> {
    outcome: OnceCell<Result<T, PromiseError>>,
    /// Who is to be told, by ascending number.
    listeners: RefCell<Vec<(u64, Listener<T>)>>,
    next_number: Cell<u64>,
}

enum Listener<T> {
    Waker(Waker),
    /// Puts a callback into the ready queue of the loop that it was registered in.
    Schedule(Schedule<T>),
}

type Schedule<T> = Box<dyn FnOnce(&Promise<T>)>;

/// Names a callback of a promise: see [`Promise::on_done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallbackId(u64);

/// The promise has no value, and will have none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "CancelledError")]
pub enum PromiseError {
    /// It was [cancelled](Promise::cancel), for this reason.
    Cancelled(CancelReason),
}

impl fmt::Display for PromiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PromiseError::Cancelled(CancelReason::Requested) => {
                f.write_str("the promise was cancelled")
            }
            PromiseError::Cancelled(reason) => write!(f, "the promise was cancelled: {reason}"),
        }
    }
}

impl std::error::Error for PromiseError {}

/// The promise is set, or cancelled, already. The value comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias = "InvalidStateError")]
pub struct AlreadySet<T> {
    /// What was to be set.
    pub rejected: T,
}

impl<T> fmt::Debug for AlreadySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlreadySet")
    }
}

impl<T> fmt::Display for AlreadySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the promise is set or cancelled already")
    }
}

impl<T> std::error::Error for AlreadySet<T> {}

impl<T> Promise<T> {
    /// A pending promise.
    pub fn new() -> Promise<T> {
        Promise::of(Rc::new(PromiseCell {
            outcome: OnceCell::new(),
            listeners: RefCell::new(Vec::new()),
            next_number: Cell::new(0),
        }))
    }

    fn of(cell: Rc<PromiseCell<T>>) -> Promise<T> {
        Promise {
            cell,
            wait: Listening::default(),
        }
    }

    /// Gives the promise its value. Whoever waits runs in the next turn.
    ///
    /// # Errors
    /// [`AlreadySet`] with `value`, when the promise is not pending.
    #[doc(alias = "set_result")]
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        match self.cell.outcome.set(Ok(value)) {
            Ok(()) => {
                self.tell();
                Ok(())
            }
            Err(Ok(rejected)) => Err(AlreadySet { rejected }),
            Err(Err(_)) => unreachable!("it was to be set to a value"),
        }
    }

    /// Says that there will be no value; `false` when the promise was not pending.
    ///
    /// Whoever waits gets [`PromiseError::Cancelled`] in the next turn.
    pub fn cancel(&self) -> bool {
        self.cancel_with(CancelReason::Requested)
    }

    /// Says that there will be no value, and why; `false` when the promise was not pending.
    pub fn cancel_with(&self, reason: impl Into<CancelReason>) -> bool {
        let error = PromiseError::Cancelled(reason.into());
        let is_cancelled = self.cell.outcome.set(Err(error)).is_ok();
        if is_cancelled {
            self.tell();
        }
        is_cancelled
    }

    /// Whether the promise has its value, or was cancelled.
    #[doc(alias = "done")]
    pub fn is_done(&self) -> bool {
        self.cell.outcome.get().is_some()
    }

    /// Whether the promise was cancelled.
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self.cell.outcome.get(),
            Some(Err(PromiseError::Cancelled(_)))
        )
    }

    /// What came of the promise; `None` while it is pending.
    #[doc(alias = "result")]
    #[doc(alias = "exception")]
    pub fn try_result(&self) -> Option<Result<&T, PromiseError>> {
        let outcome = self.cell.outcome.get()?;
        Some(outcome.as_ref().map_err(PromiseError::clone))
    }

    /// Waits until the promise is done, and lends its value. One that is done already does not wait.
    ///
    /// # Errors
    /// [`PromiseError`], when it was cancelled.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn wait(&self) -> PromiseWait<'_, T> {
        PromiseWait {
            cell: &self.cell,
            wait: Listening::default(),
        }
    }

    /// Has `callback` called when the promise is done, by [`call_soon`](crate::call_soon) in the loop that
    /// runs now: in a later turn, never from here or from [`set`](Promise::set), in the order in which
    /// callbacks and waits came. If the promise is done already, that is in the next turn. Its context is a copy of the
    /// one of this call.
    ///
    /// A callback that is still to come is dropped with the promise. It should not hold a clone of it (it is
    /// lent one), or neither would ever go if the promise is never done.
    ///
    /// # Panics
    /// Outside of a loop.
    #[track_caller]
    #[doc(alias = "add_done_callback")]
    pub fn on_done(&self, callback: impl FnOnce(&Promise<T>) + 'static) -> CallbackId
    where
        T: 'static,
    {
        let location = Location::caller();
        let Some(in_loop) = LoopRef::try_current() else {
            core::panic_outside(location);
        };
        // As it is now: whoever sets the promise may have another one.
        let context = context::Context::current();
        let schedule = move |promise: &Promise<T>| {
            let promise = promise.clone();
            let call = move || context.enter(|| callback(&promise));
            // In a loop that is closed it is dropped uncalled, like all that was scheduled there.
            let _ = in_loop.call_soon_from(call, location);
        };
        if self.is_done() {
            schedule(self);
            return CallbackId(self.cell.next_number());
        }
        CallbackId(self.cell.listen(Listener::Schedule(Box::new(schedule))))
    }

    /// Drops a callback that is still to come; `false` when there is no such, also after the promise was
    /// done.
    #[doc(alias = "remove_done_callback")]
    pub fn remove(&self, callback: CallbackId) -> bool {
        // It is dropped here, with the list released.
        let removed = self.cell.remove(callback.0, |listener| {
            matches!(listener, Listener::Schedule(_))
        });
        removed.is_some()
    }

    /// Wakes and schedules everyone on the list, in order.
    fn tell(&self) {
        for (_, listener) in self.cell.listeners.take() {
            match listener {
                Listener::Waker(waker) => {
                    // A waker may be anyone's code. The others are to be told all the same.
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                        report::report(ExceptionKind::WakerPanicked, panic_message(&*payload));
                        drop_quietly(payload);
                    }
                }
                Listener::Schedule(schedule) => schedule(self),
            }
        }
    }
}

impl<T, E> Promise<Result<T, E>> {
    /// Gives the promise an error for its value.
    ///
    /// # Errors
    /// [`AlreadySet`] with `error`, when the promise is not pending.
    #[doc(alias = "set_exception")]
    pub fn fail(&self, error: E) -> Result<(), AlreadySet<E>> {
        match self.set(Err(error)) {
            Ok(()) => Ok(()),
            Err(AlreadySet {
                rejected: Err(rejected),
            }) => Err(AlreadySet { rejected }),
            Err(_) => unreachable!("it was to be set to an error"),
        }
    }
}

impl<T> PromiseCell<T> {
    fn next_number(&self) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        number
    }

    fn listen(&self, listener: Listener<T>) -> u64 {
        let number = self.next_number();
        self.listeners.borrow_mut().push((number, listener));
        number
    }

    /// Takes a listener out, if it is there, and of the kind meant.
    fn remove(&self, number: u64, is_meant: impl Fn(&Listener<T>) -> bool) -> Option<Listener<T>> {
        let mut listeners = self.listeners.borrow_mut();
        let position = listeners.binary_search_by_key(&number, |it| it.0).ok()?;
        if !is_meant(&listeners[position].1) {
            return None;
        }
        Some(listeners.remove(position).1)
    }

    /// Whether `number` names a waker on the list that wakes the same as `waker`.
    fn has_waker(&self, number: u64, waker: &Waker) -> bool {
        let listeners = self.listeners.borrow();
        let position = listeners.binary_search_by_key(&number, |it| it.0);
        position.is_ok_and(|position| match &listeners[position].1 {
            Listener::Waker(known) => known.will_wake(waker),
            Listener::Schedule(_) => false,
        })
    }

    /// Puts `waker` in the place of the one that is on the list under `number`, which is returned.
    fn replace_waker(&self, number: u64, waker: Waker) -> Result<Listener<T>, Waker> {
        let mut listeners = self.listeners.borrow_mut();
        match listeners.binary_search_by_key(&number, |it| it.0) {
            Ok(position) => {
                let place = &mut listeners[position].1;
                Ok(mem::replace(place, Listener::Waker(waker)))
            }
            Err(_) => Err(waker),
        }
    }

    fn poll_wait(
        &self,
        wait: &mut Listening,
        cx: &mut Context<'_>,
    ) -> Poll<Result<&T, PromiseError>> {
        if self.outcome.get().is_none() {
            match wait.number {
                Some(number) if self.has_waker(number, cx.waker()) => {
                    wait::note(Label::new(wait::Kind::Promise, 0));
                    return Poll::Pending;
                }
                _ => {}
            }
            // Cloning and dropping wakers may be anyone's code, which may set the promise.
            let mut waker = Some(cx.waker().clone());
            if self.outcome.get().is_none() {
                let before = wait.number.and_then(|number| {
                    let replaced = self.replace_waker(number, waker.take()?);
                    replaced.map_err(|back| waker = Some(back)).ok()
                });
                if let Some(waker) = waker.take() {
                    wait.number = Some(self.listen(Listener::Waker(waker)));
                }
                drop(before);
            }
        }
        match self.outcome.get() {
            Some(outcome) => Poll::Ready(outcome.as_ref().map_err(PromiseError::clone)),
            None => {
                wait::note(Label::new(wait::Kind::Promise, 0));
                Poll::Pending
            }
        }
    }

    /// Takes a wait that ends off the list, and drops its waker.
    fn leave(&self, wait: &mut Listening) {
        if let Some(number) = wait.number.take() {
            drop(self.remove(number, |_| true));
        }
    }
}

/// One wait's place on the list, if it has one.
#[derive(Default)]
struct Listening {
    number: Option<u64>,
}

impl<T> Default for Promise<T> {
    fn default() -> Promise<T> {
        Promise::new()
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise::of(Rc::clone(&self.cell))
    }
}

impl<T: Clone> Future for Promise<T> {
    type Output = Result<T, PromiseError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.cell
            .poll_wait(&mut this.wait, cx)
            .map(|outcome| outcome.cloned())
    }
}

// The value is behind a pointer.
impl<T> Unpin for Promise<T> {}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.cell.leave(&mut self.wait);
    }
}

impl<T: fmt::Debug> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_tuple("Promise");
        match self.try_result() {
            Some(Ok(value)) => f.field(value),
            Some(Err(_)) => f.field(&format_args!("cancelled")),
            None => f.field(&format_args!("pending")),
        };
        f.finish()
    }
}

/// Future of [`Promise::wait`].
///
/// # Cancel safety
/// Safe: dropping it drops its waker and loses nothing.
#[must_use = "futures do nothing unless awaited"]
pub struct PromiseWait<'a, T> {
    cell: &'a PromiseCell<T>,
    wait: Listening,
}

impl<'a, T> Future for PromiseWait<'a, T> {
    type Output = Result<&'a T, PromiseError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let cell = self.cell;
        cell.poll_wait(&mut self.wait, cx)
    }
}

impl<T> Drop for PromiseWait<'_, T> {
    fn drop(&mut self) {
        self.cell.leave(&mut self.wait);
    }
}

impl<T> fmt::Debug for PromiseWait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromiseWait").finish_non_exhaustive()
    }
}
