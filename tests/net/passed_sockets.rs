//! Sockets that a service manager passes. A shell plays the manager; the test plays the service in a
//! process of its own.

use std::io::Read;
use std::net::TcpListener as StdListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use tulipa::net::{PassedKind, listen_fds};

use crate::temp_dir::TempDir;

const ROLE: &str = "TULIPA_TEST_PASSED";

/// Runs the test `service` of this name in a process that `script` starts, as `$0`, with `passed` as its standard
/// input and `extra` as its standard error.
fn as_service(
    service: &str,
    script: &str,
    passed: impl Into<OwnedFd>,
    extra: impl Into<OwnedFd>,
) -> bool {
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(format!("passed_sockets::{service}"))
        .env(ROLE, service)
        .stdin(Stdio::from(passed.into()))
        .stderr(Stdio::from(extra.into()))
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    output.status.success()
}

/// Not a test by itself: what `sockets_are_taken_by_type_and_name` runs.
#[test]
fn service() {
    if std::env::var(ROLE).as_deref() != Ok("service") {
        return;
    }
    tulipa::run(async {
        let passed = listen_fds().unwrap();
        let names: Vec<_> = passed.iter().map(|it| it.name.as_deref()).collect();
        assert_eq!(names, [Some("web"), Some("control"), None]);
        let mut passed = passed.into_iter().map(|it| it.socket);
        let Some(PassedKind::TcpListener(listener)) = passed.next() else {
            panic!("a TCP listener was passed");
        };
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"served").await.unwrap();
        let Some(PassedKind::UnixListener(listener)) = passed.next() else {
            panic!("a Unix listener was passed");
        };
        drop(listener);
        assert!(matches!(passed.next(), Some(PassedKind::Other(5))));
        assert!(passed.next().is_none());
        assert!(listen_fds().unwrap().is_empty(), "they were taken");
    });
}

// § 13: sockets that were opened elsewhere.
#[test]
fn sockets_are_taken_by_type_and_name() {
    let dir = TempDir::new();
    let path = dir.join("control");
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let control = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = std::thread::spawn(move || {
        let mut text = String::new();
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let script = "exec 3<&0 4<&2 5</dev/null 0</dev/null 2>/dev/null; \
        LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=web:control exec \"$0\" \"$@\"";
    assert!(as_service("service", script, listener, control));
    assert_eq!(client.join().unwrap(), "served");
    assert!(
        path.exists(),
        "a file that the manager made is the manager's"
    );
}

/// Not a test by itself: what `a_connection_that_was_reset_is_no_listener` runs.
#[test]
fn service_of_a_connection() {
    if std::env::var(ROLE).as_deref() != Ok("service_of_a_connection") {
        return;
    }
    tulipa::run(async {
        let passed = listen_fds().unwrap().into_iter().next().unwrap();
        let PassedKind::TcpStream(mut stream) = passed.socket else {
            panic!("a connection was passed, and not {:?}", passed.socket);
        };
        let error = stream.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_connection_that_was_reset_is_no_listener() {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let no_time = Some(std::time::Duration::ZERO);
    socket2::SockRef::from(&client).set_linger(no_time).unwrap();
    drop(client);
    // Not reading it: the error stays for the service.
    while stream.peer_addr().is_ok() {
        std::thread::yield_now();
    }
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    let nothing = std::fs::File::open("/dev/null").unwrap();
    assert!(as_service(
        "service_of_a_connection",
        script,
        stream,
        nothing
    ));
}

#[test]
fn without_a_manager_there_are_none() {
    assert!(listen_fds().unwrap().is_empty());
}
