//! Cancellation of tasks: what is delivered, where, how often, and what may refuse.
//!
//! The numbers in comments are sections of the specification that the project is built to.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use tulipa::cancel::{CancelReason, catch_cancel, finally};
use tulipa::{shield, sleep, spawn, task, yield_now};

use crate::support::Trace;

const MS: Duration = Duration::from_millis(1);

/// §7 before the first step: not even clean-up runs, and what was captured is dropped.
#[tulipa::test]
async fn a_task_cancelled_before_its_first_step_runs_nothing() {
    let log = Trace::default();
    let captured = Rc::new(());
    let task = spawn({
        let (log, captured) = (log.clone(), captured.clone());
        finally(
            async move {
                let _captured = captured;
                pending::<()>().await;
            },
            async move { log.add("cleanup") },
        )
    });
    assert!(task.cancel());
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(log.take().is_empty());
    assert_eq!(Rc::strong_count(&captured), 1);
}

/// §7 Task.cancel: delivered to the innermost catch point, then outwards with `resume`.
#[tulipa::test]
async fn a_request_goes_from_the_innermost_catch_point_outwards() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let outer = catch_cancel(async {
                let inner = catch_cancel(pending::<()>()).await;
                log.add("inner");
                yield_now().await;
                log.add("inner cleaned up");
                inner.unwrap_err().resume::<()>().await;
                log.add("never");
            })
            .await;
            log.add("outer");
            yield_now().await;
            outer.unwrap_err().resume::<()>().await;
            log.add("never");
        }
    });
    yield_now().await;
    assert!(task.cancel());
    let error = task.await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(log.take(), ["inner", "inner cleaned up", "outer"]);
}

/// §7 cancelling(): swallowing a request does not lower the count; §7 cancel returns False when done.
#[tulipa::test]
async fn a_swallowed_request_still_counts_and_the_task_goes_on() {
    let task = spawn(async {
        assert!(catch_cancel(pending::<()>()).await.is_err());
        yield_now().await;
        task::current().cancelling()
    });
    yield_now().await;
    assert!(task.cancel());
    assert_eq!(task.cancelling(), 1);
    let reference = task.task();
    assert_eq!(task.await.unwrap(), 1);
    assert!(!reference.cancel());
    assert_eq!(reference.cancelling(), 1);
}

/// §7 `Cancelled::forgive`: takes the request off the count.
#[tulipa::test]
async fn a_forgiven_request_does_not_count() {
    let task = spawn(async {
        catch_cancel(pending::<()>()).await.unwrap_err().forgive();
        task::current().cancelling()
    });
    yield_now().await;
    task.cancel();
    assert_eq!(task.await.unwrap(), 0);
}

/// §7 cancel: requests before the delivery are delivered as one, and each counts.
#[tulipa::test]
async fn requests_before_the_delivery_are_delivered_as_one() {
    let task = spawn(async {
        let deliveries = Cell::new(0);
        for _ in 0..3 {
            if catch_cancel(sleep(MS)).await.is_err() {
                deliveries.set(deliveries.get() + 1);
            }
        }
        (deliveries.get(), task::current().cancelling())
    });
    yield_now().await;
    task.cancel();
    task.cancel();
    assert_eq!(task.await.unwrap(), (1, 2));
}

/// §7 uncancel (test): a request undone before its delivery never arrives.
#[tulipa::test(start_paused = true)]
async fn a_request_taken_back_before_its_delivery_never_arrives() {
    for has_catch_point in [false, true] {
        let task = spawn(async move {
            if has_catch_point {
                catch_cancel(sleep(MS)).await.unwrap();
            } else {
                sleep(MS).await;
            }
        });
        yield_now().await;
        let reference = task.task();
        reference.cancel();
        reference.cancel();
        assert_eq!(reference.uncancel(), 1);
        assert_eq!(reference.uncancel(), 0);
        assert_eq!(reference.uncancel(), 0);
        task.await.unwrap();
    }
}

