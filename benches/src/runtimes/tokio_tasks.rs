//! What both forms of tokio share beside the echo server: groups of tasks, their end, task-locals.

use std::future::Future;

use tokio::task::{JoinHandle, JoinSet};

use super::Joined;

tokio::task_local! {
    /// Not inherited by spawned tasks.
    pub(super) static VALUE: u64;
}

pub(super) async fn group<F>(futures: impl Iterator<Item = F>)
where
    F: Future<Output = ()> + 'static,
{
    let mut tasks = JoinSet::new();
    for future in futures {
        tasks.spawn_local(future);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("benchmark tasks neither panic nor are cancelled");
    }
}

pub(super) async fn cancel_all(tasks: Vec<Joined<JoinHandle<()>>>) {
    for task in &tasks {
        task.0.abort();
    }
    for task in tasks {
        assert!(task.0.await.is_err_and(|error| error.is_cancelled()));
    }
}
