//! Futures in place: `join!`, `try_join!`, `select!`, `race!`, and `join_all`, `try_join_all`, `race`.
//! (asyncio parity 6: the combinators that asyncio lacks, and the trap of `gather`)

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::support::{Countdown, Drops, LeaveWaker, Trace, paused, poll_once, turns};
use tulipa::{join, join_all, race, select, try_join, try_join_all};

const MS: Duration = Duration::from_millis(1);

// TRAP of §6 `gather`: `try_join` drops the siblings where they are.
#[test]
fn try_join_drops_the_others_at_the_first_error() {
    tulipa::run(async {
        let (polls, drops) = (Rc::new(Cell::new(0)), Drops::default());
        let behind = Rc::new(Cell::new(0));
        let result = try_join!(
            Countdown::new(9, Ok::<u8, &str>(1), &polls, &drops),
            async {
                tulipa::yield_now().await;
                Err::<u8, _>("second")
            },
            Countdown::new(9, Ok::<u8, &str>(3), &behind, &drops),
        );
        assert_eq!(result, Err("second"));
        assert_eq!(drops.count(), 2);
        assert_eq!(
            (polls.get(), behind.get()),
            (2, 1),
            "nobody behind an error is polled"
        );
    });
}

#[test]
fn try_join_yields_a_tuple_of_values_or_the_first_error_in_order() {
    tulipa::run(async {
        let text = String::from("4");
        let values = try_join!(async { text.parse::<u8>() }, async { "5".parse::<u8>() });
        assert_eq!(values, Ok((4, 5)));
        let result: Result<(u8, u8), u8> = try_join!(ready(Err(1)), ready(Err(2)));
        assert_eq!(result, Err(1));
        let result: Result<(), u8> = try_join!();
        assert_eq!(result, Ok(()));
        // `?` works on it.
        async fn sum() -> Result<u8, std::num::ParseIntError> {
            let (a, b) = try_join!(async { "1".parse::<u8>() }, async { "x".parse::<u8>() })?;
            Ok(a + b)
        }
        assert!(sum().await.is_err());
    });
}

#[test]
fn join_polls_each_future_until_it_is_done_and_drops_it_then() {
    tulipa::run(async {
        let drops = Drops::default();
        let polls: Vec<_> = (0..3).map(|_| Rc::new(Cell::new(0))).collect();
        let dropped_meanwhile = poll_fn(|_| match drops.count() {
            3 => Poll::Ready("they are gone"),
            _ => Poll::Pending,
        });
        let outputs = join!(
            Countdown::new(1, 'a', &polls[0], &drops),
            Countdown::new(3, 'b', &polls[1], &drops),
            dropped_meanwhile,
            Countdown::new(2, 'c', &polls[2], &drops),
        );
        assert_eq!(outputs, ('a', 'b', "they are gone", 'c'));
        assert_eq!(drops.count(), 3);
        assert_eq!(
            polls.iter().map(|it| it.get()).collect::<Vec<_>>(),
            [1, 3, 2]
        );
    });
}

#[test]
fn join_hands_the_tasks_own_waker_on() {
    tulipa::run(async {
        let own = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let check = async || poll_fn(|cx| Poll::Ready(cx.waker().will_wake(&own))).await;
        assert_eq!(join!(check(), check()), (true, true));
        assert!(select! { same = check() => same });
        assert_eq!(join_all([check(), check()]).await, [true, true]);
    });
}

#[test]
fn join_takes_any_number_of_futures_of_any_types() {
    tulipa::run(async {
        join!();
        assert_eq!(join!(ready(1)), (1,));
        let mut list = vec![1];
        let text = String::from("borrowed");
        let (len, ()) = join!(async { text.len() }, async { list.push(2) });
        assert_eq!((len, list.len()), (8, 2));
        let (_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, last) = join!(
            ready(1),
            ready(2),
            ready(3),
            ready(4),
            ready(5),
            ready(6),
            ready(7),
            ready(8),
            ready(9),
            ready(10),
            ready(11),
            ready(12),
            ready(13),
            ready(14),
            ready(15),
            ready(16),
            ready(17),
            ready(18),
            ready(19),
            ready("twenty"),
        );
        assert_eq!(last, "twenty");
        assert_eq!(
            join!(biased; ready(1), tulipa::spawn(async { 2 }))
                .1
                .unwrap(),
            2
        );
    });
}

