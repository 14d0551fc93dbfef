//! Servers: accept, serve each connection in a task of its own, and shut down.
//!
//! [`serve`] is the short form. A [`Server`] has the methods: it can be closed, drained, asked who is there.
//!
//! # Map
//! - [`Listener`]: what is accepted from. [`SharedListener`]: one address for the loops of several threads.
//! - `builder`: [`ServerBuilder`], and binding. `accept`: the task of a listener, and what it does when descriptors run out.
//!   `state`: what all of them share, with its drawing. `handler`: the task of a connection. `connection`: what handlers get,
//!   and what the server lists. `ending`: drain and its report.
//! - `streams`: [`start_server`] and its kin, whose callbacks get a reader and a writer.
//!
//! # What ends what
//! | what happens | the listeners | the connections |
//! |---|---|---|
//! | [`Server::close`], or the server is dropped | closed at once | go on |
//! | [`Server::close_clients`] | stay | asked to end |
//! | [`Server::abort_clients`] | stay | dropped |
//! | [`Server::drain`] | closed at once | go on until the deadline, then are asked to end, then dropped and named |
//! | [`serve`], [`Server::serve_forever`], [`Server::serve_until`] are cancelled | closed at once | asked to end (at once, unless it is [set](ServerBuilder::drain_when_cancelled)), then dropped and named; awaited before the request goes on |
//! | the same, dropped | as when the server is dropped, if it is | go on |
//! | a listener fails | closed at once | go on; the three above ask them to end, and return the error |
//! | a handler fails | stay | its own only |
//! | the loop shuts down | closed | asked to end, as all tasks |

mod accept;
mod builder;
mod connection;
mod ending;
mod handler;
mod listener;
mod shared_listener;
mod state;
mod streams;

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tulipa_executor::cancel::{CancelReason, catch_cancel};

use crate::server::state::{Phase, State};
use crate::tcp::TcpListener;

pub use builder::ServerBuilder;
pub use connection::{Connection, LiveConnection};
pub use ending::DrainReport;
pub use handler::HandlerOutput;
pub use listener::Listener;
pub use shared_listener::SharedListener;
#[cfg(unix)]
pub use streams::start_unix_server;
pub use streams::{IntoHalves, start_server};

/// Serves the connections of `listener` until the code that awaits is cancelled, or the listener fails.
///
/// `handler` is called for each connection, in a task of its own, which is named after the peer. One that panics or returns an
/// error ends its own connection only, and the loop's exception handler is told.
///
/// When the code that awaits is cancelled (by Ctrl-C in `#[tulipa::main]`, a timeout, a group), the listener is closed at
/// once, the handlers are asked to end and have 5 s to clean up, then those that hang are dropped and named; then the
/// request goes on outwards. A client that stays keeps nobody waiting. To let connections end by themselves first, use
/// [`Server::serve_until`] or [`Server::drain`].
///
/// # Errors
/// What accept(2) says about the listener itself. The handlers have been asked to end then, too.
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Cancelling is what it is for. When it is dropped instead (as `select!` does), the listener is closed, and handlers go on
/// by themselves, as tasks of the loop.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::{TcpListener, serve};
///
/// let listener = TcpListener::bind("127.0.0.1:8888").await?;
/// serve(listener, async |mut connection| {
///     let greeting = format!("hello, {}\n", connection.peer());
///     connection.write_all(greeting.as_bytes()).await
/// })
/// .await
/// # }
/// ```
#[doc(alias = "serve_forever")]
pub async fn serve<L, F, R>(listener: L, handler: F) -> io::Result<()>
where
    L: Listener,
    F: AsyncFn(Connection<L>) -> R + 'static,
    R: HandlerOutput,
{
    let server = Server::on(listener).start(handler)?;
    server.serve_forever().await
}

