//! Scopes: children that borrow, and what becomes of them when the scope is dropped, leaked or cancelled.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tulipa::{finally, scope, sleep, spawn, task, timeout, try_scope, yield_now};

use crate::support::{Drops, Trace};

const MS: Duration = Duration::from_millis(1);

#[tulipa::test(start_paused = true)]
async fn children_borrow_from_the_caller_and_are_waited_for() {
    let numbers = [3_u32, 1, 2];
    let mut sums = [0; 3];
    let total = Cell::new(0);
    let value = scope(async |scope| {
        for (number, sum) in numbers.iter().zip(&mut sums) {
            let total = &total;
            scope.spawn(async move {
                sleep(MS * *number).await;
                *sum = *number * 10;
                total.set(total.get() + *number);
            });
        }
        "body"
    })
    .await;
    assert_eq!(value, "body");
    assert_eq!((sums, total.get()), ([30, 10, 20], 6));
}

#[tulipa::test]
async fn a_childs_value_may_borrow_too() {
    let words = [String::from("one"), String::from("three")];
    let longest = scope(async |scope| {
        let children: Vec<_> = words
            .iter()
            .map(|word| scope.spawn(async move { word.as_str() }))
            .collect();
        let mut longest = "";
        for child in children {
            let word = child.await.unwrap();
            if word.len() > longest.len() {
                longest = word;
            }
        }
        longest
    })
    .await;
    assert_eq!(longest, "three");
}

#[tulipa::test]
async fn children_spawn_siblings_and_have_identities() {
    let ids = RefCell::new(Vec::new());
    let ids_in = &ids;
    scope(async |scope| {
        let inner = scope.clone();
        scope.spawn_named("first", async move {
            let me = task::current();
            assert_eq!(me.name().as_deref(), Some("first"));
            ids_in.borrow_mut().push(me.id());
            inner.spawn(async move {
                let me = task::current();
                ids_in.borrow_mut().push(me.id());
                assert_eq!(me.parent(), Some(ids_in.borrow()[0]));
            });
        });
        ids_in.borrow_mut().push(task::id());
        ids_in.borrow_mut().clear();
    })
    .await;
    let ids = ids.into_inner();
    assert_eq!(ids.len(), 2);
    assert!(ids[0] < ids[1] && !ids.contains(&task::id()));
}

/// Only the children that were woken are polled.
#[tulipa::test]
async fn only_woken_children_are_polled() {
    let polls = [const { Cell::new(0) }; 100];
    let wakers = RefCell::new(Vec::new());
    scope(async |scope| {
        for count in &polls {
            let wakers = &wakers;
            scope.spawn(async move {
                let mut is_done = false;
                poll_fn(|cx| {
                    count.set(count.get() + 1);
                    if std::mem::replace(&mut is_done, true) {
                        return Poll::Ready(());
                    }
                    wakers.borrow_mut().push(cx.waker().clone());
                    Poll::Pending
                })
                .await;
            });
        }
        yield_now().await;
        yield_now().await;
        for waker in wakers.take() {
            waker.wake();
            yield_now().await;
        }
    })
    .await;
    assert!(polls.iter().all(|count| count.get() == 2));
}

