//! Streams that behave badly, and a harness that drops futures where they wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use tulipa::io::{AsyncRead, AsyncWrite};
use tulipa::net::{TcpListener, TcpStream};

/// What a scripted reader does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    /// Is pending once, and wakes whoever polls.
    Wait,
    Fail(io::ErrorKind),
}

/// A reader that does what a script says, and then ends.
#[derive(Clone, Default)]
pub(crate) struct Script {
    steps: Rc<RefCell<VecDeque<Step>>>,
    pub(crate) reads: Rc<Cell<usize>>,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Script {
        Script {
            steps: Rc::new(RefCell::new(steps.into_iter().collect())),
            reads: Rc::default(),
        }
    }

    /// One byte at a time, with a wait before each.
    pub(crate) fn trickle(bytes: &[u8]) -> Script {
        Script::new(
            bytes
                .iter()
                .flat_map(|byte| [Step::Wait, Step::Bytes(vec![*byte])]),
        )
    }

    /// These pieces, with a wait before each.
    pub(crate) fn pieces(pieces: &[&str]) -> Script {
        Script::new(
            pieces
                .iter()
                .flat_map(|piece| [Step::Wait, Step::Bytes(piece.as_bytes().to_vec())]),
        )
    }

    pub(crate) fn push(&self, step: Step) {
        self.steps.borrow_mut().push_back(step);
    }
}

impl AsyncRead for Script {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.reads.set(self.reads.get() + 1);
        let step = self.steps.borrow_mut().pop_front();
        match step {
            None => Poll::Ready(Ok(0)),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Fail(kind)) => Poll::Ready(Err(kind.into())),
            Some(Step::Bytes(mut bytes)) => {
                let count = buf.len().min(bytes.len());
                buf[..count].copy_from_slice(&bytes[..count]);
                if count < bytes.len() {
                    bytes.drain(..count);
                    self.steps.borrow_mut().push_front(Step::Bytes(bytes));
                }
                Poll::Ready(Ok(count))
            }
        }
    }
}

/// A writer that takes a few bytes at a time, waits in between, and fails when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Slow {
    pub(crate) taken: Rc<RefCell<Vec<u8>>>,
    pub(crate) calls: Rc<RefCell<Vec<String>>>,
    /// How many bytes it may still take before it waits for good.
    pub(crate) room: Rc<Cell<usize>>,
    pub(crate) waker: Rc<RefCell<Option<std::task::Waker>>>,
    pub(crate) failure: Rc<Cell<Option<io::ErrorKind>>>,
    pub(crate) drops: Rc<Cell<u32>>,
}

impl Slow {
    pub(crate) fn with_room(room: usize) -> Slow {
        let slow = Slow::default();
        slow.room.set(room);
        slow
    }

    pub(crate) fn give(&self, room: usize) {
        self.room.set(self.room.get().saturating_add(room));
        self.wake();
    }

    pub(crate) fn fail(&self, kind: io::ErrorKind) {
        self.failure.set(Some(kind));
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(kind) = self.failure.get() {
            return Poll::Ready(Err(kind.into()));
        }
        let count = buf.len().min(self.room.get());
        if count == 0 {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.room.set(self.room.get() - count);
        self.taken.borrow_mut().extend_from_slice(&buf[..count]);
        self.calls.borrow_mut().push(format!("write {count}"));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.calls.borrow_mut().push("flush".to_owned());
        match self.failure.get() {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.calls.borrow_mut().push("close".to_owned());
        Poll::Ready(Ok(()))
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

/// Polls `future` up to `polls` times, then drops it. `Some` if it was ready before.
pub(crate) async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        tulipa::yield_now().await;
    }
    None
}

/// Lets `turns` turns of the loop pass.
pub(crate) async fn turns(turns: u32) {
    for _ in 0..turns {
        tulipa::yield_now().await;
    }
}

/// Two ends of a TCP connection on loopback.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, accepted) = tulipa::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count)
        .map(|place| (place as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect()
}

/// A stream that can be copied both ways.
pub(crate) trait Duplex:
    futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin + 'static
{
}
impl<S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin + 'static> Duplex for S {}
