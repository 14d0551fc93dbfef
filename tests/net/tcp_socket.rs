//! Sockets before they connect or listen, and the options of streams and listeners.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(unix)]
use socket2::SockRef;

use tulipa::net::{KeepAlive, TcpListener, TcpSocket, TcpStream};

fn any_v4() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_v4()).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let client = client.await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[test]
fn a_socket_binds_listens_and_connects() {
    tulipa::run(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(any_v4()).unwrap();
        let addr = socket.local_addr().unwrap();
        assert!(format!("{socket:?}").contains(&addr.to_string()));
        let listener = socket.listen(16).unwrap();
        assert_eq!(listener.local_addr().unwrap(), addr);

        let socket = TcpSocket::for_addr(addr).unwrap();
        socket.bind(any_v4()).unwrap();
        let local = socket.local_addr().unwrap();
        let client = socket.connect(addr).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!((client.local_addr().unwrap(), peer), (local, local));

        let error = TcpSocket::new_v4().unwrap().bind(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        drop(listener);
        let error = TcpSocket::new_v4()
            .unwrap()
            .connect(addr)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    });
}

#[test]
fn options_are_kept_by_the_stream() {
    tulipa::run(async {
        let listener = TcpListener::bind(any_v4()).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        assert!(socket.nodelay().unwrap(), "by default");
        assert!(!socket.reuse_address().unwrap());
        socket.set_nodelay(false).unwrap();
        socket.set_reuse_address(true).unwrap();
        assert!(socket.reuse_address().unwrap());
        socket.set_ttl(7).unwrap();
        #[cfg(unix)]
        socket.set_traffic_class(0x10).unwrap();
        socket.set_send_buffer_size(30_000).unwrap();
        socket.set_recv_buffer_size(40_000).unwrap();
        assert!(socket.send_buffer_size().unwrap() >= 30_000);
        assert!(socket.recv_buffer_size().unwrap() >= 40_000);
        let times = KeepAlive::new()
            .time(Duration::from_millis(1))
            .interval(Duration::from_millis(2_500))
            .retries(3);
        socket.set_keep_alive_times(&times).unwrap();
        assert!(socket.take_error().unwrap().is_none());

        let addr = listener.local_addr().unwrap();
        let stream = socket.connect(addr).await.unwrap();
        assert!(!stream.nodelay().unwrap());
        assert_eq!(stream.ttl().unwrap(), 7);
        #[cfg(unix)]
        assert_eq!(stream.traffic_class().unwrap(), 0x10);
        assert!(stream.keep_alive().unwrap());
        #[cfg(unix)]
        {
            // In whole seconds, rounded up.
            let socket = SockRef::from(&stream);
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(1));
            let interval = socket.tcp_keepalive_interval().unwrap();
            assert_eq!(interval, Duration::from_secs(3));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        }
        stream.set_keep_alive(false).unwrap();
        stream.set_ttl(64).unwrap();
        assert_eq!(stream.ttl().unwrap(), 64);
        listener.set_ttl(9).unwrap();
        assert_eq!(listener.ttl().unwrap(), 9);
        assert!(stream.take_error().unwrap().is_none());
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn unacknowledged_bytes_can_be_given_a_time() {
    tulipa::run(async {
        let (stream, _peer) = pair().await;
        assert_eq!(stream.user_timeout().unwrap(), None);
        let limit = Some(Duration::from_secs(5));
        stream.set_user_timeout(limit).unwrap();
        assert_eq!(stream.user_timeout().unwrap(), limit);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_can_be_bound_to_an_interface() {
    tulipa::run(async {
        let listener = TcpListener::bind(any_v4()).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        match socket.bind_device(Some("lo")) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
            result => result.unwrap(),
        }
        assert_eq!(socket.device().unwrap().as_deref(), Some("lo"));
        let addr = listener.local_addr().unwrap();
        socket.connect(addr).await.unwrap();

        let socket = TcpSocket::new_v4().unwrap();
        assert!(socket.bind_device(Some("no-such-one")).is_err());
    });
}

// TC24
#[cfg(unix)]
#[test]
fn several_sockets_share_a_port_if_all_agree() {
    tulipa::run(async {
        let bind = |addr, share| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuse_port(share).unwrap();
            assert_eq!(socket.reuse_port().unwrap(), share);
            socket.bind(addr).map(|()| socket)
        };
        let one = bind(any_v4(), true).unwrap().listen(16).unwrap();
        let addr = one.local_addr().unwrap();
        let two = bind(addr, true).unwrap().listen(16).unwrap();
        assert!(bind(addr, false).is_err());
        let _client = TcpStream::connect(addr).await.unwrap();
        tulipa::race!(one.accept(), two.accept()).unwrap();
    });
}

// TC24
#[test]
fn a_socket_of_ipv6_is_for_ipv6_only_or_for_both() {
    tulipa::run(async {
        let socket = match TcpSocket::new_v6() {
            Ok(socket) => socket,
            Err(_) => return, // This machine has no IPv6.
        };
        socket.set_only_v6(false).unwrap();
        assert!(!socket.only_v6().unwrap());
        socket.set_ttl(11).unwrap();
        assert_eq!(socket.ttl().unwrap(), 11);
        #[cfg(unix)]
        {
            socket.set_traffic_class(0x20).unwrap();
            assert_eq!(socket.traffic_class().unwrap(), 0x20);
        }
        if socket.bind("[::]:0".parse().unwrap()).is_err() {
            return;
        }
        let both = socket.listen(16).unwrap();
        let port = both.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, peer) = both.accept().await.unwrap();
        assert!(peer.is_ipv6(), "a mapped address: {peer}");
        assert_eq!(peer.ip().to_canonical(), client.local_addr().unwrap().ip());
        drop(both);

        let socket = TcpSocket::new_v6().unwrap();
        socket.set_only_v6(true).unwrap();
        assert!(socket.only_v6().unwrap());
        socket.bind("[::]:0".parse().unwrap()).unwrap();
        let only = socket.listen(16).unwrap();
        let port = only.local_addr().unwrap().port();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    });
}

#[test]
fn closing_can_throw_away_what_is_not_sent() {
    tulipa::run(async {
        let (stream, mut peer) = pair().await;
        assert_eq!(stream.linger().unwrap(), None);
        stream.set_linger(Some(Duration::from_millis(1))).unwrap();
        let rounded_up = Some(Duration::from_secs(1));
        assert_eq!(
            stream.linger().unwrap(),
            rounded_up,
            "not zero, which aborts"
        );
        stream.set_linger(None).unwrap();
        assert_eq!(stream.linger().unwrap(), None);
        drop(stream);
        assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);

        let (stream, mut peer) = pair().await;
        stream.abort();
        let error = peer.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

// TC16
#[test]
fn what_only_tries_never_waits_and_loses_no_readiness() {
    tulipa::run(async {
        let (mut stream, mut peer) = pair().await;
        let mut buf = [0; 4];
        let would_block = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
        assert!(stream.try_peek(&mut buf).is_err_and(would_block));
        assert!(stream.try_read(&mut buf).is_err_and(would_block));
        let bufs = &mut [IoSliceMut::new(&mut buf)];
        assert!(stream.try_read_vectored(bufs).is_err_and(would_block));
        let sent = peer.try_write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]);
        assert_eq!(sent.unwrap(), 4);

        stream.readable().await.unwrap();
        assert_eq!(stream.try_peek(&mut buf).unwrap(), 4);
        let (mut first, mut second) = ([0; 1], [0; 2]);
        let bufs = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(stream.try_read_vectored(bufs).unwrap(), 3);
        assert_eq!((&first, &second), (b"a", b"bc"));
        stream.readable().await.unwrap();
        assert_eq!(stream.peek(&mut buf).await.unwrap(), 1);
        assert_eq!(stream.try_read(&mut buf).unwrap(), 1);
        assert!(stream.try_read(&mut buf).is_err_and(would_block));

        // What the peer writes after that is noticed.
        let writer = tulipa::spawn(async move {
            tulipa::sleep(Duration::from_millis(5)).await;
            peer.write_all(b"end").await.unwrap();
        });
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut buf).unwrap(), 3);
        writer.await.unwrap();
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut buf).unwrap(), 0);

        let listener = TcpListener::bind(any_v4()).await.unwrap();
        assert!(listener.try_accept().is_err_and(would_block));
        let addr = listener.local_addr().unwrap();
        let _client = TcpStream::connect(addr).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(accepted.nodelay().unwrap());
        let _client = TcpStream::connect(addr).await.unwrap();
        let (accepted, _) = listener.try_accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    });
}

