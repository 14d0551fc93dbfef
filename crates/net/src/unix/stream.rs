//! A connection between Unix sockets.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Socket, Type};
use tulipa_base::Instant;
use tulipa_executor::timer::sleep;
use tulipa_reactor::Direction;

use crate::io_source::IoSource;
use crate::unix::address::{at_addr, at_path, from_path, to_sock_addr};
use crate::unix::credentials::{UCred, peer_cred};
use crate::unix::descriptors::{self, Received, send_flags};
use crate::unix::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::whole;

/// How long [`UnixStream::connect`] goes on trying when the listener's backlog is full. The system
/// does not tell when there is room, and a listener that accepts nothing for so long is as good as
/// gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pauses between attempts: the first is soon enough for a listener that is busy for a moment, the
/// longest costs nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A connection between Unix sockets.
///
/// Reading and writing take `&mut self`: one task reads, one writes. To do both at once, split the
/// stream: [`split`](UnixStream::split) by reference, [`into_split`](UnixStream::into_split) into owned
/// halves.
///
/// Reads and writes try at once, and wait only when the kernel says so.
///
/// A stream that has had to wait belongs to the loop it waited in: awaiting it in another one panics, and
/// is an error once its loop is closed. [`into_std`](UnixStream::into_std) and
/// [`from_std`](UnixStream::from_std) move it.
///
/// Dropping the stream closes the connection. What was written can still be read, but if not all was
/// read that the peer had written, the peer gets `ConnectionReset` after it.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::UnixStream;
///
/// let mut stream = UnixStream::connect("/tmp/service.sock").await?;
/// stream.write_all(b"hello").await?;
/// let mut reply = [0; 5];
/// stream.read_exact(&mut reply).await?;
/// # Ok(())
/// # }
/// ```
pub struct UnixStream {
    inner: Inner,
}

