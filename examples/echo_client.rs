//! Sends its standard input to a server, and prints what comes back.
//!
//! ```text
//! cargo run --example echo_server &
//! printf 'hello\nworld\n' | cargo run --example echo_client 127.0.0.1:8888
//! ```
//!
//! An address with a slash is the path of a Unix socket. It ends when the server does: that is when its input has
//! ended and everything was sent back.

use std::io;
use std::process::ExitCode;

use tulipa::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, stdin, stdout};
use tulipa::net::TcpStream;

#[tulipa::main]
async fn main() -> ExitCode {
    let Some(addr) = std::env::args().nth(1) else {
        eprintln!("usage: echo_client ADDR    (for instance 127.0.0.1:8888, or /tmp/echo.sock)");
        return ExitCode::from(2);
    };
    match connect(&addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn connect(addr: &str) -> io::Result<()> {
    #[cfg(unix)]
    if addr.contains('/') {
        let stream = tulipa::net::UnixStream::connect(addr).await?;
        let (read, write) = stream.into_split();
        return talk(read, write).await;
    }
    let (read, write) = TcpStream::connect(addr).await?.into_split();
    talk(read, write).await
}

async fn talk<R, W>(mut read: R, mut write: W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + 'static,
{
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