/// §7 cancel at the very end (test): the task ends cancelled, its value is dropped.
#[tulipa::test]
async fn a_task_that_cancels_itself_and_returns_is_cancelled() {
    let dropped = Rc::new(());
    let value = dropped.clone();
    let task = spawn(async move {
        task::current().cancel();
        value
    });
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(Rc::strong_count(&dropped), 1);
}

/// §7 cancel from within: delivered at the next await that waits, to a catch point opened meanwhile.
#[tulipa::test]
async fn a_request_from_within_arrives_at_the_next_await() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            task::current().cancel();
            log.add("goes on");
            let caught = catch_cancel(async {
                std::future::ready(()).await;
                log.add("inside");
                yield_now().await;
                log.add("never");
            })
            .await;
            log.add("caught");
            assert!(caught.is_err());
            yield_now().await;
            log.add("lives");
        }
    });
    task.await.unwrap();
    assert_eq!(log.take(), ["goes on", "inside", "caught", "lives"]);
}

/// §7 a body that completes in the step in which the request came does not consume it: it arrives further out.
#[tulipa::test]
async fn a_catch_point_whose_body_completes_passes_an_undelivered_request_on() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let value = catch_cancel(async {
                task::current().cancel();
                7
            })
            .await;
            assert_eq!(value.unwrap(), 7);
            log.add("went on");
            yield_now().await;
            log.add("never");
        }
    });
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["went on"]);
}

/// §7 cancel vs completed wait (obs): the request wins, the result is lost to this task.
#[tulipa::test]
async fn a_request_wins_over_a_result_that_is_there_already() {
    let inner = spawn(async {
        yield_now().await;
        5
    });
    let inner_task = inner.task();
    let reached = Rc::new(Cell::new(false));
    let outer = spawn({
        let reached = reached.clone();
        async move {
            let _ = inner.await;
            reached.set(true);
        }
    });
    yield_now().await; // The outer one waits.
    yield_now().await; // The inner one has ended in this turn, and the outer one runs in the next.
    assert!(inner_task.is_finished() && !reached.get());
    outer.cancel();
    assert!(outer.await.unwrap_err().is_cancelled());
    assert!(!reached.get());
}

/// §7 forwarding (obs): the inner task is cancelled, and the outer one waits for it.
#[tulipa::test]
async fn a_request_to_a_task_that_awaits_another_goes_to_that_one() {
    let log = Trace::default();
    let inner = spawn({
        let log = log.clone();
        finally(pending::<()>(), async move {
            yield_now().await;
            log.add("inner cleaned up");
        })
    });
    let outer = spawn({
        let log = log.clone();
        async move {
            let _guard = Dropped(log.clone(), "outer dropped");
            let _ = inner.await;
            log.add("never");
        }
    });
    yield_now().await;
    outer.cancel_with("enough");
    let error = outer.await.unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::from("enough")));
    assert_eq!(log.take(), ["inner cleaned up", "outer dropped"]);
}

/// §7 forwarding (obs): the inner swallows it, the outer goes on with the value and `cancelling()` 1.
#[tulipa::test]
async fn an_inner_task_that_swallows_a_forwarded_request_keeps_the_outer_going() {
    for in_a_scope in [false, true] {
        let inner = spawn(async {
            let _ = catch_cancel(pending::<()>()).await;
            "swallowed"
        });
        let outer = spawn(async move {
            let value = if in_a_scope {
                tulipa::timeout(MS * 1000, inner).await.unwrap()
            } else {
                inner.await
            };
            (value.unwrap(), task::current().cancelling())
        });
        yield_now().await;
        outer.cancel();
        assert_eq!(outer.await.unwrap(), ("swallowed", 1));
    }
}

