//! Sockets for tulipa. Programs use this crate through the `tulipa` facade, as `tulipa::net`.
//!
//! # Map
//! - [`tcp`]: [`TcpListener`], [`TcpStream`] and its halves.
//! - [`udp`]: [`UdpSocket`], and batches of datagrams.
//! - `unix`: `UnixListener`, `UnixStream`, `UnixDatagram`, descriptor passing.
//! - `activation` (private): sockets from a service manager.
//! - [`addr`]: what can be given as an address.
//! - `io_source` (private): a socket that tries first, and waits in the loop's driver when it must.
//! - `socket_cell` (private): the one difference between Unix and Windows that sockets see.

#![forbid(unsafe_code)]

pub mod addr;
pub mod tcp;
pub mod udp;
#[cfg(unix)]
pub mod unix;

#[cfg(unix)]
mod activation;
mod io_source;
mod socket_cell;

#[cfg(unix)]
pub use activation::{PassedKind, PassedSocket, listen_fds};
pub use addr::ToSocketAddrs;
pub use tcp::{
    OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, TcpListener, TcpStream, WriteHalf,
};
pub use udp::{Batch, Datagram, UdpSocket};
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
