//! The task that accepts from one listener.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use socket2::{Domain, Socket, Type};
use tulipa_base::Instant;
use tulipa_executor::report::{ExceptionKind, report};
use tulipa_executor::task::{Builder, Task};
use tulipa_executor::timer::sleep_until;

use crate::server::listener::Listener;
use crate::server::state::State;
use crate::tcp::accept_error::{AcceptError, classify};

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
            let reserve = Reserve::new(guard.state.settings.turns_away);
            accept_all(&guard.state, index, &reserve).await;
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

async fn accept_all<L: Listener>(state: &Rc<State<L>>, index: usize, reserve: &Reserve) {
    loop {
        if let Some(until) = state.paused_until.get() {
            sleep_until(until).await;
            state.paused_until.set(None);
        }
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
                let turned_away = reserve.turn_away(state, index).await;
                pause(state, index, &error, turned_away);
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
    if state.paused_until.get().is_some() {
        return;
    }
    let pause = state.settings.accept_pause;
    state.paused_until.set(Some(Instant::now() + pause));
    let place = Place(state.addr(index));
    let fate = match turned_away {
        Some(count) => format!("; {count} connections were turned away"),
        None => String::new(),
    };
    report(
        ExceptionKind::AcceptPaused,
        &format!("accept on {place}: {error}{fate}; trying again in {pause:?}"),
    );
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
struct Reserve {
    /// `None` when it is not wanted, or could not be had.
    socket: RefCell<Option<Socket>>,
    is_wanted: bool,
}

impl Reserve {
    fn new(is_wanted: bool) -> Reserve {
        let reserve = Reserve {
            socket: RefCell::new(None),
            is_wanted,
        };
        reserve.take_back();
        reserve
    }

    /// A socket, because Windows has a limit of its own for those; unbound, it costs a few hundred bytes.
    fn take_back(&self) {
        if self.is_wanted && self.socket.borrow().is_none() {
            // Others may have been faster: it is tried again after the next pause.
            *self.socket.borrow_mut() = Socket::new(Domain::IPV4, Type::DGRAM, None).ok();
        }
    }

    /// Accepts and closes what waits. `None` when there is no reserve.
    #[cold]
    async fn turn_away<L: Listener>(&self, state: &State<L>, index: usize) -> Option<usize> {
        self.take_back();
        let socket = self.socket.take()?;
        drop(socket);
        let mut count = 0;
        poll_fn(|cx| {
            while count < TURNED_AWAY_AT_ONCE
                && let Some(listener) = state.listener(index)
                && let Poll::Ready(Ok(accepted)) = listener.poll_accept(cx)
            {
                drop(accepted);
                count += 1;
            }
            Poll::Ready(())
        })
        .await;
        self.take_back();
        Some(count)
    }
}
