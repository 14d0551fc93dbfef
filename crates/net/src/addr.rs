//! What can be given as an address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::names::{default_resolver, look_up};

/// What can be given as the address of a socket: `SocketAddr`, an IP address or a host name with a port, a
/// string such as `"example.org:80"`, `"127.0.0.1:80"` or `"[::1]:80"`, or a slice of addresses.
///
/// Host names are looked up, by the [resolver](crate::names::Resolver) that is set; IP addresses in strings
/// are not. Those of IPv6 may have a scope, by its number or (on Linux without asking the resolver) by
/// the interface's name: `"[fe80::1%eth0]:80"`. Ports are numbers: names of services, as
/// `getaddrinfo` knows them, are not.
///
/// The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an address",
    note = "write \"example.org:8080\", (\"127.0.0.1\", 8080), a SocketAddr, or a reference to a slice of them"
)]
pub trait ToSocketAddrs: sealed::ToTarget {}

impl<A: sealed::ToTarget + ?Sized> ToSocketAddrs for A {}

/// The addresses that `addr` stands for, in the order in which to try them; at least one.
pub(crate) async fn resolve(addr: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    addr.target()?.resolve().await
}

impl Target {
    /// See [`resolve`].
    pub(crate) async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Target::Address(addr) => Ok(vec![addr]),
            Target::List(addresses) => Ok(addresses),
            Target::Name { host, port } => look_up(&*default_resolver(), &host, port).await,
        }
    }
}

pub(crate) use sealed::Target;

pub(crate) mod sealed {
    use super::*;

    /// What an address stands for.
    #[derive(Debug)]
    pub enum Target {
        Address(SocketAddr),
        /// At least one.
        List(Vec<SocketAddr>),
        /// To be looked up.
        Name {
            host: String,
            port: u16,
        },
    }

    pub trait ToTarget {
        fn target(&self) -> io::Result<Target>;
    }
}

use sealed::ToTarget;

macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl ToTarget for $type {
            fn target(&self) -> io::Result<Target> {
                Ok(Target::Address(SocketAddr::from(*self)))
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

impl ToTarget for [SocketAddr] {
    fn target(&self) -> io::Result<Target> {
        match self {
            [] => Err(invalid("the list of addresses is empty".to_owned())),
            [addr] => Ok(Target::Address(*addr)),
            list => Ok(Target::List(list.to_vec())),
        }
    }
}

impl<const N: usize> ToTarget for [SocketAddr; N] {
    fn target(&self) -> io::Result<Target> {
        self.as_slice().target()
    }
}

impl ToTarget for Vec<SocketAddr> {
    fn target(&self) -> io::Result<Target> {
        self.as_slice().target()
    }
}

impl ToTarget for str {
    fn target(&self) -> io::Result<Target> {
        let wrong = |what: &str| {
            invalid(format!(
                "'{self}' is not a host and a port, such as example.org:80, 127.0.0.1:80 or [::1]:80: {what}"
            ))
        };
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return Ok(Target::Address(addr));
        }
        let Some((host, port)) = self.rsplit_once(':') else {
            return Err(wrong("it has no port"));
        };
        // The parser of numbers would take a sign.
        if !port.bytes().all(|it| it.is_ascii_digit()) {
            return Err(wrong("the port is not a number"));
        }
        let Ok(port) = port.parse::<u16>() else {
            return Err(wrong("the port is not a number from 0 to 65535"));
        };
        let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match bracketed {
            Some(literal) => match host_target(literal, port) {
                Ok(target @ Target::Address(SocketAddr::V6(_))) => Ok(target),
                Ok(target @ Target::Name { .. }) if is_scoped(literal) => Ok(target),
                Err(error) if is_scoped(literal) => Err(error),
                _ => Err(wrong("what is in brackets is not an IPv6 address")),
            },
            None if host.contains(':') => Err(wrong("an IPv6 address needs brackets")),
            None => host_target(host, port),
        }
    }
}

impl ToTarget for String {
    fn target(&self) -> io::Result<Target> {
        self.as_str().target()
    }
}

impl ToTarget for (&str, u16) {
    fn target(&self) -> io::Result<Target> {
        host_target(self.0, self.1)
    }
}

impl ToTarget for (String, u16) {
    fn target(&self) -> io::Result<Target> {
        host_target(&self.0, self.1)
    }
}

impl<A: ToTarget + ?Sized> ToTarget for &A {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

/// What a host by itself stands for, an address or a name.
fn host_target(host: &str, port: u16) -> io::Result<Target> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Target::Address(SocketAddr::new(ip, port)));
    }
    if let Some((ip, zone)) = scoped(host)
        && let Some(index) = zone_index(zone)?
    {
        let addr = SocketAddrV6::new(ip, port, 0, index);
        return Ok(Target::Address(addr.into()));
    }
    // What no resolver takes, and what would be mistaken for something else.
    let is_odd = |it: char| it.is_control() || it.is_whitespace();
    if host.is_empty() || host.contains(is_odd) {
        return Err(invalid(format!("'{}' is not a host", host.escape_debug())));
    }
    Ok(Target::Name {
        host: host.to_owned(),
        port,
    })
}

