//! Running out of descriptors. The limit is the process's, so this runs in a process of its own.

use std::process::Command;
use std::time::Duration;

use crate::support::listening_runner;
use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::ExceptionKind;

/// Runs the named test of this binary in a child process with a low descriptor limit.
fn in_a_process_with_few_descriptors(test: &str) {
    let exe = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$@\"", "sh"])
        .arg(exe)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("TULIPA_TEST_FEW_DESCRIPTORS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "the test did not run: {text}");
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(usize::MAX, Iterator::count)
}

// TC05, TC06
#[test]
fn accepting_pauses_without_descriptors_and_recovers_when_they_come_back() {
    const NAME: &str =
        "tcp_limits::accepting_pauses_without_descriptors_and_recovers_when_they_come_back";
    if std::env::var_os("TULIPA_TEST_FEW_DESCRIPTORS").is_none() {
        return in_a_process_with_few_descriptors(NAME);
    }

    let (mut runner, heard) = listening_runner();
    let before = open_descriptors();
    runner.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut held = TcpStream::connect(addr).await.unwrap();
        let (mut served, _) = listener.accept().await.unwrap();

        // A client in the backlog, and then no descriptor left for it.
        let mut late = TcpStream::connect(addr).await.unwrap();
        let mut hoard = Vec::new();
        let error = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => hoard.push(file),
                Err(error) => break error,
            }
        };
        let refused = TcpStream::connect(addr).await.unwrap_err();
        let cause = refused.get_ref().and_then(|it| it.source()).unwrap();
        let cause = cause.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.raw_os_error(), error.raw_os_error());
        assert!(TcpListener::bind("127.0.0.1:0").await.is_err());

        let accepting = tulipa::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buf = [0; 2];
            stream.read_exact(&mut buf).await.unwrap();
            stream.write_all(&buf).await.unwrap();
            listener
        });

        // What is open goes on, during two pauses.
        let start = tulipa::time::Instant::now();
        while start.elapsed() < Duration::from_millis(1500) {
            held.write_all(b"ping").await.unwrap();
            let mut buf = [0; 4];
            served.read_exact(&mut buf).await.unwrap();
            tulipa::sleep(Duration::from_millis(10)).await;
        }
        assert!(!accepting.is_finished());

        drop(hoard);
        late.write_all(b"ok").await.unwrap();
        let mut buf = [0; 2];
        late.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"ok");
        drop(accepting.await.unwrap());
    });
    let heard = heard.take();
    assert!(
        (1..=3).contains(&heard.len()),
        "told once for each pause: {heard:?}"
    );
    for (kind, message) in &heard {
        assert_eq!(*kind, ExceptionKind::AcceptPaused);
        assert!(message.contains("accept on 127.0.0.1:"), "{message}");
        assert!(message.contains("trying again in 1s"), "{message}");
    }
    assert_eq!(open_descriptors(), before, "descriptors are back");
}
