//! Waiting for any descriptor that the system can watch.

mod guard;
mod refusal;
mod watch;

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec};
use tulipa_base::budget;
use tulipa_base::wait::{self, Kind, Label};
use tulipa_reactor::{Descriptor, Direction, Driver, Interest, Recheck, Registration};

use crate::watch_error::cannot_watch;
pub use guard::{AsyncFdReadyGuard, TryIoError};
use refusal::{ensure_not_file, explain};
use watch::Watch;
pub use watch::{IoHandle, on_readable, on_writable};

/// A descriptor of any kind that the system can watch: a pipe, a terminal, an eventfd, a socket of a family
/// that has no type here, what another library hands out.
///
/// It waits, and leaves reading and writing to the program, which tries, and waits again when it is told
/// `WouldBlock`. The descriptor should be in non-blocking mode; this does not change it, since the mode
/// belongs to all that share the file description. One that blocks stops the loop if it is read
/// after somebody else has taken what was there.
///
/// # Readiness
/// The system reports that the descriptor has *become* ready. That is remembered until an operation finds
/// that it is not: [`try_io`](AsyncFdReadyGuard::try_io), [`read_with`](AsyncFd::read_with) and their
/// like take note of `WouldBlock` by themselves. Any number of tasks may wait for the same direction: all
/// are woken, one gets the data, and the others wait again.
///
/// # Ends
/// It is registered with the loop in which it was made, until it is dropped or
/// [given back](AsyncFd::into_inner). The system watches a descriptor for one `AsyncFd` at a time:
/// [duplicate](std::os::fd::OwnedFd::try_clone) it for two.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # async fn f() -> std::io::Result<()> {
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use tulipa::net::AsyncFd;
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let ours = AsyncFd::new(ours)?;
/// theirs.write_all(b"hello")?;
/// let mut buf = [0; 8];
/// let count = ours.read_with(|mut it| it.read(&mut buf)).await?;
/// assert_eq!(&buf[..count], b"hello");
/// # Ok(())
/// # }
/// ```
#[doc(alias = "add_reader")]
#[doc(alias = "add_writer")]
pub struct AsyncFd<T: AsFd> {
    /// Both are there until it is taken apart.
    registration: Option<Registration>,
    inner: Option<T>,
    /// The callbacks, by direction.
    watches: [RefCell<Option<Rc<Watch>>>; 2],
}

impl<T: AsFd> AsyncFd<T> {
    /// Watches `inner` in both directions.
    ///
    /// # Errors
    /// - `PermissionDenied` (`EPERM`): it is a file, a directory or a device that is always ready, which
    ///   cannot be waited for. Read files on the [blocking pool](https://docs.rs/tulipa).
    /// - `AlreadyExists`: another `AsyncFd` of this loop watches the descriptor.
    /// - What else the operating system says.
    ///
    /// # Panics
    /// Outside of a loop.
    pub fn new(inner: T) -> io::Result<AsyncFd<T>> {
        AsyncFd::with_interest(inner, Interest::Both)
    }

