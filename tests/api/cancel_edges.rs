//! Cancellation where it is used in unusual ways: futures that move, that are kept without being polled, that are
//! polled from destructors, destructors and wakers that panic, requests that meet. Each test was a bug once, or is
//! the twin of one.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tulipa::cancel::{CancelReason, CancelScope, CancelToken, Cancelled, open_nodes};
use tulipa::task::{GroupError, JoinHandle, TaskGroup};
use tulipa::{
    catch_cancel, finally, scope, sleep, spawn, task, task_group, timeout, try_scope, yield_now,
};

use crate::support::{Drops, Trace, listening_runner, turns};

const MS: Duration = Duration::from_millis(1);

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// Polls a future once, with the waker of whoever awaits this.
async fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Two futures side by side in one task.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (Box::pin(one), Box::pin(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(cx)
        {
            second = Some(value);
        }
        match (first.is_some(), second.is_some()) {
            (true, true) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

// ---- futures that move ----

/// A future is polled in one place of its task, then in another: its catch points move with it.
#[tulipa::test]
async fn a_catch_point_inside_of_one_that_moved_is_still_the_innermost() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let inside = log.clone();
            let mut moves = Box::pin(catch_cancel(async move {
                let caught = catch_cancel(pending::<()>()).await;
                inside.add("inner");
                caught.unwrap_err().resume::<()>().await;
            }));
            assert!(poll_once(&mut moves).await.is_pending());
            let caught = timeout(MS * 1000, moves).await.unwrap();
            log.add("outer");
            caught.unwrap_err().resume::<()>().await;
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["inner", "outer"]);
}

/// A request that has begun to be delivered is not lost when the future moves.
#[tulipa::test(start_paused = true)]
async fn a_clean_up_that_moves_passes_its_request_on_all_the_same() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let mut moves = Box::pin(finally(pending::<()>(), sleep(MS * 10)));
            // Polled at the root, until the clean-up runs; then below a timeout.
            poll_fn(|cx| {
                assert!(moves.as_mut().poll(cx).is_pending());
                match task::current().cancelling() {
                    0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            })
            .await;
            log.add("moves");
            let _ = timeout(MS * 1000, moves).await;
            log.add("never");
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["moves"]);
}

/// A timeout that moves while it waits for the clean-up inside still ends as elapsed.
#[tulipa::test(start_paused = true)]
async fn a_timeout_that_moves_while_it_expires_ends() {
    let mut moves = Box::pin(timeout(MS, finally(pending::<()>(), sleep(MS * 10))));
    assert!(poll_once(&mut moves).await.is_pending());
    sleep(MS * 2).await;
    assert!(poll_once(&mut moves).await.is_pending());
    assert!(timeout(MS * 1000, moves).await.unwrap().is_err());
    assert_eq!(open_nodes(), 0);
}

/// A future that is polled in one task and then in another: its request follows it.
#[tulipa::test(start_paused = true)]
async fn a_clean_up_that_moves_to_another_task_ends_that_one() {
    let moves = Rc::new(RefCell::new(Some(Box::pin(finally(
        pending::<()>(),
        sleep(MS * 10),
    )))));
    for first_ends in [false, true] {
        *moves.borrow_mut() = Some(Box::pin(finally(pending::<()>(), sleep(MS * 10))));
        let first = spawn({
            let moves = moves.clone();
            async move {
                poll_fn(|cx| {
                    let mut place = moves.borrow_mut();
                    let Some(future) = &mut *place else {
                        return Poll::Pending;
                    };
                    assert!(future.as_mut().poll(cx).is_pending());
                    if first_ends && task::current().cancelling() > 0 {
                        return Poll::Ready(());
                    }
                    Poll::Pending
                })
                .await;
            }
        });
        turns(2).await;
        let first_task = first.task();
        first.cancel();
        turns(2).await;
        assert_eq!(first_task.is_finished(), first_ends);
        let future = moves.borrow_mut().take().unwrap();
        let second = spawn(future);
        assert!(second.await.unwrap_err().is_cancelled());
        first.abort();
        let _ = first.await;
        assert_eq!(open_nodes(), 0);
    }
}

