//! Connections that are reset or killed: at each moment, told once, and nobody hangs.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::time::Duration;

use tulipa::io::{ReadError, open_connection};
use tulipa::net::{Connection, Server, TcpListener, TcpStream};
use tulipa::sync::remote::mpsc;

use crate::hosts::{Host, Hosts, v4, within};
use crate::traffic::{accept, fill, ping, send_back};

/// Listens on the far host; each connection is reset when a message says so.
async fn resetting(hosts: &Hosts) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel(8);
    let listening = hosts.on_far(move || async {
        let mut receiver = receiver;
        let listener = TcpListener::bind("0.0.0.0:7000")
            .await
            .expect("the port is free");
        drop(tulipa::spawn(async move {
            loop {
                let stream = accept(&listener).await;
                let _ = receiver.recv().await;
                stream.abort();
            }
        }));
    });
    listening.await;
    sender
}

async fn connect() -> TcpStream {
    let stream = within("connecting", TcpStream::connect(v4(2))).await;
    stream.expect("the far host listens")
}

/// Everything after the first error: the end for readers, `BrokenPipe` for writers.
async fn assert_told(stream: &mut TcpStream) {
    let mut buf = [0; 16];
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
}

/// Waits until the near system knows that the connections are gone.
async fn await_reset(hosts: &Hosts) {
    let gone = async { while hosts.near.sockets("established").await > 0 {} };
    within("the reset", gone).await;
}

pub(crate) async fn reset_at_each_moment(hosts: &Hosts) -> String {
    let resets = resetting(hosts).await;
    let reset = async || resets.send(()).await.expect("the far loop runs");
    let mut buf = [0; 16];

    // While a reader waits.
    let mut stream = connect().await;
    let (read, ()) = within("a reader", async {
        tulipa::join!(stream.read(&mut buf), reset())
    })
    .await;
    assert_eq!(
        read.expect_err("a reset").kind(),
        ErrorKind::ConnectionReset
    );
    assert_told(&mut stream).await;

    // While nobody waits: the next reader hears it, or the next writer.
    let mut stream = connect().await;
    reset().await;
    await_reset(hosts).await;
    let error = within("a reader", stream.read(&mut buf))
        .await
        .expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_told(&mut stream).await;

    let mut stream = connect().await;
    reset().await;
    await_reset(hosts).await;
    let error = within("a writer", stream.write(b"x"))
        .await
        .expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_told(&mut stream).await;

    // While a writer waits for room.
    let mut stream = connect().await;
    let taken = fill(&mut stream).await;
    let (write, ()) = within("a writer", async {
        tulipa::join!(stream.write(&buf), reset())
    })
    .await;
    assert_eq!(
        write.expect_err("a reset").kind(),
        ErrorKind::ConnectionReset
    );
    assert_told(&mut stream).await;

    // While both wait: one of them hears of it, the other one of the end.
    let mut stream = connect().await;
    fill(&mut stream).await;
    let (mut reader, mut writer) = stream.into_split();
    let (read, write, ()) = within("both", async {
        tulipa::join!(reader.read(&mut buf), writer.write(b"x"), reset())
    })
    .await;
    let (read, write) = (read.map_err(|it| it.kind()), write.map_err(|it| it.kind()));
    assert!(
        matches!(
            (read, write),
            (Err(ErrorKind::ConnectionReset), Err(ErrorKind::BrokenPipe))
                | (Ok(0), Err(ErrorKind::ConnectionReset))
        ),
        "{read:?}, {write:?}"
    );

    // While bytes are copied through.
    let local = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let mut client = TcpStream::connect(local.local_addr().expect("it listens"))
        .await
        .expect("it listens");
    let mut inner = accept(&local).await;
    let mut outer = connect().await;
    let copying = tulipa::io::copy_bidirectional(&mut inner, &mut outer);
    let (copied, ()) = within("a copy", async { tulipa::join!(copying, reset()) }).await;
    assert_eq!(
        copied.expect_err("a reset").kind(),
        ErrorKind::ConnectionReset
    );
    drop((inner, outer));
    assert_eq!(
        within("the client", client.read(&mut buf))
            .await
            .expect("the end"),
        0
    );

    format!(
        "ConnectionReset once, then the end and BrokenPipe: reading, idle, writing ({taken} bytes in), both, copying"
    )
}

