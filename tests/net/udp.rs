//! UDP sockets and batches of datagrams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::{Batch, UdpSocket};

use crate::cut_short;

/// The longest datagram over IPv4.
const LONGEST: usize = 65_507;

async fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Two sockets that are connected to each other.
async fn pair() -> (UdpSocket, UdpSocket) {
    let (a, a_addr) = bound().await;
    let (b, b_addr) = bound().await;
    a.connect(b_addr).await.unwrap();
    b.connect(a_addr).await.unwrap();
    (a, b)
}

// UD01
#[test]
fn datagrams_of_all_sizes_arrive_whole() {
    tulipa::run(async {
        let (a, a_addr) = bound().await;
        let (b, b_addr) = bound().await;
        let data: Vec<u8> = (0..LONGEST).map(|it| it as u8).collect();
        let mut buf = vec![0; LONGEST + 10];
        for size in [0, 1, 1472, 1473, LONGEST] {
            let sent = a.send_to(&data[..size], b_addr).await.unwrap();
            assert_eq!(sent, size);
            let (len, peer) = b.recv_from(&mut buf).await.unwrap();
            assert_eq!((len, peer), (size, a_addr));
            assert!(buf[..len] == data[..size]);
        }
        let too_long = vec![0; LONGEST + 1];
        let error = a.send_to(&too_long, b_addr).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.raw_os_error().is_some(), "the system's own: {error}");
        a.send_to(b"goes on", b_addr).await.unwrap();
        assert_eq!(b.recv(&mut buf).await.unwrap(), 7);
    });
}

