//! Streams of bytes: the traits, readers with a limit, writers with water marks, and what is done with
//! any stream.
//!
//! # Map
//! - `reader`: [`StreamReader`], which reads up to separators, with a limit.
//! - `writer`: [`StreamWriter`], which takes bytes at once and sends them in the background.
//! - `connection`: [`open_connection`], both of them over TCP; the same over Unix sockets.
//! - `copy`: [`copy()`], [`copy_bidirectional`]. `send_file`: [`send_file()`], a file's bytes to a socket.
//! - `split`: [`split()`], two halves of any stream. `join`: [`join()`], one stream of two.
//! - `duplex`: [`duplex()`], a pair of streams in memory.
//! - `stdio`: standard input, output and error.
//! - `scratch`: a buffer of the thread's. `wait_set`: tasks that wait. `sigpipe`: may system calls be used
//!   that raise a signal? `wire`: which streams can the kernel move bytes to and from by itself?
//!
//! The modules are private: functions have their names.

mod connection;
mod copy;
mod duplex;
mod join;
mod reader;
mod scratch;
mod send_file;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sigpipe;
mod split;
mod stdio;
mod wait_set;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod wire;
mod writer;

pub use futures_lite::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufWriter,
};

pub use connection::{Connection, open_connection};
#[cfg(unix)]
pub use connection::{UnixConnection, open_unix_connection};
pub use copy::{copy, copy_bidirectional};
pub use duplex::{DuplexStream, duplex};
pub use join::{Joined, join};
pub use reader::{DEFAULT_LIMIT, IncompleteRead, LimitOverrun, Lines, ReadError, StreamReader};
pub use send_file::send_file;
pub use split::{ReadHalf, UnrelatedHalves, WriteHalf, split};
pub use stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use writer::{StreamWriter, WaterMarks};
