//! Many futures at a time, and the wait for all of them: as tasks, and inside of one task.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;

use super::Entrants;
use super::operation::{Batch, Operation, operation_cases};
use crate::runtimes::{Runtime, WakeSelf, unordered};

operation_cases! {
    "groups/task group of 1000, ready", "ns/child", Entrants::Runtimes => GroupReady;
    "groups/task group of 1000, yield once", "ns/child", Entrants::Runtimes => GroupYields;
    "groups/scope of 1000, ready", "ns/child", Entrants::Runtimes => ScopeReady;
    "groups/scope of 1000, yield once", "ns/child", Entrants::Runtimes => ScopeYields;
    "groups/scope of 1000 boxed, yield once", "ns/child", Entrants::Runtimes => ScopeBoxed;
    "groups/unordered 1000, ready", "ns/child", Entrants::Runtimes => UnorderedReady;
    "groups/unordered 1000, yield once", "ns/child", Entrants::Runtimes => UnorderedYields;
    "groups/unordered 1000 boxed, yield once", "ns/child", Entrants::Runtimes => UnorderedBoxed;
}

const CHILDREN: u64 = 1_000;

/// Tasks that are ready at once, spawned into a group, which is awaited: tulipa's `task_group`, tokio's
/// `JoinSet`; elsewhere a `FuturesUnordered` of join handles.
struct GroupReady;

impl Operation for GroupReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            R::group((0..CHILDREN).map(|_| async {})).await;
        }
    }
}

/// The same with tasks that yield once.
struct GroupYields;

impl Operation for GroupYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            R::group((0..CHILDREN).map(|_| async { R::yield_now().await })).await;
        }
    }
}

/// Futures that borrow, inside of one task: tulipa's `scope`; elsewhere a `FuturesUnordered`, which
/// "unordered" shows for tulipa too.
struct ScopeReady;

impl Operation for ScopeReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = Cell::new(0);
            R::scope(children(&sum, count_at_once)).await;
            assert_eq!(sum.get(), CHILDREN);
        }
    }
}

/// The same with futures that wake themselves once.
struct ScopeYields;

impl Operation for ScopeYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = Cell::new(0);
            R::scope(children(&sum, count_later)).await;
            assert_eq!(sum.get(), CHILDREN);
        }
    }
}

/// The same with futures that are boxed one by one, as they are where they differ.
struct ScopeBoxed;

impl Operation for ScopeBoxed {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = Cell::new(0);
            R::scope(children(&sum, count_boxed)).await;
            assert_eq!(sum.get(), CHILDREN);
        }
    }
}

/// A `FuturesUnordered` in every runtime, of futures that are ready at once.
struct UnorderedReady;

impl Operation for UnorderedReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = Cell::new(0);
            unordered(children(&sum, count_at_once)).await;
            assert_eq!(sum.get(), CHILDREN);
        }
    }
}

/// The same with futures that wake themselves once.
struct UnorderedYields;

impl Operation for UnorderedYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = Cell::new(0);
            unordered(children(&sum, count_later)).await;
            assert_eq!(sum.get(), CHILDREN);
        }
    }
}

/// The same with futures that are boxed one by one.
struct UnorderedBoxed;

impl Operation for UnorderedBoxed {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = Cell::new(0);
            unordered(children(&sum, count_boxed)).await;
            assert_eq!(sum.get(), CHILDREN);
        }
    }
}

/// Children that borrow `sum`.
fn children<'a, F>(
    sum: &'a Cell<u64>,
    child: impl Fn(&'a Cell<u64>) -> F,
) -> impl Iterator<Item = F> {
    (0..CHILDREN).map(move |_| child(sum))
}

async fn count_at_once(sum: &Cell<u64>) {
    sum.set(sum.get() + 1);
}

async fn count_later(sum: &Cell<u64>) {
    // The same for all runtimes: tokio's own yield would ask its driver.
    WakeSelf::default().await;
    sum.set(sum.get() + 1);
}

fn count_boxed<'a>(sum: &'a Cell<u64>) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(count_later(sum))
}
