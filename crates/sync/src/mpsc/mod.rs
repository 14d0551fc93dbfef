//! `mpsc`: a queue from many senders to one receiver, for tasks on one thread.
//!
//! [`channel`] makes one with a bound: whoever sends waits while it is full, so that a fast sender does not run away from a
//! slow receiver. [`unbounded`] makes one without: sending never waits, and what is not received piles up.
//!
//! # Fairness
//! Messages are received in the order in which they were sent. Slots of a full channel are given to those who wait in
//! the order in which they came, and nobody who comes later gets one before, with [`try_send`](Sender::try_send) included. What becomes free is
//! assigned to the first one who waits at once; its message is sent when its task runs, so two
//! senders that were given slots send in the order in which their tasks are polled.
//!
//! # The end
//! When the last sender is dropped, [`recv`](Receiver::recv) yields what is left, and then `None`. When the receiver is dropped, what is left is
//! dropped with it, and what is sent afterwards comes back in the error. [`Receiver::close`] is in between: nothing new is
//! accepted, but whoever was given a slot before may still use it, and the receiver gets all of that
//! before it sees the end.
//!
//! # Cancel safety
//! Dropping a [`recv`](Receiver::recv) that has not yielded loses no message. Dropping a [`send`](Sender::send) that has not
//! yielded means that its message was not sent: it is dropped with the future, and a slot that was assigned already goes on to the
//! next. (Handing the message over as soon as there is room would save a turn now and then, but then a `send` that lost
//! against a timeout might have been sent all the same.) To keep the message, [`reserve`](Sender::reserve) first.
//!
//! # Cost
//! A few stores for a message, besides moving it. The channel is one allocation, and its buffer another one, which grows
//! to the largest backlog there was and stays until the receiver is dropped. Nothing is allocated to wait.
//!
//! # Messages that use the channel
//! Destructors of messages, and wakers, may use the same channel: none of them runs in the middle of something. A message
//! may hold a sender of the channel that it is in. It is a sender like all others: the channel does not end before
//! it is received or the receiver dropped.
//!
//! # Examples
//! ```
//! use tulipa_sync::mpsc;
//!
//! # futures_lite::future::block_on(async {
//! let (sender, mut lines) = mpsc::channel(16);
//! let producer = async move {
//!     for line in ["a", "b", "c"] {
//!         if sender.send(line).await.is_err() {
//!             return; // Nobody wants them any more.
//!         }
//!     }
//! };
//! let consumer = async {
//!     let mut all = String::new();
//!     while let Some(line) = lines.recv().await {
//!         all.push_str(line);
//!     }
//!     all
//! };
//! let ((), all) = futures_lite::future::zip(producer, consumer).await;
//! assert_eq!(all, "abc");
//! # });
//! ```
//!
//! # References
//! `tokio::sync::mpsc`, for one thread. asyncio has none: its [`Queue`](https://docs.python.org/3/library/asyncio-queue.html) does not end with its producers.

mod bounded;
mod chan;
mod errors;
mod receiver;
mod unbounded;

pub use bounded::{
    OwnedPermit, Permit, Reserving, ReservingOwned, Sender, Sending, WeakSender, channel,
};
pub use errors::{SendError, TryRecvError, TrySendError};
pub use receiver::{Receiver, Recv, RecvMany};
pub use unbounded::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded};
