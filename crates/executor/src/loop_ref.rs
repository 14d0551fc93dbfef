//! What code on a loop's thread holds of the loop: a counted reference that does not keep it open.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tulipa_base::clock::{self, View};
use tulipa_base::{Instant, budget, current};

use crate::callback::{Handle, TimerHandle, call_at_on, call_soon_on};
use crate::core::{self, CorePtr, CoreRef};
use crate::remote::RemoteHandle;
use crate::task::{JoinHandle, spawn_on};

/// A loop, as code on its thread holds it: schedules callbacks and tasks, and stops it.
///
/// Clones are cheap. It does not keep the loop open: once that is closed (or closing), whatever would
/// schedule something says [`LoopClosed`], and drops what it was given. It stays on the loop's thread; what
/// may leave it is the [`RemoteHandle`].
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_executor as runtime; }
/// # use tulipa_executor::*;
/// # struct NoPark; impl Park for NoPark {
/// #     fn park(&mut self, _: Wait) -> std::io::Result<()> { Ok(()) }
/// #     fn unparker(&self) -> std::sync::Arc<dyn Unpark> { std::sync::Arc::new(NoUnpark) }
/// # }
/// # struct NoUnpark; impl Unpark for NoUnpark { fn unpark(&self) {} }
/// # let executor = Executor::new(NoPark, Config::default());
/// use tulipa::runtime::{LoopClosed, LoopRef};
///
/// let this_loop = executor.run(async { LoopRef::current() }).unwrap();
/// assert!(!this_loop.is_running());
/// let handle = this_loop.call_soon(|| ()).unwrap();
/// drop(executor);
/// assert!(handle.is_cancelled());
/// assert_eq!(this_loop.call_soon(|| ()).unwrap_err(), LoopClosed);
/// ```
#[derive(Clone)]
#[doc(alias = "AbstractEventLoop")]
pub struct LoopRef {
    core: CoreRef,
}

/// The loop is closed, or about to be: it takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopClosed;

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop is closed")
    }
}

impl std::error::Error for LoopClosed {}

impl LoopRef {
    pub(crate) fn new(core: CoreRef) -> LoopRef {
        LoopRef { core }
    }

    /// The loop that runs on this thread.
    ///
    /// # Panics
    /// Outside of a loop; [`try_current`](LoopRef::try_current) says so instead.
    #[track_caller]
    #[doc(alias = "get_running_loop")]
    #[doc(alias = "get_event_loop")]
    pub fn current() -> LoopRef {
        match LoopRef::try_current() {
            Some(this) => this,
            None => core::panic_outside(Location::caller()),
        }
    }

    /// The loop that runs on this thread, if one does. In the child of a fork none does.
    #[doc(alias = "_get_running_loop")]
    pub fn try_current() -> Option<LoopRef> {
        core::current().map(|core| LoopRef::new(core.counted()))
    }

    /// Makes this thread forget that a loop runs on it: for the child of a fork. It takes no lock, allocates
    /// nothing and runs nobody else's code.
    pub fn forget_current() {
        core::forget_current();
        current::set_task_id(None);
        budget::end();
        clock::set_view(View::REAL);
    }

    /// Calls `callback` in the next turn. See [`call_soon`](crate::call_soon).
    ///
    /// # Errors
    /// [`LoopClosed`]; the callback is dropped.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Result<Handle, LoopClosed> {
        self.call_soon_from(callback, Location::caller())
    }

    /// The same, on behalf of somebody else.
    pub(crate) fn call_soon_from(
        &self,
        callback: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> Result<Handle, LoopClosed> {
        let handle = call_soon_on(self.open()?, callback, location);
        self.core.get().tell_host();
        Ok(handle)
    }

    /// Calls `callback` when `delay` has passed on the loop's clock, counted from now. See
    /// [`call_at`](crate::call_at).
    ///
    /// # Errors
    /// [`LoopClosed`]; the callback is dropped.
    #[track_caller]
    pub fn call_later(
        &self,
        delay: Duration,
        callback: impl FnOnce() + 'static,
    ) -> Result<TimerHandle, LoopClosed> {
        self.call_at(self.time() + delay, callback)
    }

    /// Calls `callback` once the loop's clock has reached `when`. See [`call_at`](crate::call_at).
    ///
    /// # Errors
    /// [`LoopClosed`]; the callback is dropped.
    #[track_caller]
    pub fn call_at(
        &self,
        when: Instant,
        callback: impl FnOnce() + 'static,
    ) -> Result<TimerHandle, LoopClosed> {
        let location = Location::caller();
        let handle = call_at_on(self.open()?, when, callback, location);
        self.core.get().tell_host();
        Ok(handle)
    }

    /// Starts a task in this loop, also while it does not run. See [`spawn`](crate::task::spawn).
    ///
    /// # Errors
    /// [`LoopClosed`]; the future is dropped.
    #[track_caller]
    #[doc(alias = "create_task")]
    pub fn spawn<F>(&self, future: F) -> Result<JoinHandle<F::Output>, LoopClosed>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = Location::caller();
        let handle = spawn_on(self.open()?, future, location, None);
        self.core.get().tell_host();
        Ok(handle)
    }

    /// What other threads may hold of this loop.
    pub fn remote(&self) -> RemoteHandle {
        RemoteHandle::new(self.core.remote())
    }

    /// Ends the run when what is ready in this turn has run; what becomes ready meanwhile stays for the
    /// next run.
    ///
    /// While the loop does not run, the next run consists of one turn, which takes what has happened
    /// outside without waiting. Stopping twice is stopping once, and a closed loop ignores it.
    ///
    /// A run for the sake of a future that is stopped before that is complete ends with an error:
    /// `EventLoop::run_until_complete` gives the task back, `run` panics.
    pub fn stop(&self) {
        self.core.get().stop();
    }

    /// The time on the loop's clock, which may be virtual.
    pub fn time(&self) -> Instant {
        let core = self.core.get();
        core.timers.now(self.core.ptr().is_current())
    }

    /// Whether the loop runs now: this is called from inside of it.
    pub fn is_running(&self) -> bool {
        self.core.get().is_running()
    }

    /// Whether the loop is closed, or about to be.
    pub fn is_closed(&self) -> bool {
        self.core.get().is_closing()
    }

    fn open(&self) -> Result<CorePtr, LoopClosed> {
        if self.is_closed() {
            return Err(LoopClosed);
        }
        Ok(self.core.ptr())
    }
}

impl PartialEq for LoopRef {
    /// Whether both are of the same loop.
    fn eq(&self, other: &LoopRef) -> bool {
        self.core.ptr() == other.core.ptr()
    }
}

impl Eq for LoopRef {}

impl fmt::Debug for LoopRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopRef")
            .field("is_running", &self.is_running())
            .field("is_closed", &self.is_closed())
            .field("tasks", &self.core.get().tasks.len())
            .finish_non_exhaustive()
    }
}
