//! Context variables: values that follow a task. tokio's task-locals are the nearest; they are not inherited.

use std::hint::black_box;

use super::Entrants;
use super::operation::{Batch, Operation, operation_cases};
use crate::runtimes::Runtime;

operation_cases! {
    "context/get", "ns/get", Entrants::OursAnd(TOKIO) => Get;
    "context/spawn+join with a context", "ns/task", Entrants::Ours => SpawnAndJoin;
}

const TOKIO: &[&str] = &["tokio-localset", "tokio-local"];

/// A task reads a value of its context.
struct Get;

impl Operation for Get {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let reads = async {
            for _ in 0..count {
                assert_eq!(black_box(R::context()), 7);
            }
        };
        R::with_context(7, reads).await;
    }
}

/// `tasks/spawn+join one` in a context with one value, which the task inherits.
struct SpawnAndJoin;

impl Operation for SpawnAndJoin {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let spawns = async {
            for number in 0..count {
                assert_eq!(R::spawn(async move { number }).await, number);
            }
        };
        R::with_context(7, spawns).await;
    }
}