impl UnixStream {
    /// Connects to the socket at `path`. On Linux a path that begins with a NUL byte is an abstract
    /// name.
    ///
    /// When the listener's backlog is full, it is tried again, for five seconds at most.
    ///
    /// # Errors
    /// - `NotFound`: there is no such file.
    /// - `ConnectionRefused`: nobody listens there; on the BSDs, too, when the backlog is full.
    /// - `PermissionDenied`: the file may not be written to.
    /// - `TimedOut`: the backlog has been full all the time.
    /// - `InvalidInput`: the path is too long for an address, or empty.
    ///
    /// The message names the path; the error's source is the system's own.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: a dropped call closes the socket.
    ///
    /// # References
    /// connect(2), POSIX.1-2024; unix(7).
    #[doc(alias = "open_unix_connection")]
    #[doc(alias = "create_unix_connection")]
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let path = path.as_ref();
        let connected = match from_path(path) {
            Ok(addr) => connect_to(&addr).await,
            Err(error) => Err(error),
        };
        connected.map_err(|error| at_path("connect to", path, error))
    }

    /// Like [`connect`](UnixStream::connect), to an address of std's.
    ///
    /// # Errors
    /// As [`connect`](UnixStream::connect). `InvalidInput`: the address is unnamed.
    ///
    /// # Panics
    /// As [`connect`](UnixStream::connect).
    ///
    /// # Cancel safety
    /// Safe, as [`connect`](UnixStream::connect).
    pub async fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        connect_to(addr)
            .await
            .map_err(|error| at_addr("connect to", addr, error))
    }

    /// Two streams that are connected to each other.
    ///
    /// # Errors
    /// What the operating system says.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = mio::net::UnixStream::pair()?;
        Ok((UnixStream::from_mio(a), UnixStream::from_mio(b)))
    }

    /// Adopts a connected socket. It is made non-blocking.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        stream.set_nonblocking(true)?;
        Ok(UnixStream::from_mio(mio::net::UnixStream::from_std(stream)))
    }

    /// Gives the socket back, in non-blocking mode.
    ///
    /// # Errors
    /// What the operating system says; the socket is closed then.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        Ok(self.inner.source.into_socket()?.into())
    }

    pub(crate) fn from_mio(stream: mio::net::UnixStream) -> UnixStream {
        UnixStream {
            inner: Inner {
                source: IoSource::new(stream),
            },
        }
    }

    pub(crate) fn from_inner(inner: Inner) -> UnixStream {
        UnixStream { inner }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Waits until at least one byte can be read, then reads once into the start of `buf`.
    ///
    /// Returns the number of bytes read, at most `buf.len()`. `0` means that the peer has shut down its
    /// side, or that `buf` is empty. Descriptors that come with the bytes are closed: see
    /// [`recv_with_fds`](UnixStream::recv_with_fds).
    ///
    /// # Errors
    /// - `ConnectionReset`: the peer is gone and has not read all that was written to it.
    /// - Anything else recv(2) reports. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than the stream belongs to.
    ///
    /// # Cancel safety
    /// Safe. Bytes leave the socket only in the poll that returns them; dropping the future loses
    /// nothing.
    ///
    /// # References
    /// recv(2), POSIX.1-2024; unix(7).
    pub fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.inner.read(buf)
    }

    /// Like [`read`](UnixStream::read), into several buffers in turn.
    ///
    /// # Errors
    /// As [`read`](UnixStream::read).
    ///
    /// # Panics
    /// As [`read`](UnixStream::read).
    ///
    /// # Cancel safety
    /// Safe, as [`read`](UnixStream::read).
    pub async fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.inner.poll_read_vectored(cx, bufs)).await
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// - `UnexpectedEof`: the peer has shut down its side before. What was read is in `buf`.
    /// - As [`read`](UnixStream::read).
    ///
    /// # Panics
    /// As [`read`](UnixStream::read).
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may have read a part, which is in `buf`, without saying how much.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(buf).await
    }

    /// Like [`read`](UnixStream::read), but leaves the bytes in the socket.
    ///
    /// # Errors
    /// As [`read`](UnixStream::read).
    ///
    /// # Panics
    /// As [`read`](UnixStream::read).
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.inner.poll_peek(cx, buf)).await
    }

    /// Waits until the socket takes at least one byte, then writes once from the start of `buf`.
    ///
    /// Returns the number of bytes taken, at most `buf.len()`. `0` only if `buf` is empty.
    ///
    /// # Errors
    /// - `BrokenPipe`: the peer is gone. No signal is raised.
    /// - Anything else send(2) reports. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than the stream belongs to.
    ///
    /// # Cancel safety
    /// Safe. Bytes are taken only in the poll that says so.
    ///
    /// # References
    /// send(2), POSIX.1-2024.
    pub fn write(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.inner.write(buf)
    }

    /// Like [`write`](UnixStream::write), from several buffers in turn.
    ///
    /// # Errors
    /// As [`write`](UnixStream::write).
    ///
    /// # Panics
    /// As [`write`](UnixStream::write).
    ///
    /// # Cancel safety
    /// Safe, as [`write`](UnixStream::write).
    pub async fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.inner.poll_write_vectored(cx, bufs)).await
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// As [`write`](UnixStream::write); a part of `buf` may have been written then.
    ///
    /// # Panics
    /// As [`write`](UnixStream::write).
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may have written a part of `buf`, without saying how much.
    pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.inner.write_all(buf)
    }

    /// Like [`write`](UnixStream::write), and sends copies of the descriptors `fds` along with the first
    /// byte. Of the bytes a part may be taken; descriptors go all or not at all, and must not be sent
    /// again with the rest.
    ///
    /// # Errors
    /// - `InvalidInput`: `buf` is empty (descriptors travel with bytes), or there are more than 253
    ///   descriptors.
    /// - The system's `ETOOMANYREFS`: too many descriptors are under way.
    /// - As [`write`](UnixStream::write).
    ///
    /// # Panics
    /// As [`write`](UnixStream::write).
    ///
    /// # Cancel safety
    /// Safe. Bytes and descriptors are taken only in the poll that says so.
    ///
    /// # Examples
    /// ```
    /// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
    /// # fn main() {}
    /// # async fn f() -> std::io::Result<()> {
    /// use std::os::fd::AsFd;
    /// use tulipa::net::UnixStream;
    ///
    /// let (mut a, mut b) = UnixStream::pair()?;
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// a.send_with_fds(b"!", &[file.as_fd()]).await?;
    /// let received = b.recv_with_fds(&mut [0; 1], 1).await?;
    /// let same_file = std::fs::File::from(received.fds.into_iter().next().unwrap());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # References
    /// sendmsg(2), unix(7) under SCM_RIGHTS.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn send_with_fds(&mut self, buf: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.inner.poll_send_with_fds(cx, buf, fds)).await
    }

    /// Like [`read`](UnixStream::read), and takes up to `most_fds` descriptors that come with the bytes.
    /// They are this process's from here on, closed when dropped, and not inherited by its children.
    ///
    /// Bytes that were sent with descriptors are not read together with later ones.
    ///
    /// # Errors
    /// - `InvalidInput`: `buf` is empty.
    /// - As [`read`](UnixStream::read).
    ///
    /// # Panics
    /// As [`read`](UnixStream::read).
    ///
    /// # Cancel safety
    /// Safe. Bytes and descriptors leave the socket only in the poll that returns them.
    ///
    /// # Platform notes
    /// Apple's systems let children that are started at the same moment inherit the descriptors.
    ///
    /// # References
    /// recvmsg(2), unix(7) under SCM_RIGHTS.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn recv_with_fds(&mut self, buf: &mut [u8], most_fds: usize) -> io::Result<Received> {
        poll_fn(|cx| self.inner.poll_recv_with_fds(cx, buf, most_fds)).await
    }

    /// Waits until a read is worth trying: bytes, the end of the stream or an error may be there.
    ///
    /// # Errors
    /// When the loop is closed or refuses to watch the socket.
    ///
    /// # Panics
    /// Outside of a runtime, or in another loop than the stream belongs to.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.inner.source.poll_ready(Direction::Read, cx)).await
    }

    /// Waits until a write is worth trying.
    ///
    /// # Errors
    /// When the loop is closed or refuses to watch the socket.
    ///
    /// # Panics
    /// Outside of a runtime, or in another loop than the stream belongs to.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn writable(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.inner.source.poll_ready(Direction::Write, cx)).await
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, and as [`read`](UnixStream::read).
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner
            .source
            .try_io(Direction::Read, |mut it| it.read(buf))
    }

    /// Writes what the socket takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing, and as [`write`](UnixStream::write).
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.inner
            .source
            .try_io(Direction::Write, |it| send(it, buf))
    }

    /// Ends one or both directions. After `Shutdown::Write` the peer reads the end of the stream once
    /// it has read what was written; reading goes on.
    ///
    /// # Errors
    /// What shutdown(2) says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// A reading and a writing half that borrow the stream.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::new(&self.inner), WriteHalf::new(&self.inner))
    }

    /// A reading and a writing half, for two tasks. Dropping the writing half ends that direction, as
    /// [`shutdown`](UnixStream::shutdown) does; the connection is closed when both are dropped.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let inner = Rc::new(self.inner);
        (
            OwnedReadHalf::new(Rc::clone(&inner)),
            OwnedWriteHalf::new(inner),
        )
    }

    /// The process at the other end, as it was when it connected, listened, or made the pair.
    ///
    /// # Errors
    /// What the operating system says. `Unsupported` where it has no such thing.
    ///
    /// # References
    /// unix(7) under SO_PEERCRED; getpeereid(3) of the BSDs.
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_cred(&self) -> io::Result<UCred> {
        peer_cred(self.as_fd())
    }

    /// The address of the peer: unnamed, unless it was bound.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.source.as_fd()
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixStream")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish_non_exhaustive()
    }
}

