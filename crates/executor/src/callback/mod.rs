//! Callbacks: closures that the loop calls once, in the ready queue that tasks wait in too.
//!
//! A callback is a block like a task's (see `task`), whose future calls a closure at its only poll. So it
//! shares the queue, the pool of blocks and the net for panics with tasks, and order is the order of the
//! calls, whichever of the two was made ready. Its flag `CALLBACK` says what it is not: while it runs no
//! task is the current one, it is counted nowhere, and nobody joins it, so a panic goes to the exception
//! handler with the place where it was registered.
//!
//! [`Handle`] cancels one, [`TimerHandle`] one that waits for an instant: `call_at` sets a timer like a
//! [`Sleep`](crate::Sleep)'s in the same wheel, with the callback's block in the waker's place. It is set
//! when `call_at` is called, so among equal deadlines the order is that of the calls, and of the first
//! polls of sleeps.

mod handle;
mod timer_handle;

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tulipa_base::Instant;

use crate::core::{self, CorePtr};
use crate::task::{self, Flags, JoinError, JoinHandle, Surroundings, TaskRef};

pub use handle::{CancelOnDrop, Handle};
pub use timer_handle::{TimerCancelOnDrop, TimerHandle};

pub(crate) use timer_handle::call_at_on;

/// Calls `callback` in the next turn of the loop that runs on this thread.
///
/// It goes to the end of the ready queue: callbacks and tasks run in the order in which they became
/// ready. It is called once, or not at all if it is [cancelled](Handle::cancel) or the loop closes first;
/// then it is dropped. Dropping the handle changes nothing. While it runs no task is the current one. A
/// panic in it is told to the loop's exception handler, and the loop goes on.
///
/// While the loop is closing the callback is dropped at once, and the handle says that it is cancelled.
///
/// # Panics
/// Outside of a loop; [`LoopRef::try_current`](crate::LoopRef::try_current) says so instead.
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
/// # Executor::new(NoPark, Config::default()).run(async {
/// use tulipa::runtime::call_soon;
///
/// call_soon(|| println!("first"));
/// call_soon(|| println!("second"));
/// let third = call_soon(|| unreachable!("it is cancelled"));
/// third.cancel();
/// # yield_now().await;
/// # }).unwrap();
/// ```
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> Handle {
    let location = Location::caller();
    match core::current() {
        Some(core) => call_soon_on(core, callback, location),
        None => core::panic_outside(location),
    }
}

/// Calls `callback` when `delay` has passed, counted from now. See [`call_at`].
///
/// # Panics
/// Outside of a loop.
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
    let location = Location::caller();
    match core::current() {
        Some(core) => call_at_on(core, Instant::now() + delay, callback, location),
        None => core::panic_outside(location),
    }
}

/// Calls `callback` once the loop's clock has reached `when`, never before.
///
/// Callbacks and sleeps of one loop come in the order of their deadlines, ties in the order in which they
/// were set. A deadline that has passed already comes in the next turn. In a turn, what was ready before
/// runs first, then what the operating system's events woke, then what came due. Of an instant that is too
/// far to count ([`Instant::FAR_FUTURE`]) the loop takes note, but never calls. Otherwise this is
/// [`call_soon`].
///
/// # Panics
/// Outside of a loop.
#[track_caller]
pub fn call_at(when: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
    let location = Location::caller();
    match core::current() {
        Some(core) => call_at_on(core, when, callback, location),
        None => core::panic_outside(location),
    }
}

/// Puts a callback at the end of a loop's ready queue. Owner thread only.
pub(crate) fn call_soon_on(
    core: CorePtr,
    callback: impl FnOnce() + 'static,
    location: &'static Location<'static>,
) -> Handle {
    let handle = Handle::new(core, Call(Some(callback)), location);
    if core.get().is_closing() {
        handle.cancel();
    } else {
        handle.task().schedule();
    }
    handle
}

/// Calls `callback` in the turn after the task has ended.
pub(crate) fn call_when_done<T: 'static>(
    task: JoinHandle<T>,
    callback: impl FnOnce(Result<T, JoinError>) + 'static,
    location: &'static Location<'static>,
) -> Handle {
    let Some(core) = core::current() else {
        core::panic_outside(location)
    };
    let has_ended = task.is_finished();
    let call = CallWhenDone {
        task,
        callback: Some(callback),
    };
    let handle = Handle::new(core, call, location);
    if core.get().is_closing() {
        handle.cancel();
    } else if has_ended || core.get().running.get().is_none() {
        handle.task().schedule();
    } else {
        // It begins to wait here and now. From the queue it would find a task that ends in this turn, and call in the
        // same turn.
        let _surroundings = Surroundings::put_aside(core);
        handle.task().run_at_once(core.get());
    }
    handle
}

/// Waits for a task, then calls the closure.
struct CallWhenDone<T, F> {
    task: JoinHandle<T>,
    callback: Option<F>,
}

impl<T, F: FnOnce(Result<T, JoinError>)> Future for CallWhenDone<T, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(result) = self.task.poll_result(cx) else {
            return Poll::Pending;
        };
        if let Some(callback) = self.callback.take() {
            callback(result);
        }
        Poll::Ready(())
    }
}

// The closure is moved out before it is called; it is never pinned.
impl<T, F> Unpin for CallWhenDone<T, F> {}

/// Drops the callback whose block `waker` would schedule, if it is one's. For a closing loop.
pub(crate) fn cancel_woken_by(waker: Option<&Waker>) {
    if let Some(task) = waker.and_then(task::task_of)
        && is_callback(task)
    {
        task.cancel_callback();
    }
}

fn is_callback(task: TaskRef) -> bool {
    task.header().flags.get().has(Flags::CALLBACK)
}

/// Calls the closure at the first poll.
struct Call<F>(Option<F>);

impl<F: FnOnce()> Future for Call<F> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if let Some(callback) = self.0.take() {
            callback();
        }
        Poll::Ready(())
    }
}

// The closure is moved out before it is called; it is never pinned.
impl<F> Unpin for Call<F> {}
