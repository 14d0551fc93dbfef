//! Eager tasks, results without waiting, and callbacks at a task's end.
//!
//! The numbers in comments are sections of the specification that the project is built to.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use tulipa::task::{self, Builder, consume_budget, context_local};
use tulipa::{spawn, yield_now};

use crate::support::Trace;

/// §5 eager start: the first step runs inline; done on return, never scheduled, absent from all tasks.
#[tulipa::test]
async fn an_eager_task_that_does_not_wait_is_done_on_return() {
    let me = task::id();
    let mut handle = Builder::new().name("eager").spawn_eager(async {
        let current = task::current();
        assert!(task::all().contains(&current));
        current.id()
    });
    assert!(handle.is_finished());
    assert_eq!(task::id(), me);
    assert_eq!(task::all().len(), 1);
    assert!(
        !handle.cancel(),
        "cancelling after eager completion has no effect"
    );
    assert_ne!(handle.try_result().unwrap().unwrap(), me);
}

/// §5 eager start: one that waits goes on like any other.
#[tulipa::test]
async fn an_eager_task_that_waits_goes_on_beside_the_others() {
    let log = Trace::default();
    let eager = {
        let log = log.clone();
        Builder::new().spawn_eager(async move {
            log.add("first step");
            yield_now().await;
            log.add("second step");
            7
        })
    };
    log.add("spawned");
    assert!(!eager.is_finished());
    assert_eq!(eager.await.unwrap(), 7);
    assert_eq!(log.take(), ["first step", "spawned", "second step"]);
}

/// §5 eager start: the context is a copy; panics stay in the handle; nesting works; a budget of its own.
#[tulipa::test]
async fn an_eager_step_is_the_tasks_own() {
    context_local! { static NAME: &'static str = "none"; }
    NAME.set("outer");
    let eager = Builder::new().spawn_eager(async {
        let inherited = NAME.get();
        NAME.set("inner");
        let nested = Builder::new().spawn_eager(async { NAME.get() });
        for _ in 0..100 {
            consume_budget().await;
        }
        (inherited, nested.await.unwrap())
    });
    assert_eq!(NAME.get(), "outer");
    assert_eq!(eager.await.unwrap(), ("outer", "inner"));
    let panics = Builder::new().spawn_eager(async { panic!("oh no") });
    assert_eq!(panics.await.unwrap_err().panic_message(), Some("oh no"));
}

/// §5 cancelling an eager task that waits.
#[tulipa::test]
async fn an_eager_task_can_be_cancelled() {
    let eager = Builder::new().spawn_eager(pending::<()>());
    assert!(eager.cancel());
    assert!(eager.await.unwrap_err().is_cancelled());
}

/// §4, §5 result(): an error while pending; the value once done.
#[tulipa::test]
async fn a_result_can_be_had_without_waiting() {
    let mut handle = spawn(async { 5 });
    assert!(handle.try_result().is_none());
    yield_now().await;
    assert_eq!(handle.try_result().unwrap().unwrap(), 5);
}

/// §4 add_done_callback: never inline, from the loop, with the outcome; also on a task that is done.
#[tulipa::test]
async fn a_callback_hears_of_the_end_of_a_task() {
    let log = Trace::default();
    let note = |log: &Trace, what: &'static str| {
        let log = log.clone();
        move |result: Result<u32, task::JoinError>| {
            assert!(task::try_current().is_none());
            log.add(format!(
                "{what} {:?}",
                result.map_err(|it| it.is_cancelled())
            ));
        }
    };
    spawn(async { 1 }).on_done(note(&log, "value"));
    let cancelled = spawn(pending::<u32>());
    let reference = cancelled.task();
    cancelled.on_done(note(&log, "cancelled"));
    reference.cancel();
    let done = spawn(async { 2 });
    yield_now().await;
    done.on_done(note(&log, "done"));
    log.add("registered");
    for _ in 0..3 {
        yield_now().await;
    }
    assert_eq!(
        log.take(),
        [
            "registered",
            "value Ok(1)",
            "cancelled Err(true)",
            "done Ok(2)"
        ]
    );

    let dropped = Rc::new(());
    let kept = dropped.clone();
    let handle = spawn(pending::<()>()).on_done(move |_| drop(kept));
    yield_now().await;
    handle.cancel();
    assert_eq!(Rc::strong_count(&dropped), 1);
}

/// A loop that computes leaves turns to others.
#[tulipa::test]
async fn a_loop_that_consumes_budget_leaves_turns_to_others() {
    let others = Rc::new(Cell::new(0));
    let count = others.clone();
    drop(spawn(async move {
        loop {
            count.set(count.get() + 1);
            yield_now().await;
        }
    }));
    for _ in 0..1000 {
        consume_budget().await;
    }
    assert!((5..=10).contains(&others.get()), "{}", others.get());
}