/// §7 awaiting a cancelled task (TRAP): an ordinary value; the waiter itself is not cancelled.
#[tulipa::test]
async fn awaiting_a_task_that_someone_else_cancelled_is_an_ordinary_error() {
    let inner = spawn(pending::<()>());
    let trigger = inner.task();
    let outer = spawn(async move { (inner.await, task::current().cancelling()) });
    yield_now().await;
    trigger.cancel_with("someone else");
    let (result, cancelling) = outer.await.unwrap();
    assert_eq!(result.unwrap_err().reason(), Some(&"someone else".into()));
    assert_eq!(cancelling, 0);
}

/// §7 what `finally` may do (obs): a second request interrupts the clean-up at its await.
#[tulipa::test(start_paused = true)]
async fn a_second_request_interrupts_a_clean_up() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        finally(pending::<()>(), async move {
            log.add("begins");
            pending::<()>().await;
            log.add("never");
        })
    });
    yield_now().await;
    task.cancel();
    yield_now().await;
    yield_now().await;
    assert!(!task.is_finished());
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["begins"]);
}

/// §7 finally: the clean-up runs on success, error, cancellation and panic.
#[tulipa::test]
async fn a_clean_up_runs_in_every_case() {
    let log = Trace::default();
    let cleanup = |log: &Trace| {
        let log = log.clone();
        async move {
            yield_now().await;
            log.add("cleanup");
        }
    };
    assert_eq!(finally(async { 5 }, cleanup(&log)).await, 5);
    assert_eq!(log.take(), ["cleanup"]);

    let panics = spawn(finally(async { panic!("oh no") }, cleanup(&log)));
    assert_eq!(panics.await.unwrap_err().panic_message(), Some("oh no"));
    assert_eq!(log.take(), ["cleanup"]);

    let cancelled = spawn(finally(pending::<()>(), cleanup(&log)));
    yield_now().await;
    cancelled.cancel();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["cleanup"]);
}

/// §7 finally with grace: a clean-up that hangs ends by itself.
#[tulipa::test(start_paused = true)]
async fn a_grace_period_ends_a_clean_up_that_hangs() {
    let start = tulipa::time::Instant::now();
    let task = spawn(finally(pending::<()>(), pending()).grace(MS * 50));
    yield_now().await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(start.elapsed(), MS * 50);
}

/// §6 timeout around a clean-up: the deadline that ended the body does not reach the clean-up.
#[tulipa::test(start_paused = true)]
async fn a_timeout_waits_for_the_clean_up_inside() {
    let log = Trace::default();
    let result = tulipa::timeout(
        MS,
        finally(pending::<()>(), async {
            sleep(MS * 10).await;
            log.add("cleaned up");
        }),
    )
    .await;
    assert!(result.is_err());
    assert_eq!(log.take(), ["cleaned up"]);
}

/// §6 wait_for (tests): a value from the inner task, or its own error, beats the timeout.
#[tulipa::test(start_paused = true)]
async fn a_timeout_waits_for_the_task_inside_and_its_value_counts() {
    let refuses = spawn(async {
        let _ = catch_cancel(pending::<()>()).await;
        sleep(MS * 10).await;
        "value"
    });
    let result = tulipa::timeout(MS, refuses).await;
    assert_eq!(result.unwrap().unwrap(), "value");

    let panics = spawn(async {
        let _ = catch_cancel(pending::<()>()).await;
        panic!("while cleaning up");
    });
    let result: Result<Result<(), _>, _> = tulipa::timeout(MS, panics).await;
    assert!(result.unwrap().unwrap_err().is_panic());

    let ends = spawn(pending::<()>());
    let reference = ends.task();
    assert!(tulipa::timeout(MS, ends).await.is_err());
    assert!(reference.is_finished());
}

