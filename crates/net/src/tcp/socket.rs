//! A TCP socket before it connects or listens.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::tcp::address_error::at_address;
use crate::tcp::keep_alive::KeepAlive;
use crate::tcp::listener::TcpListener;
use crate::tcp::options::{self, Family};
use crate::tcp::stream::TcpStream;

/// A TCP socket that is neither connected nor listening yet, to set options that count before that.
///
/// It is non-blocking and not inherited by child processes. `TCP_NODELAY` is set, as on all of tulipa's
/// streams; accepted streams inherit it. Urgent data stays out of the stream (`SO_OOBINLINE` is off).
/// Nothing else differs from the system's defaults; in particular `SO_REUSEADDR` is off, which
/// [`TcpListener::bind`] sets on Unix.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() -> std::io::Result<()> {
/// use tulipa::net::TcpSocket;
///
/// let socket = TcpSocket::new_v4()?;
/// # #[cfg(unix)]
/// socket.set_reuse_address(true)?;
/// socket.set_recv_buffer_size(1 << 20)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(1024)?;
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
///
/// # References
/// socket(7), tcp(7), ip(7), ipv6(7).
#[doc(alias = "socket")]
pub struct TcpSocket {
    socket: Socket,
    family: Family,
}

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    /// What the operating system says, for instance that there are no descriptors left.
    pub fn new_v4() -> io::Result<TcpSocket> {
        TcpSocket::new(Family::V4)
    }

    /// A socket for IPv6.
    ///
    /// # Errors
    /// What the operating system says, for instance that there are no descriptors left.
    pub fn new_v6() -> io::Result<TcpSocket> {
        TcpSocket::new(Family::V6)
    }

    /// A socket for the family of `addr`.
    ///
    /// # Errors
    /// What the operating system says, for instance that there are no descriptors left.
    pub fn for_addr(addr: SocketAddr) -> io::Result<TcpSocket> {
        TcpSocket::new(Family::of(addr))
    }

    fn new(family: Family) -> io::Result<TcpSocket> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = nonblocking(domain)?;
        socket.set_tcp_nodelay(true)?;
        Ok(TcpSocket { socket, family })
    }

    /// Adopts a socket that was made elsewhere, and is neither connected nor listening. (std has no type for
    /// one; convert it to a `TcpStream`.) It is made non-blocking; its options stay as they are.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<TcpSocket> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let family = match socket.local_addr()?.is_ipv6() {
            true => Family::V6,
            false => Family::V4,
        };
        Ok(TcpSocket { socket, family })
    }

    /// Gives the socket itself up, in non-blocking mode.
    pub fn into_std(self) -> std::net::TcpStream {
        self.socket.into()
    }

    /// Binds the socket to an address of this machine. Port 0 lets the system choose.
    ///
    /// # Errors
    /// - `AddrInUse`: another socket has it.
    /// - `AddrNotAvailable`: it is not of this machine.
    /// - `PermissionDenied`: the port is privileged.
    ///
    /// The message names the address; the error's source is the system's own.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        let bound = self.bind_plainly(addr);
        bound.map_err(|error| at_address("bind to", addr, error))
    }

    /// Binds, with the system's errors.
    pub(crate) fn bind_plainly(&self, addr: SocketAddr) -> io::Result<()> {
        self.socket.bind(&addr.into())
    }

    /// Connects to `addr`.
    ///
    /// # Errors
    /// As [`TcpStream::connect`] to an address.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: a dropped call closes the socket.
    ///
    /// # References
    /// connect(2), POSIX.1-2024.
    #[doc(alias = "sock_connect")]
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        let connected = self.connect_plainly(addr).await;
        connected.map_err(|error| at_address("connect to", addr, error))
    }

    /// Connects, with the system's errors.
    pub(crate) async fn connect_plainly(self, addr: SocketAddr) -> io::Result<TcpStream> {
        let connecting = begin_connect(&self.socket, &addr.into())?;
        let stream = TcpStream::from_mio(mio::net::TcpStream::from_std(self.socket.into()));
        if connecting == Connecting::GoesOn {
            poll_fn(|cx| stream.inner().poll_connected(cx)).await?;
        }
        Ok(stream)
    }

    /// Listens for connections, of which the system may hold `backlog` until they are accepted. It cuts that
    /// to its own limit, 4096 on Linux today.
    ///
    /// # Errors
    /// - `AddrInUse`: another socket listens on the address.
    /// - What else listen(2) says.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        self.socket.listen(backlog)?;
        let listener = mio::net::TcpListener::from_std(self.socket.into());
        Ok(TcpListener::from_mio(listener))
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let addr = self.socket.local_addr()?;
        addr.as_socket()
            .ok_or_else(|| io::Error::other("the socket has no address of IP"))
    }

    /// An error that the socket keeps, and forgets by this.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Sets whether the address may be taken over from connections of an earlier socket that linger
    /// (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// # Platform notes
    /// On Windows it lets another process take the port away: leave it off there.
    pub fn set_reuse_address(&self, reuse: bool) -> io::Result<()> {
        self.socket.set_reuse_address(reuse)
    }

    /// Whether the address may be taken over.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn reuse_address(&self) -> io::Result<bool> {
        self.socket.reuse_address()
    }

    /// Sets whether several sockets may listen on the same address, if all of them say so; connections are
    /// spread over them. For one loop a thread (`SO_REUSEPORT`; on FreeBSD `SO_REUSEPORT_LB`, since its
    /// other option of the name does not spread them).
    ///
    /// # Errors
    /// What the operating system says.
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    pub fn set_reuse_port(&self, reuse: bool) -> io::Result<()> {
        #[cfg(target_os = "freebsd")]
        return self.socket.set_reuse_port_lb(reuse);
        #[cfg(not(target_os = "freebsd"))]
        self.socket.set_reuse_port(reuse)
    }

    /// Whether several sockets may listen on the same address.
    ///
    /// # Errors
    /// What the operating system says.
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    pub fn reuse_port(&self) -> io::Result<bool> {
        #[cfg(target_os = "freebsd")]
        return self.socket.reuse_port_lb();
        #[cfg(not(target_os = "freebsd"))]
        self.socket.reuse_port()
    }

    /// Sets whether a socket for IPv6 takes connections of IPv6 only, or those of IPv4 as well, whose
    /// addresses then look like `::ffff:127.0.0.1` (`IPV6_V6ONLY`). The system's default differs.
    ///
    /// # Errors
    /// What the operating system says, for instance that the socket is not for IPv6, or is bound already.
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        self.socket.set_only_v6(only_v6)
    }

    /// Whether a socket for IPv6 takes connections of IPv6 only.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn only_v6(&self) -> io::Result<bool> {
        self.socket.only_v6()
    }

    /// Asks for a send buffer of this many bytes. Linux doubles the number, and cuts it to its limit;
    /// it stops adapting the size by itself then.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.set_send_buffer_size(bytes)
    }

    /// The size of the send buffer, as the system counts it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.socket.send_buffer_size()
    }

    /// Asks for a receive buffer of this many bytes, see [`set_send_buffer_size`](TcpSocket::set_send_buffer_size).
    /// Before connecting or listening, so that the peer is offered a window to match.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.set_recv_buffer_size(bytes)
    }

    /// The size of the receive buffer, as the system counts it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.socket.recv_buffer_size()
    }

    /// Sends and receives through this network interface only, whatever the routes say; `None` through any.
    ///
    /// # Errors
    /// `NotFound` (`ENODEV`), when there is none of this name; `PermissionDenied` on older kernels.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn bind_device(&self, interface: Option<&str>) -> io::Result<()> {
        self.socket.bind_device(interface.map(str::as_bytes))
    }

    /// The network interface it is bound to.
    ///
    /// # Errors
    /// What the operating system says.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn device(&self) -> io::Result<Option<String>> {
        let device = self.socket.device()?;
        Ok(device.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    fn with<R>(&self, f: impl FnOnce(&Socket) -> R) -> R {
        f(&self.socket)
    }

    fn family(&self) -> io::Result<Family> {
        Ok(self.family)
    }
}

