//! The reading and the writing half of a stream.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::unix::descriptors::Received;
use crate::unix::stream::{Inner, UnixStream};

crate::halves::halves!(UnixStream);

macro_rules! receive_descriptors {
    ($($type:ty),*) => {$(
        impl $type {
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
        }
    )*};
}

macro_rules! send_descriptors {
    ($($type:ty),*) => {$(
        impl $type {
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
        }
    )*};
}

receive_descriptors!(ReadHalf<'_>, OwnedReadHalf);
send_descriptors!(WriteHalf<'_>, OwnedWriteHalf);
