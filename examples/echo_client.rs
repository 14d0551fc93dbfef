//! Sends its standard input to a server, and prints what comes back.
//!
//! ```text
//! cargo run --example echo_server &
//! printf 'hello\nworld\n' | cargo run --example echo_client 127.0.0.1:8888
//! ```
//!
//! It ends when the server does: that is when its input has ended and everything was sent back.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use tulipa::io::{AsyncWriteExt, copy, stdin, stdout};
use tulipa::net::TcpStream;

#[tulipa::main]
async fn main() -> ExitCode {
    let Some(addr) = std::env::args().nth(1) else {
        eprintln!("usage: echo_client ADDR    (for instance 127.0.0.1:8888)");
        return ExitCode::from(2);
    };
    let addr: SocketAddr = match addr.parse() {
        Ok(addr) => addr,
        Err(_) => {
            eprintln!("echo_client: '{addr}' is not an address such as 127.0.0.1:8888");
            return ExitCode::from(2);
        }
    };
    match talk(addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn talk(addr: SocketAddr) -> io::Result<()> {
    let (mut read, mut write) = TcpStream::connect(addr).await?.into_split();

    // One task sends, this one prints what comes back: neither waits for the other.
    let sending = tulipa::spawn(async move {
        copy(&mut stdin(), &mut write).await?;
        write.close().await // Tells the server that this was all.
    });
    copy(&mut read, &mut stdout()).await?;
    sending.abort(); // The server has ended: whatever is typed has nowhere to go.
    match sending.await {
        Err(error) if error.is_cancelled() => Ok(()),
        sent => sent?,
    }
}
