//! What a task costs in memory while it waits, and a connection.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::{Case, Entrants, Figure, Measured, Scale, on};
use crate::measure::pinning::{self, Place};
use crate::measure::{allocations, memory};
use crate::net::server::Server;
use crate::net::service::Service;
use crate::net::tcp_echo::Echo;
use crate::runtimes::{Runtime, Visitor};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "memory/idle task",
        figures: &[
            Figure::lower("requested", "bytes/task"),
            Figure::lower("resident", "bytes/task"),
        ],
        entrants: Entrants::Runtimes,
        full_only: false,
        measure: idle_tasks,
    },
    Case {
        name: "memory/idle connection",
        figures: &[
            Figure::lower("resident", "bytes/connection"),
            Figure::lower("CPU", "ms in 2 s"),
        ],
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: idle_connections,
    },
];

/// Starts a million tasks that nobody joins and that wait for ever, and reports how much memory
/// each took: what was requested from the allocator, and by how much the resident set grew. Both
/// without the task's own future, which is a waker (16 bytes).
fn idle_tasks(runtime: &str, scale: Scale) -> Measured {
    on(
        runtime,
        IdleTasks {
            count: scale.pick(1_000_000, 100_000),
        },
    )?
}

struct IdleTasks {
    count: usize,
}

impl Visitor for IdleTasks {
    type Output = Measured;

    fn visit<R: Runtime>(self) -> Measured {
        R::run(async {
            // Queues and free lists that exist once are there before the count begins.
            park_tasks::<R>(AT_ONCE).await;
            let before = memory::resident_bytes().map_err(|error| error.to_string())?;
            allocations::start();
            park_tasks::<R>(self.count).await;
            let requested = allocations::bytes_held();
            let after = memory::resident_bytes().map_err(|error| error.to_string())?;
            let per_task = |bytes: f64| bytes / self.count as f64 - size_of::<Idle>() as f64;
            Ok(vec![
                per_task(requested as f64),
                per_task(after.saturating_sub(before) as f64),
            ])
        })
    }
}

/// Starts `count` tasks and returns once all have been polled.
///
/// A thousand at a time: the memory of a run queue that once held a million tasks is not what a
/// parked task costs.
async fn park_tasks<R: Runtime>(count: usize) {
    let goal = POLLED.get() + count;
    for _ in 0..count / AT_ONCE {
        let polled = POLLED.get();
        for _ in 0..AT_ONCE {
            R::detach(Idle::default());
        }
        while POLLED.get() < polled + AT_ONCE {
            // A task that comes after those lets them run; a yield does not everywhere (monoio).
            R::spawn(async {}).await;
        }
    }
    assert_eq!(POLLED.get(), goal, "idle tasks are polled once");
}

const AT_ONCE: usize = 1_000;

thread_local! {
    static POLLED: Cell<usize> = const { Cell::new(0) };
}

/// A future that waits for ever and holds the waker it could be woken with. Without that monoio
/// would drop the task, which nobody joins and nobody could wake.
#[derive(Default)]
struct Idle {
    waker: Option<Waker>,
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.waker = Some(cx.waker().clone());
        POLLED.set(POLLED.get() + 1);
        Poll::Pending
    }
}

/// Opens 19,000 connections to an echo server, as many as the usual limit of descriptors allows,
/// exchanges a message through each, and reports by how much the server's resident set grew for
/// each, without the buffer that the server's code has for it (64 bytes); and the CPU time that the server takes
/// while all are silent.
fn idle_connections(runtime: &str, scale: Scale) -> Measured {
    measure_connections(runtime, scale.pick(19_000, 2_000)).map_err(|error| error.to_string())
}

fn measure_connections(runtime: &str, count: usize) -> io::Result<Vec<f64>> {
    let buffer_bytes = 64;
    let server = Server::start(runtime, Service::Echo { buffer_bytes })?;
    pinning::pin_to(Place::Peer);
    let clock = server.cpu_clock()?;
    let first = Echo::connect(server.address(), AT_ONCE, buffer_bytes)?;
    let before = server.resident_bytes()?;
    let more = count - AT_ONCE;
    let rest = Echo::connect(server.address(), more, buffer_bytes)?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    thread::sleep(Duration::from_millis(100));
    let cpu_before = clock.read()?;
    thread::sleep(Duration::from_secs(2));
    let cpu = clock.read()? - cpu_before;
    server.stop()?;
    drop((first, rest));
    Ok(vec![
        grown as f64 / more as f64 - buffer_bytes as f64,
        cpu.as_secs_f64() * 1e3,
    ])
}
