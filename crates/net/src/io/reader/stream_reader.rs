//! A reader with a buffer and a limit.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;

use crate::io::reader::error::{IncompleteRead, LimitOverrun, ReadError};
use crate::io::reader::lines::Lines;
use crate::io::reader::search::Search;
use crate::io::scratch::{SCRATCH_SIZE, with_scratch};

/// The limit of a reader that was given none: 64 KiB, asyncio's.
pub const DEFAULT_LIMIT: usize = 64 * 1024;

/// Memory that an empty reader keeps: enough for requests of the usual size, so that they do not ask the
/// allocator each time, and little enough for a hundred thousand readers that have been busy once.
const KEPT_CAPACITY: usize = 512;

/// Reads at least so large go past the buffer, into the caller's memory.
const DIRECT_SIZE: usize = 8 * 1024;

pub(super) static NEWLINE: [&[u8]; 1] = [b"\n"];

/// Reads lines, up to separators, exact numbers of bytes, or the rest of a stream.
///
/// What was read from the stream and not asked for yet stays in a buffer here, so that every method is safe to
/// drop half-way: what it had read is there for the next one. The buffer grows up to twice the
/// [limit](StreamReader::limit) for lines and separators, so that a peer which never sends one cannot fill the memory;
/// [`read_exact`](StreamReader::read_exact) takes what it is asked for. A reader that waits with an empty buffer holds next to none.
///
/// Reading takes `&mut self`, so there is one who reads at a time. Nothing is read before it is asked for: what a
/// peer sends meanwhile waits in the system, and slows the peer down.
///
/// It implements `AsyncRead`, and not `AsyncBufRead`: the methods of that one's extension trait have the same names and no limit.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; }
/// use tulipa::io::StreamReader;
///
/// # futures_lite::future::block_on(async {
/// let mut reader = StreamReader::new(&b"GET /\r\nbody"[..]);
/// assert_eq!(reader.read_until(b"\r\n").await?, b"GET /\r\n");
/// let mut body = [0; 4];
/// reader.read_exact(&mut body).await?;
/// assert_eq!(&body, b"body");
/// assert!(reader.read_line().await?.is_empty() && reader.at_eof());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # References
/// `asyncio.StreamReader`.
#[doc(alias = "readuntil")]
pub struct StreamReader<R> {
    stream: R,
    /// Bytes from `start` on are to be read.
    buf: Vec<u8>,
    start: usize,
    limit: usize,
    is_ended: bool,
}

/// What a search for the end of a line comes to.
pub(super) enum Found {
    /// A line, with its newline.
    Line(Vec<u8>),
    /// What the stream ended with: nothing, or a line without a newline.
    Rest(Vec<u8>),
}

impl<R> StreamReader<R> {
    /// A reader of `stream`, with the [default limit](DEFAULT_LIMIT).
    pub fn new(stream: R) -> StreamReader<R> {
        StreamReader {
            stream,
            buf: Vec::new(),
            start: 0,
            limit: DEFAULT_LIMIT,
            is_ended: false,
        }
    }

    /// A reader of `stream` with this [limit](StreamReader::limit).
    ///
    /// # Panics
    /// When `limit` is zero.
    #[track_caller]
    pub fn with_limit(limit: usize, stream: R) -> StreamReader<R> {
        let mut reader = StreamReader::new(stream);
        reader.set_limit(limit);
        reader
    }

    /// How many bytes may come before a separator.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Sets the limit. What is in the buffer stays.
    ///
    /// # Panics
    /// When `limit` is zero.
    #[track_caller]
    pub fn set_limit(&mut self, limit: usize) {
        assert!(limit > 0, "the limit of a reader must be at least 1");
        self.limit = limit;
    }

    /// What was read from the stream, and not asked for yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// Whether the stream has ended and all of it was read.
    ///
    /// The end is known when a read has met it: `false` does not say that there is more.
    #[doc(alias = "is_eof")]
    pub fn at_eof(&self) -> bool {
        self.is_ended && self.buffered().is_empty()
    }

    /// The stream. What was [buffered](StreamReader::buffered) is not in it any more.
    pub fn get_ref(&self) -> &R {
        &self.stream
    }

    /// The stream, to be changed. Reading from it leaves out what was [buffered](StreamReader::buffered).
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The stream, and what was [buffered](StreamReader::buffered).
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        self.buf.drain(..self.start);
        (self.stream, self.buf)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.buffered()[..count].to_vec();
        self.skip(count);
        bytes
    }

    fn take_all(&mut self) -> Vec<u8> {
        self.take(self.buffered().len())
    }

    fn skip(&mut self, count: usize) {
        self.start += count;
        if self.start == self.buf.len() {
            self.start = 0;
            self.buf.clear();
            self.buf.shrink_to(KEPT_CAPACITY);
        }
    }

    fn take_into(&mut self, buf: &mut [u8]) -> usize {
        let count = buf.len().min(self.buffered().len());
        buf[..count].copy_from_slice(&self.buffered()[..count]);
        self.skip(count);
        count
    }

    fn append(&mut self, bytes: &[u8]) {
        // Moving what is left to the front costs at most one move of each byte that was read.
        if self.start > self.buf.len() / 2 {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        self.buf.extend_from_slice(bytes);
    }
}

