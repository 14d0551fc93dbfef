//! From one stream to another, one way or both.
//!
//! # Map
//! - [`copy()`], [`copy_bidirectional`].
//! - `one_way` (private): bytes on their way through a buffer.
//! - `splice` (private, Linux): bytes that never leave the kernel.

mod bidirectional;
mod one_way;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod splice;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};

pub use bidirectional::copy_bidirectional;
use one_way::OneWay;

/// Copies everything that `reader` yields to `writer`, and flushes it at the end and whenever it has to wait for
/// more. Returns how many bytes it was.
///
/// The writer is not closed. While it waits for the reader it holds no buffer.
///
/// # Errors
/// What the reader or the writer says; what was read and not written is lost then.
///
/// # Panics
/// When it has to wait outside of a runtime, for sockets.
///
/// # Cancel safety
/// Not safe: a dropped call may have read up to 64 KiB that it had not written, and does not say how much it has copied. Dropped
/// while it waits for the reader it has lost nothing.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; }
/// # futures_lite::future::block_on(async {
/// let mut out = Vec::new();
/// let count = tulipa::io::copy(&mut &b"hello"[..], &mut out).await?;
/// assert_eq!((count, &out[..]), (5, &b"hello"[..]));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut way = OneWay::default();
    poll_fn(|cx| way.poll(Pin::new(&mut *reader), Pin::new(&mut *writer), cx)).await
}
