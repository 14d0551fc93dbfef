//! Standard input, output and error, in child processes: the test binary runs itself.
//!
//! Each scenario is a test that does nothing unless the variable below names it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tulipa::io::{AsyncReadExt, AsyncWriteExt, StreamReader, stderr, stdin, stdout};

use super::support::polled;

const SCENARIO: &str = "TULIPA_TEST_SCENARIO";

/// Starts this binary as `scenario`.
fn child(scenario: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("io::stdio::{scenario}"),
            "--nocapture",
            "-q",
        ])
        .env(SCENARIO, scenario)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn is_scenario(name: &str) -> bool {
    std::env::var(SCENARIO).is_ok_and(|it| it == name)
}

/// Runs a scenario in this process, which is a child, and ends it as `main` would.
fn play(future: impl Future<Output = ()>) -> ! {
    tulipa::run(future);
    std::process::exit(0)
}

/// Waits until the child has ended; after `limit` it is killed, and this is `false`.
fn ended_within(child: &mut Child, limit: Duration) -> bool {
    let pid = Pid::from_child(child);
    thread::scope(|scope| {
        let (ended, has_ended) = mpsc::channel::<()>();
        let watchdog = scope.spawn(move || {
            let is_late = has_ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if is_late {
                let _ = kill_process(pid, Signal::KILL); // It may just have ended.
            }
            !is_late
        });
        child.wait().unwrap();
        drop(ended);
        watchdog.join().unwrap()
    })
}

/// The lines that a scenario prints, after those of the test harness.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .filter(|line| !line.is_empty() && !line.starts_with("running "))
}

#[test]
fn scenario_shout() {
    if is_scenario("scenario_shout") {
        play(async {
            let mut input = StreamReader::new(stdin());
            let mut lines = input.lines();
            let mut out = stdout();
            while let Some(line) = lines.next().await {
                let line = line.unwrap().to_ascii_uppercase();
                out.write_all(&line).await.unwrap();
                out.write_all(b"\n").await.unwrap();
                out.flush().await.unwrap();
            }
            out.write_all(b"the end\n").await.unwrap();
            out.flush().await.unwrap();
        });
    }
}

#[test]
fn lines_of_input_come_as_they_are_typed_and_output_goes_at_once() {
    let mut child = child("scenario_shout");
    let mut input = child.stdin.take().unwrap();
    let mut lines = lines(&mut child);
    for word in ["one", "two"] {
        writeln!(input, "{word}").unwrap();
        assert_eq!(lines.next().unwrap(), word.to_uppercase());
    }
    drop(input);
    assert_eq!(lines.next().unwrap(), "the end");
    assert!(ended_within(&mut child, Duration::from_secs(5)));
}

#[test]
fn scenario_give_up() {
    if is_scenario("scenario_give_up") {
        play(async {
            println!("waiting");
            let read = tulipa::timeout(Duration::from_millis(30), async {
                stdin().read(&mut [0; 1]).await
            });
            assert!(read.await.is_err());
            println!("main returns");
        });
    }
}

/// BL08.
#[test]
fn a_program_ends_while_a_read_of_its_silent_input_is_pending() {
    let mut child = child("scenario_give_up");
    let _silent = child.stdin.take().unwrap();
    assert!(ended_within(&mut child, Duration::from_secs(1)));
    let printed: Vec<_> = lines(&mut child).collect();
    assert_eq!(printed, ["waiting", "main returns"]);
}

#[test]
fn scenario_drop() {
    if is_scenario("scenario_drop") {
        play(async {
            println!("ready");
            let mut input = stdin();
            let mut buf = [0; 100];
            assert!(polled(input.read(&mut buf), 1).await.is_none());
            assert!(polled(input.read(&mut buf), 1).await.is_none());
            println!("dropped");
            // What the dropped read yields is for the next one, of any handle, in small pieces too.
            let mut all = Vec::new();
            let mut buf = [0; 2];
            loop {
                match stdin().read(&mut buf).await.unwrap() {
                    0 => break,
                    count => all.extend_from_slice(&buf[..count]),
                }
            }
            println!("{}", String::from_utf8(all).unwrap());
            // Another loop, the same input: its end stays its end.
            assert_eq!(stdin().read(&mut buf).await.unwrap(), 0);
            assert_eq!(stdin().read(&mut []).await.unwrap(), 0);
        });
    }
}

#[test]
fn a_read_that_is_dropped_loses_nothing() {
    let mut child = child("scenario_drop");
    let mut input = child.stdin.take().unwrap();
    let mut lines = lines(&mut child);
    assert_eq!(lines.next().unwrap(), "ready");
    assert_eq!(lines.next().unwrap(), "dropped");
    input.write_all(b"hello world").unwrap();
    drop(input);
    assert_eq!(lines.next().unwrap(), "hello world");
    assert!(ended_within(&mut child, Duration::from_secs(5)));
}

#[test]
fn scenario_flood() {
    if is_scenario("scenario_flood") {
        play(async {
            let mut errors = stderr();
            errors.write_all(b"flooding\n").await.unwrap();
            errors.flush().await.unwrap();
            let flood = async { stdout().write_all(&vec![b'x'; 10_000_000]).await };
            // The loop goes on although nobody reads, and a full queue is no busy loop.
            let flood = tulipa::timeout(Duration::from_millis(50), flood).await;
            assert!(flood.is_err());
            errors.write_all(b"main returns\n").await.unwrap();
            errors.flush().await.unwrap();
        });
    }
}

