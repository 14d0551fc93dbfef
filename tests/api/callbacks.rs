//! Callbacks and timers that call. (asyncio parity 2 and 3; traps 1, 2 and 3)

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Drops, Trace, listening_runner, turns};
use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::{
    EventLoop, ExceptionKind, Handle, Runner, TimerHandle, call_at, call_later, call_soon,
};
use tulipa::time::Instant;

const MS: Duration = Duration::from_millis(1);

fn paused() -> Runner {
    Runner::builder().start_paused(true).build().unwrap()
}

/// A callback that adds to a trace.
fn says(trace: &Trace, what: impl Into<String>) -> impl FnOnce() + 'static {
    let (trace, what) = (trace.clone(), what.into());
    move || trace.add(what)
}

// ---- §2 call_soon ----

#[test]
fn callbacks_and_tasks_run_in_the_order_of_the_calls_and_not_before_the_next_turn() {
    tulipa::run(async {
        let trace = Trace::default();
        for name in ["a", "b", "c"] {
            call_soon(says(&trace, format!("call {name}")));
            let log = trace.clone();
            drop(tulipa::spawn(
                async move { log.add(format!("task {name}")) },
            ));
        }
        trace.add("main");
        tulipa::yield_now().await;
        assert_eq!(
            trace.take(),
            [
                "main", "call a", "task a", "call b", "task b", "call c", "task c"
            ]
        );
    });
}

// Trap 1
#[test]
fn callbacks_added_by_callbacks_wait_for_the_next_turn() {
    tulipa::run(async {
        let trace = Trace::default();
        let (log, inner) = (trace.clone(), says(&trace, "inner"));
        call_soon(move || {
            log.add("outer");
            call_soon(inner);
        });
        call_soon(says(&trace, "neighbour"));
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["outer", "neighbour"]);
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["inner"]);
    });
}

#[test]
fn a_callback_runs_outside_of_any_task() {
    tulipa::run(async {
        let seen = Rc::new(Cell::new(false));
        let flag = seen.clone();
        call_soon(move || {
            assert!(tulipa::task::try_id().is_none());
            assert!(EventLoop::current().is_running());
            flag.set(true);
        });
        let own = tulipa::task::id();
        tulipa::yield_now().await;
        assert!(seen.get());
        assert_eq!(tulipa::task::id(), own);
    });
}

#[test]
fn a_callback_is_called_once_and_then_gone() {
    tulipa::run(async {
        let drops = Drops::default();
        let (witness, calls) = (drops.witness(), Rc::new(Cell::new(0)));
        let count = calls.clone();
        let handle = call_soon(move || {
            let _witness = witness;
            count.set(count.get() + 1);
        });
        assert!(!handle.is_finished());
        turns(3).await;
        assert_eq!((calls.get(), drops.count()), (1, 1));
        assert!(handle.is_finished() && !handle.is_cancelled());
        handle.cancel();
        assert!(!handle.is_cancelled(), "it was called");
    });
}

