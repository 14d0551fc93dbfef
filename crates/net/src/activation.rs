//! Sockets that a service manager has opened and passes to this process.

use std::env;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use listenfd::ListenFd;
use nix::libc;
use socket2::SockRef;

use crate::tcp::{TcpListener, TcpStream};
use crate::udp::UdpSocket;
use crate::unix::{UnixDatagram, UnixListener, UnixStream};

/// More are taken for nonsense in the environment. No process may have as many descriptors by default.
const MOST: usize = 1 << 16;

/// A socket from [`listen_fds`].
#[derive(Debug)]
#[non_exhaustive]
pub struct PassedSocket {
    /// Its name, if the service manager gave names.
    pub name: Option<String>,
    /// The socket.
    pub socket: PassedKind,
}

/// What a [`PassedSocket`] is.
#[derive(Debug)]
#[non_exhaustive]
pub enum PassedKind {
    /// It listens for TCP connections.
    TcpListener(TcpListener),
    /// A TCP connection: the service is started for each (systemd's `Accept=yes`).
    TcpStream(TcpStream),
    /// A UDP socket.
    Udp(UdpSocket),
    /// It listens for connections on a Unix socket. Its file is not removed when it is dropped.
    UnixListener(UnixListener),
    /// A connection between Unix sockets.
    UnixStream(UnixStream),
    /// A Unix datagram socket.
    UnixDatagram(UnixDatagram),
    /// Something else, such as a FIFO: it is open, and nobody owns it.
    Other(RawFd),
}

/// Takes the sockets that a service manager has passed to this process: systemd, or
/// `systemd-socket-activate` for trying it out. Empty when there are none.
///
/// The first call takes them; later ones find none. They are made non-blocking, and child processes do
/// not inherit them.
///
/// To be called early in `main`, before there are other threads: it takes the variables out of the
/// environment, which no other thread may read meanwhile.
///
/// # Errors
/// - `InvalidData`: the environment names descriptors that are not open or too many.
/// - What the operating system says about a socket.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::{PassedKind, TcpListener, listen_fds};
///
/// let listener = match listen_fds()?.into_iter().next().map(|it| it.socket) {
///     Some(PassedKind::TcpListener(listener)) => listener,
///     Some(other) => panic!("a TCP listener is wanted, not {other:?}"),
///     None => TcpListener::bind("127.0.0.1:8888").await?,
/// };
/// # Ok(())
/// # }
/// ```
///
/// # References
/// sd_listen_fds(3): `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`.
#[doc(alias = "sd_listen_fds")]
#[doc(alias = "LISTEN_FDS")]
pub fn listen_fds() -> io::Result<Vec<PassedSocket>> {
    let count = env::var("LISTEN_FDS").ok().and_then(|it| it.parse().ok());
    if count.is_some_and(|it: usize| it > MOST) {
        return Err(invalid("LISTEN_FDS is too large".to_owned()));
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .map(|index| {
            let name = names.next().filter(|it| !it.is_empty());
            Ok(PassedSocket {
                name: name.map(str::to_owned),
                socket: take(&mut passed, index)?,
            })
        })
        .collect()
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<PassedKind> {
    let mut of = |family, kind| {
        // An error says that it is something else, and leaves it there for the next question.
        let taken = passed.take_custom::<OwnedFd>(index, family, kind, "");
        taken.ok().flatten()
    };
    if let Some(fd) = of(libc::AF_INET, libc::SOCK_STREAM) {
        return Ok(if is_connected(&fd) {
            PassedKind::TcpStream(TcpStream::from_std(fd.into())?)
        } else {
            PassedKind::TcpListener(TcpListener::from_std(fd.into())?)
        });
    }
    if let Some(fd) = of(libc::AF_INET, libc::SOCK_DGRAM) {
        return Ok(PassedKind::Udp(UdpSocket::from_std(fd.into())?));
    }
    if let Some(fd) = of(libc::AF_UNIX, libc::SOCK_STREAM) {
        return Ok(if is_connected(&fd) {
            PassedKind::UnixStream(UnixStream::from_std(fd.into())?)
        } else {
            PassedKind::UnixListener(UnixListener::from_std(fd.into())?)
        });
    }
    if let Some(fd) = of(libc::AF_UNIX, libc::SOCK_DGRAM) {
        return Ok(PassedKind::UnixDatagram(UnixDatagram::from_std(fd.into())?));
    }
    match passed.take_raw_fd(index)? {
        Some(fd) => Ok(PassedKind::Other(fd)),
        None => Err(invalid(format!("socket {index} was not passed"))),
    }
}

fn is_connected(fd: &OwnedFd) -> bool {
    // A connection that its client has reset already has no peer any more.
    #[cfg(not(target_vendor = "apple"))]
    if let Ok(listens) = rustix::net::sockopt::socket_acceptconn(fd) {
        return !listens;
    }
    // Apple's systems do not answer that question.
    SockRef::from(fd).peer_addr().is_ok()
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
