//! One stream of something that reads and something that writes.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

/// Makes one stream of `reader` and `writer`, such as [`stdin`](crate::io::stdin) and [`stdout`](crate::io::stdout), or the pipes of a child.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; }
/// use tulipa::io::{AsyncReadExt, AsyncWriteExt, join};
///
/// # futures_lite::future::block_on(async {
/// let mut stream = join(&b"in"[..], Vec::new());
/// let mut buf = [0; 2];
/// stream.read_exact(&mut buf).await?;
/// stream.write_all(b"out").await?;
/// assert_eq!((&buf, stream.writer()), (b"in", &b"out".to_vec()));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn join<R, W>(reader: R, writer: W) -> Joined<R, W> {
    Joined { reader, writer }
}

/// One stream of two. See [`join()`].
#[derive(Clone, Debug)]
pub struct Joined<R, W> {
    reader: R,
    writer: W,
}

impl<R, W> Joined<R, W> {
    /// What reads.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// What writes.
    pub fn writer(&self) -> &W {
        &self.writer
    }

    /// What reads, to be changed.
    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// What writes, to be changed.
    pub fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Both.
    pub fn into_parts(self) -> (R, W) {
        (self.reader, self.writer)
    }
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Joined<R, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read_vectored(cx, bufs)
    }
}

impl<R: AsyncBufRead + Unpin, W: Unpin> AsyncBufRead for Joined<R, W> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().reader).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        Pin::new(&mut self.reader).consume(count);
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Joined<R, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}
