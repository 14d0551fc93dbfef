//! UDP: one datagram at a time, and batches.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tulipa::net::{Batch, UdpSocket};
use tulipa::runtime::Runner;
use tulipa::try_join;

use crate::bytes::{random, same};

const DATAGRAMS: usize = 120;

async fn bound() -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = socket.local_addr()?;
    Ok((socket, addr))
}

/// One at a time, there and back: nothing is lost on the way, since nothing fills up.
pub(crate) fn echo() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let (server, addr) = bound().await?;
        let serve = async {
            let mut buf = [0; 600];
            for _ in 0..DATAGRAMS {
                let (count, peer) = server.recv_from(&mut buf).await?;
                server.send_to(&buf[..count], peer).await?;
            }
            io::Result::Ok(())
        };
        let bytes = random(20, 500 * DATAGRAMS);
        let client = async {
            let (client, _) = bound().await?;
            client.connect(addr).await?;
            let mut all = Vec::new();
            for datagram in bytes.chunks(500) {
                let mut buf = [0; 600];
                client.send(datagram).await?;
                let count = client.recv(&mut buf).await?;
                all.extend_from_slice(&buf[..count]);
            }
            Ok(all)
        };
        let ((), all) = try_join!(serve, client)?;
        io::Result::Ok(same(&all, &bytes))
    })?
}

/// Batches, of datagrams of many sizes and of one, that fit into the sockets' buffers.
pub(crate) fn batches() -> io::Result<String> {
    const BATCH: usize = 30;

    Runner::new()?.try_run(async {
        let (server, server_addr) = bound().await?;
        let (client, client_addr) = bound().await?;
        let bytes = random(21, 30_000);
        let (mut sizes, mut rest) = (0.., &bytes[..]);
        let mut datagrams = Vec::new();
        while !rest.is_empty() {
            // Now runs of one size, which may go as one, now all sorts.
            let number: usize = sizes.next().unwrap_or_default();
            let size = if (number / BATCH).is_multiple_of(2) {
                100
            } else {
                50 + number % 200
            };
            let (datagram, behind) = rest.split_at(size.min(rest.len()));
            datagrams.push(datagram);
            rest = behind;
        }
        let expected = datagrams.len();
        let mut received = Batch::new(BATCH, 300);
        let mut sent = Batch::new(BATCH, 300);
        let mut all = Vec::new();
        for batch in datagrams.chunks(BATCH) {
            for datagram in batch {
                sent.push(datagram, server_addr);
            }
            while !sent.is_empty() {
                client.send_many(&mut sent).await?;
            }
            let mut count = 0;
            while count < batch.len() {
                count += server.recv_many(&mut received).await?;
                for datagram in received.iter() {
                    if datagram.addr != Some(client_addr) {
                        return Err(io::Error::other("a datagram of a stranger"));
                    }
                    all.extend_from_slice(datagram.data);
                }
            }
        }
        Ok(format!("{expected} datagrams, {}", same(&all, &bytes)))
    })?
}
