//! `gather`: futures run as tasks, results in order. (asyncio parity 6; traps, 11)

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Drops, Trace, listening_runner, paused, poll_once, turns};
use tulipa::runtime::ExceptionKind;
use tulipa::task::{GatherError, id};
use tulipa::{gather, gather_settled, try_gather};

const MS: Duration = Duration::from_millis(1);

/// After `delay` milliseconds, notes it and yields it, unless it panics.
async fn step(trace: Trace, delay: u32, panics: bool) -> u32 {
    tulipa::sleep(delay * MS).await;
    assert!(!panics, "step {delay}");
    trace.add(delay.to_string());
    delay
}

// TRAP of §6 gather(): the first exception propagates immediately and leaves the siblings running. (obs)
#[test]
fn the_first_failure_comes_at_once_and_the_siblings_go_on() {
    paused(async {
        let trace = Trace::default();
        let steps = [(30, false), (10, false), (20, true), (40, false)]
            .map(|(delay, panics)| step(trace.clone(), delay, panics));
        let error = gather(steps).await.unwrap_err();
        assert!(error.panic_message().unwrap().contains("step 20"));
        assert_eq!(trace.take(), ["10"]);
        tulipa::sleep(100 * MS).await;
        assert_eq!(trace.take(), ["30", "40"]);
    });
}

#[test]
fn the_first_error_of_a_try_gather_comes_at_once_and_the_siblings_go_on() {
    paused(async {
        let trace = Trace::default();
        let checked = [(10, true), (20, false), (30, true), (40, false)].map(|(delay, is_ok)| {
            let step = step(trace.clone(), delay, false);
            async move {
                step.await
                    .checked_sub(if is_ok { 0 } else { 99 })
                    .ok_or(delay)
            }
        });
        let Err(GatherError::Failed(20)) = try_gather(checked).await else {
            panic!("the first error is that after 20 ms");
        };
        assert_eq!(trace.take(), ["10", "20"]);
        tulipa::sleep(100 * MS).await;
        assert_eq!(trace.take(), ["30", "40"]);

        let values = try_gather((0..3).map(|number| ready(Ok::<_, ()>(number)))).await;
        assert_eq!(values.unwrap(), [0, 1, 2]);
        let join = try_gather([async { panic!("neither") as Result<(), ()> }]).await;
        assert!(matches!(join, Err(GatherError::Join(error)) if error.is_panic()));
    });
}

// §6 gather(): results in argument order; empty → done with [].
#[test]
fn results_are_in_the_order_of_the_arguments() {
    paused(async {
        for n in [0u32, 1, 3, 100] {
            let trace = Trace::default();
            let steps = |trace: &Trace| -> Vec<_> {
                (0..n)
                    .map(|number| step(trace.clone(), n - number, false))
                    .collect()
            };
            let values = gather(steps(&trace)).await.unwrap();
            assert!(values.into_iter().eq((1..=n).rev()));
            assert!(
                trace
                    .take()
                    .into_iter()
                    .eq((1..=n).map(|it| it.to_string()))
            );
            let results = gather_settled(steps(&trace)).await;
            assert!(results.into_iter().map(Result::unwrap).eq((1..=n).rev()));
        }
        let mut nothing = gather(Vec::<std::future::Ready<()>>::new());
        assert!(poll_once(&mut nothing).await.is_ready(), "at once");
    });
}

// §6 gather(): a cancelled child counts as raising CancelledError.
#[test]
fn a_cancelled_child_is_a_failure_with_its_name() {
    // Cancelled with their loop.
    let mut gathered = None;
    tulipa::run(async { gathered = Some(gather([pending::<()>()])) });
    let error = tulipa::run(async { gathered.unwrap().await.unwrap_err() });
    assert!(error.is_cancelled());
    assert!(error.spawned_at().file().ends_with("gather.rs"));
}

// §6 gather(return_exceptions=True): exceptions, cancellation included, become result values.
#[test]
fn settled_results_hold_every_outcome() {
    paused(async {
        let trace = Trace::default();
        let steps = [(3, false), (1, true), (2, false), (4, true)]
            .map(|(delay, panics)| step(trace.clone(), delay, panics));
        let results = gather_settled(steps).await;
        let outcomes: Vec<_> = results
            .iter()
            .map(|result| match result {
                Ok(value) => value.to_string(),
                Err(error) => format!("panic: {}", error.is_panic()),
            })
            .collect();
        assert_eq!(outcomes, ["3", "panic: true", "2", "panic: true"]);
    });
    let mut gathered = None;
    tulipa::run(async { gathered = Some(gather_settled([pending::<()>()])) });
    let results = tulipa::run(async { gathered.unwrap().await });
    assert!(results[0].as_ref().unwrap_err().is_cancelled());
}

