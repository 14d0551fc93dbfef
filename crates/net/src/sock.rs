//! Sockets of any kind, with the operations of the system under their own names: asyncio's `sock_*`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny};
use socket2::SockRef;
use tulipa_reactor::Direction;
use tulipa_sync::Lock;

use crate::addr::{Target, ToSocketAddrs};
use crate::io_source::IoSource;
use crate::names::{default_resolver, look_up};
use crate::tcp::{Connecting, begin_connect};

/// A socket of any kind, made elsewhere, with the operations of the system.
///
/// [`TcpStream`](crate::TcpStream) and its kind are nicer to use. This is for sockets that have no type here,
/// and for code that is written for bare sockets.
///
/// # Several at once
/// Operations take `&self`, and any number may be under way. Those that receive or accept take turns, in the
/// order in which they were begun, and so do those that send or connect: none is forgotten, and the bytes of
/// two [`send_all`](Socket::send_all) are not mixed. (asyncio's `sock_recv` loses the first of two.)
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # async fn f() -> std::io::Result<()> {
/// use std::os::unix::net::UnixStream;
/// use tulipa::net::Socket;
///
/// let (one, two) = UnixStream::pair()?;
/// let (one, two) = (Socket::new(one)?, Socket::new(two)?);
/// one.send_all(b"hello").await?;
/// assert_eq!(two.recv_bytes(100).await?, b"hello");
/// # Ok(())
/// # }
/// ```
#[doc(alias = "sock_recv")]
#[doc(alias = "sock_sendall")]
pub struct Socket {
    source: IoSource<OwnedFd>,
    receiving: Lock<()>,
    sending: Lock<()>,
}

