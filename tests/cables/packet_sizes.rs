//! Datagrams that are larger than what the cable takes in one piece, and a router that takes less than the cable.

use std::cell::Cell;
use std::net::SocketAddr;

use tulipa::net::{Batch, TcpStream, UdpSocket};

use crate::hosts::{Host, Hosts, v4, within};
use crate::traffic::{bytes, check, echo};

/// Receives `count` datagrams of `size` bytes on the far host.
async fn receive(socket: &UdpSocket, size: usize, count: usize) {
    let mut batch = Batch::new(64, 2048);
    let mut received = 0;
    while received < count {
        received += within("datagrams", socket.recv_many(&mut batch))
            .await
            .expect("they come");
        for it in batch.iter() {
            assert_eq!(it.data.len(), size, "its bounds");
            check(0, it.data);
        }
    }
    assert_eq!(received, count);
}

/// Sends so many datagrams of a size in one batch, and has them received.
async fn exchange(hosts: &Hosts, socket: &UdpSocket, port: u16, size: usize, count: usize) {
    let to = SocketAddr::new(v4(2).ip(), port);
    let (ready, is_ready) = tulipa::sync::remote::oneshot::channel::<()>();
    let receiving = hosts.start_far(move || async move {
        let socket = UdpSocket::bind(("0.0.0.0", port))
            .await
            .expect("the port is free");
        let _ = ready.send(());
        receive(&socket, size, count).await;
    });
    is_ready.await.expect("it receives");
    let mut batch = Batch::new(64, 2048);
    (0..count).for_each(|_| batch.push(&bytes(0, size), to));
    assert_eq!(
        socket
            .send_many(&mut batch)
            .await
            .expect("they can be sent"),
        count
    );
    within("receiving", receiving)
        .await
        .expect("it does not panic");
}

/// IP packets in fragments that a host has made.
async fn fragments(host: &Host) -> u64 {
    let line = host.sh("nstat -asz IpFragCreates | tail -n 1").await;
    line.split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect(&line)
}

pub(crate) async fn small_mtu(hosts: &Hosts) -> String {
    for host in [&hosts.near, &hosts.far] {
        host.sh("ip link set cable mtu 576").await;
    }
    let socket = UdpSocket::bind("0.0.0.0:0").await.expect("there is a port");
    // One message with several datagrams in it does not go when one of them is larger than the cable takes.
    exchange(hosts, &socket, 7001, 1472, 40).await;
    let made = fragments(&hosts.near).await;
    assert_eq!(made, 40 * 3, "each in three pieces");
    // Those that fit do still.
    exchange(hosts, &socket, 7002, 500, 40).await;
    exchange(hosts, &socket, 7003, 1472, 1).await;
    assert_eq!(
        fragments(&hosts.near).await,
        41 * 3,
        "small ones go in one piece"
    );
    format!(
        "40 datagrams of 1472 bytes in one batch arrive, in {made} fragments; smaller ones whole"
    )
}

pub(crate) async fn path_mtu(hosts: &Hosts) -> String {
    // near -- router (1500), router -- far (600).
    let router = Host::named_by("CABLES_ROUTER");
    let (near, far) = (&hosts.near.name, &hosts.far.name);
    let script = format!(
        "ip link add left type veth peer name path netns {near}
         ip link add right type veth peer name path netns {far}
         ip address add 10.79.1.1/24 dev left
         ip address add 10.79.2.1/24 dev right
         ip link set left up
         ip link set right mtu 600 up
         sysctl -qw net.ipv4.ip_forward=1"
    );
    router.sh(&script).await;
    // The far host sends small ones, and says nothing of it.
    for (host, number, how) in [(&hosts.near, 1, ""), (&hosts.far, 2, "mtu 600 advmss 1460")] {
        let script = format!(
            "ip address add 10.79.{number}.2/24 dev path
             ip link set path up
             ip route add 10.79.0.0/16 via 10.79.{number}.1 {how}"
        );
        host.sh(&script).await;
    }
    let far_addr = SocketAddr::from(([10, 79, 2, 2], 7000));

    // TCP finds out by itself.
    let _server = hosts.start(&hosts.far, "echo_server", &["0.0.0.0:7000"]);
    let stream = within("connecting", TcpStream::connect(far_addr))
        .await
        .expect("it listens");
    let received = Cell::new(0);
    within("an echo", echo(stream, 1 << 20, &received))
        .await
        .expect("it gets through");
    let route = hosts.near.sh("ip route get 10.79.2.2").await;
    assert!(
        route.contains("mtu 600"),
        "the system has learnt it: {route}"
    );

    // Datagrams are sent in fragments from then on, whether they are in a batch or not.
    let (ready, is_ready) = tulipa::sync::remote::oneshot::channel::<()>();
    let receiving = hosts.start_far(move || async move {
        let socket = UdpSocket::bind("0.0.0.0:7001")
            .await
            .expect("the port is free");
        let _ = ready.send(());
        receive(&socket, 1400, 21).await;
    });
    is_ready.await.expect("it receives");
    let socket = UdpSocket::bind("0.0.0.0:0").await.expect("there is a port");
    let to = SocketAddr::new(far_addr.ip(), 7001);
    let mut batch = Batch::new(64, 2048);
    (0..20).for_each(|_| batch.push(&bytes(0, 1400), to));
    socket
        .send_many(&mut batch)
        .await
        .expect("they can be sent");
    socket
        .send_to(&bytes(0, 1400), to)
        .await
        .expect("it can be sent");
    within("receiving", receiving)
        .await
        .expect("it does not panic");
    let made = fragments(&hosts.near).await;
    assert_eq!(made, 21 * 3, "in three pieces each");
    "1 MiB through a router with a smaller cable behind it; then 21 datagrams of 1400 bytes in fragments".to_owned()
}
