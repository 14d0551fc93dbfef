//! Servers in asyncio's form: the callback gets a reader and a writer.
//!
//! # The end of a connection
//! A writer sends in the background, so a callback may end while bytes are still to be sent. The task of the connection stays until
//! its writer is closed, whoever holds that: so the server counts the connection, and a drain waits for the bytes.

use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
#[cfg(unix)]
use std::path::Path;

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::FutureExt;
use tulipa_executor::cancel::catch_cancel;

use crate::addr::ToSocketAddrs;
use crate::io::{StreamReader, StreamWriter};
use crate::server::Server;
use crate::server::builder::ServerBuilder;
use crate::server::connection::Connection;
use crate::server::handler::HandlerOutput;
use crate::server::listener::Listener;
use crate::tcp::{self, TcpStream};
#[cfg(unix)]
use crate::unix::{self, UnixListener, UnixStream};

/// A stream that can be taken apart, for a reader and a writer.
///
/// It is implemented by the streams of this crate. A program implements it for what its own
/// [`Listener`] accepts: [`split`](crate::io::split()) takes any stream apart.
pub trait IntoHalves {
    /// The reading half.
    type Read: AsyncRead + Unpin + 'static;

    /// The writing half. The connection is closed when both halves are dropped.
    type Write: AsyncWrite + Unpin + 'static;

    /// Takes the stream apart.
    fn into_halves(self) -> (Self::Read, Self::Write);
}

