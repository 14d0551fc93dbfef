//! Task groups: who is waited for, who is cancelled, and what the result holds.
//!
//! The numbers in comments are sections of the specification that the project is built to.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use tulipa::cancel::{CancelReason, catch_cancel};
use tulipa::task::{GroupError, TaskGroup};
use tulipa::{finally, sleep, spawn, task, task_group, timeout, yield_now};

use crate::support::{Drops, Trace};

const MS: Duration = Duration::from_millis(1);

type Result<T = (), E = &'static str> = std::result::Result<T, E>;

/// The errors of a group, in order.
fn errors<E: Copy>(error: &GroupError<E>) -> Vec<E> {
    error
        .failures()
        .iter()
        .filter_map(|it| it.error().copied())
        .collect()
}

/// §6 TaskGroup: waits for all children at exit, and yields the body's value.
#[tulipa::test(start_paused = true)]
async fn a_group_waits_for_its_children() {
    let log = Trace::default();
    let value = task_group(async |group| {
        for ms in [3, 1, 2] {
            let log = log.clone();
            group.spawn(async move {
                sleep(MS * ms).await;
                log.add(ms.to_string());
                Ok::<_, &str>(())
            });
        }
        log.add("body");
        Ok("value")
    })
    .await;
    assert_eq!(value.unwrap(), "value");
    assert_eq!(log.take(), ["body", "1", "2", "3"]);
}

/// §6 TaskGroup (test): a child may add siblings while the group is exiting, as long as one is alive.
#[tulipa::test(start_paused = true)]
async fn a_child_may_add_siblings_while_the_group_waits() {
    let count = Rc::new(Cell::new(0));
    fn add(group: TaskGroup<&'static str>, count: Rc<Cell<u32>>) {
        let inner = group.clone();
        group.spawn(async move {
            sleep(MS).await;
            count.set(count.get() + 1);
            if count.get() < 5 {
                add(inner, count);
            }
            Ok(())
        });
    }
    let result = task_group(async |group| {
        add(group, count.clone());
        Ok(())
    })
    .await;
    result.unwrap();
    assert_eq!(count.get(), 5);
}

/// §6 TaskGroup: the first failure cancels the others and the body; all errors are in the result.
#[tulipa::test(start_paused = true)]
async fn the_first_failure_ends_everyone_and_every_error_is_kept() {
    let log = Trace::default();
    let result: std::result::Result<(), _> = task_group(async |group| {
        for name in ["one", "two"] {
            let log = log.clone();
            group.spawn(async move {
                let caught = catch_cancel(pending::<Result>()).await;
                log.add(name);
                assert_eq!(*caught.unwrap_err().reason(), CancelReason::Group);
                sleep(MS).await;
                Err::<(), _>(name)
            });
        }
        group.spawn(async {
            sleep(MS).await;
            Err::<(), _>("first")
        });
        finally(pending::<Result>(), async { log.add("body") }).await
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!(errors(&error), ["first", "one", "two"]);
    assert_eq!(log.take(), ["one", "two", "body"]);
    let first = error.first().unwrap();
    assert!(first.spawned_at().unwrap().file().ends_with("groups.rs"));
}

/// §6 TaskGroup: the body's own error counts, and cancels the children.
#[tulipa::test]
async fn an_error_of_the_body_ends_the_children() {
    let drops = Drops::default();
    let result: std::result::Result<(), _> = task_group(async |group| {
        let witness = drops.witness();
        group.spawn(async move {
            let _witness = witness;
            pending::<Result>().await
        });
        yield_now().await;
        Err("body")
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!(errors(&error), ["body"]);
    assert!(error.first().unwrap().id().is_none());
    assert_eq!(drops.count(), 1);
}

/// §6 TaskGroup: a panic is a failure like any other, with its place.
#[tulipa::test]
async fn a_panic_is_a_failure_with_its_place() {
    let result: std::result::Result<(), _> = task_group(async |group| {
        group.spawn_named("worker", async {
            if true {
                panic!("oh no");
            }
            Ok::<(), &str>(())
        });
        pending().await
    })
    .await;
    let error = result.unwrap_err();
    let failure = error.first().unwrap();
    assert_eq!(failure.panic_message(), Some("oh no"));
    assert_eq!(failure.name(), Some("worker"));
    let text = error.to_string();
    assert!(
        text.contains("'worker' spawned at") && text.ends_with("panicked: oh no"),
        "{text}"
    );
}

/// §6 TaskGroup (obs): a child cancelled on its own is not an error.
#[tulipa::test]
async fn a_child_that_is_cancelled_by_itself_is_no_failure() {
    let result = task_group(async |group| {
        let one = group.spawn(pending::<Result>());
        let two = group.spawn(async { Ok(2) });
        yield_now().await;
        one.cancel_with("not needed");
        let error = one.await.unwrap_err();
        assert_eq!(error.reason(), Some(&"not needed".into()));
        Ok(two.await.unwrap())
    })
    .await;
    assert_eq!(result.unwrap(), 2);
}

/// §6 TaskGroup: whoever awaits a child that failed is told that the group has the error.
#[tulipa::test]
async fn the_handle_of_a_failed_child_says_so() {
    let told = Rc::new(RefCell::new(None));
    let result: std::result::Result<(), _> = task_group(async |group| {
        let child = group.spawn(async { Err::<(), _>("no") });
        let told = told.clone();
        let _ = catch_cancel(pending::<()>()).await;
        *told.borrow_mut() = Some(child.await);
        Ok(())
    })
    .await;
    assert_eq!(errors(&result.unwrap_err()), ["no"]);
    assert!(told.take().unwrap().unwrap_err().is_failed());
}

/// §6 TaskGroup vs outer cancel: body first, then the children; all awaited; then the request goes on.
#[tulipa::test(start_paused = true)]
async fn a_request_from_outside_ends_everyone_and_goes_on() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let _: std::result::Result<(), GroupError<()>> = task_group(async |group| {
                for ms in [2, 1] {
                    let log = log.clone();
                    group.spawn(finally(pending::<Result<(), ()>>(), async move {
                        log.add(format!("child {ms} begins"));
                        sleep(MS * ms).await;
                        log.add(format!("child {ms} ends"));
                    }));
                }
                finally(pending(), async {
                    log.add("body begins");
                    sleep(MS).await;
                    log.add("body ends");
                })
                .await
            })
            .await;
            log.add("never");
        }
    });
    sleep(MS).await;
    task.cancel();
    let cancelling = task.task();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(cancelling.cancelling(), 1);
    assert_eq!(
        log.take(),
        [
            "body begins",
            "body ends",
            "child 2 begins",
            "child 1 begins",
            "child 1 ends",
            "child 2 ends"
        ]
    );
}

