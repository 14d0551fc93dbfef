//! Forks: a child must not see its parent's loop. (asyncio parity 1, 22)
//!
//! Each test runs in a process of its own, where it forks.

#![allow(unsafe_code, reason = "calls fork(2)")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use tulipa::runtime::{EventLoop, Runner};

const CHILD: &str = "TULIPA_TEST_FORKS";

/// Runs the test `name` in a process of its own. `true` in that process.
fn is_alone(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("fork::{name}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    false
}

/// Forks, and runs `f` in the child, which ends with success if that returns `true`.
fn in_child(f: impl FnOnce() -> bool) {
    // SAFETY: the only other thread of this process is the test harness', which waits; the child ends
    // without going back to it.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let result = catch_unwind(AssertUnwindSafe(f));
        let status = if matches!(result, Ok(true)) { 0 } else { 1 };
        // SAFETY: ends the child at once; no destructor of the parent's runs.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above, with a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
}

#[test]
fn a_child_forked_inside_of_a_loop_is_outside_and_may_run_its_own() {
    if !is_alone("a_child_forked_inside_of_a_loop_is_outside_and_may_run_its_own") {
        return;
    }
    tulipa::run(async {
        let listener = tulipa::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        in_child(|| {
            assert!(EventLoop::try_current().is_none());
            assert!(tulipa::task::try_id().is_none());
            assert!(tulipa::try_spawn(async {}).is_err());
            let connected = tulipa::run(async {
                tulipa::sleep(Duration::from_millis(1)).await;
                assert!(EventLoop::current().is_running());
                tulipa::net::TcpStream::connect(addr).await
            });
            connected.is_ok()
        });
        // The parent's loop is as it was.
        assert!(EventLoop::current().is_running());
        listener.accept().await.unwrap();
        tulipa::sleep(Duration::from_millis(1)).await;
    });
}

#[test]
fn a_child_that_comes_back_into_the_parents_loop_ends_with_an_error() {
    if !is_alone("a_child_that_comes_back_into_the_parents_loop_ends_with_an_error") {
        return;
    }
    let event_loop = EventLoop::new().unwrap();
    in_child(|| {
        let error = event_loop.try_block_on(tulipa::yield_now()).err();
        let message = error.map(|it| it.to_string()).unwrap_or_default();
        assert!(message.contains("belongs to the parent"), "{message}");
        assert!(event_loop.prepare_wait().is_err());
        // Dropping what was inherited is harmless.
        drop(event_loop);
        true
    });
    // The same from the middle of a run, which is busy and has no need to wait.
    let event_loop = EventLoop::new().unwrap();
    let result = event_loop.try_block_on(async {
        // SAFETY: as in `in_child`.
        let child = unsafe { libc::fork() };
        for _ in 0..3 {
            tulipa::yield_now().await;
        }
        child
    });
    match result {
        Ok(child) => {
            assert!(child > 0, "the child has come through");
            let mut status = 1;
            // SAFETY: as in `in_child`.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0);
        }
        Err(error) => {
            let status = i32::from(!error.to_string().contains("belongs to the parent"));
            // SAFETY: as in `in_child`.
            unsafe { libc::_exit(status) };
        }
    }
}

#[test]
fn a_child_may_drop_the_parents_sockets_and_the_parent_keeps_them() {
    if !is_alone("a_child_may_drop_the_parents_sockets_and_the_parent_keeps_them") {
        return;
    }
    use std::io::Write;
    let mut runner = Runner::new().unwrap();
    let (mut stream, mut peer) = runner.run(async {
        let listener = tulipa::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        // It waits once, so that it is registered.
        let waited = tulipa::timeout(Duration::from_millis(1), stream.read(&mut [0])).await;
        assert!(waited.is_err());
        (stream, peer)
    });
    let mut inherited = Some(&mut stream);
    // SAFETY: as in `in_child`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        inherited.take();
        drop(stream);
        drop(runner);
        // SAFETY: as in `in_child`.
        unsafe { libc::_exit(0) };
    }
    let mut status = 1;
    // SAFETY: as in `in_child`.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    let reader = runner.run(async {
        let reader = tulipa::spawn(async move {
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.unwrap();
            bytes
        });
        tulipa::yield_now().await;
        peer.write_all(b"ping").unwrap();
        reader.await.unwrap()
    });
    assert_eq!(&reader, b"ping");
}