#[test]
fn select_takes_the_first_that_is_ready_in_written_order() {
    tulipa::run(async {
        for _ in 0..10 {
            let chosen = select! {
                () = pending() => 0,
                () = ready(()) => 1,
                () = ready(()) => 2,
            };
            assert_eq!(chosen, 1);
        }
        let chosen = select! { biased; _ = tulipa::yield_now() => "later", _ = ready(3) => "now" };
        assert_eq!(chosen, "now");
    });
}

#[test]
fn select_drops_all_futures_before_the_handler_runs() {
    tulipa::run(async {
        let (polls, drops) = (Rc::new(Cell::new(0)), Drops::default());
        select! {
            _ = Countdown::new(9, (), &polls, &drops) => unreachable!(),
            () = ready(()) => {
                assert_eq!(drops.count(), 2);
            }
            _ = Countdown::new(9, (), &polls, &drops) => unreachable!(),
        }
        assert_eq!((drops.count(), polls.get()), (2, 1));

        // So a handler may use what the futures have borrowed.
        let mut values = vec![1, 2, 3];
        async fn take(values: &mut Vec<u8>) -> Option<u8> {
            values.pop()
        }
        select! {
            value = take(&mut values) => values.push(value.unwrap() + 10),
            () = pending() => {}
        }
        assert_eq!(values, [1, 2, 13]);
    });
}

#[test]
fn select_conditions_disable_branches_and_their_futures_are_made_nevertheless() {
    tulipa::run(async {
        let trace = Trace::default();
        let make = |name: &str| {
            trace.add(name);
            ready(name.len())
        };
        let condition = |name: &str, value: bool| {
            trace.add(name);
            value
        };
        let chosen = select! {
            len = make("one"), if condition("if one", false) => ("one", len),
            len = make("second"), if condition("if second", true) => ("second", len),
        };
        assert_eq!(chosen, ("second", 6));
        assert_eq!(trace.take(), ["if one", "if second", "one", "second"]);

        // A condition may look at what a future borrows.
        let mut slot = Some(ready(5));
        let value = select! {
            value = poll_fn(|cx| Pin::new(slot.as_mut().unwrap()).poll(cx)), if slot.is_some() => value,
            else => 0,
        };
        assert_eq!(value, 5);
    });
}

#[test]
fn select_goes_on_when_a_pattern_does_not_match() {
    tulipa::run(async {
        let (polls, drops) = (Rc::new(Cell::new(0)), Drops::default());
        let text = select! {
            Some(text) = Countdown::new(1, None::<String>, &polls, &drops) => text,
            Ok(mut text) = async {
                turns(2).await;
                Ok::<String, ()>("late".into())
            } => {
                text.push('!');
                text
            }
        };
        assert_eq!(text, "late!");
        assert_eq!(polls.get(), 1, "it is not polled again");

        let nothing = select! {
            Some(value) = ready(None::<u8>) => value,
            Ok(1 | 2) = ready(Ok::<u8, u8>(3)) => 1,
            value @ 7.. = ready(6) => value,
            else => 99,
        };
        assert_eq!(nothing, 99);
        assert_eq!(select! { else => "only else" }, "only else");
    });
}

#[test]
fn select_patterns_bind_by_move_by_reference_and_in_depth() {
    struct Pair {
        left: String,
        right: Option<Box<u8>>,
    }
    tulipa::run(async {
        let pair = Pair {
            left: "left".into(),
            right: Some(Box::new(2)),
        };
        let (left, right) = select! {
            Pair { left, right: Some(right) } = ready(pair) => (left, *right),
            else => unreachable!(),
        };
        assert_eq!((&*left, right), ("left", 2));
        let len = select! { ref text = ready(String::from("abc")) => text.len() };
        assert_eq!(len, 3);
        let text = select! { (ref mut text, _) = ready((String::new(), 1)) => {
            text.push('x');
            std::mem::take(text)
        } };
        assert_eq!(text, "x");
    });
}