/// Readers and writers with buffers: what was written and not taken is lost, and everyone who asks is told.
pub(crate) async fn reset_with_a_full_buffer(hosts: &Hosts) -> String {
    let resets = resetting(hosts).await;
    let (mut reader, writer) = within("connecting", open_connection(v4(2)))
        .await
        .expect("it listens");
    writer.write(&vec![0; 32 << 20]);
    let reset = async {
        tulipa::sleep(Duration::from_millis(300)).await;
        resets.send(()).await.expect("the far loop runs");
    };
    let all = async { tulipa::join!(reader.read_line(), writer.drain(), writer.flush(), reset) };
    let (line, drained, flushed, ()) = within("everyone", all).await;
    let again = within("flushing again", writer.flush()).await;
    writer.write(b"more");
    writer.close();
    let closed = within("closing", writer.wait_closed()).await;
    // The system tells the reset to one side, and the end to the other.
    let kind = |result: std::io::Result<()>| result.expect_err("the bytes are lost").kind();
    let writer_told = kind(drained);
    assert_eq!([kind(flushed), kind(again), kind(closed)], [writer_told; 3]);
    let reader_told = match line.expect_err("there was no line") {
        ReadError::Io(error) => Some(error.kind()),
        ReadError::Incomplete(_) => None,
        other => panic!("{other}"),
    };
    match reader_told {
        Some(kind) => assert_eq!(
            (kind, writer_told),
            (ErrorKind::ConnectionReset, ErrorKind::BrokenPipe)
        ),
        None => assert_eq!(writer_told, ErrorKind::ConnectionReset),
    }
    format!(
        "the reader: {reader_told:?}; draining, flushing and closing: {writer_told:?}, each time"
    )
}

pub(crate) async fn reset_by_a_firewall(hosts: &Hosts) -> String {
    let _server = hosts.start(&hosts.far, "echo_server", &["0.0.0.0:7000"]);
    let (mut one, mut other) = (connect().await, connect().await);
    within("a ping", ping(&mut one)).await.expect("it echoes");
    within("a ping", ping(&mut other)).await.expect("it echoes");
    let port = one.local_addr().expect("it is connected").port();
    let rule = format!("tcp sport {port} counter name hits reject with tcp reset");
    hosts.far.filter_input(&rule).await;
    let error = within("a ping", ping(&mut one)).await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_told(&mut one).await;
    within("a ping", ping(&mut other))
        .await
        .expect("others are served");
    assert_eq!(hosts.far.hits().await, 1);
    "ConnectionReset for the one, the other one is served".to_owned()
}

thread_local! {
    /// The server of the far host, on its thread.
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

pub(crate) async fn killed_from_outside(hosts: &Hosts) -> String {
    let (sender, mut ends) = mpsc::channel(8);
    let serving = hosts.on_far(move || async {
        let builder = Server::builder()
            .bind("0.0.0.0:7000")
            .await
            .expect("the port is free");
        let server = builder.start(async move |mut connection: Connection| {
            let ended = send_back(&mut connection).await;
            let _ = sender.send(ended.map_err(|it| it.kind())).await;
        });
        SERVER.set(Some(server.expect("it serves")));
    });
    serving.await;
    let (mut one, mut other, mut third) = (connect().await, connect().await, connect().await);
    for stream in [&mut one, &mut other, &mut third] {
        within("a ping", ping(stream)).await.expect("it echoes");
    }
    let port = |stream: &TcpStream| stream.local_addr().expect("it is connected").port();
    let kill = async |host: &Host, which: String| {
        let killed = host.sh(&format!("ss -HKt '{which}'")).await;
        assert!(!killed.is_empty(), "ss -K kills one");
    };

    // The client's side, while it reads; its peer is told by a reset.
    let mut buf = [0; 16];
    let killing = kill(&hosts.near, format!("sport = :{}", port(&one)));
    let (read, ()) = within("a reader", async {
        tulipa::join!(one.read(&mut buf), killing)
    })
    .await;
    assert_eq!(
        read.expect_err("killed").kind(),
        ErrorKind::ConnectionAborted
    );
    assert_told(&mut one).await;
    let ended = within("the handler", ends.recv())
        .await
        .expect("the server lives");
    assert_eq!(ended, Err(ErrorKind::ConnectionReset));

    // The server's side.
    kill(&hosts.far, format!("dport = :{}", port(&other))).await;
    let ended = within("the handler", ends.recv())
        .await
        .expect("the server lives");
    assert_eq!(ended, Err(ErrorKind::ConnectionAborted));
    let error = within("a reader", other.read(&mut buf))
        .await
        .expect_err("killed");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    // Both tasks have ended.
    let live = || async { SERVER.with_borrow(|it| it.as_ref().map(Server::connection_count)) };
    within("the tasks", async {
        while hosts.on_far(live).await != Some(1) {}
    })
    .await;
    within("a ping", ping(&mut third))
        .await
        .expect("others are served");
    let mut fourth = connect().await;
    within("a ping", ping(&mut fourth))
        .await
        .expect("and new ones");
    "ConnectionAborted where it was killed, ConnectionReset at the peer; both tasks ended, others are served".to_owned()
}
