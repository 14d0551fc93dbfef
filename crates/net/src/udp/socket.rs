//! A UDP socket.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use socket2::SockRef;
use tulipa_reactor::Direction;

use crate::addr::{Target, ToSocketAddrs, resolve};
use crate::io_source::IoSource;
use crate::tcp::address_error::at_address;
#[cfg(unix)]
use crate::tcp::options::{self, Family};
use crate::udp::batch::{Batch, Received};
use crate::udp::batch_io::{self, Offload};
use crate::udp::builder::UdpBuilder;

/// A UDP socket.
///
/// Every method takes `&self`: any number of tasks may send and receive on one socket, through a
/// reference or an `Rc`. A datagram goes to one of those that wait for it. (The `poll_` methods are
/// the exception: a direction keeps the waker of the last call only.)
///
/// Datagrams may be lost, doubled and reordered by the network, and are dropped by the system when
/// they are not received as fast as they come. tulipa drops none.
///
/// # Errors that are not this call's
/// When a peer's machine answers that nobody listens at a port (ICMP), the system reports
/// `ConnectionRefused` by the next call on a connected socket, whatever it does: by `recv` or `send`,
/// or by [`take_error`](UdpSocket::take_error). The socket goes on working; the call that got the
/// error has sent or received nothing and may be repeated. It is what asyncio gives to
/// `error_received`. On Windows the error is `ConnectionReset`, of unconnected sockets too.
///
/// # Datagrams that are too long
/// A datagram that is longer than the buffer is cut, and the rest is lost: `recv`, `recv_from` and the
/// peeking ones do not tell (on Windows they fail). [`recv_many`](UdpSocket::recv_many) does. No
/// datagram is longer than 65,507 bytes over IPv4, and 65,527 over IPv6.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::UdpSocket;
///
/// let socket = UdpSocket::bind("127.0.0.1:8888").await?;
/// let mut buf = vec![0; 65536];
/// loop {
///     let (len, peer) = socket.recv_from(&mut buf).await?;
///     socket.send_to(&buf[..len], peer).await?;
/// }
/// # }
/// ```
#[doc(alias = "create_datagram_endpoint")]
#[doc(alias = "DatagramTransport")]
pub struct UdpSocket {
    source: IoSource<mio::net::UdpSocket>,
    offload: Offload,
}

