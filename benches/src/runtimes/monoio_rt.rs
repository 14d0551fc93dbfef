//! monoio on io_uring, its native driver. Its reads and writes own their buffers.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::udp::UdpSocket;
use monoio::net::{TcpListener, TcpStream};
use monoio::task::JoinHandle;
use monoio::{IoUringDriver, RuntimeBuilder};

use super::{DATAGRAM_BYTES, Runtime, WakeSelf};
use crate::net::server;
use crate::primitives;

/// monoio.
pub(crate) struct Monoio;

impl Runtime for Monoio {
    type Join<T: 'static> = JoinHandle<T>;
    type Primitives = primitives::LocalSync;

    fn run<F: Future>(future: F) -> F::Output {
        RuntimeBuilder::<IoUringDriver>::new()
            .enable_timer()
            .build()
            .expect("monoio starts")
            .block_on(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        monoio::spawn(future)
    }

    #[inline]
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        drop(monoio::spawn(future));
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> {
        WakeSelf::default()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(duration)
    }

    #[inline]
    fn timeout<F: Future>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        monoio::time::timeout(duration, future).map(Result::ok)
    }

    fn serve_echo(buffer_bytes: usize) -> impl Future<Output = io::Result<()>> {
        serve_echo(buffer_bytes)
    }

    fn serve_udp() -> impl Future<Output = io::Result<()>> {
        serve_udp()
    }
}

/// The echo server, whatever the driver.
pub(super) async fn serve_echo(buffer_bytes: usize) -> io::Result<()> {
    let listener = TcpListener::bind(server::ANY_PORT)?;
    server::announce(&listener, listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(echo(stream, buffer_bytes));
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let (result, read) = stream.read(buffer).await;
        let Ok(count @ 1..) = result else {
            return;
        };
        let (result, written) = stream.write_all(read.slice(..count)).await;
        if result.is_err() {
            return;
        }
        buffer = written.into_inner();
    }
}

pub(super) async fn serve_udp() -> io::Result<()> {
    let socket = UdpSocket::bind(server::ANY_PORT)?;
    server::announce_port(socket.local_addr()?)?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let (result, read) = socket.recv_from(buffer).await;
        let (count, from) = result?;
        let (result, sent) = socket.send_to(read.slice(..count), from).await;
        result?;
        buffer = sent.into_inner();
    }
}