/// A request that was not delivered yet stays in the task that was asked, when the catch point moves to another.
#[tulipa::test(start_paused = true)]
async fn an_undelivered_request_stays_in_its_task() {
    let moves = Rc::new(RefCell::new(Some(Box::pin(catch_cancel(sleep(MS * 10))))));
    let first = spawn({
        let moves = moves.clone();
        poll_fn(move |cx| {
            if let Some(future) = &mut *moves.borrow_mut() {
                assert!(future.as_mut().poll(cx).is_pending());
            }
            Poll::<()>::Pending
        })
    });
    turns(2).await;
    let second = spawn(moves.borrow_mut().take().unwrap());
    let watch = spawn(async move { second.await.unwrap().is_ok() });
    first.cancel();
    assert!(first.await.unwrap_err().is_cancelled());
    assert!(watch.await.unwrap());
}

// ---- futures that are kept, and not polled ----

/// A catch point whose future is kept but not awaited any more does not hold requests up.
#[tulipa::test(start_paused = true)]
async fn a_future_that_is_not_polled_any_more_holds_nothing_up() {
    for with_handle in [false, true] {
        let task = spawn(async move {
            let mut kept: Boxed<()> = if with_handle {
                let handle = spawn(pending::<()>());
                Box::pin(async move {
                    let _ = timeout(MS * 1000, handle).await;
                })
            } else {
                Box::pin(async {
                    let _ = catch_cancel(pending::<()>()).await;
                })
            };
            assert!(poll_once(&mut kept).await.is_pending());
            yield_now().await;
            pending::<()>().await;
        });
        turns(3).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

/// A join handle that is kept but not awaited any more: the task ends all the same.
#[tulipa::test(start_paused = true)]
async fn a_handle_that_is_not_polled_any_more_does_not_swallow_a_request() {
    let task = spawn(async {
        let mut kept = spawn(pending::<()>());
        poll_fn(|cx| {
            assert!(Pin::new(&mut kept).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        pending::<()>().await;
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// The enclosing catch point is done while a future that was polled inside is kept.
#[tulipa::test(start_paused = true)]
async fn a_clean_up_that_outlives_the_catch_point_around_it_keeps_its_request() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let mut kept = Box::pin(finally(pending::<()>(), sleep(MS * 10)));
            let _ = catch_cancel(poll_fn(|cx| {
                assert!(kept.as_mut().poll(cx).is_pending());
                match task::current().cancelling() {
                    0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            }))
            .await;
            log.add("goes on");
            kept.await;
            log.add("never");
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["goes on"]);
}

// ---- requests that meet ----

/// One request is delivered to each place once, also when it comes back from a task it was forwarded to.
#[tulipa::test(start_paused = true)]
async fn a_request_that_comes_back_from_another_task_is_not_delivered_again() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let inner = spawn(finally(pending::<()>(), sleep(MS * 5)));
            let _ = both(
                inner,
                finally(pending::<()>(), async {
                    log.add("begins");
                    sleep(MS * 10).await;
                    log.add("ends");
                }),
            )
            .await;
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["begins", "ends"]);
}

/// The same when a newer request has come by in the meantime.
#[tulipa::test(start_paused = true)]
async fn an_old_request_is_not_delivered_again_after_a_newer_one() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let one = async {
                let caught = catch_cancel(pending::<()>()).await;
                sleep(MS * 20).await;
                caught.unwrap_err().resume::<()>().await;
            };
            // A group takes any number of requests, and hands each on to its children.
            let other = timeout(
                MS * 10,
                task_group(async |group: TaskGroup<()>| {
                    let log = log.clone();
                    group.spawn(async move {
                        loop {
                            let caught = catch_cancel(sleep(MS * 30)).await;
                            match caught {
                                Ok(()) => return Ok(()),
                                Err(cancelled) => log.add(cancelled.reason().to_string()),
                            }
                        }
                    });
                    pending::<Result<(), ()>>().await
                }),
            );
            let _ = both(one, other).await;
        }
    });
    turns(3).await;
    task.cancel_with("once");
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["once", "a deadline has elapsed"]);
}

