//! The contenders: one file each, and what a case may ask of them.
//!
//! Cases are generic over [`Runtime`], so that each is compiled for each runtime and nothing
//! dynamic stands in the measured path. Each runtime is set up the way its documentation sets up
//! a single-threaded program, with I/O and timers on, as a server has them.

mod compio_rt;
mod glommio_rt;
mod monoio_legacy;
mod monoio_rt;
pub(crate) mod raw;
mod smol_rt;
mod tokio_local;
mod tokio_localset;
mod tokio_net;
mod tokio_tasks;
mod tulipa_poll;
mod tulipa_rt;

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::primitives::Primitives;

/// A single-threaded async runtime.
pub(crate) trait Runtime: 'static {
    /// What [`spawn`](Self::spawn) returns.
    type Join<T: 'static>: Future<Output = T> + 'static;

    /// Its locks, channels, and the like.
    type Primitives: Primitives;

    /// Runs `future` to its end on this thread, on a runtime made for it.
    fn run<F: Future>(future: F) -> F::Output;

    /// Starts a task; the result is a future of its output.
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Starts a task that nobody joins.
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + 'static;

    /// Lets the other tasks run.
    fn yield_now() -> impl Future<Output = ()>;

    /// Waits for `duration`.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Gives `future` at most `duration`; `None` when the time is up.
    fn timeout<F: Future>(duration: Duration, future: F)
    -> impl Future<Output = Option<F::Output>>;

    /// Starts a task for each of `futures`, and adds up what they yield, as they end: with the runtime's
    /// `JoinSet`, or where it has none a `FuturesUnordered` of the join handles.
    fn join_set<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + 'static,
    {
        async {
            let mut tasks: FuturesUnordered<_> = futures.map(Self::spawn).collect();
            let mut sum = 0;
            while let Some(value) = tasks.next().await {
                sum += value;
            }
            sum
        }
    }

    /// The same with what ends all tasks together when one fails; elsewhere as `join_set`.
    fn group<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + 'static,
    {
        Self::join_set(futures)
    }

    /// Starts a task for each of `futures`, and yields their values in order: with the runtime's
    /// `gather`, or where it has none a `join_all` of the join handles.
    fn gather<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<u64>>
    where
        F: Future<Output = u64> + 'static,
    {
        join_all(futures.map(Self::spawn))
    }

    /// Runs `futures`, which may borrow, inside of the calling task, and waits for all of them. Only
    /// tulipa has something of its own for that.
    fn scope<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = ()>
    where
        F: Future<Output = ()>,
    {
        unordered(futures)
    }

    /// Asks all tasks to end, and waits until they have.
    fn cancel_all(tasks: Vec<Self::Join<()>>) -> impl Future<Output = ()> {
        drop(tasks);
        async { unreachable!("{NO_EQUIVALENT}") }
    }

    /// Runs `future` in a context that says `value`.
    fn with_context<F: Future>(value: u64, future: F) -> impl Future<Output = F::Output> {
        let _ = value;
        async {
            drop(future);
            unreachable!("{NO_EQUIVALENT}")
        }
    }

    /// The value of the context.
    fn context() -> u64 {
        unreachable!("{NO_EQUIVALENT}")
    }

    /// Serves echo on a port of 127.0.0.1 for ever: one task and one buffer of `buffer_bytes` per
    /// connection, which reads what there is and writes it back. Calls
    /// [`announce`](crate::net::server::announce) once it listens.
    fn serve_echo(buffer_bytes: usize) -> impl Future<Output = io::Result<()>>;

    /// Serves echo on a UDP port of 127.0.0.1 for ever: receives a datagram, and sends it back. Calls
    /// [`announce_port`](crate::net::server::announce_port) once it can be reached.
    fn serve_udp() -> impl Future<Output = io::Result<()>>;

    /// The same with as many datagrams in one system call as there are, where the runtime can.
    fn serve_udp_batches() -> impl Future<Output = io::Result<()>> {
        Self::serve_udp()
    }

    /// Passes connections on to `target` for ever, with what the runtime has for that.
    fn proxy(target: SocketAddr) -> impl Future<Output = io::Result<()>> {
        let _ = target;
        async { unreachable!("{NO_EQUIVALENT}") }
    }
}

