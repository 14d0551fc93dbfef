//! monoio on epoll, its fallback driver.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use monoio::task::JoinHandle;
use monoio::{LegacyDriver, RuntimeBuilder};

use super::{Runtime, WakeSelf, monoio_rt};
use crate::primitives;

/// monoio where io_uring is refused.
pub(crate) struct MonoioLegacy;

impl Runtime for MonoioLegacy {
    type Join<T: 'static> = JoinHandle<T>;
    type Primitives = primitives::LocalSync;

    fn run<F: Future>(future: F) -> F::Output {
        RuntimeBuilder::<LegacyDriver>::new()
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
        monoio_rt::serve_echo(buffer_bytes)
    }

    fn serve_udp() -> impl Future<Output = io::Result<()>> {
        monoio_rt::serve_udp()
    }
}
