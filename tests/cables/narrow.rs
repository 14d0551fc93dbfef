//! A link that is much narrower than what is sent.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::{Connection, Server, TcpStream};
use tulipa::sync::remote::mpsc;
use tulipa::time::Instant;

use crate::hosts::{Hosts, within};
use crate::traffic::ping;

/// What systems may hold on the way, beside the proxy: four socket buffers and a pipe. The rest must stay with the sender.
const HELD: u64 = 4 << 20;

pub(crate) async fn narrow_link(hosts: &Hosts) -> String {
    for host in [&hosts.near, &hosts.far] {
        host.sh(
            "sysctl -qw net.ipv4.tcp_rmem='4096 131072 524288' net.ipv4.tcp_wmem='4096 65536 524288'",
        )
        .await;
    }
    hosts
        .near
        .sh("tc qdisc add dev cable root tbf rate 2mbit burst 16kbit latency 400ms")
        .await;
    let (sender, mut counts) = mpsc::unbounded();
    // The first byte says what a client is: one that only sends, or one that pings.
    let serving = hosts.on_far(move || async {
        let builder = Server::builder()
            .bind("0.0.0.0:7000")
            .await
            .expect("the port is free");
        let server = builder.start(async move |mut connection: Connection| {
            let mut buf = vec![0; 16 * 1024];
            connection.read_exact(&mut buf[..1]).await?;
            let is_sink = buf[0] == b's';
            loop {
                let count = connection.read(&mut buf).await?;
                match count {
                    0 => return std::io::Result::Ok(()),
                    count if is_sink => drop(sender.send(count as u64)),
                    count => connection.write_all(&buf[..count]).await?,
                }
            }
        });
        std::mem::forget(server.expect("it serves")); // As long as the process.
    });
    serving.await;
    let proxy = hosts.start(&hosts.near, "proxy", &["127.0.0.1:7000", "10.77.0.2:7000"]);
    let addr = SocketAddr::from(([127, 0, 0, 1], 7000));
    let connect = async |kind: &[u8]| {
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        stream.write_all(kind).await.expect("it is taken");
        stream
    };
    let mut pinging = connect(b"p").await;
    within("a ping", ping(&mut pinging))
        .await
        .expect("it is served");
    let (before, pushed) = (proxy.memory_kib("VmRSS"), Rc::new(Cell::new(0_u64)));
    let mut pushing = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(b"s").await;
        let pushed = Rc::clone(&pushed);
        pushing.push(tulipa::spawn(async move {
            let piece = vec![0; 256 * 1024];
            while let Ok(count) = stream.write(&piece).await {
                pushed.set(pushed.get() + count as u64);
            }
        }));
    }
    let (mut received, mut pings, mut worst, start) = (0, 0, Duration::ZERO, Instant::now());
    while received < 1 << 20 {
        received += within("bytes at the far end", counts.recv())
            .await
            .expect("the server lives");
        while let Ok(count) = counts.try_recv() {
            received += count;
        }
        let ping_start = Instant::now();
        within("a ping through the same link", ping(&mut pinging))
            .await
            .expect("others are served");
        worst = worst.max(ping_start.elapsed());
        pings += 1;
    }
    let (pushed, after) = (pushed.get(), proxy.memory_kib("VmHWM"));
    let ahead = pushed - received;
    assert!(
        pushing.iter().all(|it| !it.is_finished()),
        "the senders wait for room"
    );
    assert!(ahead < 4 * HELD, "{ahead} bytes are on the way");
    let growth = after.saturating_sub(before);
    assert!(growth < 2048, "the proxy has grown by {growth} KiB");
    format!(
        "{received} bytes in {:.1} s, the four senders are {ahead} ahead and wait; the proxy has grown by {growth} KiB; \
         {pings} pings beside them, {} ms at most",
        start.elapsed().as_secs_f64(),
        worst.as_millis()
    )
}
