//! Setting up a server, and binding its addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::addr::{ToSocketAddrs, resolve};
use crate::server::Server;
use crate::server::connection::Connection;
use crate::server::handler::{HandlerOutput, spawn_with};
use crate::server::listener::Listener;
use crate::server::state::{Door, Entry, Settings, State};
use crate::tcp::TcpListener;
use crate::tcp::address_error::at_address;

/// Connections the kernel may hold for a listener before they are accepted. The kernel cuts it to its own limit, 4096
/// on Linux today. When it is full, clients' first packets are dropped and come again after a second.
const BACKLOG: u32 = 4096;

/// How often several addresses are tried on one port that the system chose for the first of them, and that another has
/// taken on the next.
const SAME_PORT_TRIES: usize = 16;

/// Sets up a [`Server`].
///
/// It is bound to addresses with [`bind`](ServerBuilder::bind), or given listeners. Nothing is bound before it is
/// [started](ServerBuilder::start) or [prepared](ServerBuilder::prepare), so the order of the calls does not matter.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::Server;
///
/// let builder = Server::builder().connection_limit(1000).bind("0.0.0.0:8080").await?;
/// let server = builder.bind("[::]:8080").await?.start(async |mut connection| {
///     connection.write_all(b"hello\n").await
/// })?;
/// server.serve_forever().await
/// # }
/// ```
#[must_use = "the builder does nothing until `start`"]
pub struct ServerBuilder<L: Listener = TcpListener> {
    listeners: Vec<L>,
    addresses: Vec<SocketAddr>,
    /// Only of servers that can bind addresses.
    bind_all: Option<BindAll<L>>,
    options: BindOptions,
    settings: Settings,
}

type BindAll<L> = fn(&[SocketAddr], BindOptions) -> io::Result<Vec<Door<L>>>;

/// How addresses are bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BindOptions {
    backlog: u32,
    reuses_port: bool,
    is_dual_stack: bool,
    wants_same_port: bool,
}

impl ServerBuilder {
    pub(super) fn tcp() -> ServerBuilder {
        ServerBuilder {
            bind_all: Some(bind_all),
            ..ServerBuilder::on(Vec::new())
        }
    }

    /// Adds addresses: the server listens on each of them, on those that are given twice once.
    ///
    /// Port 0 lets the system choose, for each address [another](ServerBuilder::same_port) port.
    ///
    /// # Errors
    /// `InvalidInput`, when `addr` is not an address, and what looking names up says.
    ///
    /// # Panics
    /// When a name has to be looked up outside of a loop.
    ///
    /// # Cancel safety
    /// Safe: nothing is bound yet.
    pub async fn bind(mut self, addr: impl ToSocketAddrs) -> io::Result<ServerBuilder> {
        for addr in resolve(addr).await? {
            if !self.addresses.contains(&addr) {
                self.addresses.push(addr);
            }
        }
        self.bind_all = Some(bind_all);
        Ok(self)
    }

    /// How many connections the kernel may hold that were not accepted yet. Default: 4096, or less if its own limit is
    /// lower. When there are more, clients are not answered, and try again after a second.
    pub fn backlog(mut self, connections: u32) -> ServerBuilder {
        self.options.backlog = connections;
        self
    }

    /// Lets other sockets of the same user listen on the same addresses (`SO_REUSEPORT`). On Linux the kernel then spreads
    /// connections over all of them. For a server on several threads, see
    /// [`SharedListener`](crate::server::SharedListener), which works elsewhere too.
    ///
    /// Where the system has no such option, starting the server fails with `Unsupported`.
    pub fn reuse_port(mut self) -> ServerBuilder {
        self.options.reuses_port = true;
        self
    }

    /// Lets sockets bound to IPv6 addresses take IPv4 connections too. By default they do not (`IPV6_V6ONLY`), so that
    /// `0.0.0.0` and `[::]` can be bound side by side.
    pub fn dual_stack(mut self) -> ServerBuilder {
        self.options.is_dual_stack = true;
        self
    }

