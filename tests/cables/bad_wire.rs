//! Packets that are lost, doubled, late and out of order: streams do not notice, and who uses datagrams sees what there is.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tulipa::net::{Batch, TcpStream, UdpSocket};
use tulipa::sync::remote::oneshot;
use tulipa::time::Instant;

use crate::hosts::{Hosts, v4, wire_v4, within};
use crate::traffic::{bytes, echo};

pub(crate) async fn tcp_on_a_bad_wire(hosts: &Hosts) -> String {
    let count: u64 = if is_short() { 512 << 10 } else { 4 << 20 };
    let faults = ["delay=25", "loss=5", "twice=5", "late=5", "seed=3"];
    let _wire = hosts.wire(&faults).await;
    let _server = hosts.start(&hosts.far, "echo_server", &["0.0.0.0:7000"]);
    let stream = within("connecting", TcpStream::connect(wire_v4()))
        .await
        .expect("it listens");
    let start = Instant::now();
    let received = Cell::new(0);
    let talk = echo(stream, count, &received);
    let Ok(talked) = tulipa::timeout(Duration::from_secs(110), talk).await else {
        panic!("{} of {count} bytes in 110 s", received.get());
    };
    talked.expect("streams survive this");
    let again = hosts.near.sh("nstat -asz TcpRetransSegs | tail -n 1").await;
    let again: u64 = again
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect(&again);
    assert!(again > 0, "the wire loses packets");
    let (took, faults) = (start.elapsed().as_secs_f64(), faults[..4].join(" "));
    format!(
        "{count} bytes there and back, all right, in {took:.1} s; {faults}; {again} segments sent again"
    )
}

/// Datagrams of one size in a row, then of the next, so that they may be joined; each says which one it is.
fn datagram(number: u64) -> Vec<u8> {
    let size = 16 + 97 * (number / 50 % 14) as usize;
    let mut data = number.to_be_bytes().to_vec();
    data.extend(bytes(number << 20, size));
    data
}

struct Seen {
    /// How often each datagram came.
    times: HashMap<u64, u32>,
    late: u64,
    batches: u64,
    datagrams: u64,
}

impl Seen {
    fn doubled(&self) -> usize {
        self.times.values().filter(|it| **it > 1).count()
    }
}

/// Receives batches on the far host until nothing comes for a second, and compares every datagram with what was sent.
async fn receive(socket: UdpSocket, sender: SocketAddr) -> Seen {
    let mut seen = Seen {
        times: HashMap::new(),
        late: 0,
        batches: 0,
        datagrams: 0,
    };
    let mut highest = 0;
    let mut batch = Batch::new(64, 2048);
    loop {
        let patience = Duration::from_secs(if seen.batches == 0 { 30 } else { 1 });
        match tulipa::timeout(patience, socket.recv_many(&mut batch)).await {
            Ok(received) => assert_eq!(received.expect("it can be received"), batch.len()),
            Err(_) => return seen,
        }
        seen.batches += 1;
        for it in batch.iter() {
            let number = it.data.first_chunk().expect("the number is there");
            let number = u64::from_be_bytes(*number);
            assert!(
                it.data == datagram(number),
                "datagram {number} is not as it was sent: {} bytes",
                it.data.len()
            );
            assert_eq!(
                (it.addr.map(|it| it.ip()), it.is_truncated),
                (Some(sender.ip()), false)
            );
            *seen.times.entry(number).or_default() += 1;
            seen.late += u64::from(number < highest);
            highest = highest.max(number);
            seen.datagrams += 1;
            RECEIVED.store(seen.datagrams, Ordering::Relaxed);
        }
    }
}

/// When the next batch is sent.
enum Pace {
    Steady(Duration),
    /// Not before the last one is received: none is lost because the receiver is busy.
    AsReceived,
}

static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// Sends `count` datagrams in batches to the far host, which receives them joined where the system joins them.
async fn send(hosts: &Hosts, to: SocketAddr, from: SocketAddr, count: u64, pace: Pace) -> Seen {
    let (ready, is_ready) = oneshot::channel::<()>();
    let receiving = hosts.start_far(move || async move {
        let socket = UdpSocket::bind(to).await.expect("the port is free");
        socket.set_gro(true).expect("Linux can");
        let _ = ready.send(());
        receive(socket, from).await
    });
    is_ready.await.expect("it receives");
    let socket = UdpSocket::bind(from).await.expect("the address is ours");
    let mut batch = Batch::new(64, 2048);
    for start in (0..count).step_by(50) {
        batch.clear();
        (start..start + 50).for_each(|number| batch.push(&datagram(number), to));
        assert_eq!(
            socket.send_many(&mut batch).await.expect("it can be sent"),
            50
        );
        match pace {
            Pace::Steady(pause) => tulipa::sleep(pause).await,
            Pace::AsReceived => {
                let caught_up = async {
                    while RECEIVED.load(Ordering::Relaxed) < start {
                        tulipa::sleep(Duration::from_millis(1)).await;
                    }
                };
                within("datagrams that are received", caught_up).await;
            }
        }
    }
    within("receiving", receiving)
        .await
        .expect("it does not panic")
}

pub(crate) async fn udp_on_a_bad_wire(hosts: &Hosts) -> String {
    let count = if is_short() { 1400 } else { 7000 };
    let _wire = hosts
        .wire(&["delay=10", "loss=5", "twice=5", "late=5", "seed=4"])
        .await;
    let from = SocketAddr::from(([10, 78, 0, 1], 7001));
    let seen = send(
        hosts,
        wire_v4(),
        from,
        count,
        Pace::Steady(Duration::from_millis(20)),
    )
    .await;
    let lost = count - seen.times.len() as u64;
    let doubled = seen.doubled();
    // A busy machine loses more.
    assert!(
        (count / 50..count / 2).contains(&lost),
        "5 of 100 are lost: {lost}"
    );
    assert!(
        (1..count as usize / 5).contains(&doubled),
        "5 of 100 come twice: {doubled}"
    );
    assert!(seen.late > 0, "some are late");
    format!(
        "{count} datagrams: {lost} lost, {doubled} twice, {} late, none that was not sent",
        seen.late
    )
}

pub(crate) async fn joined_datagrams(hosts: &Hosts) -> String {
    let count = 7000;
    let from = SocketAddr::from(([10, 77, 0, 1], 7001));
    let seen = send(hosts, v4(2), from, count, Pace::AsReceived).await;
    assert_eq!(
        (seen.times.len() as u64, seen.datagrams),
        (count, count),
        "none lost, none twice"
    );
    assert_eq!(seen.late, 0, "in order");
    assert!(
        seen.datagrams / seen.batches > 5,
        "many at a time: {} in {}",
        seen.datagrams,
        seen.batches
    );
    format!(
        "{count} datagrams of 14 sizes in {} batches, each with its bounds",
        seen.batches
    )
}

fn is_short() -> bool {
    std::env::var_os("CABLES_SHORT").is_some_and(|it| !it.is_empty())
}
