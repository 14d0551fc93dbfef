//! `broadcast`: each message to every receiver, and the oldest are lost where one is too slow.
//!
//! Sending never waits. The channel keeps the latest messages, as many as its capacity says; a receiver that has not
//! received one that had to go is told how many it has missed, and goes on with the oldest that is there.
//!
//! # Fairness
//! Each receiver gets the messages in the order in which they were sent, and those that wait are woken in the order in which they came.
//!
//! # The end
//! When the last sender is dropped, receivers get what is left, and then [`RecvError::Closed`]. Without a receiver
//! messages come back in the error; there may be [receivers](Sender::subscribe) again later.
//!
//! # Cancel safety
//! Dropping a [`recv`](Receiver::recv) that has not yielded loses no message.
//!
//! # Cost
//! To send: a few stores, and a step for each one who waits. To receive: the same, and a `clone` of the message; the last one to receive it
//! gets the message itself. A place for a message is allocated when it is used for the first time, up to the capacity,
//! and used again and again from then on. Nothing is allocated to wait.
//!
//! # Messages that use the channel
//! `clone` and destructors of messages may use the same channel: neither runs in the middle of something. A message of which
//! `clone` panics counts as received by the one that has tried.
//!
//! # Examples
//! ```
//! use tulipa_sync::broadcast::{self, RecvError};
//!
//! # futures_lite::future::block_on(async {
//! let (chat, mut quick) = broadcast::channel(2);
//! let mut slow = chat.subscribe();
//! for line in ["one", "two", "three"] {
//!     chat.send(line).unwrap();
//!     assert_eq!(quick.recv().await, Ok(line));
//! }
//! assert_eq!(slow.recv().await, Err(RecvError::Lagged(1)));
//! assert_eq!(slow.recv().await, Ok("two"));
//! # });
//! ```
//!
//! # References
//! `tokio::sync::broadcast`, for one thread, and with just the capacity that was asked for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tulipa_base::budget;

use crate::ending::Ending;
use crate::seen::Seen;
use crate::wait_list::{Handle, Panics, State, WaitList, Waiter, has_wait_list};

/// Makes a channel that keeps the latest `capacity` messages for receivers that have not received them yet.
///
/// # Panics
/// When `capacity` is zero.
///
/// # Examples
/// See [the module](self).
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// # Invariant
/// The ring is borrowed only to move messages and to count: nobody else's code runs meanwhile.
struct Chan<T> {
    ring: RefCell<Ring<T>>,
    /// The number of the next message: what those who find nothing look at, and nothing else.
    next: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    waiters: WaitList<()>,
    /// There is no receiver.
    unheard: Ending,
    seen: Seen,
}

has_wait_list!([T] Chan<T>, (), waiters);

/// The messages, each of which has a number.
///
/// # Invariants
/// 1. The entries are the messages with the numbers from `first` on, up to and without the channel's `next`. They are `capacity` at most.
/// 2. A receiver has still to receive the entries from its number on; `missing` of an entry is how many receivers those
///    are. A receiver begins at the end, so `missing` never falls from one entry to the next.
/// 3. An entry that nobody misses goes as soon as nobody else's code is running below this.
struct Ring<T> {
    entries: VecDeque<Entry<T>>,
    first: u64,
    capacity: usize,
    /// Places that are not in use.
    spare: Vec<Rc<Option<T>>>,
}

struct Entry<T> {
    /// Shared while it is being cloned. It is there until the entry goes, or the last receiver has it.
    message: Rc<Option<T>>,
    missing: usize,
}

/// What a receiver finds at its number.
enum Found<T> {
    /// The message itself: this receiver is the last one.
    Last(Option<T>),
    /// To be cloned. This receiver is the last one if `is_last`, but another one is cloning it below this.
    Shared {
        message: Rc<Option<T>>,
        is_last: bool,
    },
    /// As many are gone. It is to go on from there.
    Lagged(u64),
    Nothing,
}

impl<T> Ring<T> {
    /// Puts a message in. Returns the one that had to go.
    #[inline]
    fn push(&mut self, message: T, missing: usize) -> Option<Gone<T>> {
        let gone = if self.entries.len() == self.capacity {
            self.pop_first()
        } else {
            None
        };
        let message = match self.spare.pop() {
            Some(mut place) => {
                *Rc::get_mut(&mut place).expect("nobody shares a spare place") = Some(message);
                place
            }
            None => Rc::new(Some(message)),
        };
        self.entries.push_back(Entry { message, missing });
        gone
    }