fn is_scoped(host: &str) -> bool {
    scoped(host).is_some()
}

/// An IPv6 address and its zone, as in `fe80::1%eth0`.
fn scoped(host: &str) -> Option<(Ipv6Addr, &str)> {
    let (ip, zone) = host.split_once('%')?;
    Some((ip.parse().ok()?, zone))
}

/// The number of a zone (RFC 4007, section 11); `None` where only the system's resolver can tell.
fn zone_index(zone: &str) -> io::Result<Option<u32>> {
    if let Ok(index) = zone.parse() {
        return Ok(Some(index));
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        match netdevice::name_to_index(&socket, zone) {
            Ok(index) => Ok(Some(index)),
            Err(error) => {
                let error = io::Error::from(error);
                let message = format!("no network interface '{}': {error}", zone.escape_debug());
                Err(io::Error::new(error.kind(), message))
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        Ok(None)
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(target: io::Result<Target>) -> Option<(String, u16)> {
        match target {
            Ok(Target::Name { host, port }) => Some((host, port)),
            _ => None,
        }
    }

    #[test]
    fn literals_are_addresses_and_names_are_not() {
        for literal in ["127.0.0.1:80", "[::1]:80", "[fe80::1%7]:80"] {
            assert!(
                matches!(literal.target(), Ok(Target::Address(addr)) if addr.port() == 80),
                "{literal}"
            );
        }
        assert_eq!(
            name("example.org:80".target()),
            Some(("example.org".into(), 80))
        );
        assert_eq!(name(("db", 1).target()), Some(("db".into(), 1)));
        for literal in ["10.0.0.1", "::1", "fe80::1%3"] {
            assert!(
                matches!((literal, 80).target(), Ok(Target::Address(_))),
                "{literal}"
            );
        }
    }

    #[test]
    fn what_is_neither_is_said_to_be_wrong() {
        for bad in [
            "",
            ":80",
            "host",
            "host:",
            "host:http",
            "host:+80",
            "host:-1",
            "host:65536",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[host]:80",
            "[127.0.0.1]:80",
            "a b:80",
            "a\0b:80",
            "[]:80",
        ] {
            let error = bad.target().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}: {error}");
        }
        assert!(("", 80).target().is_err());
        assert!([].as_slice().target().is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn zones_may_be_names_of_interfaces() {
        let Ok(Target::Address(SocketAddr::V6(addr))) = "[fe80::1%lo]:80".target() else {
            panic!("the loopback interface is called lo");
        };
        assert_eq!(addr.scope_id(), 1);
        let error = ("fe80::1%no-such-one", 80).target().unwrap_err();
        assert!(error.to_string().contains("'no-such-one'"), "{error}");
    }
}
