//! What both forms of tokio share beside the echo server: sets of tasks, their end, task-locals.

use std::future::Future;

use tokio::task::{JoinHandle, JoinSet};

use super::Joined;

tokio::task_local! {
    /// Not inherited by spawned tasks.
    pub(super) static VALUE: u64;
}

pub(super) async fn join_set<F>(futures: impl Iterator<Item = F>) -> u64
where
    F: Future<Output = u64> + 'static,
{
    let mut tasks = JoinSet::new();
    for future in futures {
        tasks.spawn_local(future);
    }
    let mut sum = 0;
    while let Some(ended) = tasks.join_next().await {
        sum += ended.expect("benchmark tasks neither panic nor are cancelled");
    }
    sum
}

pub(super) async fn cancel_all(tasks: Vec<Joined<JoinHandle<()>>>) {
    for task in &tasks {
        task.0.abort();
    }
    for task in tasks {
        assert!(task.0.await.is_err_and(|error| error.is_cancelled()));
    }
}
