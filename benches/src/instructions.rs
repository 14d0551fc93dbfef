//! User-space instructions, counted under callgrind: the figures that repeat on any machine.
//!
//! Each count is a difference: the same program is run for a smaller and a larger number of
//! operations, and what start and end cost cancels out. What the kernel does is not counted, nor
//! what an instruction costs: an atomic one counts like any other.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::cases::operation::Operation;
use crate::cases::tcp::EchoLoad;
use crate::cases::{self, OperationVisitor};
use crate::child;
use crate::net::server::Server;
use crate::net::tcp_echo::Echo;
use crate::report::short;
use crate::rounds::{Plan, present};
use crate::runtimes;

/// Counts all operations and the echo servers, and prints the table.
pub(crate) fn count(plan: &Plan) -> ExitCode {
    if !Command::new("valgrind")
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
    {
        eprintln!("valgrind is not installed: nothing is counted");
        return ExitCode::FAILURE;
    }
    let asked = if plan.runtimes.is_empty() {
        // callgrind runs on the plain kernel interface: here monoio's epoll driver has its place.
        runtimes::ALL.to_vec()
    } else {
        plan.contenders()
    };
    let (contenders, _) = present(asked);

    println!("Instructions in user space, by callgrind.\n");
    println!("| per operation | {} |", contenders.join(" | "));
    println!("|---|{}", "---:|".repeat(contenders.len()));
    for case in cases::operations().filter(|case| case.name.contains(&plan.filter)) {
        let row = contenders.iter().map(|runtime| {
            if !case.is_for(runtime) {
                return "–".to_owned();
            }
            cell(case.name, runtime, |runtime| {
                operation_instructions(case.name, runtime)
            })
        });
        println!(
            "| {} | {} |",
            case.name,
            row.collect::<Vec<_>>().join(" | ")
        );
    }
    // A server that does not run under callgrind is killed after a while: once is enough.
    let mut failed: Vec<&str> = Vec::new();
    for (connections, waves) in ECHO_LOADS {
        let name = format!("tcp/echo 64 B × {connections}");
        if !name.contains(&plan.filter) {
            continue;
        }
        let mut row = Vec::with_capacity(contenders.len());
        for runtime in &contenders {
            if failed.contains(runtime) {
                row.push(SKIPPED.to_owned());
                continue;
            }
            row.push(cell(&name, runtime, |runtime| {
                echo_instructions(runtime, EchoLoad::small(connections), waves)
            }));
            if row.last().is_some_and(|cell| cell == SKIPPED) {
                failed.push(runtime);
            }
        }
        println!("| {name} | {} |", row.join(" | "));
    }
    ExitCode::SUCCESS
}

/// Connections, and the two numbers of waves whose difference is asked about.
const ECHO_LOADS: [(usize, (u64, u64)); 3] = [(1, (10, 110)), (50, (10, 110)), (1_000, (2, 12))];

fn cell(name: &str, runtime: &str, measure: impl Fn(&str) -> io::Result<f64>) -> String {
    eprintln!("{name}, {runtime}");
    match measure(runtime) {
        Ok(instructions) => short(instructions),
        Err(error) => {
            eprintln!("{name}, {runtime}: skipped ({error})");
            SKIPPED.to_owned()
        }
    }
}

const SKIPPED: &str = "skipped";

fn operation_instructions(operation: &str, runtime: &str) -> io::Result<f64> {
    let (fewer, more) = cases::visit_operation(operation, Counts).expect("the name is from a list");
    let difference = run(operation, runtime, more)? - run(operation, runtime, fewer)?;
    Ok(difference / (more - fewer) as f64)
}

struct Counts;

impl OperationVisitor for Counts {
    type Output = (u64, u64);

    fn visit<O: Operation>(self) -> (u64, u64) {
        O::CALLGRIND_COUNTS
    }
}

fn run(operation: &str, runtime: &str, count: u64) -> io::Result<f64> {
    let log = Log::new();
    let line = callgrind(&log.path);
    let status = Command::new(&line[0])
        .args(&line[1..])
        .arg(env::current_exe()?)
        .args([child::MICRO, operation, runtime, &count.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!(
            "it does not run under callgrind: {status}"
        )));
    }
    log.collected()
}

fn echo_instructions(runtime: &str, load: EchoLoad, waves: (u64, u64)) -> io::Result<f64> {
    let (fewer, more) = waves;
    let difference = serve(runtime, load, more)? - serve(runtime, load, fewer)?;
    Ok(difference / ((more - fewer) * load.connections as u64) as f64)
}

/// Runs a server under callgrind for so many waves of messages; what its whole life took.
fn serve(runtime: &str, load: EchoLoad, waves: u64) -> io::Result<f64> {
    let log = Log::new();
    let server = Server::start_under(&callgrind(&log.path), runtime, load.service())?;
    let mut echo = Echo::connect(server.address(), load.connections, load.message_bytes)?;
    echo.waves(waves)?;
    // The server goes first: how it takes the end of its connections is not the question.
    server.stop()?;
    log.collected()
}

fn callgrind(log: &Path) -> Vec<OsString> {
    let mut log_option = OsString::from("--log-file=");
    log_option.push(log);
    let options = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
    ];
    options
        .into_iter()
        .map(OsString::from)
        .chain([log_option])
        .collect()
}

/// The file that valgrind writes its messages to, removed in the end.
struct Log {
    path: PathBuf,
}

impl Log {
    fn new() -> Self {
        let name = format!("tulipa-benches-callgrind-{}.log", std::process::id());
        Self {
            path: env::temp_dir().join(name),
        }
    }

    /// The number of instructions that callgrind has counted.
    fn collected(&self) -> io::Result<f64> {
        let log = fs::read_to_string(&self.path)?;
        let number = log.lines().find_map(|line| line.split_once("Collected : "));
        number
            .and_then(|(_, number)| number.trim().parse().ok())
            .ok_or_else(|| io::Error::other("callgrind reports no count"))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // It lies in the directory for such files anyway.
    }
}
