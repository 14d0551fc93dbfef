//! Unix datagram sockets.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Socket, Type};
use tulipa_base::budget;
use tulipa_executor::timer::sleep;
use tulipa_reactor::Direction;

use crate::io_source::IoSource;
use crate::unix::address::{at_addr, at_path, from_path};
use crate::unix::credentials::{UCred, peer_cred};
use crate::unix::descriptors::{self, Received};
use crate::unix::socket_file::{self, SocketFile};

/// The pauses between attempts to send to a peer whose queue is full. The first is soon enough for a
/// peer that is busy for a moment, the longest costs nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A Unix datagram socket.
///
/// Unlike UDP's, these datagrams are not lost, doubled or reordered: when the receiver's queue is
/// full, the sender waits.
///
/// Every method takes `&self`: any number of tasks may send and receive on one socket. (The `poll_`
/// methods are the exception: a direction keeps the waker of the last call only.)
///
/// A datagram that is longer than the receiver's buffer is cut, and the rest is lost. Only
/// [`recv_with_fds`](UnixDatagram::recv_with_fds) tells.
///
/// Dropping the socket closes it, and removes the socket file that it made, if that is still the one.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::UnixDatagram;
///
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"hello").await?;
/// let mut buf = [0; 16];
/// let len = b.recv(&mut buf).await?;
/// assert_eq!(&buf[..len], b"hello");
/// # Ok(())
/// # }
/// ```
pub struct UnixDatagram {
    // The order matters: the file is removed while the socket is open.
    file: Option<SocketFile>,
    source: IoSource<std::os::unix::net::UnixDatagram>,
}