/// A request does not cut short a clean-up that it has led to, when it comes by from another branch: neither what
/// follows a catch point, nor the catch points in a clean-up.
#[tulipa::test(start_paused = true)]
async fn a_request_does_not_interrupt_its_own_clean_ups() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let clean_up = async |ms: u32, name: &'static str| {
                sleep(MS * ms).await;
                // With catch points of its own.
                let caught = catch_cancel(sleep(MS * ms)).await;
                log.add(if caught.is_ok() { name } else { "cut short" });
            };
            let caught = async |ms, name| {
                let caught = catch_cancel(pending::<()>()).await;
                clean_up(ms, name).await;
                caught.unwrap_err().resume::<()>().await;
            };
            let outer = async {
                let _ = catch_cancel(caught(20, "caught")).await.inspect_err(|_| {
                    log.add("outer");
                });
                pending::<()>().await;
            };
            let finally = finally(pending::<()>(), clean_up(10, "finally"));
            both(both(outer, finally), caught(5, "first")).await;
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["first", "finally", "caught", "outer"]);
}

/// Tasks that wait for each other are ended by a request to any of them.
#[tulipa::test(start_paused = true)]
async fn a_circle_of_waiting_tasks_is_broken_by_a_request() {
    for in_a_timeout in [false, true] {
        let log = Trace::default();
        let handles: Rc<RefCell<Vec<Option<JoinHandle<()>>>>> = Rc::default();
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let (handles, log) = (handles.clone(), log.clone());
                spawn(async move {
                    let next = handles.borrow_mut()[(n + 1) % 3].take().unwrap();
                    finally(
                        async {
                            if in_a_timeout {
                                let _ = timeout(MS * 1000, next).await;
                            } else {
                                let _ = next.await;
                            }
                        },
                        async { log.add("cleaned up") },
                    )
                    .await;
                })
            })
            .collect();
        let references: Vec<_> = tasks.iter().map(JoinHandle::task).collect();
        *handles.borrow_mut() = tasks.into_iter().map(Some).collect();
        turns(3).await;
        references[0].cancel();
        turns(20).await;
        assert!(references.iter().all(|task| task.is_finished()));
        assert_eq!(log.take().len(), 3);
    }
    assert_eq!(open_nodes(), 0);
}

/// The same without any catch point.
#[tulipa::test]
async fn a_circle_of_tasks_that_only_wait_is_broken_by_a_request() {
    let handles: Rc<RefCell<Vec<Option<JoinHandle<()>>>>> = Rc::default();
    let tasks: Vec<_> = (0..2)
        .map(|n| {
            let handles = handles.clone();
            spawn(async move {
                let next = handles.borrow_mut()[(n + 1) % 2].take().unwrap();
                let _ = next.await;
            })
        })
        .collect();
    let references: Vec<_> = tasks.iter().map(JoinHandle::task).collect();
    *handles.borrow_mut() = tasks.into_iter().map(Some).collect();
    turns(3).await;
    references[1].cancel();
    turns(20).await;
    assert!(references.iter().all(|task| task.is_finished()));
}

/// A child that the body awaits is asked once when the group ends, so that its clean-up is not cut short.
#[tulipa::test(start_paused = true)]
async fn a_child_that_the_body_awaits_is_asked_once_by_its_group() {
    let log = Trace::default();
    let result: Result<(), _> = task_group(async |group| {
        let log = log.clone();
        let child = group.spawn(finally(pending::<Result<(), &str>>(), async move {
            log.add("begins");
            sleep(MS * 10).await;
            log.add(format!("ends after {}", task::current().cancelling()));
        }));
        group.spawn(async {
            sleep(MS).await;
            Err::<(), _>("no")
        });
        let _ = child.await;
        pending().await
    })
    .await;
    assert_eq!(result.unwrap_err().failures().len(), 1);
    assert_eq!(log.take(), ["begins", "ends after 1"]);
}

