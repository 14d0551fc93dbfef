//! The paused clock. (asyncio parity 22; TM04, TM08, TM09)

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Trace, poll_once, turns};
use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::Runner;
use tulipa::time::{self, Instant, MissedTickBehavior};

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn paused<T>(future: impl Future<Output = T>) -> T {
    Runner::builder()
        .start_paused(true)
        .build()
        .unwrap()
        .run(future)
}

#[test]
fn time_stands_still_while_anything_is_ready() {
    paused(async {
        let start = Instant::now();
        turns(1000).await;
        assert_eq!(Instant::now(), start);
        assert_eq!(
            tulipa::time::Instant::machine_now()
                .duration_since(start)
                .as_secs()
                / 1000,
            0
        );
    });
}

#[test]
fn an_idle_loop_jumps_to_the_next_deadline() {
    paused(async {
        let start = Instant::now();
        tulipa::sleep(86_400 * S).await;
        assert_eq!(start.elapsed(), 86_400 * S);
        tulipa::sleep(Duration::from_nanos(1)).await;
        assert_eq!(start.elapsed(), 86_400 * S + Duration::from_nanos(1));
    });
}

// TM04
#[test]
fn timers_fire_in_deadline_order_and_ties_in_creation_order() {
    paused(async {
        let start = Instant::now();
        let order: Rc<std::cell::RefCell<Vec<(Duration, u64)>>> = Rc::default();
        let mut tasks = Vec::new();
        for number in 0..10_000u64 {
            let order = order.clone();
            // A hundred distinct deadlines, shuffled by a generator of the group.
            let delay = Duration::from_millis(number * 7_919 % 100 * 37);
            tasks.push(tulipa::spawn(async move {
                tulipa::sleep_until(start + delay).await;
                order.borrow_mut().push((start.elapsed(), number));
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.take();
        assert!(
            order.is_sorted(),
            "deadlines first, then the order of creation"
        );
        assert!(
            order
                .iter()
                .all(|(at, number)| *at == Duration::from_millis(number * 7_919 % 100 * 37))
        );
    });
}

// TM07
#[test]
fn a_timer_may_set_and_cancel_others_of_its_slot() {
    paused(async {
        let trace = Trace::default();
        let start = Instant::now();
        let victim = tulipa::spawn(tulipa::sleep_until(start + S));
        let log = trace.clone();
        drop(tulipa::spawn(async move {
            tulipa::sleep_until(start + S - Duration::from_nanos(1)).await;
            victim.abort();
            log.add("first");
            tulipa::sleep_until(start).await;
            log.add("set for the past");
            assert_eq!(start.elapsed(), S - Duration::from_nanos(1));
            assert!(victim.await.unwrap_err().is_cancelled());
        }));
        tulipa::sleep(2 * S).await;
        assert_eq!(trace.take(), ["first", "set for the past"]);
    });
}

#[test]
fn advance_fires_everything_on_its_way_in_order() {
    paused(async {
        let trace = Trace::default();
        let start = Instant::now();
        for seconds in [3, 1, 2, 5] {
            let trace = trace.clone();
            drop(tulipa::spawn(async move {
                tulipa::sleep_until(start + seconds * S).await;
                trace.add(format!("{seconds} at {:?}", start.elapsed()));
                // Set on the way, due on the way.
                tulipa::sleep(MS).await;
                trace.add(format!("{seconds} again at {:?}", start.elapsed()));
            }));
        }
        time::advance(4 * S).await;
        assert_eq!(start.elapsed(), 4 * S);
        let expected = [
            "1 at 1s",
            "1 again at 1.001s",
            "2 at 2s",
            "2 again at 2.001s",
            "3 at 3s",
            "3 again at 3.001s",
        ];
        assert_eq!(trace.take(), expected);
        time::advance(Duration::ZERO).await;
        assert_eq!(start.elapsed(), 4 * S);
    });
}

// TM09
#[test]
fn missed_ticks_are_caught_up_with_as_the_policy_says() {
    for (policy, expected) in [
        (MissedTickBehavior::Burst, vec![0, 10, 20, 30, 40, 50]),
        (MissedTickBehavior::Delay, vec![0, 35, 45, 55, 65, 75]),
        (MissedTickBehavior::Skip, vec![0, 35, 40, 50, 60, 70]),
    ] {
        paused(async move {
            let start = Instant::now();
            let mut interval = tulipa::interval(10 * MS);
            interval.set_missed_tick_behavior(policy);
            let mut ticks = Vec::new();
            interval.tick().await;
            ticks.push(start.elapsed());
            time::advance(35 * MS).await;
            for _ in 0..5 {
                interval.tick().await;
                ticks.push(start.elapsed());
            }
            let expected: Vec<_> = match policy {
                // The first four come at once.
                MissedTickBehavior::Burst => [0, 35, 35, 35, 40, 50].map(|ms| ms * MS).to_vec(),
                _ => expected.into_iter().map(|ms| ms * MS).collect(),
            };
            assert_eq!(ticks, expected, "{policy:?}");
        });
    }
}

#[test]
fn pause_and_resume_by_hand() {
    tulipa::run(async {
        time::pause();
        let start = Instant::now();
        tulipa::sleep(3600 * S).await;
        assert_eq!(start.elapsed(), 3600 * S);
        time::resume();
        tulipa::sleep(MS).await;
        assert!(start.elapsed() >= 3600 * S + MS);
        assert!(
            start.elapsed() < 3700 * S,
            "the machine's clock runs on from there"
        );
    });
    assert!(
        Instant::now() <= Instant::machine_now() + S,
        "outside, time is the machine's"
    );
}

#[test]
fn a_paused_loop_still_serves_sockets() {
    paused(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let served = Rc::new(Cell::new(0));
        let count = served.clone();
        let server = tulipa::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buf = [0; 4];
            stream.read_exact(&mut buf).await.unwrap();
            stream.write_all(&buf).await.unwrap();
            count.set(1);
        });
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut buf = [0; 4];
        client.read_exact(&mut buf).await.unwrap();
        server.await.unwrap();
        assert_eq!((&buf, served.get()), (b"ping", 1));
    });
}

#[test]
#[should_panic = "the clock is not paused: call time::pause first"]
fn advance_needs_a_paused_clock() {
    tulipa::run(time::advance(S));
}

#[test]
fn advance_does_not_outlive_its_loop() {
    let mut advance = Box::pin(time::advance(5 * MS));
    paused(async {
        assert!(poll_once(&mut advance).await.is_pending());
    });
    // In a loop whose clock runs it ends; it does not touch the one it began in.
    tulipa::run(async {
        advance.await;
        tulipa::sleep(MS).await;
    });
}

#[test]
fn resuming_during_an_advance_ends_it() {
    paused(async {
        let advance = tulipa::spawn(time::advance(5 * MS));
        turns(2).await;
        if !advance.is_finished() {
            time::resume();
        }
        advance.await.unwrap();
        tulipa::sleep(MS).await;
    });
}

// Timers in one slot of the wheel, all cancelled: the clock must not be sent there.
#[test]
fn many_cancelled_timeouts_leave_no_trace() {
    paused(async {
        let start = Instant::now();
        let mut sleeps: Vec<_> = (0..200)
            .map(|it| Box::pin(tulipa::sleep(30 * S + it * MS)))
            .collect();
        let mut first = Box::pin(tulipa::sleep(S));
        for sleep in &mut sleeps {
            assert!(poll_once(sleep).await.is_pending());
        }
        assert!(poll_once(&mut first).await.is_pending());
        first.await;
        turns(3).await;
        drop(sleeps);
        tulipa::sleep(60 * S).await;
        assert_eq!(start.elapsed(), 61 * S);
    });
}

#[tulipa::test(start_paused = true)]
async fn the_attribute_pauses() {
    let start = Instant::now();
    tulipa::sleep(100 * S).await;
    assert_eq!(start.elapsed(), 100 * S);
}
