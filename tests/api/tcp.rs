//! TCP streams and listeners.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use socket2::SockRef;

use crate::support::{poll_once, turns};
use tulipa::net::{TcpListener, TcpStream};

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

/// A stream of ours, and a blocking peer.
async fn with_std_peer() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (ours, listener.accept().unwrap().0)
}

#[test]
fn bytes_arrive_in_order_in_both_directions_at_once() {
    tulipa::run(async {
        let (client, mut server) = pair().await;
        let echo = tulipa::spawn(async move {
            let mut buf = vec![0; 7000];
            loop {
                let count = server.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                server.write_all(&buf[..count]).await.unwrap();
            }
        });
        let sent: Vec<u8> = (0..4_000_000u32)
            .map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let copy = sent.clone();
        let (mut read, mut write) = client.into_split();
        let writer = tulipa::spawn(async move {
            write.write_all(&copy).await.unwrap();
            write // Dropping it ends the direction.
        });
        let mut received = vec![0; sent.len()];
        read.read_exact(&mut received).await.unwrap();
        assert!(received == sent, "bytes differ");
        drop(writer.await.unwrap());
        assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 0);
        echo.await.unwrap();
    });
}

#[test]
fn addresses_and_options_are_told() {
    tulipa::run(async {
        let (client, server) = pair().await;
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert!(client.nodelay().unwrap(), "TCP_NODELAY is on by default");
        assert!(server.nodelay().unwrap(), "also where it is inherited");
        client.set_nodelay(false).unwrap();
        assert!(!client.nodelay().unwrap());
        assert!(format!("{client:?}").contains(&server.local_addr().unwrap().to_string()));
    });
}

#[test]
fn addresses_come_in_many_forms() {
    tulipa::run(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let port = addr.port();
        TcpStream::connect(addr).await.unwrap();
        TcpStream::connect(&addr).await.unwrap();
        TcpStream::connect(addr.to_string()).await.unwrap();
        TcpStream::connect(addr.to_string().as_str()).await.unwrap();
        TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        TcpStream::connect((std::net::IpAddr::from([127, 0, 0, 1]), port))
            .await
            .unwrap();
        // The second of two addresses works.
        let closed = closed_port();
        TcpStream::connect([closed, addr]).await.unwrap();

        for bad in ["127.0.0.1", "example.org", "127.0.0.1:99999", ""] {
            let error = TcpStream::connect(bad).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("'{bad}'")), "{error}");
        }
        let none: [SocketAddr; 0] = [];
        assert_eq!(
            TcpStream::connect(none).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn ipv6_works_where_there_is_any() {
    tulipa::run(async {
        let listener = match TcpListener::bind("[::1]:0").await {
            Ok(listener) => listener,
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return,
            Err(error) => panic!("{error}"),
        };
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        assert!(client.peer_addr().unwrap().is_ipv6());
    });
}

/// An address nobody listens on: it was just given back.
fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn bad_addresses_are_clear_errors_and_the_loop_lives() {
    tulipa::run(async {
        let closed = closed_port();
        let error = TcpStream::connect(closed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&closed.to_string()), "{error}");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let error = TcpListener::bind(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");

        let error = TcpListener::bind("192.0.2.1:0").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
        tulipa::sleep(Duration::from_millis(1)).await;
    });
}

#[test]
fn a_port_can_be_taken_over_from_a_listener_that_is_gone() {
    tulipa::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let client = TcpStream::connect(addr).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        drop((server, listener, client));
        TcpListener::bind(addr).await.unwrap();
    });
}

// TC07
#[test]
fn half_close_lets_the_other_direction_go_on() {
    tulipa::run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let task = tulipa::spawn(async move {
            let mut question = Vec::new();
            server.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"question");
            assert_eq!(
                server.read(&mut [0; 8]).await.unwrap(),
                0,
                "the end stays the end"
            );
            server.write_all(&vec![3; 1 << 20]).await.unwrap();
        });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.len(), 1 << 20);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        task.await.unwrap();
    });
}

// TC08
#[test]
fn a_reset_mid_read_is_an_error_and_not_the_end() {
    tulipa::run(async {
        let (mut ours, peer) = with_std_peer().await;
        let reader = tulipa::spawn(async move {
            let mut total = 0;
            let mut buf = [0; 4096];
            loop {
                match ours.read(&mut buf).await {
                    Ok(0) => panic!("a reset is not the end of the stream"),
                    Ok(count) => total += count,
                    Err(error) => return (total, error.kind(), ours),
                }
            }
        });
        (&peer).write_all(&[1; 1000]).unwrap();
        turns(5).await;
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        let (total, kind, mut ours) = reader.await.unwrap();
        assert_eq!(kind, ErrorKind::ConnectionReset);
        assert!(total <= 1000);
        let error = ours.write(b"x").await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ),
            "{error}"
        );
    });
}

