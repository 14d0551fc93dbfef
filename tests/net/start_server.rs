//! `start_server` and its kin: what becomes of connections whose callbacks get a reader and a writer.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tulipa::io::{
    AsyncReadExt, DEFAULT_LIMIT, ReadError, StreamReader, StreamWriter, WaterMarks,
    open_connection, start_server,
};
use tulipa::net::{OwnedReadHalf, OwnedWriteHalf, Server, TcpStream};
use tulipa::runtime::{ExceptionKind, Runner};
use tulipa::{finally, sleep, timeout};

const ANY: &str = "127.0.0.1:0";

type Reader = StreamReader<OwnedReadHalf>;
type Writer = StreamWriter<OwnedWriteHalf>;

/// Runs a future, and returns what the exception handler heard.
fn listening<F: Future>(future: F) -> (F::Output, Vec<(ExceptionKind, String)>) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let list = Rc::clone(&heard);
    let runner = Runner::builder()
        .exception_handler(move |context| {
            list.borrow_mut().push((context.kind, context.to_string()));
        })
        .build()
        .unwrap();
    let output = runner.run_and_close(future);
    (output, heard.take())
}

fn addr_of(server: &Server) -> SocketAddr {
    server.local_addrs()[0]
}

async fn client(server: &Server) -> TcpStream {
    TcpStream::connect(addr_of(server)).await.unwrap()
}

async fn until(mut condition: impl FnMut() -> bool) {
    timeout(Duration::from_secs(10), async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it happens in time");
}

/// All that comes until the end.
async fn received(mut from: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).await.unwrap();
    all
}

/// More than socket buffers on loopback take.
fn much() -> Vec<u8> {
    crate::io::support::pattern(16_000_000)
}

#[test]
fn a_callback_gets_a_reader_and_a_writer_with_the_defaults() {
    tulipa::run(async {
        let server = start_server(ANY, async |mut reader, writer| {
            assert_eq!(reader.limit(), DEFAULT_LIMIT);
            assert_eq!(writer.water_marks(), WaterMarks::default());
            while let line = reader.read_line().await?
                && !line.is_empty()
            {
                writer.write(&line);
                writer.drain().await?;
            }
            Ok::<_, ReadError>(())
        });
        let server = server.await.unwrap();
        for _ in 0..3 {
            let (mut reader, writer) = open_connection(addr_of(&server)).await.unwrap();
            for line in [&b"one\n"[..], b"two\n"] {
                writer.write(line);
                assert_eq!(reader.read_line().await.unwrap(), line);
            }
            writer.write_eof();
            assert_eq!(reader.read_line().await.unwrap(), b"");
        }
        assert_eq!(server.accepted(), 3);
        assert!(server.drain(Duration::from_secs(10)).await.is_graceful());

        let error = start_server("192.0.2.1:0", async |_: Reader, _: Writer| ()).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    });
}