/// A server: listeners, a handler, and the connections it serves.
///
/// Dropping it stops accepting, like [`close`](Server::close). Connections that are live go on, as tasks of the loop:
/// they end by themselves, or with the loop, which lets them clean up.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } pub use tulipa_executor::cancel::catch_cancel; }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use std::time::Duration;
/// use tulipa::catch_cancel;
/// use tulipa::net::{Connection, Server};
///
/// async fn echo(mut connection: Connection) -> std::io::Result<()> {
///     let mut buf = vec![0; 4096];
///     loop {
///         match connection.read(&mut buf).await? {
///             0 => return Ok(()),
///             count => connection.write_all(&buf[..count]).await?,
///         }
///     }
/// }
///
/// let server = Server::builder()
///     .connection_limit(1000)
///     .bind("127.0.0.1:8888")
///     .await?
///     .start(echo)?;
/// println!("listening on {:?}", server.local_addrs());
///
/// // Until Ctrl-C; then clients have ten seconds to finish.
/// if let Err(cancelled) = catch_cancel(server.wait_closed()).await {
///     let report = server.drain(Duration::from_secs(10)).await;
///     println!("{report}");
///     cancelled.resume().await
/// }
/// server.failure().map_or(Ok(()), Err)
/// # }
/// ```
#[must_use = "a server that is dropped stops accepting"]
pub struct Server<L: Listener = TcpListener> {
    state: Rc<State<L>>,
}

impl Server {
    /// Sets up a server for TCP connections.
    #[doc(alias = "create_server")]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::tcp()
    }
}

impl<L: Listener> Server<L> {
    /// Sets up a server for the connections of `listener`.
    pub fn on(listener: L) -> ServerBuilder<L> {
        ServerBuilder::on(vec![listener])
    }

    /// Starts to listen and to accept, if it was only [prepared](ServerBuilder::prepare). If it serves already, does
    /// nothing.
    ///
    /// # Errors
    /// - When the server is closed.
    /// - What listen(2) says, with the address. The server is closed then.
    ///
    /// # Panics
    /// Outside of a loop.
    #[doc(alias = "start_serving")]
    pub fn start(&self) -> io::Result<()> {
        self.state.start()
    }

    /// Serves until the server is closed.
    ///
    /// What happens when the code that awaits is cancelled is told at [`serve`]: the server is closed, its handlers are
    /// asked to end, and it is not waited for clients that stay. When somebody [closes](Server::close) the server, this ends at once;
    /// [`wait_closed`](Server::wait_closed) waits for the connections.
    ///
    /// # Errors
    /// - What accept(2) says about a listener. The handlers have been asked to end then.
    /// - When the server is closed already, or this or [`serve_until`](Server::serve_until) is awaited elsewhere.
    ///
    /// # Panics
    /// Outside of a loop.
    ///
    /// # Cancel safety
    /// Safe. When it is dropped instead of cancelled, the server goes on.
    pub async fn serve_forever(&self) -> io::Result<()> {
        let _awaited = self.begin()?;
        match catch_cancel(self.state.closed.wait()).await {
            Ok(()) => self.end_after_failure().await,
            Err(cancelled) => {
                self.drain(self.state.settings.drain_when_cancelled).await;
                cancelled.resume().await
            }
        }
    }

    /// Serves until `signal` is ready, or somebody closes the server; then [drains](Server::drain) it, for as long as
    /// [set](ServerBuilder::drain_timeout), 30 s by default.
    ///
    /// What happens when the code that awaits is cancelled is told at [`serve`]; it ends a drain, too.
    ///
    /// # Errors
    /// As [`serve_forever`](Server::serve_forever).
    ///
    /// # Panics
    /// Outside of a loop.
    ///
    /// # Cancel safety
    /// Safe. When it is dropped instead of cancelled, the server goes on, or stays closed if `signal` was ready.
    pub async fn serve_until<S: IntoFuture>(&self, signal: S) -> io::Result<DrainReport<L::Addr>> {
        let _awaited = self.begin()?;
        let served = catch_cancel(async {
            let mut signal = pin!(signal.into_future());
            let mut closed = pin!(self.state.closed.wait());
            poll_fn(|cx| {
                if signal.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                closed.as_mut().poll(cx)
            })
            .await;
            self.end_after_failure().await?;
            Ok(self.drain(self.state.settings.drain_timeout).await)
        });
        match served.await {
            Ok(result) => result,
            Err(cancelled) => {
                self.drain(self.state.settings.drain_when_cancelled).await;
                cancelled.resume().await
            }
        }
    }

