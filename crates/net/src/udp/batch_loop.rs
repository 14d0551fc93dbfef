//! Batches where the system has no calls for them: one datagram after the other.
//!
//! A slot has room for one byte more than was asked for, which tells a datagram that is too long.
//! Windows says so itself, by an error without the sender's address.

use std::io;

use crate::udp::batch::{Batch, Entry, Received};

/// Nothing is kept from one call to the next.
pub(super) type Scratch = ();

/// Nothing is known about sending several datagrams as one.
pub(super) struct Offload;

impl Offload {
    pub(super) fn new(_: &mio::net::UdpSocket) -> io::Result<Offload> {
        Ok(Offload)
    }

    pub(super) fn set_gro(&self, _: &mio::net::UdpSocket, is_on: bool) -> io::Result<()> {
        if is_on {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(())
    }

    pub(super) fn is_gro(&self) -> bool {
        false
    }
}

/// WSAEMSGSIZE of winsock2.h: the datagram did not fit.
const DID_NOT_FIT: i32 = 10040;

/// Receives what is there, at most as much as `batch` has room for; at least one datagram.
pub(super) fn recv(
    socket: &mio::net::UdpSocket,
    batch: &mut Batch,
    _: &Offload,
) -> io::Result<Received> {
    batch.clear();
    let size = batch.slot_size;
    let slots = batch.slots.min(64);
    batch.reserve_bytes(slots * (size + 1));
    while batch.entries.len() < slots {
        let start = batch.entries.len() * (size + 1);
        let (len, addr) = match socket.recv_from(&mut batch.bytes[start..=start + size]) {
            Ok((len, addr)) => (len, Some(addr)),
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(DID_NOT_FIT) => {
                (size + 1, None)
            }
            Err(error) if batch.entries.is_empty() => return Err(error),
            // Whatever it is: a plain `WouldBlock`, or an error that the system tells only once. The
            // latter is about datagrams sent earlier, and lost: what was received counts more.
            Err(_) => break,
        };
        batch.entries.push(Entry {
            start,
            len: len.min(size),
            addr,
            is_truncated: len > size,
        });
    }
    batch.used = slots * (size + 1);
    Ok(Received {
        datagrams: batch.entries.len(),
        is_all: false, // mio's Windows sockets must be read until they would block in any case.
    })
}

/// Sends from the front of `batch`, until the socket takes no more; at least one datagram.
pub(super) fn send(
    socket: &mio::net::UdpSocket,
    batch: &mut Batch,
    _: &Offload,
) -> io::Result<usize> {
    let mut sent = 0;
    while let Some(entry) = batch.pending().first() {
        let data = batch.data(entry);
        let result = match entry.addr {
            Some(addr) => socket.send_to(data, addr),
            None => socket.send(data),
        };
        match result {
            Ok(_) => {
                batch.done += 1;
                sent += 1;
            }
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break, // It comes again, if it is about this datagram.
        }
    }
    Ok(sent)
}
