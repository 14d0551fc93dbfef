//! A TCP connection.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tulipa_reactor::Direction;

use crate::addr::ToSocketAddrs;
use crate::io_source::IoSource;
use crate::tcp::connector::Connector;
use crate::tcp::keep_alive::KeepAlive;
use crate::tcp::options::{self, Family};
use crate::tcp::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::whole;

/// A TCP connection.
///
/// Reading and writing take `&mut self`: one task reads, one writes. To do both at once, split the
/// stream: [`split`](TcpStream::split) by reference, [`into_split`](TcpStream::into_split) into owned
/// halves.
///
/// Reads and writes try at once, and wait only when the kernel says so. `TCP_NODELAY` is set, unlike
/// in std and tokio: small writes are sent without waiting for more.
///
/// A stream that has had to wait belongs to the loop it waited in: awaiting it in another one panics, and
/// is an error once its loop is closed. [`into_std`](TcpStream::into_std) and
/// [`from_std`](TcpStream::from_std) move it.
///
/// Dropping the stream closes the connection. Bytes that were written are still delivered, unless the
/// peer's bytes were not all read: then the system resets the connection.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::TcpStream;
///
/// let mut stream = TcpStream::connect("127.0.0.1:8888").await?;
/// stream.write_all(b"hello").await?;
/// let mut reply = [0; 5];
/// stream.read_exact(&mut reply).await?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream {
    inner: Inner,
}

