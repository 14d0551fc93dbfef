//! `copy` and `copy_bidirectional`, in memory and between sockets.

use std::io;
use std::time::Duration;

use tulipa::io::{AsyncReadExt, AsyncWriteExt, StreamWriter, copy, copy_bidirectional, duplex};
use tulipa::net::TcpStream;

use super::support::{Duplex, Script, Slow, Step, pattern, polled, tcp_pair, turns};

#[test]
fn a_copy_goes_on_to_the_end_and_counts() {
    tulipa::run(async {
        let bytes = pattern(1_000_000);
        let script = Script::new(
            bytes
                .chunks(1009)
                .flat_map(|piece| [Step::Wait, Step::Bytes(piece.to_vec())]),
        );
        let mut out = Vec::new();
        let count = copy(&mut script.clone(), &mut out).await.unwrap();
        assert_eq!(count, 1_000_000);
        assert!(out == bytes);
        assert_eq!(copy(&mut script.clone(), &mut out).await.unwrap(), 0);
    });
}

#[test]
fn a_copy_to_a_slow_writer_loses_nothing_and_flushes_before_it_waits() {
    tulipa::run(async {
        let mut script = Script::pieces(&["abc", "", "defghi"]);
        // An empty piece is the end.
        let mut slow = Slow::with_room(2);
        let giver = slow.clone();
        let giving = tulipa::spawn(async move {
            for _ in 0..10 {
                turns(2).await;
                giver.give(1);
            }
        });
        assert_eq!(copy(&mut script, &mut slow).await.unwrap(), 3);
        assert_eq!(copy(&mut script, &mut slow).await.unwrap(), 6);
        assert_eq!(slow.taken.borrow()[..], *b"abcdefghi");
        let calls = slow.calls.take();
        let flush = calls.iter().position(|it| it == "flush").unwrap();
        assert!(flush < calls.len() - 1, "{calls:?}");
        assert_eq!(calls.last().unwrap(), "flush");
        giving.abort();
    });
}

#[test]
fn failures_of_either_side_end_a_copy() {
    tulipa::run(async {
        let mut script = Script::pieces(&["abc"]);
        script.push(Step::Fail(io::ErrorKind::ConnectionReset));
        let mut out = Vec::new();
        let error = copy(&mut script, &mut out).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(out, b"abc");

        let mut slow = Slow::with_room(usize::MAX);
        slow.failure.set(Some(io::ErrorKind::StorageFull));
        let error = copy(&mut &b"abc"[..], &mut slow).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);

        let mut space = [0; 2];
        let mut full = futures_lite::io::Cursor::new(&mut space[..]);
        let error = copy(&mut &b"abc"[..], &mut full).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    });
}

#[test]
fn a_copy_dropped_while_it_waits_for_the_reader_has_lost_nothing() {
    tulipa::run(async {
        let (mut here, mut there) = duplex(100);
        let mut out = Vec::new();
        here.write_all(b"abc").await.unwrap();
        for polls in 1..4 {
            assert!(polled(copy(&mut there, &mut out), polls).await.is_none());
        }
        here.write_all(b"def").await.unwrap();
        drop(here);
        copy(&mut there, &mut out).await.unwrap();
        assert_eq!(out, b"abcdef");

        // While it waits for the writer it holds what it has read.
        let mut slow = Slow::with_room(2);
        let (mut here, mut there) = duplex(100);
        here.write_all(b"abc").await.unwrap();
        assert!(polled(copy(&mut there, &mut slow), 2).await.is_none());
        slow.give(100);
        drop(here);
        assert_eq!(copy(&mut there, &mut slow).await.unwrap(), 0);
        assert_eq!(slow.taken.borrow()[..], *b"ab");
    });
}

