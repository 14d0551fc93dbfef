//! The loop in its owner's hands: run, stop, turn, close. (asyncio parity 1; trap 3)

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Drops, Trace};
use tulipa::runtime::{
    EventLoop, LoopClosed, NestedLoop, Runner, StoppedEarly, Turn, call_later, call_soon,
};
use tulipa::time::Instant;

const MS: Duration = Duration::from_millis(1);

fn paused() -> EventLoop {
    EventLoop::builder().start_paused(true).build().unwrap()
}

fn says(trace: &Trace, what: &'static str) -> impl FnOnce() + 'static {
    let trace = trace.clone();
    move || trace.add(what)
}

// ---- §1 stop() ----

#[test]
fn stop_finishes_the_snapshot_and_leaves_the_rest_for_the_next_run() {
    let event_loop = EventLoop::new().unwrap();
    let trace = Trace::default();
    let (log, next) = (trace.clone(), says(&trace, "next run"));
    event_loop.call_soon(move || {
        log.add("stops");
        call_soon(next);
        EventLoop::current().stop();
    });
    event_loop.call_soon(says(&trace, "same turn"));
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["stops", "same turn"]);
    event_loop.call_soon(|| EventLoop::current().stop());
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["next run"]);
}

// §1 (obs), trap 3
#[test]
fn stop_before_a_run_makes_it_one_turn_that_does_not_wait() {
    let event_loop = paused();
    let trace = Trace::default();
    let start = event_loop.time();
    let (log, next) = (trace.clone(), says(&trace, "next run"));
    event_loop.call_soon(move || {
        log.add("this turn");
        call_soon(next);
    });
    event_loop.call_at(start, says(&trace, "due"));
    event_loop.call_later(MS, says(&trace, "not due"));
    event_loop.stop();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["this turn", "due"]);
    assert_eq!(event_loop.time(), start);
    // It is used up: the next run goes on until it is stopped itself.
    event_loop.call_later(MS * 2, || EventLoop::current().stop());
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["next run", "not due"]);
    assert_eq!(event_loop.time(), start + MS * 2);
}

#[test]
fn a_stopped_turn_polls_an_idle_clock_without_moving_it() {
    let event_loop = paused();
    let start = event_loop.time();
    let timer = event_loop.call_later(MS, || ());
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(event_loop.time(), start);
    assert!(!timer.is_finished());
}

#[test]
fn a_cancelled_callback_of_the_stopped_turn_does_not_run() {
    let event_loop = EventLoop::new().unwrap();
    let trace = Trace::default();
    let victim = Rc::new(std::cell::RefCell::new(None));
    let target = victim.clone();
    event_loop.call_soon(move || {
        let target: tulipa::runtime::Handle = target.take().unwrap();
        target.cancel();
        EventLoop::current().stop();
    });
    victim.replace(Some(event_loop.call_soon(says(&trace, "cancelled"))));
    event_loop.run_forever().unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), Vec::<String>::new());
}

// ---- §1 run_until_complete(f) ----

// §1 (test)
#[test]
fn a_task_whose_run_is_stopped_stays_and_may_be_awaited_later() {
    let event_loop = EventLoop::new().unwrap();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    event_loop.call_soon(|| EventLoop::current().stop());
    let stopped = event_loop.run_until_complete(async move {
        for _ in 0..10 {
            count.set(count.get() + 1);
            tulipa::yield_now().await;
        }
        "value"
    });
    let stopped = stopped.unwrap_err();
    assert!(!stopped.task().is_finished() && stopped.io_error().is_none());
    assert!(stopped.to_string().contains("stopped before"), "{stopped}");
    assert_eq!(polls.get(), 1);
    let task = stopped.into_task();
    assert_eq!(
        event_loop.run_until_complete(task).unwrap().unwrap(),
        "value"
    );
}

#[test]
fn a_task_that_is_complete_in_the_stopped_turn_yields_its_value() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.stop();
    assert_eq!(event_loop.run_until_complete(async { 1 }).unwrap(), 1);
    let output = event_loop.run_until_complete(async {
        EventLoop::current().stop();
        2
    });
    assert_eq!(output.unwrap(), 2);
    // That stop is used up too.
    assert_eq!(event_loop.block_on(crate::support::turns(3)), ());
}

#[test]
fn a_panic_of_the_main_task_goes_on_in_the_caller() {
    let event_loop = EventLoop::new().unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _ = event_loop.run_until_complete(async { panic!("oh no") });
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"oh no"));
    assert_eq!(event_loop.block_on(async { 1 }), 1);
}

#[test]
fn a_borrowed_future_that_is_stopped_is_dropped_with_an_error() {
    let drops = Drops::default();
    let witness = drops.witness();
    let mut runner = Runner::new().unwrap();
    let stopped = runner.try_run(async {
        let _witness = &witness;
        EventLoop::current().stop();
        pending::<()>().await;
    });
    let error = stopped.unwrap_err();
    assert!(error.get_ref().unwrap().is::<StoppedEarly>(), "{error}");
    let caught = catch_unwind(|| {
        tulipa::run(async {
            EventLoop::current().stop();
            pending::<()>().await;
        });
    });
    let message = *caught.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("run_until_complete"), "{message}");
}