#[test]
#[should_panic = "all branches of this select! are disabled, and it has no `else` branch"]
fn select_without_a_branch_left_and_without_else_panics() {
    tulipa::run(async {
        select! { Some(()) = ready(None) => {} }
    });
}

#[test]
fn select_handlers_may_await_break_continue_and_return() {
    async fn flow(numbers: &mut Vec<u32>) -> Result<u32, String> {
        let mut sum = 0;
        let found = loop {
            select! {
                Some(number) = async { numbers.pop() } => {
                    if number == 1 {
                        continue;
                    }
                    if number > 50 {
                        return Ok(number);
                    }
                    tulipa::yield_now().await;
                    let parsed: u32 = number.to_string().parse().map_err(|_| "not a number".to_owned())?;
                    sum += parsed;
                    if number == 13 {
                        Err("thirteen")?;
                    }
                    numbers.shrink_to_fit();
                }
                else => break sum,
            }
        };
        Ok(found)
    }
    tulipa::run(async {
        assert_eq!(flow(&mut vec![2, 1, 3]).await, Ok(5));
        assert_eq!(flow(&mut vec![2, 99, 3]).await, Ok(99));
        assert_eq!(flow(&mut vec![13]).await, Err("thirteen".into()));
    });
}

#[test]
fn select_in_a_loop_keeps_a_future_that_it_borrows() {
    paused(async {
        let mut work = pin!(async {
            tulipa::sleep(10 * MS).await;
            "done"
        });
        let mut ticks = tulipa::interval(3 * MS);
        let mut count = 0;
        let result = loop {
            select! {
                result = &mut work => break result,
                _ = ticks.tick() => count += 1,
            }
        };
        assert_eq!((result, count), ("done", 4)); // At 0, 3, 6 and 9.
    });
}

#[test]
fn selects_nest_and_take_many_branches() {
    tulipa::run(async {
        let value = select! {
            value = async {
                select! {
                    inner = async { join!(ready(1), ready(2)).1 } => inner + 1,
                    () = pending() => 0,
                }
            } => value * 2,
            () = pending() => 0,
        };
        assert_eq!(value, 6);
        let last = select! {
            () = pending() => 1, () = pending() => 2, () = pending() => 3, () = pending() => 4,
            () = pending() => 5, () = pending() => 6, () = pending() => 7, () = pending() => 8,
            () = pending() => 9, () = pending() => 10, () = pending() => 11, () = pending() => 12,
            () = pending() => 13, () = pending() => 14, () = pending() => 15, () = pending() => 16,
            () = pending() => 17, () = pending() => 18, () = pending() => 19, value = ready(20) => value,
        };
        assert_eq!(last, 20);
    });
}

#[test]
fn a_race_yields_the_first_and_drops_the_others() {
    tulipa::run(async {
        let (polls, drops) = (Rc::new(Cell::new(0)), Drops::default());
        let winner = race!(
            Countdown::new(3, "slow", &polls, &drops),
            Countdown::new(2, "fast", &polls, &drops),
        );
        assert_eq!((winner, drops.count()), ("fast", 2));

        for n in [2, 100] {
            let drops = Drops::default();
            let winner = race((0..n).map(|number| {
                let ready_at = if number == n - 1 { 2 } else { 5 };
                Countdown::new(ready_at, number, &polls, &drops)
            }));
            assert_eq!(winner.await, n - 1);
            assert_eq!(drops.count(), n);
        }
        assert_eq!(
            race((0..100).map(ready)).await,
            0,
            "the first in order, when all are ready"
        );
    });
}

#[test]
#[should_panic = "race of no futures: it would wait for ever"]
fn a_race_of_nobody_panics() {
    drop(race(Vec::<std::future::Ready<()>>::new()));
}

