//! Tasks: their lives, their ends, and who is told. (asyncio parity 5)

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::support::{Drops, LeaveWaker, Trace, listening_runner, poll_once, turns};
use tulipa::runtime::{ExceptionKind, Runner};
use tulipa::task::{self, Builder, JoinHandle};

#[test]
fn a_task_yields_its_value_and_says_who_it_is() {
    tulipa::run(async {
        let handle = Builder::new()
            .name("answer")
            .spawn(async { (task::id(), 42) });
        assert_eq!(handle.name().as_deref(), Some("answer"));
        assert!(handle.spawned_at().file().ends_with("tasks.rs"));
        assert!(!handle.is_finished());
        let id = handle.id();
        assert_eq!(handle.await.unwrap(), (id, 42));
        assert_ne!(task::id(), id);
    });
    assert_eq!(task::try_id(), None);
}

#[test]
fn ids_are_given_out_in_spawn_order() {
    tulipa::run(async {
        let ids: Vec<_> = (0..3)
            .map(|_| tulipa::spawn(async {}))
            .map(|it| it.id())
            .collect();
        assert!(ids.is_sorted() && ids[0] != ids[1]);
    });
}

// TK07, for abort.
#[test]
fn abort_works_in_every_state() {
    let trace = tulipa::run(async {
        let trace = Trace::default();
        let drops = Drops::default();

        // Before the first poll: the body never runs.
        let (log, witness) = (trace.clone(), drops.witness());
        let handle = tulipa::spawn(async move {
            let _witness = witness;
            log.add("never");
        });
        handle.abort();
        assert_eq!(
            drops.count(),
            0,
            "abort drops at the next turn, not inside the call"
        );
        assert!(handle.await.unwrap_err().is_cancelled());
        assert_eq!(drops.count(), 1);

        // Parked, and twice.
        let witness = drops.witness();
        let handle = tulipa::spawn(async move {
            let _witness = witness;
            pending::<()>().await;
        });
        tulipa::yield_now().await;
        handle.abort();
        handle.abort();
        tulipa::yield_now().await;
        assert!(handle.is_finished());
        assert_eq!(drops.count(), 2);
        assert!(handle.await.unwrap_err().is_cancelled());

        // From inside its own poll: it takes effect at the next suspension.
        let itself: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let (own, log) = (itself.clone(), trace.clone());
        let handle = tulipa::spawn(async move {
            own.borrow().as_ref().unwrap().abort();
            log.add("goes on");
            tulipa::yield_now().await;
            log.add("never");
        });
        *itself.borrow_mut() = Some(handle);
        turns(3).await;
        assert!(itself.borrow().as_ref().unwrap().is_finished());

        // After completion: the value is kept.
        let handle = tulipa::spawn(async { 5 });
        tulipa::yield_now().await;
        handle.abort();
        assert_eq!(handle.await.unwrap(), 5);
        trace
    });
    assert_eq!(trace.take(), ["goes on"]);
}

#[test]
fn aborting_while_queued_drops_without_another_poll() {
    tulipa::run(async {
        let place = Rc::default();
        let polls = Rc::new(Cell::new(0));
        let handle = tulipa::spawn(LeaveWaker {
            place: Rc::clone(&place),
            polls: polls.clone(),
        });
        tulipa::yield_now().await;
        place.borrow().as_ref().unwrap().wake_by_ref();
        handle.abort();
        assert!(handle.await.unwrap_err().is_cancelled());
        assert_eq!(polls.get(), 1);
    });
}

#[test]
fn a_handle_that_aborts_on_drop_does() {
    tulipa::run(async {
        let drops = Drops::default();
        let witness = drops.witness();
        let handle = tulipa::spawn(async move {
            let _witness = witness;
            pending::<()>().await;
        });
        drop(handle.abort_on_drop());
        assert_eq!(drops.count(), 0);
        tulipa::yield_now().await;
        assert_eq!(drops.count(), 1);
        assert_eq!(tulipa::spawn(async { 3 }).abort_on_drop().await.unwrap(), 3);
    });
}

// TK09
#[test]
fn a_dropped_handle_detaches() {
    tulipa::run(async {
        let drops = Drops::default();
        let trace = Trace::default();

        let (log, witness) = (trace.clone(), drops.witness());
        drop(tulipa::spawn(async move {
            tulipa::yield_now().await;
            log.add("detached before");
            witness
        }));
        turns(3).await;
        assert_eq!(drops.count(), 1, "the output is dropped");

        let witness = drops.witness();
        let handle = tulipa::spawn(async move { witness });
        tulipa::yield_now().await;
        assert_eq!(drops.count(), 1);
        drop(handle);
        assert_eq!(drops.count(), 2);
        assert_eq!(trace.take(), ["detached before"]);
    });
}

