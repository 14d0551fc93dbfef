//! Sockets: TCP, UDP and Unix.
//!
//! Operations try at once, and wait in the loop's reactor only when the kernel says so. Every method
//! says what is lost when it is dropped half-way.
//!
//! # Examples
//! An echo server:
//! ```no_run
//! use tulipa::net::TcpListener;
//!
//! #[tulipa::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:8888").await?;
//!     loop {
//!         let (mut stream, _) = listener.accept().await?;
//!         drop(tulipa::spawn(async move {
//!             let mut buf = vec![0; 16 * 1024];
//!             while let Ok(count @ 1..) = stream.read(&mut buf).await {
//!                 if stream.write_all(&buf[..count]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         }));
//!     }
//! }
//! ```
//!
//! Lines, with the adaptors of the `futures-lite` crate over the traits of `futures-io`:
//! ```
//! use futures_lite::io::{AsyncBufReadExt, BufReader};
//! use futures_lite::stream::StreamExt;
//! use tulipa::net::{TcpListener, TcpStream};
//!
//! # fn main() -> std::io::Result<()> {
//! # tulipa::run(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let mut client = TcpStream::connect(listener.local_addr()?).await?;
//! client.write_all(b"one\ntwo\n").await?;
//! drop(client);
//!
//! let (stream, _) = listener.accept().await?;
//! let mut lines = BufReader::new(stream).lines();
//! let mut received = Vec::new();
//! while let Some(line) = lines.next().await {
//!     received.push(line?);
//! }
//! assert_eq!(received, ["one", "two"]);
//! # Ok(())
//! # })
//! # }
//! ```

pub use tulipa_net::names;
#[cfg(unix)]
pub use tulipa_net::pipe;
pub use tulipa_net::server::HandlerOutput;
#[cfg(unix)]
pub use tulipa_net::{AsyncFd, IoHandle, Socket, async_fd, on_readable, on_writable};
pub use tulipa_net::{
    ConnectError, Connector, KeepAlive, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError,
    TcpListener, TcpSocket, TcpStream, ToSocketAddrs, WriteHalf, lookup_host,
};
pub use tulipa_net::{
    Connection, DrainReport, Listener, LiveConnection, Server, ServerBuilder, SharedListener, serve,
};

pub use tulipa_net::{Batch, Datagram, UdpBuilder, UdpSocket};
#[cfg(unix)]
pub use tulipa_net::{
    PassedKind, PassedSocket, UnixDatagram, UnixListener, UnixStream, listen_fds, unix,
};
