//! What a server accepts connections from.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use crate::tcp::{TcpListener, TcpStream};
#[cfg(unix)]
use crate::unix::{UnixListener, UnixStream};

/// Something that a [`Server`](crate::server::Server) accepts connections from.
///
/// It is implemented by the listeners of this crate. A program implements it for its own: one that wraps another and
/// filters or decorates what it accepts, or one over a transport that tulipa does not have.
///
/// Dropping a listener closes it.
///
/// # Examples
/// One that turns away whoever does not come from this machine:
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// use std::io;
/// use std::net::SocketAddr;
/// use std::task::{Context, Poll, ready};
/// use tulipa::net::{Listener, TcpListener, TcpStream};
///
/// struct Local(TcpListener);
///
/// impl Listener for Local {
///     type Stream = TcpStream;
///     type Addr = SocketAddr;
///
///     fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
///         loop {
///             let (stream, peer) = ready!(Listener::poll_accept(&self.0, cx))?;
///             if peer.ip().is_loopback() {
///                 return Poll::Ready(Ok((stream, peer)));
///             }
///         }
///     }
///
///     fn local_addr(&self) -> io::Result<SocketAddr> {
///         self.0.local_addr()
///     }
/// }
/// ```
pub trait Listener: 'static {
    /// What is accepted.
    type Stream: 'static;

    /// Who is at the other end. Its `Debug` form names the connection's task.
    type Addr: fmt::Debug + Clone + 'static;

    /// Accepts one connection, if one is there. Otherwise the task is woken when it is worth asking again.
    ///
    /// One task asks at a time.
    ///
    /// # Errors
    /// What accept(2) says, unchanged: the server tells errors of a single connection, which it skips, and of exhausted
    /// descriptors, at which it pauses, from those of the listener itself, which end the server.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Self::Addr)>>;

    /// The address it listens on.
    ///
    /// # Errors
    /// What the operating system says.
    fn local_addr(&self) -> io::Result<Self::Addr>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.poll_accept_alone(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    type Stream = UnixStream;
    type Addr = std::os::unix::net::SocketAddr;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, Self::Addr)>> {
        self.poll_accept_alone(cx)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        UnixListener::local_addr(self)
    }
}
