//! An echo server: sends back whatever a client sends.
//!
//! ```text
//! cargo run --release --example echo_server              # listens on 127.0.0.1:8888
//! cargo run --release --example echo_server 127.0.0.1:0  # on a port that the system chooses
//! ```
//!
//! A second argument sets the size of a connection's buffer, in bytes: with many silent connections, small is better.
//! Its first line names the address. Try it with `cargo run --example echo_client 127.0.0.1:8888`, with
//! `nc`, or with a browser. Ctrl-C or SIGTERM
//! ends it, and the connections that are left.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::ExitCode;

use tulipa::catch_cancel;
use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::Runner;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    let buffer_bytes = match args.next().map(|bytes| bytes.parse()) {
        None => 16 * 1024,
        Some(Ok(bytes @ 1..)) => bytes,
        Some(_) => {
            eprintln!("usage: echo_server [ADDRESS [BUFFER_BYTES]]");
            return ExitCode::from(2);
        }
    };
    // `#[tulipa::main]` does the same, but leaves SIGTERM to the system.
    let signals = Runner::builder().handle_ctrl_c(true).handle_sigterm(true);
    let result = signals
        .build()
        .and_then(|mut runner| runner.run(until_interrupted(&addr, buffer_bytes)));
    match result {
        Ok(served) => {
            println!("served {served} connections");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal cancels this future, and says how many connections there were.
async fn until_interrupted(addr: &str, buffer_bytes: usize) -> io::Result<u64> {
    let served = Cell::new(0);
    match catch_cancel(serve(addr, buffer_bytes, &served)).await {
        Ok(result) => result?,
        Err(interrupt) => interrupt.forgive(), // Having been interrupted is success.
    }
    Ok(served.get())
}

async fn serve(addr: &str, buffer_bytes: usize, served: &Cell<u64>) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        served.set(served.get() + 1);
        drop(tulipa::spawn(async move {
            // A client that goes away in the middle ends its own task only.
            let _ = echo(stream, buffer_bytes).await;
        }));
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}
