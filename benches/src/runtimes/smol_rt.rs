//! smol: `LocalExecutor` under `smol::block_on`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream, UdpSocket};
use smol::{LocalExecutor, Task, Timer};

use super::{DATAGRAM_BYTES, Runtime};
use crate::net::server;
use crate::primitives;

thread_local! {
    // Leaked, so that tasks can be spawned from anywhere without a reference count; a child of the
    // comparison makes one and ends.
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
}

/// smol.
pub(crate) struct Smol;

impl Runtime for Smol {
    type Join<T: 'static> = Task<T>;
    type Primitives = primitives::Smol;

    fn run<F: Future>(future: F) -> F::Output {
        smol::block_on(EXECUTOR.with(|executor| *executor).run(future))
    }

    #[inline]
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        EXECUTOR.with(|executor| executor.spawn(future))
    }

    #[inline]
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        Self::spawn(future).detach();
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> {
        smol::future::yield_now()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        let timer = Timer::after(duration);
        async {
            timer.await;
        }
    }

    #[inline]
    fn timeout<F: Future>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        smol::future::or(future.map(Some), async move {
            Timer::after(duration).await;
            None
        })
    }

    async fn cancel_all(tasks: Vec<Self::Join<()>>) {
        for task in tasks {
            // Each is asked and awaited in turn: there is no asking without waiting.
            assert!(task.cancel().await.is_none());
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
            let (count, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..count], from).await?;
        }
    }

    async fn proxy(target: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(server::ANY_PORT).await?;
        server::announce(&listener, listener.local_addr()?)?;
        loop {
            let (client, _) = listener.accept().await?;
            Self::detach(async move {
                if let Ok(server) = TcpStream::connect(target).await {
                    let _ = server.set_nodelay(true);
                    pass_on(client, server).await;
                }
            });
        }
    }
}

async fn pass_on(client: TcpStream, server: TcpStream) {
    let one_way = async |from: TcpStream, mut to: TcpStream| {
        let _ = smol::io::copy(from, &mut to).await;
        let _ = to.close().await;
    };
    let there = one_way(client.clone(), server.clone());
    smol::future::zip(there, one_way(server, client)).await;
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
