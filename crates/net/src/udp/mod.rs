//! UDP: sockets, and batches of datagrams.

mod batch;
mod builder;
mod socket;

// How a batch goes to the kernel and comes from it.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
#[path = "batch_mmsg.rs"]
mod batch_io;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
#[path = "batch_loop.rs"]
mod batch_io;

pub use batch::{Batch, Datagram};
pub use builder::UdpBuilder;
pub use socket::UdpSocket;