    /// Takes the first entry out, and what is in it.
    #[inline]
    fn pop_first(&mut self) -> Option<Gone<T>> {
        let mut place = self.entries.pop_front()?.message;
        self.first += 1;
        Some(match Rc::get_mut(&mut place) {
            Some(message) => {
                let message = message.take();
                self.spare.push(place);
                Gone::Message(message)
            }
            None => Gone::Shared(place),
        })
    }

    /// Takes out the first entry if nobody misses it.
    #[inline]
    fn pop_unmissed(&mut self) -> Option<Gone<T>> {
        match self.entries.front() {
            Some(entry) if entry.missing == 0 => self.pop_first(),
            _ => None,
        }
    }

    /// What a receiver with this number gets, whose number is then the next one.
    #[inline]
    fn take(&mut self, number: u64) -> Found<T> {
        if number < self.first {
            return Found::Lagged(self.first - number);
        }
        let index = (number - self.first) as usize;
        let Some(entry) = self.entries.get_mut(index) else {
            return Found::Nothing;
        };
        entry.missing -= 1;
        if entry.missing == 0
            && let Some(message) = Rc::get_mut(&mut entry.message)
        {
            let message = message.take();
            // It is the first, or those before it are just being taken out below this.
            if index == 0 {
                let emptied = self.pop_first();
                debug_assert!(matches!(emptied, Some(Gone::Message(None))));
            }
            return Found::Last(message);
        }
        Found::Shared {
            message: entry.message.clone(),
            is_last: entry.missing == 0,
        }
    }

    /// A receiver with this number goes: it misses nothing any more.
    fn forget(&mut self, number: u64) {
        let index = number.saturating_sub(self.first) as usize;
        for entry in self.entries.range_mut(index.min(self.entries.len())..) {
            entry.missing -= 1;
        }
    }
}

/// What is to be dropped when everything is in order.
enum Gone<T> {
    Message(#[allow(dead_code, reason = "held to be dropped")] Option<T>),
    Shared(#[allow(dead_code, reason = "held to be dropped")] Rc<Option<T>>),
}

impl<T> Chan<T> {
    /// Drops what nobody misses any more.
    fn clean_up(&self) {
        let mut panics = Panics::default();
        loop {
            let gone = self.ring.borrow_mut().pop_unmissed();
            match gone {
                Some(gone) => panics.catch(|| drop(gone)),
                None => break,
            }
        }
        panics.resume();
    }
}

impl<T: Clone> Chan<T> {
    /// The message with this number, which is counted up.
    // Inlined into its callers: a result in memory that is copied on costs as much as the rest.
    #[inline(always)]
    fn try_recv(&self, number: &mut u64) -> Result<T, TryRecvError> {
        let found = self.ring.borrow_mut().take(*number);
        match found {
            Found::Last(message) => {
                *number += 1;
                Ok(message.expect("only the last receiver takes it out"))
            }
            Found::Shared {
                message,
                is_last: false,
            } => {
                *number += 1;
                // Whoever drops the last share of it drops the message, which is not in the ring then.
                Ok(Option::clone(&message).expect("it is there as long as it is shared"))
            }
            Found::Shared { message, .. } => {
                *number += 1;
                self.clone_last(message)
            }
            Found::Lagged(missed) => {
                *number += missed;
                Err(TryRecvError::Lagged(missed))
            }
            Found::Nothing if self.senders.get() == 0 => Err(TryRecvError::Closed),
            Found::Nothing => Err(TryRecvError::Empty),
        }
    }

    /// Clones a message that nobody misses any more, but that is not to be had, and takes it out.
    #[cold]
    fn clone_last(&self, message: Rc<Option<T>>) -> Result<T, TryRecvError> {
        struct CleanUp<'a, T>(&'a Chan<T>);

        impl<T> Drop for CleanUp<'_, T> {
            fn drop(&mut self) {
                self.0.clean_up();
            }
        }

        // Whether or not cloning panics.
        let _clean_up = CleanUp(self);
        Ok(Option::clone(&message).expect("it is there as long as it is shared"))
    }