// §1 starvation: a chain of callbacks leaves sockets and timers their turns.
#[test]
fn a_chain_of_callbacks_does_not_starve_sockets_and_timers() {
    fn link(is_on: Rc<Cell<bool>>) {
        if is_on.get() {
            call_soon(move || link(is_on));
        }
    }
    tulipa::run(async {
        let is_on = Rc::new(Cell::new(true));
        link(is_on.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let client = tulipa::spawn(async move { TcpStream::connect(addr).await.map(drop) });
        listener.accept().await.unwrap();
        client.await.unwrap().unwrap();
        tulipa::sleep(MS).await;
        is_on.set(false);
    });
}

// ---- §2 Handle.cancel() ----

#[test]
fn cancelling_drops_the_callback_at_once_and_twice_is_once() {
    tulipa::run(async {
        let drops = Drops::default();
        let witness = drops.witness();
        let handle = call_soon(move || {
            let _witness = &witness;
            unreachable!("it was cancelled");
        });
        assert!(!handle.is_cancelled());
        handle.cancel();
        assert_eq!(drops.count(), 1);
        assert!(handle.is_cancelled() && handle.is_finished());
        handle.cancel();
        turns(2).await;
        assert_eq!(drops.count(), 1);
    });
}

// §2 (obs), trap 3
#[test]
fn a_callback_of_this_very_turn_can_be_cancelled() {
    tulipa::run(async {
        let place: Rc<RefCell<Option<Handle>>> = Rc::default();
        let victim = place.clone();
        call_soon(move || victim.borrow().as_ref().unwrap().cancel());
        let handle = call_soon(|| unreachable!("it was cancelled in its turn"));
        place.replace(Some(handle));
        tulipa::yield_now().await;
        assert!(place.borrow().as_ref().unwrap().is_cancelled());
    });
}

#[test]
fn a_callback_that_cancels_itself_while_it_runs_goes_on() {
    tulipa::run(async {
        let place: Rc<RefCell<Option<Handle>>> = Rc::default();
        let own = place.clone();
        let handle = call_soon(move || {
            let own = own.take().unwrap();
            own.cancel();
            assert!(!own.is_cancelled() && !own.is_finished());
        });
        place.replace(Some(handle));
        turns(2).await;
        assert!(place.borrow().is_none());
    });
}

#[test]
fn what_a_cancelled_callback_held_may_use_the_loop_and_its_own_handle() {
    struct OnDrop(Rc<RefCell<Option<Handle>>>, Trace);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            if let Some(handle) = &*self.0.borrow() {
                handle.cancel();
            }
            call_soon(says(&self.1, "called by the destructor"));
        }
    }
    tulipa::run(async {
        let (place, trace) = (Rc::default(), Trace::default());
        let held = OnDrop(Rc::clone(&place), trace.clone());
        let handle = call_soon(move || {
            let _held = &held;
            unreachable!("it was cancelled");
        });
        place.replace(Some(handle));
        place.borrow().as_ref().unwrap().cancel();
        turns(2).await;
        assert_eq!(trace.take(), ["called by the destructor"]);
    });
}

#[test]
fn dropping_a_handle_changes_nothing_and_dropping_its_guard_cancels() {
    tulipa::run(async {
        let trace = Trace::default();
        drop(call_soon(says(&trace, "soon")));
        drop(call_later(Duration::ZERO, says(&trace, "later")));
        drop(call_soon(says(&trace, "never")).guard());
        drop(call_later(Duration::ZERO, says(&trace, "never")).guard());
        let guard = call_soon(says(&trace, "guarded")).guard();
        turns(3).await;
        assert!(guard.handle().is_finished());
        assert_eq!(trace.take(), ["soon", "guarded", "later"]);
    });
}

// §2 repr
#[test]
fn handles_print_where_they_were_registered_and_their_state() {
    tulipa::run(async {
        let (soon, line) = (call_soon(|| ()), line!());
        let (later, later_line) = (call_later(MS, || ()), line!());
        let place = format!("callbacks.rs:{line}:");
        assert!(format!("{soon:?}").contains(&place), "{soon:?}");
        assert!(format!("{soon:?}").contains("ready"), "{soon:?}");
        let place = format!("callbacks.rs:{later_line}:");
        assert!(format!("{later:?}").contains(&place), "{later:?}");
        assert!(format!("{later:?}").contains("waiting"), "{later:?}");
        assert_eq!(later.registered_at().line(), later_line);
        later.cancel();
        tulipa::yield_now().await;
        assert!(format!("{soon:?}").contains("called"), "{soon:?}");
        assert!(format!("{later:?}").contains("cancelled"), "{later:?}");
    });
}

// §2 exception in a callback
#[test]
fn a_panic_in_a_callback_is_reported_with_its_place_and_the_loop_goes_on() {
    let (mut runner, heard) = listening_runner();
    let line = line!() + 2;
    runner.run(async {
        let handle = call_soon(|| panic!("oh no"));
        let trace = Trace::default();
        call_soon(says(&trace, "next"));
        call_later(Duration::ZERO, || panic!("late")).cancel();
        turns(2).await;
        assert_eq!(trace.take(), ["next"]);
        assert!(handle.is_finished() && !handle.is_cancelled());
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].0, ExceptionKind::CallbackPanicked);
    let start = "callback registered at tests/api/callbacks.rs";
    assert!(heard[0].1.starts_with(start), "{}", heard[0].1);
    assert!(
        heard[0].1.contains(&format!("callbacks.rs:{line}:")),
        "{}",
        heard[0].1
    );
    assert!(heard[0].1.ends_with("panicked: oh no"), "{}", heard[0].1);
}