// ---- §1 nested loops ----

#[test]
fn a_loop_does_not_run_inside_of_a_loop() {
    let outer = EventLoop::new().unwrap();
    let inner = Rc::new(EventLoop::new().unwrap());
    outer.block_on(async {
        let nested = |error: io::Error| error.get_ref().unwrap().is::<NestedLoop>();
        assert!(nested(inner.run_forever().unwrap_err()));
        assert!(nested(inner.turn(None).unwrap_err()));
        assert!(nested(inner.prepare_wait().unwrap_err()));
        assert!(nested(inner.try_block_on(async {}).unwrap_err()));
        let inner = inner.clone();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _ = inner.run_until_complete(async {});
        }));
        assert!(caught.is_err());
        // Scheduling in it is fine.
        let handle = inner.call_soon(|| EventLoop::current().stop());
        assert!(!handle.is_finished() && !inner.is_running());
    });
    inner.run_forever().unwrap();
}

#[test]
fn a_loop_is_not_run_by_itself() {
    let event_loop = Rc::new(EventLoop::new().unwrap());
    let own = event_loop.clone();
    event_loop.block_on(async move {
        assert!(own.run_forever().is_err());
        assert!(own.is_running());
    });
}

// ---- §1 close(), is_running, is_closed, time() ----

#[test]
fn a_closed_loop_takes_nothing() {
    let event_loop = EventLoop::new().unwrap();
    let this = event_loop.loop_ref();
    let remote = event_loop.remote();
    assert!(!this.is_closed() && !remote.is_closed());
    event_loop.close();
    assert!(this.is_closed() && !this.is_running() && remote.is_closed());
    let drops = Drops::default();
    let held = || {
        let witness = drops.witness();
        move || _ = &witness
    };
    assert_eq!(this.call_soon(held()).unwrap_err(), LoopClosed);
    assert_eq!(this.call_later(MS, held()).unwrap_err(), LoopClosed);
    assert_eq!(this.call_at(this.time(), held()).unwrap_err(), LoopClosed);
    let witness = drops.witness();
    let spawned = this.spawn(async move { _ = &witness });
    assert_eq!(spawned.unwrap_err(), LoopClosed);
    assert_eq!(drops.count(), 4);
    assert_eq!(this.remote().call_soon(|| ()).unwrap_err(), LoopClosed);
    assert_eq!(remote.spawn(|| async {}).unwrap_err(), LoopClosed);
    assert_eq!(remote.stop(), Err(LoopClosed));
    this.stop();
    let _ = (this.time(), format!("{this:?}"), this.clone() == this);
}

#[test]
fn the_loop_tells_whether_it_runs_and_its_own_time() {
    let event_loop = paused();
    let this = event_loop.loop_ref();
    assert!(!event_loop.is_running());
    let start = this.time();
    let inside = event_loop.block_on(async {
        assert!(EventLoop::current() == this);
        assert!(this.is_running());
        tulipa::sleep(Duration::from_secs(3600)).await;
        assert_eq!(this.time(), Instant::now());
        this.time()
    });
    // Outside, the thread's time is another one.
    assert_eq!(inside - start, Duration::from_secs(3600));
    assert_eq!(event_loop.time(), inside);
    assert!(Instant::now() < inside);
    assert!(!this.is_running());
}

#[test]
fn a_timer_set_from_outside_counts_on_the_loops_clock() {
    let event_loop = paused();
    event_loop.block_on(async { tulipa::sleep(Duration::from_secs(3600)).await });
    let timer = event_loop.call_later(MS, || EventLoop::current().stop());
    assert_eq!(timer.when(), event_loop.time() + MS);
    event_loop.run_forever().unwrap();
    assert_eq!(event_loop.time(), timer.when());
}

#[test]
fn the_current_loop_is_there_inside_only() {
    assert!(EventLoop::try_current().is_none());
    let one = EventLoop::new().unwrap();
    let two = EventLoop::new().unwrap();
    assert!(one.loop_ref() != two.loop_ref());
    let seen = two.block_on(async { EventLoop::try_current() });
    assert!(seen == Some(two.loop_ref()));
    assert!(EventLoop::try_current().is_none());
}

#[test]
#[should_panic(expected = "start the program with #[tulipa::main]")]
fn the_current_loop_outside_names_the_remedy() {
    EventLoop::current();
}

#[test]
fn references_may_outlive_the_loop_and_be_dropped_after_it() {
    let (this, remote, handle) = {
        let event_loop = EventLoop::new().unwrap();
        let handle = event_loop.spawn(pending::<()>());
        (event_loop.loop_ref(), event_loop.remote(), handle)
    };
    drop(this.clone());
    drop(handle);
    drop(this);
    std::thread::spawn(move || drop(remote)).join().unwrap();
}

