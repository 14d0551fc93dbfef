//! Paths and abstract names as addresses, and errors that name them.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::SockAddr;

/// The address that `path` stands for.
pub(crate) fn from_path(path: &Path) -> io::Result<SocketAddr> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let [0, name @ ..] = path.as_os_str().as_bytes() {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

/// The path of an address, or its abstract name behind a NUL byte.
fn to_path(addr: &SocketAddr) -> Option<PathBuf> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStringExt;
        if let Some(name) = addr.as_abstract_name() {
            let mut bytes = vec![0];
            bytes.extend_from_slice(name);
            return Some(std::ffi::OsString::from_vec(bytes).into());
        }
    }
    addr.as_pathname().map(Path::to_owned)
}

pub(crate) fn to_sock_addr(addr: &SocketAddr) -> io::Result<SockAddr> {
    match to_path(addr) {
        Some(path) => SockAddr::unix(path),
        None => {
            let message = "an unnamed socket has no address";
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}

/// An operation on an address failed. It lies inside the `io::Error` that the operation returns, and
/// keeps the system's own error as its source.
#[derive(Debug)]
struct AddressError {
    operation: &'static str,
    name: String,
    source: io::Error,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} {}: {}",
            self.operation, self.name, self.source
        )
    }
}

impl Error for AddressError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// An error of the kind of `source` that says what was tried at which path.
pub(crate) fn at_path(operation: &'static str, path: &Path, source: io::Error) -> io::Error {
    let name = match path.as_os_str().as_bytes() {
        // As ss(8) and /proc/net/unix write abstract names.
        [0, name @ ..] => format!("@{}", name.escape_ascii()),
        _ => path.display().to_string(),
    };
    io::Error::new(
        source.kind(),
        AddressError {
            operation,
            name,
            source,
        },
    )
}

/// An error of the kind of `source` that says what was tried at which address.
pub(crate) fn at_addr(operation: &'static str, addr: &SocketAddr, source: io::Error) -> io::Error {
    at_path(operation, &to_path(addr).unwrap_or_default(), source)
}