    /// Where addresses have port 0, the system's choice for the first of them is used for all.
    pub fn same_port(mut self) -> ServerBuilder {
        self.options.wants_same_port = true;
        self
    }
}

impl<L: Listener> ServerBuilder<L> {
    pub(super) fn on(listeners: Vec<L>) -> ServerBuilder<L> {
        ServerBuilder {
            listeners,
            addresses: Vec::new(),
            bind_all: None,
            options: BindOptions {
                backlog: BACKLOG,
                reuses_port: false,
                is_dual_stack: false,
                wants_same_port: false,
            },
            settings: Settings::default(),
        }
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: L) -> ServerBuilder<L> {
        self.listeners.push(listener);
        self
    }

    /// How many connections are served at a time. Beyond that accepting pauses: clients wait in the backlog until
    /// another one leaves. Default: no limit.
    ///
    /// # Panics
    /// When it is zero.
    #[track_caller]
    pub fn connection_limit(mut self, connections: usize) -> ServerBuilder<L> {
        assert!(
            connections > 0,
            "a server with room for no connection serves no one"
        );
        self.settings.connection_limit = connections;
        self
    }

    /// How long [`serve_until`](Server::serve_until) lets connections end by themselves. Default: 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> ServerBuilder<L> {
        self.settings.drain_timeout = timeout;
        self
    }

    /// How long [`serve_forever`](Server::serve_forever) and [`serve_until`](Server::serve_until) let connections end by
    /// themselves when they are cancelled, as by Ctrl-C. Default: not at all. They are asked to end at once, so that nobody
    /// waits for a client that is idle.
    pub fn drain_when_cancelled(mut self, timeout: Duration) -> ServerBuilder<L> {
        self.settings.drain_when_cancelled = timeout;
        self
    }

    /// How long handlers have to clean up once they were asked to end, before they are dropped and named. Default: 5 s.
    pub fn cleanup_grace(mut self, grace: Duration) -> ServerBuilder<L> {
        self.settings.cleanup_grace = grace;
        self
    }

    /// How long accepting pauses when descriptors or memory have run out. Default: 1 s, as in asyncio. Shorter comes near
    /// to spinning against a limit that lasts; longer keeps clients waiting once it is lifted.
    pub fn accept_pause(mut self, pause: Duration) -> ServerBuilder<L> {
        self.settings.accept_pause = pause;
        self
    }

    /// When descriptors have run out, turns clients away: they are accepted, with a descriptor that is kept back for this,
    /// and closed at once. It is repeated after each pause. By default they wait in the backlog, and are served when
    /// there are descriptors again.
    pub fn turn_away_when_exhausted(mut self) -> ServerBuilder<L> {
        self.settings.turns_away = true;
        self
    }

    /// Binds, listens, and starts to serve: `handler` is called for each connection, in a task of its own.
    ///
    /// A handler that panics or returns an error ends its own connection only. The loop's exception handler is told: the
    /// task is named after the peer. A handler that holds its server, to close it, should do so weakly: the server
    /// holds the handler until it is closed.
    ///
    /// # Errors
    /// - `AddrInUse`, `PermissionDenied`: as [`TcpListener::bind`]. Nothing is bound then.
    /// - `AddrNotAvailable`: none of the addresses is of this machine. Those that are not are skipped as long as there
    ///   are others.
    /// - `InvalidInput`: there is neither an address nor a listener.
    ///
    /// The message names the address.
    ///
    /// # Panics
    /// Outside of a loop.
    pub fn start<F, R>(self, handler: F) -> io::Result<Server<L>>
    where
        F: AsyncFn(Connection<L>) -> R + 'static,
        R: HandlerOutput,
    {
        let server = self.prepare(handler)?;
        server.start()?;
        Ok(server)
    }

    /// Binds, and leaves it to [`Server::start`] to listen: until then connections are refused. Listeners that were given
    /// listen already; theirs wait.
    ///
    /// # Errors
    /// As [`start`](ServerBuilder::start).
    #[doc(alias = "start_serving=False")]
    pub fn prepare<F, R>(self, handler: F) -> io::Result<Server<L>>
    where
        F: AsyncFn(Connection<L>) -> R + 'static,
        R: HandlerOutput,
    {
        let mut doors = Vec::new();
        for listener in self.listeners {
            let addr = listener.local_addr()?;
            doors.push(Door::new(addr, Entry::Listening(Rc::new(listener))));
        }
        if let Some(bind_all) = self.bind_all {
            doors.append(&mut bind_all(&self.addresses, self.options)?);
        }
        if doors.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server needs an address or a listener",
            ));
        }
        let state = State::new(self.settings, doors, spawn_with(handler));
        Ok(Server { state })
    }
}