/// Room for any datagram of the load generator.
const DATAGRAM_BYTES: usize = 2048;

const NO_EQUIVALENT: &str = "the case's entrants leave this runtime out";

/// Runs `futures` inside of the calling task, in a `FuturesUnordered`.
pub(crate) async fn unordered<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut running: FuturesUnordered<F> = futures.collect();
    while running.next().await.is_some() {}
}

/// What to do with a runtime that was named on the command line.
pub(crate) trait Visitor {
    /// What comes out of it.
    type Output;

    /// Does it with `R`.
    fn visit<R: Runtime>(self) -> Self::Output;
}

/// Hands the runtime called `name` to `visitor`; `None` if there is no such runtime.
pub(crate) fn visit<V: Visitor>(name: &str, visitor: V) -> Option<V::Output> {
    Some(match name {
        "tulipa" => visitor.visit::<tulipa_rt::Tulipa>(),
        "tulipa-poll" => visitor.visit::<tulipa_poll::TulipaPoll>(),
        "tokio-localset" => visitor.visit::<tokio_localset::TokioLocalSet>(),
        "tokio-local" => visitor.visit::<tokio_local::TokioLocal>(),
        "smol" => visitor.visit::<smol_rt::Smol>(),
        "compio" => visitor.visit::<compio_rt::Compio>(),
        "monoio" => visitor.visit::<monoio_rt::Monoio>(),
        "glommio" => visitor.visit::<glommio_rt::Glommio>(),
        "monoio-legacy" => visitor.visit::<monoio_legacy::MonoioLegacy>(),
        _ => return None,
    })
}

/// The limit: what the kernel allows when there is no runtime at all. Not a [`Runtime`]; the cases
/// that have such a limit know how to find it.
pub(crate) const RAW: &str = "raw";

/// Ours.
pub(crate) const TULIPA: &str = "tulipa";

/// Ours on its second reactor.
pub(crate) const TULIPA_POLL: &str = "tulipa-poll";

/// Every contender, in the order of the table's columns.
pub(crate) const ALL: [&str; 10] = [
    TULIPA,
    TULIPA_POLL,
    "tokio-localset",
    "tokio-local",
    "smol",
    "compio",
    "monoio",
    "glommio",
    "monoio-legacy",
    RAW,
];

/// Those that need asking for: the reactors that these runtimes use only where there is none
/// better. (monoio's has its place under callgrind, where io_uring is hard to measure.)
pub(crate) const ON_REQUEST: [&str; 2] = [TULIPA_POLL, "monoio-legacy"];

/// Whether the contender `name` is tulipa, on whatever reactor.
pub(crate) fn is_ours(name: &str) -> bool {
    [TULIPA, TULIPA_POLL].contains(&name)
}

/// Whether tulipa is compared with the contender `name`.
pub(crate) fn is_peer(name: &str) -> bool {
    !is_ours(name) && name != RAW
}

/// A join handle whose output is a `Result`, for a task that neither panics nor is cancelled.
pub(crate) struct Joined<H>(H);

impl<H, T, E> Future for Joined<H>
where
    H: Future<Output = Result<T, E>> + Unpin,
    E: Debug,
{
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let result = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(result.expect("benchmark tasks neither panic nor are cancelled"))
    }
}

/// A yield for runtimes that have none: wakes itself and is pending once.
#[derive(Default)]
pub(crate) struct WakeSelf {
    woken: bool,
}

impl Future for WakeSelf {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.woken {
            return Poll::Ready(());
        }
        self.woken = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
