//! A writer with a buffer, which is sent in the background.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::AsyncWrite;

use crate::io::writer::send::{End, Shared, Until};
use crate::io::writer::water_marks::WaterMarks;
use crate::tcp::OwnedWriteHalf;

/// Takes bytes without waiting, and sends them in the background.
///
/// [`write`](StreamWriter::write) puts bytes into a buffer. A task of the loop sends them from its next turn on: what was
/// written in one turn goes in one piece. The task lives as long as there is anything to send.
///
/// The buffer has no bound of its own. Await [`drain`](StreamWriter::drain) after writing: it returns at once while the buffer is below its
/// [high mark](WaterMarks), and holds up who writes faster than the peer reads. [`flush`](StreamWriter::flush) waits until the
/// stream has taken everything, [`wait_closed`](StreamWriter::wait_closed) until it is closed.
///
/// Methods take `&self`: tasks may share a writer, by `Rc`. What one call of `write` takes stays together.
///
/// # When it fails
/// An error of the stream drops the buffer, and is returned by every call that waits from then on.
/// Bytes written after that, or after the end, are dropped; after the end that is an error too.
///
/// # When it is dropped
/// As after [`close`](StreamWriter::close): what is in the buffer is sent, then the stream is closed, by the task in the background. Nobody
/// hears of an error, but for the loop's exception handler in debug mode.
///
/// When the loop ends, what the stream takes at once is still sent, and the rest is lost, which the exception handler is told
/// (`ExceptionKind::BytesLost`): await `wait_closed` before `main` returns.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; pub use tulipa_executor::*; }
/// use tulipa::io::{StreamReader, StreamWriter, duplex};
/// # async fn f() -> std::io::Result<()> {
/// let (here, there) = duplex(1024);
/// let (mut reader, writer) = (StreamReader::new(there), StreamWriter::new(here));
/// writer.write(b"hello, ");
/// writer.write(b"world\n");
/// writer.drain().await?;
/// assert_eq!(reader.read_line().await?, b"hello, world\n");
/// writer.close();
/// writer.wait_closed().await?;
/// # Ok(())
/// # }
/// ```
///
/// # References
/// `asyncio.StreamWriter`.
pub struct StreamWriter<W: AsyncWrite + Unpin + 'static> {
    shared: Rc<Shared<W>>,
}

impl<W: AsyncWrite + Unpin + 'static> StreamWriter<W> {
    /// A writer to `stream`, with the default water marks: 64 KiB and 16 KiB.
    pub fn new(stream: W) -> StreamWriter<W> {
        StreamWriter {
            shared: Shared::new(stream),
        }
    }

    /// Takes `bytes`, to be sent in the background. Never waits, never fails: see [`drain`](StreamWriter::drain).
    ///
    /// Outside of a loop the bytes wait in the buffer until somebody awaits in one.
    #[track_caller]
    pub fn write(&self, bytes: &[u8]) {
        if self.shared.push(bytes) {
            self.shared.start_sending();
        }
    }

    /// Takes several pieces of bytes, one after the other. See [`write`](StreamWriter::write).
    #[track_caller]
    #[doc(alias = "writelines")]
    pub fn write_lines<I>(&self, pieces: I)
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        for piece in pieces {
            self.write(piece.as_ref());
        }
    }

    /// Waits while the buffer is full: from when it is above the high mark until it is at the low one.
    ///
    /// # Errors
    /// - What the stream said when it was written to.
    /// - `BrokenPipe`: the writer is closed, or bytes were written after its end.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: what is in the buffer goes on being sent.
    pub async fn drain(&self) -> io::Result<()> {
        poll_fn(|cx| self.shared.poll_until(Until::Drained, cx)).await
    }

    /// Waits until the stream has taken everything that was written, and has been flushed.
    ///
    /// That is not to say that the peer has it.
    ///
    /// # Errors
    /// As [`drain`](StreamWriter::drain), but a writer that was closed may be flushed.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: what is in the buffer goes on being sent.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.shared.poll_until(Until::Flushed, cx)).await
    }

    /// Ends the direction, once everything was sent: the peer reads the end of the stream. The stream stays open, and
    /// its other direction as it is.
    ///
    /// It does not wait: [`flush`](StreamWriter::flush) does, for the bytes.
    #[track_caller]
    #[doc(alias = "shutdown")]
    pub fn write_eof(&self) {
        self.shared.begin(End::Ending);
    }

    /// Closes the stream, once everything was sent. A peer that does not read holds that up:
    /// [`abort`](StreamWriter::abort) does not wait for it.
    ///
    /// It does not wait: [`wait_closed`](StreamWriter::wait_closed) does.
    ///
    /// A reader of the same connection goes on: the connection is closed when both are.
    #[track_caller]
    pub fn close(&self) {
        self.shared.begin(End::Closing);
    }

    /// Drops what was not sent, and the stream.
    pub fn abort(&self) {
        drop(self.shared.abort());
    }

    /// Waits until the stream is closed, which [`close`](StreamWriter::close), [`abort`](StreamWriter::abort) or a failure begin. Bytes that
    /// the peer has sent do not hold it up.
    ///
    /// # Errors
    /// What the stream said when it was written to or closed.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: closing goes on.
    pub async fn wait_closed(&self) -> io::Result<()> {
        poll_fn(|cx| self.shared.poll_until(Until::Closed, cx)).await
    }

    /// Whether it was closed, or is about to be.
    pub fn is_closing(&self) -> bool {
        self.shared.end() == End::Closing
    }

    /// How many bytes wait to be sent.
    #[doc(alias = "get_write_buffer_size")]
    pub fn buffered(&self) -> usize {
        self.shared.unsent()
    }

    /// The water marks.
    #[doc(alias = "get_write_buffer_limits")]
    pub fn water_marks(&self) -> WaterMarks {
        self.shared.marks()
    }

    /// Sets the water marks, for what is in the buffer too.
    #[doc(alias = "set_write_buffer_limits")]
    pub fn set_water_marks(&self, marks: WaterMarks) {
        self.shared.set_marks(marks);
    }

    /// Calls `f` with the stream; `None` when it is closed.
    #[doc(alias = "get_extra_info")]
    pub fn with_stream<T>(&self, f: impl FnOnce(&W) -> T) -> Option<T> {
        self.shared.with_stream(f)
    }

    /// Gives the stream back, once everything was sent.
    ///
    /// # Errors
    /// As [`drain`](StreamWriter::drain); the stream is dropped then.
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// The bytes are safe, the stream is not: it is closed, as when the writer is dropped.
    pub async fn into_inner(self) -> io::Result<W> {
        self.flush().await?;
        self.shared
            .abort()
            .ok_or_else(|| io::Error::new(io::ErrorKind::BrokenPipe, "the writer is closed"))
    }
}