#[test]
fn output_that_nobody_reads_blocks_neither_the_loop_nor_the_end() {
    let mut child = child("scenario_flood");
    let _unread = child.stdout.take().unwrap();
    assert!(ended_within(&mut child, Duration::from_secs(2)));
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert_eq!(errors, "flooding\nmain returns\n");
}

#[test]
fn scenario_order() {
    if is_scenario("scenario_order") {
        play(async {
            let mut out = stdout();
            println!("first");
            // Dropped at once: what a write has taken is written, and flushing goes on by itself.
            assert!(polled(out.write_all(b"second\n"), 1).await.is_some());
            drop(polled(out.flush(), 1).await);
            stdout().flush().await.unwrap();
            println!("third");
            let mut long = stdout();
            let writing = async {
                for _ in 0..3000 {
                    long.write_all(&[b'x'; 99]).await.unwrap();
                    long.write_all(b"\n").await.unwrap();
                }
                long.close().await.unwrap();
            };
            writing.await;
            println!("last");
        });
    }
}

#[test]
fn output_is_in_order_with_that_of_std() {
    let mut child = child("scenario_order");
    let lines: Vec<_> = lines(&mut child).collect();
    assert_eq!(lines[..3], ["first", "second", "third"]);
    assert!(lines[3..3003].iter().all(|line| *line == "x".repeat(99)));
    assert_eq!(lines[3003..], ["last"]);
    assert!(ended_within(&mut child, Duration::from_secs(5)));
}

#[test]
fn scenario_broken_pipe() {
    if is_scenario("scenario_broken_pipe") {
        play(async {
            println!("ready");
            // Wait until the other end is gone.
            stdin().read(&mut [0; 1]).await.unwrap();
            let mut out = stdout();
            let result = async {
                out.write_all(b"into nothing\n").await?;
                out.flush().await
            };
            let error = result.await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            eprintln!("broken");
        });
    }
}

#[test]
fn output_whose_reader_is_gone_is_an_error() {
    let mut child = child("scenario_broken_pipe");
    let mut lines = lines(&mut child);
    assert_eq!(lines.next().unwrap(), "ready");
    drop(lines);
    drop(child.stdin.take());
    assert!(ended_within(&mut child, Duration::from_secs(5)));
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert!(errors.contains("broken"), "{errors}");
}

#[test]
fn scenario_flags() {
    if is_scenario("scenario_flags") {
        play(async {
            assert_eq!(stdin().read(&mut [0; 1]).await.unwrap(), 1);
            stdout().write_all(b"done\n").await.unwrap();
            stdout().flush().await.unwrap();
            assert!(polled(stdin().read(&mut [0; 1]), 2).await.is_none());
        });
    }
}

/// The flag belongs to the open file, which other programs share.
#[test]
fn nobodys_files_become_non_blocking() {
    let is_nonblocking = |file: &dyn std::os::fd::AsFd| {
        let file = file.as_fd().try_clone_to_owned().unwrap();
        let flags = rustix::fs::fcntl_getfl(file).unwrap();
        flags.contains(rustix::fs::OFlags::NONBLOCK)
    };
    let (reader, mut writer) = io::pipe().unwrap();
    let shared = reader.try_clone().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "io::stdio::scenario_flags", "--nocapture", "-q"])
        .env(SCENARIO, "scenario_flags")
        .stdin(reader)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writer.write_all(b"x").unwrap();
    let mut lines = lines(&mut child);
    assert_eq!(lines.next().unwrap(), "done");
    assert!(!is_nonblocking(&shared));
    assert!(!is_nonblocking(&writer));
    assert!(ended_within(&mut child, Duration::from_secs(5)));
    assert!(!is_nonblocking(&shared));
}

#[test]
fn scenario_signal() {
    if is_scenario("scenario_signal") {
        // As a tool does that wants to end with the pipe it writes to. Rust's runtime ignores the signal.
        // SAFETY: no handler is installed, and no other thread uses the disposition.
        #[allow(unsafe_code, reason = "a system call")]
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        }
        play(async {
            use super::support::tcp_pair;
            use tulipa::io::{copy_bidirectional, send_file};

            let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let (mut near, far) = tcp_pair().await;
            drop(far);
            let error = loop {
                if let Err(error) = send_file(&mut near, &file, ..1_000_000).await {
                    break error;
                }
            };
            eprintln!("send_file: {error}");

            let (mut a, mut near_a) = tcp_pair().await;
            let (b, mut near_b) = tcp_pair().await;
            let flooding =
                tulipa::spawn(async move { while a.write_all(&[b'x'; 300_000]).await.is_ok() {} });
            let closing = tulipa::spawn(async move {
                tulipa::sleep(Duration::from_millis(20)).await;
                drop(b);
            });
            let copied = copy_bidirectional(&mut near_a, &mut near_b).await;
            eprintln!("copy_bidirectional: {}", copied.unwrap_err());
            drop((near_a, near_b));
            flooding.await.unwrap();
            closing.await.unwrap();
        });
    }
}

/// TC10: sendfile(2) and splice(2) raise the signal, unlike send(2) as it is used here.
#[test]
fn a_program_that_dies_of_sigpipe_is_not_killed_by_a_socket() {
    let mut child = child("scenario_signal");
    assert!(ended_within(&mut child, Duration::from_secs(10)));
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert!(
        errors.contains("send_file: ") && errors.contains("copy_bidirectional: "),
        "{errors}"
    );
}