    fn poll_recv<L>(
        &self,
        waiter: Pin<&Waiter<L>>,
        number: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>>
    where
        L: Handle<Target = Chan<T>>,
    {
        match waiter.state() {
            State::Idle => {
                ready!(budget::poll_consume(cx));
                if let Some(received) = self.recv(number) {
                    waiter.finish();
                    return Poll::Ready(received);
                }
                return self.wait(waiter, number, cx);
            }
            State::Waiting => waiter.renew(cx.waker()),
            State::Granted => {}
            State::Done => panic!("broadcast: `recv` polled after it has yielded"),
        }
        if waiter.state() == State::Waiting {
            self.seen.note_wait(None);
            return Poll::Pending;
        }
        waiter.leave();
        let received = self.recv(number);
        Poll::Ready(received.expect("those who wait are woken by a message or the end"))
    }

    /// There was nothing: enters the list, if that is still so when the waker was cloned.
    fn wait<L>(
        &self,
        waiter: Pin<&Waiter<L>>,
        number: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>>
    where
        L: Handle<Target = Chan<T>>,
    {
        let waker = cx.waker().clone();
        // That may have been anyone's code.
        if let Some(received) = self.recv_again(number) {
            waiter.finish();
            return Poll::Ready(received);
        }
        budget::refund();
        waiter.enter(waker, ());
        self.seen.note_wait(None);
        Poll::Pending
    }

    #[inline]
    fn recv_again(&self, number: &mut u64) -> Option<Result<T, RecvError>> {
        let is_there = *number != self.next.get() || self.senders.get() == 0;
        if is_there {
            self.recv_late(number)
        } else {
            None
        }
    }

    #[cold]
    fn recv_late(&self, number: &mut u64) -> Option<Result<T, RecvError>> {
        self.recv(number)
    }

    #[inline(always)]
    fn recv(&self, number: &mut u64) -> Option<Result<T, RecvError>> {
        if *number == self.next.get() {
            return (self.senders.get() == 0).then_some(Err(RecvError::Closed));
        }
        Some(self.try_recv(number).map_err(|error| match error {
            TryRecvError::Lagged(missed) => RecvError::Lagged(missed),
            TryRecvError::Empty | TryRecvError::Closed => unreachable!("there is one"),
        }))
    }
}

/// Sends to all receivers. Made by [`channel`], and by cloning: when the last one is dropped the channel ends.
pub struct Sender<T> {
    /// # Invariant
    /// Counted among the senders.
    chan: Rc<Chan<T>>,
}

impl<T> Sender<T> {
    /// Makes a channel that has no receiver yet: see [`subscribe`](Sender::subscribe).
    ///
    /// # Panics
    /// When `capacity` is zero.
    #[track_caller]
    pub fn new(capacity: usize) -> Sender<T> {
        assert!(
            capacity > 0,
            "broadcast::channel: every message would be lost with a capacity of 0, use 1 or more"
        );
        let ring = Ring {
            entries: VecDeque::new(),
            first: 0,
            capacity,
            spare: Vec::new(),
        };
        let chan = Chan {
            ring: RefCell::new(ring),
            next: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            waiters: WaitList::new(),
            unheard: Ending::new("end of the broadcast receivers"),
            seen: Seen::new("broadcast message"),
        };
        chan.unheard.mark();
        Sender {
            chan: Rc::new(chan),
        }
    }

    /// Sends a message to all who are receivers now, and returns how many those are. If the channel is full, the oldest
    /// message goes, and is dropped when everybody has been woken.
    ///
    /// # Errors
    /// [`SendError`], with the message, when there is no receiver.
    ///
    /// # Panics
    /// When a waker or the destructor of the oldest message does. The message is sent, and the other receivers have been woken.
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        let receivers = self.receiver_count();
        if receivers == 0 {
            return Err(SendError(message));
        }
        // Dropped last, even if waking panics.
        let _gone = self.chan.ring.borrow_mut().push(message, receivers);
        self.chan.next.set(self.chan.next.get() + 1);
        self.chan.waiters.wake_all();
        Ok(receivers)
    }

    /// Another receiver, for what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(self.chan.clone())
    }

    /// How many messages are there that somebody has not received yet, and can.
    pub fn len(&self) -> usize {
        self.chan.ring.borrow().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many receivers there are.
    #[inline]
    pub fn receiver_count(&self) -> usize {
        self.chan.receivers.get()
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) {
        self.chan.unheard.wait().await;
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
            .field("len", &self.len())
            .field("receiver_count", &self.receiver_count())
            .finish_non_exhaustive()
    }
}

/// Receives what is sent from the moment on at which it was made: by [`channel`], [`Sender::subscribe`] or [`resubscribe`](Receiver::resubscribe).
pub struct Receiver<T> {
    /// # Invariant
    /// Counted among the receivers, and in each message from its number on.
    chan: Rc<Chan<T>>,
    /// The number of the message that comes next.
    number: u64,
}

impl<T> Receiver<T> {
    fn new(chan: Rc<Chan<T>>) -> Receiver<T> {
        chan.receivers.set(chan.receivers.get() + 1);
        chan.unheard.take_back();
        let number = chan.next.get();
        Receiver { chan, number }
    }