#[test]
fn a_panic_in_what_a_cancelled_callback_held_is_reported() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let (mut runner, heard) = listening_runner();
    runner.run(async {
        let held = Panics;
        let handle = call_soon(move || _ = &held);
        handle.cancel();
        assert!(handle.is_cancelled());
        let held = Panics;
        drop(call_later(MS, move || _ = &held));
    });
    drop(runner);
    let kinds: Vec<_> = heard.take().into_iter().map(|it| it.0).collect();
    assert_eq!(kinds, [ExceptionKind::DestructorPanicked; 2]);
}

// ---- §1 close(): drops queued handles and timers uncalled ----

#[test]
fn closing_drops_callbacks_and_timers_uncalled() {
    let drops = Drops::default();
    let mut handles: (Vec<Handle>, Vec<TimerHandle>) = Default::default();
    let event_loop = EventLoop::new().unwrap();
    let never = |drops: &Drops| {
        let witness = drops.witness();
        move || {
            let _witness = &witness;
            unreachable!("the loop is closed");
        }
    };
    handles.0.push(event_loop.call_soon(never(&drops)));
    for when in [
        Instant::from_nanos(0),
        Instant::now() + MS * 3600,
        Instant::FAR_FUTURE,
    ] {
        handles.1.push(event_loop.call_at(when, never(&drops)));
    }
    event_loop.close();
    assert_eq!(drops.count(), 4);
    assert!(handles.0.iter().all(Handle::is_cancelled));
    for handle in &handles.1 {
        assert!(handle.is_cancelled());
        assert!(!handle.reschedule(Instant::now()));
        handle.cancel();
    }
}

#[test]
fn callbacks_registered_while_the_loop_closes_are_dropped_uncalled() {
    struct Registers(Drops);
    impl Drop for Registers {
        fn drop(&mut self) {
            let witness = self.0.witness();
            let handle = call_soon(move || {
                let _witness = &witness;
                unreachable!("the loop is closing");
            });
            assert!(handle.is_cancelled());
            let witness = self.0.witness();
            let handle = call_later(MS, move || {
                let _witness = &witness;
                unreachable!("the loop is closing");
            });
            assert!(handle.is_cancelled());
            let witness = self.0.witness();
            drop(tulipa::spawn(async move {
                let _witness = witness;
                unreachable!("the loop is closing");
            }));
        }
    }
    let drops = Drops::default();
    let runner = Runner::new().unwrap();
    let held = Registers(drops.clone());
    drop(runner.event_loop().call_soon(move || _ = &held));
    drop(runner);
    assert_eq!(drops.count(), 3);
}

// ---- §3 timers ----

// §3 (test)
#[test]
fn deadlines_that_have_passed_come_next_turn_in_their_order() {
    paused().run(async {
        let trace = Trace::default();
        let now = Instant::now();
        call_at(now, says(&trace, "0"));
        call_at(now - MS, says(&trace, "-1"));
        call_at(now - MS * 2, says(&trace, "-2"));
        call_later(Duration::ZERO, says(&trace, "0 again"));
        trace.add("main");
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["main"], "this task was ready before");
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["-2", "-1", "0", "0 again"]);
        assert_eq!(Instant::now(), now);
    });
}

// §3 equal deadlines (obs), trap 2: asyncio promises no order here.
#[test]
fn equal_deadlines_come_in_the_order_they_were_set_together_with_sleeps() {
    paused().run(async {
        let trace = Trace::default();
        let when = Instant::now() + MS;
        for number in 0..12 {
            if number % 3 == 2 {
                let log = trace.clone();
                let task = tulipa::spawn(async move {
                    tulipa::sleep_until(when).await;
                    log.add(number.to_string());
                });
                drop(task);
                tulipa::yield_now().await; // A sleep is set at its first poll.
            } else {
                call_at(when, says(&trace, number.to_string()));
            }
        }
        tulipa::sleep(MS * 2).await;
        let expected: Vec<_> = (0..12).map(|it| it.to_string()).collect();
        assert_eq!(trace.take(), expected);
    });
}

