//! Connecting to names of which some addresses do not answer (RFC 8305), and to nobody at all.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tulipa::io::StreamReader;
use tulipa::net::{ConnectError, Connection, Connector, Server, TcpListener, TcpStream};
use tulipa::time::Instant;

use crate::hosts::{Host, Hosts, descriptors, v4, v6, wire_v4, wire_v6, within};

/// The system sends a SYN again after a second, and then each second: in this time it would be seen.
const NEXT_SYN: Duration = Duration::from_millis(2500);
const FIRST_PACKETS: &str = "tcp flags & (syn | ack) == syn";

/// A connector for a name with these addresses.
fn named(addresses: &[SocketAddr]) -> Connector {
    let addresses = addresses.to_vec();
    Connector::new().resolver(async move |_: &str, _: u16| io::Result::Ok(addresses.clone()))
}

/// Listens on all addresses of the far host; the system takes the connections.
async fn listen(hosts: &Hosts) {
    let listening = hosts.on_far(|| async {
        // Takes connections of both families, as Linux has it.
        let listener = TcpListener::bind("[::]:7000").await;
        std::mem::forget(listener.expect("the port is free")); // As long as the process.
    });
    listening.await;
    // So that what is made once is there before descriptors are counted.
    within("connecting", TcpStream::connect(v4(2)))
        .await
        .expect("it listens")
        .abort();
}

/// No attempt is left over: its descriptor is closed, and nothing of it is sent any more.
async fn assert_nothing_is_left(near: &Host, far: &Host, before: usize) -> u64 {
    assert_eq!(descriptors(), before, "descriptors");
    assert_eq!(near.sockets("syn-sent").await, 0, "connections that begin");
    let hits = far.hits().await;
    tulipa::sleep(NEXT_SYN).await;
    assert_eq!(
        far.hits().await,
        hits,
        "packets of an attempt that was given up"
    );
    hits
}

pub(crate) async fn ipv6_black_hole(hosts: &Hosts) -> String {
    listen(hosts).await;
    let rule = format!("meta nfproto ipv6 {FIRST_PACKETS} counter name hits drop");
    hosts.far.filter_input(&rule).await;
    let (before, start) = (descriptors(), Instant::now());
    let connector = named(&[v6(2), v4(2)]);
    let connecting = connector.connect("name:7000");
    let stream = within("connecting", connecting)
        .await
        .expect("IPv4 answers");
    let took = start.elapsed();
    assert_eq!(stream.peer_addr().expect("it is connected"), v4(2));
    assert!(
        took >= Duration::from_millis(250),
        "IPv6 has had its time: {took:?}"
    );
    let hits = assert_nothing_is_left(&hosts.near, &hosts.far, before + 1).await;
    assert!(hits > 0, "IPv6 was tried");
    format!(
        "IPv4 after {} ms; {hits} SYN to IPv6, none after that, its socket is closed",
        took.as_millis()
    )
}

pub(crate) async fn ipv6_refused(hosts: &Hosts) -> String {
    listen(hosts).await;
    let rule = "meta nfproto ipv6 tcp dport 7000 counter name hits reject with tcp reset";
    hosts.far.filter_input(rule).await;
    let (before, start) = (descriptors(), Instant::now());
    // Whoever waited for the stagger would wait for an hour.
    let connector = named(&[v6(2), v4(2)]).stagger(Duration::from_secs(3600));
    let stream = within("connecting", connector.connect("name:7000")).await;
    let (stream, took) = (stream.expect("IPv4 answers"), start.elapsed());
    assert_eq!(stream.peer_addr().expect("it is connected"), v4(2));
    let hits = assert_nothing_is_left(&hosts.near, &hosts.far, before + 1).await;
    assert_eq!(hits, 1, "IPv6 was tried once");
    format!(
        "IPv4 at once ({} ms), with a stagger of an hour",
        took.as_millis()
    )
}

pub(crate) async fn both_fail(hosts: &Hosts) -> String {
    listen(hosts).await;
    let rule = "meta nfproto ipv6 tcp dport 7000 counter name hits reject with tcp reset;
        ip daddr 10.77.0.2 tcp dport 7000 counter name hits reject with icmp host-unreachable;
        ip daddr 10.77.0.3 tcp dport 7000 counter name hits drop";
    hosts.far.filter_input(rule).await;
    let before = descriptors();
    let connector = named(&[v6(2), v4(2), v4(3)]).attempt_timeout(Duration::from_millis(600));
    let error = within("connecting", connector.connect("name:7000"))
        .await
        .expect_err("nobody answers");
    let attempts = ConnectError::of(&error)
        .expect("it names the attempts")
        .attempts();
    let attempts: Vec<_> = attempts
        .iter()
        .map(|(addr, error)| (*addr, error.kind()))
        .collect();
    assert_eq!(
        attempts,
        [
            (v6(2), ErrorKind::ConnectionRefused),
            (v4(2), ErrorKind::HostUnreachable),
            (v4(3), ErrorKind::TimedOut)
        ]
    );
    assert_nothing_is_left(&hosts.near, &hosts.far, before).await;
    format!("every attempt's error: {error}")
}