#[test]
fn both_halves_hear_of_a_reset() {
    tulipa::run(async {
        let (ours, peer) = with_std_peer().await;
        let (mut read, mut write) = ours.into_split();
        let reader = tulipa::spawn(async move { read.read(&mut [0; 16]).await.unwrap_err() });
        let writer = tulipa::spawn(async move {
            let chunk = vec![0; 1 << 16];
            loop {
                if let Err(error) = write.write_all(&chunk).await {
                    return error;
                }
            }
        });
        tulipa::sleep(Duration::from_millis(5)).await;
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        let kinds = [reader.await.unwrap().kind(), writer.await.unwrap().kind()];
        for kind in kinds {
            assert!(
                matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                "{kind:?}"
            );
        }
    });
}

// TC12, in small.
#[test]
fn a_peer_that_does_not_read_holds_the_writer_back() {
    tulipa::run(async {
        let (mut client, mut server) = pair().await;
        let written = Rc::new(Cell::new(0u64));
        let count = written.clone();
        let writer = tulipa::spawn(async move {
            let chunk = vec![9; 1 << 16];
            for _ in 0..512 {
                client.write_all(&chunk).await.unwrap();
                count.set(count.get() + chunk.len() as u64);
            }
        });
        let mut before = u64::MAX;
        while written.get() != before {
            before = written.get();
            tulipa::sleep(Duration::from_millis(5)).await;
        }
        assert!(before < 32 << 20, "the kernel's buffers hold it all");
        assert!(!writer.is_finished());
        let mut rest = 0;
        let mut buf = vec![0; 1 << 16];
        loop {
            match server.read(&mut buf).await.unwrap() {
                0 => break,
                count => rest += count,
            }
        }
        writer.await.unwrap();
        assert_eq!(rest, 512 << 16);
    });
}

