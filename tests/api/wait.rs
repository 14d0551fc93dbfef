//! `wait`: until all, the first, or the first failure of some tasks. (asyncio parity 6; traps, 12)

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Drops, paused, poll_once, turns};
use tulipa::task::{JoinHandle, WaitFor, wait};
use tulipa::time::Instant;

const MS: Duration = Duration::from_millis(1);

fn after(delay: u32) -> JoinHandle<u32> {
    tulipa::spawn(async move {
        tulipa::sleep(delay * MS).await;
        delay
    })
}

fn ids<T>(handles: &[JoinHandle<T>]) -> Vec<u64> {
    handles.iter().map(|handle| handle.id().as_u64()).collect()
}

// §6 wait(): a task that finished but whose callback is still queued counts as done. (test)
#[test]
fn done_is_decided_by_the_state_at_the_end_of_the_wait() {
    paused(async {
        // Both end in the same turn; the end of the first is what ends the wait.
        let tasks = [after(5), after(5), after(6)];
        let (done, pending) = wait(tasks, WaitFor::FirstCompleted, None).await;
        assert_eq!((done.len(), pending.len()), (2, 1));

        // Together with the deadline: done if it has ended when the deadline is noticed.
        let tasks = [after(7)];
        turns(2).await; // Its timer is set first.
        let (done, _) = wait(tasks, WaitFor::All, Some(7 * MS)).await;
        assert_eq!(done.len(), 1);
        let tasks = [after(7)];
        let (done, _) = wait(tasks, WaitFor::All, Some(7 * MS)).await;
        assert_eq!(done.len(), 0);
    });
}

// §6 wait(): never raises on timeout, never cancels.
#[test]
fn a_timeout_is_no_error_and_ends_no_task() {
    paused(async {
        for until in [WaitFor::All, WaitFor::FirstCompleted, WaitFor::FirstPanic] {
            let start = Instant::now();
            let tasks = [after(10), after(20)];
            let (done, pending) = wait(tasks, until, Some(5 * MS)).await;
            assert_eq!((done.len(), pending.len()), (0, 2), "{until:?}");
            assert_eq!(start.elapsed(), 5 * MS);
            for (handle, delay) in pending.into_iter().zip([10, 20]) {
                assert_eq!(handle.await.unwrap(), delay);
            }
        }
        let (done, pending) = wait([after(1)], WaitFor::All, Some(Duration::ZERO)).await;
        assert_eq!((done.len(), pending.len()), (0, 1));
        let (done, pending) = wait([after(1)], WaitFor::All, Some(Duration::MAX)).await;
        assert_eq!((done.len(), pending.len()), (1, 0));
    });
}

// §6 wait(): FIRST_EXCEPTION ignores cancelled ones.
#[test]
fn first_error_means_a_panic_or_an_err_and_never_a_cancellation() {
    paused(async {
        fn tasks(error_after: u32) -> Vec<JoinHandle<Result<(), &'static str>>> {
            let cancelled = tulipa::spawn(pending());
            cancelled.abort();
            let error = tulipa::spawn(async move {
                tulipa::sleep(error_after * MS).await;
                Err("error")
            });
            let ok = tulipa::spawn(async {
                tulipa::sleep(5 * MS).await;
                Ok(())
            });
            vec![cancelled, ok, error, tulipa::spawn(pending())]
        }
        for error_after in [3, 7] {
            let until = WaitFor::FirstError(Result::is_err);
            let start = Instant::now();
            let (mut done, pending) = wait(tasks(error_after), until, None).await;
            assert_eq!(start.elapsed(), error_after * MS);
            let is_late = error_after > 5;
            assert_eq!(done.len(), 2 + usize::from(is_late));
            assert_eq!(pending.len(), 4 - done.len());
            assert_eq!(
                done.pop().unwrap().await.unwrap(),
                Err("error"),
                "it was only looked at"
            );
        }
        // It had failed before.
        let mut failed = tasks(0);
        tulipa::sleep(MS).await;
        let (done, _) = wait(&mut failed, WaitFor::FirstError(Result::is_err), None).await;
        assert_eq!(done.len(), 2);

        // An `Err` is a value unless one says so; a panic never is.
        let (done, rest) = wait(tasks(1), WaitFor::FirstPanic, Some(9 * MS)).await;
        assert_eq!((done.len(), rest.len()), (3, 1));
        for until in [WaitFor::FirstPanic, WaitFor::FirstError(|()| false)] {
            let panics = tulipa::spawn(async { panic!("oh") });
            let (done, _) = wait([tulipa::spawn(pending()), panics], until, None).await;
            assert!(
                done.into_iter()
                    .next()
                    .unwrap()
                    .await
                    .unwrap_err()
                    .is_panic()
            );
        }
        // Without a failure, it ends with all.
        let (done, _) = wait([after(1), after(2)], WaitFor::FirstPanic, None).await;
        assert_eq!(done.len(), 2);
    });
}

