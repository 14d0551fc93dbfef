//! Running out of descriptors. The limit is the process's, so this runs in a process of its own.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::{UdpSocket, UnixDatagram, UnixListener, UnixStream};
use tulipa::runtime::{ExceptionKind, Runner};

use crate::temp_dir::TempDir;

const ROLE: &str = "TULIPA_TEST_FEW_DESCRIPTORS";

/// Runs the named test of this binary in a child process with a low descriptor limit.
fn in_a_process_with_few_descriptors(test: &str) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "the test did not run: {text}");
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Takes all descriptors that are left.
fn hoard() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

// TC05, TC06
#[test]
fn accepting_pauses_without_descriptors_and_recovers_when_they_come_back() {
    if std::env::var_os(ROLE).is_none() {
        return in_a_process_with_few_descriptors(
            "unix_limits::accepting_pauses_without_descriptors_and_recovers_when_they_come_back",
        );
    }
    let heard = Rc::new(RefCell::new(Vec::new()));
    let list = Rc::clone(&heard);
    let mut runner = Runner::builder()
        .exception_handler(move |it| list.borrow_mut().push((it.kind, it.to_string())))
        .start_paused(true)
        .build()
        .unwrap();
    let before = open_descriptors();
    runner.run(async {
        let dir = TempDir::new();
        let path = dir.join("busy");
        let listener = UnixListener::bind(&path).await.unwrap();
        let mut late = UnixStream::connect(&path).await.unwrap();
        let hoard = hoard();
        UnixStream::connect(&path).await.unwrap_err();
        UnixListener::bind(dir.join("none")).await.unwrap_err();
        UnixDatagram::unbound().unwrap_err();
        UdpSocket::bind("127.0.0.1:0").await.unwrap_err();
        assert!(!dir.join("none").exists());

        let accepting = tulipa::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"ok").await.unwrap();
        });
        tulipa::sleep(Duration::from_millis(1500)).await;
        assert!(!accepting.is_finished());
        drop(hoard);
        late.read_exact(&mut [0; 2]).await.unwrap();
        accepting.await.unwrap();
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 2, "told once for each pause: {heard:?}");
    for (kind, message) in &heard {
        assert_eq!(*kind, ExceptionKind::AcceptPaused);
        assert!(message.contains("busy"), "{message}");
    }
    assert_eq!(open_descriptors(), before, "descriptors are back");
}

#[test]
fn descriptors_that_find_no_room_are_told() {
    if std::env::var_os(ROLE).is_none() {
        return in_a_process_with_few_descriptors(
            "unix_limits::descriptors_that_find_no_room_are_told",
        );
    }
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let mut hoard = hoard();
        hoard.truncate(hoard.len() - 2);
        let fds = [file.as_fd(); 5];
        assert_eq!(a.send_with_fds(b"five", &fds).await.unwrap(), 4);
        let received = b.recv_with_fds(&mut [0; 8], 5).await.unwrap();
        assert_eq!((received.len, received.fds.len()), (4, 2));
        assert!(received.is_fds_truncated);
    });
}
