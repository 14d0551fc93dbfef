//! Options of a UDP socket that count before it is bound or connected.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::addr::{ToSocketAddrs, resolve};
use crate::tcp::address_error::at_address;
#[cfg(unix)]
use crate::tcp::options::{self, Family};
use crate::udp::socket::UdpSocket;

/// Makes UDP sockets with options that count before they are bound or connected: [`UdpSocket::builder`].
///
/// What is not set is as the system has it. The builder may be used for several sockets.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::UdpSocket;
///
/// // One socket for each of several threads; the system spreads the peers over them.
/// # #[cfg(unix)]
/// let builder = UdpSocket::builder().recv_buffer_size(1 << 20).reuse_port();
/// # #[cfg(not(unix))]
/// # let builder = UdpSocket::builder();
/// let first = builder.bind("127.0.0.1:5353").await?;
/// let second = builder.bind("127.0.0.1:5353").await?;
/// # Ok(())
/// # }
/// ```
///
/// # References
/// socket(7), udp(7), ip(7), ipv6(7); `loop.create_datagram_endpoint` of asyncio.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder makes no socket by itself"]
#[doc(alias = "create_datagram_endpoint")]
pub struct UdpBuilder {
    reuses_address: bool,
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    reuses_port: bool,
    is_broadcast: bool,
    only_v6: Option<bool>,
    send_buffer_size: Option<usize>,
    recv_buffer_size: Option<usize>,
    #[cfg(unix)]
    traffic_class: Option<u32>,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    device: Option<String>,
}

impl UdpBuilder {
    /// Lets sockets be bound to the same address, if all of them say so (`SO_REUSEADDR`): for multicast, whose datagrams
    /// all of them get.
    ///
    /// Datagrams for one receiver go to the socket that was bound last: whoever may bind one takes them away, also another
    /// user. asyncio has taken the option out for that reason. To share them, see [`reuse_port`](UdpBuilder::reuse_port).
    pub fn reuse_address(mut self) -> UdpBuilder {
        self.reuses_address = true;
        self
    }

    /// Lets sockets of the same user be bound to the same address, if all of them say so; datagrams are spread over them
    /// by their senders. For one loop a thread (`SO_REUSEPORT`; on FreeBSD `SO_REUSEPORT_LB`).
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    pub fn reuse_port(mut self) -> UdpBuilder {
        self.reuses_port = true;
        self
    }

    /// Lets datagrams be sent to broadcast addresses (`SO_BROADCAST`).
    #[doc(alias = "allow_broadcast")]
    pub fn broadcast(mut self) -> UdpBuilder {
        self.is_broadcast = true;
        self
    }

    /// Sets whether a socket for IPv6 takes datagrams of IPv6 only, or those of IPv4 as well, whose addresses then look like
    /// `::ffff:127.0.0.1` (`IPV6_V6ONLY`). Sockets for IPv4 pass over it. The system's default differs.
    pub fn only_v6(mut self, only_v6: bool) -> UdpBuilder {
        self.only_v6 = Some(only_v6);
        self
    }