// §6 gather(): later exceptions are marked retrieved. Ours reports them: nobody else will.
#[test]
fn a_later_panic_is_reported() {
    let (mut runner, heard) = listening_runner();
    runner.run(async {
        let panics = |late: u32| async move {
            turns(late).await;
            panic!("late by {late}")
        };
        let error = gather([panics(1), panics(3)])
            .await
            .map(|_: Vec<()>| ())
            .unwrap_err();
        assert!(error.panic_message().unwrap().ends_with("by 1"));
        turns(5).await;
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].0, ExceptionKind::TaskPanicked);
    assert!(heard[0].1.ends_with("late by 3"));
}

#[test]
fn the_tasks_start_in_order_without_being_awaited() {
    tulipa::run(async {
        let trace = Trace::default();
        let own = id();
        let gathered = gather((0..3).map(|number| {
            let trace = trace.clone();
            async move {
                trace.add(number.to_string());
                id()
            }
        }));
        assert_eq!(trace.take().len(), 0, "never inside the call");
        turns(2).await;
        assert_eq!(trace.take(), ["0", "1", "2"]);
        let ids = gathered.await.unwrap();
        assert!(ids.is_sorted() && !ids.contains(&own));
    });
}

#[test]
fn dropping_it_early_aborts_what_has_not_ended() {
    paused(async {
        let drops = Drops::default();
        let polls = Rc::new(Cell::new(0));
        let children = || {
            (0..3).map(|number| {
                let (witness, polls) = (drops.witness(), polls.clone());
                async move {
                    let _witness = witness;
                    polls.set(polls.get() + 1);
                    tulipa::sleep(number * 10 * MS).await;
                }
            })
        };
        assert!(tulipa::timeout(5 * MS, gather(children())).await.is_err());
        turns(2).await;
        assert_eq!((drops.count(), polls.get()), (3, 3));
        drop(gather_settled(children()));
        turns(2).await;
        assert_eq!(
            (drops.count(), polls.get()),
            (6, 3),
            "never polled, never run"
        );
    });
}

#[test]
#[should_panic = "no tulipa event loop runs on this thread"]
fn outside_of_a_loop_it_panics_by_name() {
    drop(gather([ready(())]));
}

#[test]
fn a_gather_waits_where_it_is_moved_to() {
    tulipa::run(async {
        let mut gathered = gather((0..3).map(|number| async move {
            turns(3).await;
            number
        }));
        assert!(poll_once(&mut gathered).await.is_pending());
        let values = tulipa::spawn(gathered).await.unwrap();
        assert_eq!(values.unwrap(), [0, 1, 2]);
        fn is_future<F: Future + Unpin>(_: &F) {}
        is_future(&gather::<[std::future::Ready<()>; 0]>([]));
    });
}

/// §6 cancelling gather (obs): every unfinished child is cancelled, and the request goes on only when all of them have
/// ended; also with results settled.
#[tulipa::test(start_paused = true)]
async fn a_cancelled_gather_cancels_its_children_and_waits_for_all() {
    use tulipa::{finally, gather, gather_settled, sleep, spawn};
    for is_settled in [false, true] {
        let ended = Rc::new(Cell::new(0));
        let children = {
            let ended = ended.clone();
            move || {
                (1..=3).map(move |ms| {
                    let ended = ended.clone();
                    finally(std::future::pending::<()>(), async move {
                        sleep(std::time::Duration::from_millis(ms)).await;
                        ended.set(ended.get() + 1);
                    })
                })
            }
        };
        let seen = ended.clone();
        let task = spawn(async move {
            struct Seen(Rc<Cell<u32>>);
            impl Drop for Seen {
                fn drop(&mut self) {
                    assert_eq!(self.0.get(), 3, "dropped before the children have ended");
                }
            }
            let _seen = Seen(seen);
            if is_settled {
                drop(gather_settled(children()).await);
            } else {
                drop(gather(children()).await);
            }
            unreachable!("the request goes on outwards");
        });
        sleep(std::time::Duration::from_millis(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(ended.get(), 3);
    }
}
