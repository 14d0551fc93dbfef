//! The end of a pipe that is read from.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead;
use rustix::io::Errno;
use tulipa_reactor::Direction;

use super::{adopt, into_blocking};
use crate::io_source::IoSource;
use crate::whole;

/// The end of a pipe that is read from. See [`pipe`](super::pipe()).
#[doc(alias = "connect_read_pipe")]
#[doc(alias = "ReadTransport")]
pub struct Receiver {
    source: IoSource<OwnedFd>,
    /// A terminal whose other side is gone says `EIO`: the end, to us.
    is_device: bool,
}

impl Receiver {
    pub(super) fn new(fd: OwnedFd, is_device: bool) -> Receiver {
        Receiver {
            source: IoSource::new(fd),
            is_device,
        }
    }

    /// Adopts a pipe, a FIFO, a socket or a terminal. It is made non-blocking.
    ///
    /// # Shared descriptions
    /// The mode belongs to the file description, which other processes may share: those at the same terminal,
    /// say, may find that their reads fail with `WouldBlock`. Take standard input from the program's own
    /// means for it, or open the terminal anew.
    ///
    /// # Errors
    /// - `InvalidInput`: it is something else.
    /// - What the operating system says.
    pub fn from_fd(fd: impl Into<OwnedFd>) -> io::Result<Receiver> {
        let fd = fd.into();
        let is_device = adopt(&fd)?;
        Ok(Receiver::new(fd, is_device))
    }

    /// Gives the descriptor back, in non-blocking mode.
    ///
    /// # Errors
    /// What the operating system says; it is closed then.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.source.into_socket()
    }

    /// Gives the descriptor back, in blocking mode: for a child process, which expects that.
    ///
    /// # Errors
    /// What the operating system says; it is closed then.
    pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        into_blocking(self.into_fd()?)
    }

    /// Waits until at least one byte can be read, then reads once into the start of `buf`.
    ///
    /// `0` means that nobody has the other end open any more, or that `buf` is empty.
    ///
    /// # Errors
    /// What read(2) says. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe. Bytes leave the pipe only in the poll that returns them.
    ///
    /// # Platform notes
    /// A terminal whose other side is gone is at its end, though Linux calls that an error (`EIO`).
    ///
    /// # References
    /// read(2), POSIX.1-2024.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_io(cx, buf)).await
    }

    /// Like [`read`](Receiver::read), into several buffers in turn.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    ///
    /// # Cancel safety
    /// Safe, as there.
    pub async fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_vectored_io(cx, bufs)).await
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// - `UnexpectedEof`: the pipe ended before. What was read is in `buf`.
    /// - As [`read`](Receiver::read).
    ///
    /// # Panics
    /// As [`read`](Receiver::read).
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may have read a part, which is in `buf`, without saying how much.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        whole::read_exact(buf, "the pipe ended", |cx, rest| {
            self.poll_read_io(cx, rest)
        })
        .await
    }

    /// Waits until a read is worth trying.
    ///
    /// # Errors
    /// When the loop is closed or refuses to watch the descriptor.
    ///
    /// # Panics
    /// Outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.source.poll_ready(Direction::Read, cx)).await
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, and as [`read`](Receiver::read).
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let is_device = self.is_device;
        self.source.try_io(Direction::Read, |it| {
            ended(is_device, rustix::io::read(it, &mut *buf))
        })
    }

    // A short read does not tell that a terminal, or a pipe of packets, is empty; so the kernel is asked
    // before each wait.

    fn poll_read_io(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Read, cx, |it| {
            ended(self.is_device, rustix::io::read(it, &mut *buf))
        })
    }

    fn poll_read_vectored_io(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Read, cx, |it| {
            ended(self.is_device, rustix::io::readv(it, bufs))
        })
    }
}

fn ended(is_device: bool, result: Result<usize, Errno>) -> io::Result<usize> {
    match result {
        Err(Errno::IO) if is_device => Ok(0),
        result => Ok(result?),
    }
}

impl AsyncRead for Receiver {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_io(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_vectored_io(cx, bufs)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.source).finish()
    }
}
