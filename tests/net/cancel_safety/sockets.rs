//! Binding, connecting, sockets that are no streams.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdListener};

use futures_lite::future::poll_once;
use tulipa::io::{StreamReader, StreamWriter, open_connection, start_server};
use tulipa::net::{
    Connector, OwnedReadHalf, OwnedWriteHalf, Server, TcpListener, TcpSocket, TcpStream, UdpSocket,
};
use tulipa::task::consume_budget;
#[cfg(unix)]
use {
    crate::io::support::pattern,
    crate::temp_dir::TempDir,
    futures_lite::AsyncReadExt,
    std::io::{Read, Write},
    tulipa::net::{AsyncFd, Socket, UnixListener, UnixStream},
};

use crate::cut_short;

const ANY: &str = "127.0.0.1:0";

/// After this the running poll of the task has no budget left: whatever comes next has to wait for a turn.
async fn use_up_the_budget() {
    while poll_once(consume_budget()).await.is_some() {}
}

/// A port that nobody has.
fn free_port() -> u16 {
    let listener = StdListener::bind(ANY).unwrap();
    listener.local_addr().unwrap().port()
}

// ---- binding ----

/// Drops `bind` wherever it waits: then others can bind the address, over TCP and UDP.
async fn leaves_nothing_bound<T>(bind: impl AsyncFn((&'static str, u16)) -> T) {
    for polls in 0..5 {
        // Another test may have got the port, but not each time.
        let mut tries = 0;
        while !is_free_after(polls, &bind).await {
            tries += 1;
            assert!(tries < 10, "after {polls} polls the address is in use");
        }
    }
}

async fn is_free_after<T>(polls: usize, bind: &impl AsyncFn((&'static str, u16)) -> T) -> bool {
    let port = free_port();
    // A name has to be looked up by another thread.
    let bound = cut_short::after(polls, bind(("localhost", port))).await;
    assert!(polls > 0 || bound.is_none());
    drop(bound);
    // A dropped server is closed in its next turn.
    tulipa::yield_now().await;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    StdListener::bind(addr).is_ok() && std::net::UdpSocket::bind(addr).is_ok()
}

#[test]
fn a_dropped_bind_leaves_nothing_bound() {
    tulipa::run(async {
        leaves_nothing_bound(async |addr| TcpListener::bind(addr).await).await;
        leaves_nothing_bound(async |addr| UdpSocket::bind(addr).await).await;
        leaves_nothing_bound(async |addr| UdpSocket::builder().bind(addr).await).await;
        leaves_nothing_bound(async |addr| {
            let to = ("127.0.0.1", 9);
            UdpSocket::builder().bind_and_connect(addr, to).await
        })
        .await;
        leaves_nothing_bound(async |addr| {
            Server::builder()
                .bind(addr)
                .await?
                .start(async |_stream| ())
        })
        .await;
        leaves_nothing_bound(async |addr| {
            let callback =
                async |_: StreamReader<OwnedReadHalf>, _: StreamWriter<OwnedWriteHalf>| ();
            start_server(addr, callback).await
        })
        .await;
    });
}

#[cfg(unix)]
#[test]
fn a_dropped_bind_leaves_no_socket_file() {
    use tulipa::io::start_unix_server;
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("socket");
        let addr = std::os::unix::net::SocketAddr::from_pathname(&path).unwrap();
        for polls in 0..3 {
            drop(cut_short::after(polls, UnixListener::bind(&path)).await);
            assert!(!path.exists());
            drop(cut_short::after(polls, UnixListener::bind_addr(&addr)).await);
            assert!(!path.exists());
            let starting = start_unix_server(&path, async |_, _| ());
            drop(cut_short::after(polls, starting).await);
            tulipa::yield_now().await;
            assert!(!path.exists());
        }
    });
}

// ---- connecting ----

/// Drops `connect` wherever it waits: whatever reaches the listener is closed.
async fn leaves_nothing_connected<T>(connect: impl AsyncFn(SocketAddr) -> T) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let addr = listener.local_addr().unwrap();
    for polls in 0..4 {
        for _ in 0..4 {
            drop(cut_short::after(polls, connect(addr)).await);
        }
    }
    // This one comes last.
    let mut last = TcpStream::connect(addr).await.unwrap();
    last.write_all(b"last").await.unwrap();
    loop {
        // A connection that was closed before it was accepted may be skipped.
        let (mut accepted, _) = listener.accept().await.unwrap();
        match accepted.read(&mut [0; 8]).await {
            Ok(0) => {}
            Ok(4) => return,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_dropped_connect_closes_its_socket() {
    tulipa::run(async {
        leaves_nothing_connected(async |addr| TcpStream::connect(addr).await).await;
        leaves_nothing_connected(async |addr| Connector::new().connect(addr).await).await;
        leaves_nothing_connected(async |addr| TcpSocket::new_v4()?.connect(addr).await).await;
        leaves_nothing_connected(async |addr| open_connection(addr).await).await;
    });
}

/// A Unix socket waits only where the backlog is full.
#[cfg(target_os = "linux")]
#[test]
fn a_dropped_connect_to_a_full_backlog_leaves_nothing_in_it() {
    use tulipa::io::open_unix_connection;
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("small");
        let listener = crate::unix_streams::small_backlog(&path);
        let addr = listener.local_addr().unwrap();
        let mut connected = Vec::new();
        while let Some(stream) = cut_short::after(2, UnixStream::connect(&path)).await {
            connected.push(stream.unwrap());
        }
        for polls in 0..4 {
            let one = cut_short::after(polls, UnixStream::connect(&path)).await;
            let two = cut_short::after(polls, UnixStream::connect_addr(&addr)).await;
            let three = cut_short::after(polls, open_unix_connection(&path)).await;
            assert!(one.is_none() && two.is_none() && three.is_none());
        }
        for _ in &connected {
            listener.accept().unwrap();
        }
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_dropped_accept_leaves_the_connection_to_the_next() {
    tulipa::run(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        let mut accepted = Vec::new();
        for round in 0..20 {
            let polls = round % 4;
            assert!(cut_short::after(polls, listener.accept()).await.is_none());
            let client = TcpStream::connect(addr).await.unwrap();
            clients.push(client.local_addr().unwrap());
            accepted.extend(cut_short::after(polls, listener.accept()).await);
            while accepted.len() < clients.len() {
                accepted.push(listener.accept().await);
            }
        }
        let accepted: Vec<_> = accepted.into_iter().map(|it| it.unwrap().1).collect();
        assert_eq!(accepted, clients);
    });
}

/// `Socket::connect` says that the attempt goes on in the system.
#[cfg(unix)]
#[test]
fn a_dropped_connect_of_a_bare_socket_goes_on_until_it_is_closed() {
    tulipa::run(async {
        let listener = StdListener::bind(ANY).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let socket = || {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            Socket::new(socket).unwrap()
        };
        // It was not begun.
        let unpolled = socket();
        assert!(cut_short::after(0, unpolled.connect(addr)).await.is_none());
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        for polls in 1..4 {
            let socket = socket();
            drop(cut_short::after(polls, socket.connect(addr)).await);
            let mut accepted = TcpListener::from_std(listener.try_clone().unwrap())
                .unwrap()
                .accept()
                .await
                .unwrap()
                .0;
            accepted.write_all(b"hello").await.unwrap();
            let mut buf = [0; 8];
            while socket.recv(&mut buf).await.is_err() {
                tulipa::yield_now().await; // Not connected yet.
            }
            assert_eq!(&buf[..5], b"hello");
            drop(socket);
            assert_eq!(accepted.read(&mut buf).await.unwrap(), 0);
        }
    });
}

// ---- datagrams ----

#[test]
fn a_dropped_send_of_a_datagram_sends_none() {
    tulipa::run(async {
        let receiver = UdpSocket::bind(ANY).await.unwrap();
        let addr = receiver.local_addr().unwrap();
        let sender = UdpSocket::bind(ANY).await.unwrap();
        #[cfg(unix)]
        let bare = Socket::new(std::net::UdpSocket::bind(ANY).unwrap()).unwrap();
        let mut sent = 0;
        for polls in 0..3 {
            let name = ("localhost", addr.port());
            let mut results = vec![cut_short::after(polls, sender.send_to(b"no", name)).await];
            use_up_the_budget().await;
            results.push(cut_short::after(polls, sender.send_to(b"no", addr)).await);
            assert!(polls > 1 || results[1].is_none(), "it had to wait");
            #[cfg(unix)]
            {
                use_up_the_budget().await;
                results.push(cut_short::after(polls, bare.send_to(b"no", addr)).await);
                assert!(polls > 1 || results[2].is_none(), "it had to wait");
            }
            for result in results.into_iter().flatten() {
                assert_eq!(result.unwrap(), 2);
                sent += 1;
            }
        }
        assert!(sent > 0);
        let mut buf = [0; 8];
        for _ in 0..sent {
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), 2);
        }
        let error = receiver.try_recv(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_dropped_connect_of_datagrams_sends_nothing() {
    tulipa::run(async {
        let peer = UdpSocket::bind(ANY).await.unwrap();
        let name = ("localhost", peer.local_addr().unwrap().port());
        for polls in 0..4 {
            let socket = UdpSocket::bind(ANY).await.unwrap();
            let connected = cut_short::after(polls, socket.connect(name)).await;
            assert_eq!(connected.is_some(), socket.peer_addr().is_ok());
            // It can be done again.
            socket.connect(name).await.unwrap();
            drop(cut_short::after(polls, UdpSocket::builder().connect(name)).await);
        }
        let error = peer.try_recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

// ---- any socket, any descriptor ----

#[cfg(unix)]
#[test]
fn a_dropped_send_all_has_sent_a_part_from_the_start() {
    tulipa::run(async {
        let bytes = pattern(8_000_000);
        for polls in 0..5 {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let socket = Socket::new(ours).unwrap();
            let sent = cut_short::after(polls, socket.send_all(&bytes)).await;
            assert!(sent.is_none());
            drop(socket);
            let mut got = Vec::new();
            let mut theirs = UnixStream::from_std(theirs).unwrap();
            theirs.read_to_end(&mut got).await.unwrap();
            assert!(got[..] == bytes[..got.len()]);
            assert_eq!(got.is_empty(), polls == 0);
        }
        // Who waits for its turn has sent nothing, and leaves its place to the next.
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = Socket::new(ours).unwrap();
        let mut first = Box::pin(socket.send_all(&bytes));
        assert!(poll_once(&mut first).await.is_none());
        for polls in 0..3 {
            let second = socket.send_all(b"second");
            assert!(cut_short::after(polls, second).await.is_none());
            let second = socket.send(b"second");
            assert!(cut_short::after(polls, second).await.is_none());
        }
        let reading = tulipa::spawn_blocking(move || {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).unwrap();
            got
        });
        first.await.unwrap();
        socket.send_all(b"third").await.unwrap();
        drop(socket);
        let got = reading.await.unwrap();
        assert!(got == [&bytes[..], b"third"].concat());
    });
}

#[cfg(unix)]
#[test]
fn a_dropped_wait_of_any_descriptor_leaves_it_as_it_is() {
    tulipa::run(async {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let fd = AsyncFd::new(ours).unwrap();
        let fill = |mut it: &std::os::unix::net::UnixStream| it.write(&[7; 4096]);
        let mut written = 0;
        drop(fd.writable().await.unwrap()); // The reactor has told of it.
        while let Some(count) = cut_short::after(2, fd.write_with(fill)).await {
            written += count.unwrap();
        }
        for polls in 0..4 {
            assert!(cut_short::after(polls, fd.writable()).await.is_none());
            assert!(cut_short::after(polls, fd.write_with(fill)).await.is_none());
        }
        let mut got = vec![0; written];
        theirs.read_exact(&mut got).unwrap();
        drop(fd.writable().await.unwrap());
        assert_eq!(fd.write_with(fill).await.unwrap(), 4096);
        theirs.read_exact(&mut got[..4096]).unwrap();
        for polls in 0..4 {
            assert!(cut_short::after(polls, fd.readable()).await.is_none());
            let read = |mut it: &std::os::unix::net::UnixStream| it.read(&mut [0; 8]);
            assert!(cut_short::after(polls, fd.read_with(read)).await.is_none());
        }
        theirs.write_all(b"x").unwrap();
        let read = |mut it: &std::os::unix::net::UnixStream| it.read(&mut [0; 8]);
        assert_eq!(fd.read_with(read).await.unwrap(), 1);
    });
}