options::option_methods!(TcpSocket);

#[cfg(unix)]
impl std::os::fd::AsFd for TcpSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for TcpSocket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.socket.as_socket()
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpSocket")
            .field("local_addr", &self.local_addr().ok())
            .finish_non_exhaustive()
    }
}

/// A TCP socket, non-blocking and not inherited by child processes; in one system call where there is one.
fn nonblocking(domain: Domain) -> io::Result<Socket> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// What a call of connect has led to.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Connecting {
    Done,
    /// The system goes on by itself.
    GoesOn,
}

/// Begins to connect. If that is interrupted it goes on by itself, see connect(2), or has not begun: calling again
/// tells.
pub(crate) fn begin_connect(socket: &Socket, addr: &SockAddr) -> io::Result<Connecting> {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let mut is_interrupted = false;
        loop {
            let Err(error) = socket.connect(addr) else {
                return Ok(Connecting::Done);
            };
            match Errno::from_io_error(&error) {
                Some(Errno::INTR) => is_interrupted = true,
                Some(Errno::INPROGRESS) => return Ok(Connecting::GoesOn),
                Some(Errno::ALREADY) if is_interrupted => return Ok(Connecting::GoesOn),
                Some(Errno::ISCONN) if is_interrupted => return Ok(Connecting::Done),
                _ => return Err(error),
            }
        }
    }
    #[cfg(not(unix))]
    match socket.connect(addr) {
        Ok(()) => Ok(Connecting::Done),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Connecting::GoesOn),
        Err(error) => Err(error),
    }
}
