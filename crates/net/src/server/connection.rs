//! A connection, as its handler gets it and as the server lists it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use tulipa_base::Instant;
use tulipa_executor::cancel::CancelReason;
use tulipa_executor::task::Task;

use crate::server::listener::Listener;
use crate::tcp::TcpListener;

/// A connection that a server has accepted: the stream, and who is at the other end.
///
/// It dereferences to the stream, and implements `AsyncRead` and `AsyncWrite` where that does.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// use tulipa::net::Connection;
///
/// async fn greet(mut connection: Connection) -> std::io::Result<()> {
///     let greeting = format!("hello, {}\n", connection.peer());
///     connection.write_all(greeting.as_bytes()).await?;
///     connection.shutdown(std::net::Shutdown::Write)
/// }
/// ```
pub struct Connection<L: Listener = TcpListener> {
    stream: L::Stream,
    peer: L::Addr,
}

impl<L: Listener> Connection<L> {
    pub(crate) fn new(stream: L::Stream, peer: L::Addr) -> Connection<L> {
        Connection { stream, peer }
    }

    /// The address of the peer, as accept(2) has told it: it is known also when the connection is gone.
    pub fn peer(&self) -> &L::Addr {
        &self.peer
    }

    /// The stream alone. The server goes on counting the connection until its handler has ended.
    pub fn into_stream(self) -> L::Stream {
        self.stream
    }
}

impl<L: Listener> Deref for Connection<L> {
    type Target = L::Stream;

    fn deref(&self) -> &L::Stream {
        &self.stream
    }
}

impl<L: Listener> DerefMut for Connection<L> {
    fn deref_mut(&mut self) -> &mut L::Stream {
        &mut self.stream
    }
}

// Nothing is pinned: the stream is reached through `&mut` only.
impl<L: Listener> Unpin for Connection<L> {}

impl<L: Listener> AsyncRead for Connection<L>
where
    L::Stream: AsyncRead + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read_vectored(cx, bufs)
    }
}

impl<L: Listener> AsyncWrite for Connection<L>
where
    L::Stream: AsyncWrite + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl<L: Listener> fmt::Debug for Connection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// A connection whose handler has not ended, as the server lists it. See
/// [`Server::connections`](crate::server::Server::connections).
#[derive(Clone)]
pub struct LiveConnection<A> {
    pub(crate) peer: A,
    pub(crate) since: Instant,
    pub(crate) task: Task,
}

impl<A> LiveConnection<A> {
    /// Who is at the other end.
    pub fn peer(&self) -> &A {
        &self.peer
    }

    /// When it was accepted.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The task of its handler, which knows what it waits for.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Asks the handler to end, in a way that lets it clean up. Returns `false` when it has ended already.
    pub fn close(&self) -> bool {
        self.task
            .cancel_with(CancelReason::from("the server closes the connection"))
    }

    /// Drops the handler at its next turn, and the stream with it.
    pub fn abort(&self) {
        self.task.abort();
    }
}

impl<A: fmt::Debug> fmt::Debug for LiveConnection<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveConnection")
            .field("peer", &self.peer)
            .field("task", &self.task.id())
            .finish_non_exhaustive()
    }
}
