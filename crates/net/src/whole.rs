//! Reads and writes that go on until all is done.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// Writes all of `buf`. One closure, not an async function around one: that saves a state machine for each message.
#[inline]
pub(crate) fn write_all(
    buf: &[u8],
    mut poll_write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
) -> impl Future<Output = io::Result<()>> {
    let mut rest = buf;
    poll_fn(move |cx| {
        while !rest.is_empty() {
            match ready!(poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => rest = &rest[count..],
            }
        }
        Poll::Ready(Ok(()))
    })
}

/// Reads until `buf` is full. An end before that is an error, of which `end` says what has ended.
pub(crate) async fn read_exact(
    buf: &mut [u8],
    end: &str,
    mut poll_read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match poll_fn(|cx| poll_read(cx, &mut buf[filled..])).await? {
            0 => {
                let message = format!("{end} after {filled} of {} bytes", buf.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            count => filled += count,
        }
    }
    Ok(())
}
