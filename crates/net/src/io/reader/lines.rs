//! The lines of a stream, one after the other.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_io::AsyncRead;

use crate::io::reader::error::ReadError;
use crate::io::reader::search::Search;
use crate::io::reader::stream_reader::{Found, NEWLINE, StreamReader};

/// The lines of a reader. See [`StreamReader::lines`].
pub struct Lines<'a, R> {
    reader: &'a mut StreamReader<R>,
    search: Search<'static, &'static [u8]>,
}

impl<'a, R: AsyncRead + Unpin> Lines<'a, R> {
    pub(super) fn new(reader: &'a mut StreamReader<R>) -> Lines<'a, R> {
        Lines {
            reader,
            search: Search::new(&NEWLINE),
        }
    }

    /// Waits for the next line, and returns it without its end (`\n` or `\r\n`); `None` at the end of
    /// the stream.
    ///
    /// # Errors
    /// As [`read_line`](StreamReader::read_line). Lines go on after one that was too long.
    ///
    /// # Panics
    /// When the stream does, for instance a socket that has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe, as [`read_line`](StreamReader::read_line).
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, ReadError>> {
        poll_fn(|cx| self.poll_next_line(cx)).await
    }

    fn poll_next_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, ReadError>>> {
        let found = ready!(self.reader.poll_line(&mut self.search, cx));
        self.search = Search::new(&NEWLINE);
        Poll::Ready(match found {
            Ok(Found::Line(mut line)) => {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                Some(Ok(line))
            }
            Ok(Found::Rest(rest)) if rest.is_empty() => None,
            Ok(Found::Rest(rest)) => Some(Ok(rest)),
            Err(error) => Some(Err(error)),
        })
    }
}

impl<R: AsyncRead + Unpin> Stream for Lines<'_, R> {
    type Item = Result<Vec<u8>, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_next_line(cx)
    }
}

impl<R> fmt::Debug for Lines<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}
