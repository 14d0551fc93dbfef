//! What the streams of TCP and of Unix sockets have in common outside: their halves, and the ecosystem's traits.
//!
//! Macros, because each kind has types of its own, with documentation that names them. They are expanded where `Inner`, the
//! stream, its `SocketAddr` and what they use are in scope: `tcp::split`, `unix::split`.

/// The four halves of a stream, and the error of reuniting two that do not belong together.
macro_rules! halves {
    ($stream:ident) => {
        #[doc = concat!(" The reading half of a stream, by reference. See [`", stringify!($stream), "::split`].")]
        pub struct ReadHalf<'a> {
            inner: &'a Inner,
        }

        #[doc = concat!(" The writing half of a stream, by reference. See [`", stringify!($stream), "::split`].")]
        pub struct WriteHalf<'a> {
            inner: &'a Inner,
        }

        #[doc = concat!(" The reading half of a stream. See [`", stringify!($stream), "::into_split`].")]
        pub struct OwnedReadHalf {
            inner: Rc<Inner>,
        }

        /// The writing half of a stream. Dropping it ends the direction: the peer reads the end of the
        #[doc = concat!(" stream. See [`", stringify!($stream), "::into_split`].")]
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

        crate::halves::reading_half!($stream, ReadHalf<'_>);
        crate::halves::reading_half!($stream, OwnedReadHalf);
        crate::halves::writing_half!($stream, WriteHalf<'_>);
        crate::halves::writing_half!($stream, OwnedWriteHalf);

        impl OwnedReadHalf {
            pub(crate) fn new(inner: Rc<Inner>) -> OwnedReadHalf {
                OwnedReadHalf { inner }
            }

            /// Makes one stream of two halves again.
            ///
            /// # Errors
            /// [`ReuniteError`], with both halves, when they are not of the same stream.
            pub fn reunite(self, write: OwnedWriteHalf) -> Result<$stream, ReuniteError> {
                if !Rc::ptr_eq(&self.inner, &write.inner) {
                    return Err(ReuniteError { read: self, write });
                }
                write.forget();
                let inner = Rc::into_inner(self.inner).expect("a stream has two halves, both are here");
                Ok($stream::from_inner(inner))
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

        crate::halves::debug!(
            ReadHalf<'_>: "ReadHalf",
            WriteHalf<'_>: "WriteHalf",
            OwnedReadHalf: "OwnedReadHalf",
            OwnedWriteHalf: "OwnedWriteHalf"
        );

        crate::halves::async_read!($stream, ReadHalf<'_>, OwnedReadHalf);
        crate::halves::async_write!($stream, WriteHalf<'_>, OwnedWriteHalf);
    };
}

macro_rules! reading_half {
    ($stream:ident, $type:ty) => {
        impl $type {
            pub(crate) fn inner(&self) -> &Inner {
                &self.inner
            }

            #[doc = concat!(" See [`", stringify!($stream), "::read`].")]
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

            #[doc = concat!(" See [`", stringify!($stream), "::read_vectored`].")]
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

            #[doc = concat!(" See [`", stringify!($stream), "::read_exact`].")]
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

            #[doc = concat!(" See [`", stringify!($stream), "::peek`].")]
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
    ($stream:ident, $type:ty) => {
        impl $type {
            pub(crate) fn inner(&self) -> &Inner {
                &self.inner
            }

            #[doc = concat!(" See [`", stringify!($stream), "::write`].")]
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

            #[doc = concat!(" See [`", stringify!($stream), "::write_vectored`].")]
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

            #[doc = concat!(" See [`", stringify!($stream), "::write_all`].")]
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

macro_rules! async_read {
    ($($type:ty),*) => {$(
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.inner().poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.inner().poll_read_vectored(cx, bufs)
            }
        }
    )*};
}

macro_rules! async_write {
    ($($type:ty),*) => {$(
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.inner().poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.inner().poll_write_vectored(cx, bufs)
            }

            /// Nothing is buffered here.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends the direction. Closing a connection that is gone is no error.
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.inner().shutdown(Shutdown::Write) {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        Poll::Ready(Ok(()))
                    }
                    result => Poll::Ready(result),
                }
            }
        }
    )*};
}

pub(crate) use {async_read, async_write, debug, halves, reading_half, writing_half};
