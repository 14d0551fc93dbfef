//! Debug mode, the exception hook's words, and what follows from panics that nobody looks at.
//!
//! §21 is the section of the specification: exception handler, debug mode.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use tulipa::runtime::{
    ExceptionKind, PanicPolicy, Runner, UnhandledPanic, is_debug, set_debug,
    set_slow_callback_duration, slow_callback_duration,
};
use tulipa::task::Builder;
use tulipa::{sleep, spawn, yield_now};

use crate::support::turns;

/// What the handler was told: the kind, the task's name, and the whole report.
type Told = Rc<RefCell<Vec<(ExceptionKind, Option<String>, String)>>>;

fn listening() -> (tulipa::runtime::Builder, Told) {
    let told = Told::default();
    let list = told.clone();
    let builder = Runner::builder().exception_handler(move |context| {
        list.borrow_mut().push((
            context.kind,
            context.task_name.map(str::to_owned),
            context.to_string(),
        ));
    });
    (builder, told)
}

/// §21 slow callbacks. The threshold is zero, so that every poll is slow.
#[test]
fn in_debug_mode_slow_polls_are_reported_with_the_task_and_the_time() {
    let (builder, told) = listening();
    let durations = Rc::new(RefCell::new(Vec::new()));
    let list = durations.clone();
    let mut runner = builder
        .exception_handler({
            let told = told.clone();
            move |context| {
                list.borrow_mut().push(context.duration);
                let name = context.task_name.map(str::to_owned);
                told.borrow_mut()
                    .push((context.kind, name, context.to_string()));
            }
        })
        .debug(true)
        .slow_callback_duration(Duration::ZERO)
        .start_paused(true)
        .build()
        .unwrap();
    runner.run(async {
        assert!(is_debug());
        let task = Builder::new().name("hog").spawn(async {
            yield_now().await;
        });
        task.await.unwrap();
        set_slow_callback_duration(Duration::MAX);
        assert_eq!(slow_callback_duration(), Duration::MAX);
    });
    let told = told.take();
    let names: Vec<_> = told.iter().map(|(_, name, _)| name.as_deref()).collect();
    // The last poll of main sets the threshold before it is over.
    assert_eq!(names, [Some("main"), Some("hog"), Some("hog")]);
    assert!(
        told.iter()
            .all(|(kind, ..)| *kind == ExceptionKind::SlowPoll)
    );
    let (_, _, report) = &told[1];
    assert!(
        report.contains("'hog' spawned at tests/api/debug_mode.rs:"),
        "{report}"
    );
    assert!(report.contains("was slow: a poll took "), "{report}");
    assert!(durations.borrow().iter().all(Option::is_some));
}

/// §21 slow callbacks, in asyncio's sense of the word.
#[test]
fn slow_callbacks_are_reported_with_where_they_were_registered() {
    let (builder, told) = listening();
    let mut runner = builder
        .debug(true)
        .slow_callback_duration(Duration::MAX)
        .build()
        .unwrap();
    runner.run(async {
        yield_now().await;
        drop(tulipa::runtime::call_soon(|| {
            set_slow_callback_duration(Duration::ZERO);
        }));
        yield_now().await;
        set_slow_callback_duration(Duration::MAX);
    });
    let told = told.take();
    assert_eq!(told.len(), 1);
    let (kind, name, report) = &told[0];
    assert_eq!((*kind, name), (ExceptionKind::SlowPoll, &None));
    let words = "callback registered at tests/api/debug_mode.rs:";
    assert!(report.starts_with(words), "{report}");
}

/// §21: a run-time toggle, from the next turn on.
#[test]
fn switched_off_nothing_is_measured_and_switched_on_it_is() {
    let (builder, told) = listening();
    let mut runner = builder
        .debug(false)
        .slow_callback_duration(Duration::ZERO)
        .build()
        .unwrap();
    runner.run(async {
        turns(3).await;
        set_debug(true);
        turns(2).await;
        set_debug(false);
        turns(3).await;
    });
    assert_eq!(told.take().len(), 2);
    assert!(!is_debug());
}

