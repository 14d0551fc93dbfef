//! Sockets for tulipa. Programs use this crate through the `tulipa` facade, as `tulipa::net`.
//!
//! # Map
//! - [`tcp`]: [`TcpSocket`], [`TcpListener`], [`TcpStream`] and its halves, [`Connector`].
//! - [`addr`]: what can be given as an address. [`names`]: looking names up.
//! - `io_source` (private): a socket that tries first, and waits in the loop's driver when it must.
//! - `socket_cell` (private): the one difference between Unix and Windows that sockets see.

#![forbid(unsafe_code)]

pub mod addr;
pub mod names;
pub mod tcp;

mod io_source;
mod socket_cell;

pub use addr::ToSocketAddrs;
pub use names::lookup_host;
pub use tcp::{
    ConnectError, Connector, KeepAlive, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError,
    TcpListener, TcpSocket, TcpStream, WriteHalf,
};
