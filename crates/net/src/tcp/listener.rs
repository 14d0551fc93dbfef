//! Listening for TCP connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tulipa_reactor::Direction;

use crate::accept::{self, pause::Pause};
use crate::addr::{ToSocketAddrs, resolve};
use crate::io_source::IoSource;
use crate::tcp::address_error::at_address;
use crate::tcp::options::{self, Family};
use crate::tcp::socket::TcpSocket;
use crate::tcp::stream::TcpStream;

/// Connections the kernel may hold for a listener before they are accepted. The kernel cuts it to its
/// own limit, 4096 on Linux today. When it is full, clients' first packets are dropped and come again
/// after a second.
const BACKLOG: u32 = 4096;

/// Listens for TCP connections.
///
/// Several tasks may accept from one listener. Dropping it closes it.
///
/// # Running out of descriptors
/// When the process or the system has no descriptor or memory left for a connection, accepting pauses
/// for a second, the loop's exception handler is told, and accepting goes on by itself. The
/// connections wait in the backlog meanwhile.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// println!("listening on {}", listener.local_addr()?);
/// loop {
///     let (stream, peer) = listener.accept().await?;
///     println!("connection from {peer}");
///     drop(stream);
/// }
/// # }
/// ```
pub struct TcpListener {
    source: IoSource<mio::net::TcpListener>,
    pause: Pause,
}

impl TcpListener {
    /// Binds a socket and listens on it. Port 0 lets the system choose, see
    /// [`local_addr`](TcpListener::local_addr).
    ///
    /// Of several addresses the first that can be bound is used. On Unix the address is taken over
    /// from connections of an earlier listener that linger (`SO_REUSEADDR`). Accepted streams have
    /// `TCP_NODELAY` set, as all of tulipa's streams; std and tokio leave it off.
    ///
    /// # Errors
    /// - `AddrInUse`: another socket listens there.
    /// - `AddrNotAvailable`: the address is not of this machine.
    /// - `PermissionDenied`: the port is privileged.
    /// - `InvalidInput`: `addr` is not an address.
    ///
    /// The message names the address; the error's source is the system's own. Of several addresses the
    /// first error is returned.
    ///
    /// # Panics
    /// When a name has to be looked up outside of a loop.
    ///
    /// # Cancel safety
    /// Safe: it does not wait.
    #[doc(alias = "create_server")]
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let mut first_error = None;
        for addr in resolve(addr).await? {
            match listen(addr) {
                Ok(listener) => return Ok(listener),
                Err(error) => {
                    first_error.get_or_insert(at_address("listen on", addr, error));
                }
            }
        }
        Err(first_error.expect("there is at least one address"))
    }

    /// Adopts a socket that listens already, for instance one passed in by a service manager. It is
    /// made non-blocking.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        Ok(TcpListener::from_mio(mio::net::TcpListener::from_std(
            listener,
        )))
    }

    /// Gives the socket back, in non-blocking mode.
    ///
    /// # Errors
    /// What the operating system says; the socket is closed then.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let socket = socket2::Socket::from(owned(self.source.into_socket()?));
        Ok(socket.into())
    }

    pub(crate) fn from_mio(listener: mio::net::TcpListener) -> TcpListener {
        TcpListener {
            source: IoSource::new(listener),
            pause: Pause::default(),
        }
    }

    /// Waits for a connection, and accepts it.
    ///
    /// A burst of connections is accepted without waiting in between. Connections that were aborted
    /// before they could be accepted are skipped. See the type for what happens when descriptors run
    /// out.
    ///
    /// # Errors
    /// What accept(2) says about the listener itself.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe. A connection leaves the backlog only in the poll that returns it.
    ///
    /// # References
    /// accept(2), POSIX.1-2024.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accept = |it: &mio::net::TcpListener| it.accept();
        let (stream, peer) = accept::accept(&self.source, &self.pause, accept, || {
            self.local_addr().map_or_else(
                |_| "a listener".to_owned(),
                |addr: SocketAddr| addr.to_string(),
            )
        })
        .await?;
        inherit_nodelay(&stream);
        Ok((TcpStream::from_mio(stream), peer))
    }

    /// Accepts a connection if one waits.
    ///
    /// # Errors
    /// `WouldBlock` when none waits. Else what accept(2) says; unlike [`accept`](TcpListener::accept) it does
    /// not deal with any of that itself.
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.source.try_io(Direction::Read, |it| it.accept())?;
        inherit_nodelay(&stream);
        Ok((TcpStream::from_mio(stream), peer))
    }

    /// How many routers a packet may pass: the TTL of IPv4, the hop limit of IPv6.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn ttl(&self) -> io::Result<u32> {
        let family = Family::of(self.local_addr()?);
        self.source
            .with(|it| options::ttl(&SockRef::from(it), family))
    }

    /// Sets how many routers a packet may pass. Accepted streams inherit it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let family = Family::of(self.local_addr()?);
        self.source
            .with(|it| options::set_ttl(&SockRef::from(it), family, ttl))
    }

    /// An error that the socket keeps, and forgets by this.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.with(|it| it.take_error())
    }

    /// Accepts one connection, for a task that is the only one to accept here. Every error is passed on.
    pub(crate) fn poll_accept_alone(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accept = |it: &mio::net::TcpListener| it.accept();
        let (stream, peer) = ready!(self.source.poll_io(Direction::Read, cx, accept))?;
        inherit_nodelay(&stream);
        Poll::Ready(Ok((TcpStream::from_mio(stream), peer)))
    }

    /// The address it listens on, with the port the system chose if 0 was asked for.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.local_addr())
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpListener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpListener");
        match self.local_addr() {
            Ok(addr) => debug.field("local_addr", &addr),
            Err(error) => debug.field("local_addr", &error),
        };
        debug.finish_non_exhaustive()
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::for_addr(addr)?;
    // On Windows the option of this name lets another process take the port away.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind_plainly(addr)?;
    socket.listen(BACKLOG)
}

/// Linux and the BSDs hand the listener's `TCP_NODELAY` on to what it accepts; elsewhere it is set.
fn inherit_nodelay(stream: &mio::net::TcpStream) {
    if cfg!(not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd"
    ))) {
        // A connection that is reset already says no; its first read tells.
        let _ = SockRef::from(stream).set_tcp_nodelay(true);
    }
}

#[cfg(unix)]
fn owned(listener: mio::net::TcpListener) -> std::os::fd::OwnedFd {
    listener.into()
}

#[cfg(not(unix))]
fn owned(listener: mio::net::TcpListener) -> std::os::windows::io::OwnedSocket {
    listener.into()
}
