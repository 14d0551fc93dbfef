//! `StreamWriter`: buffering, water marks, ends, failures, and what becomes of bytes that were not sent.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tulipa::io::{
    AsyncReadExt, AsyncWriteExt, DuplexStream, StreamReader, StreamWriter, WaterMarks, copy,
    duplex, open_connection,
};
use tulipa::net::TcpListener;
use tulipa::runtime::{ExceptionKind, Runner};

use super::support::{Slow, pattern, polled, tcp_pair, turns};

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().unwrap().kind()
}

// write, writelines

#[test]
fn writes_of_one_turn_go_in_one_piece_without_being_awaited() {
    tulipa::run(async {
        let slow = Slow::with_room(usize::MAX);
        let writer = StreamWriter::new(slow.clone());
        writer.write(b"a");
        writer.write(b"");
        writer.write_lines(["b", "c"]);
        assert_eq!(writer.buffered(), 3);
        turns(2).await;
        assert_eq!(slow.taken.borrow()[..], *b"abc");
        assert_eq!(slow.calls.take(), ["write 3", "flush"]);
        assert_eq!(writer.buffered(), 0);
        turns(2).await;
        assert!(slow.calls.take().is_empty());
    });
}

#[test]
fn a_program_that_never_drains_gets_its_answer() {
    tulipa::run(async {
        let (client, server) = tcp_pair().await;
        let serving = tulipa::spawn(async move {
            let (read, write) = server.into_split();
            let (mut reader, writer) = (StreamReader::new(read), StreamWriter::new(write));
            let mut all = vec![0; 3_000_000];
            reader.read_exact(&mut all).await.unwrap();
            writer.write(&all);
        });
        let (read, write) = client.into_split();
        let (mut reader, writer) = (StreamReader::new(read), StreamWriter::new(write));
        let bytes = pattern(3_000_000);
        writer.write(&bytes);
        let mut answer = vec![0; bytes.len()];
        reader.read_exact(&mut answer).await.unwrap();
        assert!(answer == bytes);
        serving.await.unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"");
    });
}

#[test]
fn bytes_after_the_end_are_dropped_and_draining_says_so() {
    tulipa::run(async {
        for end in [StreamWriter::write_eof, StreamWriter::close] {
            let slow = Slow::with_room(usize::MAX);
            let writer = StreamWriter::new(slow.clone());
            writer.write(b"a");
            end(&writer);
            writer.write(b"b");
            assert_eq!(kind(writer.drain().await), io::ErrorKind::BrokenPipe);
            turns(2).await;
            assert_eq!(slow.taken.borrow()[..], *b"a");
        }
    });
}

#[test]
fn outside_of_a_loop_bytes_wait_for_one() {
    let slow = Slow::with_room(usize::MAX);
    let writer = StreamWriter::new(slow.clone());
    writer.write(b"early");
    tulipa::run(async {
        turns(2).await;
        assert!(slow.taken.borrow().is_empty());
        writer.flush().await.unwrap();
        assert_eq!(slow.taken.borrow()[..], *b"early");
    });
}

// drain and the water marks

#[test]
fn draining_waits_only_above_high_and_until_low() {
    tulipa::run(async {
        let slow = Slow::with_room(0);
        let writer = Rc::new(StreamWriter::new(slow.clone()));
        writer.set_water_marks(WaterMarks::new(100, 40));
        writer.write(&[0; 100]);
        turns(2).await;
        writer.drain().await.unwrap(); // Not strictly above.
        writer.write(&[0]);
        let drained = tulipa::spawn({
            let writer = Rc::clone(&writer);
            async move { writer.drain().await }
        });
        turns(3).await;
        assert!(!drained.is_finished());
        slow.give(60); // 41 are left.
        turns(3).await;
        assert_eq!((writer.buffered(), drained.is_finished()), (41, false));
        slow.give(1);
        turns(3).await;
        assert_eq!((writer.buffered(), drained.is_finished()), (40, true));
        drained.await.unwrap().unwrap();
    });
}