/// §6 timeout vs other cancels (obs): an outer request during expiry stays a request.
#[tulipa::test(start_paused = true)]
async fn an_outer_request_while_a_timeout_expires_stays_a_request() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let elapsed = tulipa::timeout(
                MS,
                finally(pending::<()>(), async {
                    log.add("cleanup begins");
                    pending::<()>().await;
                }),
            )
            .await;
            log.add("never");
            drop(elapsed);
        }
    });
    sleep(MS * 2).await;
    assert_eq!(log.take(), ["cleanup begins"]);
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(log.take().is_empty());
}

/// §6 shield: the caller is cancelled, the inner task goes on.
#[tulipa::test(start_paused = true)]
async fn a_shield_keeps_the_inner_task_going() {
    let log = Trace::default();
    let outer = spawn({
        let log = log.clone();
        async move {
            let _ = shield(async move {
                sleep(MS).await;
                log.add("inner done");
            })
            .await;
        }
    });
    yield_now().await;
    yield_now().await;
    outer.cancel();
    assert!(outer.await.unwrap_err().is_cancelled());
    assert!(log.take().is_empty());
    sleep(MS * 2).await;
    assert_eq!(log.take(), ["inner done"]);
}

/// §5 await errors: a task that awaits itself gets an error instead of waiting for ever.
#[tulipa::test]
async fn a_task_that_awaits_itself_gets_an_error() {
    let own = Rc::new(RefCell::new(None::<tulipa::task::JoinHandle<()>>));
    let result = Rc::new(RefCell::new(None));
    let task = spawn({
        let (own, result) = (own.clone(), result.clone());
        async move {
            let handle = own.take().unwrap();
            *result.borrow_mut() = Some(handle.await);
        }
    });
    *own.borrow_mut() = Some(task);
    for _ in 0..3 {
        yield_now().await;
    }
    let error = result.take().unwrap().unwrap_err();
    assert!(error.is_deadlock(), "{error}");
}

/// Two tasks that await each other for ever are cancelled all the same, from either end.
#[tulipa::test]
async fn a_circle_of_awaits_is_cancelled() {
    type Place = Rc<RefCell<Option<tulipa::task::JoinHandle<()>>>>;
    for in_a_scope in [false, true] {
        let places: [Place; 2] = Default::default();
        let tasks = [0, 1].map(|number| {
            let place = places[1 - number].clone();
            spawn(async move {
                let other = place.take().unwrap();
                if in_a_scope {
                    let _ = tulipa::timeout(Duration::MAX, other).await;
                } else {
                    let _ = other.await;
                }
            })
        });
        let references = [tasks[0].task(), tasks[1].task()];
        for (place, task) in places.iter().zip(tasks) {
            *place.borrow_mut() = Some(task);
        }
        yield_now().await;
        assert!(references[0].cancel());
        for _ in 0..5 {
            yield_now().await;
        }
        assert!(references.iter().all(|it| it.is_finished()));
    }
}

/// A chain of a hundred thousand tasks that await each other is cancelled from one end to the other without a
/// deep stack.
#[tulipa::test]
async fn a_long_chain_of_awaits_is_cancelled() {
    let mut last = spawn(pending::<()>());
    for _ in 0..100_000 {
        last = spawn(async move {
            let _ = last.await;
        });
    }
    yield_now().await;
    last.cancel();
    assert!(last.await.unwrap_err().is_cancelled());
}

/// Two catch points side by side: each gets the request, and it arrives at the task when both are done.
#[tulipa::test(start_paused = true)]
async fn clean_ups_side_by_side_are_all_awaited() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let part = |ms: u32, name: &'static str| {
                let log = log.clone();
                Box::pin(finally(pending::<()>(), async move {
                    sleep(MS * ms).await;
                    log.add(name);
                }))
            };
            let (mut slow, mut quick) = (part(9, "slow"), part(2, "quick"));
            std::future::poll_fn(|cx| {
                let _ = slow.as_mut().poll(cx);
                quick.as_mut().poll(cx)
            })
            .await;
        }
    });
    yield_now().await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["quick", "slow"]);
}

struct Dropped(Trace, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}
