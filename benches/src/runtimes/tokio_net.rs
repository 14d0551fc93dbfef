//! The servers that both forms of tokio share.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::DATAGRAM_BYTES;
use crate::net::server;

pub(super) async fn serve_echo(buffer_bytes: usize) -> io::Result<()> {
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

pub(super) async fn serve_udp() -> io::Result<()> {
    let socket = UdpSocket::bind(server::ANY_PORT).await?;
    server::announce_port(socket.local_addr()?)?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..count], from).await?;
    }
}

pub(super) async fn proxy(target: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(server::ANY_PORT).await?;
    server::announce(&listener, listener.local_addr()?)?;
    loop {
        let (mut client, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            if let Ok(mut server) = TcpStream::connect(target).await {
                let _ = server.set_nodelay(true);
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