#[test]
fn the_default_marks_are_64_and_16_kib() {
    tulipa::run(async {
        let writer = StreamWriter::new(Slow::default());
        assert_eq!(writer.water_marks(), WaterMarks::new(65536, 16384));
        writer.write(&[0; 65536]);
        assert!(polled(writer.drain(), 1).await.is_some());
        writer.write(&[0]);
        assert!(polled(writer.drain(), 3).await.is_none());
        // New marks hold for what is there.
        writer.set_water_marks(WaterMarks::from_low(65537));
        assert!(polled(writer.drain(), 1).await.is_some());
        writer.set_water_marks(WaterMarks::from_high(0));
        assert!(polled(writer.drain(), 3).await.is_none());
        assert_eq!(WaterMarks::from_high(0).low(), 0);
        writer.abort();
    });
}

#[test]
#[should_panic = "the low water mark is above the high one"]
fn a_low_mark_above_the_high_one_is_refused() {
    let _ = WaterMarks::new(1, 2);
}

#[test]
fn all_who_drain_are_woken() {
    tulipa::run(async {
        let slow = Slow::with_room(0);
        let writer = Rc::new(StreamWriter::new(slow.clone()));
        writer.write(&[0; 100_000]);
        let drainers: Vec<_> = (0..10)
            .map(|_| {
                let writer = Rc::clone(&writer);
                tulipa::spawn(async move { writer.drain().await })
            })
            .collect();
        turns(2).await;
        slow.give(usize::MAX);
        for drainer in drainers {
            drainer.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_drain_that_is_dropped_leaves_the_others_and_the_bytes() {
    tulipa::run(async {
        for polls in 1..4 {
            let slow = Slow::with_room(0);
            let writer = Rc::new(StreamWriter::new(slow.clone()));
            writer.write(&[1; 100_000]);
            assert!(polled(writer.drain(), polls).await.is_none());
            assert!(polled(writer.flush(), polls).await.is_none());
            assert!(polled(writer.wait_closed(), polls).await.is_none());
            slow.give(usize::MAX);
            turns(3).await;
            assert_eq!(slow.taken.borrow().len(), 100_000);
        }
    });
}

#[test]
fn a_loop_of_write_and_drain_notices_a_dead_peer() {
    tulipa::run(async {
        let (client, server) = tcp_pair().await;
        drop(server);
        let (_read, write) = client.into_split();
        let writer = StreamWriter::new(write);
        let error = loop {
            writer.write(b"hello");
            if let Err(error) = writer.drain().await {
                break error;
            }
            tulipa::sleep(Duration::from_millis(1)).await;
        };
        let expected = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(expected.contains(&error.kind()), "{error}");
        // It is kept.
        assert_eq!(kind(writer.drain().await), error.kind());
        assert_eq!(kind(writer.flush().await), error.kind());
        writer.close();
        assert_eq!(kind(writer.wait_closed().await), error.kind());
    });
}

#[test]
fn draining_a_closed_writer_fails() {
    tulipa::run(async {
        let writer = StreamWriter::new(Slow::with_room(usize::MAX));
        writer.close();
        assert!(writer.is_closing());
        assert_eq!(kind(writer.drain().await), io::ErrorKind::BrokenPipe);
        writer.wait_closed().await.unwrap();
    });
}

#[test]
fn a_failure_drops_the_buffer_and_wakes_all() {
    tulipa::run(async {
        let slow = Slow::with_room(10);
        let writer = Rc::new(StreamWriter::new(slow.clone()));
        writer.write(&[0; 100_000]);
        let waiting = [
            tulipa::spawn({
                let writer = Rc::clone(&writer);
                async move { writer.drain().await }
            }),
            tulipa::spawn({
                let writer = Rc::clone(&writer);
                async move { writer.flush().await }
            }),
            tulipa::spawn({
                let writer = Rc::clone(&writer);
                async move { writer.wait_closed().await }
            }),
        ];
        turns(2).await;
        slow.fail(io::ErrorKind::StorageFull);
        for waiting in waiting {
            assert_eq!(kind(waiting.await.unwrap()), io::ErrorKind::StorageFull);
        }
        assert_eq!(writer.buffered(), 0);
        writer.write(b"ignored");
        assert_eq!(writer.buffered(), 0);
        drop(slow);
    });
}

#[test]
fn a_failure_of_the_flush_is_one_too() {
    tulipa::run(async {
        let slow = Slow::with_room(usize::MAX);
        let writer = StreamWriter::new(slow.clone());
        writer.write(b"a");
        turns(1).await;
        slow.failure.set(Some(io::ErrorKind::Other));
        writer.write(b"b");
        assert_eq!(kind(writer.flush().await), io::ErrorKind::Other);
    });
}

#[test]
fn flushing_waits_until_the_stream_has_everything() {
    tulipa::run(async {
        let slow = Slow::with_room(3);
        let writer = StreamWriter::new(slow.clone());
        writer.flush().await.unwrap();
        writer.write(b"abcd");
        assert!(polled(writer.flush(), 5).await.is_none());
        writer.drain().await.unwrap(); // A different thing.
        slow.give(1);
        writer.flush().await.unwrap();
        assert_eq!(slow.taken.borrow()[..], *b"abcd");
    });
}

// write_eof, close, wait_closed, abort, drop

#[test]
fn a_half_close_comes_after_the_bytes_and_reading_goes_on() {
    tulipa::run(async {
        let (client, server) = tcp_pair().await;
        let (read, write) = client.into_split();
        let (mut reader, writer) = (StreamReader::new(read), StreamWriter::new(write));
        let bytes = pattern(1_000_000);
        writer.write(&bytes);
        writer.write_eof();
        writer.write_eof(); // Idempotent.
        let (read, write) = server.into_split();
        let (mut from_client, to_client) = (StreamReader::new(read), StreamWriter::new(write));
        let mut received = Vec::new();
        from_client.read_to_end(&mut received).await.unwrap();
        assert!(received == bytes);
        turns(3).await;
        to_client.write(b"an answer still\n");
        assert_eq!(reader.read_line().await.unwrap(), b"an answer still\n");
        writer.drain().await.unwrap();
        assert!(!writer.is_closing());
    });
}

#[test]
fn an_end_is_told_once_and_after_a_flush() {
    tulipa::run(async {
        let slow = Slow::with_room(usize::MAX);
        let writer = StreamWriter::new(slow.clone());
        writer.write(b"a");
        writer.write_eof();
        turns(3).await;
        writer.close();
        writer.close();
        writer.wait_closed().await.unwrap();
        writer.wait_closed().await.unwrap();
        assert_eq!(slow.calls.take(), ["write 1", "flush", "close"]);
        assert_eq!(slow.drops.get(), 1);
        assert!(writer.with_stream(|_| ()).is_none());
        assert_eq!(kind(writer.into_inner().await), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn closing_flushes_in_the_background_and_the_peer_reads_all_then_the_end() {
    tulipa::run(async {
        let (client, mut server) = tcp_pair().await;
        let (read, write) = client.into_split();
        let writer = StreamWriter::new(write);
        let bytes = pattern(5_000_000);
        writer.write(&bytes);
        writer.close();
        drop(read);
        let mut received = Vec::new();
        AsyncReadExt::read_to_end(&mut server, &mut received)
            .await
            .unwrap();
        assert!(received == bytes);
        writer.wait_closed().await.unwrap();
    });
}

#[test]
fn unread_input_does_not_hold_closing_up() {
    tulipa::run(async {
        let (client, mut server) = tcp_pair().await;
        server.write_all(b"never read").await.unwrap();
        let (_read, write) = client.into_split();
        let writer = StreamWriter::new(write);
        writer.write(b"bye");
        writer.close();
        writer.wait_closed().await.unwrap();
        let mut buf = [0; 10];
        assert_eq!(server.read(&mut buf).await.unwrap(), 3);
        assert_eq!(server.read(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn waiting_for_the_end_waits_for_who_closes() {
    tulipa::run(async {
        let writer = Rc::new(StreamWriter::new(Slow::with_room(usize::MAX)));
        let waiting = tulipa::spawn({
            let writer = Rc::clone(&writer);
            async move { writer.wait_closed().await }
        });
        turns(3).await;
        assert!(!waiting.is_finished());
        writer.close();
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn a_peer_that_does_not_read_holds_closing_up_and_abort_does_not_wait() {
    tulipa::run(async {
        let slow = Slow::with_room(1);
        let writer = Rc::new(StreamWriter::new(slow.clone()));
        writer.write(b"abc");
        writer.close();
        assert!(polled(writer.wait_closed(), 5).await.is_none());
        let waiting = tulipa::spawn({
            let writer = Rc::clone(&writer);
            async move { writer.wait_closed().await }
        });
        turns(2).await;
        writer.abort();
        assert_eq!(slow.drops.get(), 1);
        waiting.await.unwrap().unwrap();
        assert_eq!(kind(writer.flush().await), io::ErrorKind::BrokenPipe);
        writer.abort();
        assert_eq!(slow.taken.borrow()[..], *b"a");
    });
}

#[test]
fn a_dropped_writer_sends_what_it_has_and_closes() {
    tulipa::run(async {
        let slow = Slow::with_room(2);
        let writer = StreamWriter::new(slow.clone());
        writer.write(b"abcd");
        turns(1).await;
        drop(writer);
        turns(3).await;
        assert_eq!(slow.drops.get(), 0);
        slow.give(usize::MAX);
        turns(3).await;
        assert_eq!(slow.taken.borrow()[..], *b"abcd");
        assert_eq!(slow.drops.get(), 1);
        assert_eq!(slow.calls.take().last().unwrap(), "close");
    });
}

#[test]
fn when_the_loop_ends_what_the_stream_takes_at_once_is_sent() {
    let slow = Slow::with_room(1000);
    let stuck = Slow::with_room(3);
    tulipa::run(async {
        let writer = StreamWriter::new(slow.clone());
        writer.write(b"goodbye"); // The sending task has not run yet.
        drop(writer);
        let writer = StreamWriter::new(stuck.clone());
        writer.write(b"goodbye");
        turns(2).await;
        drop(writer);
    });
    assert_eq!(slow.taken.borrow()[..], *b"goodbye");
    assert_eq!(stuck.taken.borrow()[..], *b"goo");
    assert_eq!((slow.drops.get(), stuck.drops.get()), (1, 1));
}

/// Runs a future in a loop and closes it; what the exception handler heard of lost bytes.
fn heard_of_lost_bytes(is_debug: bool, future: impl Future<Output = ()>) -> Vec<String> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let list = Rc::clone(&heard);
    let runner = Runner::builder()
        .debug(is_debug)
        .exception_handler(move |context| {
            if context.kind == ExceptionKind::BytesLost {
                list.borrow_mut().push(context.to_string());
            }
        })
        .build()
        .unwrap();
    runner.run_and_close(future);
    heard.take()
}

// §11: dropped without close, ResourceWarning
#[test]
fn bytes_that_the_end_of_the_loop_cuts_off_are_told_once() {
    let heard = heard_of_lost_bytes(false, async {
        // One that nobody holds any more, one whose task has not ended, and one that was closed.
        let stuck = StreamWriter::new(Slow::with_room(3));
        stuck.write(b"goodbye");
        drop(stuck);
        drop(tulipa::spawn(async {
            let stuck = StreamWriter::new(Slow::with_room(2));
            stuck.write(b"goodbye");
            std::future::pending::<()>().await;
            drop(stuck);
        }));
        let closed = StreamWriter::new(Slow::with_room(1));
        closed.write(b"goodbye");
        closed.close();
        turns(3).await;
        drop(closed);
    });
    assert_eq!(heard.len(), 3, "{heard:?}");
    for count in ["4 bytes", "5 bytes", "6 bytes"] {
        let times = heard.iter().filter(|it| it.contains(count)).count();
        assert_eq!(times, 1, "{heard:?}");
    }
    assert!(
        heard
            .iter()
            .all(|it| it.contains("no loop sends them any more"))
    );
}

#[test]
fn bytes_that_are_sent_or_thrown_away_on_purpose_are_no_news() {
    for is_debug in [false, true] {
        let heard = heard_of_lost_bytes(is_debug, async {
            let sent = StreamWriter::new(Slow::with_room(100));
            sent.write(b"goodbye");
            drop(sent);
            let aborted = StreamWriter::new(Slow::with_room(3));
            aborted.write(b"goodbye");
            turns(2).await;
            aborted.abort();
            drop(aborted);
            // Somebody heard of it.
            let slow = Slow::with_room(3);
            let failed = StreamWriter::new(slow.clone());
            failed.write(b"goodbye");
            slow.fail(io::ErrorKind::BrokenPipe);
            assert_eq!(kind(failed.flush().await), io::ErrorKind::BrokenPipe);
            drop(failed);
        });
        assert!(heard.is_empty(), "{heard:?}");
    }
}

#[test]
fn a_failure_that_nobody_asks_for_is_told_in_debug_mode() {
    for is_debug in [false, true] {
        let heard = heard_of_lost_bytes(is_debug, async {
            let slow = Slow::with_room(3);
            let writer = StreamWriter::new(slow.clone());
            writer.write(b"goodbye");
            turns(2).await;
            drop(writer);
            slow.fail(io::ErrorKind::ConnectionReset);
            turns(3).await;
        });
        match is_debug {
            false => assert!(heard.is_empty(), "{heard:?}"),
            true => {
                assert_eq!(heard.len(), 1, "{heard:?}");
                assert!(heard[0].contains("4 bytes of a StreamWriter"), "{heard:?}");
                assert!(heard[0].contains("reset"), "{heard:?}");
            }
        }
    }
}

#[test]
fn a_clean_up_at_the_end_of_the_loop_may_still_write_and_wait() {
    let slow = Slow::with_room(5);
    tulipa::run(async {
        let slow = slow.clone();
        drop(tulipa::spawn(async move {
            let writer = StreamWriter::new(slow.clone());
            writer.write(b"0123456789");
            let goodbye = async {
                writer.write(b"bye");
                writer.close();
                tulipa::join!(
                    async {
                        tulipa::sleep(Duration::from_millis(5)).await;
                        slow.give(100);
                    },
                    async { writer.wait_closed().await.unwrap() }
                );
            };
            tulipa::finally(std::future::pending::<()>(), goodbye).await;
        }));
        turns(3).await;
    });
    assert_eq!(slow.taken.borrow()[..], *b"0123456789bye");
}

#[test]
fn a_stream_that_panics_is_reported_and_nobody_hangs() {
    struct Bomb;
    impl tulipa::io::AsyncWrite for Bomb {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            panic!("boom")
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            unreachable!()
        }
        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            unreachable!()
        }
    }
    let heard = Rc::new(std::cell::Cell::new(0));
    let count = Rc::clone(&heard);
    let mut runner = tulipa::runtime::Runner::builder()
        .exception_handler(move |_| count.set(count.get() + 1))
        .build()
        .unwrap();
    runner.run(async {
        let writer = StreamWriter::new(Bomb);
        writer.write(b"x");
        let error = writer.flush().await.unwrap_err();
        assert_eq!(error.to_string(), "the stream panicked");
        turns(2).await;
    });
    assert_eq!(heard.get(), 1);
}

#[test]
fn the_stream_is_given_back_when_everything_is_sent() {
    tulipa::run(async {
        let slow = Slow::with_room(2);
        let writer = StreamWriter::new(slow.clone());
        writer.write(b"abcd");
        let taking = tulipa::spawn(writer.into_inner());
        turns(2).await;
        slow.give(2);
        let back = taking.await.unwrap().unwrap();
        turns(2).await;
        assert_eq!(
            (&slow.taken.borrow()[..], slow.drops.get()),
            (&b"abcd"[..], 0)
        );
        drop(back);
        // Dropped half-way the bytes still go.
        let slow = Slow::with_room(0);
        let writer = StreamWriter::new(slow.clone());
        writer.write(b"abcd");
        assert!(polled(writer.into_inner(), 3).await.is_none());
        slow.give(4);
        turns(3).await;
        assert_eq!(slow.taken.borrow()[..], *b"abcd");
        assert_eq!(slow.drops.get(), 1);
    });
}

// The ecosystem's traits

#[test]
fn as_a_writer_it_waits_for_room_and_takes_everything() {
    tulipa::run(async {
        let (here, there) = duplex(10);
        let mut writer = StreamWriter::new(there);
        writer.set_water_marks(WaterMarks::new(100, 10));
        let bytes = pattern(10_000);
        let receiving = tulipa::spawn(async move {
            let mut all = Vec::new();
            StreamReader::new(here)
                .read_to_end(&mut all)
                .await
                .map(|_| all)
        });
        assert_eq!(copy(&mut &bytes[..], &mut writer).await.unwrap(), 10_000);
        assert_eq!(writer.buffered(), 0, "copy flushes");
        let mut shared = &writer;
        shared.write_all(b"end").await.unwrap();
        AsyncWriteExt::close(&mut writer).await.unwrap();
        assert_eq!(
            receiving.await.unwrap().unwrap(),
            [&bytes[..], b"end"].concat()
        );
    });
}

// open_connection

#[test]
fn a_connection_is_a_reader_and_a_writer() {
    tulipa::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tulipa::spawn(async move {
            let (read, write) = listener.accept().await.unwrap().0.into_split();
            let mut reader = StreamReader::new(read);
            let writer = StreamWriter::new(write);
            while let Some(line) = reader.lines().next().await {
                writer.write_lines([&line.unwrap()[..], b"!\n"]);
                writer.drain().await.unwrap();
            }
            writer.close();
            writer.wait_closed().await
        });
        let (mut reader, writer) = open_connection(addr).await.unwrap();
        assert_eq!(writer.peer_addr().unwrap(), addr);
        assert_eq!(reader.limit(), 64 * 1024);
        assert_eq!(reader.get_ref().peer_addr().unwrap(), addr);
        for line in ["one\n", "two\n"] {
            writer.write(line.as_bytes());
            writer.drain().await.unwrap();
        }
        assert_eq!(reader.read_line().await.unwrap(), b"one!\n");
        assert_eq!(reader.read_line().await.unwrap(), b"two!\n");
        writer.close();
        writer.wait_closed().await.unwrap();
        assert_eq!(kind(writer.peer_addr()), io::ErrorKind::NotConnected);
        assert_eq!(reader.read_line().await.unwrap(), b"");
        assert!(reader.at_eof());
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_connection_that_is_not_accepted_is_an_error_and_a_dropped_one_closes() {
    tulipa::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        for polls in 1..3 {
            // Ready or not, what it had opened is closed.
            drop(polled(open_connection(addr), polls).await);
            let (mut accepted, _) = listener.accept().await.unwrap();
            assert_eq!(accepted.read(&mut [0; 1]).await.unwrap_or(0), 0);
        }
        drop(listener);
        assert_eq!(
            kind(open_connection(addr).await),
            io::ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn a_dump_says_what_is_waited_for() {
    tulipa::run(async {
        let writer: StreamWriter<DuplexStream> = StreamWriter::new(duplex(1).0);
        let waiting = tulipa::spawn(async move { writer.wait_closed().await });
        turns(2).await;
        let dump = tulipa::task::dump().to_string();
        assert!(dump.contains("StreamWriter"), "{dump}");
        waiting.abort();
    });
}
