//! Messages from other threads, through a channel that crosses.
//!
//! Each sender is a thread of its own, which awaits room in the channel and does nothing else. They share the other CPU.
//! How often one side has to wake the other, which costs more than all the rest, is the timing's: the figure is the
//! rate that comes of it, by a wall clock.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use super::{Case, Entrants, Figure, Measured, Scale, on, run_as_task};
use crate::measure::pinning::{self, Place};
use crate::primitives::{Primitives, Remote};
use crate::runtimes::{Runtime, Visitor};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "remote/mpsc of 100, 1 thread",
        figures: &[Figure::higher("", "messages/s")],
        entrants: Entrants::Runtimes,
        full_only: false,
        measure: |runtime, scale| rate(runtime, 1, scale),
    },
    Case {
        name: "remote/mpsc of 100, 4 threads",
        figures: &[Figure::higher("", "messages/s")],
        entrants: Entrants::Runtimes,
        full_only: false,
        measure: |runtime, scale| rate(runtime, 4, scale),
    },
];

const CAPACITY: usize = 100;

fn rate(runtime: &str, senders: u64, scale: Scale) -> Measured {
    let each = scale.pick(1_000_000, 40_000) / senders;
    on(runtime, Crossing { senders, each }).map(|rate| vec![rate])
}

struct Crossing {
    senders: u64,
    /// Messages from each of them.
    each: u64,
}

type RemoteOf<R> = <<R as Runtime>::Primitives as Primitives>::Remote;

impl Visitor for Crossing {
    type Output = f64;

    fn visit<R: Runtime>(self) -> f64 {
        pinning::pin_to(Place::Runtime);
        run_as_task::<R, _>(async move {
            let Crossing { senders, each } = self;
            let (sender, mut receiver) = RemoteOf::<R>::bounded(CAPACITY);
            let start = Arc::new(Barrier::new(senders as usize + 1));
            let send = || {
                let (sender, start) = (sender.clone(), start.clone());
                thread::spawn(move || {
                    pinning::pin_to(Place::Peer);
                    start.wait();
                    smol::future::block_on(async {
                        for number in 0..each {
                            RemoteOf::<R>::send(&sender, number).await;
                        }
                    });
                })
            };
            let threads: Vec<_> = (0..senders).map(|_| send()).collect();
            start.wait();
            let begin = Instant::now();
            let mut sum = 0;
            for _ in 0..each * senders {
                sum += RemoteOf::<R>::recv(&mut receiver).await;
            }
            let elapsed = begin.elapsed();
            assert_eq!(sum, each * (each - 1) / 2 * senders);
            for thread in threads {
                thread.join().expect("a sender does not panic");
            }
            (each * senders) as f64 / elapsed.as_secs_f64()
        })
    }
}
