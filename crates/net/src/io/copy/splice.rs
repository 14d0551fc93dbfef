//! Bytes that never leave the kernel: from socket to pipe to socket.
//!
//! # How a direction goes
//! It begins, and goes on while messages are small, with reads and writes through the thread's buffer: for small
//! messages both ways cost two system calls, and a pipe costs two descriptors and three calls besides. A read that
//! fills the buffer says that there is more: bytes go through a pipe then, until a splice finds next to nothing. While it waits the
//! pipe is in a pool.
//!
//! The pipe is filled only when it is empty, so that a splice that moves nothing says something of the socket alone: it
//! has nothing, it has ended, or it is at a mark of urgent data, behind which a splice never comes, whatever there is. A
//! read tells which, and passes the mark.
//!
//! # Invariants
//! 1. A direction that waits for its source holds neither pipe nor bytes.
//! 2. A pipe that goes back to the pool is empty; one with bytes in it is closed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tulipa_reactor::Direction;

use crate::io::scratch::{SCRATCH_SIZE, with_scratch};
use crate::io::wire::WiredStream;

/// What a pipe is asked to hold. 64 KiB, what a pipe holds by itself, is a fifth slower; more is hardly faster, and a user's
/// pipes may hold 64 MiB together: see pipe(7), pipe-user-pages-soft. If the system refuses, the pipe is as large as it is.
const PIPE_SIZE: usize = 256 * 1024;

/// A splice that moves less than this is better done by a read and a write: moving pages costs more than
/// copying a few bytes, and the pipe is free for others.
const BULK: usize = 16 * 1024;

/// Empty pipes that a thread keeps, so that bulk in bursts does not make a pipe for each. More would hold descriptors that a server
/// may want for connections.
const KEPT_PIPES: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

pub(super) async fn copy_bidirectional(
    a: &dyn WiredStream,
    b: &dyn WiredStream,
) -> io::Result<(u64, u64)> {
    let (mut there, mut back) = (Way::default(), Way::default());
    poll_fn(|cx| {
        let is_there = there.poll(a, b, cx)?;
        let is_back = back.poll(b, a, cx)?;
        ready!(is_there);
        ready!(is_back);
        Poll::Ready(Ok((there.total, back.total)))
    })
    .await
}

#[derive(Default)]
struct Way {
    through: Through,
    total: u64,
    is_ended: bool,
    is_done: bool,
    /// There was much to be read the last time.
    is_bulk: bool,
    /// The system cannot splice these sockets.
    is_refused: bool,
}

/// What bytes go through. What was read and not written is in it.
enum Through {
    Buffer { rest: Vec<u8>, written: usize },
    Pipe(FilledPipe),
}

impl Default for Through {
    fn default() -> Through {
        Through::buffer(Vec::new())
    }
}

impl Through {
    fn buffer(rest: Vec<u8>) -> Through {
        Through::Buffer { rest, written: 0 }
    }
}

impl Way {
    fn poll(
        &mut self,
        from: &dyn WiredStream,
        to: &dyn WiredStream,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        if self.is_done {
            return Ok(Poll::Ready(()));
        }
        let polled = self.poll_copy(from, to, cx)?;
        if polled.is_ready() {
            self.through = Through::default();
            match to.end_writing() {
                // A connection that is gone has no direction to end.
                Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
                _ => self.is_done = true,
            }
        }
        Ok(polled)
    }

