//! Senders that wait while the channel is full.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tulipa_base::budget;

use super::chan::Chan;
use super::errors::{SendError, TrySendError};
use super::receiver::Receiver;
use crate::permits::{Acquire, Refused};

/// Makes a channel that holds up to `capacity` messages.
///
/// # Panics
/// When `capacity` is zero. (A channel of 1 is the nearest to a rendezvous that there is.)
///
/// # Examples
/// See [the module](super).
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "mpsc::channel: nothing could be sent with a capacity of 0, use 1 or more"
    );
    let chan = Rc::new(Chan::new(capacity));
    (Sender { chan: chan.clone() }, Receiver::new(chan))
}

/// Sends into a channel with a bound. Made by [`channel`], and by cloning: when the last one is dropped the channel ends.
pub struct Sender<T> {
    /// # Invariant
    /// Counted among the senders of the channel.
    chan: Rc<Chan<T>>,
}

impl<T> Sender<T> {
    /// Sends a message, once there is room for it.
    ///
    /// # Errors
    /// [`SendError`], with the message, when the receiver is closed or gone, before or while this waits.
    ///
    /// # Cancel safety
    /// Dropped before it has yielded it has not sent the message, which is dropped with it. To keep the message,
    /// [`reserve`](Sender::reserve) a slot first.
    #[inline]
    pub fn send(&self, message: T) -> Sending<'_, T> {
        Sending {
            slot: None,
            message: Some(message),
            chan: Settle(&self.chan),
        }
    }

    /// Sends a message if there is room for it, and nobody waits.
    ///
    /// # Errors
    /// [`TrySendError`], with the message, says why not.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.chan.slots.try_acquire(1) {
            Ok(()) => Ok(self.chan.send(message)?),
            Err(Refused::Unavailable) => Err(TrySendError::Full(message)),
            Err(Refused::Closed) => Err(TrySendError::Closed(message)),
        }
    }

    /// Waits for room for one message, which is kept until the permit is used or dropped.
    ///
    /// # Errors
    /// [`SendError`] when the receiver is closed or gone, before or while this waits.
    ///
    /// # Cancel safety
    /// Safe: dropped, it loses its place in the queue, and a slot that was assigned already goes on to the next.
    ///
    /// # Examples
    /// A message that is made only when there is room:
    /// ```
    /// use tulipa_sync::mpsc;
    ///
    /// # futures_lite::future::block_on(async {
    /// let (sender, mut receiver) = mpsc::channel(1);
    /// let permit = sender.reserve().await.unwrap();
    /// permit.send("made just now");
    /// assert_eq!(receiver.recv().await, Some("made just now"));
    /// # });
    /// ```
    #[inline]
    pub fn reserve(&self) -> Reserving<'_, T> {
        Reserving {
            slot: Acquire::new(&*self.chan, 1),
            settle: Settle(&self.chan),
        }
    }

    /// The same, with a permit that has the sender instead of a reference to it.
    ///
    /// # Errors
    /// [`SendError`] when the receiver is closed or gone, before or while this waits. The sender is gone with it: clone it
    /// if it is still needed.
    ///
    /// # Cancel safety
    /// As for [`reserve`](Sender::reserve); the sender is dropped with the future.
    #[inline]
    pub fn reserve_owned(self) -> ReservingOwned<T> {
        ReservingOwned {
            slot: Acquire::new(self.chan.clone(), 1),
            sender: SettleOwned(Some(self)),
        }
    }

    /// Takes room for one message if there is any, and nobody waits.
    ///
    /// # Errors
    /// [`TrySendError`] says why not.
    #[inline]
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        match self.chan.slots.try_acquire(1) {
            Ok(()) => Ok(Permit { chan: &self.chan }),
            Err(Refused::Unavailable) => Err(TrySendError::Full(())),
            Err(Refused::Closed) => Err(TrySendError::Closed(())),
        }
    }

    /// The same, with a permit that has the sender instead of a reference to it.
    ///
    /// # Errors
    /// [`TrySendError`], with the sender, says why not.
    pub fn try_reserve_owned(self) -> Result<OwnedPermit<T>, TrySendError<Sender<T>>> {
        match self.chan.slots.try_acquire(1) {
            Ok(()) => Ok(OwnedPermit { sender: Some(self) }),
            Err(Refused::Unavailable) => Err(TrySendError::Full(self)),
            Err(Refused::Closed) => Err(TrySendError::Closed(self)),
        }
    }

    /// Waits until the receiver is closed or gone: nobody wants anything any more.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) {
        self.chan.closed.wait().await;
    }

    /// Whether the receiver is closed or gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.chan.closed.is_over()
    }

    /// How many messages there is room for now. Room that is reserved does not count.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.chan.slots.available()
    }

    /// How many messages there was room for at first.
    #[inline]
    pub fn max_capacity(&self) -> usize {
        self.chan.capacity
    }

    /// Whether both send into the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Rc::ptr_eq(&self.chan, &other.chan)
    }

    /// How many senders there are, this one included.
    pub fn strong_count(&self) -> usize {
        self.chan.senders()
    }

    /// A handle that does not keep the channel from ending.
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender {
            chan: Rc::downgrade(&self.chan),
        }
    }
}

