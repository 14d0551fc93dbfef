//! Panics that nobody else looks at, and the fence around user code that may panic.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::Waker;

use crate::config::LostPanicHook;
use crate::error::BlockingError;

/// Tells the pool's hook, or else standard error.
pub(crate) struct Reporter {
    hook: Option<LostPanicHook>,
}

impl Reporter {
    pub(crate) fn new(hook: Option<LostPanicHook>) -> Reporter {
        Reporter { hook }
    }

    /// Drops a result that nobody will take. Says so if it is a panic.
    pub(crate) fn discard<T>(
        &self,
        result: Result<T, BlockingError>,
        spawned_at: &'static Location<'static>,
    ) {
        match result {
            Ok(value) => self.drop_contained(value, spawned_at),
            Err(BlockingError::Panicked(panic)) => {
                self.lost(panic.message(), spawned_at);
                drop_quietly(panic.into_payload());
            }
            // The owner of the handle did not want to know.
            Err(_) => {}
        }
    }

    /// Drops a value whose destructor may panic.
    pub(crate) fn drop_contained<T>(&self, value: T, spawned_at: &'static Location<'static>) {
        // Most have none, and then neither has this.
        if std::mem::needs_drop::<T>() {
            self.contain("in a destructor", spawned_at, || drop(value));
        }
    }

    /// Wakes a waker, which may be anyone's code.
    pub(crate) fn wake(&self, waker: Waker, spawned_at: &'static Location<'static>) {
        self.contain("in a waker", spawned_at, || waker.wake());
    }

    /// Runs user code that may panic. `place` says what kind of code.
    pub(crate) fn contain(
        &self,
        place: &str,
        spawned_at: &'static Location<'static>,
        f: impl FnOnce(),
    ) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            self.lost(
                &format!("{} ({place})", panic_message(&*payload)),
                spawned_at,
            );
            drop_quietly(payload);
        }
    }

    /// Tells of a panic. A hook that panics itself must not end a thread of the pool: both are printed.
    #[cold]
    fn lost(&self, message: &str, spawned_at: &'static Location<'static>) {
        let Some(hook) = &self.hook else {
            return print(message, spawned_at);
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(message, spawned_at))) {
            print(message, spawned_at);
            let hook_message = format!("{} (in on_lost_panic)", panic_message(&*payload));
            print(&hook_message, spawned_at);
            drop_quietly(payload);
        }
    }
}

/// The default hook.
fn print(message: &str, spawned_at: &'static Location<'static>) {
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(
        io::stderr(),
        "tulipa: blocking job spawned at {spawned_at} panicked: {message}"
    );
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(a value that is not text)"
    }
}

/// Drops a panic's payload, whose destructor is anyone's code and may panic again, and so on. A few
/// rounds are given, then the payload is leaked.
fn drop_quietly(payload: Box<dyn Any + Send>) {
    let mut payload = payload;
    for _ in 0..4 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}