/// What a stream and its halves share. Each direction is used by one of them at a time.
pub(crate) struct Inner {
    source: IoSource<mio::net::UnixStream>,
}

impl Inner {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn source(&self) -> &IoSource<mio::net::UnixStream> {
        &self.source
    }

    // A short read is not taken as the last one, unlike with TCP: bytes that were sent with descriptors
    // are not read together with what follows them, however much room there is.

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0)); // Nothing is asked for, so there is nothing to wait for.
        }
        self.source
            .poll_io(Direction::Read, cx, |mut it| it.read(buf))
    }

    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.source
            .poll_io(Direction::Read, cx, |mut it| it.read_vectored(bufs))
    }

    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.source.poll_io(Direction::Read, cx, |it| {
            let (count, _) = rustix::net::recv(it, &mut *buf, RecvFlags::PEEK)?;
            Ok(count)
        })
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Direction::Write, cx, |it| send(it, buf))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Write, cx, |it| {
            descriptors::send_vectored(it.as_fd(), bufs)
        })
    }

    pub(crate) fn poll_send_with_fds(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Err(no_bytes()));
        }
        self.source.poll_io(Direction::Write, cx, |it| {
            descriptors::send(it.as_fd(), buf, fds)
        })
    }

    pub(crate) fn poll_recv_with_fds(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        most_fds: usize,
    ) -> Poll<io::Result<Received>> {
        if buf.is_empty() {
            return Poll::Ready(Err(no_bytes()));
        }
        self.source.poll_io(Direction::Read, cx, |it| {
            descriptors::recv(it.as_fd(), buf, most_fds)
        })
    }

    pub(crate) fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_read(cx, buf))
    }

    pub(crate) fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_write(cx, buf))
    }

    pub(crate) fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        whole::write_all(buf, move |cx, rest| self.poll_write(cx, rest))
    }

    pub(crate) async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let end = "the peer ended the stream";
        whole::read_exact(buf, end, |cx, rest| self.poll_read(cx, rest)).await
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.with(|it| it.shutdown(how))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.peer_addr())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.local_addr())
    }
}

/// Writes without a signal when the peer is gone; write(2) would raise one.
fn send(socket: &mio::net::UnixStream, buf: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, buf, send_flags())?)
}

fn no_bytes() -> io::Error {
    let message = "descriptors travel with bytes, and the buffer is empty";
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

async fn connect_to(addr: &SocketAddr) -> io::Result<UnixStream> {
    let addr = to_sock_addr(addr)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let mut give_up_at = None;
    let mut pause = FIRST_PAUSE;
    loop {
        match socket.connect(&addr) {
            Ok(()) => break,
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INTR) => continue,
                // It was interrupted after the fact.
                Some(Errno::ISCONN) => break,
                // The backlog is full. Unlike EINPROGRESS of TCP, this attempt is over.
                Some(Errno::AGAIN) => {}
                _ => return Err(error),
            },
        }
        let now = Instant::now();
        if now >= *give_up_at.get_or_insert(now + PATIENCE) {
            let message = format!("the listener's backlog has been full for {PATIENCE:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
    Ok(UnixStream::from_mio(mio::net::UnixStream::from_std(
        socket.into(),
    )))
}
