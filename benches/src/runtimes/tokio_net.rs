//! The echo server that both forms of tokio share.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::tcp::server;

pub(super) async fn serve(buffer_bytes: usize) -> io::Result<()> {
    let listener = TcpListener::bind(server::ANY_PORT).await?;
    server::announce(&listener, listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(echo(stream, buffer_bytes));
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
