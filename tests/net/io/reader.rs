//! `StreamReader`: what it yields, what it keeps, what its limit does.

use std::io;

use tulipa::io::{IncompleteRead, LimitOverrun, ReadError, StreamReader, StreamWriter, duplex};

use super::support::{Script, Step, polled};

fn incomplete(partial: &[u8], expected: Option<usize>) -> IncompleteRead {
    IncompleteRead {
        partial: partial.to_vec(),
        expected,
    }
}

#[track_caller]
fn assert_incomplete<T: std::fmt::Debug>(
    result: Result<T, ReadError>,
    partial: &[u8],
    expected: Option<usize>,
) {
    match result {
        Err(ReadError::Incomplete(error)) => {
            assert_eq!(error.partial, partial);
            assert_eq!(error, incomplete(partial, expected));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_overrun<T: std::fmt::Debug>(
    result: Result<T, ReadError>,
    consumed: usize,
    is_found: bool,
) -> LimitOverrun {
    match result {
        Err(ReadError::LimitOverrun(error)) => {
            assert_eq!((error.consumed, error.is_found), (consumed, is_found));
            error
        }
        other => panic!("{other:?}"),
    }
}

// limit

#[test]
#[should_panic = "the limit of a reader must be at least 1"]
fn a_limit_of_zero_is_refused() {
    let _ = StreamReader::with_limit(0, &b""[..]);
}

#[test]
fn the_default_limit_is_64_kib() {
    assert_eq!(StreamReader::new(&b""[..]).limit(), 64 * 1024);
}

#[test]
fn the_buffer_stays_within_twice_the_limit() {
    tulipa::run(async {
        let script = Script::new([Step::Bytes(vec![b'x'; 10_000])]);
        let mut reader = StreamReader::with_limit(100, script.clone());
        let error = assert_overrun(reader.read_until(b"\n").await, 200, false);
        assert_eq!(error.limit, 100);
        assert!(reader.buffered().len() <= 200, "{reader:?}");
        // Nothing is read before it is asked for.
        let mut reader = StreamReader::new(script.clone());
        let before = script.reads.get();
        let mut buf = [0; 1];
        reader.read(&mut buf).await.unwrap();
        assert_eq!(script.reads.get(), before + 1);
    });
}

// read(n)

#[test]
fn reading_nothing_is_done_at_once() {
    tulipa::run(async {
        let script = Script::new([Step::Wait]);
        let mut reader = StreamReader::new(script.clone());
        assert_eq!(reader.read(&mut []).await.unwrap(), 0);
        assert_eq!(script.reads.get(), 0);
    });
}

#[test]
fn a_read_yields_what_is_there_and_nothing_at_the_end_only() {
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::pieces(&["abc", "d"]));
        let mut buf = [0; 2];
        assert_eq!(reader.read(&mut buf).await.unwrap(), 2);
        assert_eq!(&buf, b"ab");
        assert_eq!(reader.read(&mut buf).await.unwrap(), 1);
        assert_eq!(reader.read(&mut buf).await.unwrap(), 1);
        for _ in 0..2 {
            assert_eq!(reader.read(&mut buf).await.unwrap(), 0);
        }
    });
}

#[test]
fn a_large_read_goes_past_the_buffer_and_a_small_one_before_it_is_not_lost() {
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::pieces(&["abc", "defg"]));
        let mut small = [0; 1];
        let mut large = vec![0; 100_000];
        assert_eq!(reader.read(&mut small).await.unwrap(), 1);
        assert_eq!(reader.read(&mut large).await.unwrap(), 2);
        assert_eq!(&large[..2], b"bc");
        assert_eq!(reader.read(&mut large).await.unwrap(), 4);
        assert_eq!(&large[..4], b"defg");
        assert_eq!(reader.read(&mut large).await.unwrap(), 0);
        assert!(reader.at_eof());
    });
}

#[test]
fn reading_to_the_end_takes_more_than_the_limit() {
    tulipa::run(async {
        let (here, there) = duplex(1000);
        let writer = StreamWriter::new(there);
        let bytes = super::support::pattern(300_000);
        writer.write(&bytes);
        drop(writer);
        let mut reader = StreamReader::with_limit(10, here);
        let mut out = b"before".to_vec();
        assert_eq!(reader.read_to_end(&mut out).await.unwrap(), 300_000);
        assert!(out.starts_with(b"before") && out[6..] == bytes[..]);
        assert_eq!(reader.read_to_end(&mut out).await.unwrap(), 0);
    });
}

