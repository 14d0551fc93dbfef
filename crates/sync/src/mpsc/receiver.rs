//! The one who receives, from either kind of channel.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::chan::Chan;
use super::errors::TryRecvError;

/// Receives what is sent, in the order in which it is sent. Made by [`channel`](super::channel) and [`unbounded`](super::unbounded).
///
/// It is a [`Stream`] of the messages, too.
pub struct Receiver<T> {
    chan: Rc<Chan<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(chan: Rc<Chan<T>>) -> Receiver<T> {
        Receiver { chan }
    }

    /// Waits for the next message; `None` is [the end](super#the-end).
    ///
    /// # Cancel safety
    /// Safe: a message leaves the channel only in the poll that yields it.
    #[inline]
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv {
            turn: Turn {
                receiver: self,
                is_waiting: false,
            },
        }
    }

    /// Waits for messages, and appends those that are there to `buffer`, up to `limit`. Yields how many.
    ///
    /// Zero is [the end](super#the-end), or a limit of zero.
    ///
    /// # Cancel safety
    /// Safe: messages leave the channel only in the poll that yields.
    ///
    /// # Examples
    /// ```
    /// use tulipa_sync::mpsc;
    ///
    /// # futures_lite::future::block_on(async {
    /// let (sender, mut receiver) = mpsc::unbounded();
    /// for n in 0..5 {
    ///     sender.send(n).unwrap();
    /// }
    /// let mut batch = Vec::new();
    /// assert_eq!(receiver.recv_many(&mut batch, 3).await, 3);
    /// assert_eq!(receiver.recv_many(&mut batch, 3).await, 2);
    /// assert_eq!(batch, [0, 1, 2, 3, 4]);
    /// # });
    /// ```
    #[inline]
    pub fn recv_many<'a>(&'a mut self, buffer: &'a mut Vec<T>, limit: usize) -> RecvMany<'a, T> {
        RecvMany {
            turn: Turn {
                receiver: self,
                is_waiting: false,
            },
            buffer,
            limit,
        }
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// [`TryRecvError`] says whether there may be one later.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.chan.pop().ok_or_else(|| {
            if self.chan.has_ended() {
                TryRecvError::Disconnected
            } else {
                TryRecvError::Empty
            }
        })
    }

    /// What [`recv`](Receiver::recv) does, for whoever writes a future. The task that has polled last is woken; of others nothing is
    /// remembered.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.chan.poll_recv(cx)
    }

    /// The same for [`recv_many`](Receiver::recv_many).
    #[inline]
    pub fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        self.chan.poll_recv_many(cx, buffer, limit)
    }

    /// Accepts nothing more. Those who wait to send are told, and get their messages back.
    ///
    /// What is there can still be received, and what is sent by those who have a slot: a [permit](super::Sender::reserve), or
    /// a `send` that was given one and has not run yet. [`recv`](Receiver::recv) yields `None` when all of them have used it or given it back.
    ///
    /// # Examples
    /// ```
    /// use tulipa_sync::mpsc;
    ///
    /// # futures_lite::future::block_on(async {
    /// let (sender, mut receiver) = mpsc::channel(2);
    /// sender.send(1).await.unwrap();
    /// let permit = sender.reserve().await.unwrap();
    /// receiver.close();
    /// assert_eq!(sender.send(3).await.unwrap_err().0, 3);
    /// permit.send(2);
    /// assert_eq!(receiver.recv().await, Some(1));
    /// assert_eq!(receiver.recv().await, Some(2));
    /// assert_eq!(receiver.recv().await, None);
    /// # });
    /// ```
    pub fn close(&mut self) {
        self.chan.close();
    }

    /// Whether nothing more is accepted: it was closed, or no sender is left.
    pub fn is_closed(&self) -> bool {
        self.chan.closed.is_over() || self.chan.senders() == 0
    }

    /// How many messages are there.
    pub fn len(&self) -> usize {
        self.chan.len()
    }

    /// Whether none is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages there is room for now. Room that is reserved does not count.
    pub fn capacity(&self) -> usize {
        self.chan.slots.available()
    }

    /// How many messages there was room for at first.
    pub fn max_capacity(&self) -> usize {
        self.chan.capacity
    }

    /// How many senders there are.
    pub fn sender_strong_count(&self) -> usize {
        self.chan.senders()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.chan.drop_receiver();
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.chan.poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.len();
        (len, self.chan.nothing_will_come().then_some(len))
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The receiver, of which one future says that it waits, and takes it back when it is dropped.
struct Turn<'a, T> {
    receiver: &'a mut Receiver<T>,
    is_waiting: bool,
}

impl<T> Drop for Turn<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.is_waiting {
            self.receiver.chan.stop_waiting();
        }
    }
}

/// Future of [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a, T> {
    turn: Turn<'a, T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let turn = &mut self.turn;
        turn.is_waiting = true;
        let message = ready!(turn.receiver.chan.poll_recv(cx));
        turn.is_waiting = false;
        Poll::Ready(message)
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").finish_non_exhaustive()
    }
}

/// Future of [`Receiver::recv_many`].
#[must_use = "futures do nothing unless awaited"]
pub struct RecvMany<'a, T> {
    turn: Turn<'a, T>,
    buffer: &'a mut Vec<T>,
    limit: usize,
}

impl<T> Future for RecvMany<'_, T> {
    type Output = usize;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let RecvMany {
            turn,
            buffer,
            limit,
        } = &mut *self;
        turn.is_waiting = true;
        let count = ready!(turn.receiver.poll_recv_many(cx, buffer, *limit));
        turn.is_waiting = false;
        Poll::Ready(count)
    }
}

impl<T> fmt::Debug for RecvMany<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvMany").finish_non_exhaustive()
    }
}
