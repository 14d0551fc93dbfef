//! Unix datagram sockets.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::UnixDatagram;

use crate::cut_short;
use crate::temp_dir::TempDir;

#[test]
fn datagrams_go_to_names_and_come_from_them() {
    tulipa::run(async {
        let dir = TempDir::new();
        let (a, b) = (dir.join("a"), dir.join("b"));
        let server = UnixDatagram::bind(&a).unwrap();
        let named = UnixDatagram::bind(&b).unwrap();
        let unnamed = UnixDatagram::unbound().unwrap();
        let mut buf = [0; 16];

        assert_eq!(named.send_to(b"hello", &a).await.unwrap(), 5);
        let (len, from) = server.recv_from(&mut buf).await.unwrap();
        assert_eq!((len, from.as_pathname()), (5, Some(b.as_path())));
        server.send_to_addr(b"hi", &from).await.unwrap();
        assert_eq!(named.recv(&mut buf).await.unwrap(), 2);

        unnamed.connect(&a).unwrap();
        assert_eq!(
            unnamed.peer_addr().unwrap().as_pathname(),
            Some(a.as_path())
        );
        unnamed.send(b"").await.unwrap();
        let (len, from) = server.recv_from(&mut buf).await.unwrap();
        assert!(len == 0 && from.is_unnamed());
        unnamed.connect_addr(&named.local_addr().unwrap()).unwrap();
        unnamed.send(b"x").await.unwrap();
        assert_eq!(named.recv(&mut buf).await.unwrap(), 1);
        assert!(server.take_error().unwrap().is_none());
        assert!(format!("{named:?}").contains("/b"), "{named:?}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_work_too() {
    tulipa::run(async {
        let name = format!("\0tulipa-datagrams-{}", std::process::id());
        let server = UnixDatagram::bind(&name).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.send_to(b"one", &name).await.unwrap();
        client.connect(&name).unwrap();
        client.send(b"two").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(server.peek(&mut buf).await.unwrap(), 3);
        assert_eq!(server.recv(&mut buf).await.unwrap(), 3);
        assert_eq!(server.recv(&mut buf).await.unwrap(), 3);
        assert_eq!(&buf[..3], b"two");
    });
}

#[test]
fn errors_say_what_is_wrong() {
    tulipa::run(async {
        let dir = TempDir::new();
        let socket = UnixDatagram::unbound().unwrap();
        assert_eq!(
            socket.send(b"x").await.unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        let error = socket.send_to(b"x", dir.join("gone")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = socket.connect(dir.join("gone")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("gone"), "{error}");
        assert_eq!(
            socket.peer_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );

        let (a, b) = UnixDatagram::pair().unwrap();
        let too_long = vec![0; 10 << 20];
        let error = a.send(&too_long).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::WouldBlock);
        drop(b);
        let error = a.send(b"x").await.unwrap_err();
        let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
    });
}

#[test]
fn the_forms_that_do_not_wait() {
    tulipa::run(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut buf = [0; 8];
        assert_eq!(
            b.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(
            b.try_recv_from(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        a.writable().await.unwrap();
        poll_fn(|cx| a.poll_send_ready(cx)).await.unwrap();
        a.try_send(b"one").unwrap();
        b.readable().await.unwrap();
        poll_fn(|cx| b.poll_recv_ready(cx)).await.unwrap();
        assert_eq!(b.try_recv(&mut buf).unwrap(), 3);
        a.try_send(b"two").unwrap();
        assert_eq!(poll_fn(|cx| b.poll_recv(cx, &mut buf)).await.unwrap(), 3);
        a.try_send(b"three").unwrap();
        let (len, _) = poll_fn(|cx| b.poll_recv_from(cx, &mut buf)).await.unwrap();
        assert_eq!(len, 5);
        a.shutdown(Shutdown::Write).unwrap();
        a.send(b"x").await.unwrap_err();
        let me = std::process::id() as i32;
        if cfg!(target_os = "linux") {
            assert_eq!(a.peer_cred().unwrap().pid(), Some(me));
            let lonely = UnixDatagram::unbound().unwrap();
            assert_eq!(
                lonely.peer_cred().unwrap_err().kind(),
                ErrorKind::NotConnected
            );
        }
    });
}

/// Sends `count` numbered datagrams by `send`, while a receiver is slow, and checks that all arrive, in
/// order.
async fn flood(receiver: UnixDatagram, count: u32, send: impl AsyncFn(&[u8])) {
    let sent = Rc::new(Cell::new(0));
    let so_far = Rc::clone(&sent);
    let receiving = tulipa::spawn(async move {
        let mut buf = [0; 8];
        // The sender has to wait before the first is taken.
        let mut before = u32::MAX;
        while before != so_far.get() {
            before = so_far.get();
            tulipa::sleep(Duration::from_millis(5)).await;
        }
        assert!(before < count, "nothing was full");
        for number in 0..count {
            let len = receiver.recv(&mut buf).await.unwrap();
            assert_eq!(buf[..len], number.to_be_bytes());
        }
    });
    for number in 0..count {
        send(&number.to_be_bytes()).await;
        sent.set(number + 1);
    }
    receiving.await.unwrap();
}

// UD02
#[test]
fn a_full_peer_is_waited_for() {
    tulipa::run(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        flood(b, 3000, async |data| {
            a.send(data).await.unwrap();
        })
        .await;
    });
}

// UD02
#[test]
fn a_full_peer_is_waited_for_without_a_connection() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("full");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        flood(receiver, 1500, async |data| {
            sender.send_to(data, &path).await.unwrap();
        })
        .await;
    });
}

// UD02: the queue is full of other senders' datagrams, so that no event of ours tells of room.
#[test]
fn a_peer_that_others_have_filled_is_waited_for() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("full");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let others = UnixDatagram::unbound().unwrap();
        let mut count = 0;
        while others.try_send_to(b"other", &path).is_ok() {
            count += 1;
        }
        let (named, connected) = (
            UnixDatagram::unbound().unwrap(),
            UnixDatagram::unbound().unwrap(),
        );
        connected.connect(&path).unwrap();
        let would_block = named.try_send_to(b"x", &path).unwrap_err();
        assert_eq!(would_block.kind(), ErrorKind::WouldBlock);
        assert_eq!(
            connected.try_send(b"x").unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let to = path.clone();
        let first = tulipa::spawn(async move { named.send_to(b"named", to).await.unwrap() });
        let second = tulipa::spawn(async move { connected.send(b"connected").await.unwrap() });
        tulipa::sleep(Duration::from_millis(5)).await;
        assert!(!first.is_finished() && !second.is_finished());
        let mut buf = [0; 16];
        for _ in 0..count + 2 {
            let received = tulipa::timeout(Duration::from_secs(10), receiver.recv(&mut buf)).await;
            received.expect("a sender has not woken").unwrap();
        }
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (5, 9));
    });
}