#[test]
fn reading_to_the_end_begins_with_what_is_buffered_and_keeps_it_when_it_fails() {
    tulipa::run(async {
        let script = Script::pieces(&["one\ntwo", "three"]);
        script.push(Step::Fail(io::ErrorKind::ConnectionReset));
        let mut reader = StreamReader::new(script);
        assert_eq!(reader.read_line().await.unwrap(), b"one\n");
        let mut out = Vec::new();
        let error = reader.read_to_end(&mut out).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(out, b"twothree");
    });
}

// readexactly(n)

#[test]
fn an_exact_read_may_exceed_the_limit() {
    tulipa::run(async {
        let mut reader = StreamReader::with_limit(4, Script::trickle(&[7; 100]));
        let mut buf = [0; 100];
        reader.read_exact(&mut buf).await.unwrap();
        assert_eq!(buf, [7; 100]);
        reader.read_exact(&mut []).await.unwrap();
    });
}

#[test]
fn an_early_end_yields_the_part_and_empties_the_buffer() {
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::trickle(b"abc"));
        let mut buf = [b'-'; 5];
        assert_incomplete(reader.read_exact(&mut buf).await, b"abc", Some(5));
        assert_eq!(&buf, b"-----");
        assert!(reader.at_eof() && reader.buffered().is_empty());
        assert_incomplete(reader.read_exact(&mut buf).await, b"", Some(5));
        let error = io::Error::from(reader.read_exact(&mut buf).await.unwrap_err());
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(error.to_string(), "the stream ended after 0 of 5 bytes");
        let inner = error.get_ref().unwrap().downcast_ref::<IncompleteRead>();
        assert_eq!(inner.unwrap(), &incomplete(b"", Some(5)));
    });
}

// readuntil

#[test]
fn the_separator_that_ends_first_wins_longer_or_not() {
    let cases: [(&str, &[&str], &str); 7] = [
        // test_readuntil_multi_separator of CPython.
        (
            "some message with a ??? and a !",
            &["?", "!"],
            "some message with a ?",
        ),
        (
            "some data to be read*!",
            &["*!", "*"],
            "some data to be read*",
        ),
        ("AAAA", &["AAA", "A"], "A"),
        ("xAbc..", &["bc", "Abc"], "xAbc"),
        ("abcdef", &["cdef", "de"], "abcde"),
        ("abcdef", &["de", "bcd"], "abcd"),
        ("one\r\ntwo", &["\n", "\r\n"], "one\r\n"),
    ];
    tulipa::run(async {
        for (data, separators, expected) in cases {
            let reversed: Vec<&str> = separators.iter().rev().copied().collect();
            for separators in [separators, &reversed] {
                // All at once. Byte by byte nothing is known of what comes.
                let mut reader = StreamReader::new(data.as_bytes());
                let found = reader.read_until_any(separators).await.unwrap();
                assert_eq!(String::from_utf8(found).unwrap(), expected);
                let mut reader = StreamReader::new(Script::trickle(data.as_bytes()));
                let found = reader.read_until_any(separators).await.unwrap();
                assert_eq!(String::from_utf8(found).unwrap(), expected, "trickled");
            }
        }
    });
}

#[test]
fn of_separators_that_end_together_the_shortest_counts_for_the_limit() {
    tulipa::run(async {
        // Before `\r\n` there are four bytes, before `\n` five.
        let mut reader = StreamReader::with_limit(4, &b"abcd\r\n"[..]);
        assert_overrun(reader.read_until_any(&["\r\n", "\n"]).await, 5, true);
        assert_eq!(reader.read_until(b"\r\n").await.unwrap(), b"abcd\r\n");
    });
}

#[test]
#[should_panic = "a separator is empty"]
fn an_empty_separator_is_refused() {
    tulipa::run(async {
        let _ = StreamReader::new(&b"x"[..]).read_until(b"").await;
    });
}

#[test]
#[should_panic = "there is no separator"]
fn no_separators_are_refused() {
    tulipa::run(async {
        let none: [&str; 0] = [];
        let _ = StreamReader::new(&b"x"[..]).read_until_any(&none).await;
    });
}

#[test]
fn an_end_before_the_separator_yields_the_part_and_empties_the_buffer() {
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::pieces(&["some ", "dataA", "A"]));
        assert_incomplete(reader.read_until(b"AAA").await, b"some dataAA", None);
        assert!(reader.at_eof());
        assert_incomplete(reader.read_until(b"AAA").await, b"", None);
    });
}

