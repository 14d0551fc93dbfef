//! A loop inside another one, which waits for it with poll(2). (asyncio parity 1, 22)
//!
//! Hosts here count how often they wake up: a host that is told too late never ends, one that is told
//! too often spins.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{Trace, turns};
use tulipa::net::TcpListener;
use tulipa::runtime::{EventLoop, Turn};

const MS: Duration = Duration::from_millis(1);

/// A loop with a descriptor, whatever reactor the suite runs on.
fn embeddable() -> EventLoop {
    EventLoop::builder().reactor("mio").build().unwrap()
}

/// Waits as the protocol says; returns whether the descriptor was readable.
fn wait(event_loop: &EventLoop, timeout: Option<Duration>) -> bool {
    let fd = event_loop.as_fd().unwrap();
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs() as _,
        tv_nsec: timeout.subsec_nanos() as _,
    });
    poll(&mut fds, timeout.as_ref()).unwrap();
    !fds[0].revents().is_empty()
}

/// A plain host: runs the loop until it is stopped, and counts its own turns.
fn host(event_loop: &EventLoop) -> u32 {
    for rounds in 1.. {
        let timeout = event_loop.prepare_wait().unwrap();
        wait(event_loop, timeout);
        if event_loop.turn(Some(Duration::ZERO)).unwrap() == Turn::Stopped {
            return rounds;
        }
    }
    unreachable!("the loop is stopped some time");
}

#[test]
fn a_host_serves_timers_without_spinning() {
    let event_loop = embeddable();
    let trace = Trace::default();
    let start = event_loop.time();
    // Near ones and far ones are told in different ways.
    for delay in [3 * MS, MS / 4, MS] {
        let log = trace.clone();
        event_loop.call_at(start + delay, move || log.add(format!("{delay:?}")));
    }
    event_loop.call_at(start + 4 * MS, || EventLoop::current().stop());
    let rounds = host(&event_loop);
    assert_eq!(trace.take(), ["250µs", "1ms", "3ms"]);
    assert!(rounds <= 20, "{rounds} rounds for four timers");
}

#[cfg(target_os = "linux")]
#[test]
fn on_linux_the_descriptor_tells_of_deadlines_without_a_timeout() {
    let event_loop = embeddable();
    // As long as it may wait, it waits without a timeout.
    let serve = |timer: &tulipa::runtime::TimerHandle| {
        while !timer.is_finished() {
            if event_loop.prepare_wait().unwrap() != Some(Duration::ZERO) {
                assert!(wait(&event_loop, None));
            }
            let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    };
    for delay in [MS / 2, 5 * MS] {
        serve(&event_loop.call_later(delay, || ()));
    }
    // A deadline that was moved is told of at its new place, and at the old one once at most.
    let timer = event_loop.call_later(Duration::from_secs(3600), || ());
    event_loop.prepare_wait().unwrap();
    assert!(timer.reschedule(event_loop.time() + MS));
    serve(&timer);
}

#[test]
fn a_host_serves_sockets_without_spinning() {
    let event_loop = embeddable();
    let listener = event_loop
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let addr = listener.local_addr().unwrap();
    let server = event_loop.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut total = 0;
        loop {
            let mut bytes = [0; 64];
            let count = stream.read(&mut bytes).await.unwrap();
            if count == 0 {
                EventLoop::current().stop();
                return total;
            }
            stream.write_all(&bytes[..count]).await.unwrap();
            total += count;
        }
    });
    let client = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        for _ in 0..50 {
            stream.write_all(b"ping").unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
        }
    });
    let rounds = host(&event_loop);
    client.join().unwrap();
    assert_eq!(event_loop.block_on(server).unwrap(), 200);
    assert!(rounds <= 300, "{rounds} rounds for fifty exchanges");
}

#[test]
fn other_threads_wake_the_host() {
    let event_loop = embeddable();
    let calls = Rc::new(Cell::new(0));
    let remote = event_loop.remote();
    let sender = std::thread::spawn(move || {
        for number in 0..100 {
            // Each waits for its answer, so the host has slept in between.
            let task = remote.spawn(move || async move {
                turns(2).await;
                number
            });
            assert_eq!(task.unwrap().join().unwrap(), number);
        }
        remote.stop().unwrap();
    });
    let count = calls.clone();
    event_loop.call_soon(move || count.set(1));
    let rounds = host(&event_loop);
    sender.join().unwrap();
    assert_eq!(calls.get(), 1);
    assert!(rounds <= 1000, "{rounds} rounds for a hundred tasks");
}

#[test]
fn a_waker_used_elsewhere_wakes_the_host() {
    let event_loop = embeddable();
    let promise = tulipa::runtime::Promise::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiter = event_loop.spawn(async move {
        let mut is_told = false;
        std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut is_told, true) {
                return std::task::Poll::Ready(());
            }
            sender.send(cx.waker().clone()).unwrap();
            std::task::Poll::Pending
        })
        .await;
        promise.set(()).unwrap();
        EventLoop::current().stop();
    });
    let waker = std::thread::spawn(move || receiver.recv().unwrap().wake());
    host(&event_loop);
    waker.join().unwrap();
    assert!(waiter.is_finished());
}

