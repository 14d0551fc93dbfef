//! The load generator for proxies: bytes go through as fast as they can.
//!
//! It costs next to nothing itself: what is sent is a file in memory (`sendfile`), what arrives is
//! thrown away in the kernel (`MSG_TRUNC`). The first mebibyte of a connection is compared byte by
//! byte, both ways.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::null_mut;
use std::thread;
use std::time::Instant;

use super::window::{PATIENCE, SETTLING};
use crate::epoll;
use crate::measure::cpu_time::CpuClock;

/// Both ends of connections through a proxy.
pub(crate) struct Bulk {
    pairs: Vec<(TcpStream, TcpStream)>,
    content: File,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) mib_per_second: f64,
    /// The proxy's CPU time for each GiB, in milliseconds.
    pub(crate) cpu_ms_per_gib: f64,
}

impl Bulk {
    /// Opens `count` connections to the proxy at `address`, which passes them on to `target`.
    pub(crate) fn connect(
        address: SocketAddr,
        target: &TcpListener,
        count: usize,
    ) -> io::Result<Self> {
        let bytes: Vec<u8> = (0..CONTENT_BYTES)
            .map(|index| (index % 251) as u8)
            .collect();
        let pairs = (0..count)
            .map(|_| {
                let near = TcpStream::connect(address)?;
                let (far, _) = target.accept()?;
                for end in [&near, &far] {
                    end.set_read_timeout(Some(PATIENCE))?;
                    end.set_write_timeout(Some(PATIENCE))?;
                }
                compare(&near, &far, &bytes)?;
                compare(&far, &near, &bytes)?;
                Ok((near, far))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            pairs,
            content: in_memory(&bytes)?,
        })
    }

    /// Sends `bytes` through all connections together, from near to far, and closes them.
    pub(crate) fn transfer(self, bytes: usize, proxy: CpuClock) -> io::Result<Transfer> {
        let share = bytes / self.pairs.len();
        thread::sleep(SETTLING);
        let cpu_before = proxy.read()?;
        let start = Instant::now();
        thread::scope(|scope| {
            let content = &self.content;
            let mut ends = Vec::new();
            for (near, far) in &self.pairs {
                ends.push(scope.spawn(move || send(near, content, share)));
                ends.push(scope.spawn(move || receive(far, share)));
            }
            let ended = ends.into_iter().map(|end| end.join());
            ended
                .map(|end| end.unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
                .collect::<io::Result<Vec<()>>>()
        })?;
        let elapsed = start.elapsed().as_secs_f64();
        thread::sleep(SETTLING);
        let cpu = (proxy.read()? - cpu_before).as_secs_f64();
        let mib = (share * self.pairs.len()) as f64 / f64::from(1 << 20);
        Ok(Transfer {
            mib_per_second: mib / elapsed,
            cpu_ms_per_gib: cpu * 1e3 / (mib / 1024.0),
        })
    }
}

/// How many bytes the file has that is sent again and again, and how many are compared.
const CONTENT_BYTES: usize = 1 << 20;

/// Sends `bytes` one way and compares what arrives.
fn compare(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    thread::scope(|scope| {
        let sender = scope.spawn(move || from.write_all(bytes));
        let mut arrived = vec![0; bytes.len()];
        to.read_exact(&mut arrived)?;
        match sender.join() {
            Ok(sent) => sent?,
            Err(_) => return Err(io::Error::other("the sender panicked")),
        }
        if arrived == bytes {
            Ok(())
        } else {
            Err(io::Error::other("the proxy changed the bytes"))
        }
    })
}

fn send(stream: &TcpStream, content: &File, bytes: usize) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let mut offset = 0;
        let (to, from) = (stream.as_raw_fd(), content.as_raw_fd());
        // SAFETY: `offset` is a valid place for an offset and outlives the call.
        let sent = unsafe { libc::sendfile(to, from, &raw mut offset, left.min(CONTENT_BYTES)) };
        match sent {
            -1 => return Err(io::Error::last_os_error()),
            sent => left -= sent as usize,
        }
    }
    stream.shutdown(Shutdown::Write)
}

/// Takes `bytes` off the connection without looking at them, and then its end.
fn receive(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let mut left = bytes;
    loop {
        // SAFETY: with `MSG_TRUNC` TCP discards so many bytes and writes to no buffer (`tcp(7)`).
        let taken = unsafe {
            libc::recv(
                stream.as_raw_fd(),
                null_mut(),
                CONTENT_BYTES,
                libc::MSG_TRUNC,
            )
        };
        match taken {
            -1 => return Err(io::Error::last_os_error()),
            0 if left == 0 => return Ok(()),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            taken if taken as usize > left => return Err(io::Error::other("bytes too many")),
            taken => left -= taken as usize,
        }
    }
}

/// A file without a name that holds `bytes`.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a string that ends with a zero byte.
    let raw = epoll::check(unsafe { libc::memfd_create(c"content".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: `raw` has just come from `memfd_create`, and nobody else owns it.
    let mut file = unsafe { File::from_raw_fd(raw) };
    file.write_all(bytes)?;
    Ok(file)
}
