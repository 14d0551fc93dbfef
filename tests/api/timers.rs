//! Timers on the real clock. No test here says how late a timer may be: that is for the benches.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::support::{Drops, Trace, poll_once, turns};
use tulipa::time::{Elapsed, Instant, MissedTickBehavior, Sleep};

const MS: Duration = Duration::from_millis(1);

// TM01
#[test]
fn far_means_never() {
    tulipa::run(async {
        let far = [
            Duration::MAX,
            Duration::from_millis(u64::MAX),
            Duration::from_nanos(u64::MAX),
            Duration::from_secs(i64::MAX as u64),
        ];
        for duration in far {
            let mut sleep = Box::pin(tulipa::sleep(duration));
            assert!(poll_once(&mut sleep).await.is_pending());
            let mut timeout = Box::pin(tulipa::timeout(duration, pending::<()>()));
            assert!(poll_once(&mut timeout).await.is_pending());
            let mut interval = tulipa::interval(duration);
            interval.tick().await;
            assert!(poll_once(&mut Box::pin(interval.tick())).await.is_pending());
            tulipa::sleep(MS).await;
        }
        let mut sleep = Box::pin(tulipa::sleep_until(
            Instant::now() + Duration::from_secs(1000 * 365 * 86_400),
        ));
        assert!(poll_once(&mut sleep).await.is_pending());
    });
}

// TM02: past deadlines suspend once, and keep their order.
#[test]
fn past_means_the_next_turn() {
    tulipa::run(async {
        let polls = Rc::new(Cell::new(0));
        for deadline in [
            Instant::now(),
            Instant::from_nanos(0),
            Instant::now() - 1000 * MS,
        ] {
            let mut sleep = Box::pin(tulipa::sleep_until(deadline));
            polls.set(0);
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                sleep.as_mut().poll(cx)
            })
            .await;
            assert_eq!(polls.get(), 2);
        }
        let trace = Trace::default();
        let now = Instant::now();
        for (name, before) in [("-1", MS), ("-2", 2 * MS), ("-3", 3 * MS)] {
            let trace = trace.clone();
            drop(tulipa::spawn(async move {
                tulipa::sleep_until(now - before).await;
                trace.add(name);
            }));
        }
        tulipa::sleep(Duration::ZERO).await;
        turns(2).await;
        assert_eq!(trace.take(), ["-3", "-2", "-1"]);
    });
}

#[test]
fn a_zero_sleep_lets_what_is_ready_run_first() {
    tulipa::run(async {
        let trace = Trace::default();
        let log = trace.clone();
        drop(tulipa::spawn(async move { log.add("task") }));
        tulipa::sleep(Duration::ZERO).await;
        trace.add("main");
        assert_eq!(trace.take(), ["task", "main"]);
    });
}