// TC25
#[test]
fn blocking_sockets_of_std_are_made_non_blocking() {
    tulipa::run(async {
        let std_listener = std::net::TcpListener::bind(any_v4()).unwrap();
        let addr = std_listener.local_addr().unwrap();
        let listener = TcpListener::from_std(std_listener).unwrap();
        assert!(listener.try_accept().is_err(), "it does not wait");
        let std_stream = std::net::TcpStream::connect(addr).unwrap();
        let mut stream = TcpStream::from_std(std_stream).unwrap();
        assert!(stream.try_read(&mut [0; 1]).is_err(), "it does not wait");

        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = TcpSocket::from_std(socket.unwrap().into()).unwrap();
        let mut client = socket.connect(addr).await.unwrap();
        listener.accept().await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"hi").await.unwrap();
        client.read_exact(&mut [0; 2]).await.unwrap();

        // And back: std's may be made blocking again.
        let mut back = client.into_std().unwrap();
        back.set_nonblocking(false).unwrap();
        let mut other = server.into_std().unwrap();
        other.set_nonblocking(false).unwrap();
        other.write_all(b"yo").unwrap();
        back.read_exact(&mut [0; 2]).unwrap();
        let raw = TcpSocket::new_v4().unwrap().into_std();
        assert!(raw.peer_addr().is_err());
    });
}
