//! A child of the comparison: one measurement in a process of its own.
//!
//! The answer is one line of JSON on standard output. The process ends right after it, without
//! tearing the runtime down: that is not measured here.

use std::env;
use std::io;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cases::operation::{Counted, Operation};
use crate::cases::{self, Measured, OperationVisitor, Scale};
use crate::epoll;
use crate::measure::watchdog;
use crate::runtimes::{self, Runtime, Visitor};

/// The arguments that make the binary a child: `--child CASE RUNTIME SCALE`.
pub(crate) const CHILD: &str = "--child";
/// `--probe RUNTIME`.
pub(crate) const PROBE: &str = "--probe";
/// `--micro OPERATION RUNTIME COUNT`.
pub(crate) const MICRO: &str = "--micro";
/// The scale that is not full.
pub(crate) const QUICK: &str = "quick";
const FULL: &str = "full";

/// The longest case takes some ten seconds where nothing is wrong.
const LIFETIME_SECONDS: u32 = 120;

/// Callgrind takes its time.
const MICRO_LIFETIME_SECONDS: u32 = 600;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Figures(Vec<f64>),
    Error(String),
}

/// Runs `case` in a child, and returns its figures.
pub(crate) fn run(case: &str, runtime: &str, scale: Scale) -> Measured {
    let output = start(&[CHILD, case, runtime, scale.pick(FULL, QUICK)])
        .map_err(|error| format!("cannot start a child: {error}"))?;
    match serde_json::from_slice(&output.stdout) {
        Ok(Answer::Figures(figures)) => Ok(figures),
        Ok(Answer::Error(error)) => Err(error),
        Err(_) => Err(last_words(&output)),
    }
}

/// Asks a child whether `runtime` can run here at all; says why if it cannot.
pub(crate) fn run_probe(runtime: &str) -> Result<(), String> {
    let output =
        start(&[PROBE, runtime]).map_err(|error| format!("cannot start a child: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(last_words(&output))
    }
}

fn start(args: &[&str]) -> io::Result<Output> {
    Command::new(env::current_exe()?)
        .args(args)
        .stdin(Stdio::null())
        .output()
}

/// What a child that gave no answer said before it ended. A panic's message stands in the line
/// after the place.
fn last_words(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines = stderr
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .skip(1);
    let words = lines
        .next()
        .or_else(|| stderr.lines().last())
        .unwrap_or("without a word");
    format!("{}: {words}", output.status)
}

/// The child's part of [`run`].
pub(crate) fn measure(case: &str, runtime: &str, scale: Scale) -> ExitCode {
    watchdog::arm(LIFETIME_SECONDS);
    raise_descriptor_limit();
    let measured = match cases::find(case) {
        Some(case) => (case.measure)(runtime, scale),
        None => Err(format!("no case is called {case}")),
    };
    let answer = match measured {
        Ok(figures) => Answer::Figures(figures),
        Err(error) => Answer::Error(error),
    };
    println!(
        "{}",
        serde_json::to_string(&answer).expect("figures are finite numbers")
    );
    ExitCode::SUCCESS
}

/// The child's part of [`run_probe`].
pub(crate) fn probe(runtime: &str) -> ExitCode {
    watchdog::arm(LIFETIME_SECONDS);
    match runtimes::visit(runtime, Probe) {
        Some(()) => ExitCode::SUCCESS,
        None => {
            eprintln!("not part of this build");
            ExitCode::FAILURE
        }
    }
}

struct Probe;

impl Visitor for Probe {
    type Output = ();

    fn visit<R: Runtime>(self) {
        R::run(async { R::spawn(R::sleep(Duration::from_millis(1))).await });
    }
}

/// Performs an operation `count` times and does nothing else.
pub(crate) fn perform(operation: &str, runtime: &str, count: u64) -> ExitCode {
    watchdog::arm(MICRO_LIFETIME_SECONDS);
    match cases::visit_operation(operation, Perform { runtime, count }) {
        Some(Some(())) => ExitCode::SUCCESS,
        _ => {
            eprintln!("no operation is called {operation}, or no runtime {runtime}");
            ExitCode::FAILURE
        }
    }
}

struct Perform<'a> {
    runtime: &'a str,
    count: u64,
}

impl OperationVisitor for Perform<'_> {
    type Output = Option<()>;

    fn visit<O: Operation>(self) -> Option<()> {
        runtimes::visit(self.runtime, Counted::<O>::new(self.count))
    }
}

/// Lets this process and the server it starts open as many descriptors as they may.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid and outlives the call.
    let known = epoll::check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) });
    if known.is_ok() {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above. If it fails, the cases with many connections say so themselves.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}
