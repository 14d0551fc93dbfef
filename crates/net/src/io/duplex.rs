//! A pair of streams in memory: what one writes the other reads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};
use tulipa_base::budget;
use tulipa_base::resource::Resource;
use tulipa_base::wait;

/// A pair of streams in memory: what one writes the other reads, up to `capacity` bytes ahead, each way.
///
/// It is for tests, and for parts of a program that talk to each other as if over a socket. It belongs to no loop. Dropping one
/// ends both directions: the other reads what was written, then the end; writing to it fails.
///
/// # Panics
/// When `capacity` is zero: nothing could be written.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; }
/// use tulipa::io::{AsyncReadExt, AsyncWriteExt, duplex};
///
/// # futures_lite::future::block_on(async {
/// let (mut here, mut there) = duplex(64);
/// here.write_all(b"ping").await?;
/// here.close().await?;
/// let mut received = Vec::new();
/// there.read_to_end(&mut received).await?;
/// assert_eq!(received, b"ping");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[track_caller]
#[doc(alias = "feed_data")]
#[doc(alias = "memory_stream_pair")]
pub fn duplex(capacity: usize) -> (DuplexStream, DuplexStream) {
    assert!(capacity > 0, "a stream without capacity takes no bytes");
    let there = Rc::new(RefCell::new(Channel::new(capacity)));
    let back = Rc::new(RefCell::new(Channel::new(capacity)));
    let here = DuplexStream {
        incoming: Rc::clone(&back),
        outgoing: Rc::clone(&there),
    };
    let other = DuplexStream {
        incoming: there,
        outgoing: back,
    };
    (here, other)
}

/// One of a pair of streams in memory. See [`duplex()`].
pub struct DuplexStream {
    incoming: Rc<RefCell<Channel>>,
    outgoing: Rc<RefCell<Channel>>,
}

/// One direction.
struct Channel {
    bytes: VecDeque<u8>,
    capacity: usize,
    is_ended: bool,
    is_reader_gone: bool,
    failure: Option<io::ErrorKind>,
    reader: Option<Waiting>,
    writer: Option<Waiting>,
}

/// Who waits. What is in there may be anyone's code when it is cloned, woken or dropped: the channel is not borrowed then.
struct Waiting {
    waker: Waker,
    _resource: Resource,
}

impl DuplexStream {
    /// Breaks the pair: what is on its way is lost, and whatever the other one reads or writes from now on fails with
    /// `kind`, as `ConnectionReset` does on a socket. Reading and writing here fails with `BrokenPipe`.
    #[doc(alias = "set_exception")]
    pub fn fail(&mut self, kind: io::ErrorKind) {
        end(&self.outgoing, |channel| {
            channel.failure.get_or_insert(kind);
            channel.is_ended = true;
            drop(std::mem::take(&mut channel.bytes));
        });
        end(&self.incoming, |channel| {
            channel.failure.get_or_insert(kind);
            channel.is_ended = true;
            channel.is_reader_gone = true;
            drop(std::mem::take(&mut channel.bytes));
        });
    }
}

impl Channel {
    fn new(capacity: usize) -> Channel {
        Channel {
            bytes: VecDeque::new(),
            capacity,
            is_ended: false,
            is_reader_gone: false,
            failure: None,
            reader: None,
            writer: None,
        }
    }

    /// What a read yields; `None` when it has to wait.
    fn read(&mut self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        if self.is_reader_gone {
            return Some(Err(io::ErrorKind::BrokenPipe.into())); // It was broken from this side.
        }
        if let Some(kind) = self.failure {
            return Some(Err(kind.into()));
        }
        if self.bytes.is_empty() {
            return self.is_ended.then_some(Ok(0));
        }
        let count = buf.len().min(self.bytes.len());
        let (first, second) = self.bytes.as_slices();
        let middle = count.min(first.len());
        buf[..middle].copy_from_slice(&first[..middle]);
        buf[middle..count].copy_from_slice(&second[..count - middle]);
        self.bytes.drain(..count);
        if self.bytes.is_empty() {
            self.bytes = VecDeque::new(); // A pair that waits holds next to nothing.
        }
        Some(Ok(count))
    }

    /// What a write yields; `None` when it has to wait.
    fn write(&mut self, buf: &[u8]) -> Option<io::Result<usize>> {
        if let Some(kind) = self.failure.filter(|_| self.is_reader_gone) {
            return Some(Err(kind.into()));
        }
        if self.is_ended || self.is_reader_gone {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = buf.len().min(self.capacity - self.bytes.len());
        if count == 0 && !buf.is_empty() {
            return None;
        }
        self.bytes.extend(&buf[..count]);
        Some(Ok(count))
    }
}

/// Changes a channel for good, and wakes both sides.
fn end(channel: &RefCell<Channel>, change: impl FnOnce(&mut Channel)) {
    let waiting = {
        let mut channel = channel.borrow_mut();
        change(&mut channel);
        [channel.reader.take(), channel.writer.take()]
    };
    waiting.into_iter().for_each(wake);
}

fn wake(waiting: Option<Waiting>) {
    if let Some(waiting) = waiting {
        waiting.waker.wake();
    }
}

/// Says who waits, in `place`.
fn register(
    channel: &RefCell<Channel>,
    place: fn(&mut Channel) -> &mut Option<Waiting>,
    cx: &Context<'_>,
) {
    let resource = Resource::new("duplex");
    wait::note(resource.label());
    let waiting = Waiting {
        waker: cx.waker().clone(),
        _resource: resource,
    };
    let before = place(&mut channel.borrow_mut()).replace(waiting);
    drop(before);
}

impl AsyncRead for DuplexStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(budget::poll_consume(cx));
        let result = self.incoming.borrow_mut().read(buf);
        let Some(result) = result else {
            budget::refund();
            register(&self.incoming, |channel| &mut channel.reader, cx);
            return Poll::Pending;
        };
        let writer = self.incoming.borrow_mut().writer.take();
        wake(writer);
        Poll::Ready(result)
    }
}

impl AsyncWrite for DuplexStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(budget::poll_consume(cx));
        let result = self.outgoing.borrow_mut().write(buf);
        let Some(result) = result else {
            budget::refund();
            register(&self.outgoing, |channel| &mut channel.writer, cx);
            return Poll::Pending;
        };
        let reader = self.outgoing.borrow_mut().reader.take();
        wake(reader);
        Poll::Ready(result)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the direction: the other one reads the end.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        end(&self.outgoing, |channel| channel.is_ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for DuplexStream {
    fn drop(&mut self) {
        end(&self.outgoing, |channel| channel.is_ended = true);
        end(&self.incoming, |channel| {
            channel.is_reader_gone = true;
            drop(std::mem::take(&mut channel.bytes));
        });
    }
}

impl fmt::Debug for DuplexStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DuplexStream")
            .field("readable", &self.incoming.borrow().bytes.len())
            .field("written", &self.outgoing.borrow().bytes.len())
            .finish_non_exhaustive()
    }
}