// The protocol, step by step.
#[test]
fn the_descriptor_is_readable_from_a_wake_until_the_turn() {
    let event_loop = embeddable();
    let remote = event_loop.remote();
    let send = || {
        let remote = remote.clone();
        std::thread::spawn(move || drop(remote.call_soon(|| ())))
            .join()
            .unwrap();
    };
    let zero = Some(Duration::ZERO);
    // Nothing to do: it may wait for ever. Preparing twice is preparing once.
    assert_eq!(event_loop.prepare_wait().unwrap(), None);
    assert_eq!(event_loop.prepare_wait().unwrap(), None);
    assert!(!wait(&event_loop, zero));
    // A wake after the preparation makes it readable, and it stays so.
    send();
    assert!(event_loop.has_ready());
    assert!(wait(&event_loop, zero) && wait(&event_loop, zero));
    assert_eq!(
        event_loop.prepare_wait().unwrap(),
        zero,
        "and preparing again says so"
    );
    assert_eq!(event_loop.turn(zero).unwrap(), Turn::Continue);
    assert!(!wait(&event_loop, zero) && !event_loop.has_ready());
    // A wake before the preparation is told by that, without a system call.
    send();
    assert!(!wait(&event_loop, zero));
    assert_eq!(event_loop.prepare_wait().unwrap(), zero);
    assert_eq!(event_loop.turn(zero).unwrap(), Turn::Continue);
    assert_eq!(event_loop.prepare_wait().unwrap(), None);
    // A turn without a wait in between, and what is ready here.
    assert_eq!(event_loop.turn(zero).unwrap(), Turn::Continue);
    event_loop.call_soon(|| ());
    assert_eq!(event_loop.prepare_wait().unwrap(), zero);
    assert_eq!(event_loop.turn(zero).unwrap(), Turn::Continue);
    // Whatever the host itself schedules after the preparation makes it readable too.
    let (promise, never) = (
        tulipa::runtime::Promise::new(),
        std::future::pending::<()>(),
    );
    let waiter = event_loop.spawn(promise.clone());
    let aborted = event_loop.spawn(never);
    let timer = event_loop.call_later(Duration::from_secs(3600), || ());
    while event_loop.prepare_wait().unwrap() == zero {
        assert_eq!(event_loop.turn(zero).unwrap(), Turn::Continue);
    }
    let schedules: [&dyn Fn(); 9] = [
        &|| promise.set(1).unwrap(),
        &|| aborted.abort(),
        &|| assert!(timer.reschedule(event_loop.time())),
        &|| drop(event_loop.spawn(async {})),
        &|| drop(event_loop.call_soon(|| ())),
        &|| drop(event_loop.call_later(MS, || ())),
        &|| drop(event_loop.remote().call_soon(|| ())),
        &|| drop(event_loop.remote().spawn(|| async {})),
        &|| event_loop.stop(),
    ];
    for (number, schedule) in schedules.into_iter().enumerate() {
        while event_loop.prepare_wait().unwrap() == zero {
            let _ = event_loop.turn(zero).unwrap();
        }
        assert!(!wait(&event_loop, zero), "before number {number}");
        schedule();
        assert!(wait(&event_loop, zero), "after number {number}");
        let _ = event_loop.turn(zero).unwrap();
    }
    assert!(waiter.is_finished() && aborted.is_finished() && timer.is_finished());
    while event_loop.has_ready() || event_loop.next_deadline().is_some() {
        let _ = event_loop.turn(None).unwrap();
    }
    // A stop.
    event_loop.stop();
    assert_eq!(event_loop.prepare_wait().unwrap(), zero);
    assert_eq!(event_loop.turn(zero).unwrap(), Turn::Stopped);
    // A prepared wait that becomes an ordinary run.
    assert_eq!(event_loop.prepare_wait().unwrap(), None);
    event_loop.block_on(async { tulipa::sleep(MS).await });
    assert_eq!(event_loop.prepare_wait().unwrap(), None);
}

// An overdue timer that was dropped before it was served left the loop spinning, with nothing to do.
#[test]
fn an_overdue_timer_that_was_dropped_leaves_nothing_to_do() {
    let event_loop = embeddable();
    event_loop.block_on(async {
        let past = tulipa::time::Instant::from_nanos(1);
        let mut sleep = Box::pin(tulipa::sleep_until(past));
        assert!(crate::support::poll_once(&mut sleep).await.is_pending());
    });
    event_loop.call_at(event_loop.time() - MS, || ()).cancel();
    assert_eq!(event_loop.prepare_wait().unwrap(), Some(Duration::ZERO));
    assert_eq!(
        event_loop.turn(Some(Duration::ZERO)).unwrap(),
        Turn::Continue
    );
    assert_eq!(event_loop.prepare_wait().unwrap(), None);
}

#[test]
fn with_a_paused_clock_the_host_need_not_wait() {
    let event_loop = EventLoop::builder()
        .reactor("mio")
        .start_paused(true)
        .build()
        .unwrap();
    event_loop.call_later(Duration::from_secs(86_400), || EventLoop::current().stop());
    let start = event_loop.time();
    assert!(host(&event_loop) <= 4);
    assert_eq!(event_loop.time() - start, Duration::from_secs(86_400));
}

#[test]
fn a_reactor_without_a_descriptor_says_so() {
    let event_loop = EventLoop::builder().reactor("poll").build().unwrap();
    assert!(event_loop.as_fd().is_none());
    let error = event_loop.prepare_wait().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("'poll'"), "{error}");
    assert_eq!(
        event_loop.turn(Some(Duration::ZERO)).unwrap(),
        Turn::Continue
    );
}
