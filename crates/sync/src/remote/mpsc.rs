//! Many values, from senders on any thread to one receiver.
//!
//! [`channel`] makes one with a bound: whoever sends faster than is received has to wait, so that memory stays
//! bounded. [`unbounded`] makes one without: to send never waits.
//!
//! # The ends
//! When the last sender is dropped, the receiver gets what has been sent, and then `None`. When the receiver is
//! dropped or [closed](Receiver::close), whatever is sent comes back in the error; what a dropped receiver has left is dropped with it.
//!
//! # Examples
//! ```
//! use std::thread;
//! use tulipa_sync::remote::mpsc;
//!
//! # futures_lite::future::block_on(async {
//! let (sender, mut receiver) = mpsc::channel(16);
//! let worker = thread::spawn(move || {
//!     for line in ["one", "two"] {
//!         sender.blocking_send(line).unwrap();
//!     }
//! });
//! while let Some(line) = receiver.recv().await {
//!     println!("{line}");
//! }
//! # worker.join().unwrap();
//! # });
//! ```
//!
//! # References
//! `tokio::sync::mpsc`, whose methods these are.

use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tulipa_base::budget;

use super::channel::{Channel, Inlet, Offered, Refused};
use super::waiters::Ticket;
use super::{note_wait, parking};

pub use crate::mpsc::{SendError, TryRecvError, TrySendError};

/// Makes a channel that holds so many values at most: such as were sent, and not yet received.
///
/// # Panics
/// When the capacity is zero.
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "channel: a capacity of 0 lets nothing through: use 1 or more"
    );
    let channel = Channel::new(Some(capacity));
    let inlet = Inlet::new(channel.clone());
    (Sender { channel }, Receiver { inlet })
}

/// Makes a channel that holds as many values as are sent.
#[doc(alias = "unbounded_channel")]
pub fn unbounded<T>() -> (UnboundedSender<T>, Receiver<T>) {
    let channel = Channel::new(None);
    let inlet = Inlet::new(channel.clone());
    (UnboundedSender { channel }, Receiver { inlet })
}

/// Sends values to a [`Receiver`], from any thread, as far as there is room for them.
///
/// # Fairness
/// Room goes to those who wait in the order in which they came, and nobody overtakes, [`try_send`](Sender::try_send)
/// included. What one sender sends is received in that order.
///
/// # Cancel safety
/// Dropping the future of [`send`](Sender::send) before it has completed gives up the place in the queue, and the value is not sent. Room
/// that was assigned already goes on to the next.
///
/// # Cost
/// A lock, which is held for a few instructions. To wait allocates nothing, once as many as now have waited before.
///
/// # Examples
/// It crosses threads if its values may, whether they may be shared or not:
/// ```
/// use tulipa_sync::remote::mpsc::{Sender, UnboundedSender};
///
/// fn crosses<T: Send + Sync>() {}
/// crosses::<Sender<std::cell::Cell<u8>>>();
/// crosses::<UnboundedSender<std::cell::Cell<u8>>>();
/// ```
/// With values that must stay on their thread, it does too:
/// ```compile_fail,E0277
/// fn crosses<T: Send>() {}
/// crosses::<tulipa_sync::remote::mpsc::Sender<std::rc::Rc<u8>>>();
/// ```
/// ```compile_fail,E0277
/// fn crosses<T: Sync>() {}
/// crosses::<tulipa_sync::remote::mpsc::Sender<std::rc::Rc<u8>>>();
/// ```
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// Sends values to a [`Receiver`], from any thread, and never waits.
///
/// # Cost
/// A lock, which is held for a few instructions. Nothing limits the memory that values take which are not received: where senders
/// may be faster than the receiver for long, a [bound](channel) is better.
///
/// # Examples
/// ```
/// use tulipa_sync::remote::mpsc;
///
/// # futures_lite::future::block_on(async {
/// let (sender, mut receiver) = mpsc::unbounded();
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// drop(sender);
/// assert_eq!(receiver.recv().await, Some(1));
/// assert_eq!(receiver.recv().await, Some(2));
/// assert_eq!(receiver.recv().await, None);
/// # });
/// ```
///
/// With values that must stay on their thread, it does too:
/// ```compile_fail,E0277
/// fn crosses<T: Send>() {}
/// crosses::<tulipa_sync::remote::mpsc::UnboundedSender<std::rc::Rc<u8>>>();
/// ```
/// ```compile_fail,E0277
/// fn crosses<T: Sync>() {}
/// crosses::<tulipa_sync::remote::mpsc::UnboundedSender<std::rc::Rc<u8>>>();
/// ```
pub struct UnboundedSender<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends a value, when there is room for it.
    ///
    /// # Errors
    /// [`SendError`], with the value, when the receiver is closed or dropped, before or while this waits.
    ///
    /// # Cancel safety
    /// Safe: see [the type](Sender#cancel-safety). The value is dropped with the future.
    #[inline]
    pub fn send(&self, value: T) -> Sending<'_, T> {
        Sending {
            channel: &self.channel,
            value: Some(value),
            place: Place::Idle,
        }
    }

    /// Sends a value if there is room for it, and nobody waits.
    ///
    /// # Errors
    /// [`TrySendError`], with the value, says why not.
    ///
    /// # Panics
    /// When the waker of whoever receives does. The value has been sent then.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.channel
            .try_send(value)
            .map_err(|refused| match refused {
                Refused::Full(value) => TrySendError::Full(value),
                Refused::Closed(value) => TrySendError::Closed(value),
            })
    }

    /// Sends a value, when there is room for it; until then the thread is parked. For threads without an event
    /// loop.
    ///
    /// # Errors
    /// [`SendError`], with the value, when the receiver is closed or dropped, before or while this waits.
    ///
    /// # Panics
    /// In a task, whose loop it would stop.
    #[track_caller]
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        parking::block_on("blocking_send", self.send(value))
    }

    /// How many values there is room for. It counts what is assigned to senders that wait as taken.
    pub fn capacity(&self) -> usize {
        self.channel.capacity()
    }

    /// How many values there is room for when it is empty.
    pub fn max_capacity(&self) -> usize {
        self.channel.max_capacity()
    }
}

