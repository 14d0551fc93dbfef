//! What a writer and the task that sends for it have in common.
//!
//! # A writer's life
//! ```text
//!            1 write_eof            2 close, drop
//!   OPEN ───────────────▶ ENDING ─────────────────▶ CLOSING ───▶ gone: the stream was dropped
//!     └────────────────────────2───────────────────────▲     3 finish
//!   any ──── 4 abort ─────────────────────────────────────────▶ gone
//! ```
//! Bytes are taken in `OPEN` only. The sending task lives while there is anything to do: bytes to send, a flush, an
//! end to tell. It is started by whoever brings something to do, and by whoever waits and finds that it was
//! cancelled meanwhile, as all tasks are when the loop ends.
//!
//! # Invariants
//! 1. The stream is borrowed only while the sending task polls it; nothing else is borrowed then.
//! 2. `unsent` counts what is in `sending` and `queued`; it never grows after an error.
//! 3. Whoever waits is woken when the buffer gets down to the low mark, when all is sent and flushed, when the
//!    stream is gone, when it fails, and when the sending task ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::AsyncWrite;
use tulipa_executor::cancel::catch_cancel;
use tulipa_executor::debug::is_debug;
use tulipa_executor::report::{ExceptionKind, report};
use tulipa_executor::task::{JoinHandle, try_spawn};

use crate::io::wait_set::WaitSet;
use crate::io::writer::water_marks::WaterMarks;

/// Memory that an empty buffer keeps.
const KEPT_CAPACITY: usize = 512;

pub(super) struct Shared<W> {
    /// Gone when it is closed, aborted, or given back.
    stream: RefCell<Option<W>>,
    state: RefCell<State>,
    waiting: WaitSet,
    /// The sending task, while it lives.
    task: Cell<Option<JoinHandle<()>>>,
}

pub(super) struct State {
    /// What is being sent, from `sent` on. It is empty while the stream is being polled, which holds it then.
    sending: Vec<u8>,
    sent: usize,
    /// What comes after.
    queued: Vec<u8>,
    unsent: usize,
    marks: WaterMarks,
    is_full: bool,
    /// All that was taken has been flushed too.
    is_flushed: bool,
    end: End,
    /// The stream has been told of the end.
    is_end_told: bool,
    /// Bytes were dropped for this reason.
    refusal: Option<&'static str>,
    has_task: bool,
    error: Option<io::Error>,
    /// Bytes that were dropped because of it.
    lost: usize,
    /// Somebody has been told of it.
    is_error_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Open,
    Ending,
    Closing,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// There is room below the high mark again.
    Drained,
    /// The stream has taken everything.
    Flushed,
    /// The stream is gone.
    Closed,
}

impl<W> Shared<W> {
    pub(super) fn new(stream: W) -> Rc<Shared<W>> {
        Rc::new(Shared {
            stream: RefCell::new(Some(stream)),
            state: RefCell::new(State {
                sending: Vec::new(),
                sent: 0,
                queued: Vec::new(),
                unsent: 0,
                marks: WaterMarks::default(),
                is_full: false,
                is_flushed: true,
                end: End::Open,
                is_end_told: false,
                refusal: None,
                has_task: false,
                error: None,
                lost: 0,
                is_error_told: false,
            }),
            waiting: WaitSet::new("StreamWriter"),
            task: Cell::new(None),
        })
    }

    pub(super) fn unsent(&self) -> usize {
        self.state.borrow().unsent
    }

    pub(super) fn marks(&self) -> WaterMarks {
        self.state.borrow().marks
    }

    pub(super) fn end(&self) -> End {
        self.state.borrow().end
    }

    pub(super) fn set_marks(&self, marks: WaterMarks) {
        let mut state = self.state.borrow_mut();
        state.marks = marks;
        if state.unsent > marks.high() {
            state.is_full = true;
        }
        let has_room = state.update_full();
        drop(state);
        if has_room {
            self.waiting.wake();
        }
    }

    /// Calls `f` with the stream; `None` when it is gone, or in the middle of a poll.
    pub(super) fn with_stream<T>(&self, f: impl FnOnce(&W) -> T) -> Option<T> {
        let stream = self.stream.try_borrow().ok()?;
        stream.as_ref().map(f)
    }

