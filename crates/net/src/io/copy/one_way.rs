//! Bytes on their way through a buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::io::scratch::with_scratch;

/// One direction of a copy.
#[derive(Default)]
pub(super) struct OneWay {
    /// What was read and not written yet, from `written` on: what a writer did not take at once.
    rest: Vec<u8>,
    written: usize,
    total: u64,
    needs_flush: bool,
    is_ended: bool,
}

impl OneWay {
    /// How many bytes were written.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Goes on as far as both sides allow. Ready when the reader has ended, and the writer has taken everything and
    /// was flushed.
    pub(super) fn poll<R, W>(
        &mut self,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        loop {
            ready!(self.poll_rest(writer.as_mut(), cx))?;
            if self.is_ended {
                ready!(self.poll_flush(writer, cx))?;
                return Poll::Ready(Ok(self.total));
            }
            let polled = with_scratch(|scratch| {
                let count = ready!(reader.as_mut().poll_read(cx, scratch))?;
                self.is_ended = count == 0;
                self.pass_on(&scratch[..count], writer.as_mut(), cx)
                    .map_ok(|()| count)
            });
            match polled? {
                Poll::Ready(_) => {}
                // A writer that does not take it all has registered who waits.
                Poll::Pending if !self.rest.is_empty() => return Poll::Pending,
                // A peer may need what was written so far before it goes on.
                Poll::Pending => {
                    let _waits_for_the_reader = self.poll_flush(writer, cx)?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes `bytes`, and keeps what is not taken at once.
    fn pass_on<W: AsyncWrite + ?Sized>(
        &mut self,
        mut bytes: &[u8],
        mut writer: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            let Poll::Ready(count) = writer.as_mut().poll_write(cx, bytes)? else {
                self.rest.extend_from_slice(bytes);
                return Poll::Pending;
            };
            bytes = &bytes[self.count(count)?..];
        }
        Poll::Ready(Ok(()))
    }

    fn poll_rest<W: AsyncWrite + ?Sized>(
        &mut self,
        mut writer: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.rest.len() {
            let count = ready!(writer.as_mut().poll_write(cx, &self.rest[self.written..]))?;
            self.written += self.count(count)?;
        }
        // The memory is for who waits; this one goes on.
        self.rest = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush<W: AsyncWrite + ?Sized>(
        &mut self,
        writer: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.needs_flush {
            ready!(writer.poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn count(&mut self, count: usize) -> io::Result<usize> {
        if count == 0 {
            let message = "the stream takes no more bytes";
            return Err(io::Error::new(io::ErrorKind::WriteZero, message));
        }
        self.total += count as u64;
        self.needs_flush = true;
        Ok(count)
    }
}
