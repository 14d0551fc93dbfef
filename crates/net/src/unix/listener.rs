//! Listening for connections on a Unix socket.

use std::fmt;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use socket2::{Domain, Socket, Type};
use tulipa_reactor::Direction;

use crate::accept::{self, pause::Pause};
use crate::io_source::IoSource;
use crate::unix::address::{at_addr, at_path, from_path};
use crate::unix::socket_file::{self, SocketFile};
use crate::unix::stream::UnixStream;

/// Connections the kernel may hold for a listener before they are accepted. The kernel cuts it to its
/// own limit, 4096 on Linux today. When it is full, clients have to wait.
const BACKLOG: i32 = 4096;

/// Listens for connections on a Unix socket.
///
/// Several tasks may accept from one listener. Dropping it closes it, and removes the socket file that
/// it made, if that is still the one: a file that someone has put in its place stays.
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
/// use tulipa::net::UnixListener;
///
/// let listener = UnixListener::bind("/tmp/service.sock").await?;
/// loop {
///     let (stream, _) = listener.accept().await?;
///     println!("connection from user {}", stream.peer_cred()?.uid());
/// }
/// # }
/// ```
#[doc(alias = "create_unix_server")]
pub struct UnixListener {
    // The order matters: the file is removed while the socket is open.
    file: Option<SocketFile>,
    source: IoSource<mio::net::UnixListener>,
    pause: Pause,
}

impl UnixListener {
    /// Binds a socket to `path` and listens on it. A socket file that no socket is bound to any more,
    /// left behind by a process that died, is removed first.
    ///
    /// On Linux a path that begins with a NUL byte is an abstract name. Who may connect is a matter of
    /// the file's permissions, which umask(2) limits, and better of those of its directory.
    ///
    /// # Errors
    /// - `AddrInUse`: another socket is bound there, or something else is in the way, which is left
    ///   alone.
    /// - `NotFound`: the directory does not exist.
    /// - `PermissionDenied`: the directory may not be written to.
    /// - `InvalidInput`: the path is too long for an address (107 bytes on Linux), or empty.
    ///
    /// The message names the path; the error's source is the system's own.
    ///
    /// # Cancel safety
    /// Safe: it does not wait.
    pub async fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        from_path(path)
            .and_then(|addr| listen(&addr))
            .map_err(|error| at_path("listen on", path, error))
    }

    /// Like [`bind`](UnixListener::bind), on an address of std's.
    ///
    /// # Errors
    /// As [`bind`](UnixListener::bind). `InvalidInput`: the address is unnamed.
    ///
    /// # Cancel safety
    /// Safe: it does not wait.
    pub async fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        listen(addr).map_err(|error| at_addr("listen on", addr, error))
    }

    /// Adopts a socket that listens already, for instance one passed in by a service manager. It is
    /// made non-blocking. Its file is not removed when the listener is dropped.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        listener.set_nonblocking(true)?;
        let listener = mio::net::UnixListener::from_std(listener);
        Ok(UnixListener::from_mio(listener, None))
    }

    /// Gives the socket back, in non-blocking mode. Its file stays.
    ///
    /// # Errors
    /// What the operating system says; the socket is closed then.
    pub fn into_std(mut self) -> io::Result<std::os::unix::net::UnixListener> {
        self.set_unlink_on_drop(false);
        Ok(self.source.into_socket()?.into())
    }

    fn from_mio(listener: mio::net::UnixListener, file: Option<SocketFile>) -> UnixListener {
        UnixListener {
            file,
            source: IoSource::new(listener),
            pause: Pause::default(),
        }
    }

    /// Sets whether dropping the listener removes the socket file that it made: by default it does. It
    /// cannot be set again once it was taken back.
    #[doc(alias = "cleanup_socket")]
    pub fn set_unlink_on_drop(&mut self, is_wanted: bool) {
        if !is_wanted && let Some(file) = self.file.take() {
            file.keep();
        }
    }

    /// Waits for a connection, and accepts it. The address is that of the client's socket, which is
    /// unnamed as a rule.
    ///
    /// A burst of connections is accepted without waiting in between. See the type for what happens
    /// when descriptors run out.
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
    /// accept(2), POSIX.1-2024; unix(7).
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let accept = |it: &mio::net::UnixListener| it.accept();
        let (stream, peer) = accept::accept(&self.source, &self.pause, accept, || {
            self.local_addr().map_or_else(
                |_| "a listener".to_owned(),
                |addr: SocketAddr| format!("{addr:?}"),
            )
        })
        .await?;
        Ok((UnixStream::from_mio(stream), peer))
    }

    /// Accepts one connection, with the system's errors. A single task may wait this way.
    pub(crate) fn poll_accept_alone(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        self.source
            .poll_io(Direction::Read, cx, |it| it.accept())
            .map_ok(|(stream, peer)| (UnixStream::from_mio(stream), peer))
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.local_addr())
    }
}

impl std::os::fd::AsFd for UnixListener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener")
            .field("local_addr", &self.local_addr().ok())
            .finish_non_exhaustive()
    }
}

fn listen(addr: &SocketAddr) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let file = socket_file::bind(&socket, addr)?;
    socket.listen(BACKLOG)?;
    let listener = mio::net::UnixListener::from_std(socket.into());
    Ok(UnixListener::from_mio(listener, file))
}
