//! What asyncio's own test-suite pins down, where no other module here does.
//!
//! The numbers in comments are sections of the specification that the project is built to;
//! `tests/PARITY.md` goes through them all.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use tulipa::cancel::{CancelScope, catch_cancel};
use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::{EventLoop, ExceptionKind, Promise, Runner, call_at, call_later, call_soon};
use tulipa::task::{self, Builder, Context, context_local};
use tulipa::time::Instant;
use tulipa::{
    finally, gather, gather_settled, shield, sleep, spawn, spawn_blocking, task_group, timeout,
    timeout_at, yield_now,
};

use crate::support::{Drops, Trace, listening_runner, turns};

const MS: Duration = Duration::from_millis(1);

// ---- §1 event loop ----

/// §1 run_until_complete(): a nested call is an error, and the coroutine never begins.
#[test]
fn the_future_of_a_nested_run_is_dropped_unpolled() {
    let drops = Drops::default();
    let inner = EventLoop::new().unwrap();
    tulipa::run(async {
        let witness = drops.witness();
        let nested = catch_unwind(AssertUnwindSafe(|| {
            let _ = inner.run_until_complete(async move {
                let _witness = witness;
                unreachable!("a loop runs on this thread already");
            });
        }));
        assert!(nested.is_err());
        assert_eq!(drops.count(), 1);
    });
}

/// §1 close(): the executor is shut down without waiting; §19 nothing is delivered to a closed loop (test).
#[test]
fn a_loop_closes_without_waiting_for_blocking_work_and_hears_nothing_of_it() {
    let (release, hold) = mpsc::channel::<()>();
    let (report, ended) = mpsc::channel();
    let event_loop = EventLoop::new().unwrap();
    let mut job = event_loop.block_on(async {
        let (started, begun) = mpsc::channel();
        let mut job = spawn_blocking(move || {
            started.send(()).unwrap();
            let _ = hold.recv();
            5
        });
        begun.recv().unwrap();
        // Leaves a waker of the loop's with the job.
        assert!(timeout(Duration::ZERO, &mut job).await.is_err());
        job
    });
    event_loop.close();
    drop(release);
    std::thread::spawn(move || report.send(job.join_timeout(Duration::MAX).unwrap().unwrap()));
    assert_eq!(ended.recv(), Ok(5));
}

// ---- §2 callbacks, §4 futures ----

context_local! {
    static NAME: &'static str = "nobody";
}

/// §2 call_soon, §4 add_done_callback: the context is captured at registration, not at the call; what a callback
/// sets is its own.
#[tulipa::test(start_paused = true)]
async fn a_callback_has_the_context_of_its_registration() {
    let trace = Trace::default();
    let note = |what: &'static str| {
        let trace = trace.clone();
        move || {
            trace.add(format!("{what} {}", NAME.get()));
            NAME.set("a callback");
        }
    };
    NAME.set("registered");
    call_soon(note("soon"));
    call_later(MS, note("later"));
    call_at(Instant::now() + MS * 2, note("at"));
    let promise = Promise::new();
    let done = note("promise");
    promise.on_done(move |_| done());
    let done = note("task");
    spawn(sleep(MS * 3)).on_done(move |_| done());
    NAME.set("changed since");
    promise.set(()).unwrap();
    sleep(MS * 4).await;
    assert_eq!(
        trace.take(),
        [
            "soon registered",
            "promise registered",
            "later registered",
            "at registered",
            "task registered"
        ]
    );
    assert_eq!(NAME.get(), "changed since");
}

/// §2 call_soon_threadsafe: a thread has no context of its own, so the callback has the loop's.
#[test]
fn a_call_from_another_thread_has_the_context_of_the_loop() {
    let mut runner = Runner::new().unwrap();
    runner.run(async {
        NAME.set("set by main, which shares the loop's context");
        let remote = EventLoop::current().remote();
        let (report, told) = mpsc::channel();
        std::thread::spawn(move || remote.call_soon(move || report.send(NAME.get()).unwrap()));
        let name = spawn_blocking(move || told.recv()).await.unwrap();
        assert_eq!(name, Ok("nobody"));
    });
}

// ---- §5 tasks ----

