//! Senders that never wait.

use std::fmt;
use std::rc::{Rc, Weak};

use super::chan::Chan;
use super::errors::SendError;
use super::receiver::Receiver;

/// Makes a channel that holds any number of messages.
///
/// Nothing keeps a fast sender from filling the memory: where one can wait, [`channel`](super::channel) is the better choice.
///
/// # Examples
/// From a callback, which cannot wait:
/// ```
/// use tulipa_sync::mpsc;
///
/// # futures_lite::future::block_on(async {
/// let (sender, mut clicks) = mpsc::unbounded();
/// let on_click = move |button: u8| drop(sender.send(button)); // Whether or not anyone listens.
/// on_click(1);
/// on_click(2);
/// drop(on_click);
/// assert_eq!(clicks.recv().await, Some(1));
/// assert_eq!(clicks.recv().await, Some(2));
/// assert_eq!(clicks.recv().await, None);
/// # });
/// ```
#[doc(alias = "unbounded_channel")]
pub fn unbounded<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let chan = Rc::new(Chan::new(usize::MAX));
    (UnboundedSender { chan: chan.clone() }, Receiver::new(chan))
}

/// The receiver of a channel without a bound: the same type as the other one's.
pub type UnboundedReceiver<T> = Receiver<T>;

/// Sends into a channel without a bound. Made by [`unbounded`], and by cloning: when the last one is dropped the channel ends.
pub struct UnboundedSender<T> {
    /// # Invariant
    /// Counted among the senders of the channel.
    chan: Rc<Chan<T>>,
}

impl<T> UnboundedSender<T> {
    /// Sends a message, at once.
    ///
    /// # Errors
    /// [`SendError`], with the message, when the receiver is closed or gone.
    #[inline]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        // There are as many slots as can be counted.
        match self.chan.slots.try_acquire(1) {
            Ok(()) => self.chan.send(message),
            Err(_) => Err(SendError(message)),
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

    /// Whether both send into the same channel.
    pub fn same_channel(&self, other: &UnboundedSender<T>) -> bool {
        Rc::ptr_eq(&self.chan, &other.chan)
    }

    /// How many senders there are, this one included.
    pub fn strong_count(&self) -> usize {
        self.chan.senders()
    }

    /// A handle that does not keep the channel from ending.
    pub fn downgrade(&self) -> WeakUnboundedSender<T> {
        WeakUnboundedSender {
            chan: Rc::downgrade(&self.chan),
        }
    }
}

impl<T> Clone for UnboundedSender<T> {
    #[inline]
    fn clone(&self) -> UnboundedSender<T> {
        self.chan.add_sender();
        UnboundedSender {
            chan: self.chan.clone(),
        }
    }
}

impl<T> Drop for UnboundedSender<T> {
    #[inline]
    fn drop(&mut self) {
        self.chan.remove_sender();
    }
}

impl<T> fmt::Debug for UnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnboundedSender")
            .field("len", &self.chan.len())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// An [`UnboundedSender`] that does not keep the channel from ending. Made by [`UnboundedSender::downgrade`].
pub struct WeakUnboundedSender<T> {
    chan: Weak<Chan<T>>,
}

impl<T> WeakUnboundedSender<T> {
    /// A sender, as long as there is another one.
    pub fn upgrade(&self) -> Option<UnboundedSender<T>> {
        let chan = self.chan.upgrade().filter(|chan| chan.senders() > 0)?;
        chan.add_sender();
        Some(UnboundedSender { chan })
    }
}

impl<T> Clone for WeakUnboundedSender<T> {
    fn clone(&self) -> WeakUnboundedSender<T> {
        WeakUnboundedSender {
            chan: self.chan.clone(),
        }
    }
}

impl<T> fmt::Debug for WeakUnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakUnboundedSender")
            .finish_non_exhaustive()
    }
}