// TC14
#[test]
fn halves_reunite_only_with_their_own() {
    tulipa::run(async {
        let (client, server) = pair().await;
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let error = client_read.reunite(server_write).unwrap_err();
        let (client_read, server_write) = (error.read, error.write);
        let mut client = client_read.reunite(client_write).unwrap();
        let mut server = server_read.reunite(server_write).unwrap();
        client.write_all(b"whole").await.unwrap();
        let mut buf = [0; 5];
        server.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"whole");

        // Dropping the reading half ends nothing.
        let (read, mut write) = client.into_split();
        drop(read);
        write.write_all(b"still").await.unwrap();
        server.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"still");
        drop(write);
        assert_eq!(server.read(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn halves_by_reference_work_at_the_same_time() {
    tulipa::run(async {
        let (mut client, mut server) = pair().await;
        let echo = tulipa::spawn(async move {
            let mut buf = [0; 1024];
            while let Ok(count @ 1..) = server.read(&mut buf).await {
                server.write_all(&buf[..count]).await.unwrap();
            }
        });
        {
            let (mut read, mut write) = client.split();
            let sending = async {
                write.write_all(&[5; 300_000]).await.unwrap();
                write.shutdown().unwrap();
            };
            let mut received = Vec::new();
            let receiving = read.read_to_end(&mut received);
            let (_, result) = futures_lite::future::zip(sending, receiving).await;
            result.unwrap();
            assert_eq!(received.len(), 300_000);
        }
        echo.await.unwrap();
    });
}

// TC16
#[test]
fn peek_leaves_the_bytes_and_try_never_waits() {
    tulipa::run(async {
        let (mut ours, mut peer) = with_std_peer().await;
        assert_eq!(
            ours.try_read(&mut [0; 4]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        peer.write_all(b"abcd").unwrap();
        ours.readable().await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(ours.peek(&mut buf).await.unwrap(), 4);
        assert_eq!(ours.peek(&mut buf[..2]).await.unwrap(), 2);
        assert_eq!(ours.try_read(&mut buf[..2]).unwrap(), 2);
        assert_eq!(ours.read(&mut buf[2..]).await.unwrap(), 2);
        assert_eq!(&buf[..4], b"abcd");
        assert_eq!(
            ours.try_read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        ours.writable().await.unwrap();
        assert_eq!(ours.try_write(b"efg").unwrap(), 3);
        assert_eq!(peer.read(&mut buf).unwrap(), 3);
        // After the end of the stream, reading stays ready.
        drop(peer);
        ours.readable().await.unwrap();
        assert_eq!(ours.read(&mut buf).await.unwrap(), 0);
        ours.readable().await.unwrap();
    });
}

#[test]
fn vectored_reads_and_writes_fill_and_empty_in_turn() {
    tulipa::run(async {
        let (mut client, mut server) = pair().await;
        let count = client
            .write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")])
            .await;
        assert_eq!(count.unwrap(), 7);
        let (mut a, mut b) = ([0; 2], [0; 16]);
        let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(server.read_vectored(&mut bufs).await.unwrap(), 7);
        assert_eq!((&a, &b[..5]), (b"on", &b"e two"[..]));
        assert_eq!(
            server.read(&mut []).await.unwrap(),
            0,
            "an empty buffer is no end"
        );
    });
}

// Short reads: the end, and more data, must be found after a read that was not filled.
#[test]
fn data_and_end_that_follow_a_short_read_are_found() {
    tulipa::run(async {
        for delay in [false, true] {
            let (mut ours, mut peer) = with_std_peer().await;
            let mut buf = [0; 64];
            for round in 0..20u8 {
                peer.write_all(&[round; 3]).unwrap();
                if delay && round == 19 {
                    drop(peer);
                    assert_eq!(ours.read(&mut buf).await.unwrap(), 3);
                    break;
                }
                assert_eq!(ours.read(&mut buf).await.unwrap(), 3);
                if round == 19 {
                    peer.shutdown(Shutdown::Write).unwrap();
                    break;
                }
            }
            assert_eq!(ours.read(&mut buf).await.unwrap(), 0);
        }
    });
}

// TC26
#[cfg(unix)]
#[test]
fn urgent_data_stops_a_read_and_hides_nothing_behind_it() {
    tulipa::run(async {
        for first_waits in [false, true] {
            let (mut ours, peer) = with_std_peer().await;
            let mut received = Vec::new();
            let mut buf = [0; 64];
            if first_waits {
                // Registered with the reactor before anything arrives.
                assert!(
                    poll_once(&mut Box::pin(ours.read(&mut buf)))
                        .await
                        .is_pending()
                );
            }
            (&peer).write_all(b"before").unwrap();
            SockRef::from(&peer).send_out_of_band(b"!").unwrap();
            (&peer).write_all(b"after").unwrap();
            while received.len() < 11 {
                let count = ours.read(&mut buf).await.unwrap();
                received.extend_from_slice(&buf[..count]);
            }
            assert_eq!(received, b"beforeafter");
        }
    });
}

// TC20
#[test]
fn dropped_reads_lose_nothing() {
    tulipa::run(async {
        let (mut client, mut server) = pair().await;
        let writer = tulipa::spawn(async move {
            for number in 0..20_000u32 {
                client.write_all(&number.to_be_bytes()).await.unwrap();
                if number % 64 == 0 {
                    tulipa::yield_now().await;
                }
            }
        });
        let mut received = Vec::new();
        let mut buf = [0; 1000];
        let mut polls = 0u32;
        loop {
            // Each read is polled a few times at most, and then dropped.
            polls = polls * 5 % 7 + 1;
            let mut read = Box::pin(server.read(&mut buf));
            let mut result = None;
            for _ in 0..polls {
                if let std::task::Poll::Ready(ready) = poll_once(&mut read).await {
                    result = Some(ready.unwrap());
                    break;
                }
                tulipa::yield_now().await;
            }
            drop(read);
            match result {
                Some(0) => break,
                Some(count) => received.extend_from_slice(&buf[..count]),
                None => {}
            }
        }
        writer.await.unwrap();
        let expected: Vec<u8> = (0..20_000u32).flat_map(u32::to_be_bytes).collect();
        assert!(received == expected);
    });
}

// TC19, in small: slots and descriptors are reused at once.
#[test]
fn a_recycled_socket_sees_no_event_of_the_one_before() {
    tulipa::run(async {
        for _ in 0..500 {
            let (mut client, mut server) = pair().await;
            let mut buf = [0; 8];
            assert!(
                poll_once(&mut Box::pin(server.read(&mut buf)))
                    .await
                    .is_pending()
            );
            client.write_all(b"stale").await.unwrap();
            drop((client, server));
            let (_client, mut server) = pair().await;
            let mut read = Box::pin(server.read(&mut buf));
            for _ in 0..3 {
                assert!(poll_once(&mut read).await.is_pending());
                tulipa::sleep(Duration::ZERO).await;
            }
        }
    });
}

#[test]
fn several_tasks_accept_from_one_listener() {
    tulipa::run(async {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let addr = listener.local_addr().unwrap();
        let accepted = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (listener, accepted) = (listener.clone(), accepted.clone());
                tulipa::spawn(async move {
                    loop {
                        listener.accept().await.unwrap();
                        accepted.set(accepted.get() + 1);
                    }
                })
            })
            .collect();
        tulipa::yield_now().await;
        // One of those that wait goes away: the others do not miss anything.
        tasks[0].abort();
        for _ in 0..50 {
            TcpStream::connect(addr).await.unwrap();
        }
        while accepted.get() < 50 {
            tulipa::sleep(Duration::from_millis(1)).await;
        }
        for task in tasks {
            task.abort();
        }
    });
}

#[test]
fn sockets_come_from_std_and_go_back() {
    tulipa::run(async {
        // A blocking socket is made non-blocking (TC25).
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let mut accept = Box::pin(listener.accept());
        assert!(poll_once(&mut accept).await.is_pending());
        let peer = std::net::TcpStream::connect(addr).unwrap();
        let (mut ours, _) = accept.await.unwrap();
        let mut buf = [0; 4];
        assert!(
            poll_once(&mut Box::pin(ours.read(&mut buf)))
                .await
                .is_pending()
        );

        let mut plain = ours.into_std().unwrap();
        plain.set_nonblocking(false).unwrap();
        (&peer).write_all(b"std!").unwrap();
        plain.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"std!");

        let mut again = TcpStream::from_std(plain).unwrap();
        (&peer).write_all(b"back").unwrap();
        again.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"back");

        let listener = listener.into_std().unwrap();
        assert_eq!(listener.local_addr().unwrap(), addr);
    });
}

#[test]
fn streams_implement_the_ecosystems_traits() {
    async fn echo_upper<S>(mut stream: S) -> io::Result<()>
    where
        S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
    {
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        stream.write_all(text.to_uppercase().as_bytes()).await?;
        stream.flush().await?;
        stream.close().await
    }
    tulipa::run(async {
        let (mut client, server) = pair().await;
        let task = tulipa::spawn(echo_upper(server));
        AsyncWriteExt::write_all(&mut client, b"shout")
            .await
            .unwrap();
        client.close().await.unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.unwrap();
        assert_eq!(reply, "SHOUT");
        task.await.unwrap().unwrap();
    });
}

#[test]
fn connecting_can_be_given_up_at_every_stage() {
    tulipa::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        for polls in 0..4 {
            let mut connect = Box::pin(TcpStream::connect(addr));
            for _ in 0..polls {
                if poll_once(&mut connect).await.is_ready() {
                    break;
                }
                tulipa::yield_now().await;
            }
        }
        let mut last = Box::pin(TcpStream::connect(addr));
        while poll_once(&mut last).await.is_pending() {
            tulipa::sleep(Duration::ZERO).await;
        }
    });
}