/// §5 create_task(context=): in asyncio the context is then shared. Ours is copied, so that what a task sets
/// never shows elsewhere.
#[tulipa::test]
async fn a_context_that_a_task_is_given_is_not_changed_by_it() {
    NAME.set("given");
    let given = Context::current();
    let task = Builder::new().context(given.clone()).spawn(async {
        let before = NAME.get();
        NAME.set("set inside");
        (before, NAME.get())
    });
    assert_eq!(task.await.unwrap(), ("given", "set inside"));
    assert_eq!(given.enter(|| NAME.get()), "given");
}

/// §5 get_name, set_name: from inside and from outside.
#[tulipa::test]
async fn a_task_can_be_named_and_named_again() {
    let handle = Builder::new().name("first").spawn(async {
        let before = task::current().name();
        task::current().set_name("second");
        yield_now().await;
        (before, task::current().name())
    });
    assert_eq!(handle.name().as_deref(), Some("first"));
    turns(1).await;
    assert_eq!(handle.name().as_deref(), Some("second"));
    handle.task().set_name(String::from("third"));
    let names = handle.await.unwrap();
    assert_eq!(names, (Some("first".into()), Some("third".into())));
    assert_eq!(spawn(async {}).name(), None);
}

/// §5 all_tasks: those that are not done, of this loop alone; oldest first (ours).
#[tulipa::test]
async fn all_tasks_are_those_that_have_not_ended() {
    let me = task::current();
    let done = spawn(async {});
    let waits = spawn(pending::<()>());
    turns(1).await;
    assert!(done.is_finished());
    let new = spawn(async {});
    assert_eq!(task::all(), [me, waits.task(), new.task()]);
    let elsewhere = std::thread::spawn(|| tulipa::run(async { task::all().len() }));
    assert_eq!(elsewhere.join().unwrap(), 1);
}

// ---- §6 task helpers ----

/// §6 gather: a cancelled child counts as a failure, and cancels nobody else.
#[tulipa::test(start_paused = true)]
async fn a_child_of_a_gather_that_is_cancelled_is_a_failure_and_no_request() {
    let children = |log: &Trace| {
        (0..2).map({
            let log = log.clone();
            move |number| {
                let log = log.clone();
                async move {
                    if number == 0 {
                        task::current().cancel_with("by itself");
                    }
                    sleep(MS).await;
                    log.add("the other goes on");
                }
            }
        })
    };
    let log = Trace::default();
    let error = gather(children(&log)).await.unwrap_err();
    assert_eq!(error.reason(), Some(&"by itself".into()));
    assert_eq!(task::current().cancelling(), 0);
    sleep(MS * 2).await;
    assert_eq!(log.take(), ["the other goes on"]);

    let results = gather_settled(children(&log)).await;
    assert!(results[0].as_ref().unwrap_err().is_cancelled() && results[1].is_ok());
}

/// §6 cancelling gather (test): when all children are done it cancels none. In asyncio it then returns False; here it
/// is the task that awaits which is asked, and a request wins over a result that is there (§7).
#[tulipa::test]
async fn a_request_after_the_last_child_of_a_gather_is_the_waiting_tasks() {
    let promise = Promise::new();
    let child = promise.clone();
    let outer = spawn(async move {
        let values = gather([child]).await;
        unreachable!("it got {values:?}");
    });
    turns(2).await;
    promise.set(1).unwrap();
    turns(1).await; // The child has ended, its waiter is queued.
    assert_eq!(task::all().len(), 2);
    assert!(outer.cancel());
    assert!(outer.await.unwrap_err().is_cancelled());
}

/// §6 wait_for with t <= 0 (obs): what is done yields its result, and a task never starts.
#[tulipa::test]
async fn a_timeout_of_zero_takes_what_is_done_and_never_starts_a_task() {
    for limit in [false, true] {
        let until = Instant::now() - MS;
        let expire = |handle| async move {
            if limit {
                timeout_at(until, handle).await
            } else {
                timeout(Duration::ZERO, handle).await
            }
        };
        let started = Rc::new(Cell::new(false));
        let flag = started.clone();
        let fresh = spawn(async move { flag.set(true) });
        let reference = fresh.task();
        assert!(expire(fresh).await.is_err());
        assert!(!started.get() && reference.is_finished());

        let done = spawn(async {});
        turns(2).await;
        assert!(expire(done).await.unwrap().is_ok());
    }
}

