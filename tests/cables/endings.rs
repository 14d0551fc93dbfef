//! Servers that end while the network does not do its part.

use std::io::ErrorKind;
use std::time::Duration;

use tulipa::net::{Connection, Server, TcpStream};
use tulipa::sync::remote::oneshot;
use tulipa::time::Instant;

use crate::hosts::{Hosts, v4, wire_v4, within};
use crate::traffic::{bytes, check, ping, send_back};

pub(crate) async fn lost_fin(hosts: &Hosts) -> String {
    const DEADLINE: Duration = Duration::from_millis(1500);
    let (drain, told_to_drain) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel::<()>();
    let draining = hosts.start_far(move || async move {
        let builder = Server::builder()
            .bind("0.0.0.0:7000")
            .await
            .expect("the port is free");
        let server =
            builder.start(async |mut connection: Connection| send_back(&mut connection).await);
        let server = server.expect("it serves");
        let _ = ready.send(());
        let _ = told_to_drain.await;
        let start = Instant::now();
        let count = server.connection_count();
        let report = server.drain(DEADLINE).await;
        (
            count,
            report.ended,
            report.cancelled,
            report.hung.len(),
            start.elapsed(),
        )
    });
    is_ready.await.expect("it listens");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = within("connecting", TcpStream::connect(v4(2)))
            .await
            .expect("it listens");
        within("a ping", ping(&mut stream))
            .await
            .expect("it echoes");
        streams.push(stream);
    }
    hosts
        .near
        .filter_output("tcp flags & fin == fin counter name hits drop")
        .await;
    drop(streams.pop()); // The end of this one is lost; the other one is there still.
    let sent = async { while hosts.near.hits().await == 0 {} };
    within("the end that is lost", sent).await;
    let _ = drain.send(());
    let (count, ended, cancelled, hung, took) = within("the drain", draining)
        .await
        .expect("it does not panic");
    assert_eq!((count, ended, cancelled, hung), (2, 0, 2, 0));
    assert!(took >= DEADLINE, "it waits until the deadline: {took:?}");
    assert!(
        took < DEADLINE + Duration::from_secs(4),
        "not for the grace period: {took:?}"
    );
    let mut buf = [0; 1];
    let read = within("the other client", streams[0].read(&mut buf)).await;
    assert_eq!(
        read.expect("the end"),
        0,
        "the handler was asked to end, which closes"
    );
    format!(
        "the drain of 1500 ms ends after {} ms, 2 connections were asked to end, none hung",
        took.as_millis()
    )
}

pub(crate) async fn drain_on_a_slow_wire(hosts: &Hosts) -> String {
    const CLIENTS: u64 = 8;
    const COUNT: usize = 64 * 1024;
    let _wire = hosts.wire(&["delay=100", "loss=2", "seed=1"]).await;
    let (ready, is_ready) = oneshot::channel::<()>();
    let (closed, is_closed) = oneshot::channel::<()>();
    let draining = hosts.start_far(move || async move {
        let builder = Server::builder()
            .bind("0.0.0.0:7000")
            .await
            .expect("the port is free");
        // The answer begins when the request has ended.
        let server = builder.start(async |mut connection: Connection| {
            let mut request = Vec::new();
            tulipa::io::AsyncReadExt::read_to_end(&mut *connection, &mut request).await?;
            connection.write_all(&request).await
        });
        let server = server.expect("it serves");
        let _ = ready.send(());
        while server.accepted() < CLIENTS {
            tulipa::sleep(Duration::from_millis(5)).await;
        }
        let drain = server.drain(Duration::from_secs(60));
        let (report, ()) = tulipa::join!(drain, async {
            let _ = closed.send(());
        });
        (report.ended, report.cancelled, report.hung.len())
    });
    is_ready.await.expect("it listens");
    let mut clients = tulipa::task::JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(async move {
            let start = number << 32;
            let mut stream = TcpStream::connect(wire_v4()).await?;
            stream.write_all(&bytes(start, COUNT)).await?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut answer = Vec::new();
            tulipa::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await?;
            assert_eq!(answer.len(), COUNT, "the whole answer");
            check(start, &answer);
            std::io::Result::Ok(())
        });
    }
    within("accepting", is_closed).await.expect("it is drained");
    let late = within("a late client", TcpStream::connect(wire_v4())).await;
    assert_eq!(
        late.expect_err("nobody listens").kind(),
        ErrorKind::ConnectionRefused
    );
    let mut served = 0;
    while let Some(client) = within("a client", clients.join_next()).await {
        client
            .expect("it does not panic")
            .expect("what was accepted completes");
        served += 1;
    }
    let (ended, cancelled, hung) = within("the drain", draining)
        .await
        .expect("it does not panic");
    assert_eq!((served, cancelled, hung), (CLIENTS, 0, 0));
    assert!(ended > 0, "the drain had somebody to wait for");
    format!(
        "{ended} of {served} clients under way at the drain, all have their {COUNT} bytes; a late one is refused"
    )
}
