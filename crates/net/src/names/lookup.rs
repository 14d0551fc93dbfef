//! Looking a name up.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::addr::{ToSocketAddrs, resolve};
use crate::names::Resolver;

/// The addresses of a host, in the order in which to try them; at least one.
///
/// A name is looked up by the [resolver](crate::names::Resolver) that is set, by default the system's, on
/// another thread. An IP address is returned as it is, at once.
///
/// # Errors
/// - What the resolver says, for instance that it does not know the name. The message names the host;
///   the error's source is the resolver's own.
/// - `NotFound`: the resolver knows the name, and no address of it.
/// - `InvalidInput`: `host` is not a host and a port.
///
/// # Panics
/// When a name is looked up outside of a loop.
///
/// # Cancel safety
/// Safe. A look-up that hangs goes on in its thread, but nobody waits for it any more: a
/// `timeout` around this is kept, and the loop and the process can end.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// for addr in tulipa::net::lookup_host(("example.org", 443)).await? {
///     println!("{}", addr.ip());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # References
/// getaddrinfo(3), POSIX.1-2024; RFC 6724.
#[doc(alias = "getaddrinfo")]
#[doc(alias = "gethostbyname")]
pub async fn lookup_host(host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    resolve(host).await
}

/// Asks `resolver`; at least one address.
pub(crate) async fn look_up(
    resolver: &dyn Resolver,
    host: &str,
    port: u16,
) -> io::Result<Vec<SocketAddr>> {
    let failed = |source: io::Error| {
        let host = host.to_owned();
        io::Error::new(source.kind(), LookUpError { host, source })
    };
    match resolver.look_up(host, port).await {
        Ok(addresses) if addresses.is_empty() => Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "it has no address",
        ))),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(failed(error)),
    }
}

/// A look-up failed. It lies inside the `io::Error`, and keeps the resolver's own error as its source.
#[derive(Debug)]
struct LookUpError {
    host: String,
    source: io::Error,
}

impl fmt::Display for LookUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot look up '{}': {}", self.host, self.source)
    }
}

impl Error for LookUpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