/// A body that awaits the child that fails is ended: the request wins over the result that is there.
#[tulipa::test(start_paused = true)]
async fn a_body_that_awaits_the_child_that_fails_is_ended() {
    let result = timeout(
        MS * 100,
        task_group(async |group: TaskGroup<&str>| {
            let child = group.spawn(async {
                yield_now().await;
                Err::<(), _>("no")
            });
            let told = child.await;
            unreachable!("{told:?}");
            #[expect(unreachable_code, reason = "says the type")]
            Ok(())
        }),
    )
    .await;
    let error: GroupError<&str> = result.unwrap().map(|(): ()| ()).unwrap_err();
    assert_eq!(error.failures().len(), 1);
    assert_eq!(error.first().unwrap().error(), Some(&"no"));
}

/// A child that is awaited, and fails while its group ends, does not keep those who await it from ending.
#[tulipa::test(start_paused = true)]
async fn who_awaits_a_child_that_fails_during_the_end_is_ended() {
    for by_the_body in [false, true] {
        let group = task_group(async |group: TaskGroup<&str>| {
            let child = group.spawn(async {
                let _ = catch_cancel(pending::<()>()).await;
                sleep(MS).await;
                Err::<(), _>("second")
            });
            group.spawn(async {
                yield_now().await;
                Err::<(), _>("first")
            });
            let waits = async {
                let told = child.await;
                unreachable!("{told:?}");
            };
            if by_the_body {
                return waits.await;
            }
            group.spawn(waits);
            pending::<Result<(), _>>().await
        });
        let error = timeout(MS * 100, group).await.unwrap().unwrap_err();
        let errors: Vec<_> = error.failures().iter().map(|it| it.error()).collect();
        assert_eq!(errors, [Some(&"first"), Some(&"second")]);
    }
}

/// A group that has passed a request on yields nothing any more, however often it is polled.
#[tulipa::test(start_paused = true)]
async fn a_group_that_has_passed_a_request_on_stays_quiet() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let group = async {
                let _ =
                    task_group(async |_: TaskGroup<()>| pending::<Result<(), ()>>().await).await;
                log.add("group yielded");
            };
            let borrows = async {
                scope(async |_| pending::<()>().await).await;
                log.add("scope yielded");
            };
            let slow = finally(pending::<()>(), async {
                sleep(MS * 5).await;
                sleep(MS * 5).await;
                log.add("cleaned up");
            });
            both(both(group, borrows), slow).await;
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["cleaned up"]);
}

/// The first request passes a clean-up by that runs because the body is complete, whatever the clean-up consists of.
#[tulipa::test(start_paused = true)]
async fn the_first_request_passes_a_clean_up_by_that_has_catch_points_of_its_own() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            finally(async {}, async {
                let log = &log;
                scope(async |scope| {
                    scope.spawn(async {
                        sleep(MS * 10).await;
                        log.add("child");
                    });
                    sleep(MS * 5).await;
                    log.add("body");
                })
                .await;
            })
            .await;
            yield_now().await;
            log.add("never");
        }
    });
    turns(3).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["body", "child"]);
}

// ---- requests that are taken back ----

/// A request that moves inwards, to what is awaited next, comes back to the catch point that it had reached.
#[tulipa::test(start_paused = true)]
async fn a_request_that_has_moved_inwards_comes_back() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let caught = catch_cancel(async {
                let shielded = CancelScope::new().shielded();
                let _ = shielded.run(sleep(MS * 10)).await;
                // The request has come here, and this is the next await.
                let _ = spawn(pending::<()>()).await;
            })
            .await;
            log.add("caught");
            caught.unwrap_err().resume::<()>().await;
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["caught"]);
}

