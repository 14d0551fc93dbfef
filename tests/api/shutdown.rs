//! The end of a run: who is asked to end, in which order, and what the report says.
//!
//! The numbers in comments are sections of the specification that the project is built to.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use tulipa::cancel::CancelReason;
use tulipa::runtime::{Builder, ExceptionKind, Runner};
use tulipa::task::{Builder as TaskBuilder, TaskGroup};
use tulipa::{catch_cancel, finally, shield, sleep, spawn, spawn_blocking, task_group, yield_now};

use crate::support::{Drops, Trace};

const MS: Duration = Duration::from_millis(1);

type Heard = Rc<RefCell<Vec<(ExceptionKind, String)>>>;

/// A runner on virtual time, and what its exception handler hears.
fn runner() -> (Runner, Heard) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let builder: Builder = Runner::builder().start_paused(true);
    let hear = heard.clone();
    let runner = builder
        .exception_handler(move |context| {
            hear.borrow_mut().push((context.kind, context.to_string()));
        })
        .build()
        .unwrap();
    (runner, heard)
}

/// §8 shutdown order: every remaining task is cancelled once, oldest first, and awaited.
#[test]
fn every_task_that_is_left_is_asked_to_end_and_awaited() {
    let (mut runner, heard) = runner();
    let log = Trace::default();
    runner.run(async {
        for name in ["one", "two"] {
            let log = log.clone();
            drop(spawn(async move {
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                assert_eq!(*cancelled.reason(), CancelReason::Shutdown);
                log.add(format!("{name} begins"));
                sleep(MS).await;
                log.add(format!("{name} ends"));
            }));
        }
        drop(spawn(pending::<()>()));
        yield_now().await;
    });
    let report = runner.close();
    assert_eq!((report.cancelled, report.failed), (3, 0));
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        log.take(),
        ["one begins", "two begins", "one ends", "two ends"]
    );
    assert!(heard.borrow().is_empty());
}

/// §8 tasks born during phase 3 are cancelled too, generation after generation.
#[test]
fn tasks_that_clean_ups_spawn_are_asked_too() {
    let (mut runner, _) = runner();
    let log = Trace::default();
    fn generation(number: u32, log: Trace) {
        drop(spawn(finally(pending::<()>(), async move {
            yield_now().await;
            log.add(number.to_string());
            if number < 4 {
                generation(number + 1, log);
                yield_now().await;
            }
        })));
    }
    runner.run(async {
        generation(1, log.clone());
        yield_now().await;
    });
    let report = runner.close();
    assert!(report.is_clean() && report.cancelled >= 4, "{report}");
    assert_eq!(log.take(), ["1", "2", "3", "4"]);
}

/// §8 a task that refuses: after the grace period it is named, told of, and dropped. Nothing hangs.
#[test]
fn a_task_that_refuses_is_named_after_the_grace_period() {
    let (mut runner, heard) = runner();
    let drops = Drops::default();
    let witness = drops.witness();
    runner.run(async move {
        drop(TaskBuilder::new().name("stubborn").spawn(async move {
            let _witness = witness;
            loop {
                let _ = catch_cancel(pending::<()>()).await;
            }
        }));
        yield_now().await;
    });
    let report = runner.close();
    assert!(!report.is_clean());
    let stuck = &report.stuck[0];
    assert_eq!(stuck.name.as_deref(), Some("stubborn"));
    assert!(stuck.spawned_at.file().ends_with("shutdown.rs"));
    assert_eq!(drops.count(), 1);
    let heard = heard.borrow();
    assert_eq!(heard[0].0, ExceptionKind::ShutdownStuck);
    assert!(heard[0].1.contains("'stubborn' spawned at"), "{heard:?}");
}

/// §8 their failures go to the handler, and are counted.
#[test]
fn failures_while_shutting_down_are_told() {
    let (mut runner, heard) = runner();
    runner.run(async {
        drop(spawn(finally(pending::<()>(), async { panic!("oh no") })));
        yield_now().await;
    });
    let report = runner.close();
    assert_eq!((report.cancelled, report.failed), (1, 1));
    assert_eq!(heard.borrow()[0].0, ExceptionKind::TaskPanicked);
}

/// §8 members of a group are ended by their group: one request each, so no clean-up is interrupted.
#[test]
fn members_of_groups_get_one_request_from_their_group() {
    let (mut runner, _) = runner();
    let log = Trace::default();
    runner.run(async {
        let log = log.clone();
        drop(spawn(async move {
            let _ = task_group(async |group: TaskGroup<()>| {
                let child = log.clone();
                group.spawn(async move {
                    finally(pending::<()>(), async {
                        sleep(MS * 5).await;
                        child.add("child");
                    })
                    .await;
                    Ok(())
                });
                finally(pending::<Result<(), ()>>(), async {
                    sleep(MS).await;
                    log.add("body");
                })
                .await
            })
            .await;
        }));
        yield_now().await;
        yield_now().await;
    });
    let report = runner.close();
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take(), ["body", "child"]);
}

