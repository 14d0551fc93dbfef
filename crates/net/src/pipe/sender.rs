//! The end of a pipe that is written to.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncWrite;
use tulipa_reactor::Direction;

use super::{adopt, into_blocking};
use crate::async_fd::is_hung_up;
use crate::io_source::IoSource;
use crate::whole;

/// The end of a pipe that is written to. See [`pipe`](super::pipe()).
///
/// Dropping it closes the end: when no other is left, the receiver reads what was written, and then the end.
///
/// # Signals
/// A pipe whose receiver is gone raises SIGPIPE, which no flag of a write keeps away. Rust programs ignore it
/// from the start, and then the write fails with `BrokenPipe`. A program that has given SIGPIPE its
/// default action back is ended by it.
#[doc(alias = "connect_write_pipe")]
#[doc(alias = "WriteTransport")]
pub struct Sender {
    source: IoSource<OwnedFd>,
}

impl Sender {
    pub(super) fn new(fd: OwnedFd) -> Sender {
        Sender {
            source: IoSource::new(fd),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn source(&self) -> &IoSource<OwnedFd> {
        &self.source
    }

    /// Adopts a pipe, a FIFO, a socket or a terminal. It is made non-blocking: see
    /// [`Receiver::from_fd`](super::Receiver::from_fd) for whom that may surprise.
    ///
    /// # Errors
    /// - `InvalidInput`: it is something else.
    /// - What the operating system says.
    pub fn from_fd(fd: impl Into<OwnedFd>) -> io::Result<Sender> {
        let fd = fd.into();
        adopt(&fd)?;
        Ok(Sender::new(fd))
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

    /// Waits until the pipe takes at least one byte, then writes once from the start of `buf`.
    ///
    /// Up to `PIPE_BUF` bytes (4096 on Linux) are written as one piece: those of other writers
    /// do not come between.
    ///
    /// # Errors
    /// - `BrokenPipe`: nobody has the other end open any more.
    /// - What else write(2) says. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe. Bytes are taken only in the poll that says so.
    ///
    /// # References
    /// write(2), POSIX.1-2024; pipe(7).
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write_io(cx, buf)).await
    }

    /// Like [`write`](Sender::write), from several buffers in turn.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    ///
    /// # Cancel safety
    /// Safe, as there.
    pub async fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write_vectored_io(cx, bufs)).await
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// As [`write`](Sender::write); a part of `buf` may have been written then.
    ///
    /// # Panics
    /// As [`write`](Sender::write).
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may have written a part of `buf`, without saying how much.
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        whole::write_all(buf, |cx, rest| self.poll_write_io(cx, rest)).await
    }

    /// Waits until a write is worth trying: there is room, or the receiver is gone.
    ///
    /// # Errors
    /// When the loop is closed or refuses to watch the descriptor.
    ///
    /// # Panics
    /// Outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn writable(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.source.poll_ready(Direction::Write, cx)).await
    }

    /// Writes what the pipe takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing, and as [`write`](Sender::write).
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.source
            .try_io(Direction::Write, |it| Ok(rustix::io::write(it, buf)?))
    }

    /// Waits until nobody has the other end open any more. A write would fail then.
    ///
    /// # Errors
    /// When the loop is closed or refuses to watch the descriptor.
    ///
    /// # Panics
    /// Outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    ///
    /// # Platform notes
    /// For pipes and FIFOs on Linux. Other systems may not tell before something is written.
    pub async fn closed(&mut self) -> io::Result<()> {
        // That the receiver is gone counts as an error, of which both directions hear. This end never has
        // anything to read, so nobody else waits for that one.
        let gone = |it: &OwnedFd| match is_hung_up(it.as_fd()) {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        poll_fn(|cx| self.source.poll_io(Direction::Read, cx, gone)).await
    }

    fn poll_write_io(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Direction::Write, cx, |it| Ok(rustix::io::write(it, buf)?))
    }

    fn poll_write_vectored_io(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Direction::Write, cx, |it| Ok(rustix::io::writev(it, bufs)?))
    }
}

impl AsyncWrite for Sender {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_io(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored_io(cx, bufs)
    }

    /// Nothing is buffered here.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: a pipe has one direction, which ends when this is dropped.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.source).finish()
    }
}