/// §6 wait_for, trap 9 (TRAP): the value is set, and the timer fires before the waiter runs. asyncio loses the value;
/// ours is the value. When the timer was set first it is the deadline, for ties come in the order they were set.
#[tulipa::test(start_paused = true)]
async fn a_tie_of_value_and_deadline_goes_to_the_value() {
    for value_is_first in [true, false] {
        let promise = Promise::new();
        let at = Instant::now() + MS;
        let setter = promise.clone();
        let set = move || _ = call_at(at, move || setter.set(7).unwrap());
        if value_is_first {
            set();
            assert_eq!(timeout_at(at, promise).await, Ok(Ok(7)));
        } else {
            let waiter = spawn(timeout_at(at, promise));
            turns(1).await; // Its timer is set.
            set();
            assert!(waiter.await.unwrap().is_err());
        }
        assert_eq!(Instant::now(), at);
    }
}

/// §6 wait_for: cancelling it cancels what is inside, and waits for that.
#[tulipa::test(start_paused = true)]
async fn a_cancelled_timeout_cancels_what_is_inside_and_waits() {
    let log = Trace::default();
    let inner = spawn(finally(pending::<()>(), {
        let log = log.clone();
        async move {
            sleep(MS).await;
            log.add("inner cleaned up");
        }
    }));
    let outer = spawn({
        let log = log.clone();
        async move {
            let _told = OnDrop(log, "outer ends");
            let _ = timeout(MS * 1000, inner).await;
            unreachable!("the request goes on outwards");
        }
    });
    turns(2).await;
    outer.cancel();
    assert!(outer.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["inner cleaned up", "outer ends"]);
}

/// §6 shield: cancelling the inner task is told to the outer one (in asyncio: cancels it; here an ordinary error, §7);
/// an inner task that is done yields its value at once.
#[tulipa::test]
async fn what_is_shielded_may_be_cancelled_itself() {
    let inner = spawn(pending::<()>());
    let reference = inner.task();
    let outer = spawn(async move { (inner.shield().await, task::current().cancelling()) });
    turns(2).await;
    reference.cancel_with("itself");
    let (result, requests) = outer.await.unwrap();
    assert_eq!(result.unwrap_err().reason(), Some(&"itself".into()));
    assert_eq!(requests, 0);

    let done = spawn(async { 5 });
    turns(1).await;
    assert_eq!(
        timeout(Duration::ZERO, done.shield())
            .await
            .unwrap()
            .unwrap(),
        5
    );
}

/// §6 shield [3.14], trap 13: if the outer task was cancelled and the inner one fails later, the handler is told, once,
/// also under several shields.
#[test]
fn a_late_failure_behind_a_shield_is_told_once() {
    for shields in [1, 2] {
        let (mut runner, heard) = listening_runner();
        runner.run(async {
            let fails = async {
                turns(4).await;
                panic!("too late");
            };
            let outer = spawn(async move {
                if shields == 1 {
                    let _: Result<(), _> = shield(fails).await;
                } else {
                    let twice = async { shield(fails).await.map(|(): ()| ()).unwrap() };
                    let _ = shield(twice).await;
                }
            });
            turns(2).await;
            outer.cancel();
            assert!(outer.await.unwrap_err().is_cancelled());
            turns(8).await;
        });
        let heard = heard.take();
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_eq!(heard[0].0, ExceptionKind::TaskPanicked);
        assert!(heard[0].1.contains("too late"), "{heard:?}");
    }
}

/// §6 Timeout: when(), reschedule(), expired(); None is never; only once, and not after it has expired.
#[tulipa::test(start_paused = true)]
async fn a_scopes_deadline_can_be_moved_until_it_has_come() {
    let start = Instant::now();
    let scope = CancelScope::new().timeout(MS);
    assert_eq!(scope.deadline(), None);
    let result = scope.clone().run(async {
        assert_eq!(scope.deadline(), Some(start + MS));
        assert!(scope.reschedule(start + MS * 5));
        sleep(MS * 3).await;
        assert!(!scope.expired());
        finally(pending::<()>(), async {
            assert!(scope.expired() && !scope.reschedule(start + MS * 9));
        })
        .await;
    });
    assert!(result.await.is_err());
    assert_eq!(start.elapsed(), MS * 5);
    assert!(scope.expired() && !scope.reschedule(start + MS * 9));

    let endless = CancelScope::new();
    assert_eq!(
        endless.clone().run(async { endless.deadline() }).await,
        Ok(None)
    );
    let again = catch_unwind(AssertUnwindSafe(|| {
        let mut again = Box::pin(endless.clone().run(async {}));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = again.as_mut().poll(&mut cx);
    }));
    assert!(again.is_err(), "a scope is entered once");
}

