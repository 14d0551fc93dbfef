//! `staggered_race`: the first success of attempts that begin one after the other. (asyncio parity 6)

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Drops, Trace, paused, poll_once};
use tulipa::task::staggered_race;
use tulipa::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// An attempt that notes when it begins and when it is dropped, and ends after some milliseconds.
struct Attempts {
    trace: Trace,
    start: Instant,
}

impl Attempts {
    fn new() -> Attempts {
        Attempts {
            trace: Trace::default(),
            start: Instant::now(),
        }
    }

    fn attempt(
        &self,
        name: &'static str,
        takes: u32,
        succeeds: bool,
    ) -> impl Future<Output = Result<&'static str, String>> + use<> {
        let (trace, start) = (self.trace.clone(), self.start);
        async move {
            let now = |what| trace.add(format!("{} {name} {what}", start.elapsed().as_millis()));
            now("begins");
            tulipa::sleep(takes * MS).await;
            now(if succeeds { "succeeds" } else { "fails" });
            if succeeds {
                Ok(name)
            } else {
                Err(format!("{name} failed"))
            }
        }
    }
}

// §6 staggered_race(): two finishing in the same iteration: first wins. [3.14]
#[test]
fn of_two_that_succeed_together_the_first_wins() {
    paused(async {
        let it = Attempts::new();
        let attempts = [it.attempt("a", 20, true), it.attempt("b", 10, true)];
        assert_eq!(staggered_race(attempts, 10 * MS).await, Ok((0, "a")));
        assert_eq!(
            it.trace.take(),
            ["0 a begins", "10 b begins", "20 a succeeds"]
        );
    });
}

// §6 staggered_race(): the next one starts after `delay` or as soon as the previous fails.
#[test]
fn the_next_begins_after_the_delay_or_when_the_one_before_fails() {
    paused(async {
        let it = Attempts::new();
        let attempts = [
            it.attempt("a", 100, false),
            it.attempt("b", 4, false), // Fails before its delay is over.
            it.attempt("c", 500, true),
            it.attempt("d", 30, true),
            it.attempt("never", 0, true),
        ];
        assert_eq!(staggered_race(attempts, 40 * MS).await, Ok((3, "d")));
        assert_eq!(
            it.trace.take(),
            [
                "0 a begins",
                "40 b begins",
                "44 b fails",
                "44 c begins",
                "84 d begins",
                "100 a fails", // It was not the one before the next: nothing begins.
                "114 d succeeds",
            ]
        );
    });
}

// §6 staggered_race(): the first success cancels all others.
#[test]
fn the_first_success_drops_the_others_and_takes_no_more() {
    paused(async {
        let drops = Drops::default();
        let taken = Rc::new(Cell::new(0));
        let attempts = (0..10u32).map(|number| {
            taken.set(taken.get() + 1);
            let witness = drops.witness();
            async move {
                let _witness = witness;
                if number < 2 {
                    pending::<()>().await;
                }
                Ok::<_, ()>(number)
            }
        });
        assert_eq!(staggered_race(attempts, MS).await, Ok((2, 2)));
        assert_eq!(
            (drops.count(), taken.get()),
            (3, 3),
            "the rest was never made"
        );
    });
}

// §6 staggered_race(): exceptions per started one.
#[test]
fn when_all_fail_every_error_is_there_in_order() {
    paused(async {
        let it = Attempts::new();
        let attempts = [("a", 30), ("b", 5), ("c", 10)];
        let attempts = attempts.map(|(name, takes)| it.attempt(name, takes, false));
        let errors = staggered_race(attempts, 10 * MS).await.unwrap_err();
        assert_eq!(errors, ["a failed", "b failed", "c failed"]);
        assert_eq!(it.start.elapsed(), 30 * MS, "the last to fail ends it");

        let none: [std::future::Ready<Result<(), ()>>; 0] = [];
        assert_eq!(staggered_race(none, MS).await, Err(vec![]));
    });
}

// §6 staggered_race(): without a delay (None in asyncio) the attempts run one after the other.
#[test]
fn with_an_endless_delay_the_attempts_follow_one_another() {
    paused(async {
        let it = Attempts::new();
        let attempts = [
            it.attempt("a", 1000, false),
            it.attempt("b", 1000, false),
            it.attempt("c", 1000, true),
        ];
        assert_eq!(staggered_race(attempts, Duration::MAX).await, Ok((2, "c")));
        assert_eq!(it.start.elapsed(), 3000 * MS);
    });
}

#[test]
fn attempts_that_fail_at_once_begin_the_next_in_the_same_poll() {
    tulipa::run(async {
        let attempts = [Err(1), Err(2), Ok(3), Err(4)].map(ready);
        let mut race = pin!(staggered_race(attempts, Duration::MAX));
        assert_eq!(
            poll_once(&mut race).await,
            std::task::Poll::Ready(Ok((2, 3)))
        );
    });
}

#[test]
fn attempts_that_fail_without_an_end_let_the_others_run() {
    tulipa::run(async {
        let runs = Rc::new(Cell::new(true));
        let flag = runs.clone();
        let stop = tulipa::spawn(async move { flag.set(false) });
        let attempts = std::iter::repeat_with(|| ready(if runs.get() { Err(()) } else { Ok(()) }));
        let (place, ()) = staggered_race(attempts, Duration::MAX).await.unwrap();
        assert!(place >= 1);
        stop.await.unwrap();
    });
}

// §6 staggered_race(): an outer cancel reaches all.
#[test]
fn dropping_it_drops_all_attempts() {
    paused(async {
        let drops = Drops::default();
        let attempts = (0..3).map(|_| {
            let witness = drops.witness();
            async move {
                let _witness = witness;
                pending::<Result<(), ()>>().await
            }
        });
        assert!(
            tulipa::timeout(15 * MS, staggered_race(attempts, 10 * MS))
                .await
                .is_err()
        );
        assert_eq!(drops.count(), 2, "so many had begun");
    });
}

#[test]
fn a_delay_of_zero_lets_the_others_run_between_two_starts() {
    paused(async {
        let it = Attempts::new();
        let attempts = [it.attempt("a", 3, true), it.attempt("b", 1, true)];
        assert_eq!(staggered_race(attempts, Duration::ZERO).await, Ok((1, "b")));
        assert_eq!(
            it.trace.take(),
            ["0 a begins", "0 b begins", "1 b succeeds"]
        );
    });
}
