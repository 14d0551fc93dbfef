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
    "groups/join set of 1000, ready", "ns/child", Entrants::Runtimes => JoinSetReady;
    "groups/join set of 1000, yield once", "ns/child", Entrants::Runtimes => JoinSetYields;
    "groups/gather 1000, yield once", "ns/child", Entrants::Runtimes => Gather;
    "groups/scope of 1000, ready", "ns/child", Entrants::Runtimes => ScopeReady;
    "groups/scope of 1000, yield once", "ns/child", Entrants::Runtimes => ScopeYields;
    "groups/scope of 1000 boxed, yield once", "ns/child", Entrants::Runtimes => ScopeBoxed;
    "groups/unordered 1000, ready", "ns/child", Entrants::Runtimes => UnorderedReady;
    "groups/unordered 1000, yield once", "ns/child", Entrants::Runtimes => UnorderedYields;
    "groups/unordered 1000 boxed, yield once", "ns/child", Entrants::Runtimes => UnorderedBoxed;
}

const CHILDREN: u64 = 1_000;

/// Of the numbers that the children yield.
const SUM: u64 = CHILDREN * (CHILDREN - 1) / 2;

/// Tasks that are ready at once, spawned into a group, which is awaited: tulipa's `task_group`; elsewhere what
/// "join set" shows for tulipa too.
struct GroupReady;

impl Operation for GroupReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = R::group((0..CHILDREN).map(|number| async move { number })).await;
            assert_eq!(sum, SUM);
        }
    }
}

/// The same with tasks that yield once.
struct GroupYields;

impl Operation for GroupYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = R::group((0..CHILDREN).map(yield_once::<R>)).await;
            assert_eq!(sum, SUM);
        }
    }
}

/// Tasks that are ready at once, spawned into a set, which yields their values as they end: the `JoinSet` of
/// tulipa and tokio; elsewhere a `FuturesUnordered` of join handles.
struct JoinSetReady;

impl Operation for JoinSetReady {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = R::join_set((0..CHILDREN).map(|number| async move { number })).await;
            assert_eq!(sum, SUM);
        }
    }
}

/// The same with tasks that yield once.
struct JoinSetYields;

impl Operation for JoinSetYields {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let sum = R::join_set((0..CHILDREN).map(yield_once::<R>)).await;
            assert_eq!(sum, SUM);
        }
    }
}

/// Tasks that yield once, whose values come in order: tulipa's `gather`; elsewhere a `join_all` of join handles.
struct Gather;

impl Operation for Gather {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for _ in 0..count / CHILDREN {
            let values = R::gather((0..CHILDREN).map(yield_once::<R>)).await;
            assert_eq!(values.iter().sum::<u64>(), SUM);
        }
    }
}

async fn yield_once<R: Runtime>(number: u64) -> u64 {
    R::yield_now().await;
    number
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