impl<T> Clone for Sender<T> {
    #[inline]
    fn clone(&self) -> Sender<T> {
        self.chan.add_sender();
        Sender {
            chan: self.chan.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        self.chan.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity())
            .field("max_capacity", &self.max_capacity())
            .field("waiting", &self.chan.slots.waiting())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// A [`Sender`] that does not keep the channel from ending. Made by [`Sender::downgrade`].
pub struct WeakSender<T> {
    chan: Weak<Chan<T>>,
}

impl<T> WeakSender<T> {
    /// A sender, as long as there is another one.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let chan = self.chan.upgrade().filter(|chan| chan.senders() > 0)?;
        chan.add_sender();
        Some(Sender { chan })
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> WeakSender<T> {
        WeakSender {
            chan: self.chan.clone(),
        }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender").finish_non_exhaustive()
    }
}

/// The last field of futures that wait for a slot: they may have given back one that they had been given, which a receiver that is
/// closed waits for.
struct Settle<'a, T>(&'a Chan<T>);

impl<T> Drop for Settle<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.settle();
    }
}

pin_project! {
    /// Future of [`Sender::send`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Sending<'a, T> {
        // Once it has to wait: to make it, and to look at it when it is dropped, is half of what sending costs.
        #[pin]
        slot: Option<Acquire<&'a Chan<T>>>,
        message: Option<T>,
        chan: Settle<'a, T>,
    }
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let chan = this.chan.0;
        if this.slot.is_none() && this.message.is_some() {
            ready!(budget::poll_consume(cx));
            if chan.slots.try_acquire(1).is_ok() {
                let message = this.message.take();
                return Poll::Ready(chan.send(message.expect("it is there")));
            }
            // It takes one again.
            budget::refund();
            this.slot.set(Some(Acquire::new(chan, 1)));
        }
        let slot = this.slot.as_pin_mut();
        let is_given = ready!(
            slot.expect("`send` polled after it has yielded")
                .poll_acquire(cx)
        );
        let message = this.message.take();
        let message = message.expect("a slot is given once");
        Poll::Ready(if is_given {
            chan.send(message)
        } else {
            Err(SendError(message))
        })
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Sender::reserve`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Reserving<'a, T> {
        #[pin]
        slot: Acquire<&'a Chan<T>>,
        settle: Settle<'a, T>,
    }
}

impl<'a, T> Future for Reserving<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.project().slot;
        let is_given = ready!(slot.as_mut().poll_acquire(cx));
        let chan = *slot.handle();
        Poll::Ready(if is_given && chan.accepts() {
            Ok(Permit { chan })
        } else {
            Err(SendError(()))
        })
    }
}

impl<T> fmt::Debug for Reserving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserving").finish_non_exhaustive()
    }
}

/// The same for a future that has a sender: it is dropped last.
struct SettleOwned<T>(Option<Sender<T>>);

impl<T> Drop for SettleOwned<T> {
    fn drop(&mut self) {
        if let Some(sender) = &self.0 {
            sender.chan.settle();
        }
    }
}

pin_project! {
    /// Future of [`Sender::reserve_owned`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ReservingOwned<T> {
        #[pin]
        slot: Acquire<Rc<Chan<T>>>,
        sender: SettleOwned<T>,
    }
}

impl<T> Future for ReservingOwned<T> {
    type Output = Result<OwnedPermit<T>, SendError<()>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let is_given = ready!(this.slot.as_mut().poll_acquire(cx));
        let sender = this.sender.0.take();
        Poll::Ready(if is_given && this.slot.handle().accepts() {
            Ok(OwnedPermit { sender })
        } else {
            Err(SendError(()))
        })
    }
}

impl<T> fmt::Debug for ReservingOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReservingOwned").finish_non_exhaustive()
    }
}

/// Room for one message. It is given back when this is dropped.
#[must_use = "a permit that is dropped at once gives its room back at once"]
pub struct Permit<'a, T> {
    /// A slot of it is this permit's.
    chan: &'a Chan<T>,
}

impl<T> Permit<'_, T> {
    /// Sends a message, at once. If the receiver is gone meanwhile, the message is dropped; if it is only
    /// [closed](Receiver::close), it still gets it.
    #[inline]
    pub fn send(self, message: T) {
        let chan = self.chan;
        mem::forget(self);
        // Nobody is there to receive it: dropping it is what the receiver would have done.
        let _ = chan.send(message);
    }
}

impl<T> Drop for Permit<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.chan.release_slot();
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Room for one message, with the sender. It is given back when this is dropped.
#[must_use = "a permit that is dropped at once gives its room back at once"]
pub struct OwnedPermit<T> {
    /// A slot of its channel is this permit's, until the sender is taken out.
    sender: Option<Sender<T>>,
}

impl<T> OwnedPermit<T> {
    /// Sends a message, at once, and returns the sender. If the receiver is gone meanwhile, the message is dropped; if it
    /// is only [closed](Receiver::close), it still gets it.
    pub fn send(mut self, message: T) -> Sender<T> {
        let sender = self.take();
        // Nobody is there to receive it: dropping it is what the receiver would have done.
        let _ = sender.chan.send(message);
        sender
    }

    /// Gives the room back, and returns the sender.
    pub fn release(mut self) -> Sender<T> {
        let sender = self.take();
        sender.chan.release_slot();
        sender
    }

    fn take(&mut self) -> Sender<T> {
        let sender = self.sender.take();
        sender.expect("the sender is taken out by what consumes the permit")
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.chan.release_slot();
        }
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}