#[test]
fn without_a_separator_within_the_limit_everything_stays() {
    tulipa::run(async {
        let mut reader = StreamReader::with_limit(3, Script::pieces(&["some dataAA"]));
        let consumed = match reader.read_until(b"AAA").await {
            Err(ReadError::LimitOverrun(error)) => {
                assert!(!error.is_found);
                error.consumed
            }
            other => panic!("{other:?}"),
        };
        assert!(consumed > 3);
        assert!(b"some dataAA".starts_with(reader.buffered()));
        assert!(consumed <= reader.buffered().len());
        // The same again, and the stream goes on.
        assert!(matches!(
            reader.read_until(b"AAA").await,
            Err(ReadError::LimitOverrun(_))
        ));
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"some dataAA");
    });
}

#[test]
fn a_separator_beyond_the_limit_is_found_and_everything_stays() {
    tulipa::run(async {
        // test_readuntil_limit_found_sep of CPython.
        let mut reader = StreamReader::with_limit(3, Script::pieces(&["some dataAA", "A"]));
        reader.set_limit(100);
        assert_incomplete(
            StreamReader::new(&b"some dataAA"[..])
                .read_until(b"AAA")
                .await,
            b"some dataAA",
            None,
        );
        let line = reader.read_until(b"AAA").await.unwrap();
        assert_eq!(line, b"some dataAAA");

        let mut reader = StreamReader::with_limit(100, Script::pieces(&["some dataAAA"]));
        reader.peek().await.unwrap();
        reader.set_limit(3);
        let error = assert_overrun(reader.read_until(b"AAA").await, 9, true);
        assert_eq!(
            error.to_string(),
            "the separator comes after 9 bytes, the limit is 3"
        );
        assert_eq!(reader.buffered(), b"some dataAAA");
        let mut skipped = [0; 9];
        reader.read_exact(&mut skipped).await.unwrap();
        assert_eq!(reader.read_until(b"AAA").await.unwrap(), b"AAA");
    });
}

#[test]
fn exactly_the_limit_passes() {
    tulipa::run(async {
        for length in 1..=9 {
            let data = [&vec![b'x'; length][..], b"--"].concat();
            for script in [
                Script::trickle(&data),
                Script::new([Step::Bytes(data.clone())]),
            ] {
                let mut reader = StreamReader::with_limit(5, script);
                let result = reader.read_until(b"--").await;
                assert_eq!(result.is_ok(), length <= 5, "{length}: {result:?}");
            }
        }
    });
}

#[test]
fn a_separator_that_is_split_over_chunks_is_found() {
    tulipa::run(async {
        for cut in 1..9 {
            let data = "data----more";
            let script = Script::pieces(&[&data[..cut], &data[cut..]]);
            let mut reader = StreamReader::new(script);
            assert_eq!(reader.read_until(b"----").await.unwrap(), b"data----");
            assert_eq!(reader.read_until(b"re").await.unwrap(), b"more");
        }
    });
}

#[test]
fn bytes_that_come_with_the_end_still_match() {
    tulipa::run(async {
        let mut reader = StreamReader::new(&b"some dataAAA"[..]);
        // All is buffered, and the end is known.
        let mut all = [0; 12];
        reader.read_exact(&mut all).await.unwrap();
        let mut reader = StreamReader::new(&b"some dataAAA"[..]);
        reader.peek().await.unwrap();
        assert_eq!(reader.read_until(b"AAA").await.unwrap(), b"some dataAAA");
    });
}

// readline

#[test]
fn a_line_ends_with_its_newline_or_the_stream() {
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::pieces(&["chunk1 ", "chunk2\nch", "unk3"]));
        assert_eq!(reader.read_line().await.unwrap(), b"chunk1 chunk2\n");
        assert_eq!(reader.read_line().await.unwrap(), b"chunk3");
        assert!(reader.at_eof());
        assert_eq!(reader.read_line().await.unwrap(), b"");
    });
}

#[test]
fn a_line_of_exactly_the_limit_passes() {
    tulipa::run(async {
        let mut reader = StreamReader::with_limit(3, Script::trickle(b"abc\nabcd\n"));
        assert_eq!(reader.read_line().await.unwrap(), b"abc\n");
        assert!(reader.read_line().await.is_err());
    });
}

#[test]
fn a_line_over_the_limit_is_removed_when_its_end_is_there() {
    tulipa::run(async {
        let mut reader = StreamReader::new(&b"line1\nline2\n"[..]);
        reader.peek().await.unwrap();
        reader.set_limit(3);
        let error = assert_overrun(reader.read_line().await, 6, true);
        assert_eq!(reader.buffered(), b"line2\n");
        let error = io::Error::from(ReadError::LimitOverrun(error));
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        reader.set_limit(100);
        assert_eq!(reader.read_line().await.unwrap(), b"line2\n");
    });
}

