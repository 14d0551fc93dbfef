//! Batches by recvmmsg(2) and sendmmsg(2), and on Linux by offload: several datagrams of one size, for
//! one address, go through the network stack as one (UDP_SEGMENT, UDP_GRO, see udp(7)).
//!
//! # What one call sends
//! From the front of the batch either datagrams one by one, or runs of them as one message each; all
//! messages of a call have one segment size. A run is of one address and one size, but that its last
//! datagram may be shorter. A run that the system refuses is sent one by one, and runs of that size
//! are not tried again on this socket.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage,
    recvmmsg, sendmmsg,
};

use crate::udp::batch::{Batch, Entry, Received};

/// Messages of one call. More save little; the arrays for them lie on the stack.
const MESSAGES: usize = 64;

/// What a message of several datagrams needs as a slot: the largest there is.
#[cfg(any(target_os = "linux", target_os = "android"))]
const GRO_SLOT: usize = 1 << 16;

/// Messages of one call when each may be of several datagrams. The buffer takes 2 MiB of address space
/// then, and memory for what was ever written. Fewer make traffic dear that the system does not join.
#[cfg(any(target_os = "linux", target_os = "android"))]
const GRO_MESSAGES: usize = 32;

/// Headers for the system calls, kept from one to the next.
#[derive(Default)]
pub(super) struct Scratch {
    /// For each family its own: an address of fixed size cannot be cut short by an earlier one's.
    v4: Option<MultiHeaders<SockaddrIn>>,
    v6: Option<MultiHeaders<SockaddrIn6>>,
    send: Option<MultiHeaders<SockaddrStorage>>,
    addresses: Vec<Option<SockaddrStorage>>,
}

/// What a socket's system and network can do with several datagrams at once.
pub(super) struct Offload {
    is_ipv4: bool,
    is_gro: Cell<bool>,
    /// Datagrams below this size can be sent as one; `None`: not tried yet.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    gso_limit: Cell<Option<usize>>,
}

impl Offload {
    pub(super) fn new(socket: &mio::net::UdpSocket) -> io::Result<Offload> {
        Ok(Offload {
            is_ipv4: socket.local_addr()?.is_ipv4(),
            is_gro: Cell::new(false),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            gso_limit: Cell::new(None),
        })
    }

