//! Which streams can the kernel move bytes to and from by itself?
//!
//! Those over a descriptor of ours: TCP and Unix sockets, also as a server's handlers get them; for what is only written to their
//! writing halves and pipes as well. Functions that are generic over streams ask here, by the type's name.

use std::any::Any;
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use tulipa_reactor::Direction;

use crate::io_source::IoSource;
use crate::pipe;
use crate::server::Connection;
use crate::socket_cell::Socket;
use crate::tcp::{self, TcpListener, TcpStream};
use crate::unix::{self, UnixListener, UnixStream};

/// A system call on a descriptor, for so many bytes.
pub(super) type Operation<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>;

/// A descriptor that is tried first, and waited for then.
pub(super) trait Wire {
    fn poll_fd(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        operation: Operation<'_>,
    ) -> Poll<io::Result<usize>>;
}

impl<S: Socket> Wire for IoSource<S> {
    fn poll_fd(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        operation: Operation<'_>,
    ) -> Poll<io::Result<usize>> {
        self.poll_io(direction, cx, |socket| operation(socket.as_fd()))
    }
}

/// A stream with both directions.
pub(super) trait WiredStream {
    fn wire(&self) -> &dyn Wire;
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;
    fn end_writing(&self) -> io::Result<()>;
}

macro_rules! wired_stream {
    ($($stream:ty),*) => {$(
        impl WiredStream for $stream {
            fn wire(&self) -> &dyn Wire {
                self.inner().source()
            }

            fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.inner().poll_read(cx, buf)
            }

            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.inner().poll_write(cx, buf)
            }

            fn end_writing(&self) -> io::Result<()> {
                self.inner().shutdown(Shutdown::Write)
            }
        }
    )*};
}

wired_stream!(TcpStream, UnixStream);

/// The stream as one of ours.
pub(super) fn as_stream(stream: &dyn Any) -> Option<&dyn WiredStream> {
    if let Some(stream) = stream.downcast_ref::<TcpStream>() {
        return Some(stream);
    }
    if let Some(stream) = stream.downcast_ref::<UnixStream>() {
        return Some(stream);
    }
    if let Some(connection) = stream.downcast_ref::<Connection<TcpListener>>() {
        return Some(&**connection);
    }
    let connection = stream.downcast_ref::<Connection<UnixListener>>()?;
    Some(&**connection)
}

/// What is written to as one of ours.
pub(super) fn as_sink(sink: &dyn Any) -> Option<&dyn Wire> {
    if let Some(stream) = as_stream(sink) {
        return Some(stream.wire());
    }
    if let Some(half) = sink.downcast_ref::<tcp::OwnedWriteHalf>() {
        return Some(half.inner().source());
    }
    if let Some(half) = sink.downcast_ref::<unix::OwnedWriteHalf>() {
        return Some(half.inner().source());
    }
    Some(sink.downcast_ref::<pipe::Sender>()?.source())
}
