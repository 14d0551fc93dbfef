//! Options that a TCP socket has before and after it connects.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::Socket;

use crate::tcp::keep_alive::whole_seconds;

/// The family of a socket's addresses, which its options go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(addr: SocketAddr) -> Family {
        match addr {
            SocketAddr::V4(_) => Family::V4,
            SocketAddr::V6(_) => Family::V6,
        }
    }
}

pub(crate) fn set_ttl(socket: &Socket, family: Family, ttl: u32) -> io::Result<()> {
    match family {
        Family::V4 => socket.set_ttl_v4(ttl),
        Family::V6 => socket.set_unicast_hops_v6(ttl),
    }
}

pub(crate) fn ttl(socket: &Socket, family: Family) -> io::Result<u32> {
    match family {
        Family::V4 => socket.ttl_v4(),
        Family::V6 => socket.unicast_hops_v6(),
    }
}

#[cfg(unix)]
pub(crate) fn set_traffic_class(socket: &Socket, family: Family, class: u32) -> io::Result<()> {
    match family {
        Family::V4 => socket.set_tos_v4(class),
        Family::V6 => socket.set_tclass_v6(class),
    }
}

#[cfg(unix)]
pub(crate) fn traffic_class(socket: &Socket, family: Family) -> io::Result<u32> {
    match family {
        Family::V4 => socket.tos_v4(),
        Family::V6 => socket.tclass_v6(),
    }
}

/// The system counts in seconds. A part of one must not become zero, which means to abort.
pub(crate) fn set_linger(socket: &Socket, linger: Option<Duration>) -> io::Result<()> {
    socket.set_linger(linger.map(|it| match it.is_zero() {
        true => it,
        false => whole_seconds(it),
    }))
}

/// The methods of `TcpSocket` and `TcpStream` alike. The type has `with(|socket| ..)` and
/// `family()`.
macro_rules! option_methods {
    ($type:ident) => {
        impl $type {
            /// Whether small writes are sent at once (`TCP_NODELAY`): by default they are.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn nodelay(&self) -> io::Result<bool> {
                self.with(|it| it.tcp_nodelay())
            }

            /// Sets whether small writes are sent at once.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
                self.with(|it| it.set_tcp_nodelay(nodelay))
            }

            /// Sets whether a silent connection is probed (`SO_KEEPALIVE`), at the system's times. By default
            /// it is not.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn set_keep_alive(&self, keep_alive: bool) -> io::Result<()> {
                self.with(|it| it.set_keepalive(keep_alive))
            }

            /// Has a silent connection probed, at these times.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn set_keep_alive_times(&self, times: &KeepAlive) -> io::Result<()> {
                self.with(|it| it.set_tcp_keepalive(&times.to_socket2()))
            }

            /// Whether a silent connection is probed.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn keep_alive(&self) -> io::Result<bool> {
                self.with(|it| it.keepalive())
            }

            /// How long bytes may stay unacknowledged until the connection is given up (`TCP_USER_TIMEOUT`), with
            /// `TimedOut`, or with what routers and neighbours have said meanwhile, such as `HostUnreachable`.
            /// `None` for the system's own time. It is looked at when bytes are sent again, so it takes longer by
            /// up to that.
            ///
            /// # Errors
            /// What the operating system says.
            ///
            /// # References
            /// RFC 5482.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.with(|it| it.set_tcp_user_timeout(timeout))
            }

            /// How long bytes may stay unacknowledged; `None` for the system's own time.
            ///
            /// # Errors
            /// What the operating system says.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
                self.with(|it| it.tcp_user_timeout())
            }

            /// Sets what closing does with bytes that are not sent yet (`SO_LINGER`).
            ///
            /// `None`, the default: they are sent in the background. `Some(Duration::ZERO)`: they are thrown
            /// away, and the peer sees a reset. Anything else would have closing **block the loop** for as
            /// long as that, in whole seconds rounded up; better shut the stream down and wait for its end.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
                self.with(|it| options::set_linger(it, linger))
            }

            /// What closing does with bytes that are not sent yet.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn linger(&self) -> io::Result<Option<Duration>> {
                self.with(|it| it.linger())
            }

            /// Sets how many routers a packet may pass (the TTL of IPv4, the hop limit of IPv6).
            ///
            /// # Errors
            /// What the operating system says.
            pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
                let family = self.family()?;
                self.with(|it| options::set_ttl(it, family, ttl))
            }

            /// How many routers a packet may pass.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn ttl(&self) -> io::Result<u32> {
                let family = self.family()?;
                self.with(|it| options::ttl(it, family))
            }

            /// Sets how packets are marked for the routers: the type of service of IPv4 (`IP_TOS`), the traffic
            /// class of IPv6 (`IPV6_TCLASS`). The lower two bits are not the program's.
            ///
            /// # Errors
            /// What the operating system says.
            ///
            /// # References
            /// RFC 2474.
            #[cfg(unix)]
            #[doc(alias = "set_tos")]
            pub fn set_traffic_class(&self, class: u32) -> io::Result<()> {
                let family = self.family()?;
                self.with(|it| options::set_traffic_class(it, family, class))
            }

            /// How packets are marked for the routers.
            ///
            /// # Errors
            /// What the operating system says.
            #[cfg(unix)]
            #[doc(alias = "tos")]
            pub fn traffic_class(&self) -> io::Result<u32> {
                let family = self.family()?;
                self.with(|it| options::traffic_class(it, family))
            }
        }
    };
}

pub(crate) use option_methods;
