//! Unix streams and listeners: connections, credentials, names, a backlog that is full.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use tulipa::net::{UnixListener, UnixStream};

use crate::cut_short;
use crate::temp_dir::TempDir;

#[test]
fn bytes_arrive_in_order_in_both_directions_at_once() {
    tulipa::run(async {
        let dir = TempDir::new();
        let listener = UnixListener::bind(dir.join("echo")).await.unwrap();
        let echo = tulipa::spawn(async move {
            let (mut server, _) = listener.accept().await.unwrap();
            let mut buf = vec![0; 7000];
            while let count @ 1.. = server.read(&mut buf).await.unwrap() {
                server.write_all(&buf[..count]).await.unwrap();
            }
        });
        let client = UnixStream::connect(dir.join("echo")).await.unwrap();
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
fn the_other_forms_of_reading_and_writing_do_the_same() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let mut buf = [0; 16];
        assert_eq!(
            b.try_read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let parts = [
            IoSlice::new(b"one "),
            IoSlice::new(b""),
            IoSlice::new(b"two"),
        ];
        assert_eq!(a.write_vectored(&parts).await.unwrap(), 7);
        b.readable().await.unwrap();
        assert_eq!(b.peek(&mut buf).await.unwrap(), 7);
        let (mut first, mut second) = ([0; 4], [0; 8]);
        let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(b.read_vectored(&mut parts).await.unwrap(), 7);
        assert_eq!((&first, &second[..3]), (b"one ", &b"two"[..]));

        a.writable().await.unwrap();
        assert_eq!(a.try_write(b"three").unwrap(), 5);
        assert_eq!(b.read(&mut []).await.unwrap(), 0, "nothing was asked for");
        assert_eq!(b.peek(&mut []).await.unwrap(), 0);
        assert_eq!(b.try_read(&mut buf).unwrap(), 5);

        // The traits of futures-io.
        AsyncWriteExt::write_all(&mut a, b"four").await.unwrap();
        AsyncWriteExt::flush(&mut a).await.unwrap();
        AsyncWriteExt::close(&mut a).await.unwrap();
        let mut rest = String::new();
        b.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "four");
        assert!(format!("{a:?}").contains("unnamed"), "{a:?}");
    });
}

#[test]
fn a_stream_that_ends_in_the_middle_says_how_far_it_came() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        a.write_all(b"abc").await.unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        let mut buf = [0; 5];
        let error = b.read_exact(&mut buf).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("3 of 5"), "{error}");
        // Reading goes on at the other side (TC07).
        b.write_all(b"bye").await.unwrap();
        drop(b);
        assert_eq!(a.read(&mut buf).await.unwrap(), 3);
        assert_eq!(a.read(&mut buf).await.unwrap(), 0);
        assert_eq!(a.read(&mut buf).await.unwrap(), 0);
    });
}

