//! The remote handle: any thread's way into a loop.

use std::fmt;
use std::future::Future;
use std::panic::Location;

use crate::core::RemoteCore;
use crate::inject::Message;
use crate::loop_ref::LoopClosed;
use crate::remote::call::{RemoteCall, RemoteCallMessage};
use crate::remote::task::{RemoteSpawn, RemoteTask};

/// A loop, as any thread may hold it: sends it closures and tasks, and stops it.
///
/// What is sent wakes a loop that waits, with one system call a burst, and none while it is awake. It is
/// taken in the order in which it was sent. It does not keep the loop open: once that is closed,
/// everything says [`LoopClosed`]. What was sent while the loop does not run waits for its next run.
///
/// # Examples
/// ```
/// # use tulipa_executor::*;
/// # struct NoPark; impl Park for NoPark {
/// #     fn park(&mut self, _: Wait) -> std::io::Result<()> { Ok(()) }
/// #     fn unparker(&self) -> std::sync::Arc<dyn Unpark> { std::sync::Arc::new(NoUnpark) }
/// # }
/// # struct NoUnpark; impl Unpark for NoUnpark { fn unpark(&self) {} }
/// # Executor::new(NoPark, Config::default()).run(async {
/// use std::rc::Rc;
///
/// let remote = LoopRef::current().remote();
/// let thread = std::thread::spawn(move || {
///     // The closure is sent; the future it makes need not be `Send`.
///     let task = remote.spawn(|| async {
///         let shared = Rc::new(6);
///         yield_now().await;
///         *shared * 7
///     });
///     task.unwrap().join().unwrap()
/// });
/// # while !thread.is_finished() { yield_now().await }
/// assert_eq!(thread.join().unwrap(), 42);
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct RemoteHandle {
    core: RemoteCore,
}

impl RemoteHandle {
    pub(crate) fn new(core: RemoteCore) -> RemoteHandle {
        RemoteHandle { core }
    }

    /// Calls `callback` on the loop's thread, like [`call_soon`](crate::call_soon).
    ///
    /// Inside of it, [`LoopRef::current`](crate::LoopRef::current) is the loop. Where it is dropped if it
    /// does not run is told in the [module's](crate::remote) text.
    ///
    /// # Errors
    /// [`LoopClosed`]; the callback is dropped here.
    #[track_caller]
    #[doc(alias = "call_soon_threadsafe")]
    pub fn call_soon<F>(&self, callback: F) -> Result<RemoteCall, LoopClosed>
    where
        F: FnOnce() + Send + 'static,
    {
        let (message, call) = RemoteCallMessage::new(callback, Location::caller());
        match self.core.local() {
            Some(core) if core.get().is_closing() => return Err(LoopClosed),
            Some(core) => message.deliver(core),
            None => self.send(Message::Call(message))?,
        }
        Ok(call)
    }

    /// Starts a task on the loop's thread, like [`spawn`](crate::task::spawn): its future is what `build`
    /// returns there.
    ///
    /// `build` is called in the task itself, so a panic in it is the task's.
    ///
    /// # Errors
    /// [`LoopClosed`]; `build` is dropped here.
    #[track_caller]
    #[doc(alias = "run_coroutine_threadsafe")]
    pub fn spawn<F, Fut>(&self, build: F) -> Result<RemoteTask<Fut::Output>, LoopClosed>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        let (message, task) = RemoteSpawn::new(&self.core, build, Location::caller());
        match self.core.local() {
            Some(core) if core.get().is_closing() => return Err(LoopClosed),
            Some(core) => message.deliver(core),
            None => self.send(Message::Spawn(message))?,
        }
        Ok(task)
    }

    /// Stops the loop, like [`LoopRef::stop`](crate::LoopRef::stop). What was sent before is run first.
    ///
    /// # Errors
    /// [`LoopClosed`]: it has stopped for good.
    pub fn stop(&self) -> Result<(), LoopClosed> {
        match self.core.local() {
            Some(core) if core.get().is_closing() => Err(LoopClosed),
            Some(core) => {
                core.get().stop();
                Ok(())
            }
            None => self.send(Message::Stop),
        }
    }

    /// Whether the loop is closed.
    pub fn is_closed(&self) -> bool {
        match self.core.local() {
            Some(core) => core.get().is_closing(),
            None => self.core.inject().is_closed(),
        }
    }

    fn send(&self, message: Message) -> Result<(), LoopClosed> {
        self.core.inject().push(message).map_err(|refused| {
            // Dropped outside of the queue's lock: its destructor is the sender's code.
            drop(refused);
            LoopClosed
        })
    }
}

impl fmt::Debug for RemoteHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
