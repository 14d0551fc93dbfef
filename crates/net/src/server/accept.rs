//! The task that accepts from one listener.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use socket2::{Domain, Socket, Type};
use tulipa_executor::report::{ExceptionKind, report};
use tulipa_executor::task::{Builder, Task};

use crate::accept::error::{AcceptError, classify};
use crate::server::listener::Listener;
use crate::server::state::State;

/// How many connections are turned away in a row when descriptors have run out; those beyond wait for the next try.
/// About as many as a backlog holds: fewer would leave old ones in it, and without an end others would not run.
const TURNED_AWAY_AT_ONCE: usize = 1024;

/// Starts the task.
pub(crate) fn spawn_accept<L: Listener>(
    state: &Rc<State<L>>,
    index: usize,
    addr: &L::Addr,
) -> Task {
    let guard = CloseOnDrop {
        state: Rc::clone(state),
    };
    let handle = Builder::new()
        .name(format!("server on {addr:?}"))
        .spawn(async move {
            let guard = guard;
            accept_all(&guard.state, index).await;
        });
    let task = handle.task();
    // It goes on by itself: the state knows its task.
    drop(handle);
    task
}

/// However the task ends, a server that nobody serves is closed, and does not keep its clients waiting.
struct CloseOnDrop<L: Listener> {
    state: Rc<State<L>>,
}

impl<L: Listener> Drop for CloseOnDrop<L> {
    fn drop(&mut self) {
        self.state.close();
    }
}

async fn accept_all<L: Listener>(state: &Rc<State<L>>, index: usize) {
    loop {
        state.pause.over().await;
        let error = match poll_fn(|cx| state.poll_accept(index, cx)).await {
            Ok((stream, peer)) => {
                state.admit(stream, peer);
                continue;
            }
            Err(error) => error,
        };
        match classify(&error) {
            AcceptError::Connection => {}
            AcceptError::Exhaustion => {
                match turn_away(state, index).await {
                    // Linux looks for a descriptor first, and then for a connection: there was none.
                    TurnedAway::NobodyWaits => {}
                    TurnedAway::Some(count) => pause(state, index, &error, Some(count)),
                    TurnedAway::NoReserve => pause(state, index, &error, None),
                }
            }
            AcceptError::Listener => {
                let place = Place(state.addr(index));
                report(
                    ExceptionKind::Other,
                    &format!("accept on {place}: {error}; the server is closed"),
                );
                return state.fail(error);
            }
        }
    }
}

/// Lets every listener of the server wait for a while, and says so once.
#[cold]
fn pause<L: Listener>(
    state: &State<L>,
    index: usize,
    error: &io::Error,
    turned_away: Option<usize>,
) {
    state.pause.begin(state.settings.accept_pause, || {
        let place = Place(state.addr(index));
        let fate = match turned_away {
            Some(count) => format!("; clients turned away: {count}"),
            None => String::new(),
        };
        format!("accept on {place}: {error}{fate}")
    });
}

struct Place<A>(Option<A>);

impl<A: fmt::Debug> fmt::Display for Place<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(addr) => write!(f, "{addr:?}"),
            None => f.write_str("a listener"),
        }
    }
}

/// A descriptor kept back for the time when there are no others: given up, it lets a connection be accepted and closed, so
/// that its client learns at once that it will not be served.
#[derive(Default)]
pub(crate) struct Reserve {
    /// `None` when it is not wanted, or could not be had.
    socket: RefCell<Option<Socket>>,
    is_wanted: Cell<bool>,
}

impl Reserve {
    pub(crate) fn hold(&self) {
        self.is_wanted.set(true);
        self.take_back();
    }

    pub(crate) fn release(&self) {
        self.is_wanted.set(false);
        drop(self.socket.take());
    }

    /// A socket, because Windows has a limit of its own for those; unbound, it costs a few hundred bytes.
    fn take_back(&self) {
        if self.is_wanted.get() && self.socket.borrow().is_none() {
            // Others may have been faster: it is tried again after the next pause.
            *self.socket.borrow_mut() = Socket::new(Domain::IPV4, Type::DGRAM, None).ok();
        }
    }
}

/// What a try to turn clients away has led to.
enum TurnedAway {
    Some(usize),
    NobodyWaits,
    /// It is not wished, or there was no descriptor to give up.
    NoReserve,
}

/// Accepts and closes what waits, with the reserve.
#[cold]
async fn turn_away<L: Listener>(state: &State<L>, index: usize) -> TurnedAway {
    let reserve = &state.reserve;
    reserve.take_back();
    let Some(socket) = reserve.socket.take() else {
        return TurnedAway::NoReserve;
    };
    drop(socket);
    let mut count = 0;
    let last = poll_fn(|cx| {
        while count < TURNED_AWAY_AT_ONCE
            && let Some(listener) = state.listener(index)
        {
            match listener.poll_accept(cx) {
                Poll::Ready(Ok(accepted)) => drop(accepted),
                last => return Poll::Ready(Some(last)),
            }
            count += 1;
        }
        Poll::Ready(None)
    })
    .await;
    reserve.take_back();
    match (count, last) {
        (0, Some(Poll::Pending)) => TurnedAway::NobodyWaits,
        // Another thread had the descriptor first.
        (0, Some(Poll::Ready(_))) => TurnedAway::NoReserve,
        _ => TurnedAway::Some(count),
    }
}
