//! Bytes in bulk: how fast they go one way over TCP or a Unix socket, and whether they arrive.
//!
//! ```text
//! cargo run --release --example bulk listen 127.0.0.1:5201 receive
//! cargo run --release --example bulk connect 127.0.0.1:5201 send 1024     # MiB; or the other way round
//! ```
//!
//! An address with a slash is the path of a Unix socket. The receiver reads to the end and answers with a line: the
//! number of bytes and their CRC-32, which the sender compares with its own. `listen` serves any number of
//! peers, until Ctrl-C; its first line names the address.

use std::io;
use std::process::ExitCode;

use crc32fast::Hasher;
use tulipa::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tulipa::net::{TcpListener, TcpStream};
use tulipa::time::Instant;

const MIB: usize = 1024 * 1024;
/// How many MiB to send; with `None` it receives.
type Role = Option<u64>;

#[tulipa::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mib = args.last().and_then(|it| it.parse().ok());
    let result = match args[..] {
        ["listen", addr, "receive"] => listen(addr, None).await,
        ["connect", addr, "receive"] => connect(addr, None).await,
        ["listen", addr, "send", _] if mib.is_some() => listen(addr, mib).await,
        ["connect", addr, "send", _] if mib.is_some() => connect(addr, mib).await,
        _ => Err(io::Error::other("(listen|connect) ADDR (send MIB|receive)")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulk: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn connect(addr: &str, role: Role) -> io::Result<()> {
    #[cfg(unix)]
    if addr.contains('/') {
        return run(tulipa::net::UnixStream::connect(addr).await?, role).await;
    }
    run(TcpStream::connect(addr).await?, role).await
}

async fn listen(addr: &str, role: Role) -> io::Result<()> {
    #[cfg(unix)]
    if addr.contains('/') {
        let listener = tulipa::net::UnixListener::bind(addr).await?;
        println!("listening on {addr}");
        loop {
            drop(tulipa::spawn(serve(listener.accept().await?.0, role)));
        }
    }
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        drop(tulipa::spawn(serve(listener.accept().await?.0, role)));
    }
}

/// A peer that fails ends its own task only.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, role: Role) {
    if let Err(error) = run(stream, role).await {
        println!("failed: {error}");
    }
}

async fn run(mut stream: impl AsyncRead + AsyncWrite + Unpin, role: Role) -> io::Result<()> {
    let start = Instant::now();
    let mut bytes = 0;
    let mut sum = Hasher::new();
    let mut buf = vec![0; MIB];
    if let Some(mib) = role {
        fastrand::Rng::with_seed(mib).fill(&mut buf);
        for number in 0..mib {
            // No two pieces are the same: none can take the place of another.
            buf[..8].copy_from_slice(&number.to_be_bytes());
            sum.update(&buf);
            stream.write_all(&buf).await?;
            bytes += MIB;
        }
        stream.close().await?; // That was all; the report comes the other way.
    } else {
        while let count @ 1.. = stream.read(&mut buf).await? {
            sum.update(&buf[..count]);
            bytes += count;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let speed = bytes as f64 / MIB as f64 / seconds;
    let report = format!("{bytes} bytes, CRC-32 {:08x}", sum.finalize());
    let verb = role.map_or("received", |_| "sent");
    println!("{verb} {report}, {seconds:.2} s, {speed:.0} MiB/s");
    if role.is_none() {
        let _ = stream.write_all(format!("{report}\n").as_bytes()).await; // It may not be wanted.
        return Ok(());
    }
    let mut answer = String::new();
    stream.take(100).read_to_string(&mut answer).await?;
    match answer.trim_end() {
        "" => println!("the receiver does not say what has arrived"),
        text if text == report => println!("the receiver has all of it"),
        text => return Err(io::Error::other(format!("the receiver has {text}"))),
    }
    Ok(())
}
