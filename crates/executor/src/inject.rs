//! The inject queue: what other threads send to the loop.
//!
//! Other threads append under a lock and then unpark the loop. The owner looks at one flag each
//! turn, and takes the lock only when it is set.
//!
//! # Invariants
//! 1. An entry in the queue means that `pending` is set, or that the owner is taking it now.
//! 2. After `close` no entry is ever in the queue: a push is refused and given back.

use std::mem;
use std::sync::Arc;

use crate::park::Unpark;
use crate::remote::{RemoteCallMessage, RemoteSpawn};
use crate::shim::{AtomicBool, Mutex, Ordering};
use crate::task::RemoteWake;

/// Something another thread asks of the loop.
pub(crate) enum Message {
    /// Schedule a task.
    Wake(RemoteWake),
    /// Call a closure.
    Call(RemoteCallMessage),
    /// Start a task.
    Spawn(RemoteSpawn),
    /// End the run.
    Stop,
}

pub(crate) struct Inject {
    pending: AtomicBool,
    /// The main task is to be cancelled.
    is_interrupted: AtomicBool,
    queue: Mutex<Queue>,
    unparker: Arc<dyn Unpark>,
}

#[derive(Default)]
struct Queue {
    messages: Vec<Message>,
    is_closed: bool,
}

impl Inject {
    pub(crate) fn new(unparker: Arc<dyn Unpark>) -> Inject {
        Inject {
            pending: AtomicBool::new(false),
            is_interrupted: AtomicBool::new(false),
            queue: Mutex::new(Queue::default()),
            unparker,
        }
    }

    /// Appends a message and unparks the loop. Gives the message back when the loop is closed.
    ///
    /// The caller keeps the loop's memory alive by a reference of its own for the whole call: the
    /// one inside the message may be gone before this returns.
    pub(crate) fn push(&self, message: Message) -> Result<(), Message> {
        {
            let mut queue = self.queue.lock();
            if queue.is_closed {
                return Err(message);
            }
            queue.messages.push(message);
            // Relaxed, like all uses of the flag: it only says that the lock is worth taking. That
            // a parked owner sees it follows from the unpark below, which the park answers.
            self.pending.store(true, Ordering::Relaxed);
        }
        self.unparker.unpark();
        Ok(())
    }

    /// Asks for the main task to be cancelled.
    pub(crate) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Relaxed);
        // Release: whoever sees that something is pending sees what.
        self.pending.store(true, Ordering::Release);
        self.unparker.unpark();
    }

    /// Whether the main task is to be cancelled. Asked once for each request.
    pub(crate) fn take_interrupt(&self) -> bool {
        self.is_interrupted.swap(false, Ordering::Acquire)
    }

    /// Ends a wait, without a message.
    pub(crate) fn unpark(&self) {
        self.unparker.unpark();
    }

    /// Whether there may be messages to take.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// Whether the loop is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().is_closed
    }

    /// Takes all messages, oldest first, in exchange for the empty `spare`.
    pub(crate) fn take(&self, spare: Vec<Message>) -> Vec<Message> {
        debug_assert!(spare.is_empty());
        let mut queue = self.queue.lock();
        self.pending.store(false, Ordering::Relaxed);
        mem::replace(&mut queue.messages, spare)
    }

    /// Refuses messages from now on, and returns those that were not taken.
    pub(crate) fn close(&self) -> Vec<Message> {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        self.pending.store(false, Ordering::Relaxed);
        mem::take(&mut queue.messages)
    }
}
