//! The turn of the loop: order, the snapshot, and that nobody starves. (asyncio parity 0.4, 1)

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{LeaveWaker, Trace, turns};
use tulipa::net::{TcpListener, TcpStream};

#[test]
fn tasks_run_in_the_order_they_were_spawned_and_not_before_the_next_turn() {
    tulipa::run(async {
        let trace = Trace::default();
        for name in ["a", "b", "c"] {
            let trace = trace.clone();
            drop(tulipa::spawn(async move { trace.add(name) }));
        }
        trace.add("main");
        tulipa::yield_now().await;
        assert_eq!(trace.take(), ["main", "a", "b", "c"]);
    });
}

#[test]
fn what_becomes_ready_in_a_turn_runs_in_the_next_in_order_of_the_wakes() {
    tulipa::run(async {
        let trace = Trace::default();
        for name in ["a", "b"] {
            let trace = trace.clone();
            drop(tulipa::spawn(async move {
                for round in 0..3 {
                    trace.add(format!("{name}{round}"));
                    tulipa::yield_now().await;
                }
            }));
        }
        turns(4).await;
        assert_eq!(trace.take(), ["a0", "b0", "a1", "b1", "a2", "b2"]);
    });
}

#[test]
fn a_join_handle_resumes_its_waiter_a_turn_later_in_order_of_completion() {
    tulipa::run(async {
        let trace = Trace::default();
        let first = tulipa::spawn(tulipa::yield_now());
        let (one, two) = (trace.clone(), trace.clone());
        let waiter = tulipa::spawn(async move {
            first.await.unwrap();
            one.add("waiter");
        });
        drop(tulipa::spawn(async move {
            tulipa::yield_now().await;
            two.add("neighbour of the same turn");
        }));
        waiter.await.unwrap();
        assert_eq!(trace.take(), ["neighbour of the same turn", "waiter"]);
    });
}

// TK02
#[test]
fn waking_oneself_many_times_repolls_once_behind_those_queued_before() {
    for wakes in [1, 2, 1000] {
        tulipa::run(async move {
            let trace = Trace::default();
            let polls = Rc::new(Cell::new(0));
            let (log, count) = (trace.clone(), polls.clone());
            let task = tulipa::spawn(std::future::poll_fn(move |cx| {
                count.set(count.get() + 1);
                log.add(format!("poll {}", count.get()));
                if count.get() == 2 {
                    return std::task::Poll::Ready(());
                }
                for _ in 0..wakes {
                    cx.waker().wake_by_ref();
                }
                std::task::Poll::Pending
            }));
            let log = trace.clone();
            drop(tulipa::spawn(async move { log.add("queued before") }));
            task.await.unwrap();
            assert_eq!(polls.get(), 2);
            assert_eq!(trace.take(), ["poll 1", "queued before", "poll 2"]);
        });
    }
}

// TK03
#[test]
fn wakes_coalesce() {
    tulipa::run(async {
        let place = Rc::default();
        let polls = Rc::new(Cell::new(0));
        let task = tulipa::spawn(LeaveWaker {
            place: Rc::clone(&place),
            polls: polls.clone(),
        });
        tulipa::yield_now().await;
        let waker = place.borrow().clone().unwrap();
        for _ in 0..1000 {
            waker.wake_by_ref();
        }
        turns(3).await;
        assert_eq!(polls.get(), 2);
        task.abort();
    });
}

// LP02, LP03: the order of magnitude is what matters, so work is counted and not time.
#[test]
fn a_busy_loop_still_serves_sockets_and_timers() {
    tulipa::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let yields = Rc::new(Cell::new(0u64));
        let count = yields.clone();
        let busy = tulipa::spawn(async move {
            loop {
                count.set(count.get() + 1);
                tulipa::yield_now().await;
            }
        });
        let client = tulipa::spawn(async move { TcpStream::connect(addr).await.map(drop) });
        listener.accept().await.unwrap();
        client.await.unwrap().unwrap();
        tulipa::sleep(Duration::from_millis(5)).await;
        assert!(yields.get() > 0);
        busy.abort();
        assert!(busy.await.unwrap_err().is_cancelled());
    });
}

// LP05
#[test]
fn a_socket_that_is_always_ready_leaves_turns_to_others() {
    tulipa::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(addr).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(&[7; 10_000]).await.unwrap();
        let others = Rc::new(Cell::new(0));
        let count = others.clone();
        let other = tulipa::spawn(async move {
            loop {
                count.set(count.get() + 1);
                tulipa::yield_now().await;
            }
        });
        for _ in 0..10_000 {
            server.read(&mut [0]).await.unwrap();
        }
        // 128 operations a turn.
        assert!(
            others.get() >= 10_000 / 128 - 2,
            "{} turns for others",
            others.get()
        );
        other.abort();
    });
}
