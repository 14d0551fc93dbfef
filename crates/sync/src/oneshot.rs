//! `oneshot`: one value, from one task to another.
//!
//! The usual way to ask a task something: the request holds the [`Sender`] for the answer.
//!
//! # Cancel safety
//! The receiver is a future itself, and is awaited by `&mut` where it may lose a race. The value stays in the channel until the
//! poll that yields it; a value that is never received is dropped with the receiver.
//!
//! # Cost
//! One allocation for the channel. A few stores to send, and as much to receive.
//!
//! # Examples
//! ```
//! use tulipa_sync::{mpsc, oneshot};
//!
//! struct Square {
//!     of: u32,
//!     answer: oneshot::Sender<u32>,
//! }
//!
//! # futures_lite::future::block_on(async {
//! let (requests, mut inbox) = mpsc::channel::<Square>(8);
//! let server = async move {
//!     while let Some(request) = inbox.recv().await {
//!         // Whoever has asked may have gone.
//!         let _ = request.answer.send(request.of * request.of);
//!     }
//! };
//! let client = async move {
//!     let (answer, answered) = oneshot::channel();
//!     requests.send(Square { of: 7, answer }).await.unwrap();
//!     assert_eq!(answered.await, Ok(49));
//! };
//! # futures_lite::future::zip(server, client).await;
//! # });
//! ```
//!
//! # References
//! `tokio::sync::oneshot`, for one thread. asyncio's `Future` is the nearest; but here the value has one owner.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tulipa_base::budget;

use crate::seen::Seen;
use crate::waker_slot::WakerSlot;

/// Makes a channel for one value.
///
/// # Examples
/// See [the module](self).
#[inline]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let chan = Rc::new(Chan {
        value: Cell::new(None),
        is_sender_gone: Cell::new(false),
        is_closed: Cell::new(false),
        receiver: WakerSlot::new(),
        sender: WakerSlot::new(),
    });
    (Sender { chan: chan.clone() }, Receiver { chan })
}

/// # Invariants
/// 1. The value is set only by the sender, which is gone then, and never after `is_closed`.
/// 2. When the receiver is gone there is no value.
struct Chan<T> {
    value: Cell<Option<T>>,
    is_sender_gone: Cell<bool>,
    /// The receiver wants no value.
    is_closed: Cell<bool>,
    receiver: WakerSlot,
    sender: WakerSlot,
}

/// What is waited for: one entry for all of a thread, for they have no names, and are short-lived.
fn note_wait() {
    thread_local! {
        static SEEN: Seen = const { Seen::new("oneshot") };
    }
    // A thread that is about to end keeps no entries.
    let _ = SEEN.try_with(|seen| seen.note_wait(None));
}

/// Sends the value. Made by [`channel`]. If it is dropped instead, the receiver is told.
pub struct Sender<T> {
    chan: Rc<Chan<T>>,
}

impl<T> Sender<T> {
    /// Sends the value, at once.
    ///
    /// # Errors
    /// The value, when the receiver is closed or gone. (A value that was accepted may still not be received: the receiver may
    /// be dropped before.)
    #[inline]
    pub fn send(self, value: T) -> Result<(), T> {
        if self.chan.is_closed.get() {
            return Err(value);
        }
        self.chan.value.set(Some(value));
        // That this is dropped wakes the receiver.
        Ok(())
    }

    /// Whether the receiver is closed or gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed.get()
    }

    /// Waits until the receiver is closed or gone: the value need not be computed any more.
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// use tulipa_sync::oneshot;
    ///
    /// # futures_lite::future::block_on(async {
    /// # async fn compute() -> u32 { std::future::pending().await }
    /// let (mut sender, receiver) = oneshot::channel::<u32>();
    /// drop(receiver);
    /// let value = futures_lite::future::or(async { Some(compute().await) }, async {
    ///     sender.closed().await;
    ///     None
    /// });
    /// assert_eq!(value.await, None);
    /// # });
    /// ```
    #[inline]
    pub fn closed(&mut self) -> Closed<'_, T> {
        Closed {
            sender: self,
            is_waiting: false,
        }
    }

    /// What [`closed`](Sender::closed) does, for whoever writes a future. The task that has polled last is woken.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(budget::poll_consume(cx));
        let chan = &*self.chan;
        if !chan.is_closed.get() {
            chan.sender.register(cx.waker());
            // That may have been anyone's code.
            if !chan.is_closed.get() {
                budget::refund();
                note_wait();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        self.chan.is_sender_gone.set(true);
        // Dropped last, even if waking panics.
        let _own = self.chan.sender.take();
        self.chan.receiver.wake();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Future of [`Sender::closed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a, T> {
    sender: &'a mut Sender<T>,
    is_waiting: bool,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.is_waiting = true;
        ready!(self.sender.poll_closed(cx));
        self.is_waiting = false;
        Poll::Ready(())
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        if self.is_waiting {
            self.sender.chan.sender.clear();
        }
    }
}

impl<T> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

/// Receives the value: a future, which yields it. Made by [`channel`].
///
/// Where it may lose a race, await `&mut receiver`, and the value is still to be had later. Polled
/// again after it has yielded the value it yields [`RecvError`].
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    chan: Rc<Chan<T>>,
}

impl<T> Receiver<T> {
    /// The value, if it was sent.
    ///
    /// # Errors
    /// [`TryRecvError`] says whether it may be sent later.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let chan = &*self.chan;
        chan.value.take().ok_or_else(|| {
            if chan.will_not_come() {
                TryRecvError::Closed
            } else {
                TryRecvError::Empty
            }
        })
    }

    /// Wants no value any more: a sender that tries gets it back. What was sent before can still be received.
    pub fn close(&mut self) {
        self.chan.close();
    }
}

impl<T> Chan<T> {
    #[inline]
    fn will_not_come(&self) -> bool {
        self.is_sender_gone.get() || self.is_closed.get()
    }

    #[inline]
    fn close(&self) {
        self.is_closed.set(true);
        self.sender.wake();
    }

    #[inline]
    fn poll_value(&self) -> Poll<Result<T, RecvError>> {
        match self.value.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None if self.will_not_come() => Poll::Ready(Err(RecvError(()))),
            None => Poll::Pending,
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        ready!(budget::poll_consume(cx));
        let chan = &*self.chan;
        let mut polled = chan.poll_value();
        if polled.is_pending() {
            chan.receiver.register(cx.waker());
            // That may have been anyone's code.
            polled = chan.poll_value();
            if polled.is_pending() {
                budget::refund();
                note_wait();
            }
        }
        polled
    }
}

impl<T> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        // Dropped last, even if waking panics.
        let _own = self.chan.receiver.take();
        let _value = self.chan.value.take();
        self.chan.close();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("is_sender_gone", &self.chan.is_sender_gone.get())
            .field("is_closed", &self.chan.is_closed.get())
            .finish_non_exhaustive()
    }
}

/// No value comes: the sender was dropped without sending, or the receiver closed before, or has yielded the value already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecvError(pub(crate) ());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("receive: the sender is gone, and has sent nothing")
    }
}

impl Error for RecvError {}

/// Why [`Receiver::try_recv`] has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// It was not sent yet.
    Empty,
    /// It will not come: see [`RecvError`].
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "try_recv: nothing was sent yet",
            TryRecvError::Closed => "try_recv: the sender is gone, and has sent nothing",
        })
    }
}

impl Error for TryRecvError {}