// TC10
#[test]
fn writing_to_a_peer_that_is_gone_is_an_error() {
    tulipa::run(async {
        let (mut a, b) = UnixStream::pair().unwrap();
        drop(b);
        assert_eq!(
            a.write(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        let parts = [IoSlice::new(b"x")];
        let error = a.write_vectored(&parts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let error = a.send_with_fds(b"x", &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

// TC08
#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_leaves_bytes_unread_resets() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        a.write_all(b"unread").await.unwrap();
        b.write_all(b"last words").await.unwrap();
        drop(b);
        assert_eq!(a.read(&mut [0; 16]).await.unwrap(), 10);
        let error = a.read(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(a.read(&mut [0; 16]).await.unwrap(), 0);
    });
}

// TC14
#[test]
fn halves_are_of_one_stream() {
    tulipa::run(async {
        let (a, mut b) = UnixStream::pair().unwrap();
        let (c, _d) = UnixStream::pair().unwrap();
        let (read_a, write_a) = a.into_split();
        let (read_c, write_c) = c.into_split();
        let error = read_a.reunite(write_c).unwrap_err();
        assert_eq!(error.to_string(), "the halves are not of the same stream");
        let mut a = error.read.reunite(write_a).unwrap();
        drop((read_c, error.write));
        {
            let (mut read, mut write) = a.split();
            write.write_all(b"ping").await.unwrap();
            b.read_exact(&mut [0; 4]).await.unwrap();
            b.write_all(b"pong").await.unwrap();
            read.read_exact(&mut [0; 4]).await.unwrap();
            write.shutdown().unwrap();
        }
        assert_eq!(b.read(&mut [0; 4]).await.unwrap(), 0);

        let (read, write) = a.into_split();
        write.forget();
        b.write_all(b"more").await.unwrap();
        let mut read = read;
        assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 4);
    });
}

// UD06
#[test]
fn the_peer_is_who_it_says() {
    tulipa::run(async {
        let dir = TempDir::new();
        let listener = UnixListener::bind(dir.join("who")).await.unwrap();
        let client = UnixStream::connect(dir.join("who")).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (one, other) = UnixStream::pair().unwrap();
        let me = std::fs::symlink_metadata(dir.join("who")).unwrap();
        for stream in [&client, &server, &one, &other] {
            let peer = stream.peer_cred().unwrap();
            assert_eq!(peer.uid(), me.uid());
            assert_eq!(peer.gid(), me.gid());
            if cfg!(target_os = "linux") {
                assert_eq!(peer.pid(), Some(std::process::id() as i32));
            }
        }
    });
}

// UD06
#[test]
fn addresses_are_told() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("named");
        let listener = UnixListener::bind(&path).await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(addr.as_pathname(), Some(path.as_path()));
        let client = UnixStream::connect_addr(&addr).await.unwrap();
        let (server, from) = listener.accept().await.unwrap();
        assert!(from.is_unnamed());
        assert!(client.local_addr().unwrap().is_unnamed());
        assert_eq!(
            client.peer_addr().unwrap().as_pathname(),
            Some(path.as_path())
        );
        assert!(server.peer_addr().unwrap().is_unnamed());
        let error = UnixStream::connect_addr(&from).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(format!("{listener:?}").contains("named"));
    });
}

// § 13, UD06
#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_needs_no_file() {
    use std::os::linux::net::SocketAddrExt;

    tulipa::run(async {
        let name = format!("tulipa-{}", std::process::id());
        let path = format!("\0{name}");
        let listener = UnixListener::bind(&path).await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(addr.as_abstract_name(), Some(name.as_bytes()));
        let error = UnixListener::bind(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("@{name}")), "{error}");
        let _one = UnixStream::connect(&path).await.unwrap();
        let _two = UnixStream::connect_addr(&addr).await.unwrap();
        drop(listener);
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        UnixListener::bind_addr(&addr).await.unwrap();
    });
}

#[test]
fn errors_of_connect_name_the_path() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("nobody");
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        let long = "x".repeat(200);
        let error = UnixStream::connect(&long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        std::fs::write(&path, "a file").unwrap();
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// A listener of std's that holds as few connections as can be.
#[cfg(target_os = "linux")]
pub(crate) fn small_backlog(path: &std::path::Path) -> std::os::unix::net::UnixListener {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&socket2::SockAddr::unix(path).unwrap())
        .unwrap();
    socket.listen(0).unwrap();
    socket.into()
}

// UD04
#[cfg(target_os = "linux")]
#[test]
fn a_full_backlog_is_waited_out() {
    tulipa::run(async {
        let dir = TempDir::new();
        let listener = UnixListener::from_std(small_backlog(&dir.join("small"))).unwrap();
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let path = dir.join("small");
                tulipa::spawn(async move { UnixStream::connect(path).await.unwrap() })
            })
            .collect();
        for _ in 0..20 {
            tulipa::yield_now().await;
        }
        let mut servers = Vec::new();
        for _ in 0..20 {
            servers.push(listener.accept().await.unwrap());
        }
        for client in clients {
            client.await.unwrap();
        }
    });
}