#[cfg(unix)]
#[test]
fn the_same_over_unix_sockets_and_the_file_goes_with_the_server() {
    use tulipa::io::{open_unix_connection, start_unix_server};
    tulipa::run(async {
        let dir = crate::temp_dir::TempDir::new();
        let path = dir.join("echo");
        let server = start_unix_server(&path, async |mut reader, writer| {
            writer.write(&reader.read_line().await?);
            Ok::<_, ReadError>(())
        });
        let server = server.await.unwrap();
        assert_eq!(server.local_addrs()[0].as_pathname(), Some(&*path));
        let clients = (0..20).map(async |number| {
            let (mut reader, writer) = open_unix_connection(&path).await.unwrap();
            assert_eq!(reader.limit(), DEFAULT_LIMIT);
            assert_eq!(writer.water_marks(), WaterMarks::default());
            let line = format!("{number}\n");
            writer.write(line.as_bytes());
            assert_eq!(reader.read_line().await.unwrap(), line.as_bytes());
            assert_eq!(reader.read_line().await.unwrap(), b"");
        });
        for client in clients {
            client.await;
        }
        assert_eq!(server.accepted(), 20);
        assert!(server.drain(Duration::from_secs(10)).await.is_graceful());
        assert!(!path.exists());
        let error = open_unix_connection(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = start_unix_server(dir.join("a/b"), async |_, _| ()).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn what_a_callback_wrote_is_sent_after_it_has_returned_and_a_drain_waits_for_it() {
    tulipa::run(async {
        let server = start_server(ANY, async |_: Reader, writer: Writer| writer.write(&much()));
        let server = server.await.unwrap();
        let stream = client(&server).await;
        until(|| server.accepted() == 1).await;
        tulipa::yield_now().await;
        assert_eq!(server.connection_count(), 1);
        let reading = tulipa::spawn(received(stream));
        let report = server.drain(Duration::from_secs(60)).await;
        assert!(report.is_graceful(), "{report}");
        assert!(reading.await.unwrap() == much());
    });
}

// §11: "Unhandled exception in client_connected_cb"
#[test]
fn a_callback_that_fails_is_told_of_and_its_connection_closed() {
    let (peers, heard) = listening(async {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keeping = Rc::clone(&kept);
        let server = start_server(ANY, async move |mut reader: Reader, writer: Writer| {
            let line = reader.read_line().await.unwrap();
            writer.write(b"so far");
            match &line[..] {
                b"fail\n" => Err("no such order"),
                b"panic\n" => panic!("dismay"),
                // The callback may have put the writer elsewhere.
                b"keep\n" => {
                    keeping.borrow_mut().push(writer);
                    Err("kept")
                }
                _ => Ok(()),
            }
        });
        let server = server.await.unwrap();
        let mut peers = Vec::new();
        for order in ["fail\n", "panic\n", "keep\n", "well\n"] {
            let mut stream = client(&server).await;
            peers.push(stream.local_addr().unwrap());
            stream.write_all(order.as_bytes()).await.unwrap();
            assert_eq!(received(stream).await, b"so far", "{order}");
        }
        server.close();
        server.wait_closed().await;
        peers
    });
    let expected = [
        (ExceptionKind::Other, "no such order"),
        (ExceptionKind::TaskPanicked, "dismay"),
        (ExceptionKind::Other, "kept"),
    ];
    assert_eq!(heard.len(), expected.len(), "{heard:?}");
    for ((heard, (kind, text)), peer) in heard.iter().zip(expected).zip(peers) {
        assert_eq!(heard.0, kind);
        assert!(heard.1.contains(text), "{heard:?}");
        let name = format!("'connection from {peer}'");
        assert!(heard.1.contains(&name), "{heard:?}");
    }
}

#[test]
fn the_connection_of_a_callback_that_panics_is_the_servers_until_its_bytes_are_sent() {
    let (bytes, heard) = listening(async {
        let server = start_server(ANY, async |_: Reader, writer: Writer| {
            writer.write(&vec![b'x'; MUCH]);
            if writer.buffered() > 0 {
                panic!("dismay");
            }
        });
        let server = server.await.unwrap();
        let mut stream = client(&server).await;
        stream.read_exact(&mut [0; 1]).await.unwrap();
        // The peer reads no further: there is somebody to wait for.
        assert_eq!(server.connections().len(), 1);
        server.close();
        let waiting = tulipa::spawn(async move { server.drain(Duration::from_secs(60)).await });
        let bytes = received(stream).await;
        assert!(waiting.await.unwrap().is_graceful());
        bytes
    });
    assert_eq!(bytes.len(), MUCH - 1);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].0, ExceptionKind::TaskPanicked);
}

/// More than what the system takes from a writer whose peer does not read.
const MUCH: usize = 16 << 20;

#[test]
fn a_cancel_while_a_panics_bytes_are_sent_does_not_hide_the_panic() {
    let ((), heard) = listening(async {
        let server = start_server(ANY, async |_: Reader, writer: Writer| {
            writer.write(&vec![b'x'; MUCH]);
            if writer.buffered() > 0 {
                panic!("dismay");
            }
        });
        let server = server.await.unwrap();
        let mut stream = client(&server).await;
        stream.read_exact(&mut [0; 1]).await.unwrap();
        assert_eq!(server.close_clients(), 1);
        assert_eq!(received(stream).await.len(), MUCH - 1);
        server.close();
        server.wait_closed().await;
    });
    let kinds: Vec<_> = heard.iter().map(|heard| heard.0).collect();
    assert_eq!(kinds, [ExceptionKind::TaskPanicked], "{heard:?}");
}

/// The server waits for the end of the writer, and does not ask how it came: that is not having been told.
#[test]
fn in_debug_mode_bytes_that_a_failed_connection_lost_are_told() {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let list = Rc::clone(&heard);
    let runner = Runner::builder()
        .debug(true)
        .exception_handler(move |context| list.borrow_mut().push(context.kind))
        .build()
        .unwrap();
    runner.run_and_close(async {
        let server = start_server(ANY, async |_: Reader, writer: Writer| {
            writer.write(&vec![b'x'; MUCH]);
        });
        let server = server.await.unwrap();
        let mut stream = client(&server).await;
        stream.read_exact(&mut [0; 1]).await.unwrap();
        stream.abort();
        server.close();
        server.wait_closed().await;
    });
    assert_eq!(heard.take(), [ExceptionKind::BytesLost]);
}

#[test]
fn a_callback_that_is_cancelled_is_closed_silently_and_its_bytes_are_sent() {
    let ((), heard) = listening(async {
        let server = start_server(ANY, async |_: Reader, writer: Writer| {
            writer.write(b"before");
            finally(pending::<()>(), async { writer.write(b", after") }).await
        });
        let server = server.await.unwrap();
        let mut streams = [client(&server).await, client(&server).await];
        for stream in &mut streams {
            stream.read_exact(&mut [0; 6]).await.unwrap();
        }
        assert_eq!(server.close_clients(), 2);
        for stream in streams {
            assert_eq!(received(stream).await, b", after");
        }
        server.close();
        server.wait_closed().await;

        // In the middle of what a callback has left.
        let server = start_server(ANY, async |_: Reader, writer: Writer| writer.write(&much()));
        let server = server.await.unwrap();
        let stream = client(&server).await;
        until(|| server.connection_count() == 1).await;
        tulipa::yield_now().await;
        assert_eq!(server.close_clients(), 1);
        assert!(received(stream).await == much());
        server.close();
        server.wait_closed().await;
    });
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn a_callback_that_is_aborted_drops_what_was_not_sent() {
    let ((), heard) = listening(async {
        let server = start_server(ANY, async |_: Reader, writer: Writer| {
            writer.write(&much());
            pending::<()>().await
        });
        let server = server.await.unwrap();
        let mut stream = client(&server).await;
        stream.read_exact(&mut [0; 1]).await.unwrap();
        server.close();
        assert_eq!(server.abort_clients(), 1);
        server.wait_closed().await;
        let mut rest = Vec::new();
        let _may_be_reset = stream.read_to_end(&mut rest).await;
        assert!(rest.len() < much().len() - 1, "{}", rest.len());
    });
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn a_writer_that_is_kept_elsewhere_keeps_its_connection_live() {
    tulipa::run(async {
        let kept = Rc::new(RefCell::new(None));
        let keeping = Rc::clone(&kept);
        let server = start_server(ANY, async move |_: Reader, writer: Writer| {
            *keeping.borrow_mut() = Some(writer);
        });
        let server = server.await.unwrap();
        let mut stream = client(&server).await;
        until(|| kept.borrow().is_some()).await;
        for _ in 0..3 {
            tulipa::yield_now().await;
        }
        assert_eq!(server.connection_count(), 1);
        kept.borrow().as_ref().unwrap().write(b"later");
        stream.read_exact(&mut [0; 5]).await.unwrap();
        drop(kept.take());
        assert_eq!(received(stream).await, b"");
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn a_peer_that_does_not_read_holds_a_drain_up_for_the_grace_period_only() {
    let ((), heard) = listening(async {
        let builder = Server::builder().cleanup_grace(Duration::from_millis(30));
        let builder = builder.bind(ANY).await.unwrap();
        let server = builder
            .start_streams(async |_: Reader, writer: Writer| writer.write(&much()))
            .unwrap();
        let stream = client(&server).await;
        until(|| server.connection_count() == 1).await;
        let report = server.drain(Duration::ZERO).await;
        assert_eq!(report.hung.len(), 1, "{report}");
        assert_eq!(report.hung[0].peer(), &stream.local_addr().unwrap());
    });
    assert!(
        matches!(&heard[..], [(ExceptionKind::ShutdownStuck, _)]),
        "{heard:?}"
    );
}
