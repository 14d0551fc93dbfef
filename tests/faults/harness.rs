//! Plays scenarios: one here, or each in a process of its own.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio, exit};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process};

use crate::{BEGIN, END, SCENARIOS, Scenario, tcp};

/// After this long a scenario hangs. Each takes well below a second.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Exit codes, for `ci/faults`.
const FAILED: u8 = 3;

pub(crate) fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    match first.as_deref() {
        Some("--play") => {
            let name = arguments.next().unwrap_or_default();
            let Some(scenario) = SCENARIOS.iter().find(|(known, _)| *known == name) else {
                panic!("there is no scenario '{name}'");
            };
            play(scenario);
        }
        Some("--play-client") => tcp::client_process(),
        // For who starts a scenario.
        Some("--input") => {
            let written = std::io::stdout().write_all(&crate::streams::input());
            written.expect("standard output takes bytes");
        }
        // As libtest's.
        Some("--list") => SCENARIOS
            .iter()
            .for_each(|(name, _)| println!("{name}: test")),
        filter => {
            let filter = filter.filter(|it| !it.starts_with('-')).unwrap_or_default();
            let chosen = SCENARIOS.iter().filter(|(name, _)| name.contains(filter));
            let failures = chosen.filter(|it| !plays_without_faults(it)).count();
            exit(i32::from(failures > 0));
        }
    }
}

/// Says that the faults may begin.
pub(crate) fn begin() {
    // It does not exist: the call is what counts.
    let _ = access(BEGIN, Access::EXISTS);
}

/// Says what came of it, and ends the process.
pub(crate) fn end(result: std::io::Result<String>) -> ! {
    let (text, code) = match result {
        Ok(text) => (format!("ok: {text}"), 0),
        Err(error) => (format!("error: {error}"), FAILED),
    };
    let _ = access(format!("{END}{text}"), Access::EXISTS);
    // The trace has been told already.
    let _ = writeln!(std::io::stdout(), "{text}");
    exit(i32::from(code));
}

fn play((_, scenario): &Scenario) -> ! {
    begin();
    end(scenario());
}

/// True if it came to its end, and nothing went wrong.
fn plays_without_faults((name, _): &Scenario) -> bool {
    let program = std::env::current_exe().expect("this program has a path");
    let child = Command::new(program)
        .args(["--play", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let (code, text) = watched(child);
    let last = text.lines().last().unwrap_or("nothing was said");
    let is_good = code == Some(0) && last.starts_with("ok: ");
    let verdict = if is_good { "" } else { "FAILED: " };
    println!("scenario {name} ... {verdict}{last}");
    is_good
}

/// Feeds a scenario its standard input, and waits for it; one that hangs is killed.
fn watched(mut child: Child) -> (Option<i32>, String) {
    let pid = Pid::from_child(&child);
    let mut input = child.stdin.take().expect("it is a pipe");
    let mut output = child.stdout.take().expect("it is a pipe");
    let (sender, ended) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let _ = output.read_to_string(&mut text); // What there is is compared.
        let _ = sender.send(()); // It is waited for below.
        text
    });
    // One that does not read it has closed the pipe.
    let _ = input.write_all(&crate::streams::input());
    drop(input);
    if ended.recv_timeout(WATCHDOG).is_err() {
        let _ = kill_process(pid, Signal::KILL); // It is a child that nobody has waited for.
    }
    let code = child.wait().ok().and_then(|it| it.code());
    (code, reader.join().unwrap_or_default())
}