// UD04
#[cfg(target_os = "linux")]
#[tulipa::test(start_paused = true)]
async fn a_backlog_that_stays_full_is_an_error() {
    let dir = TempDir::new();
    let path = dir.join("stuck");
    let listener = small_backlog(&path);
    let start = tulipa::time::Instant::now();
    let mut connected = Vec::new();
    let error = loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => connected.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("backlog"), "{error}");
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(5) && took < Duration::from_secs(6),
        "{took:?}"
    );

    // Dropped while it waits, it leaves nothing behind (CN02).
    for polls in 0..4 {
        assert!(
            cut_short::after(polls, UnixStream::connect(&path))
                .await
                .is_none()
        );
    }
    for _ in &connected {
        listener.accept().unwrap();
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

// CN02
#[test]
fn reads_and_writes_can_be_dropped() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let mut buf = [0; 8];
        for polls in 0..4 {
            assert!(cut_short::after(polls, b.read(&mut buf)).await.is_none());
            assert!(cut_short::after(polls, b.peek(&mut buf)).await.is_none());
            assert!(cut_short::after(polls, b.readable()).await.is_none());
            let mut parts = [IoSliceMut::new(&mut buf)];
            assert!(
                cut_short::after(polls, b.read_vectored(&mut parts))
                    .await
                    .is_none()
            );
            assert!(
                cut_short::after(polls, b.recv_with_fds(&mut [0], 1))
                    .await
                    .is_none()
            );
            a.write_all(b"ping").await.unwrap();
            assert_eq!(b.read(&mut buf).await.unwrap(), 4);
        }

        // A peer that does not read: each write is whole or has not been.
        let mut written = 0;
        while let Some(count) = cut_short::after(1, a.write(&[7; 1000])).await {
            written += count.unwrap();
        }
        for polls in 0..4 {
            assert!(cut_short::after(polls, a.writable()).await.is_none());
            assert!(cut_short::after(polls, a.write(b"x")).await.is_none());
            let parts = [IoSlice::new(b"x")];
            assert!(
                cut_short::after(polls, a.write_vectored(&parts))
                    .await
                    .is_none()
            );
            assert!(
                cut_short::after(polls, a.send_with_fds(b"x", &[]))
                    .await
                    .is_none()
            );
        }
        drop(a);
        let mut received = Vec::new();
        b.read_to_end(&mut received).await.unwrap();
        assert!(received == vec![7; written]);
    });
}

// CN02
#[test]
fn a_dropped_accept_loses_no_connection() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("accept");
        let listener = Rc::new(UnixListener::bind(&path).await.unwrap());
        for polls in 0..4 {
            assert!(cut_short::after(polls, listener.accept()).await.is_none());
            let other = {
                let listener = Rc::clone(&listener);
                tulipa::spawn(async move { listener.accept().await.unwrap() })
            };
            tulipa::yield_now().await;
            let _client = UnixStream::connect(&path).await.unwrap();
            other.await.unwrap();
        }
    });
}

#[test]
fn a_burst_of_connections_is_accepted() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("burst");
        let listener = UnixListener::bind(&path).await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(UnixStream::connect(&path).await.unwrap());
        }
        for client in &mut clients {
            let (mut server, _) = listener.accept().await.unwrap();
            server.write_all(b"!").await.unwrap();
            client.read_exact(&mut [0]).await.unwrap();
        }
    });
}

// TC25
#[test]
fn streams_of_std_come_and_go() {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let ours = tulipa::run(async move {
        let mut ours = UnixStream::from_std(ours).unwrap();
        let read = tulipa::timeout(Duration::from_millis(1), ours.read(&mut [0; 8])).await;
        assert!(read.is_err(), "the loop is not blocked");
        ours.into_std().unwrap()
    });
    std::io::Write::write_all(&mut theirs, b"hello").unwrap();
    tulipa::run(async move {
        let mut ours = UnixStream::from_std(ours).unwrap();
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 5);
    });
}
