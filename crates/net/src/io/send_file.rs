//! A file's bytes to a socket.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncWrite;

use crate::io::scratch::with_scratch;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::io::wire::as_sink;

/// Sends the bytes of `file` that are in `range` to `stream`: all of them with `..`. Returns how many bytes it was, which is less than
/// asked for if the file ends before.
///
/// Afterwards the file's position is behind the last byte that the stream took, in case of an error, and of a dropped call,
/// too: to go on, send the range from there.
///
/// To a `TcpStream` or `UnixStream`, an owned writing half of one, or a pipe, on Linux, bytes go by sendfile(2), without a detour through the program. Where that
/// is refused, and for any other stream, they are read and written. Either way reading waits for the disk when the file is not
/// in memory, and the loop with it.
///
/// # Errors
/// - `InvalidInput`: `file` is a pipe, a socket or a terminal, which may have the loop wait for ever, or a directory.
/// - What the stream or the file says.
///
/// # Panics
/// When it has to wait outside of a runtime, for sockets.
///
/// # Cancel safety
/// Safe: the file's position tells where to go on. (To a stream with a buffer of its own: what is in there was taken.)
///
/// # Platform notes
/// sendfile(2) raises `SIGPIPE`, so it is used only if the program ignores or catches that signal when it sends its first file, as
/// Rust's programs do.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub use tulipa_net::io; pub mod net { pub use tulipa_net::*; } }
/// # async fn f(mut stream: tulipa::net::TcpStream) -> std::io::Result<()> {
/// let file = std::fs::File::open("index.html")?;
/// let sent = tulipa::io::send_file(&mut stream, &file, ..).await?;
/// println!("{sent} bytes");
/// # Ok(())
/// # }
/// ```
///
/// # References
/// sendfile(2); `loop.sendfile` of asyncio.
#[doc(alias = "sendfile")]
#[doc(alias = "sock_sendfile")]
pub async fn send_file<W>(
    stream: &mut W,
    file: &File,
    range: impl RangeBounds<u64>,
) -> io::Result<u64>
where
    W: AsyncWrite + Unpin + 'static,
{
    check_kind(file)?;
    let mut sending = Sending::new(file, range);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(sink) = as_sink(stream)
        && crate::io::sigpipe::is_harmless()
        && poll_fn(|cx| native::poll(&mut sending, sink, cx)).await?
    {
        return Ok(sending.sent);
    }
    poll_fn(|cx| sending.poll(Pin::new(stream), cx)).await?;
    Ok(sending.sent)
}

fn check_kind(file: &File) -> io::Result<()> {
    let kind = file.metadata()?.file_type();
    #[cfg(unix)]
    let may_hang = {
        use std::os::unix::fs::FileTypeExt;
        !kind.is_file() && !kind.is_block_device()
    };
    #[cfg(not(unix))]
    let may_hang = !kind.is_file();
    if may_hang {
        let message = "only files can be sent, not pipes, terminals or directories: see `copy`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// A file on its way. The file's position is set when this is dropped.
struct Sending<'a> {
    file: &'a File,
    start: u64,
    /// Behind the last byte to send.
    end: u64,
    sent: u64,
    /// What was read and not written yet, from `written` on.
    rest: Vec<u8>,
    written: usize,
    needs_flush: bool,
}

impl<'a> Sending<'a> {
    fn new(file: &'a File, range: impl RangeBounds<u64>) -> Sending<'a> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Sending {
            file,
            start,
            end: end.max(start),
            sent: 0,
            rest: Vec::new(),
            written: 0,
            needs_flush: false,
        }
    }

    fn position(&self) -> u64 {
        self.start + self.sent
    }

    fn missing(&self) -> u64 {
        self.end - self.position()
    }

    /// Reads and writes until all is written and flushed.
    fn poll<W: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.written < self.rest.len() {
                let count = ready!(stream.as_mut().poll_write(cx, &self.rest[self.written..]))?;
                self.written += self.count(count)?;
            }
            self.rest = Vec::new();
            self.written = 0;
            let polled = with_scratch(|scratch| {
                let count = self.read(scratch)?;
                let mut bytes = &scratch[..count];
                while !bytes.is_empty() {
                    let Poll::Ready(taken) = stream.as_mut().poll_write(cx, bytes)? else {
                        self.rest = bytes.to_vec();
                        return Poll::Pending;
                    };
                    bytes = &bytes[self.count(taken)?..];
                }
                Poll::Ready(io::Result::Ok(count))
            });
            if ready!(polled)? == 0 {
                if self.needs_flush {
                    ready!(stream.poll_flush(cx))?;
                    self.needs_flush = false;
                }
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads what comes next. `0` is the end.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.missing()).map_or(buf.len(), |it| it.min(buf.len()));
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.position()))?;
        loop {
            match file.read(&mut buf[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn count(&mut self, count: usize) -> io::Result<usize> {
        if count == 0 {
            let message = "the stream takes no more bytes";
            return Err(io::Error::new(io::ErrorKind::WriteZero, message));
        }
        self.sent += count as u64;
        self.needs_flush = true;
        Ok(count)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut file = self.file;
        // It was sought before; a file that cannot be has said so then.
        let _ = file.seek(SeekFrom::Start(self.position()));
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod native {
    use super::*;

    use rustix::fs::sendfile;
    use rustix::io::Errno;
    use tulipa_reactor::Direction;

    use crate::io::wire::Wire;

    /// What one call sends at most: a file that must come from a disk is not to hold the loop for longer than that
    /// takes. Less costs calls, and sockets take hardly more at a time.
    const MOST: usize = 1024 * 1024;

    /// `false` if the system refuses; what was sent so far is counted.
    pub(super) fn poll(
        sending: &mut Sending<'_>,
        sink: &dyn Wire,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        loop {
            let most = usize::try_from(sending.missing()).map_or(MOST, |it| it.min(MOST));
            if most == 0 {
                return Poll::Ready(Ok(true));
            }
            let (file, position) = (sending.file, sending.position());
            let polled = sink.poll_fd(Direction::Write, cx, &mut |sink| {
                let mut offset = position;
                Ok(sendfile(sink, file, Some(&mut offset), most)?)
            });
            match ready!(polled) {
                Ok(0) => return Poll::Ready(Ok(true)), // The file has ended.
                Ok(count) => sending.sent += count as u64,
                Err(error) if is_refusal(&error) => return Poll::Ready(Ok(false)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Files that cannot be mapped are refused with `EINVAL`, see sendfile(2).
    fn is_refusal(error: &io::Error) -> bool {
        matches!(
            Errno::from_io_error(error),
            Some(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OVERFLOW)
        )
    }
}
