//! Unix sockets: streams, listeners, datagrams, and what only they can: tell who the peer is, and pass
//! descriptors.
//!
//! # Addresses
//! Where a path is asked for, on Linux a path that begins with a NUL byte is an abstract name: it lives
//! beside the file system, and goes with its last socket.

mod address;
mod credentials;
mod datagram;
mod descriptors;
mod listener;
mod socket_file;
mod split;
mod stream;

pub use credentials::UCred;
pub use datagram::UnixDatagram;
pub use descriptors::Received;
pub use listener::UnixListener;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::UnixStream;
