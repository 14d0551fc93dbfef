//! UDP sockets with options that count before they are bound, and addresses of both sides.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use tulipa::net::UdpSocket;

const ANY: &str = "127.0.0.1:0";

fn any_v4() -> SocketAddr {
    ANY.parse().unwrap()
}

fn any_v6() -> SocketAddr {
    "[::1]:0".parse().unwrap()
}

async fn passes(from: &UdpSocket, to: &UdpSocket) {
    let mut buf = [0; 8];
    from.send_to(b"datagram", to.local_addr().unwrap())
        .await
        .unwrap();
    let (count, peer) = to.recv_from(&mut buf).await.unwrap();
    assert_eq!((count, peer), (8, from.local_addr().unwrap()));
}

#[test]
fn options_are_set_before_the_socket_is_bound() {
    tulipa::run(async {
        let plain = UdpSocket::builder().bind(ANY).await.unwrap();
        assert!(!plain.broadcast().unwrap());
        assert!(!plain.reuse_address().unwrap());
        let builder = UdpSocket::builder()
            .broadcast()
            .reuse_address()
            .send_buffer_size(30_000)
            .recv_buffer_size(40_000);
        let one = builder.bind(ANY).await.unwrap();
        assert!(one.broadcast().unwrap() && one.reuse_address().unwrap());
        // Linux doubles them.
        let (send, recv) = (one.send_buffer_size(), one.recv_buffer_size());
        assert!((30_000..=60_000).contains(&send.unwrap()));
        assert!((40_000..=80_000).contains(&recv.unwrap()));
        passes(&one, &plain).await;
        // The builder may be used again.
        let addr = one.local_addr().unwrap();
        let two = builder.bind(addr).await.unwrap();
        assert_eq!(two.local_addr().unwrap(), addr);

        one.set_send_buffer_size(50_000).unwrap();
        assert!((50_000..=100_000).contains(&one.send_buffer_size().unwrap()));
        one.set_recv_buffer_size(60_000).unwrap();
        assert!((60_000..=120_000).contains(&one.recv_buffer_size().unwrap()));
    });
}

#[cfg(unix)]
#[test]
fn packets_are_marked() {
    tulipa::run(async {
        let builder = UdpSocket::builder().traffic_class(0x20);
        let socket = builder.bind(ANY).await.unwrap();
        assert_eq!(socket.traffic_class().unwrap(), 0x20);
        socket.set_traffic_class(0x40).unwrap();
        assert_eq!(socket.traffic_class().unwrap(), 0x40);
        if let Ok(socket) = builder.bind(any_v6()).await {
            assert_eq!(socket.traffic_class().unwrap(), 0x20);
        }
    });
}

// §14: reuse_port
#[cfg(target_os = "linux")]
#[test]
fn several_sockets_share_a_port_if_all_agree_and_share_the_peers() {
    tulipa::run(async {
        let builder = UdpSocket::builder().reuse_port();
        let one = builder.bind(ANY).await.unwrap();
        assert!(one.reuse_port().unwrap());
        let addr = one.local_addr().unwrap();
        let two = builder.bind(addr).await.unwrap();
        let error = UdpSocket::bind(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        let (mut to_one, mut to_two) = (0, 0);
        let mut buf = [0; 8];
        for _ in 0..64 {
            let peer = UdpSocket::bind(ANY).await.unwrap();
            assert!(!peer.reuse_port().unwrap());
            peer.send_to(b"any", addr).await.unwrap();
            tulipa::select! {
                received = one.recv(&mut buf) => { received.unwrap(); to_one += 1; },
                received = two.recv(&mut [0; 8]) => { received.unwrap(); to_two += 1; },
            }
        }
        assert_eq!(to_one + to_two, 64);
        assert!(to_one > 0 && to_two > 0, "{to_one} and {to_two}");
    });
}

#[test]
fn a_socket_of_ipv6_is_for_ipv6_only_or_for_both() {
    tulipa::run(async {
        let only = UdpSocket::builder().only_v6(true);
        let Ok(socket) = only.bind("[::]:0").await else {
            return; // This machine has no IPv6.
        };
        assert!(socket.only_v6().unwrap());
        let port = socket.local_addr().unwrap().port();
        // The same port is free over IPv4.
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        // Sockets for IPv4 pass over it.
        only.bind(ANY).await.unwrap();

        let both = UdpSocket::builder().only_v6(false);
        let both = both.bind("[::]:0").await.unwrap();
        assert!(!both.only_v6().unwrap());
        let port = both.local_addr().unwrap().port();
        let sender = UdpSocket::bind(ANY).await.unwrap();
        sender
            .send_to(b"four", (Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let (_, peer) = both.recv_from(&mut [0; 8]).await.unwrap();
        assert_eq!(peer.ip().to_canonical(), Ipv4Addr::LOCALHOST);
        assert!(peer.is_ipv6(), "a mapped address: {peer}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_can_be_bound_to_an_interface() {
    tulipa::run(async {
        let socket = match UdpSocket::builder().device("lo").bind(ANY).await {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
            result => result.unwrap(),
        };
        assert_eq!(socket.device().unwrap().as_deref(), Some("lo"));
        let plain = UdpSocket::bind(ANY).await.unwrap();
        assert_eq!(plain.device().unwrap(), None);
        passes(&plain, &socket).await;
        let error = UdpSocket::builder().device("no-such-one").bind(ANY).await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:0"), "{error}");
    });
}

// §14: local_addr and remote_addr
#[test]
fn both_sides_addresses_are_paired_by_family() {
    tulipa::run(async {
        let peer = UdpSocket::bind(ANY).await.unwrap();
        let remote = peer.local_addr().unwrap();
        let builder = UdpSocket::builder();

        let socket = builder.connect(remote).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), remote);
        socket.send(b"one").await.unwrap();
        let (_, from) = peer.recv_from(&mut [0; 8]).await.unwrap();
        assert_eq!(from, socket.local_addr().unwrap());

        let locals = [any_v6(), any_v4()];
        let socket = builder.bind_and_connect(&locals[..], remote).await.unwrap();
        assert!(socket.local_addr().unwrap().ip().is_loopback());
        assert_eq!(socket.peer_addr().unwrap(), remote);
        socket.send(b"two").await.unwrap();
        peer.recv_from(&mut [0; 8]).await.unwrap();

        let error = builder.bind_and_connect(any_v6(), remote).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);

        // The first error, with its address.
        let foreign: [SocketAddr; 2] = ["192.0.2.1:0".parse().unwrap(), remote];
        let error = builder.bind_and_connect(&foreign[..], remote).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("192.0.2.1:0"), "{error}");

        // Without leave for it nobody is connected to a broadcast address.
        #[cfg(target_os = "linux")]
        {
            let all: SocketAddr = "127.255.255.255:9".parse().unwrap();
            let error = builder.bind_and_connect(ANY, all).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("connect to"), "{error}");
            let builder = builder.clone().broadcast();
            let socket = builder.bind_and_connect(ANY, all).await.unwrap();
            socket.send(b"all").await.unwrap();
        }
    });
}
