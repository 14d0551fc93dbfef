//! Wakes from another thread.
//!
//! A task asks a helper thread for a wake and waits. The helper runs on the other CPU.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Case, Entrants, Figure, Measured, Scale, on, run_as_task};
use crate::epoll::{self, Epoll};
use crate::measure::pinning::{self, Place};
use crate::runtimes::{RAW, Runtime, Visitor};
use crate::stats;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "remote/wake a parked loop",
        figures: &[
            Figure::lower("one way p50", "µs"),
            Figure::lower("one way mean", "µs"),
        ],
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| wakes(runtime, Pause::UntilParked, scale),
    },
    Case {
        name: "remote/round trip",
        figures: &[Figure::lower("p50", "µs"), Figure::lower("mean", "µs")],
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| wakes(runtime, Pause::None, scale),
    },
];

/// What the helper does between the request and the wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// Answers at once: the figure is the time from the request to the task's next poll, the
    /// helper's own waking included.
    None,
    /// Gives the runtime time to park first: the figure is the time from the wake to the poll.
    UntilParked,
}

/// Longer than any of the runtimes takes to go to sleep.
const PARKING: Duration = Duration::from_micros(50);

fn wakes(runtime: &str, pause: Pause, scale: Scale) -> Measured {
    let count = scale.pick(20_000, 1_000);
    let trips_us = if runtime == RAW {
        raw_wakes(pause, count).map_err(|error| error.to_string())?
    } else {
        on(runtime, Wakes { pause, count })?
    };
    let mean = trips_us.iter().sum::<f64>() / trips_us.len() as f64;
    Ok(vec![stats::percentile(&trips_us, 50.0), mean])
}

struct Wakes {
    pause: Pause,
    count: usize,
}

impl Visitor for Wakes {
    type Output = Vec<f64>;

    fn visit<R: Runtime>(self) -> Vec<f64> {
        // The helper, started first, must not inherit the CPU of the runtime.
        let helper = Helper::start(self.pause, Waker::wake);
        pinning::pin_to(Place::Runtime);
        run_as_task::<R, _>(async move {
            let mut trips_us = Vec::with_capacity(self.count);
            for _ in 0..self.count {
                let asked = helper.clock.elapsed();
                let mut request_sent = false;
                let woken = poll_fn(|cx| {
                    if !request_sent {
                        request_sent = true;
                        helper.ask(cx.waker().clone());
                        return Poll::Pending;
                    }
                    // Runtimes may poll without a wake.
                    helper.answer().map_or(Poll::Pending, Poll::Ready)
                })
                .await;
                trips_us.push(helper.trip_us(self.pause, asked, woken));
            }
            helper.stop();
            trips_us
        })
    }
}

/// The limit: an epoll loop that another thread wakes through an eventfd.
fn raw_wakes(pause: Pause, count: usize) -> io::Result<Vec<f64>> {
    // SAFETY: the call takes two numbers.
    let raw = epoll::check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: `raw` has just come from `eventfd`, and nobody else owns it.
    let event = Arc::new(unsafe { OwnedFd::from_raw_fd(raw) });
    let helper = Helper::start(pause, |event: Arc<OwnedFd>| {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the call reads the eight bytes of `one`. The counter cannot overflow: it is read
        // after every write.
        unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    });
    pinning::pin_to(Place::Runtime);
    let mut epoll = Epoll::new()?;
    epoll.add(&event, 0)?;
    let mut trips_us = Vec::with_capacity(count);
    for _ in 0..count {
        let asked = helper.clock.elapsed();
        helper.ask(event.clone());
        epoll.wait(-1)?;
        let mut counter = [0u8; 8];
        // SAFETY: the call writes the eight bytes of `counter`.
        unsafe {
            libc::read(
                event.as_raw_fd(),
                counter.as_mut_ptr().cast(),
                counter.len(),
            )
        };
        let woken = helper
            .answer()
            .expect("the answer is stored before the wake");
        trips_us.push(helper.trip_us(pause, asked, woken));
    }
    helper.stop();
    Ok(trips_us)
}

/// The other thread. `W` is what it wakes.
struct Helper<W> {
    thread: JoinHandle<()>,
    requests: mpsc::Sender<W>,
    /// What the times below are counted from.
    clock: Instant,
    /// When it woke the task last, in nanoseconds; 0 while it has not.
    woken_ns: Arc<AtomicU64>,
}

impl<W: Send + 'static> Helper<W> {
    fn start(pause: Pause, wake: fn(W)) -> Self {
        let clock = Instant::now();
        let woken_ns = Arc::new(AtomicU64::new(0));
        let (requests, inbox) = mpsc::channel::<W>();
        let answer = woken_ns.clone();
        let thread = thread::spawn(move || {
            pinning::pin_to(Place::Peer);
            while let Ok(waker) = inbox.recv() {
                let received = Instant::now();
                while pause == Pause::UntilParked && received.elapsed() < PARKING {
                    std::hint::spin_loop();
                }
                let now_ns = clock.elapsed().as_nanos() as u64;
                answer.store(now_ns.max(1), Ordering::Release);
                wake(waker);
            }
        });
        Self {
            thread,
            requests,
            clock,
            woken_ns,
        }
    }

    fn ask(&self, waker: W) {
        self.requests
            .send(waker)
            .expect("the helper runs until it is stopped");
    }

    /// When the helper woke the task, once, if it has.
    fn answer(&self) -> Option<Duration> {
        match self.woken_ns.load(Ordering::Acquire) {
            0 => None,
            woken_ns => {
                self.woken_ns.store(0, Ordering::Relaxed);
                Some(Duration::from_nanos(woken_ns))
            }
        }
    }

    /// How long the trip took that ends now.
    fn trip_us(&self, pause: Pause, asked: Duration, woken: Duration) -> f64 {
        let begin = match pause {
            Pause::None => asked,
            Pause::UntilParked => woken,
        };
        (self.clock.elapsed() - begin).as_secs_f64() * 1e6
    }

    fn stop(self) {
        drop(self.requests);
        self.thread.join().expect("the helper does not panic");
    }
}