/// Clients on both sides of a copy: what they send, and what they receive.
async fn through<S>(a: S, b: S, there: usize, back: usize)
where
    S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin + 'static,
{
    async fn talk<S>(stream: S, send: Vec<u8>) -> Vec<u8>
    where
        S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin + 'static,
    {
        let (mut read, mut write) = tulipa::io::split(stream);
        let sending = tulipa::spawn(async move {
            write.write_all(&send).await.unwrap();
            write.close().await.unwrap();
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        sending.await.unwrap();
        received
    }
    let (first, second) = (pattern(there), pattern(back + 1)[1..].to_vec());
    let talk_a = tulipa::spawn(talk(a, first.clone()));
    let talk_b = tulipa::spawn(talk(b, second.clone()));
    assert!(talk_b.await.unwrap() == first);
    assert!(talk_a.await.unwrap() == second);
}

#[test]
fn both_directions_between_sockets_are_exact() {
    tulipa::run(async {
        for (there, back) in [
            (0, 0),
            (1, 0),
            (0, 100_000),
            (5_000_000, 5_000_000),
            (64 * 1024, 8_000_000),
        ] {
            let (a, mut near_a) = tcp_pair().await;
            let (b, mut near_b) = tcp_pair().await;
            let copying =
                tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
            through(a, b, there, back).await;
            let counts = copying.await.unwrap().unwrap();
            assert_eq!(counts, (there as u64, back as u64));
        }
    });
}

#[test]
fn both_directions_in_memory_are_exact() {
    tulipa::run(async {
        for (there, back) in [(0, 0), (1, 20_000), (50_000, 60_000)] {
            let (a, mut near_a) = duplex(1000);
            let (b, mut near_b) = duplex(77);
            let copying =
                tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
            through(a, b, there, back).await;
            let counts = copying.await.unwrap().unwrap();
            assert_eq!(counts, (there as u64, back as u64));
        }
    });
}

#[test]
fn a_socket_and_a_pair_in_memory() {
    tulipa::run(async {
        let (mut a, mut near_a) = tcp_pair().await;
        let (mut b, mut near_b) = duplex(77);
        let copying =
            tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
        a.write_all(b"there").await.unwrap();
        let mut buf = [0; 5];
        b.read_exact(&mut buf).await.unwrap();
        b.write_all(b"back").await.unwrap();
        a.read_exact(&mut buf[..4]).await.unwrap();
        drop((a, b));
        assert_eq!(copying.await.unwrap().unwrap(), (5, 4));
    });
}

#[test]
fn a_half_close_is_passed_on_and_the_answer_comes_back() {
    tulipa::run(async {
        let (mut a, mut near_a) = tcp_pair().await;
        let (mut b, mut near_b) = tcp_pair().await;
        let copying =
            tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
        a.write_all(b"request").await.unwrap();
        a.shutdown(std::net::Shutdown::Write).unwrap();
        let mut request = Vec::new();
        b.read_to_end(&mut request).await.unwrap();
        assert_eq!(request, b"request");
        turns(20).await;
        let answer = pattern(1 << 20);
        b.write_all(&answer).await.unwrap();
        drop(b);
        let mut received = Vec::new();
        a.read_to_end(&mut received).await.unwrap();
        assert!(received == answer);
        assert_eq!(copying.await.unwrap().unwrap(), (7, 1 << 20));
    });
}

fn reset(stream: TcpStream) {
    let stream = stream.into_std().unwrap();
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn the_error_of_the_side_that_fails_is_the_one_reported() {
    tulipa::run(async {
        for a_fails in [true, false] {
            let (a, mut near_a) = tcp_pair().await;
            let (b, mut near_b) = tcp_pair().await;
            let copying =
                tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
            turns(3).await;
            let (failing, mut other) = if a_fails { (a, b) } else { (b, a) };
            reset(failing);
            let error = copying.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
            // Both were closed.
            let end = other.read(&mut [0; 1]).await;
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        }
    });
}

#[test]
fn bulk_to_a_peer_that_stalls_is_exact() {
    tulipa::run(async { bulk_to_a_peer_that_stalls(tcp_pair().await, tcp_pair().await).await });
}

/// Copies between two connections of the same kind, one of whose far ends now and then does not read.
pub(super) async fn bulk_to_a_peer_that_stalls<S: Duplex>(a: (S, S), b: (S, S)) {
    let ((mut a, mut near_a), (mut b, mut near_b)) = (a, b);
    let copying = tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
    let bytes = pattern(30_000_000);
    let sent = bytes.clone();
    let sending = tulipa::spawn(async move {
        a.write_all(&sent).await.unwrap();
        a
    });
    let mut received = Vec::new();
    let mut buf = vec![0; 300_000];
    while received.len() < bytes.len() {
        // Now and then everything in between is full.
        if received.len() % 7 == 0 {
            turns(20).await;
        }
        let count = b.read(&mut buf).await.unwrap();
        assert_ne!(count, 0);
        received.extend_from_slice(&buf[..count]);
    }
    assert!(received == bytes);
    drop(sending.await.unwrap());
    drop(b);
    assert_eq!(copying.await.unwrap().unwrap(), (30_000_000, 0));
}

/// A splice never passes a mark of urgent data: it says that there is nothing, or, once the peer has ended, that this is
/// the end. A read passes it. The byte itself is left out, as for every reader.
#[cfg(target_os = "linux")]
#[test]
fn bulk_goes_on_behind_urgent_data() {
    for (before, after) in [(8_000_000, 10_000), (8_000_000, 8_000_000), (0, 100_000)] {
        tulipa::run(async {
            let (a, mut near_a) = tcp_pair().await;
            let (b, mut near_b) = tcp_pair().await;
            let copying =
                tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
            let bytes = pattern(before + after);
            let sent = bytes.clone();
            let mut a = a;
            let sending = tulipa::spawn(async move {
                a.write_all(&sent[..before]).await.unwrap();
                let socket = socket2::SockRef::from(&a);
                while let Err(error) = socket.send_out_of_band(b"!") {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    turns(1).await;
                }
                a.write_all(&sent[before..]).await.unwrap();
                a.close().await.unwrap();
                a
            });
            let mut received = Vec::new();
            let mut b = b;
            b.read_to_end(&mut received).await.unwrap();
            assert!(received == bytes, "{} of {}", received.len(), bytes.len());
            drop((sending.await.unwrap(), b));
            let total = (before + after) as u64;
            assert_eq!(copying.await.unwrap().unwrap(), (total, 0));
        });
    }
}

#[test]
fn a_copy_that_waits_for_both_readers_loses_nothing_when_it_is_dropped() {
    tulipa::run(async {
        let (mut a, mut near_a) = tcp_pair().await;
        let (mut b, mut near_b) = tcp_pair().await;
        let mut buf = [0; 5];
        for polls in 1..5 {
            assert!(
                polled(copy_bidirectional(&mut near_a, &mut near_b), polls)
                    .await
                    .is_none()
            );
            a.write_all(b"there").await.unwrap();
            b.write_all(b"back!").await.unwrap();
            let (x, y) = {
                let mut there = [0; 5];
                let both = async {
                    b.read_exact(&mut there).await.unwrap();
                    a.read_exact(&mut buf).await.unwrap();
                };
                let copying = async {
                    let _ = copy_bidirectional(&mut near_a, &mut near_b).await;
                };
                futures_lite::future::or(both, copying).await;
                (there, buf)
            };
            assert_eq!((&x, &y), (b"there", b"back!"));
        }
    });
}

/// Bytes of a copy that was dropped in the middle of bulk must never come out of another one.
#[test]
fn a_copy_dropped_in_the_middle_of_bulk_leaks_nothing_into_the_next() {
    tulipa::run(async {
        for _ in 0..20 {
            let (mut a, mut near_a) = tcp_pair().await;
            let (b, mut near_b) = tcp_pair().await;
            let flooding = tulipa::spawn(async move {
                let junk = vec![b'j'; 1 << 20];
                while a.write_all(&junk).await.is_ok() {}
            });
            let copying =
                tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
            // The receiver does not read: pipes and buffers are full.
            turns(50).await;
            copying.abort();
            let _ = copying.await;
            drop(b);
            flooding.await.unwrap();
        }
        let (a, mut near_a) = tcp_pair().await;
        let (b, mut near_b) = tcp_pair().await;
        let copying =
            tulipa::spawn(async move { copy_bidirectional(&mut near_a, &mut near_b).await });
        through(a, b, 3_000_000, 3_000_000).await;
        copying.await.unwrap().unwrap();
    });
}

#[test]
fn a_copy_into_a_stream_writer() {
    tulipa::run(async {
        let (near, mut far) = duplex(10);
        let mut writer = StreamWriter::new(near);
        let copying = tulipa::spawn(async move {
            let count = copy(&mut &pattern(50_000)[..], &mut writer).await;
            writer.close();
            writer.wait_closed().await.unwrap();
            count
        });
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert!(all == pattern(50_000));
        assert_eq!(copying.await.unwrap().unwrap(), 50_000);
    });
}
