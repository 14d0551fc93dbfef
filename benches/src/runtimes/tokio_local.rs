//! tokio, `LocalRuntime`: a current-thread runtime whose own spawn takes `!Send` futures.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::LocalRuntime;
use tokio::task::JoinHandle;

use super::{Joined, Runtime, tokio_net, tokio_tasks};
use crate::primitives;

/// tokio's newer way to run `!Send` futures.
pub(crate) struct TokioLocal;

impl Runtime for TokioLocal {
    type Join<T: 'static> = Joined<JoinHandle<T>>;
    type Primitives = primitives::Tokio;

    fn run<F: Future>(future: F) -> F::Output {
        LocalRuntime::new().expect("tokio starts").block_on(future)
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
