//! Timers: setting and cancelling, many at once, and how exact they are.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::operation::{Background, Batch, Operation};
use super::{
    Case, Entrants, Figure, Measured, OperationVisitor, Scale, on, run_as_task, time_operation,
};
use crate::epoll::{self, Epoll};
use crate::measure::cpu_time::CpuClock;
use crate::measure::pinning::{self, Place};
use crate::runtimes::{RAW, Runtime, Visitor};
use crate::stats;

pub(super) const CASES: &[Case] = &[
    Case {
        name: OPERATIONS[0],
        figures: &[Figure::lower("", "ns/timer")],
        entrants: Entrants::Runtimes,
        full_only: false,
        measure: time_operation::<SetAndCancel<0>>,
    },
    Case {
        name: OPERATIONS[1],
        figures: &[Figure::lower("", "ns/timer")],
        entrants: Entrants::Runtimes,
        full_only: false,
        measure: time_operation::<SetAndCancel<10_000>>,
    },
    Case {
        name: "timers/100k sleeps in 1 s",
        figures: &[
            Figure::lower("CPU", "ms"),
            Figure::lower("late p50", "µs"),
            Figure::lower("late p99", "µs"),
        ],
        entrants: Entrants::Runtimes,
        full_only: false,
        measure: many_sleeps,
    },
    Case {
        name: "timers/sleep 100 µs",
        figures: &[
            Figure::lower("late p50", "µs"),
            Figure::lower("late p99", "µs"),
            Figure::lower("CPU", "µs/sleep"),
        ],
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| {
            lone_sleeps(runtime, Duration::from_micros(100), scale.pick(2_000, 200))
        },
    },
    Case {
        name: "timers/sleep 1 ms",
        figures: &[
            Figure::lower("late p50", "µs"),
            Figure::lower("late p99", "µs"),
            Figure::lower("CPU", "µs/sleep"),
        ],
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| {
            lone_sleeps(runtime, Duration::from_millis(1), scale.pick(500, 50))
        },
    },
];

const OPERATIONS: &[&str] = &["timers/set+cancel", "timers/set+cancel among 10k"];

pub(super) fn visit<V: OperationVisitor>(name: &str, visitor: V) -> Result<V::Output, V> {
    Ok(
        match OPERATIONS.iter().position(|operation| *operation == name) {
            Some(0) => visitor.visit::<SetAndCancel<0>>(),
            Some(1) => visitor.visit::<SetAndCancel<10_000>>(),
            _ => return Err(visitor),
        },
    )
}

/// A task makes a sleep of about ten seconds, polls it once and drops it, while `OTHERS` other
/// sleeps wait: what a timeout costs when what it guards is in time.
struct SetAndCancel<const OTHERS: u64>;

/// Operations between two yields, the cost of which is part of the figure. Some runtimes put off
/// part of the work (a queue of changes) to their turn; and tokio's cooperative budget makes the
/// 129th sleep of a turn return at once, without a timer having been set.
const SETS_PER_TURN: u64 = 100;

impl<const OTHERS: u64> Operation for SetAndCancel<OTHERS> {
    const BATCH: Batch = Batch::Calibrated;

    async fn prepare<R: Runtime>() -> Background {
        let mut others: Background = Vec::new();
        for number in 0..OTHERS {
            let mut sleep = Box::pin(R::sleep(Duration::from_millis(60_000 + number * 7)));
            poll_once(sleep.as_mut()).await;
            others.push(sleep);
            if number % SETS_PER_TURN == 0 {
                R::yield_now().await;
            }
        }
        others
    }

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let duration = Duration::from_micros(10_000_000 + number % 1_000_000);
            poll_once(pin!(R::sleep(duration))).await;
            if number % SETS_PER_TURN == 0 {
                R::yield_now().await;
            }
        }
    }
}

async fn poll_once(mut sleep: std::pin::Pin<&mut impl Future<Output = ()>>) {
    poll_fn(|cx| {
        assert!(
            sleep.as_mut().poll(cx).is_pending(),
            "the sleep is a long one"
        );
        Poll::Ready(())
    })
    .await;
}

/// 100,000 tasks sleep until random instants within one second: CPU time of the process from the
/// first spawn to the last join, and how late the tasks woke.
fn many_sleeps(runtime: &str, scale: Scale) -> Measured {
    on(
        runtime,
        ManySleeps {
            count: scale.pick(100_000, 10_000),
        },
    )
}

struct ManySleeps {
    count: u64,
}

impl Visitor for ManySleeps {
    type Output = Vec<f64>;

