//! Two halves of any stream, for two tasks.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

/// Splits `stream` into a half that reads and a half that writes.
///
/// Both halves use the same stream, one poll at a time. Sockets have halves of their own, which need no such sharing: see
/// [`TcpStream::into_split`](crate::TcpStream::into_split).
///
/// Dropping the writing half does not end the direction: closing may have to wait, which a destructor cannot do. Await
/// `AsyncWriteExt::close`. The stream is dropped with the second half.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; }
/// use tulipa::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
///
/// # futures_lite::future::block_on(async {
/// let (here, mut there) = duplex(16);
/// let (mut read, mut write) = split(here);
/// write.write_all(b"hi").await?;
/// let mut buf = [0; 2];
/// there.read_exact(&mut buf).await?;
/// there.write_all(&buf).await?;
/// read.read_exact(&mut buf).await?;
/// assert_eq!(&buf, b"hi");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn split<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Rc::new(RefCell::new(stream));
    let read = ReadHalf {
        stream: Rc::clone(&stream),
    };
    (read, WriteHalf { stream })
}

/// The half of a stream that reads. See [`split()`].
pub struct ReadHalf<S> {
    stream: Rc<RefCell<S>>,
}

/// The half of a stream that writes. See [`split()`].
pub struct WriteHalf<S> {
    stream: Rc<RefCell<S>>,
}

impl<S> ReadHalf<S> {
    /// Whether this is the other half of the same stream.
    pub fn is_pair_of(&self, write: &WriteHalf<S>) -> bool {
        Rc::ptr_eq(&self.stream, &write.stream)
    }

    /// Makes one stream of two halves again.
    ///
    /// # Errors
    /// [`UnrelatedHalves`], with both, when they are not of the same stream.
    #[doc(alias = "unsplit")]
    pub fn reunite(self, write: WriteHalf<S>) -> Result<S, UnrelatedHalves<S>> {
        if !self.is_pair_of(&write) {
            return Err(UnrelatedHalves { read: self, write });
        }
        drop(write);
        let stream = Rc::into_inner(self.stream).expect("a stream has two halves, both are here");
        Ok(stream.into_inner())
    }
}

/// Two halves were to be reunited that are not of the same stream.
pub struct UnrelatedHalves<S> {
    /// The half that reads.
    pub read: ReadHalf<S>,
    /// The half that writes.
    pub write: WriteHalf<S>,
}

/// Calls `f` with the stream, which no other poll of it is using: a stream that polls its own other half gets an error.
fn with<S: Unpin, T>(
    stream: &RefCell<S>,
    f: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    match stream.try_borrow_mut() {
        Ok(mut stream) => f(Pin::new(&mut *stream)),
        Err(_) => Poll::Ready(Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "a stream was used from inside of its own poll",
        ))),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadHalf<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        with(&self.stream, |stream| stream.poll_read(cx, buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        with(&self.stream, |stream| stream.poll_read_vectored(cx, bufs))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteHalf<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        with(&self.stream, |stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with(&self.stream, |stream| stream.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with(&self.stream, |stream| stream.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with(&self.stream, |stream| stream.poll_close(cx))
    }
}

impl<S> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHalf").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteHalf").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for UnrelatedHalves<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnrelatedHalves").finish_non_exhaustive()
    }
}

impl<S> fmt::Display for UnrelatedHalves<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream")
    }
}

impl<S> std::error::Error for UnrelatedHalves<S> {}
