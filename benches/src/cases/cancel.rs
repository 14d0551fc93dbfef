//! Cancellation: timeouts, catch points, and asking tasks to end.

use std::future::{pending, ready};
use std::hint::black_box;
use std::time::Duration;

use super::Entrants;
use super::operation::{Batch, Operation, operation_cases};
use crate::runtimes::Runtime;

operation_cases! {
    "cancel/timeout, ready", "ns/timeout", Entrants::Runtimes => TimeoutReady;
    "cancel/timeout, yields once", "ns/timeout", Entrants::Runtimes => TimeoutYields;
    "cancel/catch_cancel, ready", "ns/call", Entrants::Ours => CatchReady;
    "cancel/catch_cancel, yields once", "ns/call", Entrants::Ours => CatchYields;
    "cancel/finally, ready", "ns/call", Entrants::Ours => FinallyReady;
    "cancel/finally, yields once", "ns/call", Entrants::Ours => FinallyYields;
    "cancel/1000 parked tasks", "ns/task", Entrants::OursAnd(CANCELS) => CancelParked;
    "cancel/1000 tasks that clean up", "ns/task", Entrants::Ours => CancelWithCleanUp;
}

/// Those whose tasks can be told to end. (A task of monoio goes on.)
const CANCELS: &[&str] = &["tokio-localset", "tokio-local", "smol", "compio", "glommio"];

/// Far enough never to come.
const LONG: Duration = Duration::from_secs(10);

/// Gives a future that is ready ten seconds: what a timeout costs where it is not needed.
struct TimeoutReady;

impl Operation for TimeoutReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let value = R::timeout(LONG, ready(black_box(number))).await;
            assert_eq!(value, Some(number));
        }
    }
}

/// The same around a future that yields once: the timer is set, and cancelled. The yield is part of it.
struct TimeoutYields;

impl Operation for TimeoutYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let value = R::timeout(LONG, yield_once::<R>(number)).await;
            assert_eq!(value, Some(number));
        }
    }
}

/// A catch point around a future that is ready.
struct CatchReady;

impl Operation for CatchReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let value = tulipa::catch_cancel(ready(black_box(number))).await;
            assert_eq!(value.ok(), Some(number));
        }
    }
}

/// A catch point around a future that yields once. The yield is part of it.
struct CatchYields;

impl Operation for CatchYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let value = tulipa::catch_cancel(yield_once::<R>(number)).await;
            assert_eq!(value.ok(), Some(number));
        }
    }
}

/// A clean-up that is ready, around a future that is ready.
struct FinallyReady;

impl Operation for FinallyReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let value = tulipa::finally(ready(black_box(number)), ready(())).await;
            assert_eq!(value, number);
        }
    }
}

/// A clean-up that is ready, around a future that yields once. The yield is part of it.
struct FinallyYields;

impl Operation for FinallyYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let value = tulipa::finally(yield_once::<R>(number), ready(())).await;
            assert_eq!(value, number);
        }
    }
}

async fn yield_once<R: Runtime>(number: u64) -> u64 {
    R::yield_now().await;
    number
}

const TASKS: u64 = 1_000;

/// A thousand tasks that wait for ever are told to end, and awaited. To start them and poll each once
/// is part of it.
struct CancelParked;

impl Operation for CancelParked {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / TASKS {
            let tasks: Vec<_> = (0..TASKS).map(|_| R::spawn(pending::<()>())).collect();
            R::yield_now().await;
            R::cancel_all(tasks).await;
        }
    }
}

/// The same with tasks that clean up, which takes them a yield.
struct CancelWithCleanUp;

impl Operation for CancelWithCleanUp {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / TASKS {
            let waits = || tulipa::finally(pending::<()>(), R::yield_now());
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| R::spawn(async move { waits().await }))
                .collect();
            R::yield_now().await;
            R::cancel_all(tasks).await;
        }
    }
}
