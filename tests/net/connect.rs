//! Connecting: happy eyeballs, lists, every attempt's error.

use std::cell::Cell;
#[cfg(target_os = "linux")]
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

#[cfg(unix)]
use socket2::SockRef;
use socket2::{Domain, Socket, Type};

#[cfg(target_os = "linux")]
use crate::give_up;
#[cfg(target_os = "linux")]
use tulipa::net::TcpSocket;
use tulipa::net::names::with_resolver;
use tulipa::net::{ConnectError, Connector, TcpListener, TcpStream};
use tulipa::runtime::Runner;
use tulipa::time::Instant;

/// An address nobody listens on: it was just given back.
fn closed_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A listener whose backlog is full: connecting to it hangs.
struct FullListener {
    listener: Socket,
    held: Vec<Socket>,
}

impl FullListener {
    fn new() -> FullListener {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let mut full = FullListener {
            listener,
            held: Vec::new(),
        };
        // The system rounds the backlog up. What hangs shows that it is full.
        for _ in 0..64 {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let limit = Duration::from_millis(100);
            let result = client.connect_timeout(&full.addr().into(), limit);
            full.held.push(client);
            if result.is_err() {
                return full;
            }
        }
        panic!("a backlog of none takes 64 connections");
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

/// A resolver that knows one list, whatever the name.
fn always(
    list: Vec<SocketAddr>,
) -> impl AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>> + 'static {
    async move |_: &str, _: u16| Ok(list.clone())
}

/// Runs with a clock that stands still while anything is ready, so that waiting takes no time.
fn paused<T>(future: impl Future<Output = T>) -> T {
    let runner = Runner::builder().start_paused(true).build();
    runner.unwrap().run_and_close(future)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

// TC11, §14
#[test]
fn a_name_with_a_dead_address_uses_the_live_one_at_once() {
    paused(async {
        let (_listener, live) = listener().await;
        let before = Instant::now();
        let stream = with_resolver(
            always(vec![closed_port(), live]),
            TcpStream::connect("a.test:1"),
        );
        assert_eq!(stream.await.unwrap().peer_addr().unwrap(), live);
        assert_eq!(before.elapsed(), Duration::ZERO, "failure needs no wait");
    });
}

// TC11, §14
#[test]
fn a_name_with_a_silent_address_uses_the_live_one_after_a_stagger() {
    let silent = FullListener::new();
    paused(async {
        let (_listener, live) = listener().await;
        let addresses = vec![silent.addr(), live];
        let before = Instant::now();
        let stream = with_resolver(always(addresses.clone()), TcpStream::connect("a.test:1"));
        assert_eq!(stream.await.unwrap().peer_addr().unwrap(), live);
        let elapsed = before.elapsed();
        assert!(elapsed >= Duration::from_millis(250), "{elapsed:?}");
        assert!(elapsed < Duration::from_millis(300), "{elapsed:?}");

        let before = Instant::now();
        let connector = Connector::new()
            .resolver(always(addresses))
            .stagger(Duration::from_millis(10));
        let stream = connector.connect("a.test:1").await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        assert!(before.elapsed() < Duration::from_millis(50));
    });
}

#[cfg(target_os = "linux")]
fn is_open(inode: &str) -> bool {
    std::fs::read_dir("/proc/self/fd").unwrap().any(|entry| {
        let target = entry.and_then(|it| std::fs::read_link(it.path()));
        target.is_ok_and(|it| it.as_os_str() == inode)
    })
}

/// A connector that keeps the sockets' inodes, which other tests that run meanwhile do not disturb.
#[cfg(target_os = "linux")]
fn watched() -> (Connector, Rc<RefCell<Vec<String>>>) {
    use std::os::fd::{AsFd, AsRawFd};

    let inodes = Rc::new(RefCell::new(Vec::new()));
    let list = inodes.clone();
    let connector = Connector::new().configure(move |socket: &TcpSocket| {
        let path = format!("/proc/self/fd/{}", socket.as_fd().as_raw_fd());
        let inode = std::fs::read_link(path)?;
        list.borrow_mut().push(inode.to_string_lossy().into_owned());
        Ok(())
    });
    (connector, inodes)
}

// §14: failed sockets closed; cancellation closes the socket
#[cfg(target_os = "linux")]
#[test]
fn attempts_that_lose_are_closed() {
    let silent = FullListener::new();
    paused(async {
        let (_listener, live) = listener().await;
        let (connector, inodes) = watched();
        let connector = connector.resolver(always(vec![silent.addr(), closed_port(), live]));
        let stream = connector.connect("a.test:1").await.unwrap();
        let inodes = inodes.take();
        let open: Vec<bool> = inodes.iter().map(|it| is_open(it)).collect();
        assert_eq!(open, [false, false, true]);
        drop(stream);
    });
}

// §14, TC11
#[cfg(target_os = "linux")]
#[test]
fn connecting_can_be_given_up_at_every_await() {
    let silent = FullListener::new();
    paused(async {
        let (_listener, live) = listener().await;
        let list = vec![silent.addr(), live];
        let resolver = async move |_: &str, _: u16| {
            tulipa::yield_now().await;
            Ok(list.clone())
        };
        let (connector, inodes) = watched();
        let connector = connector.resolver(resolver);
        let mut polls = 0;
        loop {
            let stream = give_up::after(polls, connector.connect("a.test:1")).await;
            let opened = inodes.take();
            let open = opened.iter().filter(|it| is_open(it)).count();
            match stream {
                Some(stream) => {
                    assert_eq!((opened.len(), open), (2, 1));
                    assert_eq!(stream.unwrap().peer_addr().unwrap(), live);
                    break;
                }
                None => assert_eq!(open, 0, "given up at await {polls}"),
            }
            polls += 1;
        }
        assert!(polls >= 3, "the look-up, the first attempt, the second");

        let socket = TcpSocket::new_v4().unwrap();
        assert!(
            give_up::after(1, socket.connect(silent.addr()))
                .await
                .is_none()
        );
    });
}

// §14
#[test]
fn when_all_fail_every_error_is_told() {
    paused(async {
        let (one, two) = (closed_port(), closed_port());
        let resolver = always(vec![one, two]);
        let error = with_resolver(resolver, TcpStream::connect("a.test:1")).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let attempts = ConnectError::of(&error).unwrap().attempts();
        let tried: Vec<SocketAddr> = attempts.iter().map(|(addr, _)| *addr).collect();
        assert_eq!(tried, [one, two]);
        assert!(attempts.iter().all(|(_, it)| it.raw_os_error().is_some()));
        // All texts are the same, so it is told once.
        let text = error.to_string();
        let expected = format!("cannot connect to a.test:1 ({one}, {two}): ");
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(text.matches("refused").count(), 1, "{text}");

        let silent = FullListener::new();
        let connector = Connector::new()
            .resolver(always(vec![silent.addr(), two]))
            .attempt_timeout(Duration::from_secs(3));
        let error = connector.connect("a.test:1").await.unwrap_err();
        let attempts = ConnectError::of(&error).unwrap().attempts();
        assert_eq!(attempts[0].1.kind(), ErrorKind::TimedOut);
        assert_eq!(attempts[1].1.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.contains(&format!("{}: no answer within 3s; {two}: ", silent.addr())));

        // One error is itself.
        let error = TcpStream::connect(one).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot connect to {one}: "))
        );
        let source = error.get_ref().unwrap().source().unwrap();
        assert!(
            source
                .downcast_ref::<io::Error>()
                .unwrap()
                .raw_os_error()
                .is_some()
        );
        assert_eq!(ConnectError::of(&error).unwrap().attempts().len(), 1);
        assert!(ConnectError::of(&ErrorKind::NotFound.into()).is_none());
    });
}

// §10 of the reliability rules: 16
#[test]
fn not_more_than_sixteen_addresses_of_a_name_are_tried() {
    paused(async {
        let closed = closed_port();
        let many = (1..=100).map(|last| SocketAddr::from(([127, 0, 1, last], closed.port())));
        let count = Rc::new(Cell::new(0));
        let counter = count.clone();
        let connector = Connector::new()
            .resolver(always(many.collect()))
            .configure(move |_| {
                counter.set(counter.get() + 1);
                Ok(())
            });
        let error = connector.connect("a.test:1").await.unwrap_err();
        assert_eq!(ConnectError::of(&error).unwrap().attempts().len(), 16);
        assert_eq!(count.get(), 16);
    });
}

// §14: interleave
#[test]
fn the_families_take_turns() {
    paused(async {
        let port = closed_port().port();
        let v4 = |last| SocketAddr::from(([127, 0, 2, last], port));
        let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
        let order = async |connector: Connector| {
            let found = vec![v4(1), v4(2), v4(3), v4(1), v6];
            let connector = connector.resolver(always(found));
            let error = connector.connect("a.test:1").await.unwrap_err();
            let attempts = ConnectError::of(&error).unwrap().attempts();
            attempts.iter().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(order(Connector::new()).await, [v4(1), v6, v4(2), v4(3)]);
        let two_first = Connector::new().first_family_count(2);
        assert_eq!(order(two_first).await, [v4(1), v4(2), v6, v4(3)]);
    });
}

#[test]
fn a_list_is_tried_in_its_order_one_after_the_other() {
    let silent = FullListener::new();
    paused(async {
        let (_listener, live) = listener().await;
        let list = [closed_port(), live, closed_port()];
        let stream = TcpStream::connect(list).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);

        // The silent one is waited for, as long as it is given.
        let limit = Duration::from_secs(5);
        let before = Instant::now();
        let connector = Connector::new().attempt_timeout(limit);
        let stream = connector.connect([silent.addr(), live]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        assert!(before.elapsed() >= limit);

        // Unless it is to be otherwise.
        let before = Instant::now();
        let connector = connector.stagger(Duration::ZERO);
        let stream = connector.connect(vec![silent.addr(), live]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        assert!(before.elapsed() < limit);
    });
}

// TC11: SYN dropped
#[test]
fn a_silent_address_is_held_to_the_timeout() {
    let silent = FullListener::new();
    paused(async {
        let before = Instant::now();
        let limit = Duration::from_millis(100);
        let result = tulipa::timeout(limit, TcpStream::connect(silent.addr())).await;
        assert!(result.is_err());
        assert_eq!(before.elapsed(), limit);
    });
}

// §14: local_addr
#[test]
fn this_sides_address_can_be_chosen() {
    paused(async {
        let (listener, live) = listener().await;
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let connector = Connector::new().local_addr(local);
        let stream = connector.connect(live).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), local.ip());
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());

        // There is none for the other family: that is the attempt's error.
        let v6: SocketAddr = "[::1]:0".parse().unwrap();
        let connector = Connector::new().local_addr(v6);
        let error = connector.connect(live).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // With one for each it goes on.
        let stream = connector.local_addr(local).connect(live).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);

        let not_ours: SocketAddr = "192.0.2.1:0".parse().unwrap();
        let error = Connector::new().local_addr(not_ours).connect(live).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn sockets_are_configured_before_they_connect() {
    paused(async {
        let (_listener, live) = listener().await;
        let connector = Connector::new().configure(|socket| {
            socket.set_nodelay(false)?;
            socket.set_keep_alive(true)
        });
        for _ in 0..2 {
            let stream = connector.connect(live).await.unwrap();
            assert!(!stream.nodelay().unwrap());
            assert!(stream.keep_alive().unwrap());
        }
        let refuses = Connector::new().configure(|_| Err(ErrorKind::Unsupported.into()));
        let error = refuses.connect(live).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_connectors_resolver_comes_before_the_one_that_is_set() {
    paused(async {
        let (_listener, live) = listener().await;
        let wrong = async |_: &str, _: u16| Err(ErrorKind::NotFound.into());
        let connector = Connector::new().resolver(always(vec![live]));
        let debug = format!("{connector:?}");
        assert!(debug.starts_with("Connector"), "{debug}");
        with_resolver(wrong, async {
            assert!(TcpStream::connect("a.test:1").await.is_err());
            assert!(connector.connect("a.test:1").await.is_ok());
        })
        .await;
    });
}

// §14: sock= must be a stream socket, here by type; urgent data are left alone
#[test]
fn connections_have_the_options_that_are_promised() {
    paused(async {
        let (listener, live) = listener().await;
        let stream = TcpStream::connect(live).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        for stream in [&stream, &accepted] {
            assert!(stream.nodelay().unwrap());
            assert!(!stream.keep_alive().unwrap());
            #[cfg(unix)]
            {
                let socket = SockRef::from(stream);
                assert!(!socket.out_of_band_inline().unwrap());
                assert!(socket.nonblocking().unwrap());
            }
        }
    });
}