// UD01
#[cfg(unix)]
#[test]
fn a_datagram_that_is_too_long_is_cut() {
    tulipa::run(async {
        let (a, b) = pair().await;
        a.send(b"0123456789").await.unwrap();
        a.send(b"next").await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(b.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"0123");
        assert_eq!(b.recv(&mut buf).await.unwrap(), 4, "the rest is lost");
        assert_eq!(&buf, b"next");
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    tulipa::run(async {
        let (a, b) = pair().await;
        let (stranger, _) = bound().await;
        let b_addr = b.local_addr().unwrap();
        assert_eq!(a.peer_addr().unwrap(), b_addr);
        stranger.send_to(b"noise", b_addr).await.unwrap();
        a.send(b"signal").await.unwrap();
        let mut buf = [0; 16];
        let len = b.recv(&mut buf).await.unwrap();
        assert_eq!(&buf[..len], b"signal");
        assert_eq!(
            b.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        stranger.send(b"to whom?").await.unwrap_err();
        assert_eq!(
            stranger.peer_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        assert!(format!("{a:?}").contains(&b_addr.to_string()));
    });
}

#[test]
fn addresses_of_the_wrong_family_are_passed_over() {
    tulipa::run(async {
        let (a, _) = bound().await;
        let (b, b_addr) = bound().await;
        let other_family = SocketAddr::from((Ipv6Addr::LOCALHOST, b_addr.port()));
        a.send_to(b"x", [other_family, b_addr]).await.unwrap();
        assert_eq!(b.recv(&mut [0; 4]).await.unwrap(), 1);
        a.connect([other_family, b_addr]).await.unwrap();
        assert_eq!(a.peer_addr().unwrap(), b_addr);
        // § 14: no common family is an error.
        let error = a.connect(other_family).await.unwrap_err();
        assert!(
            error.to_string().contains(&other_family.to_string()),
            "{error}"
        );
    });
}

#[test]
fn errors_of_bind_name_the_address() {
    tulipa::run(async {
        let (_taken, addr) = bound().await;
        let error = UdpSocket::bind(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        let (free, _) = (
            UdpSocket::bind([addr, "127.0.0.1:0".parse().unwrap()]).await,
            (),
        );
        assert_ne!(free.unwrap().local_addr().unwrap(), addr);
        let error = UdpSocket::bind("nonsense").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// § 12: an OSError goes to error_received, and the transport stays open.
#[cfg(unix)]
#[test]
fn a_refused_datagram_is_an_error_once_and_the_socket_goes_on() {
    tulipa::run(async {
        let (a, a_addr) = bound().await;
        let (gone, gone_addr) = bound().await;
        drop(gone);
        a.connect(gone_addr).await.unwrap();

        a.send(b"anyone?").await.unwrap();
        let error = a.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

        a.send(b"anyone?").await.unwrap();
        while a.take_error().unwrap().is_none() {
            tulipa::yield_now().await;
        }

        let back = UdpSocket::bind(gone_addr).await.unwrap();
        a.send(b"hello").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(back.recv_from(&mut buf).await.unwrap(), (5, a_addr));
        back.send_to(b"hi", a_addr).await.unwrap();
        assert_eq!(a.recv(&mut buf).await.unwrap(), 2);
    });
}

// TC16
#[test]
fn peeking_and_trying_lose_no_readiness() {
    tulipa::run(async {
        let (a, b) = pair().await;
        let b_addr = b.local_addr().unwrap();
        let a_addr = a.local_addr().unwrap();
        let mut buf = [0; 8];
        for _ in 0..3 {
            assert_eq!(
                b.try_recv(&mut buf).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
            let would_block = b.try_recv_from(&mut buf).unwrap_err();
            assert_eq!(would_block.kind(), ErrorKind::WouldBlock);
            a.try_send(b"one").unwrap();
            b.readable().await.unwrap();
            b.readable().await.unwrap();
            assert_eq!(b.peek(&mut buf).await.unwrap(), 3);
            assert_eq!(b.peek_from(&mut buf).await.unwrap(), (3, a_addr));
            assert_eq!(b.try_recv_from(&mut buf).unwrap(), (3, a_addr));
            a.writable().await.unwrap();
            if cfg!(target_os = "linux") {
                a.try_send_to(b"four", b_addr).unwrap();
            } else {
                a.try_send(b"four").unwrap(); // Others refuse an address on a connected socket.
            }
            assert_eq!(b.recv(&mut buf).await.unwrap(), 4);
        }
    });
}

#[test]
fn polled_forms_do_the_same() {
    tulipa::run(async {
        let (a, a_addr) = bound().await;
        let (b, b_addr) = bound().await;
        let mut buf = [0; 8];
        let receiver = tulipa::spawn(async move {
            poll_fn(|cx| b.poll_recv_ready(cx)).await.unwrap();
            let peeked = poll_fn(|cx| b.poll_peek_from(cx, &mut buf)).await.unwrap();
            let first = poll_fn(|cx| b.poll_recv_from(cx, &mut buf)).await.unwrap();
            let second = poll_fn(|cx| b.poll_recv(cx, &mut buf)).await.unwrap();
            (peeked, first, second)
        });
        tulipa::yield_now().await;
        poll_fn(|cx| a.poll_send_ready(cx)).await.unwrap();
        poll_fn(|cx| a.poll_send_to(cx, b"12345", b_addr))
            .await
            .unwrap();
        a.connect(b_addr).await.unwrap();
        poll_fn(|cx| a.poll_send(cx, b"12")).await.unwrap();
        let received = receiver.await.unwrap();
        assert_eq!(received, ((5, a_addr), (5, a_addr), 2));
    });
}

// TC15
#[test]
fn tasks_that_share_a_socket_get_each_datagram_once() {
    const RECEIVERS: usize = 8;
    const EACH: usize = 50;
    tulipa::run(async {
        let (a, b) = pair().await;
        let b = Rc::new(b);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let receivers: Vec<_> = (0..RECEIVERS)
            .map(|_| {
                let (b, seen) = (Rc::clone(&b), Rc::clone(&seen));
                tulipa::spawn(async move {
                    let mut buf = [0; 8];
                    for _ in 0..EACH {
                        let len = b.recv(&mut buf).await.unwrap();
                        assert_eq!(len, 2);
                        seen.borrow_mut().push(u16::from_be_bytes([buf[0], buf[1]]));
                    }
                })
            })
            .collect();
        for number in 0..(RECEIVERS * EACH) as u16 {
            a.send(&number.to_be_bytes()).await.unwrap();
            // So that nothing overflows, and waiters come and go.
            while seen.borrow().len() + 10 < usize::from(number) {
                tulipa::yield_now().await;
            }
        }
        for receiver in receivers {
            receiver.await.unwrap();
        }
        let mut seen = seen.take();
        seen.sort_unstable();
        let all: Vec<u16> = (0..(RECEIVERS * EACH) as u16).collect();
        assert_eq!(seen, all);
    });
}

// TC15
#[test]
fn a_waiter_that_leaves_does_not_take_the_wake_along() {
    tulipa::run(async {
        let (a, b) = pair().await;
        let b = Rc::new(b);
        for _ in 0..20 {
            let waits = |b: &Rc<UdpSocket>| {
                let b = Rc::clone(b);
                tulipa::spawn(async move { b.recv(&mut [0; 8]).await.unwrap() })
            };
            let (first, second, third) = (waits(&b), waits(&b), waits(&b));
            tulipa::yield_now().await;
            tulipa::yield_now().await;
            a.send(b"x").await.unwrap();
            first.abort();
            third.abort();
            let len = tulipa::timeout(Duration::from_secs(10), second).await;
            assert_eq!(len.unwrap().unwrap(), 1);
        }
    });
}

// UD03
#[test]
fn cancelled_receives_lose_no_datagram() {
    const COUNT: u32 = 10_000;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    tulipa::run(async move {
        let (a, b) = pair().await;
        let received = Rc::new(Cell::new(0));
        let count = Rc::clone(&received);
        let sender = tulipa::spawn(async move {
            for number in 0..COUNT {
                a.send(&number.to_be_bytes()).await.unwrap();
                while count.get() + 20 < number {
                    tulipa::yield_now().await;
                }
            }
        });
        let mut batch = Batch::new(7, 16);
        let mut buf = [0; 16];
        let mut expected: u32 = 0;
        let mut see = |bytes: &[u8]| {
            assert_eq!(bytes, expected.to_be_bytes());
            expected += 1;
            received.set(expected);
            expected
        };
        let mut seen = 0;
        while seen < COUNT {
            let polls = random.usize(0..4);
            match random.u8(0..4) {
                0 => {
                    if let Some(result) = cut_short::after(polls, b.recv(&mut buf)).await {
                        let len = result.unwrap();
                        seen = see(&buf[..len]);
                    }
                }
                1 => {
                    if let Some(result) = cut_short::after(polls, b.recv_from(&mut buf)).await {
                        let (len, _) = result.unwrap();
                        seen = see(&buf[..len]);
                    }
                }
                2 => drop(cut_short::after(polls, b.peek(&mut buf)).await),
                _ => {
                    if cut_short::after(polls, b.recv_many(&mut batch))
                        .await
                        .is_some()
                    {
                        for datagram in batch.iter() {
                            seen = see(datagram.data);
                        }
                    }
                }
            }
        }
        sender.await.unwrap();
    });
}

// CN02
#[test]
fn waiting_for_readiness_and_sending_can_be_dropped() {
    tulipa::run(async {
        let (a, b) = pair().await;
        let mut buf = [0; 8];
        for polls in 0..4 {
            assert!(cut_short::after(polls, b.readable()).await.is_none());
            assert!(
                cut_short::after(polls, b.peek_from(&mut buf))
                    .await
                    .is_none()
            );
            let sent = cut_short::after(polls, a.send(b"one")).await.is_some();
            if sent {
                assert_eq!(b.recv(&mut buf).await.unwrap(), 3);
            }
            let sent = cut_short::after(polls, a.writable()).await;
            drop(sent);
            let bound = cut_short::after(polls, UdpSocket::bind("127.0.0.1:0")).await;
            assert_eq!(bound.is_some(), polls > 0);
            assert_eq!(
                b.try_recv(&mut buf).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
        }
    });
}

#[test]
fn options_are_set_and_told() {
    tulipa::run(async {
        let (socket, _) = bound().await;
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(9).unwrap();
        assert_eq!(socket.ttl().unwrap(), 9);
        socket.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
        assert!(socket.multicast_loop_v4().unwrap());
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        assert!(socket.take_error().unwrap().is_none());

        let Ok(socket) = UdpSocket::bind("[::1]:0").await else {
            return; // There is no IPv6 here.
        };
        socket.set_ttl(9).unwrap();
        assert_eq!(socket.ttl().unwrap(), 9);
        socket.set_multicast_hops_v6(3).unwrap();
        assert_eq!(socket.multicast_hops_v6().unwrap(), 3);
        socket.set_multicast_loop_v6(false).unwrap();
        assert!(!socket.multicast_loop_v6().unwrap());
    });
}

#[cfg(unix)]
#[test]
fn a_broadcast_needs_leave() {
    tulipa::run(async {
        let (socket, addr) = bound().await;
        let to = SocketAddr::from((Ipv4Addr::BROADCAST, addr.port()));
        let error = socket.send_to(b"all", to).await.unwrap_err();
        // Without any network there is no way to go at all.
        if error.kind() != ErrorKind::NetworkUnreachable {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        }
    });
}

#[test]
fn members_of_a_group_get_what_is_sent_to_it() {
    tulipa::run(async {
        let group = Ipv4Addr::new(239, 255, 71, 13);
        let member = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let port = member.local_addr().unwrap().port();
        member
            .join_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
        let (sender, sender_addr) = bound().await;
        sender.set_multicast_if_v4(Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!(sender.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
        sender.send_to(b"all", (group, port)).await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(member.recv_from(&mut buf).await.unwrap(), (3, sender_addr));
        member
            .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
        sender.send_to(b"all", (group, port)).await.unwrap();
        sender.send_to(b"you", ("127.0.0.1", port)).await.unwrap();
        let (len, _) = member.recv_from(&mut buf).await.unwrap();
        assert_eq!(&buf[..len], b"you");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn members_of_an_ipv6_group_get_what_is_sent_to_it() {
    tulipa::run(async {
        let Ok(sender) = UdpSocket::bind("[::1]:0").await else {
            return; // There is no IPv6 here.
        };
        let loopback = 1; // The first interface of every network namespace.
        let group: Ipv6Addr = "ff01::7113".parse().unwrap();
        let member = UdpSocket::bind("[::]:0").await.unwrap();
        let port = member.local_addr().unwrap().port();
        member.join_multicast_v6(&group, loopback).unwrap();
        sender.set_multicast_if_v6(loopback).unwrap();
        assert_eq!(sender.multicast_if_v6().unwrap(), loopback);
        match sender.send_to(b"all", (group, port)).await {
            Ok(_) => assert_eq!(member.recv(&mut [0; 8]).await.unwrap(), 3),
            // There is no route for groups on the loopback interface, as a rule.
            Err(error) => assert_eq!(error.kind(), ErrorKind::NetworkUnreachable),
        }
        member.leave_multicast_v6(&group, loopback).unwrap();
        member.leave_multicast_v6(&group, loopback).unwrap_err();
    });
}

// TC25
#[test]
fn a_socket_of_std_comes_and_goes() {
    let blocking = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = blocking.local_addr().unwrap();
    let given_back = tulipa::run(async move {
        let socket = UdpSocket::from_std(blocking).unwrap();
        let received = tulipa::timeout(Duration::from_millis(1), socket.recv(&mut [0; 8])).await;
        assert!(received.is_err(), "the loop is not blocked");
        socket.into_std().unwrap()
    });
    tulipa::run(async move {
        let socket = UdpSocket::from_std(given_back).unwrap();
        assert_eq!(socket.local_addr().unwrap(), addr);
        socket.send_to(b"self", addr).await.unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 4);
    });
}

#[test]
fn a_socket_whose_loop_is_closed_fails() {
    let socket = tulipa::run(async {
        let (socket, _) = bound().await;
        assert!(
            cut_short::after(2, socket.recv(&mut [0; 8]))
                .await
                .is_none()
        );
        socket
    });
    tulipa::run(async move {
        let error = socket.recv(&mut [0; 8]).await.unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
    });
}

/// What is in the batch, as text.
fn texts(batch: &Batch) -> Vec<String> {
    batch
        .iter()
        .map(|it| String::from_utf8_lossy(it.data).into_owned())
        .collect()
}

/// Receives `count` datagrams in batches.
async fn collect(
    socket: &UdpSocket,
    batch: &mut Batch,
    count: usize,
) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut all = Vec::new();
    while all.len() < count {
        let received = socket.recv_many(batch).await.unwrap();
        assert!(received > 0);
        assert_eq!(received, batch.len());
        all.extend(batch.iter().map(|it| (it.data.to_vec(), it.addr.unwrap())));
    }
    assert_eq!(all.len(), count);
    all
}

#[test]
fn a_batch_receives_what_is_there() {
    tulipa::run(async {
        let (a, a_addr) = bound().await;
        let (b, b_addr) = bound().await;
        let mut batch = Batch::new(3, 8);
        let nothing = b.try_recv_many(&mut batch).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        for text in ["one", "", "three", "four", "five"] {
            a.send_to(text.as_bytes(), b_addr).await.unwrap();
        }
        assert_eq!(
            b.recv_many(&mut batch).await.unwrap(),
            3,
            "there is room for three"
        );
        assert_eq!(texts(&batch), ["one", "", "three"]);
        assert!(
            batch
                .iter()
                .all(|it| it.addr == Some(a_addr) && !it.is_truncated)
        );
        assert_eq!(b.try_recv_many(&mut batch).unwrap(), 2);
        assert_eq!(
            texts(&batch),
            ["four", "five"],
            "the batch holds the new ones only"
        );
    });
}

// UD01
#[test]
fn a_batch_tells_of_datagrams_that_are_too_long() {
    tulipa::run(async {
        let (a, _) = bound().await;
        let (b, b_addr) = bound().await;
        let mut batch = Batch::new(4, 4);
        for text in ["1234", "12345", "12"] {
            a.send_to(text.as_bytes(), b_addr).await.unwrap();
        }
        assert_eq!(b.recv_many(&mut batch).await.unwrap(), 3);
        assert_eq!(texts(&batch), ["1234", "1234", "12"]);
        let cut: Vec<_> = batch.iter().map(|it| it.is_truncated).collect();
        assert_eq!(cut, [false, true, false]);
    });
}

#[test]
fn what_was_received_can_be_sent_back_as_it_is() {
    tulipa::run(async {
        let (server, server_addr) = bound().await;
        let (a, _) = bound().await;
        let (b, _) = bound().await;
        let echo = tulipa::spawn(async move {
            let mut batch = Batch::new(16, 64);
            let mut echoed = 0;
            while echoed < 6 {
                let received = server.recv_many(&mut batch).await.unwrap();
                assert_eq!(server.send_many(&mut batch).await.unwrap(), received);
                assert!(batch.is_empty());
                echoed += received;
            }
        });
        for (number, client) in [&a, &b, &a, &a, &b, &a].into_iter().enumerate() {
            client.send_to(&[number as u8], server_addr).await.unwrap();
        }
        echo.await.unwrap();
        let mut batch = Batch::new(16, 64);
        let of_a = collect(&a, &mut batch, 4).await;
        let of_b = collect(&b, &mut batch, 2).await;
        let expected = |numbers: &[u8]| -> Vec<_> {
            numbers.iter().map(|&it| (vec![it], server_addr)).collect()
        };
        assert_eq!(of_a, expected(&[0, 2, 3, 5]));
        assert_eq!(of_b, expected(&[1, 4]));
    });
}

/// Datagrams of many sizes, in runs and alone.
fn assorted() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut add = |count: usize, size: usize| {
        for _ in 0..count {
            let number = all.len();
            all.push(
                (0..size)
                    .map(|it| (it * 7 + number) as u8)
                    .collect::<Vec<u8>>(),
            );
        }
    };
    add(1, 10);
    add(30, 100);
    add(1, 50);
    add(2, 0);
    add(5, 1);
    add(3, 1400);
    add(1, 1401);
    add(1, 20_000);
    all
}

#[test]
fn runs_of_one_size_arrive_as_they_were_sent() {
    tulipa::run(async {
        let (a, a_addr) = bound().await;
        let (b, b_addr) = bound().await;
        let all = assorted();
        for addr in [Some(b_addr), None] {
            if addr.is_none() {
                a.connect(b_addr).await.unwrap();
            }
            let mut batch = Batch::new(1, 1);
            for data in &all {
                match addr {
                    Some(addr) => batch.push(data, addr),
                    None => batch.push_connected(data),
                }
            }
            assert_eq!(a.send_many(&mut batch).await.unwrap(), all.len());
            let received = collect(&b, &mut Batch::new(64, LONGEST), all.len()).await;
            for (index, (sent, (data, peer))) in all.iter().zip(&received).enumerate() {
                assert!(sent == data, "datagram {index} differs");
                assert_eq!(*peer, a_addr);
            }
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn joined_datagrams_are_taken_apart() {
    tulipa::run(async {
        let (a, _) = bound().await;
        let (b, b_addr) = bound().await;
        b.set_gro(true).unwrap();
        let all = assorted();
        let mut batch = Batch::new(1, 1);
        for data in &all {
            batch.push(data, b_addr);
        }
        a.send_many(&mut batch).await.unwrap();
        let mut batch = Batch::new(4, 1 << 16);
        let mut received = Vec::new();
        let mut most = 0;
        while received.len() < all.len() {
            most = most.max(b.recv_many(&mut batch).await.unwrap());
            received.extend(batch.iter().map(|it| it.data.to_vec()));
        }
        assert!(received == all);
        assert!(
            most > 4,
            "four slots took {most} datagrams at most: nothing was joined"
        );

        let error = b.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            b.try_recv_from(&mut [0; 8]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        b.set_gro(false).unwrap();
        a.send_to(b"one", b_addr).await.unwrap();
        assert_eq!(b.recv(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn one_batch_serves_sockets_of_both_families() {
    tulipa::run(async {
        let mut batch = Batch::new(2, 16);
        for addr in ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"] {
            let Ok(a) = UdpSocket::bind(addr).await else {
                continue; // There is no IPv6 here.
            };
            let b = UdpSocket::bind(addr).await.unwrap();
            batch.clear();
            batch.push(b"hello", b.local_addr().unwrap());
            a.send_many(&mut batch).await.unwrap();
            b.recv_many(&mut batch).await.unwrap();
            let addr = batch.iter().next().unwrap().addr;
            assert_eq!(addr, Some(a.local_addr().unwrap()));
        }
    });
}

#[test]
fn an_error_in_a_batch_loses_nothing() {
    tulipa::run(async {
        let (a, _) = bound().await;
        let (b, b_addr) = bound().await;
        let mut batch = Batch::new(1, 1);
        batch.push(b"one", b_addr);
        batch.push(b"two", b_addr);
        batch.push(&vec![0; LONGEST + 1], b_addr);
        batch.push(b"four", b_addr);
        let error = a.send_many(&mut batch).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(batch.len(), 2, "two are sent, the bad one is the first");
        a.try_send_many(&mut batch).unwrap_err();
        assert!(batch.skip_first());
        assert_eq!(a.try_send_many(&mut batch).unwrap(), 1);
        assert_eq!(a.send_many(&mut batch).await.unwrap(), 0);
        let received = collect(&b, &mut Batch::new(8, 8), 3).await;
        let received: Vec<_> = received.into_iter().map(|(data, _)| data).collect();
        assert_eq!(received, [&b"one"[..], b"two", b"four"]);
    });
}

// CN02
/// A batch that comes back short says that the socket is empty, so that nobody asks it again: what comes later is
/// heard of all the same, and so is an error that ends a batch early.
#[cfg(unix)]
#[test]
fn a_short_batch_loses_neither_wakes_nor_errors() {
    tulipa::run(async {
        let (a, b) = pair().await;
        let here = a.local_addr().unwrap();
        let mut batch = Batch::new(8, 64);
        for round in 0..1_000_u32 {
            for part in 0..=round % 3 {
                a.send(&[round as u8, part as u8]).await.unwrap();
            }
            let wanted = round as usize % 3 + 1;
            let mut count = 0;
            while count < wanted {
                count += b.recv_many(&mut batch).await.unwrap();
            }
            assert_eq!(count, wanted, "round {round}");
        }

        // Two datagrams and an error are there, in whatever order the system tells them.
        a.send(b"one").await.unwrap();
        a.send(b"two").await.unwrap();
        drop(a);
        b.send(b"nobody is there").await.unwrap();
        let (mut texts_seen, mut errors) = (Vec::new(), 0);
        while texts_seen.len() < 2 || errors < 1 {
            match b.recv_many(&mut batch).await {
                Ok(_) => texts_seen.extend(texts(&batch)),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => errors += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((texts_seen, errors), (vec!["one".into(), "two".into()], 1));

        // And the socket goes on.
        let again = UdpSocket::bind(here).await.unwrap();
        again
            .send_to(b"three", b.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(b.recv_many(&mut batch).await.unwrap(), 1);
        assert_eq!(texts(&batch), ["three"]);
    });
}

#[test]
fn a_send_that_was_dropped_leaves_the_rest_in_the_batch() {
    tulipa::run(async {
        let (a, _) = bound().await;
        let (b, b_addr) = bound().await;
        for polls in 0..3 {
            let mut batch = Batch::new(1, 1);
            for number in 0..100u8 {
                // Of several sizes, so that it takes several calls.
                batch.push(&vec![number; usize::from(number % 2) + 1], b_addr);
            }
            let mut sent = 100;
            if cut_short::after(polls, a.send_many(&mut batch))
                .await
                .is_none()
            {
                sent -= batch.len();
                sent += a.send_many(&mut batch).await.unwrap();
            }
            assert_eq!(sent, 100);
            let received = collect(&b, &mut Batch::new(64, 8), 100).await;
            for (number, (data, _)) in received.iter().enumerate() {
                assert_eq!(data[0], number as u8);
            }
        }
    });
}

#[test]
fn a_batch_needs_room() {
    for (datagrams, size) in [(0, 1), (1, 0)] {
        let made = std::panic::catch_unwind(|| Batch::new(datagrams, size));
        assert!(made.is_err());
    }
}

#[test]
fn a_socket_outside_of_a_loop_can_be_tried() -> io::Result<()> {
    let socket = UdpSocket::from_std(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    let addr = socket.local_addr()?;
    assert_eq!(
        socket.try_recv(&mut [0; 4]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    socket.try_send_to(b"hi", addr)?;
    assert_eq!(socket.try_recv(&mut [0; 4])?, 2);
    Ok(())
}