    /// Another receiver, for what is sent from now on.
    pub fn resubscribe(&self) -> Receiver<T> {
        Receiver::new(self.chan.clone())
    }

    /// How many messages were sent that it has not received. If they are more than the capacity, it has missed some, and will be told.
    pub fn len(&self) -> usize {
        (self.chan.next.get() - self.number) as usize
    }

    /// Whether it has received all that were sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone. There may be messages left.
    pub fn is_closed(&self) -> bool {
        self.chan.senders.get() == 0
    }

    /// Whether both are of the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Rc::ptr_eq(&self.chan, &other.chan)
    }
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next message.
    ///
    /// # Errors
    /// - [`RecvError::Lagged`]: it has missed so many. The next call goes on with the oldest that is there.
    /// - [`RecvError::Closed`]: all senders are gone, and all messages received.
    ///
    /// # Cancel safety
    /// Safe: a message counts as received only in the poll that yields it.
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv {
            waiter: None,
            chan: &self.chan,
            number: &mut self.number,
            is_done: false,
        }
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// [`TryRecvError`] says whether there may be one later, or how many it has missed.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.chan.try_recv(&mut self.number)
    }

    /// The messages as a [`Stream`], which ends with the channel. Where some were missed it yields [`Lagged`], and goes on.
    pub fn into_stream(self) -> Messages<T> {
        Messages {
            waiter: Waiter::new(self.chan.clone()),
            receiver: self,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let chan = &*self.chan;
        let left = chan.receivers.get() - 1;
        chan.receivers.set(left);
        chan.ring.borrow_mut().forget(self.number);
        let mut panics = Panics::default();
        if left == 0 {
            panics.catch(|| chan.unheard.declare());
        }
        panics.catch(|| chan.clean_up());
        panics.resume();
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

pin_project! {
    /// Future of [`Receiver::recv`].
    ///
    /// # Panics
    /// When it is polled again after it has yielded.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Recv<'a, T> {
        // Once it has to wait: to make it, and to look at it when it is dropped, costs as much as a message that is there.
        #[pin]
        waiter: Option<Waiter<&'a Chan<T>>>,
        chan: &'a Chan<T>,
        number: &'a mut u64,
        is_done: bool,
    }
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let chan = *this.chan;
        if this.waiter.is_none() && !*this.is_done {
            ready!(budget::poll_consume(cx));
            if let Some(received) = chan.recv(this.number) {
                *this.is_done = true;
                return Poll::Ready(received);
            }
            this.waiter.set(Some(Waiter::new(chan)));
            let waiter = this.waiter.as_ref().as_pin_ref();
            return chan.wait(waiter.expect("it is set"), this.number, cx);
        }
        let waiter = this.waiter.as_ref().as_pin_ref();
        let waiter = waiter.expect("`recv` polled after it has yielded");
        chan.poll_recv(waiter, this.number, cx)
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").finish_non_exhaustive()
    }
}

pin_project! {
    /// The messages of a [`Receiver`] as a [`Stream`]. Made by [`Receiver::into_stream`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Messages<T> {
        #[pin]
        waiter: Waiter<Rc<Chan<T>>>,
        receiver: Receiver<T>,
    }
}

impl<T: Clone> Stream for Messages<T> {
    type Item = Result<T, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if this.waiter.state() == State::Done {
            let chan = this.receiver.chan.clone();
            this.waiter.set(Waiter::new(chan));
        }
        let Receiver { chan, number } = this.receiver;
        let received = ready!(chan.poll_recv(this.waiter.as_ref(), number, cx));
        Poll::Ready(match received {
            Ok(message) => Some(Ok(message)),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(RecvError::Closed) => None,
        })
    }
}

impl<T> fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.receiver).finish()
    }
}

/// There is no receiver: here is the message.
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

/// Why [`Receiver::recv`] has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// All senders are gone, and all messages received.
    Closed,
    /// So many messages were missed.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("receive: the channel has ended"),
            RecvError::Lagged(missed) => write!(f, "receive: {missed} messages were missed"),
        }
    }
}

impl Error for RecvError {}

/// Why [`Receiver::try_recv`] has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is none now.
    Empty,
    /// All senders are gone, and all messages received.
    Closed,
    /// So many messages were missed.
    Lagged(u64),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("try_recv: there is no message"),
            TryRecvError::Closed => f.write_str("try_recv: the channel has ended"),
            TryRecvError::Lagged(missed) => write!(f, "try_recv: {missed} messages were missed"),
        }
    }
}

impl Error for TryRecvError {}

/// So many messages were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages were missed", self.0)
    }
}

impl Error for Lagged {}
