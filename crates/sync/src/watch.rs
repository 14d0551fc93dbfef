//! `watch`: a value that changes, and those who want to know the latest.
//!
//! Receivers see the last value there is, and not each one that there was: whoever is slow misses those in between.
//!
//! # Fairness
//! Those who wait for a change are woken in the order in which they came, all of them.
//!
//! # The end
//! When the last sender is dropped, a receiver that has not seen the last value is told that there is one; after that
//! [`changed`](Receiver::changed) says [`Closed`]. The value can be [borrowed](Receiver::borrow) even then.
//!
//! # Values that are borrowed
//! [`borrow`](Receiver::borrow) yields a [`Ref`], a share of the value as it is at that moment. It keeps nobody from sending: who
//! holds it goes on to see the old value, and the others the new one. Only what changes a value in place
//! ([`send_modify`](Sender::send_modify), [`send_if_modified`](Sender::send_if_modified)) or takes it out ([`send_replace`](Sender::send_replace))
//! cannot do that while it is shared, and panics then: drop the [`Ref`] first, above all before an `await`, or [`send`](Sender::send) a new value.
//!
//! # Cancel safety
//! Dropping the future of [`changed`](Receiver::changed) or [`wait_for`](Receiver::wait_for) loses nothing: what was not seen is seen the next time.
//!
//! # Cost
//! Sending takes a few stores and a step for each one who waits. The channel is two allocations, one of them for the value. Sending
//! allocates only while somebody holds a [`Ref`] of the value before. Nothing is allocated to wait.
//!
//! # Examples
//! ```
//! use tulipa_sync::watch;
//!
//! # futures_lite::future::block_on(async {
//! let (level, mut levels) = watch::channel("info");
//! let reload = async move {
//!     level.send("debug").unwrap();
//!     level.send("trace").unwrap();
//! };
//! let worker = async {
//!     while levels.changed().await.is_ok() {
//!         assert_eq!(*levels.borrow_and_update(), "trace");
//!     }
//! };
//! # futures_lite::future::zip(reload, worker).await;
//! # });
//! ```
//!
//! # References
//! `tokio::sync::watch`, for one thread.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::ending::Ending;
use crate::seen::Seen;
use crate::wait_list::{State, WaitList, Waiter, has_wait_list};

/// No value has this number: a receiver that has seen it has seen none.
const NEVER: u64 = u64::MAX;

/// Makes a channel with a first value, which its receiver has seen.
///
/// # Examples
/// See [the module](self).
pub fn channel<T>(init: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(init);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// # Invariants
/// 1. `value` is there but while [`Chan::modify`] runs.
/// 2. It is borrowed only to exchange it or to take a share, and nobody else's code runs meanwhile.
struct Chan<T> {
    value: RefCell<Option<Rc<T>>>,
    /// The number of the value.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    waiters: WaitList<()>,
    /// There is no receiver.
    unwatched: Ending,
    seen: Seen,
}

has_wait_list!([T] Chan<T>, (), waiters);

impl<T> Chan<T> {
    #[track_caller]
    fn share(&self) -> Rc<T> {
        let shared = self.value.borrow().clone();
        match shared {
            Some(value) => value,
            None => in_modify(),
        }
    }

    /// A new value: everybody is told.
    fn tell(&self) {
        self.version.set(self.version.get() + 1);
        self.waiters.wake_all();
    }

    /// Puts a value in the place of the old one, which nobody may share if it is to be had.
    #[track_caller]
    fn replace(&self, value: T) -> Replaced<T> {
        let mut place = self.value.borrow_mut();
        let Some(shared) = place.as_mut() else {
            in_modify();
        };
        match Rc::get_mut(shared) {
            Some(old) => Replaced::Whole(mem::replace(old, value)),
            None => Replaced::Shared(mem::replace(shared, Rc::new(value))),
        }
    }

    /// Lends the value to `f`, which is anyone's code.
    #[track_caller]
    fn modify<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        /// Puts the value back, whether or not `f` panics.
        struct Lent<'a, T> {
            chan: &'a Chan<T>,
            value: Option<Rc<T>>,
        }

        impl<T> Drop for Lent<'_, T> {
            fn drop(&mut self) {
                let nothing = mem::replace(&mut *self.chan.value.borrow_mut(), self.value.take());
                debug_assert!(nothing.is_none());
            }
        }

        let value = self.value.borrow_mut().take();
        let mut lent = Lent { chan: self, value };
        let Some(shared) = lent.value.as_mut() else {
            in_modify();
        };
        match Rc::get_mut(shared) {
            Some(value) => f(value),
            None => is_borrowed(),
        }
    }
}

