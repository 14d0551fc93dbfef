//! What failed, at which address.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// An operation on an address failed. It lies inside the `io::Error` that the operation returns, and
/// keeps the system's own error as its source.
#[derive(Debug)]
struct AddressError {
    operation: &'static str,
    addr: SocketAddr,
    source: io::Error,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} {}: {}",
            self.operation, self.addr, self.source
        )
    }
}

impl Error for AddressError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// An error of the kind of `source` that says what was tried at which address.
pub(crate) fn at_address(
    operation: &'static str,
    addr: SocketAddr,
    source: io::Error,
) -> io::Error {
    io::Error::new(
        source.kind(),
        AddressError {
            operation,
            addr,
            source,
        },
    )
}