/// §6 timeout (test): with a deadline in the past even `sleep(0)` inside fails.
#[tulipa::test(start_paused = true)]
async fn behind_a_deadline_that_has_passed_the_first_wait_ends() {
    let past = Instant::now() - MS;
    for wait_twice in [false, true] {
        let waits = async || {
            if wait_twice {
                sleep(Duration::ZERO).await;
            } else {
                yield_now().await;
            }
        };
        let scope = CancelScope::new().deadline_at(past);
        assert!(scope.clone().run(waits()).await.is_err());
        assert!(scope.expired());
        assert!(timeout_at(past, waits()).await.is_err());
    }
    // Moved into the past from inside.
    let scope = CancelScope::new();
    let result = scope.clone().run(async {
        assert!(scope.reschedule(past));
        yield_now().await;
    });
    assert!(result.await.is_err());
}

/// §6 timeout (obs): a body that ends past the deadline without waiting is a success, also with a late `sleep(0)`.
#[tulipa::test]
async fn a_body_that_ends_past_its_deadline_without_waiting_is_a_success() {
    let blocks_until = |deadline: Instant| while Instant::now() < deadline {};
    for yields in [false, true] {
        let deadline = Instant::now() + MS;
        let late = async {
            blocks_until(deadline + MS);
            if yields {
                yield_now().await;
            }
            7
        };
        assert_eq!(timeout_at(deadline, late).await, Ok(7));
    }
}

/// §6 nested timeouts with equal deadlines (test), trap 9: the outer one reports, and both have expired.
#[tulipa::test(start_paused = true)]
async fn of_nested_timeouts_with_equal_deadlines_the_outer_one_reports() {
    let at = Instant::now() + MS;
    let (outer, inner) = (
        CancelScope::new().deadline_at(at),
        CancelScope::new().deadline_at(at),
    );
    let nested = inner.clone().run(pending::<()>());
    let reached = Cell::new(false);
    let result = outer.clone().run(async {
        let _ = nested.await;
        reached.set(true);
        yield_now().await;
    });
    assert!(result.await.is_err());
    assert!(outer.expired() && inner.expired());

    let at = Instant::now() + MS;
    let result = timeout_at(at, timeout_at(at, pending::<()>())).await;
    assert!(result.is_err() || result.unwrap().is_err());
}

/// §6 timeout vs other cancels (obs): a swallowed expiry is no error, leaves no request, and `expired()` is true.
#[tulipa::test(start_paused = true)]
async fn a_body_that_swallows_its_deadline_is_a_success_that_has_expired() {
    let scope = CancelScope::new().timeout(MS);
    let result = scope.clone().run(async {
        let _ = catch_cancel(pending::<()>()).await;
        sleep(MS).await;
        7
    });
    assert_eq!(result.await, Ok(7));
    assert!(scope.expired() && scope.is_cancelled());
    assert_eq!(task::current().cancelling(), 0);
    yield_now().await; // Nothing arrives any more.
}

/// §6 TaskGroup vs outer cancel: a body that fails while it is cancelled. The error comes out, then the request, with the
/// count at 1. (In asyncio the request comes back also when the body has caught it. Here whoever drops a `Cancelled` has
/// swallowed it: what was swallowed does not come back, and still counts.)
#[tulipa::test]
async fn a_body_that_fails_while_it_is_cancelled_is_an_error_and_then_the_request_arrives() {
    for catches in [false, true] {
        let log = Trace::default();
        let task = spawn({
            let log = log.clone();
            async move {
                let result: Result<(), _> = task_group(async |group| {
                    group.spawn(pending::<Result<(), &str>>());
                    if catches {
                        let _swallowed = catch_cancel(pending::<()>()).await;
                    } else {
                        task::current().cancel();
                    }
                    Err("while cancelled")
                })
                .await;
                let error = result.unwrap_err();
                assert_eq!(error.first().unwrap().error(), Some(&"while cancelled"));
                log.add(format!("count {}", task::current().cancelling()));
                yield_now().await;
                log.add("went on");
            }
        });
        turns(2).await;
        if catches {
            task.cancel();
        }
        assert_eq!(task.await.is_ok(), catches);
        let expected: &[_] = if catches {
            &["count 1", "went on"]
        } else {
            &["count 1"]
        };
        assert_eq!(log.take(), expected);
    }
}