impl<L: Listener> fmt::Debug for ServerBuilder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("listeners", &self.listeners.len())
            .field("addresses", &self.addresses)
            .field("options", &self.options)
            .field("settings", &self.settings)
            .finish()
    }
}

/// Binds all addresses, or none.
fn bind_all(addresses: &[SocketAddr], options: BindOptions) -> io::Result<Vec<Door<TcpListener>>> {
    let mut tries = SAME_PORT_TRIES;
    loop {
        match bind_each(addresses, options) {
            // Another socket has the port on one of the other addresses: let the system choose again.
            Err(error)
                if options.wants_same_port
                    && error.kind() == io::ErrorKind::AddrInUse
                    && addresses.first().is_some_and(|addr| addr.port() == 0)
                    && tries > 1 =>
            {
                tries -= 1;
            }
            result => return result,
        }
    }
}

fn bind_each(addresses: &[SocketAddr], options: BindOptions) -> io::Result<Vec<Door<TcpListener>>> {
    let mut doors = Vec::new();
    let mut port = 0;
    let mut unavailable = None;
    for &(mut addr) in addresses {
        if options.wants_same_port && addr.port() == 0 {
            addr.set_port(port);
        }
        let bound = bind_one(addr, options).and_then(|socket| {
            let local_addr = local_addr(&socket)?;
            Ok((socket, local_addr))
        });
        match bound {
            Ok((socket, local_addr)) => {
                if port == 0 {
                    port = local_addr.port();
                }
                let backlog = options.backlog;
                let open = move || listen(socket, local_addr, backlog);
                doors.push(Door::new(local_addr, Entry::Bound(Box::new(open))));
            }
            Err(error) if is_unavailable(&error) => {
                unavailable.get_or_insert(at_address("listen on", addr, error));
            }
            Err(error) => return Err(at_address("listen on", addr, error)),
        }
    }
    match unavailable {
        Some(error) if doors.is_empty() => Err(error),
        _ => Ok(doors),
    }
}

/// Whether this machine does not have the address, or not its family.
fn is_unavailable(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(
            Errno::from_io_error(error),
            Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)
        )
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::AddrNotAvailable
    }
}

fn bind_one(addr: SocketAddr, options: BindOptions) -> io::Result<Socket> {
    let socket = new_socket(addr)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!options.is_dual_stack)?;
    }
    if options.reuses_port {
        set_reuse_port(&socket)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// A TCP socket for the family of `addr`, with the options that all of tulipa's listeners have.
pub(super) fn new_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option of this name lets another process take the port away.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

pub(super) fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    let addr = socket.local_addr()?.as_socket();
    addr.ok_or_else(|| io::Error::other("a socket that is bound to no IP address"))
}

fn listen(socket: Socket, addr: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    socket
        .listen(backlog)
        .map_err(|error| at_address("listen on", addr, error))?;
    TcpListener::from_std(socket.into())
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
pub(super) fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
pub(super) fn set_reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no SO_REUSEPORT",
    ))
}

pub(super) const fn default_backlog() -> i32 {
    BACKLOG as i32
}