/// What was delivered cannot be taken back: the clean-up runs, and the task ends.
#[tulipa::test(start_paused = true)]
async fn a_request_taken_back_during_the_clean_up_ends_the_task_all_the_same() {
    let finally = spawn(finally(pending::<()>(), sleep(MS * 10)));
    let group = spawn(async {
        let _ = task_group(async |group: TaskGroup<()>| {
            group.spawn(finally_then_ok());
            pending::<Result<(), ()>>().await
        })
        .await;
        unreachable!("it was cancelled");
    });
    let borrows = spawn(scope(async |scope| {
        scope.spawn(async {
            let _ = finally_then_ok().await;
        });
        pending::<()>().await;
    }));
    turns(3).await;
    for task in [finally, group, borrows] {
        task.cancel();
        turns(3).await;
        assert_eq!(task.task().uncancel(), 0);
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

async fn finally_then_ok() -> Result<(), ()> {
    finally(pending::<()>(), sleep(MS * 10)).await;
    Ok(())
}

/// The same when it came back from an awaited task, and another branch forgives it later.
#[tulipa::test(start_paused = true)]
async fn a_request_that_came_back_cannot_be_taken_back() {
    for in_a_timeout in [false, true] {
        let task = spawn(async move {
            let waits = async move {
                let handle = spawn(pending::<()>());
                if in_a_timeout {
                    let _ = timeout(MS * 1000, handle).await;
                } else {
                    let _ = handle.await;
                }
            };
            let forgives = async {
                let caught = catch_cancel(pending::<()>()).await;
                sleep(MS * 10).await;
                caught.unwrap_err().forgive();
            };
            both(waits, forgives).await;
        });
        turns(3).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

/// The same between the last catch point and the task itself.
#[tulipa::test]
async fn a_request_that_was_passed_on_cannot_be_taken_back() {
    let task = spawn(async {
        let caught = catch_cancel(pending::<()>()).await;
        caught.unwrap_err().resume::<()>().await;
    });
    let reference = task.task();
    turns(2).await;
    task.cancel();
    // Runs after the task has passed its request on, and before it ends.
    let other = spawn(async move { reference.uncancel() });
    assert_eq!(other.await.unwrap(), 0);
    assert!(task.await.unwrap_err().is_cancelled());
}

// ---- panics ----

/// A body that panics in a timeout leaves nothing behind in the tree.
#[tulipa::test]
async fn a_panic_in_a_timeout_leaves_no_scope_behind() {
    for _ in 0..3 {
        let mut future = Box::pin(timeout(
            MS,
            timeout(MS, async {
                let mut inner = Box::pin(catch_cancel(pending::<()>()));
                assert!(poll_once(&mut inner).await.is_pending());
                resume_unwind(Box::new("oh no"));
            }),
        ));
        poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
            assert!(polled.is_err());
            Poll::Ready(())
        })
        .await;
        drop(future);
        assert_eq!(open_nodes(), 0);
    }
}

/// A child whose destructor panics has ended like any other.
#[test]
fn a_group_ends_whose_childs_destructor_panics() {
    let (mut runner, heard) = listening_runner();
    let drops = Drops::default();
    runner.run(async {
        for completes in [false, true] {
            let result = task_group(async |group| {
                group.limit(1);
                let mut panics = PanicsAlways(drops.clone());
                let child = group.spawn(poll_fn(move |cx| {
                    let polled = Pin::new(&mut panics).poll(cx);
                    if completes {
                        return Poll::Ready(Ok::<_, ()>(()));
                    }
                    polled.map(Ok)
                }));
                let next = group.spawn(async { Ok(()) });
                yield_now().await;
                if !completes {
                    child.cancel();
                }
                next.await.unwrap();
                Ok(())
            })
            .await;
            result.unwrap();
        }
    });
    assert_eq!(heard.take().len(), 2);
}

struct PanicsAlways(Drops);

impl Future for PanicsAlways {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for PanicsAlways {
    fn drop(&mut self) {
        drop(self.0.witness());
        resume_unwind(Box::new("from a destructor"));
    }
}

/// The same in a scope, which must not keep pointers to children that are gone.
#[test]
fn a_scope_ends_whose_childs_destructor_panics() {
    let (mut runner, heard) = listening_runner();
    let drops = Drops::default();
    runner.run(async {
        scope(async |scope| {
            let child = scope.spawn(PanicsAlways(drops.clone()));
            let other = scope.spawn(PanicsAlways(drops.clone()));
            yield_now().await;
            child.cancel();
            assert!(child.await.unwrap_err().is_cancelled());
            other.abort();
            drop(other);
            yield_now().await;
            scope.spawn(async {}).await.unwrap();
        })
        .await;
        // Dropped with its scope.
        let mut future = Box::pin(scope(async |scope| {
            for _ in 0..3 {
                scope.spawn(PanicsAlways(drops.clone()));
            }
            pending::<()>().await;
        }));
        assert!(poll_once(&mut future).await.is_pending());
        drop(future);
    });
    assert_eq!(drops.count(), 5);
    assert_eq!(heard.take().len(), 5);
}

/// A body whose destructor panics is cleaned up after like any other.
#[tulipa::test(start_paused = true)]
async fn a_clean_up_runs_after_a_body_whose_destructor_panics() {
    let log = Trace::default();
    let task = spawn(finally(PanicsAlways(Drops::default()), {
        let log = log.clone();
        async move {
            sleep(MS).await;
            log.add("cleaned up");
        }
    }));
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(log.take(), ["cleaned up"]);
}

/// A group whose body panics waits for its children, and then the panic goes on.
#[tulipa::test(start_paused = true)]
async fn a_group_whose_body_panics_waits_for_its_children() {
    for kind in ["group", "try_scope", "scope", "destructor"] {
        let log = Trace::default();
        let task = spawn({
            let log = log.clone();
            async move {
                let child = async || {
                    finally(pending::<()>(), async {
                        sleep(MS).await;
                        log.add("child");
                    })
                    .await;
                    Ok::<_, ()>(())
                };
                let child = &child;
                let body = async || {
                    yield_now().await;
                    if kind == "destructor" {
                        let _guard = PanicsAlways(Drops::default());
                        return pending().await;
                    }
                    resume_unwind(Box::new("oh no"))
                };
                match kind {
                    "group" => {
                        let log = log.clone();
                        let _: Result<(), _> = task_group(async |group| {
                            group.spawn(async move {
                                finally(pending::<()>(), async {
                                    sleep(MS).await;
                                    log.add("child");
                                })
                                .await;
                                Ok::<_, ()>(())
                            });
                            body().await
                        })
                        .await;
                    }
                    "scope" => {
                        scope(async |scope| {
                            scope.spawn(async { child().await.unwrap() });
                            let _: Result<(), ()> = body().await;
                        })
                        .await;
                    }
                    _ => {
                        let _: Result<(), _> = try_scope(async |scope| {
                            scope.spawn(child());
                            body().await
                        })
                        .await;
                    }
                }
                log.add("never");
            }
        });
        turns(4).await;
        if kind == "destructor" {
            task.cancel();
        }
        assert!(task.await.unwrap_err().is_panic(), "{kind}");
        assert_eq!(log.take(), ["child"], "{kind}");
    }
}

/// Wakes by panicking.
struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("from a waker"));
    }
}

