//! One thread writes what is queued.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex};
use std::task::{Context, Poll, Waker, ready};

use tulipa_base::budget;
use tulipa_base::wait::{self, Kind, Label};

use crate::io::stdio::{add_waker, lock, start_thread};

/// Bytes that are queued at most. Less wakes the thread more often; more is lost when a program ends without flushing.
const CAPACITY: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Output {
    name: &'static str,
    write: fn(&[u8]) -> io::Result<()>,
    state: Mutex<State>,
    queued: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Vec<u8>,
    is_writing: bool,
    has_thread: bool,
    /// For the next one who writes or flushes.
    error: Option<io::Error>,
    waiting: Vec<Waker>,
}

pub(super) fn to_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

pub(super) fn to_stderr(bytes: &[u8]) -> io::Result<()> {
    io::stderr().lock().write_all(bytes)
}

impl Output {
    pub(super) const fn new(name: &'static str, write: fn(&[u8]) -> io::Result<()>) -> Output {
        Output {
            name,
            write,
            state: Mutex::new(State {
                queue: Vec::new(),
                is_writing: false,
                has_thread: false,
                error: None,
                waiting: Vec::new(),
            }),
            queued: Condvar::new(),
        }
    }

    pub(super) fn poll_write(
        &'static self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(budget::poll_consume(cx));
        self.poll(cx, |state| {
            let count = bytes.len().min(CAPACITY.saturating_sub(state.queue.len()));
            if count == 0 && !bytes.is_empty() {
                return Ok(None);
            }
            if !state.has_thread {
                start_thread(self.name, || self.run())?;
                state.has_thread = true;
            }
            state.queue.extend_from_slice(&bytes[..count]);
            self.queued.notify_one();
            Ok(Some(count))
        })
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |state| {
            Ok((state.queue.is_empty() && !state.is_writing).then_some(()))
        })
    }

    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        attempt: impl FnOnce(&mut State) -> io::Result<Option<T>>,
    ) -> Poll<io::Result<T>> {
        let waker = cx.waker().clone(); // Not with the lock held: it may be anyone's code.
        let mut state = lock(&self.state);
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        if let Some(value) = attempt(&mut state)? {
            return Poll::Ready(Ok(value));
        }
        add_waker(&mut state.waiting, waker);
        drop(state);
        wait::note(Label::new(Kind::Blocking, 0));
        Poll::Pending
    }

    /// The thread.
    fn run(&self) {
        let mut bytes = Vec::new();
        let mut state = lock(&self.state);
        loop {
            if state.queue.is_empty() {
                state = self
                    .queued
                    .wait(state)
                    .unwrap_or_else(|poison| poison.into_inner());
                continue;
            }
            std::mem::swap(&mut state.queue, &mut bytes);
            state.is_writing = true;
            drop(state);
            let result = (self.write)(&bytes);
            bytes.clear();
            state = lock(&self.state);
            state.is_writing = false;
            state.error = result.err().or(state.error.take());
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            state = lock(&self.state);
        }
    }
}