    /// Takes bytes; `false` when there is nothing to do for that.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        let mut state = self.state.borrow_mut();
        if state.error.is_some() || bytes.is_empty() {
            return false;
        }
        if state.end != End::Open {
            state.refusal = Some("bytes were written after the end");
            return false;
        }
        state.queued.extend_from_slice(bytes);
        state.unsent += bytes.len();
        state.is_flushed = false;
        state.is_full |= state.unsent > state.marks.high();
        true
    }

    /// Takes the stream out and drops what was not sent.
    pub(super) fn abort(&self) -> Option<W> {
        let dropped = {
            let mut state = self.state.borrow_mut();
            state.end = End::Closing;
            if state.unsent > 0 {
                state.refusal = Some("the writer was aborted");
            }
            state.is_flushed = true;
            state.drop_bytes()
        };
        drop(dropped);
        // A task that is just polling the stream, and came here from there, finds the end by itself.
        let stream = self
            .stream
            .try_borrow_mut()
            .ok()
            .and_then(|mut it| it.take());
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.waiting.wake();
        stream
    }

    /// What a wait comes to, if anything.
    fn outcome(&self, until: Until) -> Option<io::Result<()>> {
        let state = self.state.borrow();
        if let Some(error) = &state.error {
            return Some(Err(again(error)));
        }
        if until == Until::Closed {
            let is_gone = self.stream.try_borrow().is_ok_and(|it| it.is_none());
            return is_gone.then_some(Ok(()));
        }
        if let Some(refusal) = state.refusal {
            return Some(Err(after_the_end(refusal)));
        }
        let is_done = match until {
            Until::Drained if state.end == End::Closing => {
                return Some(Err(after_the_end("the writer is closed")));
            }
            Until::Drained => !state.is_full,
            _ => state.unsent == 0 && state.is_flushed,
        };
        is_done.then_some(Ok(()))
    }
}

impl State {
    /// Whether the buffer has just got down to the low mark.
    fn update_full(&mut self) -> bool {
        let has_room = self.is_full && self.unsent <= self.marks.low();
        if has_room {
            self.is_full = false;
        }
        has_room
    }

    fn drop_bytes(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.unsent = 0;
        self.sent = 0;
        self.is_full = false;
        (
            std::mem::take(&mut self.sending),
            std::mem::take(&mut self.queued),
        )
    }

    /// What to send next; empty when there is nothing.
    fn next_bytes(&mut self) -> (Vec<u8>, usize) {
        if self.sent == self.sending.len() {
            self.sending.clear();
            self.sent = 0;
            std::mem::swap(&mut self.sending, &mut self.queued);
        }
        (std::mem::take(&mut self.sending), self.sent)
    }
}