enum Replaced<T> {
    Whole(#[allow(dead_code, reason = "held to be dropped")] T),
    /// Others have it, too.
    Shared(#[allow(dead_code, reason = "held to be dropped")] Rc<T>),
}

#[cold]
#[track_caller]
fn in_modify() -> ! {
    panic!(
        "watch: the value is being changed by `send_modify` or `send_if_modified` of this channel: \
         use the reference that the closure is given, and the channel after the closure has returned"
    )
}

#[cold]
#[track_caller]
fn is_borrowed() -> ! {
    panic!(
        "watch: the value cannot be changed in place, or taken out, while it is borrowed: \
         drop the `watch::Ref` before, above all before an `await`, or use `send`"
    )
}

/// Changes the value. Made by [`channel`], and by cloning.
pub struct Sender<T> {
    /// # Invariant
    /// Counted among the senders.
    chan: Rc<Chan<T>>,
}

impl<T> Sender<T> {
    /// Makes a channel that has no receiver yet: see [`subscribe`](Sender::subscribe).
    pub fn new(init: T) -> Sender<T> {
        let chan = Chan {
            value: RefCell::new(Some(Rc::new(init))),
            version: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            waiters: WaitList::new(),
            unwatched: Ending::new("end of the watch receivers"),
            seen: Seen::new("watch value"),
        };
        chan.unwatched.mark();
        Sender {
            chan: Rc::new(chan),
        }
    }

    /// Sends a new value, and drops the old one.
    ///
    /// # Errors
    /// [`SendError`], with the value, when there is no receiver. The old value stays then: see
    /// [`send_replace`](Sender::send_replace).
    ///
    /// # Panics
    /// Within the closure of [`send_modify`](Sender::send_modify) of the same channel.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        // Dropped last.
        let _old = self.chan.replace(value);
        self.chan.tell();
        Ok(())
    }

    /// Puts a new value in the place of the old one, which it returns. Does so even if there is no receiver.
    ///
    /// # Panics
    /// While somebody [borrows](self#values-that-are-borrowed) the old value; nothing has been sent then. And as
    /// [`send`](Sender::send).
    #[track_caller]
    pub fn send_replace(&self, value: T) -> T {
        let mut value = value;
        // Not `replace`: it would leave the new value there before this finds that it cannot have the old one.
        self.chan.modify(|old| mem::swap(old, &mut value));
        self.chan.tell();
        value
    }

    /// Changes the value in place. Does so even if there is no receiver.
    ///
    /// # Panics
    /// While somebody [borrows](self#values-that-are-borrowed) the value. When `modify` panics nobody is told of what it has
    /// changed. Within `modify` the channel cannot be used to send or to borrow.
    ///
    /// # Examples
    /// ```
    /// use tulipa_sync::watch;
    ///
    /// let (peers, watcher) = watch::channel(Vec::new());
    /// peers.send_modify(|peers| peers.push("10.0.0.7"));
    /// assert_eq!(*watcher.borrow(), ["10.0.0.7"]);
    /// ```
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.chan.modify(modify);
        self.chan.tell();
    }

    /// Changes the value in place, and tells the receivers if `modify` says `true`. Returns what it says.
    ///
    /// # Panics
    /// As [`send_modify`](Sender::send_modify).
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let is_modified = self.chan.modify(modify);
        if is_modified {
            self.chan.tell();
        }
        is_modified
    }

    /// The value.
    ///
    /// # Panics
    /// Within the closure of [`send_modify`](Sender::send_modify) of the same channel.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref::new(self.chan.share(), false)
    }

    /// Another receiver, which has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(self.chan.clone(), self.chan.version.get())
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) {
        self.chan.unwatched.wait().await;
    }

    /// Whether there is no receiver.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.chan.receivers.get()
    }

    /// How many senders there are, this one included.
    pub fn sender_count(&self) -> usize {
        self.chan.senders.get()
    }

    /// Whether both are of the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Rc::ptr_eq(&self.chan, &other.chan)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.chan.senders.set(self.chan.senders.get() + 1);
        Sender {
            chan: self.chan.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.chan.senders.get() - 1;
        self.chan.senders.set(left);
        if left == 0 {
            self.chan.waiters.wake_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("receiver_count", &self.receiver_count())
            .field("version", &self.chan.version.get())
            .finish_non_exhaustive()
    }
}

/// Sees the latest value. Made by [`channel`], by [`Sender::subscribe`], and by cloning: a clone has seen what
/// the original has seen.
pub struct Receiver<T> {
    /// # Invariant
    /// Counted among the receivers.
    chan: Rc<Chan<T>>,
    /// The number of the value that it has seen last.
    version: u64,
}

impl<T> Receiver<T> {
    fn new(chan: Rc<Chan<T>>, version: u64) -> Receiver<T> {
        chan.receivers.set(chan.receivers.get() + 1);
        chan.unwatched.take_back();
        Receiver { chan, version }
    }