#[test]
fn a_dropped_handle_keeps_no_waker_of_its_waiter() {
    tulipa::run(async {
        let mut handle = tulipa::spawn(async { tulipa::yield_now().await });
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let waiter = tulipa::spawn(async move {
            assert!(poll_once(&mut handle).await.is_pending());
            drop(handle);
            poll_fn(|_| {
                count.set(count.get() + 1);
                Poll::<()>::Pending
            })
            .await;
        });
        turns(5).await;
        assert_eq!(polls.get(), 1);
        waiter.abort();
    });
}

// TK10
#[test]
fn join_sees_everything_of_the_future_gone() {
    tulipa::run(async {
        let held = Rc::new(());
        let inside = held.clone();
        let handle = tulipa::spawn(async move {
            let _inside = inside;
            tulipa::yield_now().await;
        });
        handle.await.unwrap();
        assert_eq!(Rc::strong_count(&held), 1);
    });
}

// TK11
#[test]
fn a_panic_is_that_tasks_alone() {
    let (mut runner, heard) = listening_runner();
    runner.run(async {
        let mut others = Vec::new();
        for number in 0..100u32 {
            others.push(tulipa::spawn(async move {
                tulipa::yield_now().await;
                tulipa::yield_now().await;
                assert_ne!(number, 40, "forty");
                number
            }));
        }
        for (number, handle) in others.into_iter().enumerate() {
            match handle.await {
                Ok(value) => assert_eq!(value as usize, number),
                Err(error) => {
                    assert_eq!(number, 40);
                    assert!(error.is_panic() && !error.is_cancelled());
                    assert!(error.panic_message().unwrap().contains("forty"));
                    assert!(error.into_panic().is::<String>());
                }
            }
        }
    });
    assert_eq!(heard.take(), []);

    runner.run(async {
        drop(
            Builder::new()
                .name("lost")
                .spawn(async { panic!("nobody looks") }),
        );
        let handle = tulipa::spawn(async { panic!("nobody looks in time") });
        turns(2).await;
        drop(handle);
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(
        heard
            .iter()
            .all(|(kind, _)| *kind == ExceptionKind::TaskPanicked)
    );
    assert!(
        heard[0].1.contains("'lost' spawned at tests/api/tasks.rs"),
        "{}",
        heard[0].1
    );
    assert!(heard[0].1.ends_with("nobody looks"), "{}", heard[0].1);
}

struct PanicsOnDrop(&'static str);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("dropping {}", self.0);
    }
}

// TK12
#[test]
fn a_destructor_that_panics_is_reported_once_and_the_loop_goes_on() {
    let (mut runner, heard) = listening_runner();
    runner.run(async {
        // At completion, where the future's destructor is the one that panics.
        let mut guard = Some(PanicsOnDrop("future"));
        let handle = tulipa::spawn(poll_fn(move |_| {
            let _ = &mut guard;
            Poll::Ready(7)
        }));
        assert_eq!(
            handle.await.unwrap(),
            7,
            "the value was there before the panic"
        );

        // At abort.
        let guard = PanicsOnDrop("aborted");
        let handle = tulipa::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        tulipa::yield_now().await;
        handle.abort();
        assert!(handle.await.unwrap_err().is_cancelled());

        // The result that nobody takes.
        drop(tulipa::spawn(async { PanicsOnDrop("result") }));
        tulipa::yield_now().await;

        // At close.
        let guard = PanicsOnDrop("closed");
        drop(tulipa::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        tulipa::yield_now().await;
    });
    drop(runner);
    let heard = heard.take();
    let messages: Vec<_> = heard
        .iter()
        .map(|(_, message)| message.rsplit(": ").next().unwrap())
        .collect();
    assert_eq!(
        messages,
        [
            "dropping future",
            "dropping aborted",
            "dropping result",
            "dropping closed"
        ]
    );
    assert!(
        heard
            .iter()
            .all(|(kind, _)| *kind == ExceptionKind::DestructorPanicked)
    );
}

#[test]
fn a_panic_of_main_leaves_run_and_drops_the_rest() {
    let drops = Drops::default();
    let witness = drops.witness();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
        tulipa::run(async {
            drop(tulipa::spawn(async move {
                let _witness = witness;
                pending::<()>().await;
            }));
            tulipa::yield_now().await;
            panic!("main");
        });
    }));
    assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "main");
    assert_eq!(drops.count(), 1);
    tulipa::run(async { tulipa::yield_now().await });
}

