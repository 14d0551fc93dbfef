//! Streams of bytes: the traits, readers with a limit, writers with water marks, and what is done with
//! any stream.
//!
//! # Map
//! - [`reader`]: [`StreamReader`], which reads up to separators, with a limit.
//! - [`writer`]: [`StreamWriter`], which takes bytes at once and sends them in the background.
//! - [`connection`]: [`open_connection`], both of them over TCP.
//! - [`copy`](mod@copy): [`copy()`], [`copy_bidirectional`].
//! - [`send_file`](mod@send_file): [`send_file()`], a file's bytes to a socket.
//! - [`split`](mod@split): [`split()`], two halves of any stream; [`join`](mod@join): one stream of two
//!   halves.
//! - [`duplex`](mod@duplex): [`duplex()`], a pair of streams in memory.
//! - [`stdio`]: standard input, output and error.
//! - `scratch` (private): a buffer of the thread's; `wait_set` (private): tasks that wait;
//!   `sigpipe` (private): may system calls be used that raise a signal?

pub mod connection;
pub mod copy;
pub mod duplex;
pub mod join;
pub mod reader;
pub mod send_file;
pub mod split;
pub mod stdio;
pub mod writer;

mod scratch;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sigpipe;
mod wait_set;

pub use futures_lite::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufWriter,
};

pub use connection::{Connection, open_connection};
pub use copy::{copy, copy_bidirectional};
pub use duplex::{DuplexStream, duplex};
pub use join::{Joined, join};
pub use reader::{DEFAULT_LIMIT, IncompleteRead, LimitOverrun, Lines, ReadError, StreamReader};
pub use send_file::send_file;
pub use split::{ReadHalf, UnrelatedHalves, WriteHalf, split};
pub use stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use writer::{StreamWriter, WaterMarks};
