//! The reading and the writing half of a stream.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use crate::tcp::stream::{Inner, TcpStream};

/// The reading half of a stream, by reference. See [`TcpStream::split`].
pub struct ReadHalf<'a> {
    inner: &'a Inner,
}

/// The writing half of a stream, by reference. See [`TcpStream::split`].
pub struct WriteHalf<'a> {
    inner: &'a Inner,
}

/// The reading half of a stream. See [`TcpStream::into_split`].
pub struct OwnedReadHalf {
    inner: Rc<Inner>,
}

/// The writing half of a stream. Dropping it ends the direction: the peer reads the end of the
/// stream. See [`TcpStream::into_split`].
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

            /// See [`TcpStream::read`].
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

            /// See [`TcpStream::read_vectored`].
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

            /// See [`TcpStream::read_exact`].
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

            /// See [`TcpStream::peek`].
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

            /// See [`TcpStream::write`].
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

            /// See [`TcpStream::write_vectored`].
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

            /// See [`TcpStream::write_all`].
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
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Rc::ptr_eq(&self.inner, &write.inner) {
            return Err(ReuniteError { read: self, write });
        }
        write.forget();
        let inner = Rc::into_inner(self.inner).expect("a stream has two halves, both are here");
        Ok(TcpStream::from_inner(inner))
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