impl IntoHalves for TcpStream {
    type Read = tcp::OwnedReadHalf;
    type Write = tcp::OwnedWriteHalf;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

#[cfg(unix)]
impl IntoHalves for UnixStream {
    type Read = unix::OwnedReadHalf;
    type Write = unix::OwnedWriteHalf;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

type ReaderOf<L> = StreamReader<<<L as Listener>::Stream as IntoHalves>::Read>;
type WriterOf<L> = StreamWriter<<<L as Listener>::Stream as IntoHalves>::Write>;

/// Listens on `addr`, and calls `callback` with a reader and a writer for each connection, in a task of its own. They have the
/// default limit and the default water marks, as those of [`open_connection`](crate::io::open_connection).
///
/// It is [`Server::builder`], [`bind`](ServerBuilder::bind) and [`start_streams`](ServerBuilder::start_streams), which see:
/// write these to set options of the server.
///
/// # Errors
/// As `bind` and `start_streams`.
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Safe: a dropped call leaves nothing bound.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod io { pub use tulipa_net::io::*; pub use tulipa_net::server::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::io::{ReadError, start_server};
///
/// let server = start_server("127.0.0.1:8888", async |mut reader, writer| {
///     while let line = reader.read_line().await?
///         && !line.is_empty()
///     {
///         writer.write(&line);
///         writer.drain().await?;
///     }
///     Ok::<_, ReadError>(())
/// })
/// .await?;
/// server.serve_forever().await
/// # }
/// ```
///
/// # References
/// `asyncio.start_server`.
pub async fn start_server<F, R>(addr: impl ToSocketAddrs, callback: F) -> io::Result<Server>
where
    F: AsyncFn(StreamReader<tcp::OwnedReadHalf>, StreamWriter<tcp::OwnedWriteHalf>) -> R + 'static,
    R: HandlerOutput,
{
    Server::builder().bind(addr).await?.start_streams(callback)
}

/// Listens on a Unix socket at `path`, and calls `callback` with a reader and a writer for each connection, as [`start_server`] does.
/// When the server is closed, the socket file is removed.
///
/// # Errors
/// As [`UnixListener::bind`].
///
/// # Panics
/// Outside of a loop.
///
/// # Cancel safety
/// Safe: it does not wait.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod io { pub use tulipa_net::server::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::io::start_unix_server;
///
/// let server = start_unix_server("/run/service.sock", async |_, writer| {
///     writer.write(b"hello\n");
///     writer.flush().await
/// })
/// .await?;
/// server.serve_forever().await
/// # }
/// ```
///
/// # References
/// `asyncio.start_unix_server`.
#[cfg(unix)]
pub async fn start_unix_server<F, R>(
    path: impl AsRef<Path>,
    callback: F,
) -> io::Result<Server<UnixListener>>
where
    F: AsyncFn(StreamReader<unix::OwnedReadHalf>, StreamWriter<unix::OwnedWriteHalf>) -> R
        + 'static,
    R: HandlerOutput,
{
    let listener = UnixListener::bind(path).await?;
    Server::on(listener).start_streams(callback)
}

impl<L: Listener<Stream: IntoHalves>> ServerBuilder<L> {
    /// Like [`start`](ServerBuilder::start), for a callback that gets a reader and a writer in place of the connection.
    ///
    /// What the callback has written is sent also when it has returned: until then its connection counts as live, so a drain
    /// waits for it. A writer that the callback has put elsewhere keeps the connection live until somebody closes it.
    ///
    /// - A callback that returns an error or panics: the loop's exception handler is told, of a panic at the end of the
    ///   connection, which is closed once what was written is sent.
    /// - One that is cancelled, as by [`Server::close_clients`]: the same, but nobody is told. A peer that does not read can
    ///   hold that up for the [grace period](ServerBuilder::cleanup_grace).
    /// - One that is aborted, or still there at the end of the loop: what was not sent is dropped, and the connection closed.
    ///
    /// # Errors
    /// As [`start`](ServerBuilder::start).
    ///
    /// # Panics
    /// Outside of a loop.
    ///
    /// # Examples
    /// ```no_run
    /// # mod tulipa { pub mod net { pub use tulipa_net::*; } pub use tulipa_net::io; }
    /// # async fn f() -> std::io::Result<()> {
    /// use tulipa::io::WaterMarks;
    /// use tulipa::net::Server;
    ///
    /// let builder = Server::builder().connection_limit(1000);
    /// let server = builder.bind("127.0.0.1:8888").await?.start_streams(
    ///     async |mut reader, writer| {
    ///         reader.set_limit(1024);
    ///         writer.set_water_marks(WaterMarks::from_high(4096));
    ///         writer.write(&reader.read_line().await.unwrap_or_default());
    ///     },
    /// )?;
    /// # server.serve_forever().await
    /// # }
    /// ```
    #[doc(alias = "client_connected_cb")]
    pub fn start_streams<F, R>(self, callback: F) -> io::Result<Server<L>>
    where
        F: AsyncFn(ReaderOf<L>, WriterOf<L>) -> R + 'static,
        R: HandlerOutput,
    {
        self.start(async move |connection| serve_streams(connection, &callback).await)
    }
}

async fn serve_streams<L, F, R>(connection: Connection<L>, callback: &F)
where
    L: Listener<Stream: IntoHalves>,
    F: AsyncFn(ReaderOf<L>, WriterOf<L>) -> R,
    R: HandlerOutput,
{
    let (read, write) = connection.into_stream().into_halves();
    let (reader, writer) = (StreamReader::new(read), StreamWriter::new(write));
    let ending = writer.ending();
    let mut panic = None;
    let ended = catch_cancel(async {
        // A panic is caught for the bytes: until they are sent the connection is the server's.
        let called = AssertUnwindSafe(async { callback(reader, writer).await.report() });
        let has_failed = called.catch_unwind().await.unwrap_or_else(|payload| {
            panic = Some(payload);
            true
        });
        if has_failed {
            ending.close();
        }
        ending.wait_closed().await;
    });
    let ended = ended.await;
    if ended.is_err() {
        ending.close();
        ending.wait_closed().await;
    }
    match (panic, ended) {
        (Some(payload), _) => resume_unwind(payload),
        (None, Ok(())) => {}
        (None, Err(cancelled)) => cancelled.resume().await,
    }
}
