//! Several datagrams that are received or sent at once.

use std::fmt;
use std::net::SocketAddr;

use crate::udp::batch_io::Scratch;

/// Datagrams in one buffer, to be received or sent with few system calls: see
/// [`UdpSocket::recv_many`](crate::UdpSocket::recv_many) and
/// [`UdpSocket::send_many`](crate::UdpSocket::send_many).
///
/// What was received can be sent as it is: each datagram goes to where it came from. The buffer is
/// kept from one call to the next.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// use tulipa::net::Batch;
///
/// let mut batch = Batch::new(32, 1500);
/// batch.push(b"hello", "127.0.0.1:9000".parse().unwrap());
/// batch.push_connected(b"to the connected peer");
/// assert_eq!(batch.len(), 2);
/// assert_eq!(batch.iter().next().unwrap().data, b"hello");
/// ```
pub struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where the next pushed datagram goes.
    pub(super) used: usize,
    pub(super) entries: Vec<Entry>,
    /// So many of the entries, from the front, are done with.
    pub(super) done: usize,
    pub(super) slots: usize,
    pub(super) slot_size: usize,
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "android", target_os = "freebsd")),
        expect(dead_code, reason = "there is nothing to keep")
    )]
    pub(super) scratch: Scratch,
}

/// Where a datagram lies in the buffer, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) addr: Option<SocketAddr>,
    pub(super) is_truncated: bool,
}

/// What one system call, or a few, have put into a batch.
pub(super) struct Received {
    pub(super) datagrams: usize,
    /// Whether the socket had no more: a wait need not ask it first.
    pub(super) is_all: bool,
}

/// A datagram of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// What it says; may be empty.
    pub data: &'a [u8],
    /// Where it came from, or where it is to go; `None`: to the peer that the socket is connected to.
    pub addr: Option<SocketAddr>,
    /// It was longer than the batch has room for: the rest is lost.
    pub is_truncated: bool,
}

impl Batch {
    /// A batch that receives up to `datagrams` at once, each of up to `size` bytes.
    ///
    /// One system call receives 64 at most. Sending has no limit: the buffer grows.
    ///
    /// # Panics
    /// If `datagrams` or `size` is 0, or the buffer does not fit into the address space.
    pub fn new(datagrams: usize, size: usize) -> Batch {
        assert!(datagrams > 0, "a batch needs room for one datagram");
        assert!(size > 0, "a datagram of a batch needs room for one byte");
        Batch {
            bytes: Vec::new(),
            used: 0,
            entries: Vec::with_capacity(datagrams),
            done: 0,
            slots: datagrams,
            slot_size: size,
            scratch: Scratch::default(),
        }
    }

    /// Adds a datagram for `addr`: `data` is copied.
    pub fn push(&mut self, data: &[u8], addr: SocketAddr) {
        self.push_entry(data, Some(addr));
    }

    /// Adds a datagram for the peer that the socket is connected to.
    pub fn push_connected(&mut self, data: &[u8]) {
        self.push_entry(data, None);
    }

    fn push_entry(&mut self, data: &[u8], addr: Option<SocketAddr>) {
        if self.is_empty() {
            self.clear(); // Nothing there is needed any more.
        }
        let start = self.used;
        let end = start + data.len();
        if self.bytes.len() < end {
            self.bytes.resize(end.max(2 * self.bytes.len()), 0);
        }
        self.bytes[start..end].copy_from_slice(data);
        self.used = end;
        self.entries.push(Entry {
            start,
            len: data.len(),
            addr,
            is_truncated: false,
        });
    }

    /// The number of datagrams in the batch. What was sent is no longer in it.
    pub fn len(&self) -> usize {
        self.entries.len() - self.done
    }

    /// Whether the batch holds no datagram.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datagrams, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        self.pending().iter().map(|entry| Datagram {
            data: self.data(entry),
            addr: entry.addr,
            is_truncated: entry.is_truncated,
        })
    }

    /// Removes the first datagram, for instance one that cannot be sent. Whether there was one.
    pub fn skip_first(&mut self) -> bool {
        let is_there = !self.is_empty();
        self.done += usize::from(is_there);
        is_there
    }

    /// Removes all datagrams. The buffer is kept.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.done = 0;
        self.used = 0;
    }

    /// What has not been sent or skipped.
    pub(super) fn pending(&self) -> &[Entry] {
        &self.entries[self.done..]
    }

    pub(super) fn data(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start..entry.start + entry.len]
    }

    /// Makes the buffer at least `len` bytes long.
    pub(super) fn reserve_bytes(&mut self, len: usize) {
        if self.bytes.len() < len {
            self.bytes = vec![0; len]; // Fresh pages: only those that are used cost memory.
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("slots", &self.slots)
            .field("slot_size", &self.slot_size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9))
    }

    #[test]
    fn what_is_done_is_no_longer_in_the_batch() {
        let mut batch = Batch::new(4, 16);
        assert!(!batch.skip_first());
        batch.push(b"one", addr());
        batch.push(b"", addr());
        batch.push_connected(b"three");
        assert!(batch.skip_first());
        let rest: Vec<_> = batch.iter().map(|it| (it.data, it.addr)).collect();
        assert_eq!(rest, [(&b""[..], Some(addr())), (&b"three"[..], None)]);
        batch.skip_first();
        batch.skip_first();
        assert!(batch.is_empty());
        batch.push(b"again", addr());
        assert_eq!(batch.used, 5, "the buffer is used from its start");
    }
}