#[test]
fn a_stream_can_be_kept_by_a_task_that_is_dropped_with_its_loop() {
    for _ in 0..50 {
        tulipa::run(async {
            let (client, mut server) = pair().await;
            drop(tulipa::spawn(async move {
                let _ = server.read(&mut [0; 8]).await;
            }));
            tulipa::yield_now().await;
            drop(client);
        });
    }
}

/// The socket goes away while its wakers are being collected.
#[test]
fn a_wake_that_closes_other_sockets_is_harmless() {
    tulipa::run(async {
        let mut pairs = Vec::new();
        for _ in 0..20 {
            pairs.push(pair().await);
        }
        let shared: Rc<Cell<Vec<TcpStream>>> = Rc::default();
        let (mut clients, servers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let mut tasks = Vec::new();
        for mut server in servers {
            let shared = shared.clone();
            tasks.push(tulipa::spawn(async move {
                let count = server.read(&mut [0; 8]).await.unwrap();
                shared.take();
                count
            }));
        }
        tulipa::yield_now().await;
        for client in &mut clients {
            client.write_all(b"x").await.unwrap();
        }
        shared.set(clients);
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1);
        }
    });
}

fn assert_unpin<T: Unpin>() {}

#[test]
fn streams_move_freely() {
    assert_unpin::<TcpStream>();
    assert_unpin::<TcpListener>();
    fn is_future<F: Future>(_: &F) {}
    is_future(&TcpListener::bind("127.0.0.1:0"));
}
