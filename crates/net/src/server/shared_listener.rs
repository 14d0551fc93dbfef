//! One address for the loops of several threads.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::Socket;

use crate::server::builder::{default_backlog, local_addr, new_socket};
use crate::tcp::TcpListener;
use crate::tcp::address_error::at_address;

/// An address on which the loops of several threads listen, each with a [`listener`](SharedListener::listener) of its own.
///
/// On Linux each listener is a socket of its own, and the kernel spreads connections over them by a hash of the addresses
/// (`SO_REUSEPORT`): the threads share nothing. Elsewhere the listeners are
/// one socket, from which whoever is first takes a connection: an idle thread is woken in vain now and then.
///
/// It stays bound as long as it lives, so that the system gives the port to nobody else between two listeners. Connections that wait in the
/// backlog of a listener are reset when it is closed, also if others go on.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn serve_on(_: tulipa::net::TcpListener) {}
/// # fn main() -> std::io::Result<()> {
/// use tulipa::net::SharedListener;
///
/// let shared = SharedListener::bind("127.0.0.1:8888".parse().unwrap())?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| serve_on(shared.listener().unwrap()));
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[doc(alias = "SO_REUSEPORT")]
pub struct SharedListener {
    socket: Socket,
    addr: SocketAddr,
    /// Whether each listener is a socket of its own.
    is_spread: bool,
}

impl SharedListener {
    /// Binds an address. Port 0 lets the system choose, once for all listeners.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind(addr: SocketAddr) -> io::Result<SharedListener> {
        let at = |error| at_address("listen on", addr, error);
        let (socket, is_spread) = bound(addr).map_err(at)?;
        if !is_spread {
            socket.listen(default_backlog()).map_err(at)?;
        }
        Ok(SharedListener {
            addr: local_addr(&socket).map_err(at)?,
            socket,
            is_spread,
        })
    }

    /// A listener for the loop of this thread.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn listener(&self) -> io::Result<TcpListener> {
        let at = |error| at_address("listen on", self.addr, error);
        let socket = if self.is_spread {
            let (socket, _) = bound(self.addr).map_err(at)?;
            socket.listen(default_backlog()).map_err(at)?;
            socket
        } else {
            self.socket.try_clone().map_err(at)?
        };
        TcpListener::from_std(socket.into())
    }

    /// The address, with the port that the system chose if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl fmt::Debug for SharedListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedListener")
            .field("local_addr", &self.addr)
            .field("is_spread", &self.is_spread)
            .finish_non_exhaustive()
    }
}

fn bound(addr: SocketAddr) -> io::Result<(Socket, bool)> {
    let socket = new_socket(addr)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let is_spread = spread(&socket)?;
    socket.bind(&addr.into())?;
    Ok((socket, is_spread))
}

/// Asks the kernel to spread connections over all sockets that listen on the same address; says whether it can.
///
/// On Linux one that is only bound gets none. FreeBSD's `SO_REUSEPORT_LB` may give it some, which are refused then; elsewhere
/// the option of this name lets the last socket have all connections, if it exists.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn spread(socket: &Socket) -> io::Result<bool> {
    socket.set_reuse_port(true)?;
    Ok(true)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn spread(_: &Socket) -> io::Result<bool> {
    Ok(false)
}