    pub(super) fn is_gro(&self) -> bool {
        self.is_gro.get()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn set_gro(&self, socket: &mio::net::UdpSocket, is_on: bool) -> io::Result<()> {
        use nix::sys::socket::{setsockopt, sockopt::UdpGroSegment};

        setsockopt(socket, UdpGroSegment, &is_on)?;
        self.is_gro.set(is_on);
        Ok(())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn set_gro(&self, _: &mio::net::UdpSocket, is_on: bool) -> io::Result<()> {
        if is_on {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(())
    }
}

/// Receives what is there, at most as much as `batch` has room for; at least one datagram.
pub(super) fn recv(
    socket: &mio::net::UdpSocket,
    batch: &mut Batch,
    offload: &Offload,
) -> io::Result<Received> {
    batch.clear();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if offload.is_gro() {
        return recv_joined(socket, batch, offload);
    }
    let (slots, size) = (batch.slots.min(MESSAGES), batch.slot_size);
    batch.reserve_bytes(slots * size);
    batch.used = slots * size;
    let Batch {
        bytes,
        entries,
        scratch,
        ..
    } = batch;
    let mut slots = Slots {
        fd: socket.as_fd().as_raw_fd(),
        bytes,
        size,
        count: slots,
        entries,
    };
    if offload.is_ipv4 {
        let headers = scratch
            .v4
            .get_or_insert_with(|| MultiHeaders::preallocate(MESSAGES, None));
        slots.recv(headers, |it| SocketAddr::V4(it.into()))
    } else {
        let headers = scratch
            .v6
            .get_or_insert_with(|| MultiHeaders::preallocate(MESSAGES, None));
        slots.recv(headers, |it| SocketAddr::V6(it.into()))
    }
}

/// The parts of a batch that receiving needs.
struct Slots<'a> {
    fd: i32,
    bytes: &'a mut [u8],
    size: usize,
    count: usize,
    entries: &'a mut Vec<Entry>,
}

impl Slots<'_> {
    fn recv<S: SockaddrLike + Copy>(
        &mut self,
        headers: &mut MultiHeaders<S>,
        address: impl Fn(S) -> SocketAddr,
    ) -> io::Result<Received> {
        let mut slots = self.bytes.chunks_exact_mut(self.size);
        let mut buffers: [[IoSliceMut<'_>; 1]; MESSAGES] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
        let messages = recvmmsg(
            self.fd,
            headers,
            buffers[..self.count].iter_mut(),
            MsgFlags::empty(),
            None,
        )?;
        let mut count = 0;
        for (index, message) in messages.enumerate() {
            count = index + 1;
            let start = index * self.size;
            let addr = message.address.map(&address);
            let is_truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
            let segment = segment_size(&message);
            // An empty datagram is one too.
            let mut offset = 0;
            loop {
                let len = (message.bytes - offset).min(segment);
                self.entries.push(Entry {
                    start: start + offset,
                    len,
                    addr,
                    is_truncated,
                });
                offset += len;
                if offset >= message.bytes {
                    break;
                }
            }
        }
        // The call ends early when the socket has no more, or an error to tell next time: of that
        // there is an event.
        Ok(Received {
            datagrams: self.entries.len(),
            is_all: count < self.count,
        })
    }
}

/// Receives messages that may be of several datagrams each.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn recv_joined(
    socket: &mio::net::UdpSocket,
    batch: &mut Batch,
    offload: &Offload,
) -> io::Result<Received> {
    let count = batch.slots.min(GRO_MESSAGES);
    batch.reserve_bytes(count * GRO_SLOT);
    batch.used = count * GRO_SLOT;
    let mut slots = Slots {
        fd: socket.as_fd().as_raw_fd(),
        bytes: &mut batch.bytes,
        size: GRO_SLOT,
        count,
        entries: &mut batch.entries,
    };
    // The kernel overwrites how much room there is for control messages, so that these headers are
    // good for one call.
    let control = || Some(nix::cmsg_space!(i32));
    if offload.is_ipv4 {
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(count, control());
        slots.recv(&mut headers, |it| SocketAddr::V4(it.into()))
    } else {
        let mut headers = MultiHeaders::<SockaddrIn6>::preallocate(count, control());
        slots.recv(&mut headers, |it| SocketAddr::V6(it.into()))
    }
}

/// The size of each datagram of a message, but the last.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn segment_size<S>(message: &nix::sys::socket::RecvMsg<'_, '_, S>) -> usize {
    use nix::sys::socket::ControlMessageOwned;

    let Ok(mut messages) = message.cmsgs() else {
        return message.bytes.max(1);
    };
    messages
        .find_map(|it| match it {
            ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
            _ => None,
        })
        .unwrap_or(message.bytes)
        .max(1)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn segment_size<S>(message: &nix::sys::socket::RecvMsg<'_, '_, S>) -> usize {
    message.bytes.max(1)
}

/// Sends from the front of `batch`, by one call; at least one datagram.
pub(super) fn send(
    socket: &mio::net::UdpSocket,
    batch: &mut Batch,
    offload: &Offload,
) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(sent) = gso::send(socket, batch, offload)? {
        batch.done += sent;
        return Ok(sent);
    }
    let pending = &batch.entries[batch.done..];
    let count = one_by_one(pending, offload);
    let pending = &pending[..count];
    let mut messages = [[IoSlice::new(&[])]; MESSAGES];
    for (message, entry) in messages.iter_mut().zip(pending) {
        *message = [IoSlice::new(
            &batch.bytes[entry.start..entry.start + entry.len],
        )];
    }
    let Scratch {
        send, addresses, ..
    } = &mut batch.scratch;
    addresses.clear();
    addresses.extend(pending.iter().map(|it| it.addr.map(SockaddrStorage::from)));
    let sent = sendmmsg(
        socket.as_fd().as_raw_fd(),
        send.get_or_insert_with(|| MultiHeaders::preallocate(MESSAGES, None)),
        messages[..count].iter(),
        addresses,
        NO_CONTROL,
        flags(),
    )?
    .count();
    batch.done += sent;
    Ok(sent)
}

const NO_CONTROL: [ControlMessage<'static>; 0] = [];

fn flags() -> MsgFlags {
    MsgFlags::MSG_NOSIGNAL
}

/// So many datagrams are sent one by one before a run begins.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn one_by_one(pending: &[Entry], offload: &Offload) -> usize {
    let below = offload.gso_limit.get().unwrap_or(usize::MAX);
    let limit = pending.len().min(MESSAGES);
    (1..limit)
        .find(|&index| pending[index].len < below && gso::run(&pending[index..]) >= gso::WORTH_IT)
        .unwrap_or(limit)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn one_by_one(pending: &[Entry], _: &Offload) -> usize {
    pending.len().min(MESSAGES)
}

/// Several datagrams as one message.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod gso {
    use super::*;
    use nix::errno::Errno;
    use nix::sys::socket::{getsockopt, sockopt::UdpGsoSegment};

    /// A run of fewer datagrams is as well sent one by one.
    pub(super) const WORTH_IT: usize = 3;
    /// UDP_MAX_SEGMENTS of linux/udp.h, before it was raised to 128.
    const MAX_SEGMENTS: usize = 64;
    /// What fits into an IP packet beside its headers.
    const MAX_BYTES: usize = 65_000;

    /// So many datagrams from the front can go as one message.
    pub(super) fn run(pending: &[Entry]) -> usize {
        let Some(first) = pending.first() else {
            return 0;
        };
        if first.len == 0 {
            return 1;
        }
        let limit = pending
            .len()
            .min(MAX_SEGMENTS)
            .min((MAX_BYTES / first.len).max(1));
        for (index, entry) in pending[..limit].iter().enumerate().skip(1) {
            if entry.addr != first.addr || entry.len > first.len || entry.len == 0 {
                return index;
            }
            if entry.len < first.len {
                return index + 1;
            }
        }
        limit
    }

    /// Sends the runs at the front of `batch`; `None` when there is none.
    pub(super) fn send(
        socket: &mio::net::UdpSocket,
        batch: &mut Batch,
        offload: &Offload,
    ) -> io::Result<Option<usize>> {
        let pending = &batch.entries[batch.done..];
        if run(pending) < WORTH_IT {
            return Ok(None);
        }
        let size = pending[0].len;
        if size >= limit(socket, offload) {
            return Ok(None);
        }

        let mut counts = Vec::new();
        let mut total = 0;
        while counts.len() < MESSAGES && total < pending.len() && pending[total].len == size {
            let count = run(&pending[total..]);
            if count < WORTH_IT {
                break;
            }
            counts.push(count);
            total += count;
        }
        let slices: Vec<_> = pending[..total]
            .iter()
            .map(|it| IoSlice::new(&batch.bytes[it.start..it.start + it.len]))
            .collect();
        let mut messages: Vec<&[IoSlice<'_>]> = Vec::with_capacity(counts.len());
        let mut addresses = Vec::with_capacity(counts.len());
        let mut start = 0;
        for &count in &counts {
            messages.push(&slices[start..start + count]);
            addresses.push(pending[start].addr.map(SockaddrStorage::from));
            start += count;
        }
        let segment = u16::try_from(size).expect("a run of several fits into one packet");
        let mut headers = MultiHeaders::preallocate(counts.len(), Some(nix::cmsg_space!(u16)));
        let result = sendmmsg(
            socket.as_fd().as_raw_fd(),
            &mut headers,
            &messages,
            addresses,
            [ControlMessage::UdpGsoSegments(&segment)],
            flags(),
        );
        match result {
            Ok(sent) => Ok(Some(counts[..sent.count()].iter().sum())),
            // EIO: the device or a transformation on the way cannot. EINVAL, EMSGSIZE: such datagrams
            // are larger than the way takes in one piece. One by one they may go.
            Err(Errno::EIO) => {
                offload.gso_limit.set(Some(0));
                Ok(None)
            }
            Err(Errno::EINVAL | Errno::EMSGSIZE) => {
                offload.gso_limit.set(Some(size));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Datagrams below this size can be sent as one. A kernel before 4.18 would not see that they are
    /// several.
    fn limit(socket: &mio::net::UdpSocket, offload: &Offload) -> usize {
        if let Some(limit) = offload.gso_limit.get() {
            return limit;
        }
        let limit = match getsockopt(socket, UdpGsoSegment) {
            Ok(_) => usize::MAX,
            Err(_) => 0,
        };
        offload.gso_limit.set(Some(limit));
        limit
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    fn entry(len: usize, port: u16) -> Entry {
        Entry {
            start: 0,
            len,
            addr: Some(SocketAddr::from(([127, 0, 0, 1], port))),
            is_truncated: false,
        }
    }

    #[test]
    fn a_run_is_of_one_address_and_one_size() {
        let of = |lens: &[(usize, u16)]| {
            let entries: Vec<_> = lens.iter().map(|&(len, port)| entry(len, port)).collect();
            gso::run(&entries)
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[(5, 1)]), 1);
        assert_eq!(of(&[(5, 1), (5, 1), (5, 2)]), 2);
        assert_eq!(
            of(&[(5, 1), (5, 1), (3, 1), (3, 1)]),
            3,
            "the last may be shorter"
        );
        assert_eq!(of(&[(5, 1), (6, 1)]), 1);
        assert_eq!(of(&[(0, 1), (0, 1)]), 1, "empty ones are not joined");
        assert_eq!(of(&[(5, 1), (0, 1)]), 1);
        assert_eq!(of(&vec![(5, 1); 100]), 64);
        assert_eq!(of(&vec![(30_000, 1); 100]), 2);
        assert_eq!(of(&[(65_507, 1); 2]), 1);
    }

    #[test]
    fn a_run_ends_what_is_sent_one_by_one() {
        let offload = Offload {
            is_ipv4: true,
            is_gro: Cell::new(false),
            gso_limit: Cell::new(None),
        };
        let mut entries = vec![entry(5, 1), entry(6, 2)];
        assert_eq!(one_by_one(&entries, &offload), 2);
        entries.extend([entry(7, 3); 10]);
        assert_eq!(one_by_one(&entries, &offload), 2);
        offload.gso_limit.set(Some(7));
        assert_eq!(one_by_one(&entries, &offload), 12, "such runs were refused");
    }
}