impl<W: AsyncWrite + Unpin + 'static> StreamWriter<W> {
    /// The end of the writer, for who answers for its stream: a server.
    pub(crate) fn ending(&self) -> Ending<W> {
        Ending {
            shared: Rc::clone(&self.shared),
        }
    }
}

/// Waits for the end of a writer that somebody else holds. Dropped before that, it drops what was not sent, and the stream.
pub(crate) struct Ending<W: AsyncWrite + Unpin + 'static> {
    shared: Rc<Shared<W>>,
}

impl<W: AsyncWrite + Unpin + 'static> Ending<W> {
    /// As [`StreamWriter::close`].
    #[track_caller]
    pub(crate) fn close(&self) {
        self.shared.begin(End::Closing);
    }

    /// As [`StreamWriter::wait_closed`], but an error is for those who hold the writer.
    pub(crate) async fn wait_closed(&self) {
        poll_fn(|cx| self.shared.poll_gone(cx)).await;
    }
}

impl<W: AsyncWrite + Unpin + 'static> Drop for Ending<W> {
    fn drop(&mut self) {
        drop(self.shared.abort());
    }
}

impl StreamWriter<OwnedWriteHalf> {
    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected`, when the connection is gone or the writer closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with_stream(OwnedWriteHalf::peer_addr)
            .unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    /// The address of this side.
    ///
    /// # Errors
    /// `NotConnected`, when the writer is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with_stream(OwnedWriteHalf::local_addr)
            .unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }
}

impl<W: AsyncWrite + Unpin + 'static> Drop for StreamWriter<W> {
    fn drop(&mut self) {
        self.shared.begin(End::Closing);
    }
}

/// Each call waits as [`drain`](StreamWriter::drain) does, then takes what it is given, up to the high mark.
impl<W: AsyncWrite + Unpin + 'static> AsyncWrite for StreamWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_until(Until::Flushed, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

/// As for the writer itself, for who shares it.
impl<W: AsyncWrite + Unpin + 'static> AsyncWrite for &StreamWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(tulipa_base::budget::poll_consume(cx));
        let polled = self.shared.poll_until(Until::Drained, cx);
        if polled.is_pending() {
            tulipa_base::budget::refund();
        }
        ready!(polled)?;
        // Not more than the marks say, so that a large buffer is not held twice.
        let count = buf.len().min(self.water_marks().high().max(1));
        self.write(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_until(Until::Flushed, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.begin(End::Closing);
        self.shared.poll_until(Until::Closed, cx)
    }
}

impl<W: AsyncWrite + Unpin + 'static> fmt::Debug for StreamWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter")
            .field("buffered", &self.buffered())
            .field("is_closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