impl Socket {
    /// Adopts a socket, for instance one of `std` or of the `socket2` crate. It is made non-blocking.
    ///
    /// # Errors
    /// - `ENOTSOCK`: it is no socket.
    /// - What else the operating system says.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Socket> {
        let socket = socket.into();
        SockRef::from(&socket).r#type()?; // Only sockets have one.
        Socket::adopt(socket)
    }

    fn adopt(socket: OwnedFd) -> io::Result<Socket> {
        let options = SockRef::from(&socket);
        options.set_nonblocking(true)?;
        // Where no flag can say so at each write.
        #[cfg(target_vendor = "apple")]
        options.set_nosigpipe(true)?;
        Ok(Socket {
            source: IoSource::new(socket),
            receiving: Lock::new(()),
            sending: Lock::new(()),
        })
    }

    /// Gives the socket back, in non-blocking mode.
    ///
    /// # Errors
    /// What the operating system says; the socket is closed then.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.source.into_socket()
    }

    /// Receives into the start of `buf`: for a stream at least one byte, or `0` at its end; else a datagram,
    /// of which what does not fit is lost.
    ///
    /// # Errors
    /// What recv(2) says. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime, or in another loop than before.
    ///
    /// # Cancel safety
    /// Safe. What is received leaves the socket in the poll that returns it. A call that was given up leaves
    /// its place to the next.
    #[doc(alias = "sock_recv_into")]
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let _turn = self.receiving.lock().await;
        let received = self.io(Direction::Read, |it| {
            let (_, count) = rustix::net::recv(it, &mut *buf, RecvFlags::empty())?;
            Ok(count.min(buf.len()))
        });
        received.await
    }

    /// Receives at most `limit` bytes: as [`recv`](Socket::recv), into memory of its own.
    ///
    /// # Errors
    /// As [`recv`](Socket::recv).
    ///
    /// # Panics
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// Safe, as [`recv`](Socket::recv).
    #[doc(alias = "sock_recv")]
    pub async fn recv_bytes(&self, limit: usize) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; limit];
        let count = self.recv(&mut buf).await?;
        buf.truncate(count);
        Ok(buf)
    }

    /// Receives into the start of `buf`, and says from whom, if that is an address of IP.
    ///
    /// # Errors
    /// What recvfrom(2) says. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// Safe, as [`recv`](Socket::recv).
    #[doc(alias = "sock_recvfrom")]
    #[doc(alias = "sock_recvfrom_into")]
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        let _turn = self.receiving.lock().await;
        let received = self.io(Direction::Read, |it| {
            let (_, count, from) = rustix::net::recvfrom(it, &mut *buf, RecvFlags::empty())?;
            Ok((count.min(buf.len()), from.and_then(as_ip)))
        });
        received.await
    }

    /// Sends from the start of `buf`: as much as there is room for, or a datagram.
    ///
    /// # Errors
    /// What send(2) says. `WouldBlock` and `Interrupted` never escape, and no signal is raised.
    ///
    /// # Panics
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// Safe. Bytes are taken only in the poll that says so.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let _turn = self.sending.lock().await;
        self.send_some(buf).await
    }

    /// Sends all of `buf`, through a stream.
    ///
    /// # Errors
    /// As [`send`](Socket::send); a part of `buf` may have been sent then.
    ///
    /// # Panics
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// Not safe: a dropped call may have sent a part of `buf`, without saying how much.
    #[doc(alias = "sock_sendall")]
    pub async fn send_all(&self, buf: &[u8]) -> io::Result<()> {
        let _turn = self.sending.lock().await;
        let mut rest = buf;
        while !rest.is_empty() {
            match self.send_some(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => rest = &rest[count..],
            }
        }
        Ok(())
    }

    async fn send_some(&self, buf: &[u8]) -> io::Result<usize> {
        let sent = self.io(Direction::Write, |it| {
            Ok(rustix::net::send(it, buf, NO_SIGNAL)?)
        });
        sent.await
    }

    /// Sends a datagram to `addr`.
    ///
    /// # Errors
    /// What sendto(2) says. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// Safe: it is sent in the poll that says so.
    #[doc(alias = "sock_sendto")]
    pub async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> io::Result<usize> {
        let _turn = self.sending.lock().await;
        let sent = self.io(Direction::Write, |it| {
            Ok(rustix::net::sendto(it, buf, NO_SIGNAL, &addr)?)
        });
        sent.await
    }

    /// Accepts a connection, and says from whom, if that is an address of IP. The new socket is non-blocking.
    ///
    /// # Errors
    /// What accept(2) says, that there are no descriptors left included: unlike a
    /// [`TcpListener`](crate::TcpListener) it does not deal with any of that itself.
    ///
    /// # Panics
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// Safe. A connection leaves the backlog only in the poll that returns it.
    #[doc(alias = "sock_accept")]
    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        let _turn = self.receiving.lock().await;
        let (socket, peer) = self
            .io(Direction::Read, |it| SockRef::from(it).accept())
            .await?;
        Ok((Socket::adopt(socket.into())?, peer.as_socket()))
    }

    /// Connects a socket of IP. A name is looked up, and its first address of the socket's family is used.
    ///
    /// # Errors
    /// - What connect(2) says.
    /// - `InvalidInput`: `addr` has no address of the socket's family.
    /// - What the resolver says.
    ///
    /// # Panics
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// The attempt goes on in the system: close the socket.
    #[doc(alias = "sock_connect")]
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        let addr = self.choose(addr.target()?).await?;
        let _turn = self.sending.lock().await;
        let begin = |it: &OwnedFd| begin_connect(&SockRef::from(it), &addr.into());
        if self.source.with(begin)? == Connecting::Done {
            return Ok(());
        }
        let connected = |it: &OwnedFd| {
            let socket = SockRef::from(it);
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            match socket.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                result => result.map(drop),
            }
        };
        self.io(Direction::Write, connected).await
    }

    /// The first address of the socket's family.
    async fn choose(&self, target: Target) -> io::Result<SocketAddr> {
        let family = rustix::net::getsockname(self)?.address_family();
        let addresses = match target {
            Target::Address(addr) => vec![addr],
            Target::List(addresses) => addresses,
            Target::Name { host, port } => look_up(&*default_resolver(), &host, port).await?,
        };
        let mut addresses = addresses.into_iter();
        let fitting = addresses.find(|addr| match addr {
            SocketAddr::V4(_) => family == AddressFamily::INET,
            SocketAddr::V6(_) => family == AddressFamily::INET6,
        });
        fitting.ok_or_else(|| {
            let message = "there is no address of the socket's family";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }

    /// Performs an operation whose turn it is.
    async fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&OwnedFd) -> io::Result<R>,
    ) -> io::Result<R> {
        poll_fn(|cx| self.source.poll_io(direction, cx, &mut operation)).await
    }
}

/// No SIGPIPE for a peer that is gone.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

fn as_ip(addr: SocketAddrAny) -> Option<SocketAddr> {
    let converted: Result<SocketAddr, Errno> = addr.try_into();
    converted.ok()
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.source).finish()
    }
}
