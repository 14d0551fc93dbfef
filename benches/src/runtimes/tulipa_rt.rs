//! tulipa, on its default reactor (or the one that `TULIPA_REACTOR` names).

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use tulipa::net::{Batch, TcpListener, TcpStream, UdpSocket};
use tulipa::task::{JoinHandle, JoinSet};

use super::{DATAGRAM_BYTES, Joined, Runtime};
use crate::net::server;
use crate::primitives;

tulipa::task::context_local! {
    static VALUE: u64;
}

/// tulipa.
pub(crate) struct Tulipa;

impl Runtime for Tulipa {
    type Join<T: 'static> = Joined<JoinHandle<T>>;
    type Primitives = primitives::Tulipa;

    fn run<F: Future>(future: F) -> F::Output {
        tulipa::run(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Joined(tulipa::spawn(future))
    }

    #[inline]
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        drop(tulipa::spawn(future));
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> {
        tulipa::yield_now()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tulipa::sleep(duration)
    }

    #[inline]
    fn timeout<F: Future>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        tulipa::timeout(duration, future).map(Result::ok)
    }

    async fn join_set<F>(futures: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + 'static,
    {
        let mut tasks: JoinSet<u64> = futures.collect();
        let mut sum = 0;
        while let Some(ended) = tasks.join_next().await {
            sum += ended.expect("benchmark tasks neither panic nor are cancelled");
        }
        sum
    }

    async fn group<F>(futures: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + 'static,
    {
        let sum = Rc::new(Cell::new(0));
        let ended = tulipa::task_group(async |group| {
            for future in futures {
                let sum = Rc::clone(&sum);
                drop(group.spawn(async move {
                    let number = future.await;
                    sum.set(sum.get() + number);
                    Ok::<_, Infallible>(())
                }));
            }
            Ok(())
        });
        ended.await.expect("benchmark tasks do not fail");
        sum.get()
    }

    async fn gather<F>(futures: impl Iterator<Item = F>) -> Vec<u64>
    where
        F: Future<Output = u64> + 'static,
    {
        let values = tulipa::gather(futures).await;
        values.expect("benchmark tasks neither panic nor are cancelled")
    }

    async fn scope<F>(futures: impl Iterator<Item = F>)
    where
        F: Future<Output = ()>,
    {
        tulipa::scope(async |scope| {
            for future in futures {
                drop(scope.spawn(future));
            }
        })
        .await;
    }

    async fn cancel_all(tasks: Vec<Self::Join<()>>) {
        for task in &tasks {
            task.0.cancel();
        }
        for task in tasks {
            assert!(task.0.await.is_err_and(|error| error.is_cancelled()));
        }
    }

    #[inline]
    fn with_context<F: Future>(value: u64, future: F) -> impl Future<Output = F::Output> {
        VALUE.scope(value, future)
    }

    #[inline]
    fn context() -> u64 {
        VALUE.get()
    }

    async fn serve_echo(buffer_bytes: usize) -> io::Result<()> {
        let listener = TcpListener::bind(server::ANY_PORT).await?;
        server::announce(&listener.as_fd(), listener.local_addr()?)?;
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

    async fn serve_udp_batches() -> io::Result<()> {
        let socket = UdpSocket::bind(server::ANY_PORT).await?;
        server::announce_port(socket.local_addr()?)?;
        let mut batch = Batch::new(BATCH, DATAGRAM_BYTES);
        loop {
            socket.recv_many(&mut batch).await?;
            socket.send_many(&mut batch).await?;
        }
    }

    async fn proxy(target: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(server::ANY_PORT).await?;
        server::announce(&listener.as_fd(), listener.local_addr()?)?;
        loop {
            let (mut client, _) = listener.accept().await?;
            Self::detach(async move {
                if let Ok(mut server) = TcpStream::connect(target).await {
                    let _ = server.set_nodelay(true);
                    let _ = tulipa::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    }
}

/// How many datagrams are taken at a time.
const BATCH: usize = 64;

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
