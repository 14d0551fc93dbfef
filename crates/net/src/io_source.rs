//! A socket that tries first, and waits in the loop's driver when it must.
//!
//! # How an operation goes
//! 1. It takes one from the task's budget, so that a socket that is always ready cannot starve the
//!    loop.
//! 2. If the socket is registered and not known to be ready, it waits: the kernel is not asked for
//!    what it would refuse.
//! 3. It tries. What comes of that, an error included, is the result, but for `Interrupted` (again)
//!    and `WouldBlock`: then the socket is registered, if this is the first time, or the driver is
//!    told, and the operation waits. (If the driver had been told the opposite and nothing came of it,
//!    it looks again: see the reactor's `slot`.)
//!
//! A socket that never has to wait is never registered. Registration is for both directions at once.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tulipa_base::budget;
use tulipa_base::wait::{self, Kind, Label};
use tulipa_reactor::{Direction, Driver, Recheck, Registration};

use crate::socket_cell::{Socket, SocketCell};
use crate::watch_error::cannot_watch;

/// Whether a read that finds less than it asked for has taken all there was. It has for stream sockets
/// behind edge-triggered epoll and kqueue, see epoll(7) under 'Possible pitfalls'; mio's Windows
/// sockets must be read until they would block.
const IS_SHORT_READ_FINAL: bool = cfg!(unix);

pub(crate) struct IoSource<S: Socket> {
    // The order matters: a registration is given up before its socket is closed.
    registration: OnceCell<Registration>,
    /// Before there is a registration: the last read took all there was.
    is_drained: Cell<bool>,
    socket: SocketCell<S>,
}

impl<S: Socket> IoSource<S> {
    pub(crate) fn new(socket: S) -> IoSource<S> {
        IoSource {
            registration: OnceCell::new(),
            is_drained: Cell::new(false),
            socket: SocketCell::new(socket),
        }
    }