/// §8 `run`: the same phases, also when main fails; main's own failure is what comes out.
#[test]
fn run_shuts_down_also_when_main_panics() {
    let cleaned_up = Rc::new(Cell::new(false));
    let seen = cleaned_up.clone();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        tulipa::run(async {
            drop(spawn(finally(pending::<()>(), async move {
                yield_now().await;
                seen.set(true);
            })));
            yield_now().await;
            panic!("main failed");
        })
    }));
    assert_eq!(
        *panic.unwrap_err().downcast::<&str>().unwrap(),
        "main failed"
    );
    assert!(cleaned_up.get());
}

/// §7 main can be cancelled like any task; the run then has no value.
#[test]
fn a_run_whose_main_is_cancelled_says_so() {
    let (mut runner, _) = runner();
    let error = runner
        .try_run(async {
            tulipa::task::current().cancel_with("no more");
            yield_now().await;
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "the main future was cancelled: no more");
}

/// §8 what a shield keeps going is asked at shutdown like any task.
#[test]
fn a_shielded_task_ends_with_the_loop() {
    let (mut runner, _) = runner();
    let log = Trace::default();
    runner.run(async {
        let log = log.clone();
        drop(shield(finally(pending::<()>(), async move {
            log.add("cleaned up");
        })));
        yield_now().await;
    });
    assert_eq!(runner.close().cancelled, 1);
    assert_eq!(log.take(), ["cleaned up"]);
}

/// §8, §19 the pool of threads is shut down after the tasks: queued jobs never run, running ones are asked to stop.
#[test]
fn blocking_work_ends_with_the_loop() {
    let mut runner = Runner::builder().max_blocking_threads(1).build().unwrap();
    let (stopped, queued_ran) = runner.run(async {
        let (sender, stopped) = std::sync::mpsc::channel();
        let (started, begun) = std::sync::mpsc::channel();
        drop(tulipa::blocking::spawn_blocking_with_stop(move |stop| {
            started.send(()).unwrap();
            while !stop.wait_timeout(Duration::from_secs(60)) {}
            sender.send("stopped").unwrap();
        }));
        let (sender, queued_ran) = std::sync::mpsc::channel::<()>();
        drop(spawn_blocking(move || sender.send(())));
        begun.recv().unwrap();
        (stopped, queued_ran)
    });
    assert!(runner.close().is_clean());
    assert_eq!(stopped.recv(), Ok("stopped"));
    assert!(queued_ran.recv().is_err());
}

/// §19 a job that does not stop is abandoned after the grace period, and named.
#[test]
fn a_blocking_job_that_hangs_is_named() {
    let mut runner = Runner::builder()
        .shutdown_grace(Duration::ZERO)
        .build()
        .unwrap();
    let (release, hold) = std::sync::mpsc::channel::<()>();
    runner.run(async {
        let (started, begun) = std::sync::mpsc::channel();
        drop(spawn_blocking(move || {
            started.send(()).unwrap();
            let _ = hold.recv();
        }));
        begun.recv().unwrap();
    });
    let report = runner.close();
    assert_eq!(report.abandoned_threads.len(), 1);
    assert!(
        report.abandoned_threads[0].contains("shutdown.rs"),
        "{report}"
    );
    drop(release);
}

/// §19 to_thread: the current context is copied, as far as its values may cross threads.
#[tulipa::test]
async fn blocking_work_sees_shared_context() {
    tulipa::task::context_local! {
        shared static USER: u32 = 0;
    }
    USER.set(4);
    let seen = spawn_blocking(|| USER.get()).await.unwrap();
    assert_eq!((seen, USER.get()), (4, 4));
}

/// §19 a task that is cancelled while it awaits a job ends at once; the job goes on, its result is dropped.
#[tulipa::test]
async fn a_task_that_awaits_a_job_can_be_cancelled() {
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let (report, ended) = std::sync::mpsc::channel::<&str>();
    let (started, begun) = std::sync::mpsc::channel::<()>();
    let task = spawn(async move {
        let job = spawn_blocking(move || {
            started.send(()).unwrap();
            let _ = hold.recv();
            report.send("the job went on").unwrap();
        });
        job.await.unwrap();
    });
    yield_now().await;
    begun.recv().unwrap();
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(release);
    assert_eq!(ended.recv(), Ok("the job went on"));
}

/// §8 a clean-up may spawn what it needs, and await it.
#[test]
fn a_clean_up_may_use_tasks_and_groups_of_its_own() {
    let (mut runner, _) = runner();
    let log = Trace::default();
    runner.run(async {
        let log = log.clone();
        drop(spawn(finally(pending::<()>(), async move {
            let helper = spawn(async {
                sleep(MS).await;
                "helper"
            });
            log.add(helper.await.unwrap());
            let group = task_group(async |group| {
                let child = group.spawn(async {
                    sleep(MS).await;
                    Ok::<_, ()>("child")
                });
                Ok(child.await.unwrap())
            });
            log.add(group.await.unwrap());
        })));
        yield_now().await;
    });
    let report = runner.close();
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take(), ["helper", "child"]);
}