impl<T> UnboundedSender<T> {
    /// Sends a value.
    ///
    /// # Errors
    /// [`SendError`], with the value, when the receiver is closed or dropped.
    ///
    /// # Panics
    /// When the waker of whoever receives does. The value has been sent then.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.channel.try_send(value).map_err(|refused| {
            let (Refused::Full(value) | Refused::Closed(value)) = refused;
            SendError(value)
        })
    }
}

macro_rules! sender {
    ($sender:ident, $weak:ident, $name:literal) => {
        impl<T> $sender<T> {
            /// Waits until the receiver is closed or dropped: nobody wants values any more.
            ///
            /// # Cancel safety
            /// Safe.
            pub fn closed(&self) -> Closing<'_, T> {
                Closing {
                    channel: &self.channel,
                    ticket: None,
                }
            }

            /// Whether the receiver is closed or dropped.
            pub fn is_closed(&self) -> bool {
                self.channel.is_closed()
            }

            /// Whether both send to the same receiver.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.channel, &other.channel)
            }

            /// A sender that does not keep the channel open.
            pub fn downgrade(&self) -> $weak<T> {
                $weak {
                    channel: self.channel.clone(),
                }
            }
        }

        impl<T> Clone for $sender<T> {
            fn clone(&self) -> $sender<T> {
                self.channel.add_sender();
                $sender {
                    channel: self.channel.clone(),
                }
            }
        }

        impl<T> Drop for $sender<T> {
            fn drop(&mut self) {
                self.channel.remove_sender();
            }
        }

        impl<T> UnwindSafe for $sender<T> {}
        impl<T> RefUnwindSafe for $sender<T> {}

        impl<T> fmt::Debug for $sender<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name)
                    .field("is_closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }

        #[doc = concat!("A [`", $name, "`] that does not keep the channel open.")]
        ///
        /// # Examples
        /// ```
        /// use tulipa_sync::remote::mpsc;
        ///
        /// let (sender, receiver) = mpsc::channel::<u8>(1);
        /// let weak = sender.downgrade();
        /// assert!(weak.upgrade().is_some());
        /// drop(sender);
        /// assert!(weak.upgrade().is_none());
        /// # drop(receiver);
        /// ```
        pub struct $weak<T> {
            channel: Arc<Channel<T>>,
        }

        impl<T> $weak<T> {
            /// A sender; `None` when the last one has been dropped.
            pub fn upgrade(&self) -> Option<$sender<T>> {
                self.channel.try_add_sender().then(|| $sender {
                    channel: self.channel.clone(),
                })
            }
        }

        impl<T> Clone for $weak<T> {
            fn clone(&self) -> $weak<T> {
                $weak {
                    channel: self.channel.clone(),
                }
            }
        }

        impl<T> UnwindSafe for $weak<T> {}
        impl<T> RefUnwindSafe for $weak<T> {}

        impl<T> fmt::Debug for $weak<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($weak)).finish_non_exhaustive()
            }
        }
    };
}

