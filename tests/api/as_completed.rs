//! `as_completed`: handles in the order in which their tasks end. (asyncio parity 6; traps, 12)

use std::future::pending;
use std::time::Duration;

use crate::support::{Drops, paused, poll_once, turns};
use futures_lite::stream::{Stream, StreamExt};
use tulipa::task::{JoinHandle, as_completed};
use tulipa::time::Instant;

const MS: Duration = Duration::from_millis(1);

fn after(delay: u32) -> JoinHandle<u32> {
    tulipa::spawn(async move {
        tulipa::sleep(delay * MS).await;
        delay
    })
}

// §6 as_completed(): leaving early or timing out leaves the rest running (obs); TimeoutError once.
#[test]
fn a_deadline_is_told_of_once_and_ends_no_task() {
    paused(async {
        let start = Instant::now();
        let mut ended = as_completed([after(30), after(10), after(20)]).timeout_at(start + 15 * MS);
        assert_eq!(ended.next().await.unwrap().unwrap().await.unwrap(), 10);
        assert!(ended.next().await.unwrap().is_err());
        assert_eq!(start.elapsed(), 15 * MS);
        assert!(ended.next().await.is_none(), "once");
        assert!(ended.next().await.is_none());

        let mut rest = ended.into_inner();
        assert_eq!(rest.len(), 2);
        assert_eq!(rest.next().await.unwrap().await.unwrap(), 20);
        assert_eq!(rest.into_handles().remove(0).await.unwrap(), 30);

        // A task that has ended when the deadline is noticed; and a deadline that is not needed.
        let ended = as_completed([after(5)]);
        turns(2).await; // The task's timer is set first.
        let mut ended = ended.timeout(5 * MS);
        assert_eq!(ended.next().await.unwrap().unwrap().await.unwrap(), 5);
        assert!(ended.next().await.is_none());
        let mut ended = as_completed(Vec::<JoinHandle<()>>::new()).timeout(Duration::ZERO);
        assert!(ended.next().await.is_none());
    });
}

#[test]
fn leaving_early_leaves_the_rest_running() {
    paused(async {
        let drops = Drops::default();
        let tasks = [1, 50, 60].map(|delay| {
            let witness = drops.witness();
            tulipa::spawn(async move {
                tulipa::sleep(delay * MS).await;
                drop(witness);
            })
        });
        let mut ended = as_completed(tasks);
        ended.next().await.unwrap().await.unwrap();
        drop(ended);
        turns(3).await;
        assert_eq!(drops.count(), 1);
        tulipa::sleep(100 * MS).await;
        assert_eq!(drops.count(), 3);
    });
}

// §6 as_completed(): iteration can be resumed. (test)
#[test]
fn it_can_be_left_and_gone_on_with() {
    paused(async {
        let mut ended = as_completed([after(3), after(1), after(2)]);
        let mut order = Vec::new();
        while let Some(handle) = ended.next().await {
            order.push(handle.await.unwrap());
            if order.len() == 2 {
                break;
            }
        }
        tulipa::sleep(10 * MS).await;
        assert_eq!((ended.len(), ended.is_empty()), (1, false));
        while let Some(handle) = ended.next().await {
            order.push(handle.await.unwrap());
        }
        assert_eq!(order, [1, 2, 3]);
        assert!(ended.next().await.is_none());
    });
}

// §6 as_completed(): the async iterator yields the original task objects.
#[test]
fn the_handles_are_those_that_were_given() {
    paused(async {
        let tasks: Vec<_> = (0..100u32)
            .map(|number| {
                tulipa::task::Builder::new()
                    .name(format!("task {number}"))
                    .spawn(async move { tulipa::sleep((number * 37 % 100) * MS).await })
            })
            .collect();
        let ids: Vec<_> = tasks.iter().map(|handle| handle.id()).collect();
        let ended = as_completed(tasks);
        assert_eq!(ended.size_hint(), (100, Some(100)));
        let ended: Vec<_> = ended.collect().await;
        for (place, handle) in ended.iter().enumerate() {
            let number = (0..100).find(|number| number * 37 % 100 == place).unwrap();
            assert_eq!(handle.id(), ids[number]);
            assert_eq!(handle.name().unwrap(), format!("task {number}"));
            assert!(handle.is_finished());
        }
    });
}

#[test]
fn tasks_that_have_ended_already_come_first_in_order() {
    paused(async {
        let tasks = [after(9), after(2), after(5), after(1)];
        tulipa::sleep(3 * MS).await;
        let mut ended = as_completed(tasks);
        let mut order = Vec::new();
        while let Some(handle) = ended.next().await {
            order.push(handle.await.unwrap());
        }
        assert_eq!(order, [2, 1, 5, 9]);
    });
}

#[test]
fn panics_and_cancellations_are_ends_too() {
    tulipa::run(async {
        let endless = tulipa::spawn(pending());
        let panics = tulipa::spawn(async { panic!("end") });
        endless.abort();
        let ended: Vec<_> = as_completed([panics, endless]).collect().await;
        let mut errors = Vec::new();
        for handle in ended {
            errors.push(handle.await.unwrap_err().is_panic());
        }
        assert_eq!(errors, [false, true]);
    });
}

#[test]
fn a_next_that_is_dropped_loses_nothing() {
    paused(async {
        let mut ended = as_completed([after(1), after(2)]);
        {
            let mut next = Box::pin(ended.next());
            assert!(poll_once(&mut next).await.is_pending());
            tulipa::sleep(5 * MS).await;
        }
        assert_eq!(ended.next().await.unwrap().await.unwrap(), 1);
        assert_eq!(ended.next().await.unwrap().await.unwrap(), 2);
    });
}