/// The first failure cancels the others, which may clean up; every error is kept.
#[tulipa::test(start_paused = true)]
async fn a_failure_ends_the_other_children() {
    let log = Trace::default();
    let result = try_scope(async |scope| {
        let log = &log;
        scope.spawn(async {
            finally(pending::<()>(), async {
                sleep(MS).await;
                log.add("cleaned up");
            })
            .await;
            Ok(())
        });
        scope.spawn(async {
            yield_now().await;
            Err::<(), _>("no")
        });
        pending::<Result<(), &str>>().await
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!(error.failures().len(), 1);
    assert_eq!(error.first().unwrap().error(), Some(&"no"));
    assert_eq!(log.take(), ["cleaned up"]);
}

#[tulipa::test]
async fn a_panic_in_a_child_is_the_scopes_after_the_others_have_ended() {
    let drops = Drops::default();
    let witness = drops.witness();
    let task = spawn(async move {
        scope(async |scope| {
            scope.spawn(async {
                let _witness = &witness;
                pending::<()>().await;
            });
            scope.spawn(async { panic!("oh no") });
            pending::<()>().await;
        })
        .await;
    });
    assert_eq!(task.await.unwrap_err().panic_message(), Some("oh no"));
    assert_eq!(drops.count(), 1);
}

/// A request from outside: body, then children, all awaited; then it goes on.
#[tulipa::test(start_paused = true)]
async fn a_cancelled_scope_awaits_the_clean_up_of_its_children() {
    let log = Trace::default();
    let elapsed = timeout(
        MS,
        scope(async |scope| {
            let log = &log;
            scope.spawn(finally(pending::<()>(), async {
                sleep(MS * 5).await;
                log.add("child");
            }));
            finally(pending::<()>(), async { log.add("body") }).await;
        }),
    )
    .await;
    assert!(elapsed.is_err());
    assert_eq!(log.take(), ["body", "child"]);
}

/// Dropping a scope at any point drops its children at once.
#[tulipa::test]
async fn a_dropped_scope_drops_its_children() {
    for polls in 0..4 {
        let drops = Drops::default();
        let value = Cell::new(0);
        {
            let mut future = Box::pin(scope(async |scope| {
                for _ in 0..3 {
                    let (witness, value) = (drops.witness(), &value);
                    scope.spawn(async move {
                        let _witness = witness;
                        value.set(value.get() + 1);
                        yield_now().await;
                        value.set(value.get() + 1);
                        pending::<()>().await;
                    });
                }
                pending::<()>().await;
            }));
            for _ in 0..polls {
                assert!(poll_once(future.as_mut()).await.is_pending());
            }
            drop(future);
        }
        let spawned = if polls == 0 { 0 } else { 3 };
        assert_eq!(drops.count(), spawned);
        assert_eq!(value.get(), spawned * polls.min(2));
        yield_now().await;
        assert_eq!(value.get(), spawned * polls.min(2));
    }
}

/// Leaking a scope at any point is sound: nothing polls or drops the children any more, also not when wakers
/// that they left are woken, when their tasks are aborted, or when the loop closes.
#[test]
fn a_leaked_scope_never_runs_its_children_again() {
    for polls in 0..4 {
        let drops = Drops::default();
        let wakers = RefCell::new(Vec::<Waker>::new());
        let tasks = RefCell::new(Vec::new());
        let after = Cell::new(0);
        tulipa::run(async {
            let mut future = Box::pin(scope(async |scope| {
                let (wakers, tasks, after) = (&wakers, &tasks, &after);
                let witness = drops.witness();
                let child = scope.spawn(async move {
                    let _witness = witness;
                    loop {
                        after.set(after.get() + 1);
                        let mut is_woken = false;
                        poll_fn(|cx| {
                            wakers.borrow_mut().push(cx.waker().clone());
                            if std::mem::replace(&mut is_woken, true) {
                                return Poll::Ready(());
                            }
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        })
                        .await;
                    }
                });
                tasks.borrow_mut().push(child.task());
                pending::<()>().await;
            }));
            for _ in 0..polls {
                assert!(poll_once(future.as_mut()).await.is_pending());
            }
            std::mem::forget(future);
            let seen = after.get();
            for waker in wakers.take() {
                waker.wake();
            }
            for task in tasks.take() {
                task.cancel();
                task.abort();
            }
            for _ in 0..5 {
                yield_now().await;
            }
            assert_eq!(after.get(), seen);
        });
        assert_eq!(drops.count(), 0);
    }
}

/// A handle of the scope that escaped says clearly that the scope has ended.
#[tulipa::test]
async fn a_scope_refuses_children_after_its_end() {
    let escaped = RefCell::new(None);
    scope(async |scope| *escaped.borrow_mut() = Some(scope)).await;
    let scope = escaped.take().unwrap();
    let misuse = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(scope.spawn(async {}));
    }));
    let message = *misuse.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("this scope has ended"), "{message}");
}

/// Children that are woken by each other, by timers and from the body, in the order of the wakes.
#[tulipa::test(start_paused = true)]
async fn children_run_in_the_order_of_their_wakes() {
    let log = Trace::default();
    scope(async |scope| {
        let log = &log;
        for ms in [2, 1, 3] {
            scope.spawn(async move {
                log.add(format!("start {ms}"));
                sleep(MS * ms).await;
                log.add(format!("end {ms}"));
            });
        }
        log.add("body");
    })
    .await;
    assert_eq!(
        log.take(),
        [
            "body", "start 2", "start 1", "start 3", "end 1", "end 2", "end 3"
        ]
    );
}

/// Scopes nest, and a child may await another one's handle.
#[tulipa::test]
async fn scopes_nest() {
    let base = 10;
    let value = scope(async |outer| {
        let inner = outer.spawn(async {
            scope(async |inner| {
                let one = inner.spawn(async { base + 1 });
                let two = inner.spawn(async move { one.await.unwrap() + 1 });
                two.await.unwrap()
            })
            .await
        });
        inner.await.unwrap()
    })
    .await;
    assert_eq!(value, 12);
}

/// A scope works in a future that another executor polls inside of the task, with wakers of its own.
#[tulipa::test]
async fn a_scope_below_a_foreign_waker_makes_progress() {
    use futures_lite::future::or;
    let value = or(
        async {
            scope(async |scope| {
                let child = scope.spawn(async {
                    yield_now().await;
                    7
                });
                child.await.unwrap()
            })
            .await
        },
        pending(),
    )
    .await;
    assert_eq!(value, 7);
}

#[tulipa::test]
async fn many_children_end() {
    let count = Rc::new(Cell::new(0));
    scope(async |scope| {
        scope.limit(10);
        for _ in 0..1000 {
            let count = &count;
            scope.spawn(async move {
                yield_now().await;
                count.set(count.get() + 1);
            });
        }
        assert_eq!(scope.len(), 1000);
    })
    .await;
    assert_eq!(count.get(), 1000);
}

/// Polls a future once, with the task's waker.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    let mut once = pin!(poll_fn(|cx: &mut Context<'_>| Poll::Ready(
        future.as_mut().poll(cx)
    )));
    once.as_mut().await
}
