//! A UDP echo server, and a client that measures it.
//!
//! ```text
//! cargo run --release --example udp_echo                        # both, for a second
//! cargo run --release --example udp_echo serve 127.0.0.1:7777   # the server alone, until Ctrl-C
//! cargo run --release --example udp_echo ping 127.0.0.1:7777    # the client alone, for a second
//! ```
//!
//! Both receive and send many datagrams with one system call. Try the server with
//! `echo hello | nc -u -w1 127.0.0.1 7777`.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tulipa::net::{Batch, UdpSocket};
use tulipa::time::Instant;

/// So many datagrams are under way at a time.
const WINDOW: u32 = 64;
const MESSAGE: &[u8] = &[b'x'; 64];

#[tulipa::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        [] => both().await,
        ["serve", addr] => serve_at(addr).await,
        ["ping", addr] => ping_at(addr).await,
        _ => Err(io::Error::other(
            "arguments are: [serve ADDRESS | ping ADDRESS]",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("udp_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn both() -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let addr = socket.local_addr()?;
    // The server ends with the client: it is dropped.
    tulipa::race!(serve(socket), ping(addr))
}

async fn serve_at(addr: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(addr).await?;
    println!("listening on {}", socket.local_addr()?);
    serve(socket).await
}

/// Sends everything back to where it came from.
async fn serve(socket: UdpSocket) -> io::Result<()> {
    let mut batch = Batch::new(64, 2048);
    loop {
        match socket.recv_many(&mut batch).await {
            // So Windows says that a client is gone to which something was sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
            received => received?,
        };
        while let Err(error) = socket.send_many(&mut batch).await {
            // One client cannot be reached, a firewall forbids it: the others are still served.
            eprintln!("udp_echo: {error}");
            batch.skip_first();
        }
    }
}

async fn ping_at(addr: &str) -> io::Result<()> {
    let addr = addr.parse().map_err(io::Error::other)?;
    ping(addr).await
}

/// Keeps a window of datagrams under way for a second.
async fn ping(server: SocketAddr) -> io::Result<()> {
    let any_port = match server {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any_port).await?;
    // Only the server's datagrams are received, and a port where nobody listens is an error.
    socket.connect(server).await?;

    let start = Instant::now();
    let (mut sent, mut received, mut lost) = (0_u64, 0_u64, 0_u64);
    let mut batch = Batch::new(64, 2048);
    let mut under_way = 0;
    while start.elapsed() < Duration::from_secs(1) {
        batch.clear();
        for _ in under_way..WINDOW {
            batch.push_connected(MESSAGE);
        }
        sent += socket.send_many(&mut batch).await? as u64;
        // UDP promises nothing: what does not come back soon is given up.
        let patience = Duration::from_millis(100);
        under_way = match tulipa::timeout(patience, socket.recv_many(&mut batch)).await {
            Ok(count) => {
                let count = count?;
                if batch.iter().any(|it| it.data != MESSAGE) {
                    return Err(io::Error::other("what comes back is not what was sent"));
                }
                received += count as u64;
                WINDOW.saturating_sub(count as u32)
            }
            Err(_elapsed) => {
                lost += u64::from(WINDOW);
                0
            }
        };
    }
    println!("{sent} datagrams sent, {received} came back, {lost} lost, in one second");
    Ok(())
}
