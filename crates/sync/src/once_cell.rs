//! `OnceCell`: a value that is made once, when it is first needed.

use std::cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::event::Event;
use crate::lock::Lock;

/// A value that is made by the first one who needs it, while others wait.
///
/// # Fairness
/// One at a time makes the value. If it fails, panics, or is dropped, the next one tries, in the order in which they came.
///
/// # Cancel safety
/// Dropping the future of [`get_or_init`](OnceCell::get_or_init) drops the initialiser that it runs, and lets the next one try its own.
///
/// # Examples
/// ```
/// use tulipa_sync::OnceCell;
///
/// # async fn connect() -> String { "connection".to_owned() }
/// # futures_lite::future::block_on(async {
/// let connection = OnceCell::new();
/// assert_eq!(connection.get_or_init(connect).await, "connection");
/// assert!(connection.get().is_some());
/// # });
/// ```
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// Held by whoever makes the value.
    making: Lock<()>,
    made: Event,
}

impl<T> OnceCell<T> {
    /// One without a value.
    pub const fn new() -> OnceCell<T> {
        OnceCell {
            value: cell::OnceCell::new(),
            making: Lock::of_kind("OnceCell", ()),
            made: Event::of_kind("OnceCell", false),
        }
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, for whoever has the whole cell.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Gives it a value, unless it has one. Somebody who is making one then finds that there is one.
    ///
    /// # Errors
    /// The value, if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.made.set();
        Ok(())
    }

    /// The value. If there is none, `init` makes it, or somebody else is making it, and this waits.
    ///
    /// # Panics
    /// When `init` does. The next one tries then.
    ///
    /// # Cancel safety
    /// See [the type](OnceCell#cancel-safety).
    pub async fn get_or_init<F>(&self, init: impl FnOnce() -> F) -> &T
    where
        F: Future<Output = T>,
    {
        let made = self.get_or_try_init(async || Ok::<T, Infallible>(init().await));
        match made.await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The value. If there is none, `init` makes it or fails, or somebody else is making it, and this waits.
    ///
    /// # Errors
    /// That of `init`. The next one tries then.
    ///
    /// # Panics
    /// When `init` does.
    ///
    /// # Cancel safety
    /// See [the type](OnceCell#cancel-safety).
    pub async fn get_or_try_init<E, F>(&self, init: impl FnOnce() -> F) -> Result<&T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        // Somebody may set it while somebody else is making it.
        let (mut turn, mut made) = (pin!(self.making.lock()), pin!(self.made.wait()));
        let _making = poll_fn(|cx| match made.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => turn.as_mut().poll(cx).map(Some),
        })
        .await;
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let value = init().await?;
        // Somebody may have set one meanwhile: that stays.
        drop(self.set(value));
        Ok(self.get().expect("it has just been set, here or elsewhere"))
    }

    /// Waits until it has a value, without making one.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait(&self) -> &T {
        self.made.wait().await;
        self.get().expect("the event is set once there is a value")
    }

    /// Whether it has a value.
    pub fn is_set(&self) -> bool {
        self.get().is_some()
    }

    /// Takes the value out; it may be made again.
    pub fn take(&mut self) -> Option<T> {
        self.made.clear();
        self.value.take()
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        let cell = OnceCell::new();
        drop(cell.set(value));
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("OnceCell");
        match self.get() {
            Some(value) => debug.field("value", value),
            None => debug.field("is_being_made", &self.making.is_locked()),
        };
        debug
            .field("waiting", &(self.making.waiting() + self.made.waiting()))
            .finish_non_exhaustive()
    }
}
