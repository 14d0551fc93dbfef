//! Channels whose senders cross threads: what another thread has for a task reaches it by one of these.
//!
//! - [`mpsc`]: many values, from many senders to one receiver, with or without a bound.
//! - [`oneshot`]: one value.
//!
//! Senders may be used on any thread, and so may receivers; a task on an event loop awaits, a thread without a loop
//! uses the `blocking_` methods. Where both ends stay on one thread the channels outside of this module
//! are cheaper: they take no lock.
//!
//! # Rules
//! 1. What threads share is behind one lock in each channel, which is held for a few instructions.
//! 2. Nobody else's code (wakers' `clone`, `wake` and `drop`, values' destructors) runs while the lock is held. Wakers
//!    are cloned before it is taken; what is to be woken or dropped is moved out, and used after it is released.
//! 3. After the lock was released for somebody else's code, what was found before is looked at again.

pub mod mpsc;
pub mod oneshot;

mod channel;
mod parking;
mod waiters;

#[cfg(all(test, loom))]
mod loom_models;

use tulipa_base::current;

use crate::seen::Seen;

/// What a dump calls those who wait for a channel. A channel belongs to no thread, and the entries do: so there is
/// one on each thread for all channels of a kind.
struct Kinds {
    mpsc: Seen,
    oneshot: Seen,
}

thread_local! {
    static KINDS: Kinds = const {
        Kinds {
            mpsc: Seen::new("remote::mpsc"),
            oneshot: Seen::new("remote::oneshot"),
        }
    };
}

/// The running task, if there is one, waits for a channel.
fn note_wait(kind: fn(&Kinds) -> &Seen) {
    if current::task_id().is_some() {
        // A thread that is about to end keeps no entries.
        let _ = KINDS.try_with(|kinds| kind(kinds).note_wait(None));
    }
}
