//! Servers: accepting, limits, failures of handlers, and the ways to an end.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tulipa::net::{Connection, Listener, Server, ServerBuilder, TcpListener, TcpStream, serve};
use tulipa::runtime::{Builder, ExceptionKind, Runner};
use tulipa::sync::Event;
use tulipa::time::Instant;
use tulipa::{catch_cancel, finally, sleep, spawn, timeout, yield_now};

type Heard = Rc<RefCell<Vec<(ExceptionKind, String)>>>;

/// Runs a future, and returns what the exception handler heard.
fn listening<F: Future>(future: F) -> (F::Output, Vec<(ExceptionKind, String)>) {
    listening_on(Runner::builder(), future)
}

/// The same, where time passes only while nothing else happens.
fn listening_paused<F: Future>(future: F) -> (F::Output, Vec<(ExceptionKind, String)>) {
    listening_on(Runner::builder().start_paused(true), future)
}

fn listening_on<F: Future>(
    builder: Builder,
    future: F,
) -> (F::Output, Vec<(ExceptionKind, String)>) {
    let heard = Heard::default();
    let list = Rc::clone(&heard);
    let runner = builder
        .exception_handler(move |context| {
            list.borrow_mut().push((context.kind, context.to_string()));
        })
        .build()
        .unwrap();
    let output = runner.run_and_close(future);
    (output, heard.take())
}

async fn echo(mut connection: Connection) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match connection.read(&mut buf).await? {
            0 => return Ok(()),
            count => connection.write_all(&buf[..count]).await?,
        }
    }
}

async fn bound() -> ServerBuilder {
    Server::builder().bind("127.0.0.1:0").await.unwrap()
}

fn addr_of(server: &Server) -> SocketAddr {
    server.local_addrs()[0]
}

async fn client(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

/// Sends a word and waits for its echo.
async fn ping(stream: &mut TcpStream) {
    stream.write_all(b"ping").await.unwrap();
    let mut buf = [0; 4];
    stream.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"ping");
}

