//! System calls per message and per connection of the echo servers, counted by strace.
//!
//! Each count is the difference of two runs, so that start and connections cancel out. Messages
//! come in waves, one on each connection, when the server has gone to sleep. As strace slows the
//! server down, all of a wave is there when it looks: the calls that are shared between messages
//! (polls, ring entries) come out lower than in life, those that each message takes are exact.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cases::tcp::{self, EchoLoad};
use crate::net::churn;
use crate::net::server::Server;
use crate::net::service::Service;
use crate::net::tcp_echo::Echo;
use crate::report::short;
use crate::rounds::{Plan, present};

/// Counts for all contenders, and prints the table.
pub(crate) fn count(plan: &Plan) -> ExitCode {
    if !Command::new("strace")
        .arg("-V")
        .output()
        .is_ok_and(|out| out.status.success())
    {
        eprintln!("strace is not installed: nothing is counted");
        return ExitCode::FAILURE;
    }
    let (contenders, _) = present(plan.contenders());
    println!("System calls of the echo server per message of 64 B, by strace.\n");
    println!("| connections | contender | all | of these failed | which |");
    println!("|---:|---|---:|---:|---|");
    for (connections, waves) in LOADS {
        for runtime in &contenders {
            let load = EchoLoad::small(connections);
            eprintln!("{connections} connections, {runtime}");
            match per_message(runtime, load, waves) {
                Ok(calls) => println!("| {connections} | {runtime} | {} |", describe(&calls)),
                Err(error) => println!("| {connections} | {runtime} | skipped | | {error} |"),
            }
        }
    }
    println!("\nThe same for each connection that comes, sends one message and goes.\n");
    println!("| contender | all | of these failed | which |");
    println!("|---|---:|---:|---|");
    for runtime in &contenders {
        eprintln!("churn, {runtime}");
        match per_connection(runtime, CHURN_COUNTS) {
            Ok(calls) => println!("| {runtime} | {} |", describe(&calls)),
            Err(error) => println!("| {runtime} | skipped | | {error} |"),
        }
    }
    ExitCode::SUCCESS
}

/// The two numbers of connections whose difference is asked about.
const CHURN_COUNTS: (u64, u64) = (200, 1_200);

/// Connections, and the two numbers of waves whose difference is asked about.
const LOADS: [(usize, (u64, u64)); 3] = [(1, (10, 110)), (50, (10, 110)), (1_000, (2, 12))];

/// How often a system call was made, and how often it failed.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    made: f64,
    failed: f64,
}

fn describe(calls: &BTreeMap<String, Calls>) -> String {
    let made: f64 = calls.values().map(|calls| calls.made).sum();
    let failed: f64 = calls.values().map(|calls| calls.failed).sum();
    let mut which: Vec<_> = calls
        .iter()
        .filter(|(_, calls)| calls.made >= RARE)
        .collect();
    which.sort_by(|a, b| b.1.made.total_cmp(&a.1.made));
    let which = which.into_iter().map(|(name, calls)| match calls.failed {
        failed if failed >= RARE => {
            format!("{name} {} ({} failed)", short(calls.made), short(failed))
        }
        _ => format!("{name} {}", short(calls.made)),
    });
    // What the start makes of chance can leave a little less than nothing.
    let (made, failed) = (short(made.max(0.0)), short(failed.max(0.0)));
    format!(
        "{made} | {failed} | {}",
        which.collect::<Vec<_>>().join(", ")
    )
}

/// Calls per message that round to nothing.
const RARE: f64 = 0.005;

/// The calls of each message.
fn per_message(
    runtime: &str,
    load: EchoLoad,
    waves: (u64, u64),
) -> io::Result<BTreeMap<String, Calls>> {
    let messages = |waves| waves * load.connections as u64;
    let run = |waves| {
        serve(runtime, load.service(), |server| {
            let address = server.address();
            let mut echo = Echo::connect(address, load.connections, load.message_bytes)?;
            echo.waves(waves)?;
            Ok(echo)
        })
    };
    let (fewer, more) = (run(waves.0)?, run(waves.1)?);
    Ok(difference(
        &fewer,
        more,
        messages(waves.1) - messages(waves.0),
    ))
}

/// The calls of each connection that comes, sends a message and goes.
fn per_connection(runtime: &str, counts: (u64, u64)) -> io::Result<BTreeMap<String, Calls>> {
    let run = |count| {
        serve(runtime, tcp::CHURN, |server| {
            churn::churn(server.address(), tcp::AT_ONCE, count, server.cpu_clock()?)
        })
    };
    let (fewer, more) = (run(counts.0)?, run(counts.1)?);
    Ok(difference(&fewer, more, counts.1 - counts.0))
}

fn difference(
    fewer: &BTreeMap<String, Calls>,
    mut more: BTreeMap<String, Calls>,
    count: u64,
) -> BTreeMap<String, Calls> {
    for (name, more) in &mut more {
        let fewer = fewer.get(name).copied().unwrap_or_default();
        more.made = (more.made - fewer.made) / count as f64;
        more.failed = (more.failed - fewer.failed) / count as f64;
    }
    more
}

/// Runs a server under strace for as long as `load` takes; all the calls of its whole life.
fn serve<L>(
    runtime: &str,
    service: Service,
    load: impl FnOnce(&Server) -> io::Result<L>,
) -> io::Result<BTreeMap<String, Calls>> {
    let name = format!("tulipa-benches-strace-{}.txt", std::process::id());
    let path = env::temp_dir().join(name);
    let strace = ["strace", "-f", "-c", "-o"].map(OsString::from);
    let line: Vec<_> = strace
        .into_iter()
        .chain([path.clone().into_os_string()])
        .collect();

    let server = Server::start_under(&line, runtime, service)?;
    let load = load(&server)?;
    // The server goes first: how it takes the end of its connections is not the question.
    server.stop()?;
    drop(load);
    let calls = read_summary(&path);
    let _ = fs::remove_file(&path); // It lies in the directory for such files anyway.
    calls
}

/// Reads what `strace -c` has written: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn read_summary(path: &Path) -> io::Result<BTreeMap<String, Calls>> {
    let summary = fs::read_to_string(path)?;
    let calls = summary.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (made, failed, name) = match fields[..] {
            [_, _, _, made, name] => (made, "0", name),
            [_, _, _, made, failed, name] => (made, failed, name),
            _ => return None,
        };
        // The total is not a call; head and rulers hold no numbers.
        let calls = Calls {
            made: made.parse().ok()?,
            failed: failed.parse().ok()?,
        };
        (name != "total").then(|| (name.to_owned(), calls))
    });
    Ok(calls.collect())
}
