//! What can be registered with a reactor.

use mio::event;

/// Something the operating system reports readiness for.
///
/// A backend of one's own on Unix needs its descriptor only. `as_mio` is for backends on the mio crate,
/// version 1.
///
/// On Unix this is any descriptor, as [`Descriptor`]. On Windows only mio can watch a socket, and only
/// one of mio's own types.
#[cfg(unix)]
pub trait Source: event::Source + std::os::fd::AsFd {
    /// This source, as mio's registry takes it.
    fn as_mio(&mut self) -> &mut dyn event::Source;
}

/// Something the operating system reports readiness for: one of mio's sockets.
#[cfg(not(unix))]
pub trait Source: event::Source {
    /// This source, as mio's registry takes it.
    fn as_mio(&mut self) -> &mut dyn event::Source;
}

#[cfg(not(unix))]
impl<T: event::Source> Source for T {
    fn as_mio(&mut self) -> &mut dyn event::Source {
        self
    }
}

#[cfg(unix)]
pub use unix::Descriptor;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token, event};

    use super::Source;

    /// A descriptor to be watched.
    #[derive(Clone, Copy, Debug)]
    pub struct Descriptor<'fd>(pub BorrowedFd<'fd>);

    impl AsFd for Descriptor<'_> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0
        }
    }

    impl Source for Descriptor<'_> {
        fn as_mio(&mut self) -> &mut dyn event::Source {
            self
        }
    }

    impl event::Source for Descriptor<'_> {
        fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            SourceFd(&self.0.as_raw_fd()).register(to, token, interest)
        }

        fn reregister(
            &mut self,
            to: &Registry,
            token: Token,
            interest: Interest,
        ) -> io::Result<()> {
            SourceFd(&self.0.as_raw_fd()).reregister(to, token, interest)
        }

        fn deregister(&mut self, from: &Registry) -> io::Result<()> {
            SourceFd(&self.0.as_raw_fd()).deregister(from)
        }
    }
}
