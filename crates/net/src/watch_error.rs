//! The loop refuses to watch a descriptor.

use std::error::Error;
use std::fmt;
use std::io;

/// Registering failed. It lies inside the `io::Error` of the operation that had to wait, and keeps the system's own error
/// as its source. The system's text alone would mislead: `ENOSPC` means that a user watches too many descriptors.
#[derive(Debug)]
struct WatchError {
    source: io::Error,
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot watch a descriptor: {}", self.source)
    }
}

impl Error for WatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// An error of the kind of `source` that says what was tried.
#[cold]
pub(crate) fn cannot_watch(source: io::Error) -> io::Error {
    io::Error::new(source.kind(), WatchError { source })
}