// §6 wait(): cancelling wait leaves the tasks running.
#[test]
fn a_wait_that_is_dropped_leaves_tasks_and_borrowed_handles() {
    paused(async {
        for until in [WaitFor::All, WaitFor::FirstCompleted] {
            let mut tasks = vec![after(10), after(20)];
            let waited = tulipa::timeout(5 * MS, wait(&mut tasks, until, None)).await;
            assert!(waited.is_err());
            assert_eq!(tasks.len(), 2);
            let (done, pending) = wait(&mut tasks, until, None).await;
            assert!(tasks.is_empty());
            assert_eq!(done.len() + pending.len(), 2);
            for handle in done.into_iter().chain(pending) {
                handle.await.unwrap();
            }

            let ended = Rc::new(Cell::new(false));
            let flag = ended.clone();
            let task = tulipa::spawn(async move {
                tulipa::sleep(10 * MS).await;
                flag.set(true);
            });
            let until = WaitFor::FirstCompleted;
            assert!(
                tulipa::timeout(5 * MS, wait([task], until, None))
                    .await
                    .is_err()
            );
            tulipa::sleep(10 * MS).await;
            assert!(ended.get());
        }
    });
}

// §6 wait(): keeps order. (ours)
#[test]
fn both_lists_keep_the_order_of_the_handles() {
    paused(async {
        let tasks: Vec<_> = (0..100u32).map(|n| after(n * 7_919 % 100)).collect();
        let all = ids(&tasks);
        let (done, pending) = wait(tasks, WaitFor::All, Some(50 * MS + MS / 2)).await;
        assert_eq!((done.len(), pending.len()), (51, 49));
        let is_done = |number: usize| number * 7_919 % 100 <= 50;
        let select = |is_wanted: bool| -> Vec<u64> {
            let numbers = (0..100).filter(|&number| is_done(number) == is_wanted);
            numbers.map(|number| all[number]).collect()
        };
        assert_eq!(ids(&done), select(true));
        assert_eq!(ids(&pending), select(false));
    });
}

// §6 wait(): empty is ValueError.
#[test]
#[should_panic = "wait for no tasks"]
fn a_wait_for_nobody_panics() {
    drop(wait(Vec::<JoinHandle<()>>::new(), WaitFor::All, None));
}

#[test]
fn finished_tasks_are_not_waited_for() {
    tulipa::run(async {
        let tasks = [tulipa::spawn(async { 1 }), tulipa::spawn(async { 2 })];
        turns(2).await;
        for until in [WaitFor::All, WaitFor::FirstCompleted] {
            let mut tasks = vec![tulipa::spawn(async {}), tulipa::spawn(async {})];
            turns(2).await;
            let mut waiting = Box::pin(wait(&mut tasks, until, None));
            assert!(poll_once(&mut waiting).await.is_ready());
        }
        let (done, _) = wait(tasks, WaitFor::All, None).await;
        assert_eq!(done.len(), 2);
    });
}

#[test]
fn handles_that_were_waited_for_wake_their_next_waiter() {
    paused(async {
        let drops = Drops::default();
        let witness = drops.witness();
        let mut tasks = vec![after(3), after(8)];
        tasks.push(tulipa::spawn(async move {
            let _witness = witness;
            pending().await
        }));
        let (_, pending) = wait(tasks, WaitFor::FirstCompleted, None).await;
        let (done, pending) = wait(pending, WaitFor::FirstCompleted, None).await;
        assert_eq!(done.into_iter().next().unwrap().await.unwrap(), 8);
        assert_eq!(drops.count(), 0);
        for handle in pending {
            handle.abort();
            let (done, _) = wait([handle], WaitFor::All, None).await;
            assert!(
                done.into_iter()
                    .next()
                    .unwrap()
                    .await
                    .unwrap_err()
                    .is_cancelled()
            );
        }
    });
}
