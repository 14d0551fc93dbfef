//! Tasks: to start one and join it, to yield, to wake another one.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::Entrants;
use super::operation::{Batch, Operation, operation_cases};
use crate::runtimes::Runtime;

operation_cases! {
    "tasks/spawn+join one", "ns/task", Entrants::Runtimes => SpawnAndJoin;
    "tasks/spawn 100k, join all", "ns/task", Entrants::Runtimes => SpawnManyThenJoin;
    "tasks/yield 1 task", "ns/yield", Entrants::Runtimes => YieldAlone;
    "tasks/yield 1000 tasks", "ns/yield", Entrants::Runtimes => YieldAmongMany;
    "tasks/ping-pong", "ns/round trip", Entrants::Runtimes => PingPong;
}

/// A task spawns a task that returns a number, and waits for it; then the next one.
struct SpawnAndJoin;

impl Operation for SpawnAndJoin {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            assert_eq!(R::spawn(async move { number }).await, number);
        }
    }
}

/// A task spawns all tasks, and then joins them in the order of their making.
struct SpawnManyThenJoin;

impl Operation for SpawnManyThenJoin {
    const BATCH: Batch = Batch::Fixed {
        operations: 100_000,
        batches: 7,
    };
    const CALLGRIND_COUNTS: (u64, u64) = (5_000, 25_000);

    async fn perform<R: Runtime>(count: u64) {
        let tasks: Vec<_> = (0..count)
            .map(|number| R::spawn(async move { number }))
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        assert_eq!(sum, count * count.saturating_sub(1) / 2);
    }
}

/// A task yields while no other one is ready.
struct YieldAlone;

impl Operation for YieldAlone {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count {
            R::yield_now().await;
        }
    }
}

/// A thousand tasks yield in turn. Their making is part of it, a thousandth of the yields each.
struct YieldAmongMany;

impl Operation for YieldAmongMany {
    const BATCH: Batch = Batch::Fixed {
        operations: 1_000_000,
        batches: 7,
    };
    const CALLGRIND_COUNTS: (u64, u64) = (20_000, 120_000);

    async fn perform<R: Runtime>(count: u64) {
        const TASKS: u64 = 1_000;
        let yields = count / TASKS;
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                R::spawn(async move {
                    for _ in 0..yields {
                        R::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    }
}

/// Two tasks take turns: each gives the other one the ball and waits to get it back. The place
/// where they meet is the same for all runtimes, so that only wakes and polls differ. A round trip
/// is two wakes, two polls.
struct PingPong;

impl Operation for PingPong {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let court = Rc::new(Court::default());
        let ping = R::spawn(play(court.clone(), Side::Ping, count));
        let pong = R::spawn(play(court, Side::Pong, count));
        ping.await;
        pong.await;
    }
}

async fn play(court: Rc<Court>, side: Side, count: u64) {
    for _ in 0..count {
        court.ball_at(side).await;
        court.pass_to(side.other());
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Ping,
    Pong,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Side::Ping => Side::Pong,
            Side::Pong => Side::Ping,
        }
    }
}

/// Where the ball is, and who waits for it.
#[derive(Debug, Default)]
struct Court {
    ball: Cell<Side>,
    waiting: RefCell<Option<Waker>>,
}

impl Court {
    fn ball_at(&self, side: Side) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if self.ball.get() == side {
                return Poll::Ready(());
            }
            // Only one side waits at a time: the ball is with the other one, or on its way.
            let mut waiting = self.waiting.borrow_mut();
            match &mut *waiting {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    }

    fn pass_to(&self, side: Side) {
        self.ball.set(side);
        let waker = self.waiting.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
