//! The reading and the writing half of a stream.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr;
use std::rc::Rc;

use crate::unix::descriptors::Received;
use crate::unix::stream::{Inner, UnixStream};

/// The reading half of a stream, by reference. See [`UnixStream::split`].
pub struct ReadHalf<'a> {
    inner: &'a Inner,
}

/// The writing half of a stream, by reference. See [`UnixStream::split`].
pub struct WriteHalf<'a> {
    inner: &'a Inner,
}

/// The reading half of a stream. See [`UnixStream::into_split`].
pub struct OwnedReadHalf {
    inner: Rc<Inner>,
}

/// The writing half of a stream. Dropping it ends the direction: the peer reads the end of the
/// stream. See [`UnixStream::into_split`].
pub struct OwnedWriteHalf {
    inner: Rc<Inner>,
    ends_direction: bool,
}

impl<'a> ReadHalf<'a> {
    pub(crate) fn new(inner: &'a Inner) -> ReadHalf<'a> {
        ReadHalf { inner }
    }
}

impl<'a> WriteHalf<'a> {
    pub(crate) fn new(inner: &'a Inner) -> WriteHalf<'a> {
        WriteHalf { inner }
    }
}

macro_rules! reading_half {
    ($type:ty) => {
        impl $type {
            pub(crate) fn inner(&self) -> &Inner {
                &self.inner
            }

            /// See [`UnixStream::read`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Safe, as there.
            pub fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.inner.read(buf)
            }

            /// See [`UnixStream::read_vectored`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Safe, as there.
            pub async fn read_vectored(
                &mut self,
                bufs: &mut [IoSliceMut<'_>],
            ) -> io::Result<usize> {
                poll_fn(|cx| self.inner.poll_read_vectored(cx, bufs)).await
            }

            /// See [`UnixStream::read_exact`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Not safe, as there.
            pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
                self.inner.read_exact(buf).await
            }

            /// See [`UnixStream::peek`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Safe, as there.
            pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                poll_fn(|cx| self.inner.poll_peek(cx, buf)).await
            }

            /// See [`UnixStream::recv_with_fds`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Safe, as there.
            pub async fn recv_with_fds(
                &mut self,
                buf: &mut [u8],
                most_fds: usize,
            ) -> io::Result<Received> {
                poll_fn(|cx| self.inner.poll_recv_with_fds(cx, buf, most_fds)).await
            }

            /// The address of the peer.
            ///
            /// # Errors
            /// `NotConnected`, when the connection is gone.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.inner.peer_addr()
            }

            /// The address of this side.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.inner.local_addr()
            }
        }
    };
}

macro_rules! writing_half {
    ($type:ty) => {
        impl $type {
            pub(crate) fn inner(&self) -> &Inner {
                &self.inner
            }

            /// See [`UnixStream::write`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Safe, as there.
            pub fn write(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
                self.inner.write(buf)
            }

            /// See [`UnixStream::write_vectored`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Safe, as there.
            pub async fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                poll_fn(|cx| self.inner.poll_write_vectored(cx, bufs)).await
            }

            /// See [`UnixStream::write_all`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Not safe, as there.
            pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
                self.inner.write_all(buf)
            }

            /// See [`UnixStream::send_with_fds`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Panics
            /// As there.
            ///
            /// # Cancel safety
            /// Safe, as there.
            pub async fn send_with_fds(
                &mut self,
                buf: &[u8],
                fds: &[BorrowedFd<'_>],
            ) -> io::Result<usize> {
                poll_fn(|cx| self.inner.poll_send_with_fds(cx, buf, fds)).await
            }

            /// The address of the peer.
            ///
            /// # Errors
            /// `NotConnected`, when the connection is gone.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.inner.peer_addr()
            }

            /// The address of this side.
            ///
            /// # Errors
            /// What the operating system says.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.inner.local_addr()
            }

            /// Ends the direction: the peer reads the end of the stream.
            ///
            /// # Errors
            /// `NotConnected`, when the connection is gone.
            pub fn shutdown(&mut self) -> io::Result<()> {
                self.inner.shutdown(Shutdown::Write)
            }
        }
    };
}

reading_half!(ReadHalf<'_>);
reading_half!(OwnedReadHalf);
writing_half!(WriteHalf<'_>);
writing_half!(OwnedWriteHalf);

impl OwnedReadHalf {
    pub(crate) fn new(inner: Rc<Inner>) -> OwnedReadHalf {
        OwnedReadHalf { inner }
    }

    /// Makes one stream of two halves again.
    ///
    /// # Errors
    /// [`ReuniteError`], with both halves, when they are not of the same stream.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<UnixStream, ReuniteError> {
        if !Rc::ptr_eq(&self.inner, &write.inner) {
            return Err(ReuniteError { read: self, write });
        }
        write.forget();
        let inner = Rc::into_inner(self.inner).expect("a stream has two halves, both are here");
        Ok(UnixStream::from_inner(inner))
    }
}

impl OwnedWriteHalf {
    pub(crate) fn new(inner: Rc<Inner>) -> OwnedWriteHalf {
        OwnedWriteHalf {
            inner,
            ends_direction: true,
        }
    }

    /// Drops the half without ending the direction: the connection stays as it is until the other
    /// half is dropped.
    pub fn forget(mut self) {
        self.ends_direction = false;
        drop(self);
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // When the reading half is gone, closing the connection says as much.
        if self.ends_direction && Rc::strong_count(&self.inner) > 1 {
            // A connection that is gone already has no direction to end.
            let _ = self.inner.shutdown(Shutdown::Write);
        }
    }
}

/// Two halves were to be reunited that are not of the same stream.
pub struct ReuniteError {
    /// The reading half.
    pub read: OwnedReadHalf,
    /// The writing half.
    pub write: OwnedWriteHalf,
}

impl fmt::Debug for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReuniteError")
    }
}

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream")
    }
}

impl std::error::Error for ReuniteError {}

macro_rules! debug {
    ($($type:ty: $name:literal),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name)
                    .field("peer_addr", &self.inner.peer_addr().ok())
                    .finish_non_exhaustive()
            }
        }
    )*};
}

debug!(
    ReadHalf<'_>: "ReadHalf",
    WriteHalf<'_>: "WriteHalf",
    OwnedReadHalf: "OwnedReadHalf",
    OwnedWriteHalf: "OwnedWriteHalf"
);