impl UdpSocket {
    /// Binds a socket. Port 0 lets the system choose, see [`local_addr`](UdpSocket::local_addr). Of
    /// several addresses the first that can be bound is used.
    ///
    /// For options that must be set before binding, such as `SO_REUSEPORT`, see [`builder`](UdpSocket::builder).
    ///
    /// # Errors
    /// - `AddrInUse`: another socket is bound there.
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
    /// Safe: a dropped call leaves nothing bound.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        UdpSocket::builder().bind(addr).await
    }

    /// Sets options that count before a socket is bound or connected.
    pub fn builder() -> UdpBuilder {
        UdpBuilder::default()
    }

    /// Adopts a socket. It is made non-blocking.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        socket.set_nonblocking(true)?;
        UdpSocket::from_mio(mio::net::UdpSocket::from_std(socket))
    }

    /// Gives the socket back, in non-blocking mode.
    ///
    /// # Errors
    /// What the operating system says; the socket is closed then.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        Ok(self.source.into_socket()?.into())
    }

    pub(super) fn from_mio(socket: mio::net::UdpSocket) -> io::Result<UdpSocket> {
        Ok(UdpSocket {
            offload: Offload::new(&socket)?,
            source: IoSource::new(socket),
        })
    }

    /// Sets the peer: [`send`](UdpSocket::send) sends to it, and only its datagrams are received from
    /// now on. (Those that are there already stay.) Of several addresses the first that the socket can
    /// be connected to is used, so that those of another family are passed over.
    ///
    /// # Errors
    /// What connect(2) says, with the address; of several the first. `InvalidInput`: `addr` is not an
    /// address.
    ///
    /// # Panics
    /// When a name has to be looked up outside of a loop.
    ///
    /// # Cancel safety
    /// Safe: nothing is sent.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        let mut first_error = None;
        for addr in resolve(addr).await? {
            match self.connect_uninterrupted(addr) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    first_error.get_or_insert(at_address("connect to", addr, error));
                }
            }
        }
        Err(first_error.expect("there is at least one address"))
    }

    fn connect_uninterrupted(&self, addr: SocketAddr) -> io::Result<()> {
        loop {
            match self.source.with(|it| it.connect(addr)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sends a datagram to the peer that the socket is [connected](UdpSocket::connect) to, and returns
    /// its length. An empty one is sent, too.
    ///
    /// It waits while the socket's buffer is full.
    ///
    /// # Errors
    /// - `NotConnected`, on some systems `InvalidInput`: there is no peer.
    /// - `ConnectionRefused`: see the type; this datagram has not been sent.
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
    /// send(2), POSIX.1-2024; udp(7); RFC 768.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source
            .shared_io(Direction::Write, |it| it.send(buf))
            .await
    }

    /// Sends a datagram to `target`, and returns its length. Of several addresses the first of the
    /// socket's own family is used.
    ///
    /// It waits while the socket's buffer is full.
    ///
    /// # Errors
    /// - The system's `EMSGSIZE`, of no kind of its own: the datagram is too long.
    /// - `PermissionDenied`: it is a broadcast, which [`set_broadcast`](UdpSocket::set_broadcast)
    ///   allows, or a firewall forbids it.
    /// - Anything else sendto(2) reports. `WouldBlock` and `Interrupted` never escape.
    ///
    /// # Panics
    /// As [`send`](UdpSocket::send).
    ///
    /// # Cancel safety
    /// Safe. The datagram is sent in the poll that says so.
    #[doc(alias = "sendto")]
    #[doc(alias = "sock_sendto")]
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = match target.target()? {
            Target::Address(target) => target,
            several => self.pick(&several.resolve().await?)?,
        };
        self.source
            .shared_io(Direction::Write, |it| it.send_to(buf, target))
            .await
    }

    fn pick(&self, targets: &[SocketAddr]) -> io::Result<SocketAddr> {
        if targets.len() > 1 {
            let is_ipv4 = self.local_addr()?.is_ipv4();
            if let Some(&target) = targets.iter().find(|it| it.is_ipv4() == is_ipv4) {
                return Ok(target);
            }
        }
        Ok(targets[0])
    }

    /// Waits for a datagram, copies it into the start of `buf`, and returns its length, which may be
    /// 0. For sockets that are [connected](UdpSocket::connect), or do not care who sent it.
    ///
    /// See the type about datagrams that are longer than `buf`.
    ///
    /// # Errors
    /// - `ConnectionRefused`: see the type; the socket goes on working.
    /// - `InvalidInput`: [`set_gro`](UdpSocket::set_gro) is on.
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
        self.check_gro()?;
        self.source
            .shared_io(Direction::Read, |it| it.recv(buf))
            .await
    }

    /// Like [`recv`](UdpSocket::recv), and tells who sent the datagram.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Panics
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Cancel safety
    /// Safe, as [`recv`](UdpSocket::recv).
    #[doc(alias = "recvfrom")]
    #[doc(alias = "datagram_received")]
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.check_gro()?;
        self.source
            .shared_io(Direction::Read, |it| it.recv_from(buf))
            .await
    }

    /// Like [`recv`](UdpSocket::recv), but leaves the datagram in the socket.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Panics
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.check_gro()?;
        self.source
            .shared_io(Direction::Read, |it| it.peek(buf))
            .await
    }

    /// Like [`recv_from`](UdpSocket::recv_from), but leaves the datagram in the socket.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Panics
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.check_gro()?;
        self.source
            .shared_io(Direction::Read, |it| it.peek_from(buf))
            .await
    }

    /// Waits for datagrams, replaces the contents of `batch` by what is there, and returns the number
    /// of datagrams: at least one.
    ///
    /// On Linux and FreeBSD one system call receives up to 64 of them, and less time is spent on each.
    /// A datagram that is too long for the batch is cut, and says so.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv); but [`set_gro`](UdpSocket::set_gro) may be on. The batch is empty
    /// then.
    ///
    /// # Panics
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Cancel safety
    /// Safe. Datagrams leave the socket only in the poll that returns; what the batch held before may
    /// be gone.
    ///
    /// # Examples
    /// An echo server that receives and sends many at a time:
    /// ```
    /// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
    /// # fn main() {}
    /// # async fn f() -> std::io::Result<()> {
    /// use tulipa::net::{Batch, UdpSocket};
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:8888").await?;
    /// let mut batch = Batch::new(64, 1500);
    /// loop {
    ///     socket.recv_many(&mut batch).await?;
    ///     socket.send_many(&mut batch).await?;
    /// }
    /// # }
    /// ```
    ///
    /// # Platform notes
    /// Elsewhere the datagrams are received one by one, without waiting in between. On Windows the
    /// sender of a datagram that is too long is unknown.
    ///
    /// # References
    /// recvmmsg(2), Linux.
    #[doc(alias = "recvmmsg")]
    pub async fn recv_many(&self, batch: &mut Batch) -> io::Result<usize> {
        let received = self
            .source
            .shared_io(Direction::Read, |it| {
                batch_io::recv(it, batch, &self.offload)
            })
            .await?;
        Ok(self.take_note(received))
    }

    fn take_note(&self, received: Received) -> usize {
        if received.is_all {
            self.source.note_drained();
        }
        received.datagrams
    }

    /// Sends all datagrams of `batch`, each to its address, in order, and returns how many. It waits
    /// while the socket's buffer is full.
    ///
    /// What is sent leaves the batch. On Linux and FreeBSD one system call sends up to 64 datagrams;
    /// on Linux runs of one size to one address go through the system as one, and become datagrams
    /// again at its edge (UDP_SEGMENT): the peer sees no difference.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to). What was sent before is no longer in the batch; its first
    /// datagram is the one that the error is about. Call again to try it once more, after
    /// [`skip_first`](Batch::skip_first) to go on without it.
    ///
    /// # Panics
    /// As [`send`](UdpSocket::send).
    ///
    /// # Cancel safety
    /// Safe. The batch holds what has not been sent.
    ///
    /// # Platform notes
    /// Elsewhere the datagrams are sent one by one. Some systems refuse to send to an address on a
    /// connected socket; see [`Batch::push_connected`].
    ///
    /// # References
    /// sendmmsg(2), udp(7), Linux.
    #[doc(alias = "sendmmsg")]
    pub async fn send_many(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut sent = 0;
        while !batch.is_empty() {
            sent += self
                .source
                .shared_io(Direction::Write, |it| {
                    batch_io::send(it, batch, &self.offload)
                })
                .await?;
        }
        Ok(sent)
    }

    /// Receives what is there into `batch`, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, and as [`recv_many`](UdpSocket::recv_many).
    pub fn try_recv_many(&self, batch: &mut Batch) -> io::Result<usize> {
        let received = self.source.try_io(Direction::Read, |it| {
            batch_io::recv(it, batch, &self.offload)
        })?;
        Ok(self.take_note(received))
    }

    /// Sends what the socket takes from `batch`, without waiting, and returns how many datagrams. They
    /// leave the batch.
    ///
    /// # Errors
    /// `WouldBlock` when it takes none, and as [`send_many`](UdpSocket::send_many) when the first
    /// datagram cannot be sent.
    pub fn try_send_many(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut sent = 0;
        while !batch.is_empty() {
            let result = self.source.try_io(Direction::Write, |it| {
                batch_io::send(it, batch, &self.offload)
            });
            match result {
                Ok(count) => sent += count,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break, // The next call gets it.
            }
        }
        Ok(sent)
    }

    /// Sends a datagram to the peer that the socket is connected to, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full, and as [`send`](UdpSocket::send).
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.try_io(Direction::Write, |it| it.send(buf))
    }

    /// Sends a datagram to `target`, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full, and as [`send_to`](UdpSocket::send_to).
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.source
            .try_io(Direction::Write, |it| it.send_to(buf, target))
    }

    /// Receives a datagram that is there already.
    ///
    /// # Errors
    /// `WouldBlock` when none is there, and as [`recv`](UdpSocket::recv).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.check_gro()?;
        self.source.try_io(Direction::Read, |it| it.recv(buf))
    }

    /// Receives a datagram that is there already, and tells who sent it.
    ///
    /// # Errors
    /// `WouldBlock` when none is there, and as [`recv`](UdpSocket::recv).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.check_gro()?;
        self.source.try_io(Direction::Read, |it| it.recv_from(buf))
    }

    /// [`send`](UdpSocket::send), for code that polls. Only the waker of the last call that was about
    /// sending is woken.
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send).
    ///
    /// # Panics
    /// As [`send`](UdpSocket::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.source.poll_io(Direction::Write, cx, |it| it.send(buf))
    }

    /// [`send_to`](UdpSocket::send_to), for code that polls. Only the waker of the last call that was
    /// about sending is woken.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to).
    ///
    /// # Panics
    /// As [`send`](UdpSocket::send).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Direction::Write, cx, |it| it.send_to(buf, target))
    }

    /// [`recv`](UdpSocket::recv), for code that polls. Only the waker of the last call that was about
    /// receiving is woken.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Panics
    /// As [`recv`](UdpSocket::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check_gro()?;
        self.source.poll_io(Direction::Read, cx, |it| it.recv(buf))
    }

    /// [`recv_from`](UdpSocket::recv_from), for code that polls. Only the waker of the last call that
    /// was about receiving is woken.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Panics
    /// As [`recv`](UdpSocket::recv).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.check_gro()?;
        self.source
            .poll_io(Direction::Read, cx, |it| it.recv_from(buf))
    }

    /// [`peek_from`](UdpSocket::peek_from), for code that polls. Only the waker of the last call that
    /// was about receiving is woken.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Panics
    /// As [`recv`](UdpSocket::recv).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.check_gro()?;
        self.source
            .poll_io(Direction::Read, cx, |it| it.peek_from(buf))
    }

    /// [`readable`](UdpSocket::readable), for code that polls. Only the waker of the last call that was
    /// about receiving is woken.
    ///
    /// # Errors
    /// As [`readable`](UdpSocket::readable).
    ///
    /// # Panics
    /// As [`readable`](UdpSocket::readable).
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_ready(Direction::Read, cx)
    }

    /// [`writable`](UdpSocket::writable), for code that polls. Only the waker of the last call that was
    /// about sending is woken.
    ///
    /// # Errors
    /// As [`writable`](UdpSocket::writable).
    ///
    /// # Panics
    /// As [`writable`](UdpSocket::writable).
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

    /// Waits until sending is worth trying.
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

    /// Lets the system join datagrams of one sender and one size on their way in, so that
    /// [`recv_many`](UdpSocket::recv_many) gets up to 64 of them for the price of one (UDP_GRO). It
    /// takes them apart again. To be set before the first datagram can arrive. Traffic that cannot be
    /// joined, of many senders or over the loopback interface, is received a little more slowly.
    ///
    /// While it is on, only `recv_many` receives: for the others joined datagrams would look like one.
    ///
    /// # Errors
    /// `Unsupported` where the system has no such thing: it is Linux's, since 5.0.
    #[doc(alias = "UDP_GRO")]
    pub fn set_gro(&self, is_on: bool) -> io::Result<()> {
        self.source.with(|it| self.offload.set_gro(it, is_on))
    }

    fn check_gro(&self) -> io::Result<()> {
        if self.offload.is_gro() {
            let message = "set_gro is on: the socket receives with recv_many only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(())
    }

    /// The address that the socket is bound to, with the port the system chose if 0 was asked for.
    ///
    /// # Errors
    /// What the operating system says.
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.local_addr())
    }

    /// The address that the socket is connected to.
    ///
    /// # Errors
    /// `NotConnected`, when there is none.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.with(|it| it.peer_addr())
    }

    /// Takes the error that the system holds for the socket: see the type.
    ///
    /// # Errors
    /// What the operating system says about asking.
    #[doc(alias = "SO_ERROR")]
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.with(|it| it.take_error())
    }

    /// Whether datagrams may be sent to broadcast addresses: by default they may not.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.source.with(|it| it.broadcast())
    }

    /// Sets whether datagrams may be sent to broadcast addresses.
    ///
    /// # Errors
    /// What the operating system says.
    #[doc(alias = "allow_broadcast")]
    pub fn set_broadcast(&self, is_allowed: bool) -> io::Result<()> {
        self.source.with(|it| it.set_broadcast(is_allowed))
    }

    /// Whether other sockets may be bound to the same address. See [`UdpBuilder::reuse_address`].
    ///
    /// # Errors
    /// What the operating system says.
    pub fn reuse_address(&self) -> io::Result<bool> {
        self.source.with(|it| SockRef::from(it).reuse_address())
    }

    /// Whether sockets of the same user may share the address. See [`UdpBuilder::reuse_port`].
    ///
    /// # Errors
    /// What the operating system says.
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    pub fn reuse_port(&self) -> io::Result<bool> {
        #[cfg(target_os = "freebsd")]
        return self.source.with(|it| SockRef::from(it).reuse_port_lb());
        #[cfg(not(target_os = "freebsd"))]
        self.source.with(|it| SockRef::from(it).reuse_port())
    }

    /// Whether a socket for IPv6 takes datagrams of IPv6 only. See [`UdpBuilder::only_v6`].
    ///
    /// # Errors
    /// What the operating system says, for instance that the socket is not for IPv6.
    pub fn only_v6(&self) -> io::Result<bool> {
        self.source.with(|it| it.only_v6())
    }

    /// The network interface it is bound to. See [`UdpBuilder::device`].
    ///
    /// # Errors
    /// What the operating system says.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn device(&self) -> io::Result<Option<String>> {
        let device = self.source.with(|it| SockRef::from(it).device())?;
        Ok(device.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    /// The size of the send buffer, as the system counts it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.source.with(|it| SockRef::from(it).send_buffer_size())
    }

    /// Asks for a send buffer of this many bytes. Linux doubles the number, and cuts it to its limit.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.source
            .with(|it| SockRef::from(it).set_send_buffer_size(bytes))
    }

    /// The size of the receive buffer, as the system counts it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.source.with(|it| SockRef::from(it).recv_buffer_size())
    }

    /// Asks for a receive buffer of this many bytes, see [`UdpBuilder::recv_buffer_size`].
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.source
            .with(|it| SockRef::from(it).set_recv_buffer_size(bytes))
    }

    /// The number of routers that a datagram may pass: time to live over IPv4, hop limit over IPv6.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.with(|it| match it.local_addr()? {
            SocketAddr::V4(_) => SockRef::from(it).ttl_v4(),
            SocketAddr::V6(_) => SockRef::from(it).unicast_hops_v6(),
        })
    }

    /// Sets the number of routers that a datagram may pass.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source.with(|it| match it.local_addr()? {
            SocketAddr::V4(_) => SockRef::from(it).set_ttl_v4(ttl),
            SocketAddr::V6(_) => SockRef::from(it).set_unicast_hops_v6(ttl),
        })
    }

    /// Sets how datagrams are marked for the routers. See [`UdpBuilder::traffic_class`].
    ///
    /// # Errors
    /// What the operating system says.
    #[cfg(unix)]
    #[doc(alias = "set_tos")]
    pub fn set_traffic_class(&self, class: u32) -> io::Result<()> {
        self.source.with(|it| {
            let family = Family::of(it.local_addr()?);
            options::set_traffic_class(&SockRef::from(it), family, class)
        })
    }

    /// How datagrams are marked for the routers.
    ///
    /// # Errors
    /// What the operating system says.
    #[cfg(unix)]
    #[doc(alias = "tos")]
    pub fn traffic_class(&self) -> io::Result<u32> {
        self.source.with(|it| {
            let family = Family::of(it.local_addr()?);
            options::traffic_class(&SockRef::from(it), family)
        })
    }

    /// Joins the group `group` on the interface with the address `interface`; the system chooses one
    /// if that is unspecified.
    ///
    /// # Errors
    /// What the operating system says.
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.source
            .with(|it| it.join_multicast_v4(&group, &interface))
    }

    /// Leaves the group `group`. See [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    /// What the operating system says.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.source
            .with(|it| it.leave_multicast_v4(&group, &interface))
    }

    /// Joins the group `group` on the interface with the number `interface`; the system chooses one if
    /// that is 0.
    ///
    /// # Errors
    /// What the operating system says.
    #[doc(alias = "IPV6_JOIN_GROUP")]
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.source
            .with(|it| it.join_multicast_v6(group, interface))
    }

    /// Leaves the group `group`. See [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    /// What the operating system says.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.source
            .with(|it| it.leave_multicast_v6(group, interface))
    }

    /// The interface that multicast over IPv4 is sent from; unspecified: the system's choice.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn multicast_if_v4(&self) -> io::Result<Ipv4Addr> {
        self.source.with(|it| SockRef::from(it).multicast_if_v4())
    }

    /// Sets the interface that multicast over IPv4 is sent from, by its address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_multicast_if_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        self.source
            .with(|it| SockRef::from(it).set_multicast_if_v4(&interface))
    }

    /// The interface that multicast over IPv6 is sent from; 0: the system's choice.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn multicast_if_v6(&self) -> io::Result<u32> {
        self.source.with(|it| SockRef::from(it).multicast_if_v6())
    }

    /// Sets the interface that multicast over IPv6 is sent from, by its number.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        self.source
            .with(|it| SockRef::from(it).set_multicast_if_v6(interface))
    }

    /// Whether multicast over IPv4 comes back to members on this machine: by default it does.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.source.with(|it| it.multicast_loop_v4())
    }

    /// Sets whether multicast over IPv4 comes back to members on this machine. On Windows it is the
    /// receiver's setting, elsewhere the sender's.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_multicast_loop_v4(&self, is_looped: bool) -> io::Result<()> {
        self.source.with(|it| it.set_multicast_loop_v4(is_looped))
    }

    /// Whether multicast over IPv6 comes back to members on this machine: by default it does.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.source.with(|it| it.multicast_loop_v6())
    }

    /// Sets whether multicast over IPv6 comes back to members on this machine. On Windows it is the
    /// receiver's setting, elsewhere the sender's.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_multicast_loop_v6(&self, is_looped: bool) -> io::Result<()> {
        self.source.with(|it| it.set_multicast_loop_v6(is_looped))
    }

    /// The number of routers that multicast over IPv4 may pass: by default 1, which none does.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.source.with(|it| it.multicast_ttl_v4())
    }

    /// Sets the number of routers that multicast over IPv4 may pass.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.source.with(|it| it.set_multicast_ttl_v4(ttl))
    }

    /// The number of routers that multicast over IPv6 may pass: by default 1, which none does.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        self.source.with(|it| SockRef::from(it).multicast_hops_v6())
    }

    /// Sets the number of routers that multicast over IPv6 may pass.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        self.source
            .with(|it| SockRef::from(it).set_multicast_hops_v6(hops))
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for UdpSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish_non_exhaustive()
    }
}
