//! What a task costs in memory while it waits.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Case, Entrants, Figure, Measured, Scale, on};
use crate::measure::{allocations, memory};
use crate::runtimes::{Runtime, Visitor};

pub(super) const CASES: &[Case] = &[Case {
    name: "memory/idle task",
    figures: &[
        Figure::lower("requested", "bytes/task"),
        Figure::lower("resident", "bytes/task"),
    ],
    entrants: Entrants::Runtimes,
    full_only: false,
    measure: idle_tasks,
}];

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
