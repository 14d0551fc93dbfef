//! Ending the connections of a server that is closed.

use std::fmt;
use std::time::Duration;

use tulipa_executor::cancel::CancelReason;
use tulipa_executor::report::{ExceptionKind, report};
use tulipa_executor::timer::timeout;

use crate::server::connection::LiveConnection;
use crate::server::listener::Listener;
use crate::server::state::State;

/// What happened when a server was drained. See [`Server::drain`](crate::server::Server::drain).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrainReport<A> {
    /// Connections that ended by themselves within the time.
    pub ended: usize,
    /// Connections that were asked to end, and did.
    pub cancelled: usize,
    /// Connections that had not ended when the grace period was over. They were dropped where they waited.
    pub hung: Vec<LiveConnection<A>>,
}

impl<A> DrainReport<A> {
    /// Whether every connection ended by itself.
    pub fn is_graceful(&self) -> bool {
        self.cancelled == 0 && self.hung.is_empty()
    }
}

impl<A: fmt::Debug> fmt::Display for DrainReport<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DrainReport {
            ended, cancelled, ..
        } = self;
        write!(
            f,
            "{ended} connections ended by themselves, {cancelled} when asked to"
        )?;
        for connection in &self.hung {
            write!(f, "; the one from {:?} did not end", connection.peer())?;
        }
        Ok(())
    }
}

/// Lets the connections of a closed server end: by themselves, then on request, then by force.
pub(super) async fn drain<L: Listener>(
    state: &State<L>,
    patience: Duration,
) -> DrainReport<L::Addr> {
    let count = state.connection_count();
    if count > 0 && !patience.is_zero() {
        // Whether they are gone is seen below.
        let _ = timeout(patience, state.gone.wait()).await;
    }
    let late = state.connection_count();
    let mut hung = Vec::new();
    if late > 0 {
        state.ask_to_end(&CancelReason::from("the server is closed"));
        let grace = state.settings.cleanup_grace;
        if timeout(grace, state.gone.wait()).await.is_err() {
            hung = state.connections();
            give_up(&hung, grace);
            // They are dropped in their next turns.
            state.gone.wait().await;
        }
    }
    DrainReport {
        ended: count - late,
        cancelled: late.saturating_sub(hung.len()),
        hung,
    }
}

fn give_up<A: fmt::Debug>(hung: &[LiveConnection<A>], grace: Duration) {
    for connection in hung {
        report(
            ExceptionKind::ShutdownStuck,
            &format!(
                "the connection from {:?} was asked to end, and has not within {grace:?}; it is dropped where it waits \
                 (task {})",
                connection.peer(),
                connection.task().id(),
            ),
        );
        connection.abort();
    }
}