/// §6 staggered_race: an outer request waits for the clean-ups of all attempts.
#[tulipa::test(start_paused = true)]
async fn a_cancelled_staggered_race_waits_for_the_clean_ups_of_its_attempts() {
    let log = Trace::default();
    let task = spawn({
        let log = log.clone();
        async move {
            let attempts = (1..=3).map(|number: u32| {
                let log = log.clone();
                finally(pending::<Result<(), ()>>(), async move {
                    sleep(MS * number).await;
                    log.add(format!("attempt {number} cleaned up"));
                })
            });
            let _ = task::staggered_race(attempts, MS * 10).await;
        }
    });
    sleep(MS * 15).await; // Two have begun.
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(log.take(), ["attempt 1 cleaned up", "attempt 2 cleaned up"]);
}

// ---- §7 cancellation ----

/// §7 cancel vs completed wait (obs), trap 7: the result is set, the task queued, then comes the request: it wins.
#[tulipa::test]
async fn a_request_that_comes_before_the_resumption_wins_over_the_result() {
    let promise = Promise::new();
    let awaited = promise.clone();
    let task = spawn(async move {
        let value = awaited.await;
        unreachable!("it got {value:?}");
    });
    turns(1).await;
    promise.set(5).unwrap();
    assert!(task.cancel());
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(promise.try_result(), Some(Ok(&5)), "nothing else loses it");
}

/// §7 what `finally` may do (ours): a clean-up that runs because the body is over lets one request pass by; the second
/// one interrupts it.
#[tulipa::test(start_paused = true)]
async fn a_clean_up_after_a_body_that_is_over_lets_one_request_pass_by() {
    for requests in [1, 2] {
        let log = Trace::default();
        let task = spawn({
            let log = log.clone();
            async move {
                finally(async {}, async {
                    log.add("begins");
                    sleep(MS).await;
                    log.add("ends");
                })
                .await;
                yield_now().await;
                unreachable!("the request goes on outwards");
            }
        });
        turns(1).await;
        for _ in 0..requests {
            task.cancel();
            turns(2).await;
        }
        assert!(task.await.unwrap_err().is_cancelled());
        let expected: &[_] = if requests == 1 {
            &["begins", "ends"]
        } else {
            &["begins"]
        };
        assert_eq!(log.take(), expected);
    }
}

/// §7 repr while cancelling: `Debug` tells of requests.
#[tulipa::test]
async fn a_task_that_was_asked_to_end_prints_so() {
    let handle = spawn(finally(pending::<()>(), pending()).grace(MS));
    turns(1).await;
    assert!(format!("{:?}", handle.task()).contains("cancelling: 0"));
    handle.cancel();
    let text = format!("{:?}", handle.task());
    assert!(text.contains("cancelling: 1"), "{text}");
    handle.abort();
}

/// §7 I/O in flight (obs): a cancelled read leaves the bytes to the next one.
#[tulipa::test]
async fn a_cancelled_read_leaves_the_bytes() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    let server = Rc::new(RefCell::new(server));
    let reader = spawn({
        let server = server.clone();
        #[allow(
            clippy::await_holding_refcell_ref,
            reason = "nobody else borrows meanwhile"
        )]
        async move {
            let mut bytes = [0; 8];
            server.borrow_mut().read(&mut bytes).await
        }
    });
    turns(1).await;
    client.write_all(b"kept").await?;
    reader.cancel();
    assert!(reader.await.unwrap_err().is_cancelled());
    let mut bytes = [0; 8];
    let mut server = Rc::into_inner(server).unwrap().into_inner();
    assert_eq!(server.read(&mut bytes).await?, 4);
    assert_eq!(&bytes[..4], b"kept");
    Ok(())
}

// ---- §21 exception handler ----

/// §21 a custom handler that raises: the loop goes on, and hears of the next failure.
#[test]
fn an_exception_handler_that_panics_does_not_end_the_loop() {
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let mut runner = Runner::builder()
        .exception_handler(move |_| {
            count.set(count.get() + 1);
            panic!("in the handler");
        })
        .build()
        .unwrap();
    runner.run(async {
        for _ in 0..2 {
            call_soon(|| panic!("in a callback"));
        }
        turns(3).await;
    });
    assert_eq!(calls.get(), 2);
}

/// Tells when it is dropped.
struct OnDrop(Trace, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}