// §1 order inside an iteration (obs)
#[test]
fn in_a_turn_come_what_was_ready_then_sockets_then_timers() {
    use std::io::{Read, Write};
    let trace = Trace::default();
    let event_loop = EventLoop::new().unwrap();
    let log = trace.clone();
    let peer = event_loop.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let peer = std::net::TcpStream::connect(addr).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(tulipa::spawn(async move {
            stream.write_all(b"!").await.unwrap();
            stream.read(&mut [0]).await.unwrap();
            log.add("socket");
        }));
        tulipa::yield_now().await;
        peer
    });
    (&peer).read_exact(&mut [0]).unwrap();
    // The task waits. Now all three become ready for the same turn, in another order.
    while event_loop.has_ready() {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    event_loop.call_later(Duration::ZERO, says(&trace, "timer"));
    (&peer).write_all(b"!").unwrap();
    event_loop.call_soon(says(&trace, "soon"));
    let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(trace.take(), ["soon", "socket", "timer"]);
}

#[test]
fn a_timer_tells_its_deadline_and_is_never_early() {
    paused().run(async {
        let start = Instant::now();
        let seen = Rc::new(Cell::new(None));
        let place = seen.clone();
        let delay = Duration::from_secs(100 * 3600) + Duration::from_nanos(1);
        let handle = call_later(delay, move || place.set(Some(Instant::now())));
        assert_eq!(handle.when(), start + delay);
        tulipa::sleep(delay - Duration::from_nanos(1)).await;
        assert_eq!(seen.get(), None);
        tulipa::sleep(Duration::from_nanos(1)).await;
        turns(1).await;
        assert_eq!(seen.get(), Some(start + delay));
        assert!(handle.is_finished());
    });
}

#[test]
fn a_timer_of_no_delay_runs_in_the_next_turn_behind_what_is_ready() {
    paused().run(async {
        let trace = Trace::default();
        call_later(Duration::ZERO, says(&trace, "timer"));
        call_soon(says(&trace, "soon"));
        tulipa::yield_now().await;
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["soon", "timer"]);
    });
}

// §3 TimerHandle.cancel (test)
#[test]
fn a_cancelled_timer_is_dropped_at_once_also_when_it_is_due() {
    paused().run(async {
        let drops = Drops::default();
        let timers: Vec<_> = [Duration::ZERO, MS, MS * 1_000_000]
            .map(|delay| {
                let witness = drops.witness();
                call_later(delay, move || {
                    let _witness = &witness;
                    unreachable!("it was cancelled");
                })
            })
            .into();
        for (count, timer) in timers.iter().enumerate() {
            timer.cancel();
            timer.cancel();
            assert!(timer.is_cancelled());
            assert_eq!(drops.count(), count as u32 + 1);
        }
        // One that is due cancels its neighbour of the same instant.
        let place: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
        let victim = place.clone();
        call_later(MS, move || victim.borrow().as_ref().unwrap().cancel());
        let due = call_later(MS, || unreachable!("it was cancelled in its turn"));
        place.replace(Some(due));
        tulipa::sleep(MS * 2).await;
        assert!(place.borrow().as_ref().unwrap().is_cancelled());
    });
}

#[test]
fn a_timer_may_be_rescheduled_to_later_to_sooner_and_to_the_past() {
    paused().run(async {
        let trace = Trace::default();
        let now = Instant::now();
        let later = call_at(now + MS, says(&trace, "later"));
        let sooner = call_at(now + MS * 9, says(&trace, "sooner"));
        let past = call_at(now + MS * 9, says(&trace, "past"));
        assert!(later.reschedule(now + MS * 4));
        assert!(sooner.reschedule(now + MS * 2));
        assert!(past.reschedule(now - MS));
        assert_eq!(later.when(), now + MS * 4);
        turns(2).await;
        assert_eq!(trace.take(), ["past"]);
        tulipa::sleep(MS * 3).await;
        assert_eq!(trace.take(), ["sooner"]);
        tulipa::sleep(MS * 3).await;
        assert_eq!(trace.take(), ["later"]);
        assert!(!later.reschedule(now + MS * 20), "it was called");
        sooner.cancel();
        tulipa::sleep(MS * 30).await;
        assert_eq!(trace.take(), Vec::<String>::new());
    });
}

