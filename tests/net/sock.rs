//! Bare sockets: the `sock_*` family.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use socket2::{Domain, Type};

use crate::give_up;
use tulipa::net::Socket;
use tulipa::net::names::with_resolver;
use tulipa::{spawn, yield_now};

fn pair() -> (Socket, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Socket::new(ours).unwrap(), theirs)
}

fn tcp(domain: Domain) -> Socket {
    Socket::new(socket2::Socket::new(domain, Type::STREAM, None).unwrap()).unwrap()
}

fn std_listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

// §15
#[test]
fn a_socket_receives_and_sends() {
    tulipa::run(async {
        let (ours, mut theirs) = pair();
        ours.send_all(b"question").await.unwrap();
        let mut buf = [0; 8];
        theirs.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"question");
        theirs.write_all(b"answer").unwrap();
        assert_eq!(ours.recv(&mut buf[..3]).await.unwrap(), 3);
        assert_eq!(ours.recv_bytes(100).await.unwrap(), b"wer");
        assert_eq!(ours.send(b"more").await.unwrap(), 4);
        drop(theirs);
        // What it had not read makes it a reset here; there is no signal either way.
        let error = ours.send(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(format!("{ours:?}").starts_with("Socket"));
        let _: OwnedFd = ours.into_fd().unwrap();
    });
}

// §15 TRAP: a second sock_recv on the same socket
#[test]
fn several_receive_in_the_order_in_which_they_asked() {
    tulipa::run(async {
        let (ours, mut theirs) = pair();
        let ours = Rc::new(ours);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let ours = ours.clone();
                spawn(async move { ours.recv_bytes(1).await.unwrap() })
            })
            .collect();
        yield_now().await;
        yield_now().await;
        // One gives up, in the middle of the queue, and one at its head.
        tasks[1].abort();
        tasks[0].abort();
        theirs.write_all(b"ab").unwrap();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.ok());
        }
        let expected = [None, None, Some(b"a".to_vec()), Some(b"b".to_vec())];
        assert_eq!(results, expected);
    });
}

// §15: recv and sendall at once; two sendalls
#[test]
fn sending_and_receiving_do_not_wait_for_each_other() {
    const SIZE: usize = 1 << 20;
    tulipa::run(async {
        let (one, two) = UnixStream::pair().unwrap();
        let (one, two) = (
            Rc::new(Socket::new(one).unwrap()),
            Socket::new(two).unwrap(),
        );
        let receiver = one.clone();
        let waiting = spawn(async move { receiver.recv_bytes(8).await.unwrap() });
        yield_now().await;
        let senders = [b'a', b'b'].map(|letter| {
            let one = one.clone();
            spawn(async move { one.send_all(&vec![letter; SIZE]).await.unwrap() })
        });
        let mut all = Vec::new();
        while all.len() < 2 * SIZE {
            all.extend(two.recv_bytes(100_000).await.unwrap());
        }
        // Not mixed.
        assert!(all[..SIZE].iter().all(|it| *it == b'a'));
        assert!(all[SIZE..].iter().all(|it| *it == b'b'));
        for sender in senders {
            sender.await.unwrap();
        }
        assert!(!waiting.is_finished());
        two.send_all(b"at last").await.unwrap();
        assert_eq!(waiting.await.unwrap(), b"at last");
    });
}

// §15, CN02
#[test]
fn receiving_can_be_given_up_at_every_await() {
    tulipa::run(async {
        let (ours, mut theirs) = pair();
        let mut buf = [0; 4];
        for polls in 0..3 {
            assert!(give_up::soon(polls, ours.recv(&mut buf)).await.is_none());
            assert!(give_up::soon(polls, ours.recv_bytes(4)).await.is_none());
            assert!(
                give_up::soon(polls, ours.recv_from(&mut buf))
                    .await
                    .is_none()
            );
        }
        theirs.write_all(b"kept").unwrap();
        assert_eq!(ours.recv(&mut buf).await.unwrap(), 4);

        // A datagram is sent whole or not at all; of a stream a part may be.
        let mut sent = 0;
        while let Some(count) = give_up::soon(3, ours.send(&[7; 1000])).await {
            sent += count.unwrap();
        }
        assert!(give_up::soon(2, ours.send(&[7; 1000])).await.is_none());
        drop(ours);
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), sent);
    });
}

// §15: accept returns a non-blocking socket; connect resolves for the socket's own type
#[test]
fn sockets_accept_and_connect() {
    tulipa::run(async {
        let (listener, addr) = std_listener();
        let listener = Socket::new(listener).unwrap();
        assert!(give_up::soon(2, listener.accept()).await.is_none());
        let client = tcp(Domain::IPV4);
        client.connect(addr).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        let local = socket2::SockRef::from(&client).local_addr().unwrap();
        assert_eq!(peer, local.as_socket());
        assert!(give_up::soon(1, server.recv(&mut [0; 1])).await.is_none());
        client.send_all(b"hi").await.unwrap();
        assert_eq!(server.recv_bytes(8).await.unwrap(), b"hi");

        // By name, the first address of its family.
        let resolver = async move |_: &str, port: u16| {
            let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
            Ok(vec![v6, addr])
        };
        with_resolver(resolver, async {
            let client = tcp(Domain::IPV4);
            client.connect(("a.test", addr.port())).await.unwrap();
            drop(listener.accept().await.unwrap());
        })
        .await;
        let error = tcp(Domain::IPV4).connect("[::1]:1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        drop(listener);
        let error = tcp(Domain::IPV4).connect(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

// §15
#[test]
fn datagrams_go_to_and_come_from_addresses() {
    tulipa::run(async {
        let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (one, two) = (bind(), bind());
        let (one_addr, two_addr) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        let (one, two) = (Socket::new(one).unwrap(), Socket::new(two).unwrap());
        assert_eq!(one.send_to(b"hello", two_addr).await.unwrap(), 5);
        assert_eq!(one.send_to(b"", two_addr).await.unwrap(), 0);
        let mut buf = [0; 4];
        let received = two.recv_from(&mut buf).await.unwrap();
        assert_eq!(received, (4, Some(one_addr)), "cut to the buffer");
        assert_eq!(two.recv_from(&mut buf).await.unwrap(), (0, Some(one_addr)));
        two.connect(one_addr).await.unwrap();
        two.send(b"back").await.unwrap();
        assert_eq!(one.recv_bytes(100).await.unwrap(), b"back");
    });
}

// TC25
#[test]
fn only_sockets_are_taken_and_made_non_blocking() {
    tulipa::run(async {
        let (reader, _writer) = std::io::pipe().unwrap();
        let error = Socket::new(reader).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
        let (blocking, _peer) = UnixStream::pair().unwrap();
        let socket = Socket::new(blocking).unwrap();
        assert!(give_up::soon(1, socket.recv(&mut [0; 1])).await.is_none());
    });
}