    /// Asks for a send buffer of this many bytes. Linux doubles the number, and cuts it to its limit.
    pub fn send_buffer_size(mut self, bytes: usize) -> UdpBuilder {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// Asks for a receive buffer of this many bytes, see [`send_buffer_size`](UdpBuilder::send_buffer_size). Datagrams that
    /// come faster than they are received wait there; beyond it the system drops them.
    pub fn recv_buffer_size(mut self, bytes: usize) -> UdpBuilder {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// Sets how datagrams are marked for the routers: the type of service of IPv4 (`IP_TOS`), the traffic class of
    /// IPv6 (`IPV6_TCLASS`).
    #[cfg(unix)]
    #[doc(alias = "tos")]
    pub fn traffic_class(mut self, class: u32) -> UdpBuilder {
        self.traffic_class = Some(class);
        self
    }

    /// Sends and receives through this network interface only, whatever the routes say.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[doc(alias = "SO_BINDTODEVICE")]
    pub fn device(mut self, interface: &str) -> UdpBuilder {
        self.device = Some(interface.to_owned());
        self
    }

    /// Makes a socket that is bound to `local`. Of several addresses the first that can be bound is used.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`], and what the system says about the options; the message names the address. `NotFound`
    /// (`ENODEV`), when there is no interface of that name.
    ///
    /// # Panics
    /// When a name has to be looked up outside of a loop.
    ///
    /// # Cancel safety
    /// Safe: a dropped call leaves nothing bound.
    #[doc(alias = "local_addr")]
    pub async fn bind(&self, local: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        let mut first_error = None;
        for addr in resolve(local).await? {
            match self.bound(addr) {
                Ok(socket) => return finish(socket),
                Err(error) => {
                    first_error.get_or_insert(at_address("bind to", addr, error));
                }
            }
        }
        Err(first_error.expect("there is at least one address"))
    }

    /// Makes a socket whose peer is `remote`; the system chooses its own address. Of several addresses the first that a
    /// socket can be connected to is used. See [`UdpSocket::connect`] for what that means.
    ///
    /// # Errors
    /// As [`UdpSocket::connect`], and what the system says about the options.
    ///
    /// # Panics
    /// When a name has to be looked up outside of a loop.
    ///
    /// # Cancel safety
    /// Safe: nothing is sent, and a dropped call leaves no socket.
    #[doc(alias = "remote_addr")]
    pub async fn connect(&self, remote: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        let mut first_error = None;
        for addr in resolve(remote).await? {
            let connected = self.socket(addr).and_then(|socket| {
                connect(&socket, addr)?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => return finish(socket),
                Err(error) => {
                    first_error.get_or_insert(at_address("connect to", addr, error));
                }
            }
        }
        Err(first_error.expect("there is at least one address"))
    }

    /// Makes a socket that is bound to `local`, and whose peer is `remote`. Of several addresses those of one family are
    /// paired, in order; the first pair that works is used.
    ///
    /// # Errors
    /// - As [`bind`](UdpBuilder::bind) and [`connect`](UdpBuilder::connect); of several the first.
    /// - `InvalidInput`: no two addresses are of one family.
    ///
    /// # Panics
    /// When a name has to be looked up outside of a loop.
    ///
    /// # Cancel safety
    /// Safe: a dropped call leaves nothing bound.
    pub async fn bind_and_connect(
        &self,
        local: impl ToSocketAddrs,
        remote: impl ToSocketAddrs,
    ) -> io::Result<UdpSocket> {
        let (locals, remotes) = (resolve(local).await?, resolve(remote).await?);
        let remotes: Vec<_> = remotes.into_iter().collect();
        let mut first_error = None;
        for local in locals {
            for &remote in &remotes {
                if local.is_ipv4() != remote.is_ipv4() {
                    continue;
                }
                let error = match self.bound(local) {
                    Ok(socket) => match connect(&socket, remote) {
                        Ok(()) => return finish(socket),
                        Err(error) => at_address("connect to", remote, error),
                    },
                    Err(error) => at_address("bind to", local, error),
                };
                first_error.get_or_insert(error);
            }
        }
        Err(first_error.unwrap_or_else(|| {
            let message = "the addresses of the two sides are of different families";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        }))
    }

    fn bound(&self, addr: SocketAddr) -> io::Result<Socket> {
        let socket = self.socket(addr)?;
        socket.bind(&addr.into())?;
        Ok(socket)
    }

    /// A socket for the family of `addr`: non-blocking, and not inherited by child processes.
    fn socket(&self, addr: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if self.reuses_address {
            socket.set_reuse_address(true)?;
        }
        #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
        if self.reuses_port {
            #[cfg(target_os = "freebsd")]
            socket.set_reuse_port_lb(true)?;
            #[cfg(not(target_os = "freebsd"))]
            socket.set_reuse_port(true)?;
        }
        if self.is_broadcast {
            socket.set_broadcast(true)?;
        }
        if let Some(only_v6) = self.only_v6
            && addr.is_ipv6()
        {
            socket.set_only_v6(only_v6)?;
        }
        if let Some(bytes) = self.send_buffer_size {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.recv_buffer_size {
            socket.set_recv_buffer_size(bytes)?;
        }
        #[cfg(unix)]
        if let Some(class) = self.traffic_class {
            options::set_traffic_class(&socket, Family::of(addr), class)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        Ok(socket)
    }
}

/// Connects, whatever signals come meanwhile.
fn connect(socket: &Socket, remote: SocketAddr) -> io::Result<()> {
    loop {
        match socket.connect(&remote.into()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn finish(socket: Socket) -> io::Result<UdpSocket> {
    UdpSocket::from_mio(mio::net::UdpSocket::from_std(socket.into()))
}
