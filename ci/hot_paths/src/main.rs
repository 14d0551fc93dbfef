//! The paths that must not contain an atomic read-modify-write, each taken a number of times:
//! `tulipa-hot-paths PATH COUNT`. `ci/no_atomics` traces it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("usage: PATH COUNT");
    let count = arguments.next().and_then(|it| it.parse().ok()).expect("usage: PATH COUNT");
    tulipa::run(async move {
        match path.as_str() {
            "spawn_join" => spawn_join(count).await,
            "spawn_abort" => spawn_abort(count).await,
            "yield" => yields(count).await,
            "wake" => wake(count).await,
            "timer" => timer(count).await,
            "control" => control(count),
            _ => panic!("no path is called {path}"),
        }
    });
}

/// An atomic read-modify-write each time, which the trace must find.
fn control(count: u64) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..count {
        COUNT.fetch_add(std::hint::black_box(3), Ordering::Relaxed);
    }
    std::hint::black_box(COUNT.load(Ordering::Relaxed));
}

async fn spawn_join(count: u64) {
    for number in 0..count {
        assert_eq!(tulipa::spawn(async move { number }).await.unwrap(), number);
    }
}

async fn spawn_abort(count: u64) {
    for _ in 0..count {
        let task = tulipa::spawn(std::future::pending::<()>());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

async fn yields(count: u64) {
    for _ in 0..count {
        tulipa::yield_now().await;
    }
}

/// Two tasks that wake each other.
async fn wake(count: u64) {
    #[derive(Default)]
    struct Place {
        is_full: Cell<bool>,
        waiter: RefCell<Option<Waker>>,
    }

    async fn player(from: Rc<Place>, to: Rc<Place>, count: u64) {
        for _ in 0..count {
            poll_fn(|cx| {
                if from.is_full.replace(false) {
                    return Poll::Ready(());
                }
                *from.waiter.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            to.is_full.set(true);
            let waiter = to.waiter.borrow_mut().take();
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        }
    }

    let (a, b) = (Rc::new(Place::default()), Rc::new(Place::default()));
    a.is_full.set(true);
    let first = tulipa::spawn(player(Rc::clone(&a), Rc::clone(&b), count));
    let second = tulipa::spawn(player(b, a, count));
    first.await.unwrap();
    second.await.unwrap();
}

/// Sets a timer, sets it again, and cancels it.
async fn timer(count: u64) {
    for number in 0..count {
        let mut sleep = pin!(tulipa::sleep(Duration::from_secs(10 + number % 50)));
        poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let later = sleep.deadline() + Duration::from_secs(1);
        sleep.as_mut().reset(later);
    }
}