    fn begin(&self) -> io::Result<Awaited<'_, L>> {
        if self.state.is_awaited.get() {
            return Err(io::Error::other("the server is awaited elsewhere already"));
        }
        self.state.start()?;
        self.state.is_awaited.set(true);
        Ok(Awaited { state: &self.state })
    }

    async fn end_after_failure(&self) -> io::Result<()> {
        match self.state.failure() {
            None => Ok(()),
            Some(error) => {
                self.drain(Duration::ZERO).await;
                Err(error)
            }
        }
    }

    /// Stops accepting: the listeners are closed here and now, and new connections are refused; those that wait in the
    /// backlog are reset. Connections that were accepted go on. Closing twice is closing once.
    ///
    /// The end of [`serve_forever`](Server::serve_forever), where it is awaited.
    pub fn close(&self) {
        self.state.close();
    }

    /// Waits until the server is closed and no connection is left, whichever comes last. Any number may wait.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn wait_closed(&self) {
        self.state.gone.wait().await;
    }

    /// Why the server was closed, if one of its listeners has failed: what accept(2) said. The loop's exception handler has
    /// been told.
    pub fn failure(&self) -> Option<io::Error> {
        self.state.failure()
    }

    /// Asks every handler to end, in a way that lets it clean up, unless it was asked already; returns how many were asked
    /// now. [Close](Server::close) the server first, or others may come.
    pub fn close_clients(&self) -> usize {
        let reason = CancelReason::from("the server closes its connections");
        self.state.ask_to_end(&reason)
    }

    /// Drops every handler at its next turn, and its stream with it: no clean-up runs but destructors. Returns how
    /// many there are. [Close](Server::close) the server first, or others may come.
    pub fn abort_clients(&self) -> usize {
        let live = self.state.connections();
        for connection in &live {
            connection.abort();
        }
        live.len()
    }

    /// Closes the server in order.
    ///
    /// 1. It stops accepting, as [`close`](Server::close) does.
    /// 2. Connections have until `timeout` to end by themselves.
    /// 3. Those that are left are asked to end, and have a [grace period](ServerBuilder::cleanup_grace) for their
    ///    clean-up, 5 s by default.
    /// 4. Those that hang are named, in the report and to the loop's exception handler, and dropped where they wait.
    ///
    /// A handler that drains its own server is among those that are waited for: spawn a task for that.
    ///
    /// # Panics
    /// Outside of a loop, when there are connections.
    ///
    /// # Cancel safety
    /// Dropping it leaves the server closed, and the connections where they are. Another call takes it up from there.
    #[doc(alias = "graceful_shutdown")]
    pub async fn drain(&self, timeout: Duration) -> DrainReport<L::Addr> {
        self.state.close();
        ending::drain(&self.state, timeout).await
    }

    /// The addresses it listens on, with the ports that the system chose; none once it is closed.
    #[doc(alias = "sockets")]
    pub fn local_addrs(&self) -> Vec<L::Addr> {
        self.state.addrs()
    }

    /// Whether it accepts connections: it was started, and is not closed.
    pub fn is_serving(&self) -> bool {
        self.state.phase() == Phase::Serving
    }

    /// Whether it is closed. Connections may be left.
    pub fn is_closed(&self) -> bool {
        self.state.phase() == Phase::Closed
    }

    /// The connections whose handlers have not ended, in the order in which they were accepted.
    pub fn connections(&self) -> Vec<LiveConnection<L::Addr>> {
        self.state.connections()
    }

    /// How many handlers have not ended.
    pub fn connection_count(&self) -> usize {
        self.state.connection_count()
    }

    /// How many connections have been accepted.
    pub fn accepted(&self) -> u64 {
        self.state.accepted()
    }
}

impl<L: Listener> Drop for Server<L> {
    fn drop(&mut self) {
        self.state.close();
    }
}

impl<L: Listener> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("phase", &self.state.phase())
            .field("local_addrs", &self.local_addrs())
            .field("connections", &self.connection_count())
            .field("accepted", &self.accepted())
            .finish_non_exhaustive()
    }
}

/// While it lives, somebody awaits the server.
struct Awaited<'a, L: Listener> {
    state: &'a State<L>,
}

impl<L: Listener> Drop for Awaited<'_, L> {
    fn drop(&mut self) {
        self.state.is_awaited.set(false);
    }
}