sender!(Sender, WeakSender, "Sender");
sender!(UnboundedSender, WeakUnboundedSender, "UnboundedSender");

/// Receives what the senders of a channel send, on one thread at a time.
///
/// It is a [`Stream`] too.
///
/// # Cancel safety
/// A value leaves the channel only in the poll that yields it: dropping the future of [`recv`](Receiver::recv) loses nothing.
///
/// # Cost
/// It takes all that has been sent at once, under one lock. A value after that costs a few instructions, and an atomic
/// addition where there is a bound.
///
/// # Examples
/// It may be made on one thread, and used on another:
/// ```
/// fn moves<T: Send>() {}
/// moves::<tulipa_sync::remote::mpsc::Receiver<std::cell::Cell<u8>>>();
/// ```
/// With values that must stay on their thread, it does too:
/// ```compile_fail,E0277
/// fn crosses<T: Send>() {}
/// crosses::<tulipa_sync::remote::mpsc::Receiver<std::rc::Rc<u8>>>();
/// ```
#[doc(alias = "UnboundedReceiver")]
pub struct Receiver<T> {
    inlet: Inlet<T>,
}

impl<T> Receiver<T> {
    /// Waits for the next value. `None` when nothing has been left, and the last sender is dropped or this is
    /// [closed](Receiver::close).
    ///
    /// # Cancel safety
    /// Safe: see [the type](Receiver#cancel-safety).
    #[inline]
    pub fn recv(&mut self) -> Receiving<'_, T> {
        Receiving { receiver: self }
    }

    /// Waits for values, and appends up to `limit` of those that are there to `buffer`. Returns how many those were: zero only at
    /// the end, or when the limit is.
    ///
    /// # Cancel safety
    /// Safe: nothing is appended before it yields.
    pub fn recv_many<'a>(
        &'a mut self,
        buffer: &'a mut Vec<T>,
        limit: usize,
    ) -> ReceivingMany<'a, T> {
        ReceivingMany {
            receiver: self,
            buffer,
            limit,
        }
    }

    /// The next value, if it is there.
    ///
    /// # Errors
    /// [`TryRecvError`] says why it is not.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if !self.inlet.has_batch() {
            match self.inlet.try_fill() {
                Ok(true) => {}
                Ok(false) => return Err(TryRecvError::Empty),
                Err(_) => return Err(TryRecvError::Disconnected),
            }
        }
        self.inlet.pop().ok_or(TryRecvError::Empty)
    }

    /// Waits for the next value; until then the thread is parked. For threads without an event loop.
    ///
    /// # Panics
    /// In a task, whose loop it would stop.
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Option<T> {
        parking::block_on("blocking_recv", self.recv())
    }

    /// The same as [`recv`](Receiver::recv), for hand-written futures. Only the task of the last call is woken.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        ready!(budget::poll_consume(cx));
        if !self.inlet.has_batch() && !ready!(self.poll_fill(cx)) {
            return Poll::Ready(None);
        }
        Poll::Ready(self.inlet.pop())
    }

    /// The same as [`recv_many`](Receiver::recv_many), for hand-written futures. Only the task of the last call is woken.
    pub fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        ready!(budget::poll_consume(cx));
        if !self.inlet.has_batch() && !ready!(self.poll_fill(cx)) {
            return Poll::Ready(0);
        }
        let mut count = self.inlet.pop_many(buffer, limit);
        // The batch may have been the rest of an earlier one.
        if count < limit && matches!(self.inlet.try_fill(), Ok(true)) {
            count += self.inlet.pop_many(buffer, limit - count);
        }
        Poll::Ready(count)
    }

    /// Whether there is something in the batch now; `false` at the end. The budget has been used.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let found = self.inlet.poll_fill(cx);
        if found.is_pending() {
            budget::refund();
            note_wait(|kinds| &kinds.mpsc);
        }
        found.map(|found| found.is_ok())
    }

    /// Lets nothing more be sent, and tells the senders so. What has been sent can still be received.
    ///
    /// # Panics
    /// When a waker of a sender does, after the others have been woken.
    pub fn close(&mut self) {
        self.inlet.close();
    }

    /// Whether nothing can be sent any more: it is closed, or the last sender is dropped. There may be values left.
    pub fn is_closed(&self) -> bool {
        self.inlet.channel().is_at_end()
    }

    /// How many values have been sent, and not yet received.
    pub fn len(&self) -> usize {
        self.inlet.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

// Values are moved, and never pinned in place.
impl<T> Unpin for Receiver<T> {}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Future of [`Sender::send`].
///
/// # Panics
/// When it is polled again after it has yielded.
#[must_use = "futures do nothing unless awaited"]
pub struct Sending<'a, T> {
    channel: &'a Channel<T>,
    /// `None` once it is sent.
    value: Option<T>,
    place: Place,
}

