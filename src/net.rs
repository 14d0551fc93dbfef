//! Sockets: TCP so far.
//!
//! Operations try at once, and wait in the loop's reactor only when the kernel says so. Every method
//! says what is lost when it is dropped half-way.
//!
//! # Examples
//! An echo server:
//! ```no_run
//! use tulipa::net::TcpListener;
//!
//! #[tulipa::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:8888").await?;
//!     loop {
//!         let (mut stream, _) = listener.accept().await?;
//!         tulipa::spawn(async move {
//!             let mut buf = vec![0; 16 * 1024];
//!             while let Ok(count @ 1..) = stream.read(&mut buf).await {
//!                 if stream.write_all(&buf[..count]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//! ```

pub use tulipa_net::{
    OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, TcpListener, TcpStream, ToSocketAddrs,
    WriteHalf,
};
