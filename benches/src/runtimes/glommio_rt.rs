//! glommio: thread per core, on three io_uring rings.

use std::future::Future;
use std::io;
use std::net;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::Duration;

use futures_util::FutureExt;
use glommio::net::{TcpListener, TcpStream, UdpSocket};
use glommio::{LocalExecutorBuilder, Placement, Task};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::{DATAGRAM_BYTES, Runtime};
use crate::net::server;
use crate::primitives;

/// glommio.
pub(crate) struct Glommio;

/// Memory that glommio registers with the kernel. Its default of 10 MiB is more than the usual
/// limit of locked memory (8 MiB) allows, and nothing here reads files.
const IO_MEMORY_BYTES: usize = 1 << 20;

impl Runtime for Glommio {
    type Join<T: 'static> = Task<T>;
    type Primitives = primitives::Glommio;

    fn run<F: Future>(future: F) -> F::Output {
        LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(IO_MEMORY_BYTES)
            .make()
            .expect("glommio starts")
            .run(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        glommio::spawn_local(future)
    }

    #[inline]
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        glommio::spawn_local(future).detach();
    }

    #[inline]
    async fn yield_now() {
        // `yield_if_needed`, which its documentation prefers, does nothing most of the time.
        glommio::executor().yield_now().await;
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        glommio::timer::sleep(duration)
    }

    #[inline]
    fn timeout<F: Future>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        // It takes futures that can fail only.
        glommio::timer::timeout(duration, future.map(Ok)).map(Result::ok)
    }

    async fn cancel_all(tasks: Vec<Self::Join<()>>) {
        for task in tasks {
            // Each is asked and awaited in turn: there is no asking without waiting.
            assert!(task.cancel().await.is_none());
        }
    }

    async fn serve_echo(buffer_bytes: usize) -> io::Result<()> {
        // Bound by std, since glommio's listener does not show its descriptor.
        let listener = net::TcpListener::bind(server::ANY_PORT)?;
        server::announce(&listener, listener.local_addr()?)?;
        // SAFETY: the descriptor is that of a listening socket, which its owner has just given up.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            let stream = listener.accept().await.map_err(io::Error::from)?;
            Self::detach(echo(stream, buffer_bytes));
        }
    }

    async fn serve_udp() -> io::Result<()> {
        let socket = UdpSocket::bind(server::ANY_PORT)?;
        server::announce_port(socket.local_addr()?)?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..count], from).await?;
        }
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