// CN02, UD03
#[test]
fn dropped_calls_lose_no_datagram() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("r");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let mut buf = [0; 8];
        for polls in 0..4 {
            assert!(
                cut_short::after(polls, receiver.recv(&mut buf))
                    .await
                    .is_none()
            );
            assert!(
                cut_short::after(polls, receiver.recv_from(&mut buf))
                    .await
                    .is_none()
            );
            assert!(
                cut_short::after(polls, receiver.peek(&mut buf))
                    .await
                    .is_none()
            );
            assert!(cut_short::after(polls, receiver.readable()).await.is_none());
            assert!(
                cut_short::after(polls, receiver.recv_with_fds(&mut buf, 1))
                    .await
                    .is_none()
            );
            sender.send(b"here").await.unwrap();
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), 4);
        }

        let addr = receiver.local_addr().unwrap();
        let mut count = 0;
        while sender.try_send(b"fill").is_ok() {
            count += 1;
        }
        for polls in 0..4 {
            assert!(cut_short::after(polls, sender.send(b"no")).await.is_none());
            assert!(
                cut_short::after(polls, sender.send_to(b"no", &path))
                    .await
                    .is_none()
            );
            assert!(
                cut_short::after(polls, sender.send_with_fds(b"no", &[]))
                    .await
                    .is_none()
            );
            assert!(
                cut_short::after(polls, sender.send_to_addr(b"no", &addr))
                    .await
                    .is_none()
            );
        }
        for _ in 0..count {
            assert_eq!(receiver.try_recv(&mut buf).unwrap(), 4);
        }
        assert_eq!(
            receiver.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

// LP: a socket that never makes its task wait does not keep the loop.
#[test]
fn a_socket_that_is_always_ready_leaves_turns_to_others() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("self");
        let socket = UnixDatagram::bind(&path).unwrap();
        let ends = Rc::new(Cell::new(false));
        let end = Rc::clone(&ends);
        let busy = tulipa::spawn(async move {
            let mut rounds = 0;
            while !end.get() {
                socket.send_to(b"x", &path).await.unwrap();
                let _ = socket.try_recv(&mut [0; 4]);
                rounds += 1;
            }
            rounds
        });
        for _ in 0..10 {
            tulipa::yield_now().await;
        }
        ends.set(true);
        assert!(busy.await.unwrap() > 0);
    });
}
