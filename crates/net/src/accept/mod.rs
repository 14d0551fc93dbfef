//! What listeners have in common: what an error of accept(2) means, and the pause when resources have run out.

pub(crate) mod error;
pub(crate) mod pause;

use std::io;

use tulipa_reactor::Direction;

use crate::accept::error::{AcceptError, classify};
use crate::accept::pause::{PAUSE, Pause};
use crate::io_source::IoSource;
use crate::socket_cell::Socket;

/// Waits for a connection, and accepts it, past connections that are gone and resources that have run out. Several tasks
/// may do so. `place` is the listener's address, for the report of a pause.
pub(crate) async fn accept<S: Socket, R>(
    source: &IoSource<S>,
    pause: &Pause,
    mut accept: impl FnMut(&S) -> io::Result<R>,
    place: impl Fn() -> String,
) -> io::Result<R> {
    loop {
        pause.over().await;
        let error = match source.shared_io(Direction::Read, &mut accept).await {
            Ok(accepted) => return Ok(accepted),
            Err(error) => error,
        };
        match classify(&error) {
            AcceptError::Connection => {}
            AcceptError::Exhaustion => {
                pause.begin(PAUSE, || format!("accept on {}: {error}", place()));
            }
            AcceptError::Listener => return Err(error),
        }
    }
}
