//! Peers that are gone without a word, because the cable is cut; and one that comes back.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::{KeepAlive, TcpListener, TcpStream};
use tulipa::time::Instant;

use crate::hosts::{Hosts, v4, within};
use crate::traffic::{echo, fill, ping, send_back};

/// Echoes whatever comes, for ever.
async fn serve(hosts: &Hosts) {
    let listening = hosts.on_far(|| async {
        let listener = TcpListener::bind("0.0.0.0:7000")
            .await
            .expect("the port is free");
        drop(tulipa::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("it goes on listening");
                drop(tulipa::spawn(
                    async move { drop(send_back(&mut stream).await) },
                ));
            }
        }));
    });
    listening.await;
}

async fn connect() -> TcpStream {
    let stream = within("connecting", TcpStream::connect(v4(2))).await;
    let mut stream = stream.expect("the far host listens");
    within("a ping", ping(&mut stream))
        .await
        .expect("it is answered");
    stream
}

fn probing() -> KeepAlive {
    let second = Duration::from_secs(1);
    KeepAlive::new().time(second).interval(second).retries(2)
}

/// Reads until there is an error, which is told once; nothing can be written after that, and the end can be read.
async fn error_of(mut stream: TcpStream) -> (ErrorKind, Duration) {
    let start = Instant::now();
    let mut buf = [0; 16];
    let error = within("reading", stream.read(&mut buf))
        .await
        .expect_err("the peer is gone");
    let took = start.elapsed();
    assert_eq!(
        within("reading again", stream.read(&mut buf))
            .await
            .expect("told once"),
        0
    );
    let again = within("writing", stream.write(b"x"))
        .await
        .expect_err("there is no connection");
    assert_eq!(again.kind(), ErrorKind::BrokenPipe);
    (error.kind(), took)
}

async fn assert_still_waits(stream: &mut TcpStream) {
    let mut buf = [0; 16];
    let read = tulipa::timeout(Duration::from_millis(500), stream.read(&mut buf)).await;
    assert!(read.is_err(), "a reader without keep-alive waits: {read:?}");
}

pub(crate) async fn keep_alive_notices(hosts: &Hosts) -> String {
    serve(hosts).await;
    hosts.introduce().await;
    let mut plain = connect().await;
    let probed = connect().await;
    probed
        .set_keep_alive_times(&probing())
        .expect("the system has keep-alive");
    hosts.cut().await;
    let (kind, took) = error_of(probed).await;
    assert_eq!(kind, ErrorKind::TimedOut);
    let bounds = Duration::from_millis(1900)..Duration::from_secs(15);
    assert!(bounds.contains(&took), "after 1 + 2 * 1 s: {took:?}");
    assert_still_waits(&mut plain).await;
    // It is alive once the cable is mended.
    hosts.mend().await;
    within("a ping", ping(&mut plain))
        .await
        .expect("nobody has missed anything");
    format!(
        "TimedOut after {} ms of 1 + 2 * 1 s; without keep-alive it waits, and lives on when mended",
        took.as_millis()
    )
}

pub(crate) async fn no_route_any_more(hosts: &Hosts) -> String {
    serve(hosts).await;
    // The hosts were not introduced: the near one asks who has the address, and nobody answers.
    let mut stream = connect().await;
    let limit = Some(Duration::from_secs(6));
    stream.set_user_timeout(limit).expect("the system has it");
    hosts.cut().await;
    let written = stream.write_all(b"hello?").await;
    written.expect("the system takes it");
    let (kind, took) = error_of(stream).await;
    assert_eq!(kind, ErrorKind::HostUnreachable);
    format!(
        "{kind:?} after {} ms, instead of TimedOut: no neighbour has the address",
        took.as_millis()
    )
}

pub(crate) async fn writers_give_up(hosts: &Hosts) -> String {
    serve(hosts).await;
    hosts.introduce().await;
    hosts.near.sh("sysctl -qw net.ipv4.tcp_retries2=3").await;
    let (mut by_retries, mut by_timeout, mut full) =
        (connect().await, connect().await, connect().await);
    let mut reader = connect().await;
    let limit = Some(Duration::from_secs(1));
    by_timeout
        .set_user_timeout(limit)
        .expect("the system has it");
    hosts.cut().await;

    let taken = fill(&mut full).await;
    let waiting = tulipa::spawn(async move {
        let start = Instant::now();
        let error = full.write(&[0; 1024]).await.expect_err("the peer is gone");
        (error.kind(), start.elapsed())
    });
    by_retries
        .write_all(b"hello?")
        .await
        .expect("the system takes it");
    by_timeout
        .write_all(b"hello?")
        .await
        .expect("the system takes it");
    let (by_retries, by_timeout) = tulipa::join!(error_of(by_retries), error_of(by_timeout));
    let waited = within("a writer that waits", waiting)
        .await
        .expect("it does not panic");
    for (kind, took) in [by_retries, by_timeout, waited] {
        assert_eq!(kind, ErrorKind::TimedOut, "after {took:?}");
    }
    assert!(by_timeout.1 >= Duration::from_millis(900), "{by_timeout:?}");
    assert!(
        by_timeout.1 + Duration::from_secs(1) < by_retries.1,
        "its own time counts: {by_timeout:?}, {by_retries:?}"
    );
    assert_still_waits(&mut reader).await;
    format!(
        "TimedOut after {} ms (3 retries), {} ms (user timeout of 1 s); a writer that waits, {taken} bytes in, after {} ms",
        by_retries.1.as_millis(),
        by_timeout.1.as_millis(),
        waited.1.as_millis()
    )
}

pub(crate) async fn cut_and_mended(hosts: &Hosts) -> String {
    const COUNT: u64 = 6 << 20;
    let _server = hosts.start(&hosts.far, "echo_server", &["0.0.0.0:7000"]);
    hosts
        .near
        .sh("tc qdisc add dev cable root tbf rate 10mbit burst 32kbit latency 400ms")
        .await;
    let stream = within("connecting", TcpStream::connect(v4(2)))
        .await
        .expect("it listens");
    let received = Rc::new(Cell::new(0));
    let count = Rc::clone(&received);
    let talk = tulipa::spawn(async move { echo(stream, COUNT, &count).await });
    while received.get() < COUNT / 16 {
        tulipa::sleep(Duration::from_millis(5)).await;
        assert!(!talk.is_finished(), "it ended early");
    }
    hosts.cut().await;
    tulipa::sleep(Duration::from_millis(200)).await;
    let at_cut = received.get();
    tulipa::sleep(Duration::from_secs(3)).await;
    assert_eq!(received.get(), at_cut, "the cable is cut");
    assert!(at_cut < COUNT, "it was cut in the middle");
    hosts.mend().await;
    within("the rest", talk)
        .await
        .expect("it does not panic")
        .expect("it goes on");
    format!("{COUNT} bytes there and back, all right, with the cable cut for 3 s after {at_cut}")
}