    /// The value. It does not count as seen.
    ///
    /// # Panics
    /// Within the closure of [`Sender::send_modify`] of the same channel.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref::new(self.chan.share(), self.is_behind())
    }

    /// The value, which counts as seen.
    ///
    /// # Panics
    /// Within the closure of [`Sender::send_modify`] of the same channel.
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.chan.share();
        let has_changed = self.is_behind();
        self.mark_unchanged();
        Ref::new(value, has_changed)
    }

    /// Whether there is a value that it has not seen.
    ///
    /// # Errors
    /// [`Closed`] when there is none, and none will come. (tokio's says so even if the last value was not seen.)
    pub fn has_changed(&self) -> Result<bool, Closed> {
        match self.is_behind() {
            true => Ok(true),
            false if self.chan.senders.get() == 0 => Err(Closed(())),
            false => Ok(false),
        }
    }

    /// Waits until there is a value that it has not seen, and counts it as seen.
    ///
    /// # Errors
    /// [`Closed`] when there is none, and none will come.
    ///
    /// # Cancel safety
    /// Safe: a value counts as seen only in the poll that yields.
    pub fn changed(&mut self) -> Changed<'_, T> {
        Changed {
            waiter: Waiter::new(&*self.chan),
            version: &mut self.version,
        }
    }

    /// Waits for a value of which `is_wanted` says `true`, beginning with the one that is there. It counts as seen, and so do those
    /// of which it said `false`.
    ///
    /// # Errors
    /// [`Closed`] when there is none, and none will come.
    ///
    /// # Panics
    /// When `is_wanted` does.
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// use tulipa_sync::watch;
    ///
    /// # futures_lite::future::block_on(async {
    /// let (progress, mut watcher) = watch::channel(0);
    /// let work = async move {
    ///     for percent in 1..=100 {
    ///         progress.send(percent).unwrap();
    ///         futures_lite::future::yield_now().await;
    ///     }
    /// };
    /// let half = async { *watcher.wait_for(|percent| *percent >= 50).await.unwrap() };
    /// let ((), half) = futures_lite::future::zip(work, half).await;
    /// assert_eq!(half, 50);
    /// # });
    /// ```
    pub async fn wait_for(
        &mut self,
        mut is_wanted: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, Closed> {
        let mut has_changed = self.is_behind();
        loop {
            let value = self.chan.share();
            self.mark_unchanged();
            if is_wanted(&value) {
                return Ok(Ref::new(value, has_changed));
            }
            // It may have sent another one.
            drop(value);
            self.changed().await?;
            has_changed = true;
        }
    }

    /// Counts the present value as not seen.
    pub fn mark_changed(&mut self) {
        self.version = NEVER;
    }

    /// Counts the present value as seen.
    pub fn mark_unchanged(&mut self) {
        self.version = self.chan.version.get();
    }

    /// Whether both are of the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Rc::ptr_eq(&self.chan, &other.chan)
    }

    fn is_behind(&self) -> bool {
        self.version != self.chan.version.get()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver::new(self.chan.clone(), self.version)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.chan.receivers.get() - 1;
        self.chan.receivers.set(left);
        if left == 0 {
            self.chan.unwatched.declare();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("has_changed", &self.has_changed())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Receiver::changed`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Changed<'a, T> {
        #[pin]
        waiter: Waiter<&'a Chan<T>>,
        version: &'a mut u64,
    }
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let this = self.project();
        let waiter = this.waiter.into_ref();
        let chan = *waiter.handle();
        let is_there = || **this.version != chan.version.get() || chan.senders.get() == 0;
        match waiter.state() {
            State::Idle => {
                ready!(budget::poll_consume(cx));
                if !is_there() {
                    let waker = cx.waker().clone();
                    // That may have been anyone's code.
                    if !is_there() {
                        budget::refund();
                        waiter.as_ref().enter(waker, ());
                    }
                }
            }
            State::Waiting => waiter.renew(cx.waker()),
            State::Granted => {}
            State::Done => panic!("watch: `changed` polled after it has yielded"),
        }
        if waiter.state() == State::Waiting {
            chan.seen.note_wait(None);
            return Poll::Pending;
        }
        waiter.leave();
        let version = chan.version.get();
        let has_changed = mem::replace(*this.version, version) != version;
        Poll::Ready(if has_changed { Ok(()) } else { Err(Closed(())) })
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").finish_non_exhaustive()
    }
}

/// A share of a value, as it was when it was borrowed. See [the module](self#values-that-are-borrowed).
pub struct Ref<'a, T> {
    value: Rc<T>,
    has_changed: bool,
    /// It could be kept for longer: but then a value could not be changed in place, and it would be hard to see why.
    _borrowed: PhantomData<&'a T>,
}

impl<T> Ref<'_, T> {
    fn new(value: Rc<T>, has_changed: bool) -> Self {
        Ref {
            value,
            has_changed,
            _borrowed: PhantomData,
        }
    }

    /// Whether the receiver had not seen the value when it borrowed it. (A sender has seen all of them.)
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// There is no receiver: here is the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("send: there is no receiver")
    }
}

impl<T> Error for SendError<T> {}

/// All senders are gone, and the last value was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed(());

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watch: the senders are gone, and the last value was seen")
    }
}

impl Error for Closed {}
