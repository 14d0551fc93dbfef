//! `JoinSet`: tasks that are joined in the order in which they end. (asyncio parity 6, last row)

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use crate::support::{Drops, Trace, listening_runner, paused, turns};
use futures_lite::stream::{Stream, StreamExt};
use tulipa::runtime::ExceptionKind;
use tulipa::task::JoinSet;

const MS: Duration = Duration::from_millis(1);

#[test]
fn results_come_in_the_order_of_the_ends() {
    paused(async {
        let mut set = JoinSet::new();
        for delay in [30, 10, 20, 0] {
            set.spawn(async move {
                tulipa::sleep(delay * MS).await;
                delay
            });
        }
        assert_eq!((set.len(), set.is_empty()), (4, false));
        let mut order = Vec::new();
        while let Some(result) = set.join_next().await {
            order.push(result.unwrap());
        }
        assert_eq!(order, [0, 10, 20, 30]);
        assert!(set.is_empty() && set.join_next().await.is_none());
    });
}

#[test]
fn ends_wait_in_the_set_in_their_order_until_someone_asks() {
    paused(async {
        let mut set: JoinSet<u32> = [3, 1, 2]
            .map(|delay| async move {
                tulipa::sleep(delay * MS).await;
                delay
            })
            .into_iter()
            .collect();
        assert!(set.try_join_next().is_none());
        tulipa::sleep(10 * MS).await;
        assert_eq!(set.len(), 3);
        assert_eq!(set.try_join_next().unwrap().unwrap(), 1);
        set.spawn(async { 4 });
        turns(2).await;
        assert_eq!(set.join_all().await, [2, 3, 4]);
    });
}

#[test]
fn the_waiter_is_polled_once_for_each_end_however_many_wait() {
    tulipa::run(async {
        const N: u32 = 1000;
        let mut set = JoinSet::new();
        let gates: Vec<_> = (0..N).map(|_| Rc::new(RefCell::new(None))).collect();
        for gate in &gates {
            let gate = gate.clone();
            let mut is_open = false;
            set.spawn(poll_fn(move |cx| {
                if std::mem::replace(&mut is_open, true) {
                    return Poll::Ready(());
                }
                *gate.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }));
        }
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let waiter = tulipa::spawn(async move {
            poll_fn(|cx| {
                count.set(count.get() + 1);
                loop {
                    match set.poll_join_next(cx) {
                        Poll::Ready(Some(result)) => result.unwrap(),
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            })
            .await;
        });
        turns(2).await;
        assert_eq!(polls.get(), 1);
        for gate in &gates {
            gate.borrow().as_ref().unwrap().wake_by_ref();
            turns(2).await;
        }
        waiter.await.unwrap();
        assert_eq!(polls.get(), N + 1);
    });
}

#[test]
fn join_next_that_is_dropped_loses_nothing() {
    paused(async {
        let mut set = JoinSet::new();
        for delay in 1..=20u32 {
            set.spawn(async move {
                tulipa::sleep(delay * 2 * MS).await;
                delay
            });
        }
        let mut results = Vec::new();
        while !set.is_empty() {
            // The deadlines of both come together half of the time.
            if let Ok(next) = tulipa::timeout(MS, set.join_next()).await {
                results.push(next.unwrap().unwrap());
            }
        }
        assert!(results.into_iter().eq(1..=20));
    });
}

#[test]
fn a_dropped_set_aborts_its_tasks_and_a_detached_one_does_not() {
    tulipa::run(async {
        let (drops, trace) = (Drops::default(), Trace::default());
        let spawn = |set: &mut JoinSet<()>| {
            let (witness, trace) = (drops.witness(), trace.clone());
            set.spawn(async move {
                let _witness = witness;
                turns(2).await;
                trace.add("ended");
            });
        };
        let mut set = JoinSet::new();
        spawn(&mut set);
        spawn(&mut set);
        tulipa::yield_now().await;
        drop(set);
        tulipa::yield_now().await;
        assert_eq!((drops.count(), trace.take().len()), (2, 0));

        let mut set = JoinSet::new();
        spawn(&mut set);
        set.detach_all();
        assert!(set.is_empty());
        // The end of a task that is no longer there is not taken for another's.
        set.spawn(pending());
        turns(5).await;
        assert_eq!((drops.count(), trace.take().len()), (3, 1));
        assert!(set.try_join_next().is_none() && set.len() == 1);
    });
}

#[test]
fn aborted_tasks_are_joined_as_cancelled_and_shutdown_waits_for_them() {
    tulipa::run(async {
        let drops = Drops::default();
        let mut set = JoinSet::new();
        for number in 0..5 {
            let witness = drops.witness();
            set.spawn(async move {
                let _witness = witness;
                if number > 0 {
                    pending::<()>().await;
                }
                number
            });
        }
        turns(2).await;
        set.abort_all();
        assert_eq!(
            set.len(),
            5,
            "abort drops at the next turn, not inside the call"
        );
        assert_eq!(
            set.join_next().await.unwrap().unwrap(),
            0,
            "what has ended keeps its result"
        );
        for _ in 1..5 {
            assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        }

        for _ in 0..3 {
            let witness = drops.witness();
            set.spawn(async move {
                let _witness = witness;
                pending().await
            });
        }
        set.shutdown().await;
        assert_eq!((set.len(), drops.count()), (0, 8));
        set.shutdown().await;
    });
}

#[test]
fn a_panic_is_a_result_and_one_that_nobody_takes_is_reported() {
    let (mut runner, heard) = listening_runner();
    runner.run(async {
        let mut set = JoinSet::new();
        let id = set
            .build_task()
            .name("fails")
            .spawn(async { panic!("taken") });
        let error = set.join_next_with_id().await.unwrap().unwrap_err();
        assert_eq!((error.id(), error.name()), (id, Some("fails")));
        assert!(error.spawned_at().file().ends_with("join_set.rs"));
        let id = set.spawn(async {});
        assert_eq!(set.join_next_with_id().await.unwrap().unwrap(), (id, ()));

        set.spawn(async { panic!("not taken") });
        turns(2).await;
        set.shutdown().await;
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].0, ExceptionKind::TaskPanicked);
    assert!(heard[0].1.ends_with("not taken"));
}

#[test]
fn join_all_passes_a_panic_on_and_aborts_the_rest() {
    let drops = Drops::default();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
        tulipa::run(async {
            let mut set = JoinSet::new();
            let witness = drops.witness();
            set.spawn(async move {
                let _witness = witness;
                pending::<()>().await;
            });
            set.spawn(async { panic!("all of it") });
            set.join_all().await;
        });
    }));
    assert_eq!(
        *result.unwrap_err().downcast::<&str>().unwrap(),
        "all of it"
    );
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_set_is_a_stream() {
    tulipa::run(async {
        let set: JoinSet<_> = (0..3).map(|number| async move { number }).collect();
        assert_eq!(set.size_hint(), (3, Some(3)));
        let results: Vec<_> = set.map(Result::unwrap).collect().await;
        assert_eq!(results, [0, 1, 2]);
    });
}