impl<W: AsyncWrite + Unpin + 'static> Shared<W> {
    /// Begins to end the direction, or to close.
    #[track_caller]
    pub(super) fn begin(self: &Rc<Self>, end: End) {
        let has_to_do = {
            let mut state = self.state.borrow_mut();
            let is_news = state.end < end;
            state.end = state.end.max(end);
            is_news
        };
        if has_to_do {
            self.start_sending();
        }
    }

    /// Starts the sending task, unless it runs. Outside of a loop nothing happens: the next one who waits
    /// starts it.
    #[track_caller]
    pub(super) fn start_sending(self: &Rc<Self>) -> bool {
        if std::mem::replace(&mut self.state.borrow_mut().has_task, true) {
            return true;
        }
        let sender = Sender(Rc::clone(self));
        // If it is dropped before its first poll the sender says so: `has_task` is wrong for no one.
        match try_spawn(send(sender)) {
            Ok(task) => {
                // A loop that is being closed has dropped it already.
                let is_alive = self.state.borrow().has_task;
                if is_alive {
                    self.task.set(Some(task));
                }
                is_alive
            }
            Err(_) => false,
        }
    }

    /// Waits.
    #[track_caller]
    pub(super) fn poll_until(
        self: &Rc<Self>,
        until: Until,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(outcome) = self.outcome(until) {
            let mut state = self.state.borrow_mut();
            state.is_error_told |= state.error.is_some();
            return Poll::Ready(outcome);
        }
        self.poll_on(until, cx)
    }

    /// Waits for the end, without asking how it came.
    #[track_caller]
    pub(super) fn poll_gone(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.outcome(Until::Closed) {
            Some(_) => Poll::Ready(()),
            None => self.poll_on(Until::Closed, cx).map(drop),
        }
    }

    #[track_caller]
    fn poll_on(self: &Rc<Self>, until: Until, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who waits for the end of a writer that nobody has closed waits for that.
        let has_to_do = until != Until::Closed || self.end() == End::Closing;
        if has_to_do && !self.start_sending() {
            panic!(
                "a writer has to wait, but no tulipa event loop runs on this thread: start the program \
                 with #[tulipa::main], or use the writer inside tulipa::run(..)"
            );
        }
        self.waiting.add(cx);
        Poll::Pending
    }

    /// Sends, flushes, and ends, as far as there is anything to do.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        let has_failed = self.state.borrow().error.is_some();
        if !has_failed && let Err(error) = ready!(self.poll_send_all(cx)) {
            let mut state = self.state.borrow_mut();
            state.error = Some(error);
            state.lost = state.unsent;
            let dropped = state.drop_bytes();
            drop(state);
            drop(dropped);
        }
        if self.end() == End::Closing {
            drop(self.stream.take());
        }
        self.waiting.wake();
        Poll::Ready(())
    }

    fn poll_send_all(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let (bytes, sent) = self.state.borrow_mut().next_bytes();
            if !bytes.is_empty() {
                ready!(self.poll_write(cx, bytes, sent))?;
                continue;
            }
            self.state.borrow_mut().sending = bytes;
            if !self.state.borrow().is_flushed {
                ready!(self.poll_stream(cx, |stream, cx| stream.poll_flush(cx)))?;
                let mut state = self.state.borrow_mut();
                state.is_flushed = state.unsent == 0;
                drop(state);
                self.waiting.wake();
                continue;
            }
            let (end, is_end_told) = {
                let state = self.state.borrow();
                (state.end, state.is_end_told)
            };
            if end != End::Open && !is_end_told {
                ready!(self.poll_stream(cx, |stream, cx| stream.poll_close(cx)))?;
                self.state.borrow_mut().is_end_told = true;
                continue;
            }
            let mut state = self.state.borrow_mut();
            state.queued.shrink_to(KEPT_CAPACITY);
            state.sending.shrink_to(KEPT_CAPACITY);
            return Poll::Ready(Ok(()));
        }
    }

    /// Writes once from `bytes`, which have been sent up to `sent`.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: Vec<u8>,
        sent: usize,
    ) -> Poll<io::Result<()>> {
        let polled = self.poll_stream(cx, |stream, cx| stream.poll_write(cx, &bytes[sent..]));
        let mut state = self.state.borrow_mut();
        if state.unsent == 0 {
            return polled.map_ok(drop); // It was aborted in there.
        }
        state.sending = bytes;
        let count = match ready!(polled) {
            Ok(0) => {
                let message = "the stream takes no more bytes";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::WriteZero, message)));
            }
            result => result?,
        };
        state.sent += count;
        state.unsent -= count;
        let has_room = state.update_full();
        drop(state);
        if has_room {
            self.waiting.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_stream<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut W>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.stream.borrow_mut() {
            Some(stream) => poll(Pin::new(stream), cx),
            None => Poll::Ready(Err(after_the_end("the writer is closed"))),
        }
    }
}

/// Nobody is left who could send: neither a writer nor its task.
impl<W> Drop for Shared<W> {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let lost = state.unsent + state.lost;
        if lost == 0 {
            return;
        }
        let reason = match &state.error {
            None => "no loop sends them any more: await `flush` or `wait_closed` before it ends"
                .to_owned(),
            // Peers come and go: as in asyncio that is told in debug mode only.
            Some(error) if !state.is_error_told && is_debug() => error.to_string(),
            Some(_) => return,
        };
        let message = format!("{lost} bytes of a StreamWriter were not sent: {reason}");
        report(ExceptionKind::BytesLost, &message);
    }
}

/// What the sending task is made of. However the task ends, those who wait get to know.
struct Sender<W>(Rc<Shared<W>>);

impl<W> Drop for Sender<W> {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        state.has_task = false;
        if std::thread::panicking() && state.error.is_none() {
            state.error = Some(io::Error::other("the stream panicked"));
        }
        drop(state);
        // Nobody awaits it: a panic goes to the loop's exception handler.
        drop(self.0.task.take());
        self.0.waiting.wake();
    }
}

async fn send<W: AsyncWrite + Unpin + 'static>(sender: Sender<W>) {
    let sent = catch_cancel(poll_fn(|cx| sender.0.poll_send(cx))).await;
    if let Err(cancelled) = sent {
        // The loop ends. What the stream takes at once is still sent; waiting for a peer that may never read
        // would hold the end up. Who waits for this writer in its own clean-up starts another task.
        poll_fn(|cx| {
            let _ = sender.0.poll_send(cx);
            Poll::Ready(())
        })
        .await;
        drop(sender);
        cancelled.resume().await
    }
}

fn after_the_end(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, message)
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
