//! Tasks: to start one and join it, to yield, to wake another one.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::operation::{Batch, Operation};
use super::{Case, Figure, OperationVisitor, time_operation};
use crate::runtimes::Runtime;

pub(super) const CASES: &[Case] = &[
    Case {
        name: OPERATIONS[0],
        figures: &[Figure::lower("", "ns/task")],
        raw: false,
        full_only: false,
        measure: time_operation::<SpawnAndJoin>,
    },
    Case {
        name: OPERATIONS[1],
        figures: &[Figure::lower("", "ns/task")],
        raw: false,
        full_only: false,
        measure: time_operation::<SpawnManyThenJoin>,
    },
    Case {
        name: OPERATIONS[2],
        figures: &[Figure::lower("", "ns/yield")],
        raw: false,
        full_only: false,
        measure: time_operation::<YieldAlone>,
    },
    Case {
        name: OPERATIONS[3],
        figures: &[Figure::lower("", "ns/yield")],
        raw: false,
        full_only: false,
        measure: time_operation::<YieldAmongMany>,
    },
    Case {
        name: OPERATIONS[4],
        figures: &[Figure::lower("", "ns/round trip")],
        raw: false,
        full_only: false,
        measure: time_operation::<PingPong>,
    },
];

pub(super) const OPERATIONS: &[&str] = &[
    "tasks/spawn+join one",
    "tasks/spawn 100k, join all",
    "tasks/yield 1 task",
    "tasks/yield 1000 tasks",
    "tasks/ping-pong",
];

pub(super) fn visit<V: OperationVisitor>(name: &str, visitor: V) -> Result<V::Output, V> {
    Ok(
        match OPERATIONS.iter().position(|operation| *operation == name) {
            Some(0) => visitor.visit::<SpawnAndJoin>(),
            Some(1) => visitor.visit::<SpawnManyThenJoin>(),
            Some(2) => visitor.visit::<YieldAlone>(),
            Some(3) => visitor.visit::<YieldAmongMany>(),
            Some(4) => visitor.visit::<PingPong>(),
            _ => return Err(visitor),
        },
    )
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