// ---- §1 one iteration ----

#[test]
fn a_turn_is_one_turn() {
    let event_loop = EventLoop::new().unwrap();
    let trace = Trace::default();
    let inner = says(&trace, "second turn");
    event_loop.call_soon(move || _ = call_soon(inner));
    assert!(event_loop.has_ready());
    assert_eq!(
        event_loop.turn(Some(Duration::ZERO)).unwrap(),
        Turn::Continue
    );
    assert_eq!(trace.take(), Vec::<String>::new());
    assert_eq!(
        event_loop.turn(Some(Duration::ZERO)).unwrap(),
        Turn::Continue
    );
    assert_eq!(trace.take(), ["second turn"]);
    assert!(!event_loop.has_ready());
    event_loop.stop();
    assert_eq!(
        event_loop.turn(None).unwrap(),
        Turn::Stopped,
        "it does not wait"
    );
    event_loop.call_soon(|| EventLoop::current().stop());
    assert_eq!(event_loop.turn(None).unwrap(), Turn::Stopped);
}

#[test]
fn a_turn_waits_for_a_timer_and_an_idle_one_for_its_timeout_only() {
    let event_loop = EventLoop::new().unwrap();
    let start = Instant::now();
    assert_eq!(event_loop.turn(Some(MS)).unwrap(), Turn::Continue);
    assert!(start.elapsed() >= MS);
    let timer = event_loop.call_later(MS, || ());
    assert!(event_loop.next_deadline().unwrap() >= timer.when());
    while !timer.is_finished() {
        assert_eq!(event_loop.turn(None).unwrap(), Turn::Continue);
    }
    assert_eq!(event_loop.next_deadline(), None);
}

#[test]
fn tasks_spawned_from_outside_run_with_the_loop() {
    let event_loop = EventLoop::new().unwrap();
    let first = event_loop.spawn(async { 1 });
    let second = event_loop.loop_ref().spawn(async { 2 }).unwrap();
    let sum = event_loop.block_on(async { first.await.unwrap() + second.await.unwrap() });
    assert_eq!(sum, 3);
}

// ---- shuffling ----

/// The order in which thirty tasks and callbacks run, over two turns each.
fn order(seed: Option<u64>) -> Vec<String> {
    let mut builder = EventLoop::builder().start_paused(true);
    if let Some(seed) = seed {
        builder = builder.shuffle_seed(seed);
    }
    let event_loop = builder.build().unwrap();
    let trace = Trace::default();
    let log = trace.clone();
    event_loop.block_on(async move {
        for number in 0..10 {
            let (task, call, timer) = (log.clone(), log.clone(), log.clone());
            drop(tulipa::spawn(async move {
                task.add(format!("1 task {number}"));
                tulipa::yield_now().await;
                task.add(format!("2 task {number}"));
            }));
            call_soon(move || call.add(format!("1 call {number}")));
            call_later(MS, move || timer.add(format!("3 timer {number}")));
        }
        tulipa::sleep(MS * 2).await;
    });
    trace.take()
}

#[test]
fn a_seed_shuffles_each_turn_and_the_same_seed_the_same_way() {
    let orders: Vec<_> = (0..5).map(|seed| order(Some(seed))).collect();
    for (seed, shuffled) in orders.iter().enumerate() {
        assert_eq!(*shuffled, order(Some(seed as u64)), "seed {seed}");
        // Everything runs, and nothing before its turn.
        let mut sorted = shuffled.clone();
        sorted.sort_by_key(|it| it[..1].to_owned());
        assert_eq!(sorted, *shuffled, "seed {seed}");
        assert_eq!(shuffled.len(), 40);
        assert_ne!(orders[(seed + 1) % 5], *shuffled);
    }
}

#[test]
fn without_a_seed_the_order_is_first_in_first_out() {
    if std::env::var_os("TULIPA_SHUFFLE").is_some_and(|it| !it.is_empty()) {
        return; // The whole suite is being shuffled.
    }
    let mut sorted = order(None);
    sorted.sort_by_key(|it| (it[..1].to_owned(), it[it.len() - 1..].to_owned()));
    assert_eq!(sorted, order(None));
}

#[test]
fn the_environment_gives_a_seed_too() {
    const CHILD: &str = "TULIPA_TEST_SHUFFLED_CHILD";
    if std::env::var_os(CHILD).is_some() {
        println!("order: {}", order(None).join(","));
        return;
    }
    let child = |seed: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "event_loop::the_environment_gives_a_seed_too",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("TULIPA_SHUFFLE", seed)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let expected = format!("order: {}", order(Some(3)).join(","));
    assert!(child("3").contains(&expected));
    let refused = child("three");
    assert!(
        refused.contains("TULIPA_SHUFFLE is to be a number"),
        "{refused}"
    );
}
