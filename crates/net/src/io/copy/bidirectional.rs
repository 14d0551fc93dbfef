//! Both directions at once.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::io::copy::one_way::OneWay;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::io::copy::splice;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::io::wire::as_stream;

/// Copies everything that `a` yields to `b`, and everything that `b` yields to `a`, until both have ended. Returns how many
/// bytes went from `a` to `b`, and from `b` to `a`.
///
/// When one has ended, the other is closed for writing, and the opposite direction goes on: a peer that shuts down its
/// side gets its answer still.
///
/// # Errors
/// What the side that failed says. The other direction stops as well; what was read and not written is lost.
///
/// # Panics
/// When it has to wait outside of a runtime, for sockets.
///
/// # Cancel safety
/// Not safe: a dropped call may have read bytes (up to 64 KiB each way, more between sockets on Linux) that it had not written, and does not say
/// how much it has copied. Dropped while it waits for both readers it has lost nothing.
///
/// # Platform notes
/// Between two of `TcpStream` and `UnixStream`, or a server's connections of these, on Linux, bulk goes through a pipe by splice(2), and never leaves the kernel. An idle direction
/// holds neither pipe nor buffer. splice(2) raises `SIGPIPE`, so it is used only if the program ignores or catches that
/// signal when the first copy begins, as Rust's programs do.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub use tulipa_net::io; pub mod net { pub use tulipa_net::*; } }
/// # async fn f(mut client: tulipa::net::TcpStream) -> std::io::Result<()> {
/// let mut server = tulipa::net::TcpStream::connect("127.0.0.1:8080").await?;
/// let (sent, received) = tulipa::io::copy_bidirectional(&mut client, &mut server).await?;
/// println!("{sent} bytes there, {received} bytes back");
/// # Ok(())
/// # }
/// ```
///
/// # References
/// splice(2).
pub async fn copy_bidirectional<A, B>(a: &mut A, b: &mut B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + 'static,
    B: AsyncRead + AsyncWrite + Unpin + 'static,
{
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let (Some(a), Some(b)) = (as_stream(a), as_stream(b))
        && crate::io::sigpipe::is_harmless()
    {
        return splice::copy_bidirectional(a, b).await;
    }
    let (mut there, mut back) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        let is_there = there.poll(Pin::new(a), Pin::new(b), cx)?;
        let is_back = back.poll(Pin::new(b), Pin::new(a), cx)?;
        ready!(is_there);
        ready!(is_back);
        Poll::Ready(Ok((there.copy.total(), back.copy.total())))
    })
    .await
}

#[derive(Default)]
struct Direction {
    copy: OneWay,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Copying,
    Closing,
    Done,
}

impl Direction {
    fn poll<R, W>(
        &mut self,
        reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        if let State::Copying = self.state {
            match self.copy.poll(reader, writer.as_mut(), cx)? {
                Poll::Ready(_) => self.state = State::Closing,
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        if let State::Closing = self.state {
            match writer.poll_close(cx)? {
                Poll::Ready(()) => self.state = State::Done,
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        Ok(Poll::Ready(()))
    }
}