impl TcpStream {
    /// Connects to `addr`: an address, several that are tried in order, or a name.
    ///
    /// A name is looked up, and its addresses are tried side by side as far as they are slow to answer
    /// (happy eyeballs); [`Connector`] tells how, and has options for all of it.
    ///
    /// # Errors
    /// - `ConnectionRefused`: nobody listens there.
    /// - `TimedOut`, `HostUnreachable`, `NetworkUnreachable`: as the network says.
    /// - `InvalidInput`: `addr` is not an address.
    /// - What the resolver says, see [`lookup_host`](crate::lookup_host).
    ///
    /// The message names the addresses that were tried, and [`ConnectError`](crate::ConnectError) inside has
    /// the error of each. The error's source is the system's own.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: a dropped call closes its sockets.
    ///
    /// # References
    /// connect(2), POSIX.1-2024.
    #[doc(alias = "open_connection")]
    #[doc(alias = "create_connection")]
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        Connector::new().connect(addr).await
    }

    /// Adopts a connected socket. It is made non-blocking.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        Ok(TcpStream::from_mio(mio::net::TcpStream::from_std(stream)))
    }

    /// Gives the socket back, in non-blocking mode.
    ///
    /// # Errors
    /// What the operating system says; the socket is closed then.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.inner.source.into_socket()?.into())
    }

    pub(crate) fn from_mio(stream: mio::net::TcpStream) -> TcpStream {
        TcpStream {
            inner: Inner {
                source: IoSource::new(stream),
            },
        }
    }

    pub(crate) fn from_inner(inner: Inner) -> TcpStream {
        TcpStream { inner }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Waits until at least one byte can be read, then reads once into the start of `buf`.
    ///
    /// Returns the number of bytes read, at most `buf.len()`. `0` means that the peer has shut down its
    /// side, or that `buf` is empty.
    ///
    /// # Errors
    /// - `ConnectionReset`: the peer aborted the connection. `ConnectionAborted`: this system did.
    /// - `TimedOut`, `HostUnreachable`: the peer does not answer. It is asked only by what was written, and by
    ///   [probes](crate::KeepAlive): without either, waiting for a peer that is gone without a word never ends.
    /// - Anything else recv(2) reports. `WouldBlock` and `Interrupted` never escape.
    ///
    /// The end of a connection is told once, to whoever reads or writes first. After that there is the end of the stream
    /// to read, and writing is a `BrokenPipe`.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than the stream belongs to.
    ///
    /// # Cancel safety
    /// Safe. Bytes leave the socket only in the poll that returns them; dropping the future loses
    /// nothing.
    ///
    /// # References
    /// recv(2), POSIX.1-2024; RFC 9293, section 3.10.5.
    #[inline]
    pub fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.inner.read(buf)
    }

    /// Like [`read`](TcpStream::read), into several buffers in turn.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    ///
    /// # Panics
    /// As [`read`](TcpStream::read).
    ///
    /// # Cancel safety
    /// Safe, as [`read`](TcpStream::read).
    pub async fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.inner.poll_read_vectored(cx, bufs)).await
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// - `UnexpectedEof`: the peer has shut down its side before. What was read is in `buf`.
    /// - As [`read`](TcpStream::read).
    ///
    /// # Panics
    /// As [`read`](TcpStream::read).
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may have read a part, which is in `buf`, without saying how much.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(buf).await
    }

    /// Like [`read`](TcpStream::read), but leaves the bytes in the socket.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    ///
    /// # Panics
    /// As [`read`](TcpStream::read).
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.inner.poll_peek(cx, buf)).await
    }

    /// Waits until the socket takes at least one byte, then writes once from the start of `buf`.
    ///
    /// Returns the number of bytes taken, at most `buf.len()`: they are in the kernel's buffer, not at
    /// the peer. `0` only if `buf` is empty.
    ///
    /// # Errors
    /// - `BrokenPipe`, `ConnectionReset`: the peer has closed or aborted the connection. No signal is
    ///   raised. Other errors end it, too: see [`read`](TcpStream::read).
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
    #[inline]
    pub fn write(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.inner.write(buf)
    }

    /// Like [`write`](TcpStream::write), from several buffers in turn.
    ///
    /// # Errors
    /// As [`write`](TcpStream::write).
    ///
    /// # Panics
    /// As [`write`](TcpStream::write).
    ///
    /// # Cancel safety
    /// Safe, as [`write`](TcpStream::write).
    pub async fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.inner.poll_write_vectored(cx, bufs)).await
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// As [`write`](TcpStream::write); a part of `buf` may have been written then.
    ///
    /// # Panics
    /// As [`write`](TcpStream::write).
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may have written a part of `buf`, without saying how much.
    #[inline]
    pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.inner.write_all(buf)
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
    /// `WouldBlock` when nothing is there, and as [`read`](TcpStream::read).
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner
            .source
            .try_io(Direction::Read, |mut it| it.read(buf))
    }

    /// Writes what the socket takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing, and as [`write`](TcpStream::write).
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.inner
            .source
            .try_io(Direction::Write, |mut it| it.write(buf))
    }

    /// Like [`try_read`](TcpStream::try_read), into several buffers in turn.
    ///
    /// # Errors
    /// As there.
    pub fn try_read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.inner
            .source
            .try_io(Direction::Read, |mut it| it.read_vectored(bufs))
    }

    /// Like [`try_write`](TcpStream::try_write), from several buffers in turn.
    ///
    /// # Errors
    /// As there.
    pub fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner
            .source
            .try_io(Direction::Write, |mut it| it.write_vectored(bufs))
    }

    /// Like [`try_read`](TcpStream::try_read), but leaves the bytes in the socket.
    ///
    /// # Errors
    /// As there.
    pub fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.source.try_io(Direction::Read, |it| it.peek(buf))
    }

    /// Ends one or both directions. After `Shutdown::Write` the peer reads the end of the stream once
    /// it has read what was written; reading goes on.
    ///
    /// # Errors
    /// `NotConnected`, when the connection is gone; what else shutdown(2) says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// A reading and a writing half that borrow the stream.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::new(&self.inner), WriteHalf::new(&self.inner))
    }

    /// A reading and a writing half, for two tasks. Dropping the writing half ends that direction, as
    /// [`shutdown`](TcpStream::shutdown) does; the connection is closed when both are dropped.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let inner = Rc::new(self.inner);
        (
            OwnedReadHalf::new(Rc::clone(&inner)),
            OwnedWriteHalf::new(inner),
        )
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected`, when the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.source.with(|it| it.peer_addr())
    }

    /// The address of this side.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.source.with(|it| it.local_addr())
    }

    /// An error that the socket keeps, and forgets by this.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.source.with(|it| it.take_error())
    }

    /// Closes the connection at once: what was written and is not sent yet is thrown away, and the peer
    /// sees a reset instead of an end.
    pub fn abort(self) {
        // Should it fail the connection is gone already, or is closed in the ordinary way.
        let _ = self.set_linger(Some(Duration::ZERO));
    }

    fn with<R>(&self, f: impl FnOnce(&socket2::Socket) -> R) -> R {
        self.inner.source.with(|it| f(&SockRef::from(it)))
    }

    fn family(&self) -> io::Result<Family> {
        Ok(Family::of(self.local_addr()?))
    }
}

options::option_methods!(TcpStream);

#[cfg(unix)]
impl std::os::fd::AsFd for TcpStream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.source.as_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish_non_exhaustive()
    }
}

/// What a stream and its halves share. Each direction is used by one of them at a time.
pub(crate) struct Inner {
    source: IoSource<mio::net::TcpStream>,
}

impl Inner {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn source(&self) -> &IoSource<mio::net::TcpStream> {
        &self.source
    }

    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.source
            .poll_read_io(cx, buf.len(), |mut it| it.read(buf))
    }

    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let capacity = bufs.iter().map(|buf| buf.len()).sum();
        self.source
            .poll_read_io(cx, capacity, |mut it| it.read_vectored(bufs))
    }

    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Read, cx, |it| it.peek(buf))
    }

    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Direction::Write, cx, |mut it| it.write(buf))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Direction::Write, cx, |mut it| it.write_vectored(bufs))
    }

    // The three that every message takes are one closure each, not an async function around one: that
    // saves a state machine for each of them.

    #[inline]
    pub(crate) fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_read(cx, buf))
    }

    #[inline]
    pub(crate) fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_write(cx, buf))
    }

    #[inline]
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

    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_io(Direction::Write, cx, |it| {
            if let Some(error) = SockRef::from(it).take_error()? {
                return Err(error);
            }
            match it.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                result => result.map(drop),
            }
        })
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.peer_addr())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.local_addr())
    }
}
