//! What primitives say of themselves, in a dump. (§21: locks too, 'held by task 7'.)

use std::future::{Future, pending, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;

use tulipa_base::resource::Resource;
use tulipa_base::wait;

use crate::task::spawn;
use crate::{Config, Executor, Park, Unpark, Wait, yield_now};

use super::*;

/// Never waits: in these tests something is always ready.
struct NoPark;

impl Park for NoPark {
    fn park(&mut self, _: Wait) -> io::Result<()> {
        Ok(())
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        struct Nobody;
        impl Unpark for Nobody {
            fn unpark(&self) {}
        }
        Arc::new(Nobody)
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    Executor::new(NoPark, Config::default())
        .run(future)
        .unwrap()
}

/// Waits for what `label` says, for ever.
fn wait_for(label: Label) -> impl Future<Output = ()> {
    poll_fn(move |_| {
        wait::note(label);
        Poll::Pending
    })
}

#[test]
fn who_waits_for_a_resource_waits_for_its_holder_as_it_is_now() {
    run(async {
        let holder = spawn(pending::<()>());
        let lock = Resource::new("Lock")
            .name(Some("accounts".into()))
            .holder(Some(holder.id()));
        let one = spawn(wait_for(lock.label()));
        let other = spawn(wait_for(lock.label()));
        yield_now().await;

        let seen = dump();
        let what = &seen.task(one.id()).unwrap().waits_for[0];
        let words = format!("Lock 'accounts' held by task {}", holder.id());
        assert_eq!(what.to_string(), words);
        let awaited_by = &seen.task(holder.id()).unwrap().awaited_by;
        assert_eq!(*awaited_by, [one.id(), other.id()]);
        assert!(seen.cycles().is_empty());
        let graph = seen.call_graph(one.id()).unwrap();
        assert_eq!(graph.awaits[0].task.id, holder.id());

        // Handed over, without anybody being polled.
        lock.set_holder(Some(one.id()));
        let seen = dump();
        assert!(seen.task(holder.id()).unwrap().awaited_by.is_empty());
        assert_eq!(
            seen.task(one.id()).unwrap().awaited_by,
            [one.id(), other.id()]
        );
        // It waits for what it holds itself.
        assert_eq!(seen.cycles(), [[one.id()]]);

        drop(lock);
        assert!(dump().task(one.id()).unwrap().waits_for.is_empty());
    });
}

#[test]
fn locks_and_handles_make_circles_together() {
    run(async {
        let lock = Resource::new("Lock");
        let waits = spawn(wait_for(lock.label()));
        let id = waits.id();
        let holds = spawn(waits);
        lock.set_holder(Some(holds.id()));
        let bystander = spawn(wait_for(lock.label()));
        yield_now().await;
        let seen = dump();
        assert_eq!(seen.cycles(), [[id, holds.id()]]);
        assert!(!seen.cycles()[0].contains(&bystander.id()));
        let text = seen.to_string();
        let last = text.lines().last().unwrap();
        let words = format!("task {id} waits for Lock held by task {}", holds.id());
        assert!(last.contains(&words), "{last}");
    });
}

#[test]
fn labels_of_kinds_to_come_are_shown() {
    run(async {
        let expected = [
            (Label::new(Kind::Group, 1), "1 child"),
            (Label::new(Kind::Group, 3), "3 children"),
            (Label::new(Kind::Promise, 0), "a promise"),
            (Label::new(Kind::Blocking, 0), "work on another thread"),
            (Label::new(Kind::Cancelled, 0), "its end"),
        ];
        for (label, words) in expected {
            let task = spawn(wait_for(label));
            yield_now().await;
            assert_eq!(
                dump().task(task.id()).unwrap().waits_for[0].to_string(),
                words
            );
        }
    });
}

#[test]
fn an_executor_that_does_not_run_can_be_looked_at() {
    let executor = Executor::new(NoPark, Config::default());
    executor
        .run(async { drop(spawn(crate::timer::sleep(Duration::from_secs(1)))) })
        .unwrap();
    let seen = executor.dump();
    assert_eq!(seen.tasks.len(), 1);
    assert_eq!(seen.tasks[0].state, TaskState::Ready);
    assert_eq!(executor.metrics().tasks, 1);
    assert!(dump().tasks.is_empty());
}
