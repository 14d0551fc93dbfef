//! tokio, current-thread runtime with a `LocalSet`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, LocalSet};

use super::{Joined, Runtime, tokio_net, tokio_tasks};
use crate::primitives;

/// tokio's oldest way to run `!Send` futures.
pub(crate) struct TokioLocalSet;

impl Runtime for TokioLocalSet {
    type Join<T: 'static> = Joined<JoinHandle<T>>;
    type Primitives = primitives::Tokio;

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("tokio starts");
        LocalSet::new().block_on(&runtime, future)
    }

    #[inline]
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Joined(tokio::task::spawn_local(future))
    }

    #[inline]
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        drop(tokio::task::spawn_local(future));
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    #[inline]
    fn timeout<F: Future>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        tokio::time::timeout(duration, future).map(Result::ok)
    }

    fn join_set<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + 'static,
    {
        tokio_tasks::join_set(futures)
    }

    async fn cancel_all(tasks: Vec<Self::Join<()>>) {
        tokio_tasks::cancel_all(tasks).await;
    }

    #[inline]
    fn with_context<F: Future>(value: u64, future: F) -> impl Future<Output = F::Output> {
        tokio_tasks::VALUE.scope(value, future)
    }

    #[inline]
    fn context() -> u64 {
        tokio_tasks::VALUE.get()
    }

    fn serve_echo(buffer_bytes: usize) -> impl Future<Output = io::Result<()>> {
        tokio_net::serve_echo(buffer_bytes)
    }

    fn serve_udp() -> impl Future<Output = io::Result<()>> {
        tokio_net::serve_udp()
    }

    fn proxy(target: SocketAddr) -> impl Future<Output = io::Result<()>> {
        tokio_net::proxy(target)
    }
}