#[test]
fn among_equal_deadlines_a_rescheduled_timer_comes_last() {
    paused().run(async {
        let trace = Trace::default();
        let when = Instant::now() + MS;
        let first = call_at(when, says(&trace, "first"));
        call_at(when, says(&trace, "second"));
        assert!(first.reschedule(when));
        tulipa::sleep(MS * 2).await;
        assert_eq!(trace.take(), ["second", "first"]);
    });
}

#[test]
fn a_timer_that_is_due_may_be_put_off_until_it_is_called() {
    paused().run(async {
        let trace = Trace::default();
        let when = Instant::now() + MS;
        let place: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
        let (target, log) = (place.clone(), trace.clone());
        call_at(when, move || {
            let target = target.borrow();
            assert!(target.as_ref().unwrap().reschedule(when + MS));
            assert!(target.as_ref().unwrap().reschedule(when + MS * 2));
            log.add("put off");
        });
        let log = trace.clone();
        let timer = call_at(when, move || {
            log.add(format!("{:?}", Instant::now() - when))
        });
        place.replace(Some(timer));
        tulipa::sleep(MS * 10).await;
        assert_eq!(trace.take(), ["put off", "2ms"]);
        assert!(place.take().unwrap().is_finished());
    });
}

#[test]
fn a_timer_cannot_be_rescheduled_by_itself_or_once_it_is_cancelled() {
    paused().run(async {
        let place: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
        let (own, calls) = (place.clone(), Rc::new(Cell::new(0)));
        let count = calls.clone();
        let timer = call_later(MS, move || {
            count.set(count.get() + 1);
            let later = Instant::now() + MS;
            assert!(!own.borrow().as_ref().unwrap().reschedule(later));
        });
        place.replace(Some(timer));
        let cancelled = call_later(MS, || unreachable!("it was cancelled"));
        cancelled.cancel();
        assert!(!cancelled.reschedule(Instant::now() + MS));
        tulipa::sleep(MS * 10).await;
        assert_eq!(calls.get(), 1);
    });
}

#[test]
fn a_timer_for_never_is_kept_and_may_be_given_a_deadline() {
    paused().run(async {
        let trace = Trace::default();
        let never = call_at(Instant::FAR_FUTURE, says(&trace, "given one"));
        let far = call_later(Duration::MAX, || unreachable!("too far to count"));
        assert_eq!(far.when(), Instant::FAR_FUTURE);
        tulipa::sleep(Duration::from_secs(3600 * 24 * 365)).await;
        assert_eq!(trace.take(), Vec::<String>::new());
        assert!(never.reschedule(Instant::now() + MS));
        tulipa::sleep(MS * 2).await;
        assert_eq!(trace.take(), ["given one"]);
    });
}

// Many timers, in a fixed order without a pattern: set, cancelled and moved, they come by deadline.
#[test]
fn a_thousand_timers_come_by_deadline_whatever_was_cancelled_and_moved() {
    paused().run(async {
        let trace = Trace::default();
        let start = Instant::now();
        let place = |number: u64| number * 7919 % 1009;
        let timers: Vec<_> = (0..1009)
            .map(|number| call_at(start + MS, says(&trace, place(number).to_string())))
            .collect();
        for (number, timer) in timers.iter().enumerate() {
            let number = number as u64;
            assert!(timer.reschedule(start + MS * place(number) as u32));
            if place(number) % 2 == 0 {
                timer.cancel();
            }
        }
        tulipa::sleep(MS * 2000).await;
        let expected: Vec<_> = (0..1009)
            .filter(|it| it % 2 == 1)
            .map(|it| it.to_string())
            .collect();
        assert_eq!(trace.take(), expected);
    });
}

#[test]
#[should_panic(expected = "no tulipa event loop runs on this thread")]
fn a_callback_needs_a_loop() {
    call_soon(|| ());
}