/// §21 leak report at close; §5 destroyed while pending.
#[test]
fn tasks_that_a_closing_loop_drops_are_reported_unless_they_were_asked_to_end() {
    let (builder, told) = listening();
    let mut runner = builder.debug(true).start_paused(true).build().unwrap();
    let mut kept = None;
    runner.run(async {
        let sleeper = Builder::new()
            .name("sleeper")
            .spawn(sleep(Duration::from_secs(5)));
        let cancelled = Builder::new()
            .name("cancelled")
            .spawn(tulipa::finally(pending::<()>(), pending::<()>()));
        drop(Builder::new().name("aborted").spawn(pending::<()>()));
        yield_now().await;
        cancelled.cancel();
        drop(cancelled);
        turns(2).await;
        tulipa::task::all()[3].abort();
        drop(Builder::new().name("fresh").spawn(pending::<()>()));
        kept = Some(sleeper);
    });
    assert!(told.borrow().is_empty());
    drop(runner);
    let told = told.take();
    let names: Vec<_> = told.iter().map(|(_, name, _)| name.as_deref()).collect();
    assert_eq!(names, [Some("sleeper"), Some("fresh")]);
    assert!(
        told.iter()
            .all(|(kind, ..)| *kind == ExceptionKind::TaskDropped)
    );
    let words =
        "was dropped unfinished: the event loop was closed while it was waiting for a timer in 5s";
    assert!(told[0].2.ends_with(words), "{}", told[0].2);
    assert!(told[1].2.ends_with("before it had run"), "{}", told[1].2);
    drop(kept);
}

#[test]
fn without_debug_mode_a_closing_loop_says_nothing() {
    let (builder, told) = listening();
    let mut runner = builder.debug(false).build().unwrap();
    runner.run(async { drop(spawn(pending::<()>())) });
    drop(runner);
    assert!(told.borrow().is_empty());
}

/// §21 debug switch: the environment. In a process of its own, for the environment belongs to all threads.
#[test]
fn the_environment_switches_debug_mode_on_unless_the_program_says() {
    const INNER: &str = "TULIPA_TEST_DEBUG_INNER";
    if std::env::var_os(INNER).is_some() {
        let is_on = |runner: std::io::Result<Runner>| runner.unwrap().run(async { is_debug() });
        println!(
            "default {}, off {}, on {}",
            is_on(Runner::new()),
            is_on(Runner::builder().debug(false).build()),
            is_on(Runner::builder().debug(true).build())
        );
        return;
    }
    let run = |value: &str| {
        let name = "debug_mode::the_environment_switches_debug_mode_on_unless_the_program_says";
        let output = this_test(name)
            .env(INNER, "1")
            .env("TULIPA_DEBUG", value)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run("1").contains("default true, off false, on true"));
    assert!(run("0").contains("default false, off false, on true"));
    assert!(run("").contains("default false, off false, on true"));
}

/// This test binary, about to run one test.
fn this_test(name: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", name]);
    command
}

fn boom() {
    drop(Builder::new().name("bug").spawn(async { panic!("boom") }));
}

#[test]
fn by_default_an_unhandled_panic_is_reported_and_the_loop_goes_on() {
    let (builder, told) = listening();
    let mut runner = builder.build().unwrap();
    let value = runner.run(async {
        boom();
        turns(2).await;
        7
    });
    assert_eq!((value, told.take().len()), (7, 1));
}

#[test]
fn under_shutdown_an_unhandled_panic_ends_the_run_after_it_was_reported() {
    let (builder, told) = listening();
    let mut runner = builder.on_unhandled(PanicPolicy::Shutdown).build().unwrap();
    let turns_after = Rc::new(RefCell::new(0));
    let count = turns_after.clone();
    let error = runner
        .try_run(async {
            drop(spawn(async move {
                loop {
                    *count.borrow_mut() += 1;
                    yield_now().await;
                }
            }));
            boom();
            pending::<()>().await;
        })
        .unwrap_err();
    assert_eq!(told.take().len(), 1);
    // What was ready in the turn of the panic has run, and nothing after.
    assert_eq!(*turns_after.borrow(), 1);
    let panic = error.get_ref().unwrap();
    let panic = panic.downcast_ref::<UnhandledPanic>().unwrap();
    assert!(panic.task().is_some());
    assert!(panic.report().ends_with("panicked: boom"));
    assert!(
        error
            .to_string()
            .starts_with("the run was ended by an unhandled panic: task ")
    );
    // The loop is not broken: the tasks stay, and another run goes on.
    assert_eq!(
        runner.run(async {
            turns(2).await;
            5
        }),
        5
    );
    assert!(*turns_after.borrow() > 1);
}

