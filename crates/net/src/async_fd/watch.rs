//! Callbacks for readiness: asyncio's `add_reader` and `add_writer`.
//!
//! Each is a small task, which waits and calls. The reactor reports edges, and callbacks expect levels: one
//! that leaves something behind is called again. So after each call the system is asked whether the
//! descriptor is ready still.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tulipa_executor::report::{ExceptionKind, report};
use tulipa_executor::task::{JoinHandle, spawn};
use tulipa_executor::yield_now;
use tulipa_reactor::{Direction, Interest};

use super::{AsyncFd, is_ready_now};

/// Calls `callback` whenever `source` is readable, once a turn of the loop, until it is removed.
///
/// See [`AsyncFd::on_readable`], which can have both directions watched, and a callback replaced.
///
/// # Errors
/// As [`AsyncFd::new`].
///
/// # Panics
/// Outside of a loop.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn f() -> std::io::Result<()> {
/// use std::io::Read;
/// use std::os::unix::net::UnixStream;
/// use tulipa::net::on_readable;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let handle = on_readable(ours, |mut it: &UnixStream| {
///     let mut buf = [0; 1024];
///     if let Ok(count) = it.read(&mut buf) {
///         println!("{count} bytes");
///     }
/// })?;
/// // ... and when it is not wanted any more:
/// handle.remove();
/// # Ok(())
/// # }
/// ```
#[doc(alias = "add_reader")]
pub fn on_readable<T: AsFd + 'static>(
    source: T,
    callback: impl FnMut(&T) + 'static,
) -> io::Result<IoHandle> {
    let fd = Rc::new(AsyncFd::with_interest(source, Interest::Read)?);
    Ok(fd.on_readable(callback))
}

/// Calls `callback` whenever `source` is writable, once a turn of the loop, until it is removed.
///
/// See [`AsyncFd::on_writable`].
///
/// # Errors
/// As [`AsyncFd::new`].
///
/// # Panics
/// Outside of a loop.
#[doc(alias = "add_writer")]
pub fn on_writable<T: AsFd + 'static>(
    source: T,
    callback: impl FnMut(&T) + 'static,
) -> io::Result<IoHandle> {
    let fd = Rc::new(AsyncFd::with_interest(source, Interest::Write)?);
    Ok(fd.on_writable(callback))
}

impl<T: AsFd + 'static> AsyncFd<T> {
    /// Calls `callback` whenever a read is worth trying, once a turn of the loop, until it is removed. A
    /// callback that was there before is removed.
    ///
    /// It is called again as long as there is something: it need not take all at once. Errors and the end of
    /// the stream count, so a callback that ignores them is called every turn. It may find that there is
    /// nothing after all: others may have taken it.
    ///
    /// The descriptor is kept, and stays open, until the callback is removed or the loop is closed. If
    /// `callback` panics the loop's exception handler is told, and it stays where it is.
    ///
    /// # Panics
    /// Outside of a loop.
    #[doc(alias = "add_reader")]
    pub fn on_readable(self: &Rc<AsyncFd<T>>, callback: impl FnMut(&T) + 'static) -> IoHandle {
        self.watch(Direction::Read, callback)
    }

    /// Calls `callback` whenever a write is worth trying, like [`on_readable`](AsyncFd::on_readable). Most
    /// descriptors are writable most of the time: remove it when there is nothing to write.
    ///
    /// # Panics
    /// Outside of a loop.
    #[doc(alias = "add_writer")]
    pub fn on_writable(self: &Rc<AsyncFd<T>>, callback: impl FnMut(&T) + 'static) -> IoHandle {
        self.watch(Direction::Write, callback)
    }

    fn watch(
        self: &Rc<AsyncFd<T>>,
        direction: Direction,
        callback: impl FnMut(&T) + 'static,
    ) -> IoHandle {
        let watch = Rc::new(Watch::default());
        let before = self.watches[direction as usize].replace(Some(Rc::clone(&watch)));
        if let Some(before) = before {
            before.remove();
        }
        let task = spawn(call(
            Rc::clone(self),
            direction,
            Rc::clone(&watch),
            callback,
        ));
        watch.task.replace(Some(task));
        IoHandle { watch }
    }

    /// Removes the callback for reading. False if there was none.
    #[doc(alias = "remove_reader")]
    pub fn remove_readable(&self) -> bool {
        self.remove(Direction::Read)
    }

    /// Removes the callback for writing. False if there was none.
    #[doc(alias = "remove_writer")]
    pub fn remove_writable(&self) -> bool {
        self.remove(Direction::Write)
    }

    fn remove(&self, direction: Direction) -> bool {
        let watch = self.watches[direction as usize].take();
        watch.is_some_and(|it| it.remove())
    }
}

/// What a callback, its handle and its descriptor share.
#[derive(Default)]
pub(super) struct Watch {
    is_over: Cell<bool>,
    task: RefCell<Option<JoinHandle<()>>>,
}

impl Watch {
    /// False if that has been done before.
    pub(super) fn remove(&self) -> bool {
        let task = self.task.take();
        // When the loop is closed the task is gone, and the callback with it.
        let is_there = task.as_ref().is_some_and(|it| !it.is_finished());
        if let Some(task) = task {
            task.abort();
        }
        !self.is_over.replace(true) && is_there
    }
}

/// A callback for readiness. See [`AsyncFd::on_readable`].
///
/// Dropping it leaves the callback where it is.
pub struct IoHandle {
    watch: Rc<Watch>,
}

impl IoHandle {
    /// Removes the callback, which is not called any more. False if it was removed or replaced before, or the
    /// loop is closed.
    #[doc(alias = "remove_reader")]
    #[doc(alias = "remove_writer")]
    pub fn remove(&self) -> bool {
        self.watch.remove()
    }

    /// Whether the callback was removed or replaced.
    #[doc(alias = "cancelled")]
    pub fn is_removed(&self) -> bool {
        self.watch.is_over.get()
    }
}

impl fmt::Debug for IoHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoHandle")
            .field("is_removed", &self.is_removed())
            .finish()
    }
}

/// The task of a callback.
async fn call<T: AsFd>(
    fd: Rc<AsyncFd<T>>,
    direction: Direction,
    watch: Rc<Watch>,
    mut callback: impl FnMut(&T),
) {
    // An error means that the loop is closed.
    while fd.ready(direction).await.is_ok() && !watch.is_over.get() {
        // Those who share the direction may have emptied it in this very turn.
        if is_ready_now(fd.as_fd(), direction) {
            contain(direction, fd.number(), || callback(fd.get_ref()));
            if watch.is_over.get() {
                return;
            }
            // Whether anything is left is asked in the next turn, when the others have had theirs.
            yield_now().await;
        } else {
            // Nothing comes between: events arrive while the loop waits.
            fd.registration().clear(direction);
        }
    }
}

/// Calls what is the program's; a panic in it is reported, and goes no further.
fn contain(direction: Direction, number: i32, callback: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(callback)) else {
        return;
    };
    let text = match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "(a value that is not text)",
    };
    let what = match direction {
        Direction::Read => "on_readable",
        Direction::Write => "on_writable",
    };
    let message = format!("{what} of descriptor {number}: {text}");
    report(ExceptionKind::CallbackPanicked, &message);
    // Its destructor is anyone's code, and may panic too; that would be the task's end.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}
