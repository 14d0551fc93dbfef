//! Bytes that the kernel moves between sockets, files and pipes: Unix sockets, and mixtures. What concerns TCP alone is
//! beside the functions, in `copy` and `send_file`.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::Shutdown;
use std::time::Duration;

use tulipa::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, send_file};
use tulipa::net::pipe::pipe;
use tulipa::net::{Connection, Server, TcpStream, UnixListener, UnixStream};

use super::copy;
use super::send_file::peer_that_goes_away_midway;
use super::support::{Duplex, pattern, polled, tcp_pair, turns};
use crate::temp_dir::TempDir;

fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// Sends `bytes`, ends the direction, and returns what comes.
async fn talk(stream: impl Duplex, bytes: Vec<u8>) -> Vec<u8> {
    let (mut read, mut write) = tulipa::io::split(stream);
    let sending = tulipa::spawn(async move {
        write.write_all(&bytes).await.unwrap();
        write.close().await.unwrap();
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    sending.await.unwrap();
    received
}

/// Copies between two connections, whose far ends talk to each other through them.
async fn through<A: Duplex, B: Duplex>(a: (A, A), b: (B, B), there: usize, back: usize) {
    let ((a, mut near_a), (b, mut near_b)) = (a, b);
    let copying = tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
    let (first, second) = (pattern(there), pattern(back + 1)[1..].to_vec());
    let talk_a = tulipa::spawn(talk(a, first.clone()));
    let talk_b = tulipa::spawn(talk(b, second.clone()));
    assert!(talk_b.await.unwrap() == first);
    assert!(talk_a.await.unwrap() == second);
    let counts = copying.await.unwrap().unwrap();
    assert_eq!(counts, (there as u64, back as u64));
}

#[test]
fn both_directions_between_sockets_of_all_kinds_are_exact() {
    tulipa::run(async {
        for (there, back) in [
            (0, 0),
            (1, 0),
            (0, 100_000),
            (5_000_000, 5_000_000),
            (64 * 1024, 8_000_000),
        ] {
            through(unix_pair(), unix_pair(), there, back).await;
            through(unix_pair(), tcp_pair().await, there, back).await;
            through(tcp_pair().await, unix_pair(), there, back).await;
        }
    });
}

/// A proxy in front of a service, over Unix sockets and TCP, with what its handlers get.
#[test]
fn connections_of_servers_are_copied_too() {
    tulipa::run(async {
        let dir = TempDir::new();
        let listener = UnixListener::bind(dir.join("service")).await.unwrap();
        let service = Server::on(listener).start(async |connection: Connection<UnixListener>| {
            let mut stream = connection.into_stream();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            all.reverse();
            stream.write_all(&all).await
        });
        let service = service.unwrap();
        let path = dir.join("service");
        let builder = Server::builder().bind("127.0.0.1:0").await.unwrap();
        let proxy = builder.start(async move |mut connection: Connection| {
            let mut behind = UnixStream::connect(&path).await?;
            let copied = copy_bidirectional(&mut connection, &mut behind).await?;
            assert_eq!(copied, (3_000_000, 3_000_000));
            io::Result::Ok(())
        });
        let proxy = proxy.unwrap();
        let stream = TcpStream::connect(proxy.local_addrs()[0]).await.unwrap();
        let mut expected = pattern(3_000_000);
        let answer = talk(stream, expected.clone()).await;
        expected.reverse();
        assert!(answer == expected);
        assert!(proxy.drain(Duration::from_secs(10)).await.is_graceful());
        assert!(service.drain(Duration::from_secs(10)).await.is_graceful());
    });
}

#[test]
fn a_half_close_is_passed_on_and_the_answer_comes_back() {
    tulipa::run(async {
        let (mut a, mut near_a) = unix_pair();
        let (mut b, mut near_b) = tcp_pair().await;
        let copying =
            tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
        a.write_all(b"request").await.unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        let mut request = Vec::new();
        b.read_to_end(&mut request).await.unwrap();
        assert_eq!(request, b"request");
        turns(3).await;
        assert!(!copying.is_finished());
        let answer = pattern(1 << 20);
        let sent = answer.clone();
        let answering = tulipa::spawn(async move { b.write_all(&sent).await });
        let mut received = Vec::new();
        a.read_to_end(&mut received).await.unwrap();
        assert!(received == answer);
        answering.await.unwrap().unwrap();
        assert_eq!(copying.await.unwrap().unwrap(), (7, 1 << 20));
    });
}

#[test]
fn bulk_to_a_peer_that_stalls_is_exact() {
    tulipa::run(copy::bulk_to_a_peer_that_stalls(unix_pair(), unix_pair()));
}

#[test]
fn a_peer_that_goes_away_in_the_middle_is_an_error() {
    tulipa::run(async {
        let (mut a, mut near_a) = unix_pair();
        let (mut b, mut near_b) = unix_pair();
        let copying =
            tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
        let flooding = tulipa::spawn(async move {
            let junk = vec![b'j'; 1 << 20];
            while a.write_all(&junk).await.is_ok() {}
        });
        b.read_exact(&mut [0; 100_000]).await.unwrap();
        drop(b);
        let kind = copying.await.unwrap().unwrap_err().kind();
        let expected = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(expected.contains(&kind), "{kind:?}");
        flooding.await.unwrap();
    });
}

#[test]
fn a_copy_that_waits_for_both_readers_loses_nothing_when_it_is_dropped() {
    tulipa::run(async {
        let (mut a, mut near_a) = unix_pair();
        let (mut b, mut near_b) = tcp_pair().await;
        for polls in 1..5 {
            let given_up = polled(copy_bidirectional(&mut near_a, &mut near_b), polls).await;
            assert!(given_up.is_none());
            a.write_all(b"there").await.unwrap();
            b.write_all(b"back!").await.unwrap();
            let (mut there, mut back) = ([0; 5], [0; 5]);
            let both = async {
                b.read_exact(&mut there).await.unwrap();
                a.read_exact(&mut back).await.unwrap();
            };
            let copying = async {
                let _ = copy_bidirectional(&mut near_a, &mut near_b).await;
            };
            futures_lite::future::or(both, copying).await;
            assert_eq!((&there, &back), (b"there", b"back!"));
        }
    });
}

/// Bytes of a copy that was dropped in the middle of bulk must never come out of another one.
#[test]
fn a_copy_dropped_in_the_middle_of_bulk_leaks_nothing_into_the_next() {
    tulipa::run(async {
        for polls in 1..20 {
            let (mut a, mut near_a) = unix_pair();
            let (b, mut near_b) = unix_pair();
            let flooding = tulipa::spawn(async move {
                let junk = vec![b'j'; 1 << 20];
                while a.write_all(&junk).await.is_ok() {}
            });
            // The receiver does not read: pipes and buffers are full.
            let given_up = polled(copy_bidirectional(&mut near_a, &mut near_b), polls).await;
            assert!(given_up.is_none());
            drop((b, near_a, near_b));
            flooding.await.unwrap();
        }
        through(unix_pair(), unix_pair(), 3_000_000, 3_000_000).await;
    });
}

// send_file

fn file(bytes: &[u8]) -> File {
    let dir = TempDir::new();
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(dir.join("file"))
        .unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn position(mut file: &File) -> u64 {
    file.stream_position().unwrap()
}

/// What system calls of this thread have written to files, pipes and by sendfile(2); send(2) does not count. `None`
/// where the system does not say.
fn written() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let line = counts.lines().find_map(|it| it.strip_prefix("wchar: "))?;
    line.parse().ok()
}

/// Sends a file in pieces, each dropped where it waits, and compares what arrives byte for byte.
async fn check<W, R>(mut near: W, mut far: R)
where
    W: futures_lite::AsyncWrite + Unpin + 'static,
    R: futures_lite::AsyncRead + Unpin,
{
    let bytes = pattern(5_000_000);
    let source = file(&bytes);
    let before = written();
    let mut all = Vec::new();
    let (mut next, mut given_up) = (0, 0);
    while next < bytes.len() as u64 {
        match polled(send_file(&mut near, &source, next..), 2).await {
            Some(sent) => assert_eq!(position(&source), next + sent.unwrap()),
            None => given_up += 1,
        }
        next = position(&source);
        let mut buf = vec![0; next as usize - all.len()];
        far.read_exact(&mut buf).await.unwrap();
        all.extend(buf);
    }
    assert!(given_up > 3, "{given_up}");
    if cfg!(target_os = "linux")
        && let (Some(before), Some(after)) = (before, written())
    {
        assert_eq!(after - before, 5_000_000, "all went by sendfile(2)");
    }
    assert_eq!(
        send_file(&mut near, &source, 17..4_000).await.unwrap(),
        3983
    );
    assert_eq!(position(&source), 4_000);
    drop(near);
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.unwrap();
    assert!(all == bytes);
    assert!(rest == bytes[17..4_000]);
}

#[test]
fn files_are_sent_to_unix_sockets_their_halves_and_pipes() {
    tulipa::run(async {
        let (near, far) = unix_pair();
        check(near, far).await;

        let (near, far) = unix_pair();
        let (_read, write) = near.into_split();
        check(write, far).await;

        let (sender, receiver) = pipe().unwrap();
        check(sender, receiver).await;
    });
}

#[test]
fn a_unix_peer_that_goes_away_midway_is_an_error_and_the_position_tells() {
    tulipa::run(peer_that_goes_away_midway(unix_pair()));
}
