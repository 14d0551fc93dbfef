//! compio: completion-based, on io_uring. Its reads and writes own their buffers.

use std::future::Future;
use std::io;
use std::time::Duration;

use compio::buf::{BufResult, IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream, UdpSocket};
use compio::runtime::{JoinHandle, Runtime as CompioRuntime};
use futures_util::FutureExt;

use super::{DATAGRAM_BYTES, Joined, Runtime, WakeSelf};
use crate::net::server;
use crate::primitives;

/// compio.
pub(crate) struct Compio;

impl Runtime for Compio {
    type Join<T: 'static> = Joined<JoinHandle<T>>;
    type Primitives = primitives::Unsync;

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = CompioRuntime::new().expect("compio starts");
        // Without io_uring compio falls back to polling, silently; that is another runtime.
        assert!(
            runtime.driver_type().is_iouring(),
            "io_uring is not available to compio"
        );
        runtime.block_on(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Joined(compio::runtime::spawn(future))
    }

    #[inline]
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        compio::runtime::spawn(future).detach();
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> {
        WakeSelf::default()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        compio::time::sleep(duration)
    }

    #[inline]
    fn timeout<F: Future>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        compio::time::timeout(duration, future).map(Result::ok)
    }

    async fn cancel_all(tasks: Vec<Self::Join<()>>) {
        for task in tasks {
            // Each is asked and awaited in turn: there is no asking without waiting.
            assert!(task.0.cancel().await.is_none());
        }
    }

    async fn serve_echo(buffer_bytes: usize) -> io::Result<()> {
        let listener = TcpListener::bind(server::ANY_PORT).await?;
        server::announce(&listener, listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            Self::detach(echo(stream, buffer_bytes));
        }
    }

    async fn serve_udp() -> io::Result<()> {
        let socket = UdpSocket::bind(server::ANY_PORT).await?;
        server::announce_port(socket.local_addr()?)?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let BufResult(result, read) = socket.recv_from(buffer).await;
            let (count, from) = result?;
            let BufResult(result, sent) = socket.send_to(read.slice(..count), from).await;
            result?;
            buffer = sent.into_inner();
        }
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let BufResult(result, read) = stream.read(buffer).await;
        let Ok(count @ 1..) = result else {
            return;
        };
        let BufResult(result, written) = stream.write_all(read.slice(..count)).await;
        if result.is_err() {
            return;
        }
        buffer = written.into_inner();
    }
}
