//! The slot: where a job's result meets the waker of who waits for it.
//!
//! One side fills it, once: the thread that ran the job, or whoever took it off the queue. The other side
//! is the job's handle, which polls it and in the end takes the result, or detaches.
//!
//! # States
//! ```text
//!              1 fill                       3 poll, try_take
//!   WAITING ──────────────▶ FILLED ──────────────────────────▶ TAKEN
//!      │                      │
//!      │ 2 detach             │ 2 detach: gives the result back
//!      ▼                      ▼
//!   DETACHED ─────────────▶ DETACHED
//!              1 fill: gives the result back
//! ```
//!
//! # Invariants
//! 1. There is a waker only in `WAITING`. So whoever fills it finds the waker of the last poll, and a
//!    poll that comes later finds the result.
//! 2. Nothing is cloned, woken or dropped while the lock is held: what has to go is returned.

use std::mem;
use std::task::{Context, Poll, Waker};

use tulipa_base::wait::{self, Label};

use crate::error::BlockingError;
use crate::shim::Mutex;

pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    stage: Stage<T>,
    waker: Option<Waker>,
}

enum Stage<T> {
    Waiting,
    Filled(Result<T, BlockingError>),
    Taken,
    Detached,
}

/// What whoever has filled the slot must do next.
#[must_use]
pub(crate) enum Filled<T> {
    /// Wake this, if there is one.
    Wake(Option<Waker>),
    /// Drop this: the handle is gone.
    Discard(Result<T, BlockingError>),
}

/// What a handle that goes away leaves behind.
#[must_use]
pub(crate) struct Leftover<T> {
    pub(crate) waker: Option<Waker>,
    pub(crate) result: Option<Result<T, BlockingError>>,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Slot<T> {
        Slot {
            state: Mutex::new(State {
                stage: Stage::Waiting,
                waker: None,
            }),
        }
    }

    /// Leaves the result.
    pub(crate) fn fill(&self, result: Result<T, BlockingError>) -> Filled<T> {
        let mut state = self.state.lock();
        match state.stage {
            Stage::Waiting => {
                state.stage = Stage::Filled(result);
                Filled::Wake(state.waker.take())
            }
            Stage::Detached => Filled::Discard(result),
            Stage::Filled(_) | Stage::Taken => unreachable!("a job finishes once"),
        }
    }

    /// Takes the result, or leaves the context's waker for it.
    ///
    /// # Panics
    /// When the result was taken before.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, BlockingError>> {
        {
            let mut state = self.state.lock();
            if let Some(result) = state.stage.take() {
                return Poll::Ready(result);
            }
            // Compares two addresses; runs nobody's code.
            if state
                .waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                wait::note(Label::new(wait::Kind::Blocking, 0));
                return Poll::Pending;
            }
        }
        // Without the lock, because cloning a waker may be anyone's code. The job may finish meanwhile.
        let waker = cx.waker().clone();
        let before;
        let found = {
            let mut state = self.state.lock();
            let found = state.stage.take();
            before = match found {
                Some(_) => Some(waker),
                None => state.waker.replace(waker),
            };
            found
        };
        drop(before);
        if found.is_none() {
            wait::note(Label::new(wait::Kind::Blocking, 0));
        }
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes the result if it is there.
    ///
    /// # Panics
    /// When the result was taken before.
    pub(crate) fn try_take(&self) -> Option<Result<T, BlockingError>> {
        self.state.lock().stage.take()
    }

    /// Whether the job has finished, in whatever way.
    pub(crate) fn is_filled(&self) -> bool {
        !matches!(self.state.lock().stage, Stage::Waiting | Stage::Detached)
    }

    /// Says that nobody will take the result.
    pub(crate) fn detach(&self) -> Leftover<T> {
        let mut state = self.state.lock();
        let result = match mem::replace(&mut state.stage, Stage::Detached) {
            Stage::Filled(result) => Some(result),
            Stage::Waiting | Stage::Taken | Stage::Detached => None,
        };
        Leftover {
            waker: state.waker.take(),
            result,
        }
    }
}

impl<T> Stage<T> {
    fn take(&mut self) -> Option<Result<T, BlockingError>> {
        match self {
            Stage::Waiting => None,
            Stage::Filled(_) => match mem::replace(self, Stage::Taken) {
                Stage::Filled(result) => Some(result),
                _ => unreachable!("looked at a line above"),
            },
            Stage::Taken => panic!("BlockingHandle polled after it has yielded the result"),
            Stage::Detached => unreachable!("only the handle takes, and only its drop detaches"),
        }
    }
}