/// A waker that panics does not keep the others from being woken.
#[test]
fn a_waker_that_panics_keeps_no_request_from_others() {
    let (mut runner, heard) = listening_runner();
    runner.run(async {
        let task = spawn(async {
            let mut foreign = Box::pin(catch_cancel(pending::<()>()));
            let waker = Waker::from(Arc::new(PanickingWaker));
            let good = catch_cancel(pending::<()>());
            both(
                poll_fn(|_| {
                    let mut cx = Context::from_waker(&waker);
                    foreign.as_mut().poll(&mut cx).map(drop)
                }),
                good,
            )
            .await
            .1
            .is_err()
        });
        turns(2).await;
        let asked = catch_unwind(AssertUnwindSafe(|| task.cancel()));
        assert!(asked.is_ok());
        assert!(task.await.unwrap());
    });
    assert_eq!(heard.take().len(), 1);
}

// ---- code that runs inside of other code ----

/// A scope below a foreign executor, whose waker asks other tasks to end while a request is on its way.
#[tulipa::test]
async fn a_waker_may_use_cancellation() {
    thread_local! {
        static VICTIM: RefCell<Option<task::Task>> = const { RefCell::new(None) };
    }
    struct Canceller;
    impl Wake for Canceller {
        fn wake(self: Arc<Self>) {
            VICTIM.with_borrow(|victim| {
                if let Some(victim) = victim {
                    victim.cancel_with("by a waker");
                }
            });
        }
    }
    let victim = spawn(catch_cancel(pending::<()>()));
    let waker = Waker::from(Arc::new(Canceller));
    let mut cx = Context::from_waker(&waker);
    let child_task = Cell::new(None);
    let caught = Rc::new(Cell::new(false));
    let mut future = Box::pin(scope(async |scope| {
        let child = scope.spawn(async {
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            cancelled.resume::<()>().await;
        });
        child_task.set(Some(child.task()));
        pending::<()>().await;
    }));
    assert!(future.as_mut().poll(&mut cx).is_pending());
    turns(2).await;
    VICTIM.set(Some(victim.task()));
    // The request comes to the child's catch point, and is passed on to the child itself: each wakes.
    child_task.take().unwrap().cancel();
    assert!(future.as_mut().poll(&mut cx).is_pending());
    let _ = caught;
    let cancelled: Result<(), Cancelled> = victim.await.unwrap();
    assert_eq!(
        *cancelled.unwrap_err().reason(),
        CancelReason::from("by a waker")
    );
    VICTIM.take();
}