/// A client that is being served.
async fn served_client(addr: SocketAddr) -> TcpStream {
    let mut stream = client(addr).await;
    ping(&mut stream).await;
    stream
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

/// The peer has closed or reset the connection.
async fn assert_closed(stream: &mut TcpStream) {
    let mut buf = [0; 8];
    let read = timeout(Duration::from_secs(10), stream.read(&mut buf));
    match read.await.expect("the connection is closed") {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

async fn assert_refused(addr: SocketAddr) {
    let error = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

// ---- §13: create_server ----

#[cfg(target_os = "linux")] // Elsewhere 127.0.0.2 has to be set up first.
#[test]
fn several_addresses_get_a_socket_each_and_those_given_twice_one() {
    tulipa::run(async {
        let addrs: [SocketAddr; 3] = [
            "127.0.0.1:0".parse().unwrap(),
            "127.0.0.2:0".parse().unwrap(),
            "127.0.0.1:0".parse().unwrap(),
        ];
        let builder = Server::builder().bind(addrs).await.unwrap();
        let server = builder.start(echo).unwrap();
        let bound = server.local_addrs();
        assert_eq!(bound.len(), 2, "{bound:?}");
        assert_ne!(bound[0].port(), bound[1].port(), "port 0 is another each");
        for addr in bound {
            drop(served_client(addr).await);
        }

        let builder = Server::builder().bind(addrs).await.unwrap();
        let server = builder.same_port().start(echo).unwrap();
        let bound = server.local_addrs();
        assert_eq!(bound[0].port(), bound[1].port());
    });
}

#[test]
fn addresses_of_other_machines_are_skipped_unless_there_are_no_others() {
    tulipa::run(async {
        // TEST-NET-1, RFC 5737.
        let addrs: [SocketAddr; 2] = [
            "192.0.2.1:0".parse().unwrap(),
            "127.0.0.1:0".parse().unwrap(),
        ];
        let builder = Server::builder().bind(addrs).await.unwrap();
        assert_eq!(builder.start(echo).unwrap().local_addrs().len(), 1);

        let builder = Server::builder().bind(addrs[0]).await.unwrap();
        let error = builder.start(echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
    });
}

#[test]
fn an_address_in_use_closes_all_and_is_named() {
    tulipa::run(async {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = (taken.local_addr().unwrap(), taken);
        let builder = bound().await.bind(taken.0).await.unwrap();
        let error = builder.start(echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.0.to_string()), "{error}");

        let error = Server::builder().start(echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn ipv6_sockets_leave_ipv4_to_others() {
    tulipa::run(async {
        let Ok(builder) = Server::builder().bind("[::]:0").await else {
            return;
        };
        let Ok(server) = builder.start(echo) else {
            return; // No IPv6 on this machine.
        };
        let addr = SocketAddr::from(([127, 0, 0, 1], addr_of(&server).port()));
        assert_refused(addr).await;
        let builder = Server::builder().dual_stack().bind("[::]:0").await.unwrap();
        let server = builder.start(echo).unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], addr_of(&server).port()));
        drop(served_client(addr).await);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_can_be_reused_when_asked_for() {
    tulipa::run(async {
        let first = bound().await.reuse_port().start(echo).unwrap();
        let addr = addr_of(&first);
        let second = Server::builder().reuse_port().bind(addr).await.unwrap();
        let second = second.start(echo).unwrap();
        for _ in 0..64 {
            drop(served_client(addr).await);
        }
        assert_eq!(first.accepted() + second.accepted(), 64);
        assert!(
            first.accepted() > 0 && second.accepted() > 0,
            "both get some"
        );
    });
}

// §13: start_serving
#[test]
fn a_prepared_server_is_bound_and_refuses_until_it_is_started() {
    tulipa::run(async {
        let server = bound().await.prepare(echo).unwrap();
        let addr = addr_of(&server);
        assert!(addr.port() != 0 && !server.is_serving() && !server.is_closed());
        assert_refused(addr).await;
        server.start().unwrap();
        server.start().unwrap();
        assert!(server.is_serving());
        drop(served_client(addr).await);
        server.close();
        assert!(server.start().is_err(), "closed for good");

        let server = bound().await.prepare(echo).unwrap();
        server.close();
        server.wait_closed().await;
    });
}

// ---- §13: the accept loop ----

#[test]
fn connections_are_served_each_in_a_task_named_after_the_peer() {
    tulipa::run(async {
        let server = bound().await.start(echo).unwrap();
        let before = Instant::now();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(served_client(addr_of(&server)).await);
        }
        let live = server.connections();
        assert_eq!(live.len(), 3);
        for (connection, client) in live.iter().zip(&clients) {
            assert_eq!(*connection.peer(), client.local_addr().unwrap());
            assert!(connection.since() >= before && connection.since() <= Instant::now());
            let name = format!("connection from {}", connection.peer());
            assert_eq!(connection.task().name(), Some(name));
        }
        assert!(live[1].close());
        assert_closed(&mut clients[1]).await;
        live[0].abort();
        assert_closed(&mut clients[0]).await;
        until(|| server.connection_count() == 1).await;
        assert!(!live[1].close(), "it has ended");
        ping(&mut clients[2]).await;
        assert_eq!(server.accepted(), 3);
        assert!(format!("{server:?}").contains("connections: 1"));
    });
}

#[test]
fn several_listeners_share_a_server() {
    tulipa::run(async {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::on(first).listener(second).start(echo).unwrap();
        let mut clients = Vec::new();
        for addr in server.local_addrs() {
            clients.push(served_client(addr).await);
        }
        assert_eq!(server.connection_count(), 2);
        let addrs = server.local_addrs();
        server.close();
        assert!(server.local_addrs().is_empty());
        for addr in addrs {
            assert_refused(addr).await;
        }
    });
}

// SV02
#[test]
fn a_handler_that_fails_ends_its_own_connection_only() {
    let ((), heard) = listening(async {
        let handler = async |mut connection: Connection| {
            let mut order = [0];
            connection.read_exact(&mut order).await?;
            match order[0] {
                b'p' => panic!("a bug"),
                b'e' => Err(io::Error::other("no such order")),
                b'h' => pending().await,
                _ => echo(connection).await,
            }
        };
        let server = bound().await.start(handler).unwrap();
        let addr = addr_of(&server);
        let mut fine = client(addr).await;
        fine.write_all(b"-").await.unwrap();
        ping(&mut fine).await;
        let mut hangs = client(addr).await;
        hangs.write_all(b"h").await.unwrap();
        for order in [b"p", b"e"] {
            let mut stream = client(addr).await;
            let peer = stream.local_addr().unwrap();
            assert!(server.connections().iter().all(|it| *it.peer() != peer));
            stream.write_all(order).await.unwrap();
            assert_closed(&mut stream).await;
        }
        ping(&mut fine).await;
        assert_eq!(server.connection_count(), 2, "{:?}", server.connections());
    });
    let [(panicked, panic), (failed, error)] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(*panicked, ExceptionKind::TaskPanicked);
    assert!(
        panic.contains("'connection from 127.0.0.1:") && panic.ends_with("panicked: a bug"),
        "{panic}"
    );
    assert_eq!(*failed, ExceptionKind::Other);
    assert!(
        error.contains("'connection from 127.0.0.1:") && error.ends_with("failed: no such order"),
        "{error}"
    );
}

// SV04
#[test]
fn beyond_the_connection_limit_clients_wait_and_all_are_served() {
    tulipa::run(async {
        let most = Rc::new(Cell::new((0, 0)));
        let count = Rc::clone(&most);
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::on(first)
            .listener(second)
            .connection_limit(100)
            .start(async move |connection: Connection| {
                let (now, peak) = count.get();
                count.set((now + 1, peak.max(now + 1)));
                let result = echo(connection).await;
                let (now, peak) = count.get();
                count.set((now - 1, peak));
                result
            })
            .unwrap();
        let addrs = server.local_addrs();
        let clients: Vec<_> = (0..500)
            .map(|index| {
                let addr = addrs[index % 2];
                spawn(async move {
                    let mut stream = served_client(addr).await;
                    yield_now().await;
                    ping(&mut stream).await;
                })
            })
            .collect();
        for client in clients {
            timeout(Duration::from_secs(20), client)
                .await
                .unwrap()
                .unwrap();
        }
        until(|| server.connection_count() == 0).await;
        assert_eq!(server.accepted(), 500);
        assert_eq!(most.get(), (0, 100), "a hundred at a time, and no more");
    });
}

// §13: serve_forever
#[test]
fn closing_while_the_limit_is_reached_ends_the_accept_task() {
    tulipa::run(async {
        let server = bound().await.connection_limit(1).start(echo).unwrap();
        let addr = addr_of(&server);
        let first = served_client(addr).await;
        let mut waiting = client(addr).await;
        waiting.write_all(b"ping").await.unwrap();
        yield_now().await;
        server.close();
        assert_closed(&mut waiting).await;
        drop(first);
        server.wait_closed().await;
        assert_eq!(server.accepted(), 1);
    });
}

// ---- §13: close, wait_closed ----

// SV03
#[test]
fn closing_twice_is_closing_once_and_all_who_wait_return() {
    tulipa::run(async {
        let server = Rc::new(bound().await.start(echo).unwrap());
        let addr = addr_of(&server);
        let mut stream = served_client(addr).await;
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let server = Rc::clone(&server);
                spawn(async move { server.wait_closed().await })
            })
            .collect();
        yield_now().await;
        server.close();
        server.close();
        assert!(server.is_closed() && !server.is_serving());
        assert_refused(addr).await;
        ping(&mut stream).await; // Goes on.
        assert!(waits.iter().all(|it| !it.is_finished()), "one is left");
        drop(stream);
        for wait in waits {
            timeout(Duration::from_secs(10), wait)
                .await
                .unwrap()
                .unwrap();
        }
        server.wait_closed().await;
        assert_eq!(server.connection_count(), 0);
    });
}

#[test]
fn waiting_for_the_close_waits_also_without_connections() {
    tulipa::run(async {
        let server = bound().await.start(echo).unwrap();
        drop(served_client(addr_of(&server)).await);
        until(|| server.connection_count() == 0).await;
        let waited = timeout(Duration::from_millis(20), server.wait_closed()).await;
        assert!(waited.is_err(), "it is not closed");
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn a_dropped_server_stops_accepting_and_its_connections_go_on() {
    tulipa::run(async {
        let server = bound().await.start(echo).unwrap();
        let addr = addr_of(&server);
        let mut stream = served_client(addr).await;
        drop(server);
        assert_refused(addr).await;
        ping(&mut stream).await;
    });
}

// §13: close_clients, abort_clients
#[test]
fn clients_are_closed_with_clean_up_and_aborted_without() {
    tulipa::run(async {
        let cleaned = Rc::new(Cell::new(0));
        let count = Rc::clone(&cleaned);
        let server = bound()
            .await
            .start(async move |connection: Connection| {
                let count = Rc::clone(&count);
                let _ = finally(echo(connection), async move {
                    yield_now().await;
                    count.set(count.get() + 1);
                })
                .await;
            })
            .unwrap();
        let addr = addr_of(&server);
        let mut first = served_client(addr).await;
        let mut second = served_client(addr).await;
        assert_eq!(server.close_clients(), 2);
        assert_closed(&mut first).await;
        assert_closed(&mut second).await;
        until(|| server.connection_count() == 0).await;
        assert_eq!(cleaned.get(), 2);

        let mut third = served_client(addr).await; // It serves still.
        server.close();
        assert_eq!(server.abort_clients(), 1);
        assert_closed(&mut third).await;
        server.wait_closed().await;
        assert_eq!(cleaned.get(), 2);
        assert_eq!(server.abort_clients() + server.close_clients(), 0);
    });
}

// ---- drain ----

// SV01
#[test]
fn a_drain_lets_finish_cancels_the_late_and_names_the_hung() {
    let ((), heard) = listening_paused(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let list = Rc::clone(&log);
        let handler = async move |mut connection: Connection| {
            let log = Rc::clone(&list);
            let mut order = [0];
            connection.read_exact(&mut order).await?;
            match order[0] {
                b'f' => {
                    sleep(Duration::from_millis(30)).await;
                    connection.write_all(b"done").await?;
                }
                b'l' => {
                    finally(pending::<()>(), async {
                        sleep(Duration::from_millis(10)).await;
                        log.borrow_mut().push("cleaned up");
                    })
                    .await
                }
                _ => {
                    let cancelled = catch_cancel(pending::<()>()).await;
                    pending::<()>().await;
                    drop(cancelled);
                }
            }
            io::Result::Ok(())
        };
        let builder = bound().await.cleanup_grace(Duration::from_millis(150));
        let server = builder.start(handler).unwrap();
        let addr = addr_of(&server);
        let mut streams = Vec::new();
        // 70 that finish in time, 29 that are late, and one that hangs.
        for index in 0..100 {
            let order = match index {
                0..70 => b"f",
                70..99 => b"l",
                _ => b"h",
            };
            let mut stream = client(addr).await;
            stream.write_all(order).await.unwrap();
            streams.push(stream);
        }
        until(|| server.connection_count() == 100).await;
        let hung = streams[99].local_addr().unwrap();

        let begun = Instant::now();
        let mut drain = pin!(server.drain(Duration::from_millis(200)));
        assert!(futures_lite::future::poll_once(&mut drain).await.is_none());
        assert_refused(addr).await; // From the first moment.
        let report = drain.await;
        let took = begun.elapsed();
        assert_eq!((report.ended, report.cancelled), (70, 29), "{report}");
        assert_eq!(report.hung.len(), 1);
        assert_eq!(*report.hung[0].peer(), hung);
        assert!(!report.is_graceful());
        assert!(report.to_string().contains(&hung.to_string()), "{report}");
        assert_eq!(took, Duration::from_millis(350), "the drain, and the grace");
        assert_eq!(log.take(), ["cleaned up"; 29]);
        for stream in &mut streams[..70] {
            let mut buf = [0; 4];
            stream.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"done");
        }
        for stream in &mut streams {
            assert_closed(stream).await;
        }
        server.wait_closed().await;

        let again = server.drain(Duration::from_secs(5)).await;
        assert!(again.is_graceful() && again.ended == 0);
    });
    let [(kind, message)] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(*kind, ExceptionKind::ShutdownStuck);
    assert!(
        message.contains("the connection from 127.0.0.1:"),
        "{message}"
    );
}

#[test]
fn a_drain_ends_with_its_last_connection() {
    tulipa::run(async {
        let server = bound().await.start(echo).unwrap();
        let stream = served_client(addr_of(&server)).await;
        drop(spawn(async move {
            sleep(Duration::from_millis(10)).await;
            drop(stream);
        }));
        let drained = timeout(
            Duration::from_secs(10),
            server.drain(Duration::from_secs(600)),
        );
        let report = drained.await.expect("long before the deadline");
        assert!(report.is_graceful() && report.ended == 1, "{report}");
    });
}

// CN02: dropped at each await, and taken up again.
#[test]
fn a_dropped_drain_leaves_what_was_done_and_another_takes_it_up() {
    for polls in 1..6 {
        let ((), heard) = listening(async {
            let builder = bound().await.cleanup_grace(Duration::from_millis(20));
            let server = builder
                .start(async |_connection: Connection| {
                    let cancelled = catch_cancel(pending::<()>()).await;
                    pending::<()>().await;
                    drop(cancelled);
                })
                .unwrap();
            let addr = addr_of(&server);
            let mut stream = client(addr).await;
            until(|| server.connection_count() == 1).await;
            {
                let mut drain = pin!(server.drain(Duration::from_millis(20)));
                for _ in 0..polls {
                    let poll = futures_lite::future::poll_once(&mut drain).await;
                    if poll.is_some() {
                        break;
                    }
                    sleep(Duration::from_millis(8)).await;
                }
            }
            assert_refused(addr).await;
            let report = server.drain(Duration::from_millis(1)).await;
            assert!(report.hung.len() <= 1);
            assert_closed(&mut stream).await;
            server.wait_closed().await;
        });
        assert!(heard.len() <= 2, "{heard:?}");
    }
}

// ---- serve_forever, serve_until ----

// §13, TRAP: serve_forever cancelled with a live client must not hang.
#[test]
fn a_cancelled_serve_does_not_wait_for_a_client_that_stays() {
    let ((), heard) = listening_paused(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = spawn(serve(listener, echo));
        let mut stream = served_client(addr).await;
        let begun = Instant::now();
        serving.cancel();
        let error = timeout(Duration::from_secs(4), serving)
            .await
            .expect("it does not hang")
            .unwrap_err();
        assert!(error.is_cancelled(), "the request goes on outwards");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_refused(addr).await;
        assert_closed(&mut stream).await;
    });
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn a_cancelled_serve_awaits_clean_up_and_names_what_hangs() {
    let ((), heard) = listening(async {
        let builder = bound().await.cleanup_grace(Duration::from_millis(30));
        let server = builder
            .start(async |mut connection: Connection| {
                let mut order = [0];
                connection.read_exact(&mut order).await.unwrap();
                match order[0] {
                    b'c' => {
                        let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                        connection.write_all(b"bye").await.unwrap();
                        cancelled.resume::<()>().await
                    }
                    _ => {
                        let cancelled = catch_cancel(pending::<()>()).await;
                        pending::<()>().await;
                        drop(cancelled);
                    }
                }
            })
            .unwrap();
        let mut cleans = client(addr_of(&server)).await;
        cleans.write_all(b"c").await.unwrap();
        let mut hangs = client(addr_of(&server)).await;
        hangs.write_all(b"h").await.unwrap();
        until(|| server.connection_count() == 2).await;
        let ended = timeout(Duration::from_millis(10), server.serve_forever());
        assert!(ended.await.is_err(), "elapsed, after the clean-up");
        assert_eq!(server.connection_count(), 0);
        let mut buf = [0; 3];
        cleans.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"bye");
        assert_closed(&mut hangs).await;
    });
    let [(ExceptionKind::ShutdownStuck, message)] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert!(message.contains("within 30ms"), "{message}");
}

#[test]
fn a_cancelled_serve_drains_first_where_that_is_wished() {
    tulipa::run(async {
        let builder = bound().await.drain_when_cancelled(Duration::from_secs(20));
        let server = Rc::new(builder.start(echo).unwrap());
        let addr = addr_of(&server);
        let mut stream = served_client(addr).await;
        let clone = Rc::clone(&server);
        let serving = spawn(async move { clone.serve_forever().await });
        sleep(Duration::from_millis(5)).await; // It has begun.
        serving.cancel();
        until_refused(addr).await;
        ping(&mut stream).await;
        assert!(!serving.is_finished());
        drop(stream);
        let ended = timeout(Duration::from_secs(10), serving).await.unwrap();
        assert!(ended.unwrap_err().is_cancelled());
    });
}

#[test]
fn serving_forever_ends_with_the_close_and_once_at_a_time() {
    tulipa::run(async {
        let server = Rc::new(bound().await.prepare(echo).unwrap());
        let addr = addr_of(&server);
        let clone = Rc::clone(&server);
        let serving = spawn(async move { clone.serve_forever().await });
        until(|| server.is_serving()).await;
        let stream = served_client(addr).await;
        let error = server.serve_forever().await.unwrap_err();
        assert!(error.to_string().contains("awaited elsewhere"), "{error}");
        server.close();
        serving.await.unwrap().unwrap();
        assert_eq!(server.connection_count(), 1, "connections go on");
        let error = server.serve_forever().await.unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
        drop(stream);
    });
}

#[test]
fn serving_until_a_signal_drains() {
    tulipa::run(async {
        let server = bound()
            .await
            .drain_timeout(Duration::from_secs(20))
            .prepare(echo)
            .unwrap();
        let addr = addr_of(&server);
        let stop = Rc::new(Event::new());
        let signal = Rc::clone(&stop);
        let client = spawn(async move {
            let mut stream = served_client(addr).await;
            signal.set();
            until_refused(addr).await;
            ping(&mut stream).await; // In the midst of the drain.
        });
        let report = server.serve_until(stop.wait()).await.unwrap();
        assert!(report.is_graceful() && report.ended == 1, "{report}");
        client.await.unwrap();
        assert!(server.is_closed());

        // Closed by somebody else, it drains, too.
        let server = bound().await.start(echo).unwrap();
        let stream = served_client(addr_of(&server)).await;
        let closing = async {
            yield_now().await;
            server.close();
            drop(stream);
        };
        let (report, ()) = tulipa::join!(server.serve_until(pending::<()>()), closing);
        assert!(report.unwrap().is_graceful());
    });
}

async fn until_refused(addr: SocketAddr) {
    timeout(Duration::from_secs(10), async {
        while TcpStream::connect(addr).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

#[test]
fn a_cancel_ends_the_drain_of_serve_until() {
    let ((), heard) = listening_paused(async {
        let server = bound().await.start(echo).unwrap();
        let mut stream = served_client(addr_of(&server)).await;
        let serving = async { server.serve_until(async {}).await };
        let begun = Instant::now();
        assert!(timeout(Duration::from_millis(20), serving).await.is_err());
        assert_eq!(begun.elapsed(), Duration::from_millis(20), "not 30 s");
        assert_closed(&mut stream).await;
        assert_eq!(server.connection_count(), 0);
    });
    assert!(heard.is_empty(), "{heard:?}");
}

// CN02
#[test]
fn serving_dropped_at_each_await_leaves_the_server_as_it_is() {
    tulipa::run(async {
        let server = bound().await.start(echo).unwrap();
        let addr = addr_of(&server);
        let mut stream = served_client(addr).await;
        for polls in 1..4 {
            let mut serving = pin!(server.serve_forever());
            for _ in 0..polls {
                assert!(
                    futures_lite::future::poll_once(&mut serving)
                        .await
                        .is_none()
                );
            }
        }
        for _ in 1..4 {
            let mut serving = pin!(server.serve_until(pending::<()>()));
            assert!(
                futures_lite::future::poll_once(&mut serving)
                    .await
                    .is_none()
            );
            let mut closed = pin!(server.wait_closed());
            assert!(futures_lite::future::poll_once(&mut closed).await.is_none());
        }
        ping(&mut stream).await;
        drop(served_client(addr).await);

        // `serve` owns its server: dropped, the listener is closed.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut client = {
            let mut serving = pin!(serve(listener, echo));
            assert!(
                futures_lite::future::poll_once(&mut serving)
                    .await
                    .is_none()
            );
            served_client(addr).await
        };
        assert_refused(addr).await;
        ping(&mut client).await;
    });
}

#[test]
fn the_end_of_the_loop_lets_handlers_clean_up() {
    let cleaned = Rc::new(Cell::new(false));
    let flag = Rc::clone(&cleaned);
    let (client, heard) = listening(async move {
        let server = bound()
            .await
            .start(async move |connection: Connection| {
                let flag = Rc::clone(&flag);
                finally(async { drop(echo(connection).await) }, async move {
                    sleep(Duration::from_millis(1)).await;
                    flag.set(true);
                })
                .await;
            })
            .unwrap();
        served_client(addr_of(&server)).await // Stays beyond the end of the loop.
    });
    drop(client);
    assert!(cleaned.get());
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn a_server_outlives_a_run_and_its_loop() {
    let mut runner = Runner::new().unwrap();
    let (server, mut stream) = runner.run(async {
        let server = bound().await.start(echo).unwrap();
        let stream = served_client(addr_of(&server)).await;
        (server, stream)
    });
    runner.run(async {
        ping(&mut stream).await;
        drop(served_client(addr_of(&server)).await);
        until(|| server.connection_count() == 1).await;
    });
    drop(runner.close());
    assert!(server.is_closed(), "nobody accepts any more");
    assert_eq!(server.connection_count(), 0);
    server.close();
    assert_eq!(server.close_clients() + server.abort_clients(), 0);
    assert!(server.start().is_err());
}

/// A request to end that somebody else has made is not made again: it would interrupt the clean-up.
#[test]
fn a_handler_is_asked_once() {
    tulipa::run(async {
        let handler = async |mut connection: Connection| {
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            sleep(Duration::from_millis(30)).await;
            connection.write_all(b"bye").await.unwrap();
            cancelled.resume::<()>().await
        };
        let server = bound().await.start(handler).unwrap();
        let mut streams = Vec::new();
        for _ in 0..2 {
            streams.push(client(addr_of(&server)).await);
        }
        until(|| server.connection_count() == 2).await;
        sleep(Duration::from_millis(5)).await; // Both have begun.
        assert!(server.connections()[0].close());
        assert_eq!(server.close_clients(), 1);
        assert_eq!(server.close_clients(), 0);
        let drain = server.drain(Duration::from_millis(1));
        let (first, report) = tulipa::join!(drain, server.drain(Duration::ZERO));
        assert_eq!((first.cancelled, report.cancelled), (2, 2));
        for stream in &mut streams {
            let mut buf = [0; 3];
            stream.read_exact(&mut buf).await.unwrap();
        }
    });
}

// ---- listeners of one's own ----

/// Yields what is put into it.
#[derive(Clone, Default)]
struct Script {
    results: Rc<RefCell<Vec<io::Result<u32>>>>,
    waker: Rc<RefCell<Option<Waker>>>,
    polls: Rc<Cell<u32>>,
    drops: Rc<Cell<u32>>,
}

impl Script {
    fn push(&self, result: io::Result<u32>) {
        self.results.borrow_mut().insert(0, result);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

struct Scripted(Script);

impl Drop for Scripted {
    fn drop(&mut self) {
        self.0.drops.set(self.0.drops.get() + 1);
    }
}

impl Listener for Scripted {
    type Stream = u32;
    type Addr = &'static str;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(u32, &'static str)>> {
        self.0.polls.set(self.0.polls.get() + 1);
        match self.0.results.borrow_mut().pop() {
            Some(result) => Poll::Ready(result.map(|it| (it, "nobody"))),
            None => {
                *self.0.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn local_addr(&self) -> io::Result<&'static str> {
        Ok("a script")
    }
}

#[test]
fn any_listener_will_do() {
    tulipa::run(async {
        let script = Script::default();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let list = Rc::clone(&seen);
        let server = Server::on(Scripted(script.clone()))
            .start(async move |connection: Connection<Scripted>| {
                assert_eq!(*connection.peer(), "nobody");
                list.borrow_mut().push(connection.into_stream());
            })
            .unwrap();
        script.push(Ok(1));
        script.push(Ok(2));
        until(|| seen.borrow().len() == 2).await;
        assert_eq!(server.local_addrs(), ["a script"]);
        server.close();
        assert_eq!(script.drops.get(), 1, "here and now");
        server.wait_closed().await;
    });
}

// TC04
#[cfg(unix)]
#[test]
fn aborted_connections_are_skipped() {
    use rustix::io::Errno;

    let ((), heard) = listening(async {
        let script = Script::default();
        for errno in [
            Errno::CONNABORTED,
            Errno::CONNRESET,
            Errno::PROTO,
            Errno::NETDOWN,
        ] {
            script.push(Err(errno.into()));
        }
        script.push(Ok(1));
        let server = Server::on(Scripted(script)).start(async |_| ()).unwrap();
        until(|| server.accepted() == 1).await;
    });
    assert!(heard.is_empty(), "{heard:?}");
}

#[cfg(unix)]
#[test]
fn a_listener_that_fails_ends_the_server_and_serving_says_why() {
    use rustix::io::Errno;

    let ((), heard) = listening(async {
        let (script, other) = (Script::default(), Script::default());
        script.push(Ok(1));
        let server = Server::on(Scripted(script.clone()))
            .listener(Scripted(other.clone()))
            .start(async |_| pending::<()>().await)
            .unwrap();
        until(|| server.connection_count() == 1).await;
        script.push(Err(Errno::BADF.into()));
        let ended = timeout(Duration::from_secs(10), server.serve_forever());
        let error = ended.await.unwrap().unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::BADF));
        assert!(server.is_closed());
        assert_eq!(script.drops.get() + other.drops.get(), 2);
        assert_eq!(server.connection_count(), 0);
        server.wait_closed().await;
        let failure = server.failure().unwrap();
        assert_eq!(Errno::from_io_error(&failure), Some(Errno::BADF));
    });
    let [(ExceptionKind::Other, message)] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert!(message.contains("accept on \"a script\": "), "{message}");
}

// TC05: with the errors that a test cannot bring about.
#[cfg(unix)]
#[test]
fn exhaustion_pauses_all_listeners_and_is_told_once_a_pause() {
    use rustix::io::Errno;

    let heard = Heard::default();
    let list = Rc::clone(&heard);
    let mut runner = Runner::builder()
        .start_paused(true)
        .exception_handler(move |context| {
            list.borrow_mut().push((context.kind, context.to_string()));
        })
        .build()
        .unwrap();
    runner.run(async {
        let script = Script::default();
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            script.push(Err(errno.into()));
        }
        script.push(Ok(1));
        let server = Server::on(Scripted(script.clone()))
            .start(async |_| ())
            .unwrap();
        let begun = Instant::now();
        sleep(Duration::from_millis(3900)).await;
        assert_eq!(script.polls.get(), 4, "one try each second");
        assert_eq!(server.accepted(), 0);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(server.accepted(), 1);
        assert!(begun.elapsed() < Duration::from_millis(4200));

        // Closed during a pause.
        script.push(Err(Errno::MFILE.into()));
        yield_now().await;
        yield_now().await;
        server.close();
        server.wait_closed().await;
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 5, "{heard:?}");
    for (kind, message) in &heard {
        assert_eq!(*kind, ExceptionKind::AcceptPaused);
        assert!(message.contains("trying again in 1s"), "{message}");
    }
}

/// Connections are streams of `futures-io`.
#[test]
fn a_connection_is_a_stream() {
    use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    tulipa::run(async {
        let server = bound()
            .await
            .start(async |connection: Connection| -> io::Result<()> {
                let mut connection = BufReader::new(connection);
                let mut line = String::new();
                connection.read_line(&mut line).await?;
                connection.write_all(line.as_bytes()).await?;
                connection.close().await
            })
            .unwrap();
        let mut stream = client(addr_of(&server)).await;
        stream.write_all(b"line\nmore").await.unwrap();
        let mut buf = [0; 5];
        stream.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"line\n");
    });
}

/// A destructor, or a listener, that closes the server from inside of it.
#[test]
fn a_server_is_closed_from_inside() {
    tulipa::run(async {
        let place: Rc<RefCell<Option<Rc<Server>>>> = Rc::default();
        let inner = Rc::clone(&place);
        let server = bound()
            .await
            .start(async move |_connection: Connection| {
                let server = inner.borrow_mut().take();
                if let Some(server) = server {
                    server.close();
                    assert!(server.is_closed());
                }
            })
            .unwrap();
        let server = Rc::new(server);
        *place.borrow_mut() = Some(Rc::clone(&server));
        let _client = client(addr_of(&server)).await;
        timeout(Duration::from_secs(10), server.wait_closed())
            .await
            .unwrap();
    });
}

/// Ends of the whole process, in a child of this one.
#[cfg(unix)]
mod ends {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    const PART: &str = "TULIPA_TEST_SIGNALLED_SERVER";

    /// Not a test of its own: the server, in a child.
    #[test]
    fn the_child() {
        if std::env::var_os(PART).is_none() {
            return;
        }
        let served = Rc::new(Cell::new(0));
        let count = Rc::clone(&served);
        let runner = Runner::builder().handle_sigterm(true).build().unwrap();
        runner.run_and_close(async move {
            let counter = Rc::clone(&count);
            // It ends long before, or the test hangs.
            let builder = bound()
                .await
                .drain_when_cancelled(Duration::from_secs(3600));
            let server = builder
                .start(async move |mut connection: Connection| -> io::Result<()> {
                    let mut request = [0; 4];
                    connection.read_exact(&mut request).await?;
                    sleep(Duration::from_millis(50)).await;
                    connection.write_all(&request).await?;
                    counter.set(counter.get() + 1);
                    Ok(())
                })
                .unwrap();
            println!("listening on {}", addr_of(&server));
            finally(async { server.serve_forever().await.unwrap() }, async {
                println!("accepted {} served {}", server.accepted(), count.get());
            })
            .await;
        });
    }

    // SV05
    #[test]
    fn a_signal_under_load_fails_no_request_that_was_accepted() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "servers::ends::the_child", "--nocapture"])
            .env(PART, "1")
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let addr: SocketAddr = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended");
            if let Some((_, addr)) = line.trim().split_once("listening on ") {
                break addr.parse().unwrap();
            }
        };
        let id = rustix::process::Pid::from_child(&child);
        let answered = tulipa::run(async {
            let answered = Rc::new(Cell::new(0u64));
            let clients: Vec<_> = (0..20)
                .map(|_| {
                    let answered = Rc::clone(&answered);
                    spawn(async move {
                        loop {
                            let mut stream = TcpStream::connect(addr).await?;
                            stream.write_all(b"ping").await?;
                            stream.read_exact(&mut [0; 4]).await?;
                            answered.set(answered.get() + 1);
                        }
                        #[allow(unreachable_code, reason = "says what the errors are")]
                        io::Result::Ok(())
                    })
                })
                .collect();
            sleep(Duration::from_millis(300)).await;
            rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
            for client in clients {
                let ended = timeout(Duration::from_secs(10), client).await.unwrap();
                assert!(ended.unwrap().is_err(), "refused, or reset in the backlog");
            }
            answered.get()
        });
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{text}");
        let expected = format!("accepted {answered} served {answered}");
        assert!(
            answered > 20 && text.contains(&expected),
            "{answered}: {text}"
        );
    }
}
