//! An echo service that binds nothing itself: a service manager passes it its sockets, of any kind, and starts it when
//! the first client comes.
//!
//! ```text
//! cargo build --example socket_activation
//! systemd-socket-activate -l 127.0.0.1:8888 -l /tmp/echo.sock target/debug/examples/socket_activation
//! nc 127.0.0.1 8888                    # and, from elsewhere: nc -U /tmp/echo.sock
//! ```
//!
//! With `--datagram` it gets UDP and Unix datagram sockets, with `--accept` one connection, and ends with that. It
//! prints a line for each socket. Otherwise Ctrl-C ends it. (Unix only.)

#[cfg(unix)]
#[tulipa::main]
async fn main() -> std::process::ExitCode {
    match unix::serve().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("socket_activation: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    println!("service managers of this system pass no sockets");
}

#[cfg(unix)]
mod unix {
    use std::io;

    use tulipa::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tulipa::net::{PassedKind, PassedSocket, listen_fds};
    use tulipa::task::JoinSet;

    pub(crate) async fn serve() -> io::Result<()> {
        let mut services = JoinSet::new();
        for passed in listen_fds()? {
            println!("{}", describe(&passed));
            services.spawn(echo_on(passed.socket));
        }
        if services.is_empty() {
            return Err(io::Error::other("no sockets were passed"));
        }
        // Listeners go on until one of them fails; a connection ends.
        while let Some(ended) = services.join_next().await {
            ended??;
        }
        Ok(())
    }

    fn describe(passed: &PassedSocket) -> String {
        let name = passed.name.as_deref().unwrap_or("without a name");
        format!("passed: {name}: {:?}", passed.socket)
    }

    async fn echo_on(socket: PassedKind) -> io::Result<()> {
        let mut buf = vec![0; 64 * 1024];
        match socket {
            PassedKind::TcpStream(stream) => echo(stream).await,
            PassedKind::UnixStream(stream) => echo(stream).await,
            PassedKind::TcpListener(listener) => loop {
                let (stream, _) = listener.accept().await?;
                drop(tulipa::spawn(quietly(stream)));
            },
            PassedKind::UnixListener(listener) => loop {
                let (stream, _) = listener.accept().await?;
                drop(tulipa::spawn(quietly(stream)));
            },
            PassedKind::Udp(socket) => loop {
                let (len, peer) = socket.recv_from(&mut buf).await?;
                // Whoever cannot be reached has gone: the others are still served.
                let _ = socket.send_to(&buf[..len], peer).await;
            },
            PassedKind::UnixDatagram(socket) => loop {
                let (len, peer) = socket.recv_from(&mut buf).await?;
                // One without a name of its own wants no answer.
                if let Some(path) = peer.as_pathname() {
                    let _ = socket.send_to(&buf[..len], path).await;
                }
            },
            other => Err(io::Error::other(format!("what to do with {other:?}?"))),
        }
    }

    /// A client that goes away in the middle ends its own task only.
    async fn quietly(stream: impl AsyncRead + AsyncWrite + Unpin) {
        let _ = echo(stream).await;
    }

    async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut buf = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buf).await? {
                0 => return stream.close().await,
                count => stream.write_all(&buf[..count]).await?,
            }
        }
    }
}