/// How far a sender is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Idle,
    Waiting(Ticket),
}

// The value is moved, and never pinned in place.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const POLLED_AGAIN: &str = "send polled after it has yielded";
        let this = self.get_mut();
        let offered = match this.place {
            Place::Idle => {
                ready!(budget::poll_consume(cx));
                let value = this.value.take().expect(POLLED_AGAIN);
                match this.channel.try_send(value) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(Refused::Closed(value)) => return Poll::Ready(Err(SendError(value))),
                    Err(Refused::Full(value)) => {
                        this.value = Some(value);
                        let waker = cx.waker().clone();
                        let value = this.value.take().expect(POLLED_AGAIN);
                        this.channel.send_or_enter(value, waker)
                    }
                }
            }
            Place::Waiting(ticket) => {
                // Before the value is on its way: cloning is anyone's code, and may panic.
                let waker = cx.waker().clone();
                let value = this.value.take().expect(POLLED_AGAIN);
                this.channel.poll_waiting(ticket, value, waker)
            }
        };
        this.finish(offered)
    }
}

impl<T> Sending<'_, T> {
    #[cold]
    fn finish(&mut self, offered: Offered<T>) -> Poll<Result<(), SendError<T>>> {
        let is_first = matches!(self.place, Place::Idle);
        self.place = Place::Idle;
        match offered {
            Offered::Sent(wake) => {
                wake.wake();
                Poll::Ready(Ok(()))
            }
            Offered::Closed(value) => Poll::Ready(Err(SendError(value))),
            Offered::Waits(value, ticket) => {
                if is_first {
                    budget::refund();
                }
                self.value = Some(value);
                self.place = Place::Waiting(ticket);
                note_wait(|kinds| &kinds.mpsc);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Sending<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Place::Waiting(ticket) = self.place {
            self.channel.leave(ticket);
        }
    }
}

impl<T> UnwindSafe for Sending<'_, T> {}
impl<T> RefUnwindSafe for Sending<'_, T> {}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

/// Future of [`Sender::closed`] and [`UnboundedSender::closed`]. Polled again after it has completed, it is complete.
#[must_use = "futures do nothing unless awaited"]
pub struct Closing<'a, T> {
    channel: &'a Channel<T>,
    /// While it waits.
    ticket: Option<Ticket>,
}

impl<T> Future for Closing<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.ticket.is_none() {
            ready!(budget::poll_consume(cx));
            if this.channel.poll_closed(&mut this.ticket, cx).is_ready() {
                return Poll::Ready(());
            }
            budget::refund();
        } else if this.channel.poll_closed(&mut this.ticket, cx).is_ready() {
            return Poll::Ready(());
        }
        note_wait(|kinds| &kinds.mpsc);
        Poll::Pending
    }
}

impl<T> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.channel.leave_watchers(ticket);
        }
    }
}

impl<T> UnwindSafe for Closing<'_, T> {}
impl<T> RefUnwindSafe for Closing<'_, T> {}

impl<T> fmt::Debug for Closing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").finish_non_exhaustive()
    }
}

/// Future of [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Receiving<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Future for Receiving<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().receiver.poll_recv(cx)
    }
}

/// Future of [`Receiver::recv_many`].
#[must_use = "futures do nothing unless awaited"]
pub struct ReceivingMany<'a, T> {
    receiver: &'a mut Receiver<T>,
    buffer: &'a mut Vec<T>,
    limit: usize,
}

impl<T> Future for ReceivingMany<'_, T> {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let this = self.get_mut();
        this.receiver.poll_recv_many(cx, this.buffer, this.limit)
    }
}

impl<T> fmt::Debug for ReceivingMany<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivingMany")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
