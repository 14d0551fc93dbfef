//! One value, from any thread.
//!
//! # Cancel safety
//! A receiver that is dropped while it waits closes the channel; the value that was sent, or is sent later, is dropped, or comes back to its
//! sender. Where a receiver may lose a race, await `&mut receiver`: the value is still to be had then.
//!
//! # Cost
//! One allocation for the channel, and a lock that is held for a few instructions. To wait allocates nothing.
//!
//! # Examples
//! ```
//! use std::thread;
//! use tulipa_sync::remote::oneshot;
//!
//! # futures_lite::future::block_on(async {
//! let (sender, receiver) = oneshot::channel();
//! let worker = thread::spawn(move || sender.send(6 * 7).unwrap());
//! assert_eq!(receiver.await, Ok(42));
//! # worker.join().unwrap();
//! # });
//! ```
//!
//! # Invariants
//! 1. Nobody else's code runs while the lock is held.
//! 2. After the channel is closed no value comes in; whoever closes it last takes out what is there.
//!
//! # References
//! `tokio::sync::oneshot`, whose methods these are.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tulipa_base::budget;

use super::{note_wait, parking};
use crate::shim::{Mutex, MutexGuard};
use crate::wait_list::Panics;

pub use crate::oneshot::{RecvError, TryRecvError};

/// Makes a channel for one value.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Mutex::new(State {
        value: None,
        is_closed: false,
        is_disconnected: false,
        receiver: None,
        sender: None,
    }));
    let sender = Sender {
        channel: Some(channel.clone()),
    };
    (sender, Receiver { channel })
}

struct State<T> {
    value: Option<T>,
    /// The receiver wants no value any more.
    is_closed: bool,
    /// The sender has sent the value, or is dropped.
    is_disconnected: bool,
    /// Wakes the receiver, which waits for the value.
    receiver: Option<Waker>,
    /// Wakes the sender, which waits for the receiver to be closed.
    sender: Option<Waker>,
}

/// Who waits with the waker of this poll: nobody when the state has become another, as `is_through` says.
fn register<'a, T>(
    channel: &'a Mutex<State<T>>,
    cx: &mut Context<'_>,
    is_through: fn(&State<T>) -> bool,
    place: fn(&mut State<T>) -> &mut Option<Waker>,
) -> Poll<MutexGuard<'a, State<T>>> {
    let mut waker = None;
    loop {
        let mut state = channel.lock();
        if is_through(&state) {
            if waker.is_none() {
                return Poll::Ready(state);
            }
            // Not to be dropped while the state is locked. What is through stays so.
            drop(state);
            waker = None;
            continue;
        }
        let place = place(&mut state);
        if place.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        if let Some(waker) = waker.take() {
            let before = place.replace(waker);
            drop(state);
            drop(before);
            return Poll::Pending;
        }
        drop(state);
        waker = Some(cx.waker().clone());
    }
}

/// Sends one value to a [`Receiver`], from any thread.
///
/// # Examples
/// ```
/// use tulipa_sync::remote::oneshot::{Receiver, Sender};
///
/// fn crosses<T: Send + Sync>() {}
/// crosses::<Sender<std::cell::Cell<u8>>>();
/// crosses::<Receiver<std::cell::Cell<u8>>>();
/// ```
/// With values that must stay on their thread, both do too:
/// ```compile_fail,E0277
/// fn crosses<T: Send>() {}
/// crosses::<tulipa_sync::remote::oneshot::Sender<std::rc::Rc<u8>>>();
/// ```
/// ```compile_fail,E0277
/// fn crosses<T: Send>() {}
/// crosses::<tulipa_sync::remote::oneshot::Receiver<std::rc::Rc<u8>>>();
/// ```
pub struct Sender<T> {
    /// `None` once it has sent.
    channel: Option<Arc<Mutex<State<T>>>>,
}

impl<T> Sender<T> {
    /// Sends the value. It never waits.
    ///
    /// # Errors
    /// The value, when the receiver is closed or dropped.
    ///
    /// # Panics
    /// When the waker of whoever receives does. The value has been sent then.
    pub fn send(mut self, value: T) -> Result<(), T> {
        let channel = self.take_channel();
        let mut state = channel.lock();
        if state.is_closed {
            return Err(value);
        }
        state.value = Some(value);
        let wakers = state.disconnect();
        drop(state);
        wakers.finish();
        Ok(())
    }

