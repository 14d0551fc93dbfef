//! Callbacks: closures that the loop calls. No peer has them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tulipa::runtime::{call_later, call_soon};

use super::Entrants;
use super::operation::{Batch, Operation, operation_cases};
use crate::runtimes::Runtime;

operation_cases! {
    "callbacks/call_soon one", "ns/callback", Entrants::Ours => CallSoon<1>;
    "callbacks/call_soon 1000", "ns/callback", Entrants::Ours => CallSoon<1_000>;
    "callbacks/call_later, set+cancel", "ns/timer", Entrants::Ours => CallLaterAndCancel;
}

/// A task registers `AT_ONCE` callbacks and yields, and they are called. The yield is part of it.
struct CallSoon<const AT_ONCE: u64>;

impl<const AT_ONCE: u64> Operation for CallSoon<AT_ONCE> {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        let calls = Rc::new(Cell::new(0));
        for _ in 0..count / AT_ONCE {
            for _ in 0..AT_ONCE {
                let calls = Rc::clone(&calls);
                call_soon(move || calls.set(calls.get() + 1));
            }
            R::yield_now().await;
        }
        assert_eq!(calls.get(), count);
    }
}

/// A callback is registered for ten seconds from now, and cancelled.
struct CallLaterAndCancel;

impl Operation for CallLaterAndCancel {
    const BATCH: Batch = Batch::Calibrated;

    async fn perform<R: Runtime>(count: u64) {
        for number in 0..count {
            let delay = Duration::from_micros(10_000_000 + number % 1_000_000);
            call_later(delay, || unreachable!("it is cancelled")).cancel();
        }
    }
}
