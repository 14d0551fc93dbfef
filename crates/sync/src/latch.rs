//! `Latch`: wait until so much has been done.

use std::cell::Cell;
use std::fmt;

use crate::event::{Event, Waiting};

/// A count that goes down to zero once: those who wait go on when it has.
///
/// # Fairness
/// Those who wait are woken in the order in which they came.
///
/// # Cancel safety
/// Dropping the future of [`wait`](Latch::wait) loses nothing.
///
/// # Cost
/// Nothing is allocated to wait.
///
/// # Examples
/// ```
/// use tulipa_sync::Latch;
///
/// # futures_lite::future::block_on(async {
/// let loaded = Latch::new(2);
/// let load = async { loaded.count_down(1) };
/// let load_another = async { loaded.count_down(1) };
/// let serve = async { loaded.wait().await };
/// # futures_lite::future::zip(futures_lite::future::zip(load, load_another), serve).await;
/// # });
/// ```
#[doc(alias = "CountDownLatch")]
#[doc(alias = "WaitGroup")]
pub struct Latch {
    left: Cell<usize>,
    open: Event,
}

impl Latch {
    /// A latch that opens when it has been counted down by `count`; with zero it is open.
    pub const fn new(count: usize) -> Latch {
        Latch {
            left: Cell::new(count),
            open: Event::of_kind("Latch", count == 0),
        }
    }

    /// Gives it a name, for dumps and for `Debug`.
    pub fn named(mut self, name: &str) -> Latch {
        self.open = self.open.named(name);
        self
    }

    /// Counts down, to zero at most. At zero those who wait go on.
    ///
    /// # Panics
    /// When a waker does, after the others have been woken.
    pub fn count_down(&self, count: usize) {
        let left = self.left.get().saturating_sub(count);
        self.left.set(left);
        if left == 0 {
            self.open.set();
        }
    }

    /// Counts down by one, and waits for the others.
    ///
    /// # Cancel safety
    /// Once it has been polled it has counted, and is not taken back.
    pub async fn arrive_and_wait(&self) {
        self.count_down(1);
        self.wait().await;
    }

    /// Waits until the count is zero.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn wait(&self) -> Waiting<'_> {
        self.open.wait()
    }

    /// What is left to be counted down.
    pub fn count(&self) -> usize {
        self.left.get()
    }

    /// Whether nobody has to wait any more.
    pub fn is_open(&self) -> bool {
        self.open.is_set()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.open.waiting()
    }
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = self.open.describe(f);
        debug
            .field("count", &self.count())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