/// A destructor that polls futures does so in the task that is dropped, wherever that happens.
#[tulipa::test]
async fn a_destructor_that_polls_does_not_disturb_who_drops_it() {
    struct Polls;
    impl Drop for Polls {
        fn drop(&mut self) {
            let mut cx = Context::from_waker(Waker::noop());
            let mut inner = pin!(timeout(MS, catch_cancel(pending::<()>())));
            assert!(inner.as_mut().poll(&mut cx).is_pending());
        }
    }
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let _ = timeout(MS * 1000, async {
                let mut inner = Box::pin(scope(async |scope| {
                    scope.spawn(async {
                        let _polls = Polls;
                        pending::<()>().await;
                    });
                    pending::<()>().await;
                }));
                // Below a waker of its own, so that the timeouts around have no nodes of their own yet.
                let mut cx = Context::from_waker(Waker::noop());
                assert!(inner.as_mut().poll(&mut cx).is_pending());
                drop(inner);
                let caught = catch_cancel(pending::<()>()).await;
                log.add("caught");
                caught.unwrap_err().resume::<()>().await;
            })
            .await;
        }
    });
    turns(2).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["caught"]);
    assert_eq!(open_nodes(), 0);
}

/// A task that a request was forwarded to has ended, but its handle is dropped without being looked at: the request
/// is not lost.
#[tulipa::test(start_paused = true)]
async fn a_request_is_not_lost_with_a_handle_that_is_dropped() {
    for in_a_timeout in [false, true] {
        let stop = Rc::new(Cell::new(false));
        let inside = stop.clone();
        let task = spawn(async move {
            let handle = spawn(pending::<()>());
            let mut waits: Boxed<()> = if in_a_timeout {
                Box::pin(async move {
                    let _ = timeout(MS * 1000, handle).await;
                })
            } else {
                Box::pin(async move {
                    let _ = handle.await;
                })
            };
            poll_fn(|cx| {
                if inside.get() {
                    return Poll::Ready(());
                }
                waits.as_mut().poll(cx)
            })
            .await;
            drop(waits);
            yield_now().await;
            unreachable!("the request was lost");
        });
        turns(3).await;
        task.cancel();
        stop.set(true);
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

// ---- many ----

/// A chain of tokens is triggered without a deep stack, and churn among many costs little.
#[tulipa::test]
async fn a_long_chain_of_tokens_is_triggered() {
    let root = CancelToken::new();
    let mut chain = vec![root.clone()];
    for _ in 0..100_000 {
        let next = chain.last().unwrap().child();
        chain.push(next);
    }
    root.cancel();
    assert!(chain.iter().all(CancelToken::is_cancelled));

    let root = CancelToken::new();
    let mut tokens: Vec<_> = (0..30_000).map(|_| root.child()).collect();
    for token in &mut tokens {
        *token = root.child();
    }
    root.cancel();
    assert!(tokens.iter().all(CancelToken::is_cancelled));
}

/// Ten thousand catch points inside each other: the request goes through all of them.
#[test]
fn a_request_goes_through_ten_thousand_catch_points() {
    fn nest(depth: u32, count: Rc<Cell<u32>>) -> Boxed<()> {
        Box::pin(async move {
            let caught = match depth {
                0 => catch_cancel(pending::<()>()).await,
                _ => catch_cancel(nest(depth - 1, count.clone())).await,
            };
            count.set(count.get() + 1);
            caught.unwrap_err().resume::<()>().await;
        })
    }
    let deep = std::thread::Builder::new().stack_size(1 << 30).spawn(|| {
        tulipa::run(async {
            let count = Rc::new(Cell::new(0));
            let task = spawn(nest(9_999, count.clone()));
            turns(2).await;
            assert_eq!(open_nodes(), 10_000);
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!((count.get(), open_nodes()), (10_000, 0));
        });
    });
    deep.unwrap().join().unwrap();
}

/// A hundred thousand children with clean-ups are cancelled at once, and all of them are awaited.
#[tulipa::test(start_paused = true)]
async fn a_group_of_a_hundred_thousand_is_cancelled_at_once() {
    let count = Rc::new(Cell::new(0_u32));
    let task = spawn({
        let count = count.clone();
        async move {
            let _ = task_group(async |group: TaskGroup<()>| {
                for _ in 0..100_000 {
                    let count = count.clone();
                    group.spawn(finally(pending::<Result<(), ()>>(), async move {
                        sleep(MS).await;
                        count.set(count.get() + 1);
                    }));
                }
                pending::<Result<(), ()>>().await
            })
            .await;
        }
    });
    turns(3).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!((count.get(), open_nodes()), (100_000, 0));
}

/// Twenty thousand join handles that are awaited side by side, whose tasks end one after the other, or are cancelled.
#[tulipa::test]
async fn many_handles_are_awaited_side_by_side() {
    for cancelled in [false, true] {
        let cleaned_up = Rc::new(Cell::new(0));
        let inside = cleaned_up.clone();
        let waiter = spawn(async move {
            let mut handles: Vec<_> = (0..2_000)
                .map(|_| {
                    let cleaned_up = inside.clone();
                    spawn(finally(
                        async move {
                            turns(2).await;
                            if cancelled {
                                pending().await
                            }
                        },
                        async move { cleaned_up.set(cleaned_up.get() + 1) },
                    ))
                })
                .map(Some)
                .collect();
            poll_fn(|cx| {
                for place in &mut handles {
                    if let Some(handle) = place
                        && Pin::new(handle).poll(cx).is_ready()
                    {
                        *place = None;
                    }
                }
                if handles.iter().all(Option::is_none) {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
        });
        turns(4).await;
        if cancelled {
            waiter.cancel();
        }
        assert_eq!(waiter.await.is_err(), cancelled);
        assert_eq!((cleaned_up.get(), open_nodes()), (2_000, 0));
    }
}

/// A scope below a callback, where there is no task.
#[tulipa::test(start_paused = true)]
async fn a_scope_polled_outside_of_tasks_works_without_catch_points() {
    let scope = CancelScope::new();
    let inside = scope.clone();
    let result = Rc::new(RefCell::new(None));
    let place = result.clone();
    tulipa::runtime::call_soon(move || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut run = Box::pin(
            inside
                .clone()
                .run(catch_cancel(finally(pending::<()>(), pending()))),
        );
        assert!(run.as_mut().poll(&mut cx).is_pending());
        inside.cancel();
        *place.borrow_mut() = Some(run.as_mut().poll(&mut cx));
    });
    turns(2).await;
    assert!(matches!(result.take(), Some(Poll::Ready(Err(_)))));
    assert_eq!(open_nodes(), 0);
}