#[test]
fn a_line_over_the_limit_whose_end_is_not_there_clears_the_buffer() {
    tulipa::run(async {
        // test_readline_limit_with_existing_data of CPython.
        let script = Script::pieces(&["li", "ne1", "\nline2\n"]);
        let mut reader = StreamReader::with_limit(3, script);
        assert_overrun(reader.read_line().await, 5, false);
        assert!(reader.buffered().is_empty());
        assert_eq!(reader.read_line().await.unwrap(), b"\n");
    });
}

#[test]
fn lines_come_without_their_ends_and_go_on_after_one_that_is_too_long() {
    tulipa::run(async {
        let mut reader = StreamReader::new(&b"one\r\ntoo long\n\nlast"[..]);
        reader.peek().await.unwrap();
        reader.set_limit(5);
        let mut lines = reader.lines();
        assert_eq!(lines.next().await.unwrap().unwrap(), b"one");
        assert!(lines.next().await.unwrap().is_err());
        assert_eq!(lines.next().await.unwrap().unwrap(), b"");
        assert_eq!(lines.next().await.unwrap().unwrap(), b"last");
        assert!(lines.next().await.is_none());
        assert!(lines.next().await.is_none());
    });
}

#[test]
fn lines_are_a_stream() {
    use futures_lite::StreamExt;
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::trickle(b"a\nb\n"));
        let lines: Vec<_> = StreamExt::map(reader.lines(), Result::unwrap)
            .collect()
            .await;
        assert_eq!(lines, [b"a", b"b"]);
    });
}

// at_eof, exception

#[test]
fn the_end_needs_an_end_and_an_empty_buffer() {
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::pieces(&["a\nb"]));
        assert!(!reader.at_eof());
        reader.read_line().await.unwrap();
        assert!(!reader.at_eof());
        let mut buf = [0; 1];
        reader.read(&mut buf).await.unwrap();
        assert!(!reader.at_eof(), "the end has not been met");
        reader.read(&mut buf).await.unwrap();
        assert!(reader.at_eof());
    });
}