    /// Whether the receiver is closed or dropped.
    pub fn is_closed(&self) -> bool {
        self.channel().lock().is_closed
    }

    /// Waits until the receiver is closed or dropped: nobody wants the value any more.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn closed(&mut self) -> Closing<'_, T> {
        Closing { sender: self }
    }

    /// The same as [`closed`](Sender::closed), for hand-written futures. Only the task of the last call is woken.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(budget::poll_consume(cx));
        let closed = register(
            self.channel(),
            cx,
            |state| state.is_closed,
            |state| &mut state.sender,
        );
        if closed.is_ready() {
            return Poll::Ready(());
        }
        budget::refund();
        note_wait(|kinds| &kinds.oneshot);
        Poll::Pending
    }

    fn channel(&self) -> &Mutex<State<T>> {
        let channel = self.channel.as_deref();
        channel.expect("only `send` takes it, which takes the sender")
    }

    fn take_channel(&mut self) -> Arc<Mutex<State<T>>> {
        let channel = self.channel.take();
        channel.expect("only `send` takes it, which takes the sender")
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            let wakers = channel.lock().disconnect();
            wakers.finish();
        }
    }
}

/// What an end leaves behind: whom to wake, and what is only to be dropped.
#[must_use = "the other end sleeps until it is woken"]
struct Wakers {
    wake: Option<Waker>,
    stale: Option<Waker>,
}

impl Wakers {
    fn finish(self) {
        let mut panics = Panics::default();
        panics.catch(|| self.wake.into_iter().for_each(Waker::wake));
        panics.catch(|| drop(self.stale));
        panics.resume();
    }
}

impl<T> State<T> {
    /// No value comes from now on.
    fn disconnect(&mut self) -> Wakers {
        self.is_disconnected = true;
        Wakers {
            wake: self.receiver.take(),
            stale: self.sender.take(),
        }
    }

    /// No value is taken from now on, but what is there.
    fn close(&mut self) -> Wakers {
        self.is_closed = true;
        Wakers {
            wake: self.sender.take(),
            stale: self.receiver.take(),
        }
    }
}

/// Future of the value that a [`Sender`] sends.
///
/// Polled again after it has yielded the value, it yields the error.
///
/// # Errors
/// [`RecvError`] when the sender is dropped without having sent, or the receiver is [closed](Receiver::close) before it has.
///
/// # Cancel safety
/// A reference to it can be awaited, and dropping that loses nothing. A value that has been sent is dropped with the receiver.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    channel: Arc<Mutex<State<T>>>,
}

impl<T> Receiver<T> {
    /// The value, if it is there.
    ///
    /// # Errors
    /// [`TryRecvError`] says why it is not.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut state = self.channel.lock();
        match state.value.take() {
            Some(value) => Ok(value),
            None if state.is_through() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Waits for the value; until then the thread is parked. For threads without an event loop.
    ///
    /// # Errors
    /// [`RecvError`] when the sender is dropped without having sent.
    ///
    /// # Panics
    /// In a task, whose loop it would stop.
    #[track_caller]
    pub fn blocking_recv(self) -> Result<T, RecvError> {
        parking::block_on("blocking_recv", self)
    }

    /// Lets no value be sent any more, and tells the sender so. One that has been sent can still be received.
    ///
    /// # Panics
    /// When the waker of the sender does.
    pub fn close(&mut self) {
        let wakers = self.channel.lock().close();
        wakers.finish();
    }
}

impl<T> State<T> {
    /// Whether nothing changes any more.
    fn is_through(&self) -> bool {
        self.is_disconnected || self.is_closed
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(budget::poll_consume(cx));
        let channel = &self.channel;
        let through = register(channel, cx, State::is_through, |state| &mut state.receiver);
        if let Poll::Ready(mut state) = through {
            return Poll::Ready(state.value.take().ok_or(RecvError(())));
        }
        budget::refund();
        note_wait(|kinds| &kinds.oneshot);
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.channel.lock();
        let wakers = state.close();
        let value = mem::take(&mut state.value);
        drop(state);
        let mut panics = Panics::default();
        panics.catch(|| wakers.finish());
        panics.catch(|| drop(value));
        panics.resume();
    }
}

// A panic leaves nothing half done.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// Future of [`Sender::closed`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Closing<'a, T> {
    sender: &'a mut Sender<T>,
}

impl<T> Future for Closing<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().sender.poll_closed(cx)
    }
}