/// §6 TaskGroup vs outer cancel (obs): errors beat the request, which arrives at the next await, count unchanged.
#[tulipa::test(start_paused = true)]
async fn errors_go_before_a_request_from_outside_which_arrives_at_the_next_await() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let result: std::result::Result<(), _> = task_group(async |group| {
                group.spawn(async {
                    let _ = catch_cancel(pending::<()>()).await;
                    Err::<(), _>("while cleaning up")
                });
                pending().await
            })
            .await;
            assert_eq!(errors(&result.unwrap_err()), ["while cleaning up"]);
            log.add(format!("count {}", task::current().cancelling()));
            let caught = catch_cancel(sleep(MS)).await;
            log.add(if caught.is_err() { "again" } else { "lost" });
            caught.unwrap_err().resume::<()>().await;
        }
    });
    yield_now().await;
    yield_now().await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["count 1", "again"]);
}

/// §6 TaskGroup vs outer cancel: after a pure child failure nobody is cancelled any more (count 0).
#[tulipa::test]
async fn a_failure_inside_leaves_no_request_behind() {
    let task = spawn(async {
        let result: Result<(), _> = task_group(async |group| {
            group.spawn(async { Err::<(), _>("no") });
            pending::<Result>().await
        })
        .await
        .map_err(|error| errors(&error)[0]);
        yield_now().await;
        (result, task::current().cancelling())
    });
    assert_eq!(task.await.unwrap(), (Err("no"), 0));
}

/// §6 TaskGroup.cancel() [3.15]: early exit without an error; idempotent; callable after the end.
#[tulipa::test]
async fn a_cancelled_group_ends_early_without_an_error() {
    let handle = Rc::new(RefCell::new(None));
    let result: std::result::Result<(), GroupError<()>> = task_group(async |group| {
        *handle.borrow_mut() = Some(group.clone());
        group.spawn(pending::<Result<(), ()>>());
        group.cancel();
        group.cancel();
        assert!(group.is_closed());
        pending().await
    })
    .await;
    assert!(result.unwrap_err().is_cancelled());
    handle.take().unwrap().cancel();

    let value: std::result::Result<_, GroupError<()>> = task_group(async |group| {
        group.spawn(pending::<Result<(), ()>>());
        group.cancel();
        Ok(5)
    })
    .await;
    assert_eq!(value.unwrap(), 5);
}