    /// Watches `inner` in these directions only; waiting for another never ends.
    ///
    /// # Errors
    /// As [`new`](AsyncFd::new).
    ///
    /// # Panics
    /// Outside of a loop.
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
        let Some(driver) = Driver::current() else {
            panic!(
                "a descriptor is to be watched, but no tulipa event loop runs on this thread: start the \
                 program with #[tulipa::main], or use it inside tulipa::run(..)"
            )
        };
        ensure_not_file(inner.as_fd())?;
        let registered =
            Registration::with_interest(&driver, &mut Descriptor(inner.as_fd()), interest);
        let registration = registered.map_err(explain)?;
        Ok(AsyncFd {
            registration: Some(registration),
            inner: Some(inner),
            watches: Default::default(),
        })
    }

    /// What is watched.
    pub fn get_ref(&self) -> &T {
        self.inner.as_ref().expect(IS_WHOLE)
    }

    /// What is watched. Its descriptor must stay the one that it is.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect(IS_WHOLE)
    }

    /// Stops watching, and gives back what was watched.
    pub fn into_inner(mut self) -> T {
        self.take_apart().expect(IS_WHOLE)
    }

    fn take_apart(&mut self) -> Option<T> {
        for watch in &self.watches {
            if let Some(watch) = watch.take() {
                watch.remove();
            }
        }
        let inner = self.inner.take()?;
        if let Some(registration) = self.registration.take() {
            // The descriptor may live on, so it has to be taken out. That fails if it was closed behind our
            // back, and then it is out already.
            let _ = registration.deregister(&mut Descriptor(inner.as_fd()));
        }
        Some(inner)
    }

    fn registration(&self) -> &Registration {
        self.registration.as_ref().expect(IS_WHOLE)
    }

    /// Waits until a read is worth trying: there is data, the end, or an error.
    ///
    /// The guard is how to say that it was not: see [`AsyncFdReadyGuard`].
    ///
    /// # Errors
    /// When the loop is closed.
    ///
    /// # Panics
    /// In another loop than the one it was made in.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Direction::Read).await?;
        Ok(AsyncFdReadyGuard::new(self, Direction::Read))
    }

    /// Waits until a write is worth trying: there is room, or an error.
    ///
    /// # Errors
    /// When the loop is closed.
    ///
    /// # Panics
    /// In another loop than the one it was made in.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Direction::Write).await?;
        Ok(AsyncFdReadyGuard::new(self, Direction::Write))
    }

    /// Like [`readable`](AsyncFd::readable), for futures written by hand. For one task: a later call replaces
    /// the waker of an earlier one.
    ///
    /// # Errors
    /// When the loop is closed.
    ///
    /// # Panics
    /// In another loop than the one it was made in.
    pub fn poll_read_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        self.poll_ready(Direction::Read, cx)
    }

    /// Like [`writable`](AsyncFd::writable), for futures written by hand. For one task: a later call replaces
    /// the waker of an earlier one.
    ///
    /// # Errors
    /// When the loop is closed.
    ///
    /// # Panics
    /// In another loop than the one it was made in.
    pub fn poll_write_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        self.poll_ready(Direction::Write, cx)
    }

    fn poll_ready(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        let polled = self.registration().poll_ready(direction, cx);
        if polled.is_pending() {
            self.note(direction);
        }
        ready!(polled)?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, direction)))
    }

    /// Waits until `read` is worth trying, and calls it until it says something else than `WouldBlock` or
    /// `Interrupted`.
    ///
    /// # Errors
    /// What `read` says, or when the loop is closed.
    ///
    /// # Panics
    /// In another loop than the one it was made in.
    ///
    /// # Cancel safety
    /// Safe, if `read` takes nothing when it says `WouldBlock`: it returns in the poll in which it has
    /// succeeded.
    #[doc(alias = "async_io")]
    pub async fn read_with<R>(&self, read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io(Direction::Read, read).await
    }

    /// Waits until `write` is worth trying, and calls it until it says something else than `WouldBlock` or
    /// `Interrupted`.
    ///
    /// # Errors
    /// What `write` says, or when the loop is closed.
    ///
    /// # Panics
    /// In another loop than the one it was made in.
    ///
    /// # Cancel safety
    /// Safe, if `write` does nothing when it says `WouldBlock`: it returns in the poll in which it has
    /// succeeded.
    #[doc(alias = "async_io")]
    pub async fn write_with<R>(&self, write: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io(Direction::Write, write).await
    }

    async fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            self.ready(direction).await?;
            match self.try_io(direction, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Calls `operation`, and takes note if it says `WouldBlock`.
    fn try_io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match operation(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.refused(direction)?;
                    return Err(error);
                }
                result => {
                    self.registration().got_on(direction);
                    return result;
                }
            }
        }
    }

    /// Takes note that the system refused an operation.
    fn refused(&self, direction: Direction) -> io::Result<()> {
        let registration = self.registration();
        match registration.refused(direction) {
            Recheck::Needless => Ok(()),
            Recheck::Needed => {
                let reregistered = registration.reregister(&mut Descriptor(self.as_fd()));
                reregistered.map_err(cannot_watch)
            }
        }
    }

    async fn ready(&self, direction: Direction) -> io::Result<()> {
        // Else one who only ever finds it ready would never let the others run.
        poll_fn(budget::poll_consume).await;
        let mut ready = pin!(self.registration().ready_shared(direction));
        poll_fn(|cx| {
            let polled = ready.as_mut().poll(cx);
            if polled.is_pending() {
                self.note(direction);
            }
            polled
        })
        .await
    }

    /// Notes what the running task is about to wait for.
    fn note(&self, direction: Direction) {
        let kind = match direction {
            Direction::Read => Kind::Readable,
            Direction::Write => Kind::Writable,
        };
        wait::note(Label::new(kind, self.number() as u64)); // Never negative.
    }

    fn number(&self) -> i32 {
        self.as_fd().as_raw_fd()
    }

    /// Takes note that `direction` is not ready, unless it is.
    ///
    /// The system is asked once more. Between the operation that said so and this call the loop may have been
    /// told that the descriptor is ready again, and it will not be told twice.
    fn clear(&self, direction: Direction) {
        if !is_ready_now(self.as_fd(), direction) {
            self.registration().clear(direction);
        }
    }
}

const IS_WHOLE: &str = "only into_inner and drop take it apart";

impl<T: AsFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        drop(self.take_apart());
    }
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFd").field(self.get_ref()).finish()
    }
}

/// What the system says of `direction` at this moment. Errors count as ready: an operation will tell them.
fn is_ready_now(fd: BorrowedFd<'_>, direction: Direction) -> bool {
    let flags = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    !poll_now(fd, flags).is_empty()
}

/// Whether the other side is gone.
pub(crate) fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    // These two are told unasked.
    poll_now(fd, PollFlags::empty()).intersects(PollFlags::ERR | PollFlags::HUP)
}

fn poll_now(fd: BorrowedFd<'_>, flags: PollFlags) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let no_time = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        match rustix::event::poll(&mut fds, Some(&no_time)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return PollFlags::ERR,
            Ok(_) => return fds[0].revents(),
        }
    }
}
