//! TCP: streams, their halves, and listeners.

mod accept_error;
mod address_error;
mod io_impls;
mod listener;
mod split;
mod stream;

pub use listener::TcpListener;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;