/// §6 TaskGroup.cancel() (TRAP): it does not swallow a request or a timeout from outside.
#[tulipa::test(start_paused = true)]
async fn a_cancelled_group_does_not_swallow_a_request_from_outside() {
    let slow = || {
        task_group(async |group: TaskGroup<()>| {
            group.spawn(finally(pending::<Result<(), ()>>(), sleep(MS * 20)));
            yield_now().await;
            group.cancel();
            pending::<std::result::Result<(), ()>>().await
        })
    };
    assert!(timeout(MS, slow()).await.is_err());

    let task = spawn(async move {
        let _ = slow().await;
        yield_now().await;
        unreachable!("the request was swallowed");
    });
    sleep(MS).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// §6 TaskGroup: what is spawned while the group ends never runs; after the end it is refused.
#[tulipa::test]
async fn a_group_that_ends_runs_nothing_new() {
    let ran = Rc::new(Cell::new(false));
    let kept = Rc::new(RefCell::new(None));
    let result: std::result::Result<(), _> = task_group(async |group| {
        *kept.borrow_mut() = Some(group.clone());
        let ran = ran.clone();
        let inner = group.clone();
        group.spawn(async move {
            let _ = catch_cancel(pending::<()>()).await;
            assert!(inner.try_spawn(async { Ok(()) }).is_err());
            let late = inner.spawn(async move {
                ran.set(true);
                Ok(())
            });
            assert!(late.await.unwrap_err().is_cancelled());
            Ok(())
        });
        yield_now().await;
        Err("no")
    })
    .await;
    assert_eq!(errors(&result.unwrap_err()), ["no"]);
    assert!(!ran.get());
    let group = kept.take().unwrap();
    assert!(group.try_spawn(async { Ok(()) }).is_err());
    let misuse = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(group.spawn(async { Ok(()) }));
    }));
    let message = *misuse.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("has ended") && message.contains("try_spawn"));
}

/// §6 nested groups: a failure deep inside ends both, the outer one with the inner one's error.
#[tulipa::test]
async fn nested_groups_that_fail_both_end() {
    let result: std::result::Result<(), _> = task_group(async |outer| {
        outer.spawn(async {
            let inner: std::result::Result<(), _> = task_group(async |inner| {
                inner.spawn(async { Err::<(), _>("inner") });
                pending::<Result>().await
            })
            .await;
            inner.map_err(|error| errors(&error)[0])
        });
        outer.spawn(async {
            let _ = catch_cancel(pending::<()>()).await;
            Err::<(), _>("sibling")
        });
        pending().await
    })
    .await;
    assert_eq!(errors(&result.unwrap_err()), ["inner", "sibling"]);
}

/// §7 a second request is handed on to the children, and interrupts what hangs.
#[tulipa::test]
async fn a_second_request_reaches_children_whose_clean_up_hangs() {
    let task = spawn(async {
        let _: std::result::Result<(), GroupError<()>> = task_group(async |group| {
            group.spawn(finally(pending::<Result<(), ()>>(), pending()));
            pending().await
        })
        .await;
    });
    yield_now().await;
    yield_now().await;
    task.cancel();
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(!task.is_finished());
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// A group that is dropped aborts its children.
#[tulipa::test]
async fn a_dropped_group_aborts_its_children() {
    let drops = Drops::default();
    let witness = drops.witness();
    let group = task_group(async |group: TaskGroup<()>| {
        group.spawn(async move {
            let _witness = witness;
            pending::<Result<(), ()>>().await
        });
        pending::<std::result::Result<(), ()>>().await
    });
    let task = spawn(async { drop(group.await) });
    yield_now().await;
    yield_now().await;
    task.abort();
    assert!(task.await.is_err());
    yield_now().await;
    assert_eq!(drops.count(), 1);
}

/// At most so many run at a time, in the order of their spawns, also when some in the line are cancelled.
#[tulipa::test(start_paused = true)]
async fn a_limit_bounds_how_many_children_run() {
    let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let log = Trace::default();
    let result = task_group(async |group| {
        group.limit(3);
        let mut children = Vec::new();
        for n in 0..10 {
            let (running, most, log) = (running.clone(), most.clone(), log.clone());
            children.push(group.spawn(async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                log.add(n.to_string());
                sleep(MS).await;
                running.set(running.get() - 1);
                Ok::<_, ()>(())
            }));
        }
        yield_now().await;
        children[5].cancel();
        children[3].abort();
        Ok(())
    })
    .await;
    result.unwrap();
    assert_eq!(most.get(), 3);
    assert_eq!(log.take(), ["0", "1", "2", "4", "6", "7", "8", "9"]);
}
