//! What can be given as an address.

use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What can be given as the address of a socket: `SocketAddr`, an IP address with a port, a string such
/// as `"127.0.0.1:80"` or `"[::1]:80"`, or a slice of addresses that are tried in order.
///
/// Strings must hold an IP address: host names are not looked up by this version.
///
/// The trait is sealed, so that looking names up can be added to it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an address",
    note = "write \"127.0.0.1:8080\", (\"127.0.0.1\", 8080), a SocketAddr, or a reference to a slice of them"
)]
pub trait ToSocketAddrs: sealed::Resolve {}

impl<A: sealed::Resolve + ?Sized> ToSocketAddrs for A {}

/// The addresses that `addr` stands for; at least one.
pub(crate) async fn resolve(addr: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    let addresses = addr.resolve().await?;
    if addresses.is_empty() {
        return Err(invalid("the list of addresses is empty".to_owned()));
    }
    Ok(addresses)
}

pub(crate) mod sealed {
    use super::*;

    pub trait Resolve {
        type Future: Future<Output = io::Result<Vec<SocketAddr>>>;

        fn resolve(&self) -> Self::Future;
    }
}

use sealed::Resolve;

macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl Resolve for $type {
            type Future = Ready<io::Result<Vec<SocketAddr>>>;

            fn resolve(&self) -> Self::Future {
                ready(Ok(vec![SocketAddr::from(*self)]))
            }
        }
    )*};
}

one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl Resolve for [SocketAddr] {
    type Future = Ready<io::Result<Vec<SocketAddr>>>;

    fn resolve(&self) -> Self::Future {
        ready(Ok(self.to_vec()))
    }
}

impl<const N: usize> Resolve for [SocketAddr; N] {
    type Future = Ready<io::Result<Vec<SocketAddr>>>;

    fn resolve(&self) -> Self::Future {
        ready(Ok(self.to_vec()))
    }
}

impl Resolve for str {
    type Future = Ready<io::Result<Vec<SocketAddr>>>;

    fn resolve(&self) -> Self::Future {
        ready(match self.parse::<SocketAddr>() {
            Ok(addr) => Ok(vec![addr]),
            Err(_) => Err(invalid(format!(
                "'{self}' is not an IP address with a port, such as 127.0.0.1:80 or [::1]:80; host \
                 names are not looked up"
            ))),
        })
    }
}

impl Resolve for String {
    type Future = Ready<io::Result<Vec<SocketAddr>>>;

    fn resolve(&self) -> Self::Future {
        self.as_str().resolve()
    }
}

impl Resolve for (&str, u16) {
    type Future = Ready<io::Result<Vec<SocketAddr>>>;

    fn resolve(&self) -> Self::Future {
        let (host, port) = *self;
        ready(match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            Err(_) => Err(invalid(format!(
                "'{host}' is not an IP address; host names are not looked up"
            ))),
        })
    }
}

impl<A: Resolve + ?Sized> Resolve for &A {
    type Future = A::Future;

    fn resolve(&self) -> Self::Future {
        (**self).resolve()
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
