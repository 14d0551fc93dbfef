//! `send_file`: what is sent, where the file's position is afterwards.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::ops::RangeBounds;

use tulipa::io::{AsyncReadExt, DuplexStream, duplex, send_file};
use tulipa::net::TcpStream;

use super::support::{Duplex, Slow, pattern, polled, tcp_pair, turns};

/// A file without a name.
fn file(bytes: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!(
        "tulipa-send-file-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    let _ = std::fs::remove_file(&path); // On Windows it stays, and is written again.
    file.write_all(bytes).unwrap();
    file
}

fn position(mut file: &File) -> u64 {
    file.stream_position().unwrap()
}

async fn received<S>(mut from: S) -> Vec<u8>
where
    S: futures_lite::AsyncRead + Unpin,
{
    let mut all = Vec::new();
    from.read_to_end(&mut all).await.unwrap();
    all
}

/// Sends a range over TCP, and in memory, and checks all there is to check.
async fn check(
    bytes: &[u8],
    range: impl RangeBounds<u64> + Clone + 'static,
    expected: &[u8],
    end: u64,
) {
    let (near, far): (TcpStream, TcpStream) = tcp_pair().await;
    let reading = tulipa::spawn(received(far));
    let source = file(bytes);
    let mut near = near;
    let sent = send_file(&mut near, &source, range.clone()).await.unwrap();
    drop(near);
    assert_eq!(sent, expected.len() as u64);
    assert_eq!(position(&source), end);
    assert!(reading.await.unwrap() == expected);

    let (near, far): (DuplexStream, DuplexStream) = duplex(10_000);
    let reading = tulipa::spawn(received(far));
    let mut near = near;
    let sent = send_file(&mut near, &source, range).await.unwrap();
    drop(near);
    assert_eq!((sent, position(&source)), (expected.len() as u64, end));
    assert!(reading.await.unwrap() == expected);
}

#[test]
fn ranges_are_exact_and_the_position_is_behind_them() {
    tulipa::run(async {
        let bytes = pattern(300_000);
        check(&bytes, .., &bytes, 300_000).await;
        check(&bytes, 10..20, &bytes[10..20], 20).await;
        check(&bytes, 10..=20, &bytes[10..=20], 21).await;
        check(&bytes, 299_990.., &bytes[299_990..], 300_000).await;
        check(&bytes, ..100_000, &bytes[..100_000], 100_000).await;
        // Beyond the end there is nothing.
        check(&bytes, 299_999..500_000, &bytes[299_999..], 300_000).await;
        check(&bytes, 400_000.., b"", 400_000).await;
        check(&bytes, 7..7, b"", 7).await;
        #[allow(clippy::reversed_empty_ranges, reason = "it may come from outside")]
        check(&bytes, 9..3, b"", 9).await;
    });
}

#[test]
fn an_empty_file_is_nothing() {
    tulipa::run(async {
        check(b"", .., b"", 0).await;
    });
}

#[test]
fn the_writing_half_of_a_socket_works_too() {
    tulipa::run(async {
        let (near, far) = tcp_pair().await;
        let (_read, mut write) = near.into_split();
        let reading = tulipa::spawn(received(far));
        let bytes = pattern(500_000);
        assert_eq!(
            send_file(&mut write, &file(&bytes), ..).await.unwrap(),
            500_000
        );
        drop(write);
        assert!(reading.await.unwrap() == bytes);
    });
}

#[test]
fn a_dropped_call_leaves_the_position_behind_what_was_sent() {
    tulipa::run(async {
        let bytes = pattern(20_000_000);
        let source = file(&bytes);
        let (mut near, mut far) = tcp_pair().await;
        let mut all = Vec::new();
        let mut next = 0;
        while next < bytes.len() as u64 {
            // Dropped wherever it waits, which is once the socket is full.
            if let Some(sent) = polled(send_file(&mut near, &source, next..), 2).await {
                next += sent.unwrap();
                assert_eq!(position(&source), next);
            }
            next = position(&source);
            let mut buf = vec![0; next as usize - all.len()];
            far.read_exact(&mut buf).await.unwrap();
            all.extend(buf);
        }
        assert!(all == bytes);

        // By the detour.
        let mut slow = Slow::with_room(0);
        let source = file(b"0123456789");
        for room in 1..=3 {
            slow.give(room);
            let at = position(&source) % 10;
            assert!(
                polled(send_file(&mut slow, &source, at..), 3)
                    .await
                    .is_none()
            );
            assert_eq!(position(&source), slow.taken.borrow().len() as u64);
        }
        assert_eq!(slow.taken.borrow()[..], *b"012345");
    });
}

#[test]
fn a_peer_that_goes_away_midway_is_an_error_and_the_position_tells() {
    tulipa::run(async { peer_that_goes_away_midway(tcp_pair().await).await });
}

pub(super) async fn peer_that_goes_away_midway<S: Duplex>((mut near, mut far): (S, S)) {
    let source = file(&pattern(30_000_000));
    let sending = tulipa::spawn(async move {
        let result = send_file(&mut near, &source, ..).await;
        (result, position(&source))
    });
    far.read_exact(&mut [0; 1000]).await.unwrap();
    drop(far);
    let (result, position) = sending.await.unwrap();
    let kind = result.unwrap_err().kind();
    let expected = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
    assert!(expected.contains(&kind), "{kind:?}");
    assert!((1000..30_000_000).contains(&position), "{position}");
}

#[test]
fn a_failure_of_the_stream_leaves_the_position_too() {
    tulipa::run(async {
        let mut slow = Slow::with_room(4);
        let source = file(b"0123456789");
        let failing = slow.clone();
        let sending = tulipa::spawn(async move {
            let result = send_file(&mut slow, &source, 2..).await;
            (result, position(&source))
        });
        turns(2).await;
        failing.fail(io::ErrorKind::TimedOut);
        let (result, position) = sending.await.unwrap();
        assert_eq!(
            (result.unwrap_err().kind(), position),
            (io::ErrorKind::TimedOut, 6)
        );
    });
}

#[test]
fn a_file_that_shrinks_midway_ends_there() {
    tulipa::run(async {
        let source = file(&pattern(10_000_000));
        let (mut near, mut far) = tcp_pair().await;
        let shrinking = source.try_clone().unwrap();
        let sending = tulipa::spawn(async move { send_file(&mut near, &source, ..).await });
        far.read_exact(&mut [0; 1000]).await.unwrap();
        shrinking.set_len(10_000).unwrap();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        let sent = sending.await.unwrap().unwrap();
        assert_eq!(sent, rest.len() as u64 + 1000);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_cannot_be_mapped_are_read() {
    tulipa::run(async {
        let (mut near, far) = tcp_pair().await;
        let reading = tulipa::spawn(received(far));
        let mut source = File::open("/proc/self/cmdline").unwrap();
        let expected = std::fs::read("/proc/self/cmdline").unwrap();
        source.seek(io::SeekFrom::Start(0)).unwrap();
        let sent = send_file(&mut near, &source, ..).await.unwrap();
        drop(near);
        assert_eq!(sent, expected.len() as u64);
        assert_eq!(reading.await.unwrap(), expected);
    });
}

#[cfg(unix)]
#[test]
fn what_may_hang_is_refused() {
    tulipa::run(async {
        let mut slow = Slow::with_room(10);
        for path in ["/dev/zero", "/dev/tty", "/tmp"] {
            let Ok(source) = File::open(path) else {
                continue; // Without a terminal.
            };
            let error = send_file(&mut slow, &source, ..).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    });
}
