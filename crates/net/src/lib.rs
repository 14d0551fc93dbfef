//! Sockets for tulipa. Programs use this crate through the `tulipa` facade, as `tulipa::net`.
//!
//! # Map
//! - [`tcp`]: [`TcpSocket`], [`TcpListener`], [`TcpStream`] and its halves, [`Connector`].
//! - [`addr`]: what can be given as an address. [`names`]: looking names up.
//! - [`async_fd`]: any descriptor, and callbacks for its readiness. [`sock`]: any socket. [`pipe`]: pipes and
//!   FIFOs.
//! - [`udp`]: [`UdpSocket`], its builder, and batches of datagrams.
//! - `unix`: `UnixListener`, `UnixStream`, `UnixDatagram`, descriptor passing.
//! - `activation` (private): sockets from a service manager.
//! - [`server`]: [`serve`], [`Server`] and what it accepts from.
//! - [`io`]: streams of bytes, whatever they come from.
//! - `accept` (private): what listeners have in common: errors of accept(2), and the pause when descriptors run out.
//! - `whole` (private): reads and writes that go on until all is done.
//! - `halves` (private): what the streams of TCP and Unix sockets have in common outside.
//! - `io_source` (private): a socket that tries first, and waits in the loop's driver when it must.
//! - `socket_cell` (private): the one difference between Unix and Windows that sockets see.

#![forbid(unsafe_code)]

pub mod addr;
#[cfg(unix)]
pub mod async_fd;
pub mod io;
pub mod names;
#[cfg(unix)]
pub mod pipe;
pub mod server;
#[cfg(unix)]
pub mod sock;
pub mod tcp;
pub mod udp;
#[cfg(unix)]
pub mod unix;

mod accept;
#[cfg(unix)]
mod activation;
mod halves;
mod io_source;
mod socket_cell;
mod watch_error;
mod whole;

#[cfg(unix)]
pub use activation::{PassedKind, PassedSocket, listen_fds};
pub use addr::ToSocketAddrs;
#[cfg(unix)]
pub use async_fd::{AsyncFd, IoHandle, on_readable, on_writable};
pub use names::lookup_host;
pub use server::{
    Connection, DrainReport, Listener, LiveConnection, Server, ServerBuilder, SharedListener, serve,
};
#[cfg(unix)]
pub use sock::Socket;
pub use tcp::{
    ConnectError, Connector, KeepAlive, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError,
    TcpListener, TcpSocket, TcpStream, WriteHalf,
};
pub use udp::{Batch, Datagram, UdpBuilder, UdpSocket};
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
