//! Wakers on other threads.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::support::{Drops, LeaveWaker, poll_once, turns};

/// Waits for a flag that another thread sets before it wakes.
async fn flag_from(spawn: impl FnOnce(Waker, Arc<AtomicBool>)) {
    let flag = Arc::new(AtomicBool::new(false));
    let mut spawn = Some(spawn);
    poll_fn(|cx| {
        if let Some(spawn) = spawn.take() {
            spawn(cx.waker().clone(), flag.clone());
        }
        match flag.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

#[test]
fn a_wake_from_elsewhere_ends_a_wait_without_any_other_event() {
    tulipa::run(flag_from(|waker, flag| {
        thread::spawn(move || {
            flag.store(true, Ordering::Release);
            waker.wake();
        });
    }));
}

// TK01, XS05 in small: every wake counts, whatever the loop is doing.
#[test]
fn no_wake_between_poll_and_park_is_lost() {
    const ROUNDS: u64 = 50_000;
    let (sender, receiver) = std::sync::mpsc::channel::<(Waker, Arc<AtomicU64>)>();
    let waker = thread::spawn(move || {
        for (waker, value) in receiver {
            value.fetch_add(1, Ordering::Release);
            waker.wake();
        }
    });
    tulipa::run(async move {
        let value = Arc::new(AtomicU64::new(0));
        for round in 1..=ROUNDS {
            let mut is_sent = false;
            poll_fn(|cx| {
                if !is_sent {
                    is_sent = true;
                    sender.send((cx.waker().clone(), value.clone())).unwrap();
                }
                match value.load(Ordering::Acquire) == round {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
    });
    waker.join().unwrap();
}

// TK04
#[test]
fn wakers_of_a_finished_task_are_inert() {
    let drops = Drops::default();
    tulipa::run(async {
        let place = Rc::default();
        let polls = Rc::new(Cell::new(0));
        let (witness, inner) = (
            drops.witness(),
            LeaveWaker {
                place: Rc::clone(&place),
                polls: polls.clone(),
            },
        );
        let task = tulipa::spawn(async move {
            let _witness = witness;
            inner.await;
        });
        tulipa::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(drops.count(), 1);

        let waker: Waker = place.take().unwrap();
        let wakers: Vec<_> = (0..8).map(|_| waker.clone()).collect();
        for waker in &wakers {
            waker.wake_by_ref();
        }
        thread::spawn(move || {
            for waker in wakers {
                waker.wake_by_ref();
                drop(waker.clone());
                waker.wake();
            }
        })
        .join()
        .unwrap();
        waker.wake();
        turns(3).await;
        assert_eq!(polls.get(), 1);
    });
}

// TK05
#[test]
fn the_last_waker_elsewhere_drops_nothing_there() {
    let owner = thread::current().id();
    for end in ["finished", "aborted", "closed"] {
        let drops = Drops::default();
        let place: Rc<RefCell<Option<Waker>>> = Rc::default();
        let waker = tulipa::run(async {
            let (witness, leave) = (drops.witness(), place.clone());
            let task = tulipa::spawn(async move {
                let mut polls = 0;
                poll_fn(|cx| {
                    polls += 1;
                    *leave.borrow_mut() = Some(cx.waker().clone());
                    if polls == 2 {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                witness
            });
            tulipa::yield_now().await;
            let waker = place.borrow().clone().unwrap();
            match end {
                "finished" => {
                    waker.wake_by_ref();
                    turns(2).await;
                    drop(task);
                }
                "aborted" => {
                    task.abort();
                    turns(2).await;
                    drop(task);
                }
                _ => drop(task),
            }
            waker
        });
        assert_eq!(drops.count(), 1, "{end}");
        drop(place.take());
        thread::spawn(move || drop(waker)).join().unwrap();
        assert_eq!((drops.count(), drops.thread()), (1, Some(owner)), "{end}");
    }
}

// TK06
#[test]
fn will_wake_is_stable() {
    tulipa::run(async {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        tulipa::yield_now().await;
        let again = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        assert!(waker.will_wake(&again));
        let other = tulipa::spawn(poll_fn(|cx| Poll::Ready(cx.waker().clone())))
            .await
            .unwrap();
        assert!(!waker.will_wake(&other));
    });
}

// TK21
#[test]
fn reference_counts_under_fire() {
    let drops = Drops::default();
    let threads = tulipa::run(async {
        let place: Rc<RefCell<Option<Waker>>> = Rc::default();
        let polls = Rc::new(Cell::new(0));
        let (witness, inner) = (
            drops.witness(),
            LeaveWaker {
                place: place.clone(),
                polls,
            },
        );
        let task = tulipa::spawn(async move {
            let _witness = witness;
            inner.await;
        });
        tulipa::yield_now().await;
        let waker = place.take().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let waker = waker.clone();
                thread::spawn(move || {
                    for round in 0..25_000 {
                        let clone = waker.clone();
                        match round % 3 {
                            0 => clone.wake(),
                            1 => clone.wake_by_ref(),
                            _ => drop(clone),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..1000 {
            drop(waker.clone());
            tulipa::yield_now().await;
        }
        task.abort();
        turns(3).await;
        drop(waker);
        threads
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_waker_may_outlive_its_loop_and_thread() {
    let waker = thread::spawn(|| {
        tulipa::run(async {
            let place = Rc::default();
            let leave = LeaveWaker {
                place: Rc::clone(&place),
                polls: Rc::default(),
            };
            drop(tulipa::spawn(leave));
            tulipa::yield_now().await;
            place.take().unwrap()
        })
    })
    .join()
    .unwrap();
    let waker: Waker = waker;
    waker.wake_by_ref();
    drop(waker.clone());
    waker.wake();
}

#[test]
fn a_wake_of_a_loop_between_its_runs_counts_in_the_next() {
    let mut runner = tulipa::runtime::Runner::new().unwrap();
    let place = Rc::default();
    let polls = Rc::new(Cell::new(0));
    let leave = LeaveWaker {
        place: Rc::clone(&place),
        polls: polls.clone(),
    };
    runner.run(async {
        drop(tulipa::spawn(leave));
        tulipa::yield_now().await;
    });
    let waker: Waker = place.borrow().clone().unwrap();
    waker.wake_by_ref();
    runner.run(turns(2));
    assert_eq!(polls.get(), 2);
    thread::spawn(move || waker.wake()).join().unwrap();
    runner.run(turns(2));
    assert_eq!(polls.get(), 3);
}

// XS05: two loops, only cross-thread wakes.
#[test]
fn two_loops_wake_each_other() {
    use std::sync::Mutex;

    /// A one-place mailbox between two loops.
    #[derive(Default)]
    struct Mailbox {
        value: AtomicU64,
        waiter: Mutex<Option<Waker>>,
    }

    impl Mailbox {
        fn send(&self, value: u64) {
            self.value.store(value, Ordering::Release);
            let waiter = self.waiter.lock().unwrap().take();
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        }

        async fn receive(&self, expected: u64) {
            poll_fn(|cx| {
                if self.value.load(Ordering::Acquire) == expected {
                    return Poll::Ready(());
                }
                *self.waiter.lock().unwrap() = Some(cx.waker().clone());
                match self.value.load(Ordering::Acquire) == expected {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
    }

    const ROUNDS: u64 = 20_000;
    let boxes = Arc::new((Mailbox::default(), Mailbox::default()));
    let other = boxes.clone();
    let thread = thread::spawn(move || {
        tulipa::run(async {
            for round in 1..=ROUNDS {
                other.0.receive(round).await;
                other.1.send(round);
            }
        });
    });
    tulipa::run(async {
        for round in 1..=ROUNDS {
            boxes.0.send(round);
            boxes.1.receive(round).await;
        }
    });
    thread.join().unwrap();
}

/// A waker of someone else's that panics must not take the loop, or the other wakers, with it.
#[test]
fn a_foreign_waker_that_panics_is_reported() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("this waker panics");
        }
    }
    let (mut runner, heard) = crate::support::listening_runner();
    runner.run(async {
        let foreign = Waker::from(Arc::new(Panics));
        let mut cx = std::task::Context::from_waker(&foreign);
        let mut sleep = Box::pin(tulipa::sleep(Duration::from_millis(1)));
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        let mut other = Box::pin(tulipa::sleep(Duration::from_millis(1)));
        assert!(poll_once(&mut other).await.is_pending());
        other.await;
        let mut task = tulipa::spawn(async {});
        assert!(std::pin::Pin::new(&mut task).poll(&mut cx).is_pending());
        turns(2).await;
        task.await.unwrap();
        drop(tulipa::spawn(pending::<()>()));
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(
        heard
            .iter()
            .all(|(_, message)| message.contains("this waker panics"))
    );
}

/// The reader of a socket panics when it is woken; the writer is woken all the same.
#[test]
fn a_panicking_waker_keeps_nobody_else_on_the_same_socket_asleep() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            // A payload whose destructor panics, too.
            struct Payload;
            impl Drop for Payload {
                fn drop(&mut self) {
                    if !thread::panicking() {
                        panic!("and its payload");
                    }
                }
            }
            std::panic::panic_any(Payload);
        }
    }
    let (mut runner, _heard) = crate::support::listening_runner();
    runner.run(async {
        let listener = tulipa::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut sockets = Vec::new();
        let foreign = Waker::from(Arc::new(Panics));
        for _ in 0..2 {
            let stream = tulipa::net::TcpStream::connect(addr).await.unwrap();
            let peer = listener.accept().await.unwrap().0;
            let (mut read, mut write) = stream.into_split();
            let writer = tulipa::spawn(async move {
                let chunk = vec![0; 1 << 20];
                for _ in 0..8 {
                    write.write_all(&chunk).await.unwrap();
                }
            });
            // Let it fill the buffers, and wait.
            for _ in 0..50 {
                tulipa::sleep(Duration::from_micros(100)).await;
            }
            let mut buf = [0; 8];
            let mut reading = Box::pin(async move { read.read(&mut buf).await });
            let mut cx = std::task::Context::from_waker(&foreign);
            assert!(reading.as_mut().poll(&mut cx).is_pending());
            sockets.push((peer, writer, reading));
        }
        let mut tasks = Vec::new();
        for (mut peer, writer, reading) in sockets {
            tasks.push(tulipa::spawn(async move {
                peer.write_all(b"wakes the reader").await.unwrap();
                let mut buf = vec![0; 1 << 16];
                let mut total = 0;
                while total < 8 << 20 {
                    total += peer.read(&mut buf).await.unwrap();
                }
                writer.await.unwrap();
                drop(reading);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}
