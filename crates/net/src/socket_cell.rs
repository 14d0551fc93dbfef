//! A socket of mio's, and how it is registered: by its descriptor on Unix, by itself on Windows,
//! where mio insists on a mutable reference to its own type.

use std::io;
use std::rc::Rc;

use tulipa_reactor::{Driver, Registration};

#[cfg(unix)]
pub(crate) use unix::{Socket, SocketCell};
#[cfg(windows)]
pub(crate) use windows::{Socket, SocketCell};

#[cfg(not(any(unix, windows)))]
compile_error!("tulipa has sockets on Unix and on Windows only");

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
    use tulipa_reactor::Descriptor;

    /// One of mio's sockets.
    pub(crate) trait Socket: AsFd {}
    impl<S: AsFd> Socket for S {}

    #[derive(Debug)]
    pub(crate) struct SocketCell<S>(S);

    impl<S: Socket> SocketCell<S> {
        pub(crate) fn new(socket: S) -> SocketCell<S> {
            SocketCell(socket)
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(&S) -> R) -> R {
            f(&self.0)
        }

        /// The descriptor's number.
        #[inline]
        pub(crate) fn number(&self) -> u64 {
            self.0.as_fd().as_raw_fd() as u64 // Never negative.
        }

        pub(crate) fn register(&self, driver: &Rc<Driver>) -> io::Result<Registration> {
            Registration::new(driver, &mut Descriptor(self.0.as_fd()))
        }

        #[cold]
        pub(crate) fn reregister(&self, registration: &Registration) -> io::Result<()> {
            registration.reregister(&mut Descriptor(self.0.as_fd()))
        }

        pub(crate) fn deregister(&self, registration: Registration) -> io::Result<()> {
            registration.deregister(&mut Descriptor(self.0.as_fd()))
        }

        pub(crate) fn into_inner(self) -> S {
            self.0
        }
    }

    impl<S: Socket> AsFd for SocketCell<S> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(windows)]
mod windows {
    use super::*;
    use std::cell::RefCell;
    use std::os::windows::io::{AsRawSocket, AsSocket};

    /// One of mio's sockets.
    pub(crate) trait Socket: mio::event::Source + AsSocket {}
    impl<S: mio::event::Source + AsSocket> Socket for S {}

    /// Borrowed for the time of a system call or of a registration; no code of the user's runs then.
    #[derive(Debug)]
    pub(crate) struct SocketCell<S>(RefCell<S>);

    impl<S: Socket> SocketCell<S> {
        pub(crate) fn new(socket: S) -> SocketCell<S> {
            SocketCell(RefCell::new(socket))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(&S) -> R) -> R {
            f(&self.0.borrow())
        }

        /// The socket's number.
        #[inline]
        #[allow(clippy::unnecessary_cast, reason = "of 32 bits where addresses are")]
        pub(crate) fn number(&self) -> u64 {
            self.0.borrow().as_socket().as_raw_socket() as u64
        }

        pub(crate) fn register(&self, driver: &Rc<Driver>) -> io::Result<Registration> {
            Registration::new(driver, &mut *self.0.borrow_mut())
        }

        #[cold]
        pub(crate) fn reregister(&self, registration: &Registration) -> io::Result<()> {
            registration.reregister(&mut *self.0.borrow_mut())
        }

        pub(crate) fn deregister(&self, registration: Registration) -> io::Result<()> {
            registration.deregister(&mut *self.0.borrow_mut())
        }

        pub(crate) fn into_inner(self) -> S {
            self.0.into_inner()
        }
    }
}
