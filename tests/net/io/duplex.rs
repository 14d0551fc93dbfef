//! `duplex`, `split`, `join`: streams of other streams, and of none.

use std::io;

use tulipa::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, duplex, join, split};

use super::support::{pattern, polled, turns};

#[test]
fn what_one_writes_the_other_reads_in_order_within_the_capacity() {
    tulipa::run(async {
        let bytes = pattern(100_000);
        for capacity in [1, 7, 1000, 1_000_000] {
            let (mut here, mut there) = duplex(capacity);
            let sent = bytes.clone();
            let writing = tulipa::spawn(async move {
                here.write_all(&sent).await.unwrap();
                here // Not dropped before all is read.
            });
            let mut received = vec![0; bytes.len()];
            there.read_exact(&mut received).await.unwrap();
            assert!(received == bytes, "capacity {capacity}");
            drop(writing.await);
            assert_eq!(there.read(&mut [0; 1]).await.unwrap(), 0);
        }
    });
}

#[test]
fn a_full_direction_waits_and_the_other_does_not() {
    tulipa::run(async {
        let (mut here, mut there) = duplex(3);
        assert_eq!(here.write(b"abcdef").await.unwrap(), 3);
        assert!(polled(here.write(b"d"), 3).await.is_none());
        there.write_all(b"xyz").await.unwrap();
        let mut buf = [0; 2];
        there.read_exact(&mut buf).await.unwrap();
        assert_eq!(here.write(b"def").await.unwrap(), 2);
        assert_eq!(here.write(b"").await.unwrap(), 0);
        assert_eq!(there.read(&mut []).await.unwrap(), 0);
        here.flush().await.unwrap();
    });
}

#[test]
fn dropping_one_end_ends_both_directions() {
    tulipa::run(async {
        let (mut here, mut there) = duplex(10);
        here.write_all(b"last").await.unwrap();
        drop(here);
        let mut all = Vec::new();
        there.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"last");
        let error = there.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn dropping_one_end_wakes_who_reads_and_who_writes() {
    tulipa::run(async {
        let (here, there) = duplex(1);
        let (mut read, mut write) = split(here);
        write.write_all(b"x").await.unwrap();
        let reading = tulipa::spawn(async move { read.read(&mut [0; 1]).await });
        let writing = tulipa::spawn(async move { write.write(b"y").await });
        turns(2).await;
        assert!(!reading.is_finished() && !writing.is_finished());
        drop(there);
        assert_eq!(reading.await.unwrap().unwrap(), 0);
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_half_close_leaves_the_other_direction() {
    tulipa::run(async {
        let (mut here, mut there) = duplex(10);
        here.close().await.unwrap();
        assert_eq!(there.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(
            here.write(b"x").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        there.write_all(b"on").await.unwrap();
        let mut buf = [0; 2];
        here.read_exact(&mut buf).await.unwrap();
    });
}

#[test]
fn a_broken_pair_fails_on_both_sides() {
    tulipa::run(async {
        let (mut here, mut there) = duplex(10);
        here.write_all(b"lost").await.unwrap();
        here.fail(io::ErrorKind::ConnectionAborted);
        let kind = |result: io::Result<usize>| result.unwrap_err().kind();
        let mut buf = [0; 1];
        assert_eq!(
            kind(there.read(&mut buf).await),
            io::ErrorKind::ConnectionAborted
        );
        assert_eq!(
            kind(there.write(b"x").await),
            io::ErrorKind::ConnectionAborted
        );
        assert_eq!(kind(here.read(&mut buf).await), io::ErrorKind::BrokenPipe);
        assert_eq!(kind(here.write(b"x").await), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn dropped_reads_and_writes_lose_nothing() {
    tulipa::run(async {
        let (mut here, mut there) = duplex(4);
        let mut buf = [0; 8];
        assert!(polled(there.read(&mut buf), 3).await.is_none());
        here.write_all(b"abcd").await.unwrap();
        assert!(polled(here.write(b"never"), 3).await.is_none());
        assert_eq!(there.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"abcd");
        assert!(polled(there.read(&mut buf), 3).await.is_none());
    });
}

#[test]
fn a_stream_that_is_always_ready_leaves_turns_to_others() {
    tulipa::run(async {
        let (mut here, mut there) = duplex(1 << 20);
        let other = tulipa::spawn(async { turns(3).await });
        here.write_all(&vec![0; 1 << 20]).await.unwrap();
        let mut count = 0;
        while !other.is_finished() {
            count += there.read(&mut [0; 1]).await.unwrap();
        }
        assert!(count < 1000, "{count}");
    });
}

#[test]
#[should_panic = "a stream without capacity takes no bytes"]
fn no_capacity_is_refused() {
    let _ = duplex(0);
}

#[test]
fn halves_work_in_two_tasks_and_make_one_stream_again() {
    tulipa::run(async {
        let (here, mut there) = duplex(100);
        let (read, mut write) = split(here);
        let mut lines = BufReader::new(read);
        let reading = tulipa::spawn(async move {
            let mut line = String::new();
            lines.read_line(&mut line).await.unwrap();
            (line, lines.into_inner())
        });
        turns(2).await;
        write.write_all(b"ping\n").await.unwrap();
        let mut buf = [0; 5];
        there.read_exact(&mut buf).await.unwrap();
        there.write_all(b"pong\n").await.unwrap();
        let (line, read) = reading.await.unwrap();
        assert_eq!(line, "pong\n");

        let (_, stranger) = split(duplex(1).0);
        assert!(!read.is_pair_of(&stranger));
        let unrelated = read.reunite(stranger).unwrap_err();
        assert!(unrelated.read.is_pair_of(&write));
        let mut whole = unrelated.read.reunite(write).unwrap();
        whole.write_all(b"whole").await.unwrap();
        there.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"whole");
    });
}

#[test]
fn the_stream_lives_as_long_as_one_half() {
    tulipa::run(async {
        let (here, mut there) = duplex(100);
        let (read, mut write) = split(here);
        drop(read);
        write.write_all(b"x").await.unwrap();
        drop(write);
        let mut all = Vec::new();
        there.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"x");
        // Closing the writing half ends the direction.
        let (here, mut there) = duplex(100);
        let (_read, mut write) = split(here);
        write.close().await.unwrap();
        assert_eq!(there.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

#[test]
fn one_stream_of_two() {
    tulipa::run(async {
        let (here, mut there) = duplex(100);
        let mut both = join(BufReader::new(&b"line\nrest"[..]), here);
        let mut line = String::new();
        both.read_line(&mut line).await.unwrap();
        both.write_all(line.as_bytes()).await.unwrap();
        both.flush().await.unwrap();
        both.close().await.unwrap();
        let mut all = String::new();
        there.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "line\n");
        let (reader, _) = both.into_parts();
        assert_eq!(reader.buffer(), b"rest");
    });
}
