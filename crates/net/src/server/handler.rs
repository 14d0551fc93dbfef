//! What a handler may return, and the task it runs in.

use std::fmt;
use std::rc::Rc;

use tulipa_executor::report::{ExceptionKind, report};
use tulipa_executor::task::Builder;

use crate::server::connection::Connection;
use crate::server::listener::Listener;
use crate::server::state::{Seat, Spawn};

/// What the handler of a connection may return: nothing, or a `Result` whose error can be shown.
///
/// An error ends nothing but its connection. The loop's exception handler is told of it; the name of the task says
/// whose connection it was.
///
/// The trait is sealed.
pub trait HandlerOutput: sealed::Outcome {}

impl<T: sealed::Outcome> HandlerOutput for T {}

mod sealed {
    use super::*;

    pub trait Outcome: 'static {
        /// Tells of an error, and says whether it was one.
        fn report(self) -> bool;
    }

    impl Outcome for () {
        fn report(self) -> bool {
            false
        }
    }

    impl<E: fmt::Display + 'static> Outcome for Result<(), E> {
        fn report(self) -> bool {
            if let Err(error) = &self {
                report(ExceptionKind::Other, &error.to_string());
            }
            self.is_err()
        }
    }
}

/// Starts a task for each connection.
pub(crate) fn spawn_with<L, F, R>(handler: F) -> Spawn<L>
where
    L: Listener,
    F: AsyncFn(Connection<L>) -> R + 'static,
    R: HandlerOutput,
{
    let handler = Rc::new(handler);
    Rc::new(move |connection: Connection<L>, seat: Seat<L>| {
        let handler = Rc::clone(&handler);
        let name = format!("connection from {:?}", connection.peer());
        let handle = Builder::new().name(name).spawn(async move {
            // Given up last: when it is, the stream is closed.
            let _seat = seat;
            handler(connection).await.report();
        });
        let task = handle.task();
        // It goes on by itself: the server knows its task, and the loop tells of its panic.
        drop(handle);
        task
    })
}
