//! Operations that can be repeated any number of times: how they are timed.
//!
//! The same code is timed by the comparison and counted by callgrind (`instructions`).
//!
//! Time here is CPU time of the process. None of these operations waits for anything, so on an idle
//! machine it is what a wall clock shows; on a busy one it leaves out the time slices of others.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use super::{Scale, run_as_task};
use crate::measure::cpu_time::CpuClock;
use crate::measure::pinning::{self, Place};
use crate::runtimes::{Runtime, Visitor};
use crate::stats;

/// Something a runtime does in nanoseconds.
pub(crate) trait Operation: 'static {
    /// How often it is done between two looks at the clock.
    const BATCH: Batch;

    /// The two counts whose difference callgrind is asked about.
    const CALLGRIND_COUNTS: (u64, u64) = (2_000, 12_000);

    /// What has to exist meanwhile.
    fn prepare<R: Runtime>() -> impl Future<Output = Background> {
        async { Vec::new() }
    }

    /// Does it `count` times.
    fn perform<R: Runtime>(count: u64) -> impl Future<Output = ()>;
}

/// Declares the cases of a module whose only figure is the time of an [`Operation`]: its `CASES` and
/// its `visit`.
macro_rules! operation_cases {
    ($($name:literal, $unit:literal, $entrants:expr => $operation:ty;)*) => {
        pub(super) const CASES: &[super::Case] = &[$(super::Case {
            name: $name,
            figures: &[super::Figure::lower("", $unit)],
            entrants: $entrants,
            full_only: false,
            measure: super::time_operation::<$operation>,
        }),*];

        pub(super) fn visit<V: super::OperationVisitor>(
            name: &str,
            visitor: V,
        ) -> Result<V::Output, V> {
            match name {
                $($name => Ok(visitor.visit::<$operation>()),)*
                _ => Err(visitor),
            }
        }
    };
}
pub(super) use operation_cases;

/// Futures that have been polled and are kept alive.
pub(crate) type Background = Vec<Pin<Box<dyn Future<Output = ()>>>>;

/// How many operations a batch holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Batch {
    /// As many as take [`CALIBRATED`].
    Calibrated,
    /// So many, in so many batches.
    Fixed { operations: u64, batches: usize },
}

/// Long beside the clock's resolution and an interrupt, short beside a scheduler's time slice:
/// what disturbs the machine then spoils single batches, and the median stands.
const CALIBRATED: Duration = Duration::from_millis(10);

/// Batches of a calibrated length.
const BATCHES: usize = 15;

/// Runs the operation `O` as a task and answers with the median of its batches, in nanoseconds.
pub(super) struct Timed<O> {
    scale: Scale,
    operation: PhantomData<O>,
}

impl<O: Operation> Timed<O> {
    pub(super) fn new(scale: Scale) -> Self {
        Self {
            scale,
            operation: PhantomData,
        }
    }
}

impl<O: Operation> Visitor for Timed<O> {
    type Output = f64;

    fn visit<R: Runtime>(self) -> f64 {
        pinning::pin_to(Place::Runtime);
        let scale = self.scale;
        run_as_task::<R, _>(async move {
            let background = O::prepare::<R>().await;
            let (operations, batches) = match O::BATCH {
                Batch::Calibrated => (calibrate::<O, R>(scale).await, scale.pick(BATCHES, 3)),
                Batch::Fixed {
                    operations,
                    batches,
                } => {
                    O::perform::<R>(operations / 10).await;
                    (operations / scale.pick(1, 10), scale.pick(batches, 2))
                }
            };
            let mut ns_per_operation = Vec::with_capacity(batches);
            for _ in 0..batches {
                let batch = time_batch::<O, R>(operations).await;
                ns_per_operation.push(batch.as_secs_f64() * 1e9 / operations as f64);
            }
            drop(background);
            stats::median(&ns_per_operation)
        })
    }
}

/// Finds out how many operations a batch holds, and warms up meanwhile.
async fn calibrate<O: Operation, R: Runtime>(scale: Scale) -> u64 {
    let target = CALIBRATED / scale.pick(1, 5);
    let mut operations = 1_000;
    loop {
        if time_batch::<O, R>(operations).await >= target {
            return operations;
        }
        operations *= 2;
    }
}

async fn time_batch<O: Operation, R: Runtime>(operations: u64) -> Duration {
    let clock = CpuClock::own();
    let start = clock.read().expect("a process can read its own clock");
    O::perform::<R>(operations).await;
    clock.read().expect("as above") - start
}

/// Runs the operation `O` `count` times as a task, without a look at the clock.
pub(crate) struct Counted<O> {
    count: u64,
    operation: PhantomData<O>,
}

impl<O: Operation> Counted<O> {
    pub(crate) fn new(count: u64) -> Self {
        Self {
            count,
            operation: PhantomData,
        }
    }
}

impl<O: Operation> Visitor for Counted<O> {
    type Output = ();

    fn visit<R: Runtime>(self) {
        run_as_task::<R, _>(async move {
            let background = O::prepare::<R>().await;
            O::perform::<R>(self.count).await;
            drop(background);
        });
    }
}