    /// Calls `f` with the socket, for what does not wait.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&S) -> R) -> R {
        self.socket.with(f)
    }

    /// Performs `operation`, which has its direction to itself.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        ready!(budget::poll_consume(cx));
        let registration = match self.registration.get() {
            Some(registration) => registration,
            None => match self.try_unregistered(direction, &mut operation) {
                Some(result) => return Poll::Ready(result),
                None => self.register()?,
            },
        };
        loop {
            if registration.is_ready(direction) {
                match self.socket.with(&mut operation) {
                    Ok(value) => {
                        registration.got_on(direction);
                        return Poll::Ready(Ok(value));
                    }
                    Err(error) => match error.kind() {
                        io::ErrorKind::Interrupted => continue,
                        io::ErrorKind::WouldBlock => self.refused(registration, direction)?,
                        _ => {
                            registration.got_on(direction);
                            return Poll::Ready(Err(error));
                        }
                    },
                }
            }
            if registration.poll_ready(direction, cx)?.is_pending() {
                budget::refund();
                self.note(direction);
                return Poll::Pending;
            }
        }
    }

    /// Performs `operation` on a socket that never had to wait; `None` if it has to now.
    #[cold]
    fn try_unregistered<R>(
        &self,
        direction: Direction,
        operation: &mut impl FnMut(&S) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        if direction == Direction::Read && self.is_drained.get() {
            return None; // The kernel would say so; registering tells of what has come since.
        }
        match self.try_io(direction, operation) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            result => Some(result),
        }
    }

    /// Reads into a buffer of `capacity` bytes. See [`IoSource::poll_io`].
    #[inline]
    pub(crate) fn poll_read_io(
        &self,
        cx: &mut Context<'_>,
        capacity: usize,
        operation: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if capacity == 0 {
            return Poll::Ready(Ok(0)); // Nothing is asked for, so there is nothing to wait for.
        }
        let result = self.poll_io(Direction::Read, cx, operation);
        if let Poll::Ready(Ok(count)) = result
            && IS_SHORT_READ_FINAL
            && count > 0
            && count < capacity
        {
            self.note_drained();
        }
        result
    }

    /// Takes note that the last read has taken all there was, as the system says.
    #[inline]
    pub(crate) fn note_drained(&self) {
        match self.registration.get() {
            Some(registration) => registration.clear_drained(),
            None => self.is_drained.set(true),
        }
    }

    /// Performs `operation`, which others may be waiting for in the same direction.
    pub(crate) async fn shared_io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            poll_fn(budget::poll_consume).await;
            if let Some(registration) = self.registration.get()
                && !registration.is_ready(direction)
            {
                budget::refund();
                self.wait_shared(registration, direction).await?;
                continue;
            }
            match self.socket.with(&mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    budget::refund();
                    self.note_not_ready(direction)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    self.got_on(direction);
                    return result;
                }
            }
        }
    }

    /// Waits until an operation in `direction` is worth trying, which others may be waiting for too.
    pub(crate) async fn ready_shared(&self, direction: Direction) -> io::Result<()> {
        poll_fn(budget::poll_consume).await;
        let registration = self.registration()?;
        if !registration.is_ready(direction) {
            budget::refund();
            self.wait_shared(registration, direction).await?;
        }
        Ok(())
    }

    async fn wait_shared(
        &self,
        registration: &Registration,
        direction: Direction,
    ) -> io::Result<()> {
        let mut ready = pin!(registration.ready_shared(direction));
        poll_fn(|cx| {
            let polled = ready.as_mut().poll(cx);
            if polled.is_pending() {
                self.note(direction);
            }
            polled
        })
        .await
    }

    /// Waits until an operation in `direction` is worth trying.
    pub(crate) fn poll_ready(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(budget::poll_consume(cx));
        let polled = self.registration()?.poll_ready(direction, cx);
        if polled.is_pending() {
            budget::refund();
            self.note(direction);
        }
        polled
    }

    /// Notes what the running task is about to wait for.
    #[inline]
    fn note(&self, direction: Direction) {
        let kind = match direction {
            Direction::Read => Kind::Readable,
            Direction::Write => Kind::Writable,
        };
        wait::note(Label::new(kind, self.socket.number()));
    }

    /// Performs `operation` if it can be done at once; `WouldBlock` otherwise.
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match self.socket.with(&mut operation) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(registration) = self.registration.get() {
                        self.refused(registration, direction)?;
                    }
                    return Err(error);
                }
                result => {
                    self.got_on(direction);
                    return result;
                }
            }
        }
    }

    /// Takes note that the system did not refuse an operation.
    #[inline]
    fn got_on(&self, direction: Direction) {
        if let Some(registration) = self.registration.get() {
            registration.got_on(direction);
        }
    }

    /// Takes note that the system refused an operation.
    #[inline]
    fn refused(&self, registration: &Registration, direction: Direction) -> io::Result<()> {
        match registration.refused(direction) {
            Recheck::Needless => Ok(()),
            Recheck::Needed => self.socket.reregister(registration).map_err(cannot_watch),
        }
    }

    /// Takes note that the socket was not ready; registers it, if it is not registered yet.
    fn note_not_ready(&self, direction: Direction) -> io::Result<()> {
        match self.registration.get() {
            Some(registration) => self.refused(registration, direction),
            None => self.registration().map(drop),
        }
    }

    /// The registration, made now if there is none.
    fn registration(&self) -> io::Result<&Registration> {
        match self.registration.get() {
            Some(registration) => Ok(registration),
            None => self.register(),
        }
    }

    #[cold]
    fn register(&self) -> io::Result<&Registration> {
        let Some(driver) = Driver::current() else {
            panic_outside()
        };
        let registration = self.socket.register(&driver).map_err(cannot_watch)?;
        Ok(self.registration.get_or_init(|| registration))
    }

    /// The socket, free of any loop.
    pub(crate) fn into_socket(mut self) -> io::Result<S> {
        if let Some(registration) = self.registration.take() {
            self.socket.deregister(registration)?;
        }
        Ok(self.socket.into_inner())
    }
}

#[cfg(unix)]
impl<S: Socket> std::os::fd::AsFd for IoSource<S> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S: Socket + fmt::Debug> fmt::Debug for IoSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoSource")
            .field("socket", &self.socket)
            .field("is_registered", &self.registration.get().is_some())
            .finish()
    }
}

#[cold]
fn panic_outside() -> ! {
    panic!(
        "a socket has to wait, but no tulipa event loop runs on this thread: start the program with \
         #[tulipa::main], or use the socket inside tulipa::run(..)"
    )
}