pub(crate) async fn three_black_holes(hosts: &Hosts) -> String {
    listen(hosts).await;
    let rule = format!(
        "meta nfproto ipv6 {FIRST_PACKETS} counter name hits drop;
         ip daddr 10.77.0.2 {FIRST_PACKETS} counter name hits drop"
    );
    hosts.far.filter_input(&rule).await;
    let (before, start) = (descriptors(), Instant::now());
    let connector = named(&[v6(2), v6(3), v4(2), v4(3)]);
    let connecting = connector.connect("name:7000");
    let stream = within("connecting", connecting)
        .await
        .expect("the last one answers");
    let took = start.elapsed();
    assert_eq!(stream.peer_addr().expect("it is connected"), v4(3));
    assert!(
        took >= Duration::from_millis(750),
        "three have had their time: {took:?}"
    );
    let hits = assert_nothing_is_left(&hosts.near, &hosts.far, before + 1).await;
    assert!(hits >= 3, "all were tried");
    format!(
        "the fourth after {} ms, the other three are closed",
        took.as_millis()
    )
}

pub(crate) async fn slow_ipv6(hosts: &Hosts) -> String {
    listen(hosts).await;
    // IPv6 has its answer after 800 ms, over a wire; IPv4 goes through the cable.
    let _wire = hosts.wire(&["delay=400"]).await;
    hosts
        .far
        .filter_input("iifname wire0 tcp flags rst counter name hits")
        .await;
    let start = Instant::now();
    let connector = named(&[wire_v6(), v4(2)]);
    let connecting = connector.connect("name:7000");
    let stream = within("connecting", connecting).await.expect("both answer");
    let took = start.elapsed();
    assert_eq!(stream.peer_addr().expect("it is connected"), v4(2));
    assert_eq!(
        hosts.near.sockets("syn-sent").await,
        0,
        "the loser is closed"
    );
    // The answer to a socket that is gone makes a reset.
    let mut hits = 0;
    while hits == 0 {
        hits = within("the reset", hosts.far.hits()).await;
        assert!(start.elapsed() < Duration::from_secs(60), "no reset");
    }
    // Alone it would have come about.
    let alone = within("connecting", TcpStream::connect(wire_v6())).await;
    alone.expect("it is slow, but there");
    within("connecting", TcpStream::connect(wire_v4()))
        .await
        .expect("IPv4 as well");
    format!(
        "IPv4 after {} ms, IPv6 would have come after more than 800",
        took.as_millis()
    )
}

pub(crate) async fn name_with_a_black_hole(hosts: &Hosts) -> String {
    let rule = format!("meta nfproto ipv6 {FIRST_PACKETS} counter name hits drop");
    hosts.far.filter_input(&rule).await;
    let listening = hosts.on_far(|| async {
        let builder = Server::builder()
            .bind("0.0.0.0:7000")
            .await
            .expect("the port is free");
        let server = builder.start(async |connection: Connection| {
            let mut reader = StreamReader::new(connection.into_stream());
            reader
                .read_until(b"\r\n\r\n")
                .await
                .map_err(io::Error::other)?;
            let page = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\na page";
            reader.get_mut().write_all(page).await
        });
        std::mem::forget(server.expect("it serves")); // As long as the process.
    });
    listening.await;
    let names = "2001:db8:77::2 both.test\\n10.77.0.2 both.test\\n";
    let found = within(
        "dns_lookup",
        hosts.output_with_names("dns_lookup", "both.test", names),
    )
    .await;
    let (at_v6, at_v4) = (found.find("2001:db8:77::2"), found.find("10.77.0.2"));
    assert!(
        at_v6.is_some() && at_v6 < at_v4,
        "IPv6 comes first: {found}"
    );
    let url = "http://both.test:7000/";
    let output = within(
        "http_client",
        hosts.output_with_names("http_client", url, names),
    )
    .await;
    assert_eq!(output, "a page");
    let hits = hosts.far.hits().await;
    assert!(hits > 0, "IPv6 was tried");
    format!("http_client has its page by IPv4, after {hits} SYN to IPv6")
}

pub(crate) async fn no_answer_in_time(hosts: &Hosts) -> String {
    listen(hosts).await;
    hosts
        .far
        .filter_input(&format!("{FIRST_PACKETS} counter name hits drop"))
        .await;
    let before = descriptors();
    let connecting = tulipa::timeout(Duration::from_millis(300), TcpStream::connect(v4(2)));
    assert!(within("connecting", connecting).await.is_err(), "Elapsed");
    assert_nothing_is_left(&hosts.near, &hosts.far, before).await;
    // Whether more packets would have been seen: those of a socket that is kept.
    let hits = hosts.far.hits().await;
    let kept = tulipa::timeout(NEXT_SYN, TcpStream::connect(v4(2)));
    assert!(within("connecting", kept).await.is_err(), "Elapsed");
    let more = hosts.far.hits().await - hits;
    assert!(more > 1, "a socket that is open sends more than one SYN");
    format!("Elapsed, the socket is closed; no SYN in 2.5 s, where an open one sends {more}")
}

pub(crate) async fn no_answer_at_all(hosts: &Hosts) -> String {
    listen(hosts).await;
    hosts
        .near
        .sh("sysctl -qw net.ipv4.tcp_syn_retries=1 net.ipv4.tcp_syn_linear_timeouts=0")
        .await;
    hosts
        .far
        .filter_input(&format!("{FIRST_PACKETS} counter name hits drop"))
        .await;
    let (before, start) = (descriptors(), Instant::now());
    let error = within("connecting", TcpStream::connect(v4(2)))
        .await
        .expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let took = start.elapsed();
    let hits = assert_nothing_is_left(&hosts.near, &hosts.far, before).await;
    assert_eq!(hits, 2, "one SYN, and once again");
    format!("{error}, after {} ms and {hits} SYN", took.as_millis())
}
