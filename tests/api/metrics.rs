//! Numbers about a loop (§21, metrics).

use std::future::pending;
use std::time::Duration;

use tulipa::runtime::{Runner, metrics, try_metrics};
use tulipa::{catch_cancel, sleep, spawn, timeout, yield_now};

use crate::support::turns;

const SECOND: Duration = Duration::from_secs(1);

#[tulipa::test(start_paused = true)]
async fn tasks_timers_and_scopes_are_counted_as_they_are_now() {
    let before = metrics();
    assert_eq!((before.tasks, before.spawned, before.ready), (1, 1, 0));
    assert_eq!((before.timers, before.scopes), (0, 0));
    let tasks = [
        spawn(async { sleep(SECOND).await }),
        spawn(async { drop(timeout(SECOND, pending::<()>()).await) }),
        spawn(async { drop(catch_cancel(pending::<()>()).await) }),
    ];
    assert_eq!((metrics().ready, metrics().tasks), (3, 4));
    yield_now().await;
    let now = metrics();
    assert_eq!((now.tasks, now.spawned, now.ready), (4, 4, 0));
    assert_eq!((now.timers, now.scopes), (2, 1));
    for task in tasks {
        task.abort();
        let _ = task.await;
    }
    let after = metrics();
    assert_eq!((after.tasks, after.spawned), (1, 4));
    assert_eq!((after.timers, after.scopes), (0, 0));
}

#[tulipa::test(start_paused = true)]
async fn polls_and_turns_are_counted_up_to_the_turn_that_runs() {
    let busy = spawn(turns(10));
    let before = metrics();
    turns(5).await;
    let after = metrics();
    assert_eq!(after.turns - before.turns, 5);
    // The first of these turns was begun without the new task.
    assert_eq!(after.polls - before.polls, 1 + 4 * 2);
    busy.await.unwrap();
}

#[tulipa::test(start_paused = true)]
async fn parks_count_looks_at_the_outside_and_not_busy_turns() {
    sleep(SECOND).await;
    let before = metrics().parks;
    turns(10).await;
    assert_eq!(metrics().parks, before);
    sleep(SECOND).await;
    assert!(metrics().parks > before);
}

#[tulipa::test]
async fn wakes_from_other_threads_are_counted() {
    assert_eq!(metrics().remote_wakes, 0);
    let mut is_first = true;
    std::future::poll_fn(|cx| {
        if !is_first {
            return std::task::Poll::Ready(());
        }
        is_first = false;
        let waker = cx.waker().clone();
        std::thread::spawn(move || waker.wake());
        std::task::Poll::Pending
    })
    .await;
    assert_eq!(metrics().remote_wakes, 1);
}

#[test]
fn totals_go_on_from_one_run_to_the_next_and_outside_there_are_none() {
    assert_eq!(try_metrics(), None);
    let mut runner = Runner::new().unwrap();
    let first = runner.run(async { metrics() });
    let second = runner.run(async { metrics() });
    assert_eq!((first.spawned, second.spawned), (1, 2));
    assert!(second.turns > first.turns);
    assert_eq!(try_metrics(), None);
}

#[test]
#[should_panic(expected = "no tulipa event loop runs on this thread")]
fn outside_of_a_loop_metrics_panic_with_the_remedy() {
    metrics();
}
