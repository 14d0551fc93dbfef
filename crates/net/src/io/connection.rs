//! A reader and a writer of one connection.

use std::io;
#[cfg(unix)]
use std::path::Path;

use crate::addr::ToSocketAddrs;
use crate::io::{StreamReader, StreamWriter};
use crate::tcp::{OwnedReadHalf, OwnedWriteHalf, TcpStream};
#[cfg(unix)]
use crate::unix::{self, UnixStream};

/// The reader and the writer of a TCP connection. See [`open_connection`].
pub type Connection = (StreamReader<OwnedReadHalf>, StreamWriter<OwnedWriteHalf>);

/// The reader and the writer of a connection over a Unix socket. See [`open_unix_connection`].
#[cfg(unix)]
pub type UnixConnection = (
    StreamReader<unix::OwnedReadHalf>,
    StreamWriter<unix::OwnedWriteHalf>,
);

/// Connects to `addr`, and returns a reader with the default limit and a writer with the default water marks.
///
/// It is [`TcpStream::connect`], [`into_split`](TcpStream::into_split), [`StreamReader::new`] and
/// [`StreamWriter::new`]: write these to set options of the socket, or for another kind of stream.
///
/// # Errors
/// As [`TcpStream::connect`].
///
/// # Panics
/// When it has to wait outside of a runtime.
///
/// # Cancel safety
/// Safe: a dropped call closes the socket.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub use tulipa_net::io; }
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::io::open_connection;
///
/// let (mut reader, writer) = open_connection("127.0.0.1:7").await?;
/// writer.write(b"hello\n");
/// writer.drain().await?;
/// println!("{:?}", reader.read_line().await?);
/// writer.close();
/// writer.wait_closed().await?;
/// # Ok(())
/// # }
/// ```
///
/// # References
/// `asyncio.open_connection`.
pub async fn open_connection(addr: impl ToSocketAddrs) -> io::Result<Connection> {
    let (read, write) = TcpStream::connect(addr).await?.into_split();
    Ok((StreamReader::new(read), StreamWriter::new(write)))
}

/// Connects to the Unix socket at `path`, and returns a reader with the default limit and a writer with the default
/// water marks, as [`open_connection`] does.
///
/// # Errors
/// As [`UnixStream::connect`].
///
/// # Panics
/// When it has to wait outside of a runtime.
///
/// # Cancel safety
/// Safe: a dropped call closes the socket.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub use tulipa_net::io; }
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::io::open_unix_connection;
///
/// let (mut reader, writer) = open_unix_connection("/run/service.sock").await?;
/// writer.write(b"status\n");
/// println!("{:?}", reader.read_line().await?);
/// # Ok(())
/// # }
/// ```
///
/// # References
/// `asyncio.open_unix_connection`.
#[cfg(unix)]
pub async fn open_unix_connection(path: impl AsRef<Path>) -> io::Result<UnixConnection> {
    let (read, write) = UnixStream::connect(path).await?.into_split();
    Ok((StreamReader::new(read), StreamWriter::new(write)))
}