    fn visit<R: Runtime>(self) -> Vec<f64> {
        pinning::pin_to(Place::Runtime);
        run_as_task::<R, _>(async move {
            let cpu = CpuClock::own();
            let cpu_before = cpu.read().expect("a process can read its own clock");
            let mut random = Random(0x9e37_79b9_7f4a_7c15);
            // The first deadline comes after all tasks have been started and polled: what they
            // miss meanwhile would say nothing about timers.
            let start = Instant::now() + STARTING;
            let tasks: Vec<_> = (0..self.count)
                .map(|_| {
                    let deadline = start + Duration::from_nanos(random.next() % 1_000_000_000);
                    R::spawn(async move {
                        R::sleep(deadline.saturating_duration_since(Instant::now())).await;
                        lateness_us(deadline)
                    })
                })
                .collect();
            let mut late_us = Vec::with_capacity(tasks.len());
            for task in tasks {
                late_us.push(task.await);
            }
            let cpu_ms = (cpu.read().expect("as above") - cpu_before).as_secs_f64() * 1e3;
            vec![
                cpu_ms,
                stats::percentile(&late_us, 50.0),
                stats::percentile(&late_us, 99.0),
            ]
        })
    }
}

/// Long enough for the slowest runtime to start 100,000 tasks and set their timers.
const STARTING: Duration = Duration::from_millis(300);

/// xorshift64: the same deadlines for every runtime.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// One task sleeps `count` times, with nothing else to do: how late it wakes, and the CPU time of a
/// sleep.
fn lone_sleeps(runtime: &str, duration: Duration, count: usize) -> Measured {
    if runtime == RAW {
        return timerfd_sleeps(duration, count).map_err(|error| error.to_string());
    }
    on(runtime, LoneSleeps { duration, count })
}

struct LoneSleeps {
    duration: Duration,
    count: usize,
}

impl Visitor for LoneSleeps {
    type Output = Vec<f64>;

    fn visit<R: Runtime>(self) -> Vec<f64> {
        pinning::pin_to(Place::Runtime);
        run_as_task::<R, _>(async move {
            let mut late_us = Vec::with_capacity(self.count);
            let cpu_before = CpuClock::own()
                .read()
                .expect("a process can read its own clock");
            for _ in 0..self.count {
                let deadline = Instant::now() + self.duration;
                R::sleep(self.duration).await;
                late_us.push(lateness_us(deadline));
            }
            let cpu = CpuClock::own().read().expect("as above") - cpu_before;
            sleep_figures(&late_us, cpu)
        })
    }
}

/// The limit: an epoll loop with a timerfd.
fn timerfd_sleeps(duration: Duration, count: usize) -> io::Result<Vec<f64>> {
    pinning::pin_to(Place::Runtime);
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: the call takes two numbers.
    let raw = epoll::check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: `raw` has just come from `timerfd_create`, and nobody else owns it.
    let timer = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut epoll = Epoll::new()?;
    epoll.add(&timer, 0)?;

    let mut late_us = Vec::with_capacity(count);
    let cpu_before = CpuClock::own().read()?;
    for _ in 0..count {
        let deadline = Instant::now() + duration;
        // Setting it anew clears the last expiry; it need not be read.
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = libc::timespec {
            tv_sec: 0,
            tv_nsec: duration.as_nanos() as libc::c_long,
        };
        let timing = libc::itimerspec {
            it_interval: zero,
            it_value: value,
        };
        // SAFETY: `timing` is valid and outlives the call, which may leave out the old value.
        epoll::check(unsafe {
            libc::timerfd_settime(
                timer.as_raw_fd(),
                0,
                &raw const timing,
                std::ptr::null_mut(),
            )
        })?;
        epoll.wait(-1)?;
        late_us.push(lateness_us(deadline));
    }
    let cpu = CpuClock::own().read()? - cpu_before;
    Ok(sleep_figures(&late_us, cpu))
}

fn sleep_figures(late_us: &[f64], cpu: Duration) -> Vec<f64> {
    let cpu_us = cpu.as_secs_f64() * 1e6 / late_us.len() as f64;
    vec![
        stats::percentile(late_us, 50.0),
        stats::percentile(late_us, 99.0),
        cpu_us,
    ]
}

/// How long ago `deadline` was. Negative if a timer fired early, which none may.
fn lateness_us(deadline: Instant) -> f64 {
    let now = Instant::now();
    match now.checked_duration_since(deadline) {
        Some(late) => late.as_secs_f64() * 1e6,
        None => -(deadline - now).as_secs_f64() * 1e6,
    }
}
