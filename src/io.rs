//! Streams of bytes: the traits, readers and writers, copying, standard input and output.
//!
//! Everything that reads or writes implements the traits of `futures-io`: sockets, pipes, standard input, and what
//! other crates make. The extension traits of `futures-lite` add `read_to_end`, `write_all` and the like to all of them.
//!
//! - [`StreamReader`], [`StreamWriter`], [`open_connection`], [`start_server`]: asyncio's streams. Over Unix sockets:
//!   `open_unix_connection`, `start_unix_server`.
//! - [`copy`], [`copy_bidirectional`], [`send_file`]: bytes from here to there.
//! - [`split`], [`join`], [`duplex`]: streams of other streams, and of none.
//! - [`stdin`], [`stdout`], [`stderr`].
//!
//! # Examples
//! A client that asks and gets an answer:
//! ```
//! use tulipa::io::{StreamReader, StreamWriter, open_connection};
//! use tulipa::net::TcpListener;
//!
//! # fn main() -> std::io::Result<()> {
//! # tulipa::run(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let addr = listener.local_addr()?;
//! let server = tulipa::spawn(async move {
//!     let (stream, _) = listener.accept().await?;
//!     let (read, write) = stream.into_split();
//!     let (mut reader, writer) = (StreamReader::new(read), StreamWriter::new(write));
//!     let name = reader.read_line().await?;
//!     writer.write_lines([b"hello, ", &name[..]]);
//!     writer.flush().await
//! });
//!
//! let (mut reader, writer) = open_connection(addr).await?;
//! writer.write(b"world\n");
//! writer.drain().await?;
//! assert_eq!(reader.read_line().await?, b"hello, world\n");
//! server.await?
//! # })
//! # }
//! ```

#[cfg(unix)]
pub use tulipa_net::io::{UnixConnection, open_unix_connection};
#[cfg(unix)]
pub use tulipa_net::server::start_unix_server;
pub use tulipa_net::server::{IntoHalves, start_server};

pub use tulipa_net::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufWriter, Connection, DEFAULT_LIMIT, DuplexStream, IncompleteRead,
    Joined, LimitOverrun, Lines, ReadError, ReadHalf, Stderr, Stdin, Stdout, StreamReader,
    StreamWriter, UnrelatedHalves, WaterMarks, WriteHalf, copy, copy_bidirectional, duplex, join,
    open_connection, send_file, split, stderr, stdin, stdout,
};