// TK13
#[test]
#[should_panic = "JoinHandle polled after it has yielded the result"]
fn a_join_handle_polled_again_panics_by_name() {
    tulipa::run(async {
        let mut handle = tulipa::spawn(async {});
        (&mut handle).await.unwrap();
        let _ = (&mut handle).await;
    });
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

// TK14
#[test]
fn a_destructor_may_use_the_loop() {
    tulipa::run(async {
        let trace = Trace::default();
        let place = Rc::default();
        let polls = Rc::new(Cell::new(0));
        let sibling = tulipa::spawn(LeaveWaker {
            place: Rc::clone(&place),
            polls,
        });
        tulipa::yield_now().await;
        let log = trace.clone();
        let own_waker = Rc::new(RefCell::new(None));
        let waker = own_waker.clone();
        let guard = OnDrop(move || {
            let inner = log.clone();
            drop(tulipa::spawn(async move {
                inner.add("spawned by a destructor")
            }));
            sibling.abort();
            let own: Option<std::task::Waker> = waker.borrow_mut().take();
            own.unwrap().wake();
            let mut sleep = Box::pin(tulipa::sleep(std::time::Duration::from_secs(60)));
            let waker = std::task::Waker::noop();
            assert!(
                sleep
                    .as_mut()
                    .poll(&mut Context::from_waker(waker))
                    .is_pending()
            );
        });
        let handle = tulipa::spawn(async move {
            let _guard = guard;
            poll_fn(|cx| {
                *own_waker.borrow_mut() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        });
        tulipa::yield_now().await;
        handle.abort();
        turns(3).await;
        assert_eq!(trace.take(), ["spawned by a destructor"]);
        assert!(handle.is_finished());
    });
}

// TK16, without clean-ups that await.
#[test]
fn closing_drops_every_task_once_oldest_first_also_what_destructors_spawn() {
    let trace = Trace::default();
    {
        let mut runner = Runner::new().unwrap();
        let log = trace.clone();
        runner.run(async move {
            for number in 0..3 {
                let log = log.clone();
                let guard = OnDrop(move || {
                    log.add(format!("{number}"));
                    let log = log.clone();
                    let inner = OnDrop(move || log.add(format!("child of {number}")));
                    drop(tulipa::spawn(async move {
                        let _inner = inner;
                        unreachable!("the loop is closed");
                    }));
                });
                drop(tulipa::spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                }));
            }
            tulipa::yield_now().await;
        });
        assert_eq!(trace.take(), [] as [&str; 0]);
    }
    let order = ["0", "1", "2", "child of 0", "child of 1", "child of 2"];
    assert_eq!(trace.take(), order);
}

#[test]
fn ten_thousand_parked_tasks_are_dropped_with_their_loop() {
    let drops = Drops::default();
    let owner = std::thread::current().id();
    tulipa::run(async {
        for _ in 0..10_000 {
            let witness = drops.witness();
            drop(tulipa::spawn(async move {
                let _witness = witness;
                pending::<()>().await;
            }));
        }
        tulipa::yield_now().await;
    });
    assert_eq!((drops.count(), drops.thread()), (10_000, Some(owner)));
}

// TK19
#[test]
fn a_long_chain_of_owners_is_dropped_without_recursion() {
    tulipa::run(async {
        let drops = Drops::default();
        let mut next = None;
        for _ in 0..100_000 {
            let (witness, inner) = (drops.witness(), next.take());
            next = Some(
                tulipa::spawn(async move {
                    let _held = (witness, inner);
                    pending::<()>().await;
                })
                .abort_on_drop(),
            );
        }
        drop(next);
        while drops.count() < 100_000 {
            tulipa::yield_now().await;
        }
    });
}

#[repr(align(4096))]
struct Aligned(u8);

// TK20
#[test]
fn futures_and_outputs_of_odd_sizes_and_alignments() {
    tulipa::run(async {
        tulipa::spawn(std::future::ready(())).await.unwrap();
        let output = tulipa::spawn(async {
            let aligned = Aligned(3);
            tulipa::yield_now().await;
            assert_eq!((&raw const aligned).addr() % 4096, 0);
            aligned
        })
        .await
        .unwrap();
        assert_eq!(output.0, 3);
        let big = tulipa::spawn(async {
            let big = vec![1u8; 1 << 20];
            tulipa::yield_now().await;
            let array: Box<[u8; 1 << 20]> = big.into_boxed_slice().try_into().unwrap();
            array
        });
        assert_eq!(
            big.await
                .unwrap()
                .iter()
                .map(|&it| u64::from(it))
                .sum::<u64>(),
            1 << 20
        );
        let array = tulipa::spawn(async {
            let array = [9u8; 100_000];
            tulipa::yield_now().await;
            array
        });
        assert_eq!(array.await.unwrap()[99_999], 9);
    });
}

#[test]
fn a_join_handle_outlives_its_loop() {
    let (handle, finished) = tulipa::run(async {
        let finished = tulipa::spawn(async { 1 });
        tulipa::yield_now().await;
        (tulipa::spawn(pending::<()>()), finished)
    });
    assert!(handle.is_finished());
    handle.abort();
    let error = tulipa::run(handle).unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(tulipa::run(finished).unwrap(), 1);
}

// TK22, the local half: what the future does × what happens to it × when.
#[test]
fn cross_product_of_ends() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Does {
        Waits,
        Ends,
        Panics,
    }
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Wake,
        Abort,
        DropHandle,
        Join,
        Nothing,
    }
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Moment {
        BeforePoll,
        AfterPoll,
    }

    struct Body {
        does: Does,
        polls: Rc<Cell<u32>>,
        place: Rc<RefCell<Option<std::task::Waker>>>,
        _witness: crate::support::Witness,
    }
    impl Future for Body {
        type Output = u8;
        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u8> {
            self.polls.set(self.polls.get() + 1);
            *self.place.borrow_mut() = Some(cx.waker().clone());
            match self.does {
                Does::Waits => Poll::Pending,
                Does::Ends => Poll::Ready(1),
                Does::Panics => panic!("cross product"),
            }
        }
    }

    for does in [Does::Waits, Does::Ends, Does::Panics] {
        for event in [
            Event::Wake,
            Event::Abort,
            Event::DropHandle,
            Event::Join,
            Event::Nothing,
        ] {
            for moment in [Moment::BeforePoll, Moment::AfterPoll] {
                let drops = Drops::default();
                let polls = Rc::new(Cell::new(0));
                let place = Rc::default();
                let (mut runner, heard) = listening_runner();
                let kept = runner.run(async {
                    let body = Body {
                        does,
                        polls: polls.clone(),
                        place: Rc::clone(&place),
                        _witness: drops.witness(),
                    };
                    let mut handle = Some(tulipa::spawn(body));
                    if moment == Moment::AfterPoll {
                        turns(2).await;
                    }
                    match event {
                        Event::Wake => {
                            let waker = place.borrow().clone();
                            if let Some(waker) = waker {
                                waker.wake();
                            }
                        }
                        Event::Abort => handle.as_ref().unwrap().abort(),
                        Event::DropHandle => drop(handle.take()),
                        Event::Join => {
                            let polled = poll_once(handle.as_mut().unwrap()).await;
                            if polled.is_ready() {
                                handle = None;
                            }
                        }
                        Event::Nothing => {}
                    }
                    turns(3).await;
                    handle
                });
                let context = format!("{does:?} {event:?} {moment:?}");
                let is_aborted_unpolled = event == Event::Abort && moment == Moment::BeforePoll;
                let expected_polls = match (does, event, moment) {
                    _ if is_aborted_unpolled => 0,
                    (Does::Waits, Event::Wake, Moment::AfterPoll) => 2,
                    _ => 1,
                };
                assert_eq!(polls.get(), expected_polls, "{context}");
                let is_over = does != Does::Waits || event == Event::Abort;
                assert_eq!(drops.count(), u32::from(is_over), "{context}");
                drop(kept);
                drop(runner);
                assert_eq!(drops.count(), 1, "{context}");
                // A panic is reported unless it was joined, or never came.
                let is_reported = does == Does::Panics
                    && !is_aborted_unpolled
                    && !(event == Event::Join && moment == Moment::AfterPoll);
                assert_eq!(heard.take().len(), usize::from(is_reported), "{context}");
                // The last waker goes after the loop.
                drop(place.take());
            }
        }
    }
}
