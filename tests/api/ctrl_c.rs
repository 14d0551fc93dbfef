//! Ctrl-C as cancellation of main: in children of this test, which raise the signal themselves.
//!
//! The numbers in comments are sections of the specification that the project is built to.

use std::future::pending;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::raise;
use tulipa::runtime::{Runner, call_soon};
use tulipa::{catch_cancel, finally, sleep, spawn, yield_now};

/// Says which part the child plays.
const PART: &str = "TULIPA_TEST_PART";

/// Runs a part in a child of this process.
fn play(part: &str) -> (Output, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ctrl_c::the_child", "--nocapture", "--quiet"])
        .env(PART, part)
        // It exits in the midst of things: what it leaves is no leak.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

fn runner() -> Runner {
    let builder = Runner::builder().handle_ctrl_c(true);
    builder.handle_sigterm(true).build().unwrap()
}

fn send(signal: i32) {
    call_soon(move || raise(signal).unwrap());
}

/// Not a test of its own: does what the variable says, and nothing without it.
#[test]
fn the_child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    // A shell that runs the tests in the background has them ignore it.
    #[allow(unsafe_code, reason = "a system call")]
    // SAFETY: no handler has been installed in this process, and the default one is no code of ours.
    unsafe {
        libc::signal(SIGINT, libc::SIG_DFL)
    };
    match &*part {
        "clean up" => runner().run_and_close(async {
            drop(spawn(finally(pending::<()>(), async {
                sleep(Duration::from_millis(1)).await;
                println!("the other task cleaned up");
            })));
            send(SIGINT);
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            sleep(Duration::from_millis(1)).await;
            println!("main cleaned up: {cancelled}");
            cancelled.resume().await
        }),
        "terminate" => runner().run_and_close(async {
            send(SIGTERM);
            pending().await
        }),
        "refuse" => {
            let value = runner().run_and_close(async {
                send(SIGINT);
                assert!(catch_cancel(pending::<()>()).await.is_err());
                yield_now().await;
                7
            });
            println!("main refused, and yielded {value}");
        }
        "hang" => runner().run_and_close(async {
            send(SIGINT);
            let _ = catch_cancel(pending::<()>()).await;
            println!("a clean-up that hangs");
            send(SIGINT);
            pending().await
        }),
        "busy" => runner().run_and_close(async {
            send(SIGINT);
            loop {
                yield_now().await;
            }
        }),
        "afterwards" => {
            runner().run_and_close(async {});
            println!("the run is over");
            raise(SIGINT).unwrap();
            unreachable!("the default action ends the process");
        }
        "own handler" => {
            let seen = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(SIGINT, seen.clone()).unwrap();
            runner().run_and_close(async move {
                send(SIGINT);
                while !seen.load(Ordering::Relaxed) {
                    yield_now().await;
                }
                for _ in 0..10 {
                    yield_now().await;
                }
                println!("the program's own handler was called, and main goes on");
            });
        }
        "error" => {
            let mut runner = runner();
            let error = runner.try_run(async {
                send(SIGINT);
                pending::<()>().await
            });
            println!("{}, {:?}", error.unwrap_err(), runner.signal());
            assert_eq!(runner.run(async { 5 }), 5);
        }
        "otherwise too" => runner().run_and_close(async {
            send(SIGINT);
            let _swallowed = catch_cancel(pending::<()>()).await;
            tulipa::task::current().cancel_with("for another reason");
            yield_now().await;
        }),
        "exit" => runner().run_and_close(async {
            drop(spawn(async {
                tulipa::runtime::exit(3);
                tulipa::runtime::exit(4);
                yield_now().await;
            }));
            finally(pending(), async {
                yield_now().await;
                println!("main cleaned up");
            })
            .await
        }),
        unknown => panic!("no such part: {unknown}"),
    }
}

/// §8 Ctrl-C: the first one cancels main; after clean-up of everything the exit code is 130.
#[test]
fn ctrl_c_cancels_main_and_exits_130_after_the_clean_up() {
    let (output, text) = play("clean up");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(text.contains("main cleaned up: the process was told to end"));
    assert!(text.contains("the other task cleaned up"), "{text}");
}

/// §8 opt-in SIGTERM goes the same way.
#[test]
fn sigterm_goes_the_same_way() {
    assert_eq!(play("terminate").0.status.code(), Some(143));
}

/// §8 Ctrl-C (obs): main swallowed it and returned: its value is returned.
#[test]
fn main_may_refuse() {
    let (output, text) = play("refuse");
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("main refused, and yielded 7"));
}

/// §8 Ctrl-C: the second one is immediate.
#[test]
fn a_second_ctrl_c_ends_the_process_at_once() {
    let (output, text) = play("hang");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(text.contains("a clean-up that hangs"));
}

/// §8 Ctrl-C: also when the loop never waits.
#[test]
fn a_busy_main_is_cancelled_too() {
    assert_eq!(play("busy").0.status.code(), Some(130));
}

/// §8 Ctrl-C: the previous handler is restored.
#[test]
fn after_a_run_ctrl_c_does_what_it_did_before() {
    let (output, text) = play("afterwards");
    assert_eq!(output.status.signal(), Some(SIGINT), "{output:?}");
    assert!(text.contains("the run is over"));
}

/// §8 Ctrl-C: only with the default handler in place.
#[test]
fn a_signal_that_the_program_handles_is_left_alone() {
    let (output, text) = play("own handler");
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("main goes on"));
}

/// §8 Ctrl-C (obs): a main that is cancelled otherwise too. The request that ends it decides: here the other one, so
/// that it ends as cancelled and not as interrupted. (asyncio goes by the number of requests.)
#[test]
fn a_main_that_another_request_ends_is_not_interrupted() {
    let (output, text) = play("otherwise too");
    assert!(!output.status.success() && output.status.code() != Some(130));
    let text = text + &String::from_utf8_lossy(&output.stderr);
    let expected = "the main future was cancelled: for another reason";
    assert!(text.contains(expected), "{text}");
}

/// §8 Runner.run: as an error, the runner stays of use.
#[test]
fn a_runner_returns_the_interruption_as_an_error() {
    let (output, text) = play("error");
    assert!(output.status.success(), "{output:?}");
    let expected = "the main future was cancelled: the process was told to end, Some(Interrupt)";
    assert!(text.contains(expected), "{text}");
}

/// §5 SystemExit in a task: the loop ends in order, the process with the code.
#[test]
fn exit_ends_the_program_in_order() {
    let (output, text) = play("exit");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text.contains("main cleaned up"));
}