// TM03
#[test]
fn sleeps_are_never_early() {
    tulipa::run(async {
        let mut tasks = Vec::new();
        for number in 0..5_000u64 {
            let asked = Duration::from_nanos(number * 7_919 % 200_000_000);
            tasks.push(tulipa::spawn(async move {
                let start = std::time::Instant::now();
                tulipa::sleep(asked).await;
                assert!(start.elapsed() >= asked);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

// TM15
#[test]
fn a_dropped_sleep_never_wakes() {
    tulipa::run(async {
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let task = tulipa::spawn(async move {
            let mut sleep = Some(Box::pin(tulipa::sleep(MS)));
            poll_fn(|cx| {
                count.set(count.get() + 1);
                if let Some(mut sleep) = sleep.take() {
                    assert!(sleep.as_mut().poll(cx).is_pending());
                }
                Poll::<()>::Pending
            })
            .await;
        });
        tulipa::sleep(5 * MS).await;
        assert_eq!(polls.get(), 1);
        task.abort();
    });
}

#[test]
fn a_sleep_tells_its_state_and_can_be_reset() {
    tulipa::run(async {
        let start = Instant::now();
        let mut sleep = pin!(tulipa::sleep(60_000 * MS));
        assert!(
            poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx)))
                .await
                .is_pending()
        );
        assert!(!sleep.is_elapsed());
        sleep.as_mut().reset(start + 2 * MS);
        sleep.as_mut().await;
        assert!(sleep.is_elapsed() && start.elapsed() >= 2 * MS);
        sleep.as_mut().await; // Polled again it is ready again.
        sleep.as_mut().reset(Instant::now() + MS);
        assert!(!sleep.is_elapsed());
        sleep.await;
    });
}

// asyncio parity 6, `wait_for`, and trap 9.
#[test]
fn a_timeout_gives_the_value_or_drops_before_it_reports() {
    tulipa::run(async {
        assert_eq!(tulipa::timeout(60_000 * MS, async { 4 }).await, Ok(4));
        let drops = Drops::default();
        let witness = drops.witness();
        let slow = async move {
            let _witness = witness;
            pending::<()>().await;
        };
        let error: Elapsed = tulipa::timeout(MS, slow).await.unwrap_err();
        assert_eq!(drops.count(), 1);
        assert_eq!(
            std::io::Error::from(error).kind(),
            std::io::ErrorKind::TimedOut
        );
        assert_eq!(tulipa::timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        assert!(
            tulipa::timeout(Duration::ZERO, pending::<()>())
                .await
                .is_err()
        );
        let past = Instant::now() - MS;
        assert!(
            tulipa::time::timeout_at(past, pending::<()>())
                .await
                .is_err()
        );
    });
}

#[test]
fn a_timeout_ends_what_never_waits_for_anything_else() {
    tulipa::run(async {
        let busy = async {
            loop {
                tulipa::yield_now().await;
            }
        };
        assert!(tulipa::timeout(2 * MS, busy).await.is_err());
    });
}

#[test]
fn an_interval_ticks_at_once_and_then_on_its_grid() {
    tulipa::run(async {
        let mut interval = tulipa::interval(2 * MS);
        assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Burst);
        let first = interval.tick().await;
        for number in 1..5 {
            assert_eq!(interval.tick().await, first + number * 2 * MS);
            assert!(Instant::now() >= first + number * 2 * MS);
        }
    });
}

#[test]
#[should_panic = "the period of an interval must be longer than zero"]
fn an_interval_needs_a_period() {
    let _ = tulipa::interval(Duration::ZERO);
}

// TM05, on the real clock: what is left is exact.
#[test]
fn a_storm_of_cancels_and_resets_fires_the_right_ones() {
    tulipa::run(async {
        let mut sleeps: Vec<_> = (0..20_000u32)
            .map(|number| Box::pin(tulipa::sleep(Duration::from_micros((number % 977).into()))))
            .collect();
        let mut cx = Context::from_waker(Waker::noop());
        for sleep in &mut sleeps {
            assert!(sleep.as_mut().poll(&mut cx).is_pending());
        }
        let never = Instant::FAR_FUTURE;
        let mut kept = Vec::new();
        for (number, mut sleep) in sleeps.into_iter().enumerate() {
            match number % 4 {
                0 => drop(sleep),
                1 => {
                    sleep.as_mut().reset(never);
                    kept.push((sleep, false));
                }
                2 => {
                    sleep.as_mut().reset(Instant::now() + 3 * MS);
                    kept.push((sleep, true));
                }
                _ => kept.push((sleep, true)),
            }
        }
        tulipa::sleep(20 * MS).await;
        let is_right =
            |(sleep, fires): &(std::pin::Pin<Box<Sleep>>, bool)| sleep.is_elapsed() == *fires;
        assert!(kept.iter().all(is_right));
    });
}

// TM14, with TK01's wake from elsewhere.
#[test]
fn an_earlier_timer_set_while_parked_fires_in_time() {
    tulipa::run(async {
        let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
        let thread = std::thread::spawn(move || receiver.recv().unwrap().wake());
        let far = tulipa::spawn(tulipa::sleep(3_600_000 * MS));
        let mut sent = Some(sender);
        poll_fn(|cx| match sent.take() {
            Some(sender) => {
                sender.send(cx.waker().clone()).unwrap();
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
        tulipa::sleep(2 * MS).await;
        thread.join().unwrap();
        far.abort();
    });
}

#[test]
fn a_sleep_outlives_its_loop_and_can_start_again_in_another() {
    let mut sleep = None;
    tulipa::run(async {
        let sleep = sleep.insert(Box::pin(tulipa::sleep(5 * MS)));
        assert!(poll_once(sleep).await.is_pending());
    });
    let mut sleep = sleep.unwrap();
    assert!(!sleep.is_elapsed());
    tulipa::run(async { sleep.as_mut().await });
    assert!(sleep.is_elapsed());
}

#[test]
fn a_sleep_for_never_can_be_given_an_end() {
    tulipa::run(async {
        let mut sleep = Box::pin(tulipa::sleep(Duration::MAX));
        assert!(poll_once(&mut sleep).await.is_pending());
        // The waiter need not poll it again.
        sleep.as_mut().reset(Instant::now() + MS);
        let task = tulipa::spawn(sleep);
        task.await.unwrap();

        let mut sleep = Box::pin(tulipa::sleep(60_000 * MS));
        assert!(poll_once(&mut sleep).await.is_pending());
        sleep.as_mut().reset(Instant::FAR_FUTURE);
        assert!(poll_once(&mut sleep).await.is_pending());
        let polls = Rc::new(Cell::new(0));
        let (count, mut waiting) = (polls.clone(), sleep);
        let task = tulipa::spawn(async move {
            poll_fn(|cx| {
                count.set(count.get() + 1);
                let polled = waiting.as_mut().poll(cx);
                if count.get() == 1 {
                    waiting.as_mut().reset(Instant::now() + MS);
                }
                polled
            })
            .await;
        });
        task.await.unwrap();
        assert_eq!(polls.get(), 2);
    });
}

#[test]
fn a_loop_made_inside_a_paused_loop_has_the_machines_time() {
    let mut inner = None;
    tulipa::run(async {
        tulipa::time::pause();
        tulipa::time::advance(Duration::from_secs(3600)).await;
        inner = Some(tulipa::runtime::Runner::new().unwrap());
    });
    let start = std::time::Instant::now();
    inner.unwrap().run(async { tulipa::sleep(5 * MS).await });
    assert!(start.elapsed() >= 5 * MS);
}
