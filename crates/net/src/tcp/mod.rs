//! TCP: streams, their halves, and listeners.

pub(crate) mod accept_error;
pub(crate) mod address_error;
mod io_impls;
mod listener;
mod split;
mod stream;

pub use listener::TcpListener;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;