#[test]
fn a_set_that_outlives_its_loop_says_that_its_tasks_are_cancelled() {
    let mut set = tulipa::run(async {
        let mut set = JoinSet::new();
        set.spawn(async { 1 });
        set.spawn(pending());
        turns(2).await;
        set
    });
    tulipa::run(async {
        assert_eq!(set.join_next().await.unwrap().unwrap(), 1);
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(set.join_next().await.is_none());
    });
}

thread_local! {
    static SET: RefCell<JoinSet<u8>> = RefCell::new(JoinSet::new());
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A waker of a strange kind: it polls at once, inside of the wake.
struct PollsAtOnce;

impl Wake for PollsAtOnce {
    fn wake(self: Arc<Self>) {
        let waker = self.into();
        let tried = SET.with_borrow_mut(|set| set.try_join_next().is_some());
        let polled =
            SET.with_borrow_mut(|set| set.poll_join_next(&mut Context::from_waker(&waker)));
        SEEN.with_borrow_mut(|seen| seen.push(format!("{tried}, {polled:?}")));
    }
}

#[test]
fn who_looks_at_the_very_moment_of_an_end_is_woken_again() {
    tulipa::run(async {
        let waker = Arc::new(PollsAtOnce).into();
        SET.with_borrow_mut(|set| {
            set.spawn(async { 7 });
            let polled = set.poll_join_next(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        });
        turns(2).await;
    });
    assert_eq!(
        SEEN.take(),
        ["false, Pending", "true, Ready(None)"],
        "the second time there was a result"
    );
}

#[test]
fn members_may_spawn_into_the_set_that_waits() {
    tulipa::run(async {
        let set = Rc::new(RefCell::new(JoinSet::new()));
        let inner = set.clone();
        set.borrow_mut().spawn(async move {
            inner.borrow_mut().spawn(async { "grandchild" });
            "child"
        });
        let mut order = Vec::new();
        while let Some(result) = poll_fn(|cx| set.borrow_mut().poll_join_next(cx)).await {
            order.push(result.unwrap());
        }
        assert_eq!(order, ["child", "grandchild"]);
    });
}
