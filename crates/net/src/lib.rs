//! Sockets for tulipa. Programs use this crate through the `tulipa` facade, as `tulipa::net`.
//!
//! # Map
//! - [`tcp`]: [`TcpSocket`], [`TcpListener`], [`TcpStream`] and its halves, [`Connector`].
//! - [`addr`]: what can be given as an address. [`names`]: looking names up.
//! - [`async_fd`]: any descriptor, and callbacks for its readiness. [`sock`]: any socket. [`pipe`]: pipes and
//!   FIFOs.
//! - `io_source` (private): a socket that tries first, and waits in the loop's driver when it must.
//! - `socket_cell` (private): the one difference between Unix and Windows that sockets see.

#![forbid(unsafe_code)]

pub mod addr;
#[cfg(unix)]
pub mod async_fd;
pub mod names;
#[cfg(unix)]
pub mod pipe;
#[cfg(unix)]
pub mod sock;
pub mod tcp;

mod io_source;
mod socket_cell;

pub use addr::ToSocketAddrs;
#[cfg(unix)]
pub use async_fd::{AsyncFd, IoHandle, on_readable, on_writable};
pub use names::lookup_host;
#[cfg(unix)]
pub use sock::Socket;
pub use tcp::{
    ConnectError, Connector, KeepAlive, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError,
    TcpListener, TcpSocket, TcpStream, WriteHalf,
};