#[test]
fn buffered_bytes_survive_the_end_and_a_failure() {
    tulipa::run(async {
        let script = Script::pieces(&["abc"]);
        script.push(Step::Fail(io::ErrorKind::TimedOut));
        script.push(Step::Bytes(b"de\n".to_vec()));
        let mut reader = StreamReader::new(script);
        match reader.read_line().await {
            Err(ReadError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.buffered(), b"abc");
        // A stream that recovers goes on.
        assert_eq!(reader.read_line().await.unwrap(), b"abcde\n");
    });
}

#[test]
fn a_failure_wakes_the_reader_and_wins_over_what_was_on_its_way() {
    tulipa::run(async {
        let (here, mut there) = duplex(100);
        let mut reader = StreamReader::new(here);
        let reading = tulipa::spawn(async move {
            let result = reader.read_line().await;
            (result, reader)
        });
        super::support::turns(2).await;
        futures_lite::AsyncWriteExt::write_all(&mut there, b"lost")
            .await
            .unwrap();
        there.fail(io::ErrorKind::ConnectionReset);
        let (result, mut reader) = reading.await.unwrap();
        assert!(
            matches!(result, Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset)
        );
        assert!(reader.read_line().await.is_err());
        // Harmless when the one who waited is gone.
        let (here, mut there) = duplex(100);
        let mut reader = StreamReader::new(here);
        assert!(polled(reader.read_line(), 2).await.is_none());
        there.fail(io::ErrorKind::ConnectionReset);
        assert!(reader.read_line().await.is_err());
    });
}

// Cancel safety

#[test]
fn reads_that_are_dropped_wherever_they_wait_lose_nothing() {
    let data = b"line one\nline two;more: exactly9rest\nand the rest";
    tulipa::run(async {
        for polls in 1..8 {
            let mut reader = StreamReader::with_limit(16, Script::trickle(data));
            let mut out: Vec<u8> = Vec::new();
            macro_rules! insist {
                ($future:expr) => {
                    loop {
                        if let Some(value) = polled($future, polls).await {
                            break value;
                        }
                    }
                };
            }
            out.extend(insist!(reader.read_line()).unwrap());
            out.extend(insist!(reader.read_until_any(&[";", "--"])).unwrap());
            out.extend(insist!(reader.read_until(b": ")).unwrap());
            let mut exactly = [0; 9];
            insist!(reader.read_exact(&mut exactly)).unwrap();
            out.extend(exactly);
            let mut lines = reader.lines();
            out.extend(insist!(lines.next()).unwrap().unwrap());
            out.push(b'\n');
            let mut one = [0; 3];
            let count = insist!(reader.read(&mut one)).unwrap();
            out.extend(&one[..count]);
            insist!(reader.read_to_end(&mut out)).unwrap();
            assert_eq!(out, data, "{polls} polls each");
            assert!(reader.at_eof());
        }
    });
}

#[test]
fn peeking_takes_nothing_dropped_or_not() {
    tulipa::run(async {
        let mut reader = StreamReader::new(Script::trickle(b"ab"));
        assert!(polled(reader.peek(), 1).await.is_none());
        assert_eq!(reader.peek().await.unwrap(), b"a");
        assert_eq!(reader.peek().await.unwrap(), b"a");
        assert_eq!(reader.read_line().await.unwrap(), b"ab");
        assert_eq!(reader.peek().await.unwrap(), b"");
    });
}

#[test]
fn the_stream_is_given_back_with_what_was_read_ahead() {
    tulipa::run(async {
        let mut reader = StreamReader::new(&b"one\ntwo"[..]);
        assert_eq!(reader.get_ref().len(), 7);
        reader.read_line().await.unwrap();
        let (stream, ahead) = reader.into_parts();
        assert_eq!((stream, &ahead[..]), (&b""[..], &b"two"[..]));
    });
}

#[test]
fn a_megabyte_byte_by_byte_through_every_way_of_reading() {
    tulipa::run(async {
        // Long lines in small pieces: no place is searched twice, or this would take minutes.
        let line = [&vec![b'x'; 1 << 20][..], b"\n"].concat();
        let script = Script::new(line.chunks(7).map(|piece| Step::Bytes(piece.to_vec())));
        let mut reader = StreamReader::with_limit(2 << 20, script);
        assert_eq!(reader.read_line().await.unwrap().len(), (1 << 20) + 1);
    });
}

/// TC20.
#[test]
fn cancelled_reads_lose_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    tulipa::run(async move {
        let mut bytes = super::support::pattern(2_000_000);
        bytes.iter_mut().step_by(61).for_each(|byte| *byte = b'\n');
        let (mut near, far) = super::support::tcp_pair().await;
        let sent = bytes.clone();
        let mut pauses = fastrand::Rng::with_seed(seed + 1);
        let sending = tulipa::spawn(async move {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(pauses.usize(1..=rest.len().min(5000)));
                near.write_all(piece).await.unwrap();
                rest = after;
                if pauses.u8(..4) == 0 {
                    super::support::turns(pauses.u32(..4)).await;
                }
            }
        });
        let mut reader = StreamReader::with_limit(1000, far);
        let mut received = Vec::new();
        while !reader.at_eof() {
            let polls = random.usize(1..3);
            match random.u8(..5) {
                0 => {
                    let mut buf = vec![0; random.usize(1..20_000)];
                    if let Some(count) = polled(reader.read(&mut buf), polls).await {
                        received.extend_from_slice(&buf[..count.unwrap()]);
                    }
                }
                1 => match polled(reader.read_line(), polls).await {
                    Some(line) => received.extend(line.unwrap()),
                    None => continue,
                },
                2 => match polled(reader.read_until_any(&["\n", "\0\n"]), polls).await {
                    Some(Ok(line)) => received.extend(line),
                    Some(Err(ReadError::Incomplete(end))) => received.extend(end.partial),
                    Some(Err(error)) => panic!("{error}"),
                    None => continue,
                },
                3 => {
                    let mut buf = vec![0; random.usize(1..3000)];
                    match polled(reader.read_exact(&mut buf), polls).await {
                        Some(Ok(())) => received.extend(buf),
                        Some(Err(ReadError::Incomplete(end))) => received.extend(end.partial),
                        Some(Err(error)) => panic!("{error}"),
                        None => continue,
                    }
                }
                _ => {
                    let mut lines = reader.lines();
                    if let Some(Some(line)) = polled(lines.next(), polls).await {
                        let line = line.unwrap();
                        received.extend_from_slice(&line);
                        // Its end is not in it: it is what was sent there.
                        if received.len() < bytes.len() && bytes[received.len()] == b'\r' {
                            received.push(b'\r');
                        }
                        if received.len() < bytes.len() {
                            received.push(b'\n');
                        }
                    }
                }
            }
        }
        sending.await.unwrap();
        assert_eq!(received.len(), bytes.len());
        assert!(received == bytes);
    });
}