impl UnixDatagram {
    /// Binds a socket to `path`. A socket file that no socket is bound to any more is removed first.
    /// On Linux a path that begins with a NUL byte is an abstract name.
    ///
    /// # Errors
    /// As [`UnixListener::bind`](crate::unix::UnixListener::bind).
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        let path = path.as_ref();
        from_path(path)
            .and_then(|addr| bound(&addr))
            .map_err(|error| at_path("bind to", path, error))
    }

    /// Like [`bind`](UnixDatagram::bind), to an address of std's.
    ///
    /// # Errors
    /// As [`bind`](UnixDatagram::bind). `InvalidInput`: the address is unnamed.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        bound(addr).map_err(|error| at_addr("bind to", addr, error))
    }

    /// A socket without a name. It can send; nobody can answer it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    /// What the operating system says.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_std(a)?, UnixDatagram::from_std(b)?))
    }

    /// Adopts a socket. It is made non-blocking. Its file is not removed when it is dropped.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram {
            file: None,
            source: IoSource::new(socket),
        })
    }

    /// Gives the socket back, in non-blocking mode. Its file stays.
    ///
    /// # Errors
    /// What the operating system says; the socket is closed then.
    pub fn into_std(mut self) -> io::Result<std::os::unix::net::UnixDatagram> {
        self.set_unlink_on_drop(false);
        self.source.into_socket()
    }

    /// Sets whether dropping the socket removes the socket file that it made: by default it does. It
    /// cannot be set again once it was taken back.
    pub fn set_unlink_on_drop(&mut self, is_wanted: bool) {
        if !is_wanted && let Some(file) = self.file.take() {
            file.keep();
        }
    }

    /// Sets the peer: [`send`](UnixDatagram::send) sends to it, and only its datagrams are received.
    ///
    /// # Errors
    /// - `NotFound`: there is no such file.
    /// - `ConnectionRefused`: no socket is bound to it.
    /// - `PermissionDenied`: the file may not be written to, or that socket is connected to another.
    ///
    /// The message names the path; the error's source is the system's own.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        from_path(path)
            .and_then(|addr| self.connect_uninterrupted(&addr))
            .map_err(|error| at_path("connect to", path, error))
    }

    /// Like [`connect`](UnixDatagram::connect), to an address of std's.
    ///
    /// # Errors
    /// As [`connect`](UnixDatagram::connect).
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.connect_uninterrupted(addr)
            .map_err(|error| at_addr("connect to", addr, error))
    }

    fn connect_uninterrupted(&self, addr: &SocketAddr) -> io::Result<()> {
        loop {
            match self.source.with(|it| it.connect_addr(addr)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sends a datagram to the peer that the socket is [connected](UnixDatagram::connect) to, and
    /// returns its length. It waits while the peer's queue is full.
    ///
    /// # Errors
    /// - `NotConnected`: there is no peer.
    /// - `ConnectionRefused`: the peer is gone. `ConnectionReset`, once: it has gone since.
    /// - The system's `EMSGSIZE`, of no kind of its own: the datagram is too long.
    /// - Anything else send(2) reports. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe. The datagram is sent in the poll that says so.
    ///
    /// # References
    /// send(2), POSIX.1-2024; unix(7).
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.send_connected(|it| it.send(buf)).await
    }

    /// Sends a datagram to the socket at `path`, and returns its length. It waits while that socket's
    /// queue is full.
    ///
    /// # Errors
    /// - `NotFound`, `ConnectionRefused`, `PermissionDenied`: as [`connect`](UnixDatagram::connect).
    /// - As [`send`](UnixDatagram::send).
    ///
    /// # Panics
    /// As [`send`](UnixDatagram::send).
    ///
    /// # Cancel safety
    /// Safe. The datagram is sent in the poll that says so.
    ///
    /// # Platform notes
    /// The system does not tell when a peer has room that the socket is not connected to, so that
    /// waiting is trying again after 1 ms, then 2, up to 20. Many datagrams for one peer are better
    /// sent over a connected socket.
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let addr = from_path(path.as_ref())?;
        self.send_to_addr(buf, &addr).await
    }

    /// Like [`send_to`](UnixDatagram::send_to), to an address of std's.
    ///
    /// # Errors
    /// As [`send_to`](UnixDatagram::send_to).
    ///
    /// # Panics
    /// As [`send`](UnixDatagram::send).
    ///
    /// # Cancel safety
    /// Safe. The datagram is sent in the poll that says so.
    pub async fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        let mut pause = FIRST_PAUSE;
        loop {
            poll_fn(budget::poll_consume).await;
            match self.source.with(|it| it.send_to_addr(buf, addr)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_full(&error) => {
                    budget::refund();
                    sleep(pause).await;
                    pause = LONGEST_PAUSE.min(2 * pause);
                }
                result => return result,
            }
        }
    }

    /// Sends by `operation`, to the peer that the socket is connected to.
    async fn send_connected(
        &self,
        mut operation: impl FnMut(&std::os::unix::net::UnixDatagram) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self
                .source
                .shared_io(Direction::Write, &mut operation)
                .await
            {
                Err(error) if is_full(&error) => {
                    sleep(pause).await;
                    pause = LONGEST_PAUSE.min(2 * pause);
                }
                result => return result,
            }
        }
    }

    /// Waits for a datagram, copies it into the start of `buf`, and returns its length, which may be
    /// 0. See the type about datagrams that are longer than `buf`.
    ///
    /// # Errors
    /// - `ConnectionReset`, once: the peer that the socket is connected to is gone.
    /// - Anything else recv(2) reports. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe. A datagram leaves the socket only in the poll that returns it.
    ///
    /// # References
    /// recv(2), POSIX.1-2024.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source
            .shared_io(Direction::Read, |it| it.recv(buf))
            .await
    }

    /// Like [`recv`](UnixDatagram::recv), and tells who sent the datagram: unnamed, unless the sender
    /// was bound.
    ///
    /// # Errors
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Panics
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Cancel safety
    /// Safe, as [`recv`](UnixDatagram::recv).
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source
            .shared_io(Direction::Read, |it| it.recv_from(buf))
            .await
    }

    /// Like [`recv`](UnixDatagram::recv), but leaves the datagram in the socket.
    ///
    /// # Errors
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Panics
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source
            .shared_io(Direction::Read, |it| {
                let (count, _) = rustix::net::recv(it, &mut *buf, RecvFlags::PEEK)?;
                Ok(count.min(buf.len()))
            })
            .await
    }

    /// Like [`send`](UnixDatagram::send), and sends copies of the descriptors `fds` along. `buf` may be
    /// empty.
    ///
    /// # Errors
    /// - `InvalidInput`: there are more than 253 descriptors.
    /// - The system's `ETOOMANYREFS`: too many descriptors are under way.
    /// - As [`send`](UnixDatagram::send).
    ///
    /// # Panics
    /// As [`send`](UnixDatagram::send).
    ///
    /// # Cancel safety
    /// Safe. Datagram and descriptors are sent in the poll that says so.
    ///
    /// # References
    /// sendmsg(2), unix(7) under SCM_RIGHTS.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn send_with_fds(&self, buf: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.send_connected(|it| descriptors::send(it.as_fd(), buf, fds))
            .await
    }

    /// Like [`recv`](UnixDatagram::recv), and takes up to `most_fds` descriptors that come with the
    /// datagram. They are this process's from here on, closed when dropped, and not inherited by its
    /// children.
    ///
    /// # Errors
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Panics
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Cancel safety
    /// Safe. Datagram and descriptors leave the socket only in the poll that returns them.
    ///
    /// # References
    /// recvmsg(2), unix(7) under SCM_RIGHTS.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn recv_with_fds(&self, buf: &mut [u8], most_fds: usize) -> io::Result<Received> {
        self.source
            .shared_io(Direction::Read, |it| {
                descriptors::recv(it.as_fd(), buf, most_fds)
            })
            .await
    }

    /// Sends a datagram to the peer that the socket is connected to, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the peer's queue is full, and as [`send`](UnixDatagram::send).
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.try_io(Direction::Write, |it| {
            it.send(buf).map_err(full_is_would_block)
        })
    }

    /// Sends a datagram to the socket at `path`, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when that socket's queue is full, and as [`send_to`](UnixDatagram::send_to).
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let addr = from_path(path.as_ref())?;
        loop {
            match self.source.with(|it| it.send_to_addr(buf, &addr)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(full_is_would_block),
            }
        }
    }

    /// Receives a datagram that is there already.
    ///
    /// # Errors
    /// `WouldBlock` when none is there, and as [`recv`](UnixDatagram::recv).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.try_io(Direction::Read, |it| it.recv(buf))
    }

    /// Receives a datagram that is there already, and tells who sent it.
    ///
    /// # Errors
    /// `WouldBlock` when none is there, and as [`recv`](UnixDatagram::recv).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.try_io(Direction::Read, |it| it.recv_from(buf))
    }

    /// [`recv`](UnixDatagram::recv), for code that polls. Only the waker of the last call that was about
    /// receiving is woken.
    ///
    /// # Errors
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Panics
    /// As [`recv`](UnixDatagram::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Read, cx, |it| it.recv(buf))
    }

    /// [`recv_from`](UnixDatagram::recv_from), for code that polls. Only the waker of the last call that
    /// was about receiving is woken.
    ///
    /// # Errors
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Panics
    /// As [`recv`](UnixDatagram::recv).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.source
            .poll_io(Direction::Read, cx, |it| it.recv_from(buf))
    }

    /// [`readable`](UnixDatagram::readable), for code that polls. Only the waker of the last call that
    /// was about receiving is woken.
    ///
    /// # Errors
    /// As [`readable`](UnixDatagram::readable).
    ///
    /// # Panics
    /// As [`readable`](UnixDatagram::readable).
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_ready(Direction::Read, cx)
    }

    /// [`writable`](UnixDatagram::writable), for code that polls. Only the waker of the last call that
    /// was about sending is woken.
    ///
    /// # Errors
    /// As [`writable`](UnixDatagram::writable).
    ///
    /// # Panics
    /// As [`writable`](UnixDatagram::writable).
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_ready(Direction::Write, cx)
    }

    /// Waits until receiving is worth trying: a datagram or an error may be there.
    ///
    /// # Errors
    /// When the loop is closed or refuses to watch the socket.
    ///
    /// # Panics
    /// Outside of a runtime, or in another loop than the socket belongs to.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn readable(&self) -> io::Result<()> {
        self.source.ready_shared(Direction::Read).await
    }

    /// Waits until sending to the peer that the socket is connected to is worth trying. Without a peer
    /// it says nothing about anyone's queue.
    ///
    /// # Errors
    /// When the loop is closed or refuses to watch the socket.
    ///
    /// # Panics
    /// Outside of a runtime, or in another loop than the socket belongs to.
    ///
    /// # Cancel safety
    /// Safe: it sends nothing.
    pub async fn writable(&self) -> io::Result<()> {
        self.source.ready_shared(Direction::Write).await
    }

    /// Ends one or both directions of a connected socket. Receiving then yields empty datagrams.
    ///
    /// # Errors
    /// `NotConnected`, when there is no peer; what else shutdown(2) says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.with(|it| it.shutdown(how))
    }

    /// The process at the other end of a [`pair`](UnixDatagram::pair).
    ///
    /// # Errors
    /// `NotConnected`, when the socket is not one of a pair; what else the operating system says.
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_cred(&self) -> io::Result<UCred> {
        peer_cred(self.as_fd())
    }

    /// The address that the socket is connected to.
    ///
    /// # Errors
    /// `NotConnected`, when there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.peer_addr())
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.local_addr())
    }

    /// Takes the error that the system holds for the socket.
    ///
    /// # Errors
    /// What the operating system says about asking.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.with(|it| it.take_error())
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixDatagram")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish_non_exhaustive()
    }
}

fn bound(addr: &SocketAddr) -> io::Result<UnixDatagram> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    let file = socket_file::bind(&socket, addr)?;
    Ok(UnixDatagram {
        file,
        source: IoSource::new(socket.into()),
    })
}

/// Whether a peer's queue is full on a system that says so by ENOBUFS: the BSDs and Apple's. Linux says
/// EAGAIN, and means by ENOBUFS that memory has run out.
fn is_full(error: &io::Error) -> bool {
    cfg!(not(any(target_os = "linux", target_os = "android")))
        && Errno::from_io_error(error) == Some(Errno::NOBUFS)
}

fn full_is_would_block(error: io::Error) -> io::Error {
    if is_full(&error) {
        return io::ErrorKind::WouldBlock.into();
    }
    error
}
