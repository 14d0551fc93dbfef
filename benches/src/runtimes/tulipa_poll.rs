//! tulipa on the reactor that is made of `poll(2)`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tulipa::runtime::Runner;

use super::Runtime;
use super::tulipa_rt::Tulipa;
use crate::primitives;

/// tulipa where there is nothing better than `poll(2)`.
pub(crate) struct TulipaPoll;

impl Runtime for TulipaPoll {
    type Join<T: 'static> = <Tulipa as Runtime>::Join<T>;
    type Primitives = primitives::Tulipa;

    fn run<F: Future>(future: F) -> F::Output {
        Runner::builder()
            .reactor("poll")
            .build()
            .expect("tulipa starts")
            .run(future)
    }

    #[inline]
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Tulipa::spawn(future)
    }

    #[inline]
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        Tulipa::detach(future);
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> {
        Tulipa::yield_now()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Tulipa::sleep(duration)
    }

    #[inline]
    fn timeout<F: Future>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        Tulipa::timeout(duration, future)
    }

    fn join_set<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + 'static,
    {
        Tulipa::join_set(futures)
    }

    fn group<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + 'static,
    {
        Tulipa::group(futures)
    }

    fn gather<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<u64>>
    where
        F: Future<Output = u64> + 'static,
    {
        Tulipa::gather(futures)
    }

    fn scope<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = ()>
    where
        F: Future<Output = ()>,
    {
        Tulipa::scope(futures)
    }

    fn cancel_all(tasks: Vec<Self::Join<()>>) -> impl Future<Output = ()> {
        Tulipa::cancel_all(tasks)
    }

    #[inline]
    fn with_context<F: Future>(value: u64, future: F) -> impl Future<Output = F::Output> {
        Tulipa::with_context(value, future)
    }

    #[inline]
    fn context() -> u64 {
        Tulipa::context()
    }

    fn serve_echo(buffer_bytes: usize) -> impl Future<Output = io::Result<()>> {
        Tulipa::serve_echo(buffer_bytes)
    }

    fn serve_udp() -> impl Future<Output = io::Result<()>> {
        Tulipa::serve_udp()
    }

    fn serve_udp_batches() -> impl Future<Output = io::Result<()>> {
        Tulipa::serve_udp_batches()
    }

    fn proxy(target: SocketAddr) -> impl Future<Output = io::Result<()>> {
        Tulipa::proxy(target)
    }
}