impl<R: AsyncRead + Unpin> StreamReader<R> {
    /// Waits until at least one byte is there, then takes what there is, into the start of `buf`.
    ///
    /// Returns the number of bytes, at most `buf.len()`. `0` means the end of the stream, or an empty `buf`. A large
    /// `buf` is read into without a detour.
    ///
    /// # Errors
    /// What the stream says.
    ///
    /// # Panics
    /// When the stream does, for instance a socket that has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: bytes leave the reader only in the poll that returns them.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buf)).await
    }

    /// Waits until at least one byte is there, and shows what there is without taking it. Nothing means the end of the
    /// stream.
    ///
    /// # Errors
    /// What the stream says.
    ///
    /// # Panics
    /// When the stream does, for instance a socket that has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: it takes nothing.
    #[doc(alias = "fill_buf")]
    pub async fn peek(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() {
            self.fill(self.chunk()).await?;
        }
        Ok(self.buffered())
    }

    /// Waits until `buf.len()` bytes are there, and takes them. It may be more than the limit.
    ///
    /// # Errors
    /// - [`ReadError::Incomplete`]: the stream has ended before. What was there is in the error, and not in the reader any
    ///   more; `buf` is as it was.
    /// - [`ReadError::Io`]: the stream failed. What was read is in the reader.
    ///
    /// # Panics
    /// When the stream does, for instance a socket that has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: what was read stays in the reader.
    #[doc(alias = "readexactly")]
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ReadError> {
        let expected = buf.len();
        while self.buffered().len() < expected {
            let missing = expected - self.buffered().len();
            if self.fill(missing.max(self.chunk())).await? == 0 {
                return Err(ReadError::Incomplete(IncompleteRead {
                    partial: self.take_all(),
                    expected: Some(expected),
                }));
            }
        }
        self.take_into(buf);
        Ok(())
    }

    /// Takes everything up to and with `separator`.
    ///
    /// # Errors
    /// As [`read_until_any`](StreamReader::read_until_any).
    ///
    /// # Panics
    /// When `separator` is empty.
    ///
    /// # Cancel safety
    /// Safe: what was read stays in the reader.
    pub async fn read_until(&mut self, separator: &[u8]) -> Result<Vec<u8>, ReadError> {
        self.read_until_any(&[separator]).await
    }

    /// Takes everything up to and with one of several separators: the one that ends first. Of those that end together
    /// it is the shortest, which matters to the limit only.
    ///
    /// The limit counts without the separator: exactly so many bytes may come before it.
    ///
    /// # Errors
    /// - [`ReadError::Incomplete`]: the stream has ended before. What was there is in the error, and not in the reader any
    ///   more.
    /// - [`ReadError::LimitOverrun`]: there is no separator within the limit. Everything stays in the reader; the
    ///   error says how much of it can be read to get on.
    /// - [`ReadError::Io`]: the stream failed. What was read is in the reader.
    ///
    /// # Panics
    /// Without separators, or with an empty one.
    ///
    /// # Cancel safety
    /// Safe: what was read stays in the reader.
    ///
    /// # Examples
    /// ```
    /// # mod tulipa { pub use tulipa_net::io; }
    /// use tulipa::io::StreamReader;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut reader = StreamReader::new(&b"one;two,"[..]);
    /// assert_eq!(reader.read_until_any(&[",", ";"]).await?, b"one;");
    /// assert_eq!(reader.read_until_any(&[",", ";"]).await?, b"two,");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn read_until_any<S: AsRef<[u8]>>(
        &mut self,
        separators: &[S],
    ) -> Result<Vec<u8>, ReadError> {
        let mut search = Search::new(separators);
        poll_fn(|cx| self.poll_until(&mut search, cx)).await
    }

    /// Takes a line, with its newline; without one if the stream ends before, and nothing at its end.
    ///
    /// # Errors
    /// - [`ReadError::LimitOverrun`]: the line is longer than the limit. It was dropped, if its end is here
    ///   already; else all that is here was, and the rest of it comes as another line.
    /// - [`ReadError::Io`]: the stream failed. What was read is in the reader.
    ///
    /// # Panics
    /// When the stream does, for instance a socket that has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: what was read stays in the reader.
    #[doc(alias = "readline")]
    pub async fn read_line(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut search = Search::new(&NEWLINE);
        match poll_fn(|cx| self.poll_line(&mut search, cx)).await? {
            Found::Line(line) | Found::Rest(line) => Ok(line),
        }
    }

    /// The lines of the stream, one after the other, without their ends.
    ///
    /// # Examples
    /// ```
    /// # mod tulipa { pub use tulipa_net::io; }
    /// use tulipa::io::StreamReader;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut reader = StreamReader::new(&b"one\r\ntwo\n\nlast"[..]);
    /// let mut lines = reader.lines();
    /// let mut seen = Vec::new();
    /// while let Some(line) = lines.next().await {
    ///     seen.push(line?);
    /// }
    /// assert_eq!(seen, [&b"one"[..], b"two", b"", b"last"]);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn lines(&mut self) -> Lines<'_, R> {
        Lines::new(self)
    }

    /// Takes everything up to the end of the stream, and appends it to `out`. Returns how many bytes it was.
    ///
    /// There is no limit: use it with peers that are trusted, or behind `AsyncReadExt::take`.
    ///
    /// # Errors
    /// What the stream says. What was read is in `out`.
    ///
    /// # Panics
    /// When the stream does, for instance a socket that has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: what was read is in `out`.
    pub async fn read_to_end(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        let before = out.len();
        out.extend_from_slice(self.buffered());
        self.skip(self.buffered().len());
        while !self.is_ended {
            let count = poll_fn(|cx| {
                with_scratch(|scratch| {
                    let count = ready!(Pin::new(&mut self.stream).poll_read(cx, scratch))?;
                    out.extend_from_slice(&scratch[..count]);
                    Poll::Ready(io::Result::Ok(count))
                })
            })
            .await?;
            self.is_ended = count == 0;
        }
        Ok(out.len() - before)
    }

    /// How many bytes to read ahead: so many that the limit is passed, and the buffer stays within twice of it.
    fn chunk(&self) -> usize {
        self.limit.clamp(1, SCRATCH_SIZE)
    }

    async fn fill(&mut self, at_most: usize) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(at_most, cx)).await
    }

    /// Reads once into the buffer. `0` is the end of the stream.
    fn poll_fill(&mut self, at_most: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.is_ended {
            return Poll::Ready(Ok(0));
        }
        with_scratch(|scratch| {
            let at_most = at_most.min(scratch.len());
            let scratch = &mut scratch[..at_most];
            let count = ready!(Pin::new(&mut self.stream).poll_read(cx, scratch))?;
            self.is_ended = count == 0;
            self.append(&scratch[..count]);
            Poll::Ready(Ok(count))
        })
    }

    fn poll_until<S: AsRef<[u8]>>(
        &mut self,
        search: &mut Search<'_, S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, ReadError>> {
        loop {
            let overrun = match search.find(self.buffered()) {
                Some(found) if found.start <= self.limit => {
                    return Poll::Ready(Ok(self.take(found.end)));
                }
                Some(found) => Some((found.start, true)),
                None if search.offset() > self.limit => Some((search.offset(), false)),
                None => None,
            };
            if let Some((consumed, is_found)) = overrun {
                return Poll::Ready(Err(ReadError::LimitOverrun(LimitOverrun {
                    consumed,
                    limit: self.limit,
                    is_found,
                })));
            }
            if ready!(self.poll_fill(self.chunk(), cx))? == 0 {
                return Poll::Ready(Err(ReadError::Incomplete(IncompleteRead {
                    partial: self.take_all(),
                    expected: None,
                })));
            }
        }
    }

    pub(super) fn poll_line(
        &mut self,
        search: &mut Search<'_, &[u8]>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Found, ReadError>> {
        Poll::Ready(match ready!(self.poll_until(search, cx)) {
            Ok(line) => Ok(Found::Line(line)),
            Err(ReadError::Incomplete(IncompleteRead { partial, .. })) => Ok(Found::Rest(partial)),
            Err(ReadError::LimitOverrun(mut overrun)) => {
                let dropped = match overrun.is_found {
                    true => overrun.consumed + 1,
                    false => self.buffered().len(),
                };
                self.skip(dropped);
                overrun.consumed = dropped;
                Err(ReadError::LimitOverrun(overrun))
            }
            Err(error) => Err(error),
        })
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for StreamReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.buffered().is_empty() && !this.is_ended {
            if buf.len() >= DIRECT_SIZE {
                let count = ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
                this.is_ended = count == 0;
                return Poll::Ready(Ok(count));
            }
            ready!(this.poll_fill(this.chunk(), cx))?;
        }
        Poll::Ready(Ok(this.take_into(buf)))
    }
}

impl<R> fmt::Debug for StreamReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("buffered", &self.buffered().len())
            .field("limit", &self.limit)
            .field("at_eof", &self.at_eof())
            .finish_non_exhaustive()
    }
}