    fn poll_copy(
        &mut self,
        from: &dyn WiredStream,
        to: &dyn WiredStream,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        loop {
            if self.poll_drain(to, cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
            if self.is_ended {
                return Ok(Poll::Ready(()));
            }
            if self.is_bulk && matches!(self.through, Through::Buffer { .. }) {
                self.take_pipe();
            }
            if self.poll_fill(from, to, cx)?.is_pending() {
                if self.is_empty() {
                    self.through = Through::default(); // Invariant 1.
                }
                return Ok(Poll::Pending);
            }
        }
    }

    fn is_empty(&self) -> bool {
        match &self.through {
            Through::Buffer { rest, written } => rest.len() == *written,
            Through::Pipe(pipe) => pipe.filled == 0,
        }
    }

    /// Reads once, and writes what is taken at once.
    fn poll_fill(
        &mut self,
        from: &dyn WiredStream,
        to: &dyn WiredStream,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        let Through::Pipe(pipe) = &mut self.through else {
            return self.poll_pass_on(from, to, cx);
        };
        let spliced = from.wire().poll_fd(Direction::Read, cx, &mut |socket| {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match splice(socket, None, pipe.write(), None, PIPE_SIZE, flags) {
                Err(rustix::io::Errno::AGAIN) => Ok(0),
                result => Ok(result?),
            }
        });
        match spliced {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => {
                self.through = Through::default();
                self.poll_pass_on(from, to, cx)
            }
            Poll::Ready(Ok(count)) => {
                pipe.filled = count;
                self.is_bulk = count >= BULK;
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(error)) if is_refusal(&error) => {
                self.is_refused = true;
                self.through = Through::default();
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    /// Reads once into the thread's buffer, writes from there, and keeps what is not taken at once.
    fn poll_pass_on(
        &mut self,
        from: &dyn WiredStream,
        to: &dyn WiredStream,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        with_scratch(|scratch| {
            let Poll::Ready(count) = from.poll_read(cx, scratch)? else {
                return Ok(Poll::Pending);
            };
            self.is_ended = count == 0;
            self.is_bulk = count == SCRATCH_SIZE;
            let mut written = 0;
            while written < count {
                match to.poll_write(cx, &scratch[written..count])? {
                    Poll::Ready(some) => {
                        written += taken(some)?;
                        self.total += some as u64;
                    }
                    Poll::Pending => {
                        self.through = Through::buffer(scratch[written..count].to_vec());
                        return Ok(Poll::Pending);
                    }
                }
            }
            Ok(Poll::Ready(()))
        })
    }

    /// Goes on through a pipe, if there is one to be had.
    fn take_pipe(&mut self) {
        if !self.is_refused
            && let Some(pipe) = FilledPipe::take()
        {
            self.through = Through::Pipe(pipe);
        }
    }

    /// Writes what was read.
    fn poll_drain(&mut self, to: &dyn WiredStream, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let pipe = match &mut self.through {
            Through::Buffer { rest, written } => {
                while *written < rest.len() {
                    let Poll::Ready(some) = to.poll_write(cx, &rest[*written..])? else {
                        return Ok(Poll::Pending);
                    };
                    *written += taken(some)?;
                    self.total += some as u64;
                }
                *rest = Vec::new(); // The memory is for who waits.
                *written = 0;
                return Ok(Poll::Ready(()));
            }
            Through::Pipe(pipe) => pipe,
        };
        while pipe.filled > 0 {
            let spliced = to.wire().poll_fd(Direction::Write, cx, &mut |socket| {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                Ok(splice(pipe.read(), None, socket, None, pipe.filled, flags)?)
            });
            match spliced {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(count)) => {
                    pipe.filled -= taken(count)?;
                    self.total += count as u64;
                }
                Poll::Ready(Err(error)) if is_refusal(&error) => {
                    // What is in the pipe goes on by the other way.
                    self.is_refused = true;
                    let rest = pipe.read_all()?;
                    self.through = Through::buffer(rest);
                    return self.poll_drain(to, cx);
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if !self.is_bulk {
            self.through = Through::default();
        }
        Ok(Poll::Ready(()))
    }
}

/// A socket that takes nothing, and does not say that it would block, would be asked for ever.
fn taken(count: usize) -> io::Result<usize> {
    match count {
        0 => Err(io::Error::new(
            io::ErrorKind::WriteZero,
            "the socket takes no more bytes",
        )),
        count => Ok(count),
    }
}

/// Whether the system cannot splice these descriptors at all, as splice(2) says, or some sandbox forbids it.
fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::PERM)
    )
}

/// The two ends.
type Pipe = (OwnedFd, OwnedFd);

/// A pipe, and how many bytes are in it.
struct FilledPipe {
    /// Gone only while it is dropped.
    pipe: Option<Pipe>,
    filled: usize,
}

impl FilledPipe {
    /// An empty pipe; `None` when there is none to be had: bytes go through a buffer then.
    fn take() -> Option<FilledPipe> {
        let kept = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        let pipe = kept.or_else(|| {
            let pipe = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
            // Refused when the user's pipes hold a lot already.
            let _ = fcntl_setpipe_size(&pipe.1, PIPE_SIZE);
            Some(pipe)
        })?;
        Some(FilledPipe {
            pipe: Some(pipe),
            filled: 0,
        })
    }

    fn ends(&self) -> &Pipe {
        self.pipe.as_ref().expect("it is there until it is dropped")
    }

    fn read(&self) -> &OwnedFd {
        &self.ends().0
    }

    fn write(&self) -> &OwnedFd {
        &self.ends().1
    }

    /// Takes out what is in it.
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.filled];
        let mut end = 0;
        while end < bytes.len() {
            let read =
                rustix::io::retry_on_intr(|| rustix::io::read(self.read(), &mut bytes[end..]));
            match read? {
                0 => break, // Its other end is here: there is no end of the stream.
                count => end += count,
            }
        }
        self.filled -= end;
        bytes.truncate(end);
        Ok(bytes)
    }
}

impl Drop for FilledPipe {
    fn drop(&mut self) {
        if self.filled > 0 {
            return; // Invariant 2.
        }
        let Some(pipe) = self.pipe.take() else { return };
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT_PIPES {
                pool.push(pipe);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream as StdTcp};
    use std::os::unix::net::UnixStream as StdUnix;
    use std::pin::pin;
    use std::task::Waker;

    use crate::io::copy::copy_bidirectional;
    use crate::tcp::TcpStream;
    use crate::unix::UnixStream;

    fn tcp_pair() -> (StdTcp, StdTcp) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = StdTcp::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Copies all that `source` gets in one go to `target`, and checks that a pipe was used.
    fn check<A, B>(a: StdSide, near_a: &mut A, b: StdSide, near_b: &mut B)
    where
        A: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + 'static,
        B: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + 'static,
    {
        POOL.take();
        // More than the buffer for small messages, less than sockets take without a reader.
        let bytes: Vec<u8> = (0..SCRATCH_SIZE + BULK + 7).map(|it| it as u8).collect();
        a.write(&bytes);
        b.write(b"");
        let mut copying = pin!(copy_bidirectional(near_a, near_b));
        // On loopback all is there at once, and nobody has to wait: there is no reactor here.
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(result) = copying.as_mut().poll(&mut cx) else {
            panic!("it has to wait")
        };
        assert_eq!(result.unwrap(), (bytes.len() as u64, 0));
        assert!(b.read() == bytes);
        assert!(a.read().is_empty());
        assert_eq!(POOL.take().len(), 1, "a pipe was used");
    }

    enum StdSide {
        Tcp(StdTcp),
        Unix(StdUnix),
    }

    impl StdSide {
        fn write(&self, bytes: &[u8]) {
            match self {
                StdSide::Tcp(stream) => {
                    (&mut &*stream).write_all(bytes).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                }
                StdSide::Unix(stream) => {
                    (&mut &*stream).write_all(bytes).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                }
            }
        }

        fn read(&self) -> Vec<u8> {
            let mut bytes = Vec::new();
            match self {
                StdSide::Tcp(stream) => (&mut &*stream).read_to_end(&mut bytes).unwrap(),
                StdSide::Unix(stream) => (&mut &*stream).read_to_end(&mut bytes).unwrap(),
            };
            bytes
        }
    }

    fn tcp() -> (StdSide, TcpStream) {
        let (far, near) = tcp_pair();
        (StdSide::Tcp(far), TcpStream::from_std(near).unwrap())
    }

    fn unix() -> (StdSide, UnixStream) {
        let (far, near) = StdUnix::pair().unwrap();
        (StdSide::Unix(far), UnixStream::from_std(near).unwrap())
    }

    #[test]
    fn bulk_between_sockets_of_any_kind_goes_through_a_pipe() {
        let ((a, mut near_a), (b, mut near_b)) = (unix(), unix());
        check(a, &mut near_a, b, &mut near_b);
        let ((a, mut near_a), (b, mut near_b)) = (unix(), tcp());
        check(a, &mut near_a, b, &mut near_b);
        let ((a, mut near_a), (b, mut near_b)) = (tcp(), unix());
        check(a, &mut near_a, b, &mut near_b);
        let ((a, mut near_a), (b, mut near_b)) = (tcp(), tcp());
        check(a, &mut near_a, b, &mut near_b);
    }
}
