//! One thread reads, on demand, and keeps what was not taken.

use std::io::{self, Read};
use std::sync::{Condvar, Mutex};
use std::task::{Context, Poll, Waker, ready};

use tulipa_base::budget;
use tulipa_base::wait::{self, Kind, Label};

use crate::io::stdio::{add_waker, lock, start_thread};

/// What one read takes at most. Pipes hold as much.
const MOST: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Input {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    has_thread: bool,
    waiting: Vec<Waker>,
}

/// ```text
///   Idle ──1──▶ Wanted ──2──▶ Reading ──3──▶ Here
///    ▲───────────────────4────────────────────┘
/// ```
/// 1, 4 `poll_read`; 2, 3 the thread, `run`.
#[derive(Debug)]
enum Phase {
    Idle,
    /// Somebody waits for at most so many bytes.
    Wanted(usize),
    Reading,
    /// What a read has yielded, from the place on. No bytes at all are the end.
    Here(io::Result<Vec<u8>>, usize),
}

impl Input {
    pub(super) const fn new() -> Input {
        Input {
            state: Mutex::new(State {
                phase: Phase::Idle,
                has_thread: false,
                waiting: Vec::new(),
            }),
            wanted: Condvar::new(),
        }
    }

    pub(super) fn poll_read(
        &'static self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(budget::poll_consume(cx));
        let waker = cx.waker().clone(); // Not with the lock held: it may be anyone's code.
        let mut state = lock(&self.state);
        if let Phase::Here(..) = state.phase {
            return Poll::Ready(state.take(buf));
        }
        if !state.has_thread {
            start_thread("tulipa-stdin", || self.run())?;
            state.has_thread = true;
        }
        if let Phase::Idle = state.phase {
            state.phase = Phase::Wanted(buf.len().min(MOST));
            self.wanted.notify_one();
        }
        add_waker(&mut state.waiting, waker);
        drop(state);
        budget::refund();
        wait::note(Label::new(Kind::Blocking, 0));
        Poll::Pending
    }

    /// The thread.
    fn run(&self) {
        let mut buf = Vec::new();
        let mut state = lock(&self.state);
        loop {
            let Phase::Wanted(most) = state.phase else {
                state = self
                    .wanted
                    .wait(state)
                    .unwrap_or_else(|poison| poison.into_inner());
                continue;
            };
            state.phase = Phase::Reading;
            drop(state);
            buf.resize(most, 0);
            let result = read(&mut buf);
            state = lock(&self.state);
            state.phase = Phase::Here(result.map(|count| buf[..count].to_vec()), 0);
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            state = lock(&self.state);
        }
    }
}

fn read(buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match io::stdin().lock().read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl State {
    /// Takes what is here.
    fn take(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Here(Ok(bytes), start) => {
                let count = buf.len().min(bytes.len() - start);
                buf[..count].copy_from_slice(&bytes[start..start + count]);
                if start + count < bytes.len() {
                    self.phase = Phase::Here(Ok(bytes), start + count);
                }
                Ok(count)
            }
            Phase::Here(Err(error), _) => Err(error),
            phase => unreachable!("nothing is here in {phase:?}"),
        }
    }
}