#[test]
fn under_shutdown_a_panic_in_the_last_turn_or_between_runs_is_not_lost() {
    let (builder, told) = listening();
    let mut runner = builder.on_unhandled(PanicPolicy::Shutdown).build().unwrap();
    let error = runner.try_run(async {
        boom();
        yield_now().await; // It runs behind this poll, and this future completes before it is looked for.
    });
    assert!(error.is_err());
    let mut kept = None;
    runner.run(async {
        kept = Some(spawn(async { panic!("kept") }));
        turns(2).await;
    });
    drop(kept);
    let polled = Rc::new(RefCell::new(false));
    let seen = polled.clone();
    let error = runner.try_run(async move { *seen.borrow_mut() = true });
    assert!(error.unwrap_err().to_string().ends_with("panicked: kept"));
    assert!(!*polled.borrow());
    assert_eq!(told.take().len(), 2);
    assert_eq!(runner.run(async { 1 }), 1);
}

/// Clean-up that panics does not keep the loop from ending the other tasks.
#[test]
fn under_shutdown_panics_of_a_closing_loop_are_only_reported() {
    let (builder, told) = listening();
    let mut runner = builder.on_unhandled(PanicPolicy::Shutdown).build().unwrap();
    runner.run(async {
        for _ in 0..2 {
            let cleanup = async { panic!("in clean-up") };
            drop(spawn(tulipa::finally(pending::<()>(), cleanup)));
        }
        yield_now().await;
    });
    let report = runner.close();
    assert_eq!((report.cancelled, report.failed), (2, 2));
    assert!(report.is_clean());
    assert_eq!(told.take().len(), 2);
}

/// A callback's panic is nobody else's either.
#[test]
fn under_shutdown_a_panic_in_a_callback_ends_the_run() {
    let (builder, told) = listening();
    let mut runner = builder.on_unhandled(PanicPolicy::Shutdown).build().unwrap();
    let error = runner.try_run(async {
        drop(tulipa::runtime::call_soon(|| panic!("boom")));
        pending::<()>().await;
    });
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("callback registered at")
    );
    assert_eq!(told.take()[0].0, ExceptionKind::CallbackPanicked);
}

#[test]
#[should_panic(expected = "the run was ended by an unhandled panic")]
fn under_shutdown_run_panics() {
    let (builder, _) = listening();
    let mut runner = builder.on_unhandled(PanicPolicy::Shutdown).build().unwrap();
    runner.run(async {
        boom();
        pending::<()>().await;
    });
}

/// A panic that someone looks at, and one of the main future, are not unhandled.
#[test]
fn under_shutdown_a_joined_panic_is_a_value() {
    let mut runner = Runner::builder()
        .on_unhandled(PanicPolicy::Shutdown)
        .build()
        .unwrap();
    let error = runner.run(async { spawn(async { panic!("boom") }).await });
    assert!(error.unwrap_err().is_panic());
}

#[test]
fn under_abort_an_unhandled_panic_ends_the_process_after_it_was_reported() {
    const INNER: &str = "TULIPA_TEST_ABORT_INNER";
    if std::env::var_os(INNER).is_some() {
        let mut runner = Runner::builder()
            .on_unhandled(PanicPolicy::Abort)
            .exception_handler(|context| println!("told: {context}"))
            .build()
            .unwrap();
        runner.run(async {
            boom();
            turns(2).await;
        });
        println!("still here");
        return;
    }
    let name = "debug_mode::under_abort_an_unhandled_panic_ends_the_process_after_it_was_reported";
    let output = this_test(name).env(INNER, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(output.status.signal(), Some(6)); // SIGABRT
    }
    assert!(
        text.contains("told: task") && text.contains("panicked: boom"),
        "{text}"
    );
    assert!(!text.contains("still here"), "{text}");
}
