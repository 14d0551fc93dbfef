//! Sockets for tulipa. Programs use this crate through the `tulipa` facade, as `tulipa::net`.
//!
//! # Map
//! - [`tcp`]: [`TcpListener`], [`TcpStream`] and its halves.
//! - [`addr`]: what can be given as an address.
//! - [`io`]: streams of bytes, whatever they come from.
//! - `io_source` (private): a socket that tries first, and waits in the loop's driver when it must.
//! - `socket_cell` (private): the one difference between Unix and Windows that sockets see.

#![forbid(unsafe_code)]

pub mod addr;
pub mod io;
pub mod tcp;

mod io_source;
mod socket_cell;

pub use addr::ToSocketAddrs;
pub use tcp::{
    OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, TcpListener, TcpStream, WriteHalf,
};
