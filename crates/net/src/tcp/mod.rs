//! TCP: sockets before they connect or listen, streams, their halves, and listeners.

pub(crate) mod address_error;
mod connect_error;
mod connector;
mod keep_alive;
mod listener;
pub(crate) mod options;
mod socket;
mod split;
mod stream;

pub use connect_error::ConnectError;
pub use connector::Connector;
pub use keep_alive::KeepAlive;
pub use listener::TcpListener;
pub use socket::TcpSocket;
#[cfg(unix)]
pub(crate) use socket::{Connecting, begin_connect};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;