#[test]
fn join_all_keeps_the_order_whoever_is_first() {
    paused(async {
        for n in [0u64, 1, 2, 16, 17, 1000] {
            let outputs = join_all((0..n).map(|number| async move {
                tulipa::sleep((n - number) as u32 * MS).await;
                number
            }));
            assert!(outputs.await.into_iter().eq(0..n));
        }
    });
}

#[test]
fn join_all_of_many_polls_only_who_was_woken() {
    tulipa::run(async {
        const N: usize = 1000;
        let polls = Rc::new(Cell::new(0));
        let places: Vec<Rc<RefCell<Option<Waker>>>> = (0..N).map(|_| Rc::default()).collect();
        let done = Rc::new(Cell::new(false));
        let joined = tulipa::spawn(join_all(places.iter().map(|place| {
            let leave = LeaveWaker {
                place: place.clone(),
                polls: polls.clone(),
            };
            let done = done.clone();
            async move {
                let mut leave = leave;
                while !done.get() {
                    let _ = poll_once(&mut leave).await;
                    suspend_once().await;
                }
            }
        })));
        turns(2).await;
        assert_eq!(polls.get(), N as u32);
        for round in 1..=3 {
            for _ in 0..2 {
                places[17].borrow().as_ref().unwrap().wake_by_ref();
            }
            turns(2).await;
            assert_eq!(polls.get(), N as u32 + round, "one poll for two wakes");
        }
        done.set(true);
        for place in &places {
            place.borrow().as_ref().unwrap().wake_by_ref();
        }
        assert_eq!(joined.await.unwrap().len(), N);
        // Wakers that are left wake nobody.
        places[0].borrow().as_ref().unwrap().wake_by_ref();
        assert_eq!(polls.get(), N as u32 + 3);
    });
}

/// Is pending once, without a wake.
async fn suspend_once() {
    let mut is_first = true;
    poll_fn(|_| {
        if std::mem::take(&mut is_first) {
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

#[test]
fn a_child_that_wakes_itself_does_not_hold_the_others() {
    tulipa::run(async {
        let trace = Trace::default();
        let log = trace.clone();
        let all = tulipa::spawn(join_all((0..20).map(move |number| {
            let log = log.clone();
            async move {
                tulipa::yield_now().await;
                if number == 0 {
                    tulipa::yield_now().await;
                    log.add("third turn");
                }
            }
        })));
        tulipa::yield_now().await;
        trace.add("first turn over");
        tulipa::yield_now().await;
        trace.add("second turn over");
        all.await.unwrap();
        assert_eq!(
            trace.take(),
            ["first turn over", "second turn over", "third turn"]
        );
    });
}

#[test]
fn children_may_be_woken_from_other_threads() {
    tulipa::run(async {
        for n in [3, 50] {
            let outputs = join_all((0..n).map(|number| {
                let mut thread = None;
                poll_fn(move |cx| match &thread {
                    None => {
                        let waker = cx.waker().clone();
                        thread = Some(std::thread::spawn(move || waker.wake()));
                        Poll::Pending
                    }
                    Some(thread) if thread.is_finished() => Poll::Ready(number),
                    Some(_) => {
                        // Woken before the thread was seen to have ended.
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                })
            }));
            assert!(outputs.await.into_iter().eq(0..n));
        }
    });
}

#[test]
fn try_join_all_yields_all_values_or_drops_the_rest_at_an_error() {
    tulipa::run(async {
        for n in [4u32, 40] {
            let (polls, drops) = (Rc::new(Cell::new(0)), Drops::default());
            let values = try_join_all((0..n).map(|number| ready(Ok::<_, ()>(number)))).await;
            assert!(values.unwrap().into_iter().eq(0..n));

            let result = try_join_all((0..n).map(|number| {
                let (ready_at, value) = if number == 2 {
                    (2, Err("two"))
                } else {
                    (3, Ok(number))
                };
                Countdown::new(ready_at, value, &polls, &drops)
            }));
            assert_eq!(result.await, Err("two"));
            assert_eq!(drops.count(), n);
            assert_eq!(
                polls.get(),
                n + 3,
                "those behind it are not polled in its last turn"
            );
        }
    });
}
