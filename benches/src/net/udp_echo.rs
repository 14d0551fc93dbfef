//! The load generator for echo over UDP: sockets that keep a few datagrams under way each.
//!
//! It sends and receives many datagrams with one system call, so that it is not what is measured.
//! What does not come back in [`LOST_AFTER`] is counted as lost and sent again.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::thread;
use std::time::{Duration, Instant};

use super::window::{self, SETTLING, Window};
use crate::epoll::Epoll;
use crate::measure::cpu_time::CpuClock;

/// Sockets that send datagrams of one size and wait for their echoes.
pub(crate) struct UdpEcho {
    epoll: Epoll,
    sockets: Vec<Socket>,
    message: Vec<u8>,
    /// How many datagrams each socket keeps under way.
    depth: usize,
    answered: u64,
    lost: u64,
}

struct Socket {
    socket: UdpSocket,
    under_way: usize,
}

impl UdpEcho {
    /// Opens `count` sockets and sends one message through each.
    pub(crate) fn connect(
        address: SocketAddr,
        count: usize,
        depth: usize,
        message_bytes: usize,
    ) -> io::Result<Self> {
        let message: Vec<u8> = (0..message_bytes)
            .map(|index| (index % 251) as u8)
            .collect();
        let epoll = Epoll::new()?;
        let mut sockets = Vec::with_capacity(count);
        for index in 0..count {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(window::PATIENCE))?;
            socket.send(&message)?;
            let mut answer = vec![0; message_bytes + 1];
            let length = socket.recv(&mut answer)?;
            if answer[..length] != message {
                return Err(io::Error::other("the echo differs from the message"));
            }
            socket.set_nonblocking(true)?;
            epoll.add(&socket, index as u64)?;
            let under_way = 0;
            sockets.push(Socket { socket, under_way });
        }
        Ok(Self {
            epoll,
            sockets,
            message,
            depth,
            answered: 0,
            lost: 0,
        })
    }

    /// Sends datagrams through all sockets for `duration`, and measures.
    ///
    /// # Errors
    /// - More than one in a hundred was lost: the server is not keeping up, or drops them.
    pub(crate) fn window(&mut self, duration: Duration, server: CpuClock) -> io::Result<Window> {
        (self.answered, self.lost) = (0, 0);
        thread::sleep(SETTLING);
        let cpu_before = server.read()?;
        let start = Instant::now();
        for index in 0..self.sockets.len() {
            self.send(index, self.depth)?;
        }
        while self.sockets.iter().any(|socket| socket.under_way > 0) {
            self.turn(start, duration)?;
        }
        let elapsed = start.elapsed();
        thread::sleep(SETTLING);
        let server_cpu = server.read()? - cpu_before;
        if self.lost * 100 > self.answered {
            return Err(io::Error::other(format!(
                "{} datagrams were lost, and {} answered",
                self.lost, self.answered
            )));
        }
        Ok(Window {
            messages: self.answered,
            elapsed,
            server_cpu,
        })
    }

    fn turn(&mut self, start: Instant, duration: Duration) -> io::Result<()> {
        let count = self.epoll.wait(LOST_AFTER.as_millis() as i32)?;
        let goes_on = start.elapsed() < duration;
        if count == 0 {
            for index in 0..self.sockets.len() {
                let lost = std::mem::take(&mut self.sockets[index].under_way);
                self.lost += lost as u64;
                if goes_on {
                    self.send(index, lost)?;
                }
            }
            if start.elapsed() > window::PATIENCE {
                return Err(window::no_answer());
            }
        }
        for event in 0..count {
            let index = self.epoll.token(event) as usize;
            let received = self.receive(index)?;
            if goes_on {
                self.send(index, received)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, index: usize, count: usize) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            left -= self.send_some(index, left)?;
        }
        Ok(())
    }

    fn send_some(&mut self, index: usize, count: usize) -> io::Result<usize> {
        let socket = &mut self.sockets[index];
        let mut part = libc::iovec {
            iov_base: self.message.as_mut_ptr().cast(),
            iov_len: self.message.len(),
        };
        let mut headers = [header(&raw mut part); MOST_AT_ONCE];
        let count = count.min(MOST_AT_ONCE);
        let headers = headers.as_mut_ptr();
        // SAFETY: the first `count` headers are valid, each names one part and no address, the part
        // names the message, and all of them outlive the call, which only reads the message.
        let sent = unsafe { libc::sendmmsg(socket.socket.as_raw_fd(), headers, count as u32, 0) };
        match sent {
            -1 => Err(io::Error::last_os_error()),
            sent => {
                socket.under_way += sent as usize;
                Ok(sent as usize)
            }
        }
    }

    /// Receives what there is.
    fn receive(&mut self, index: usize) -> io::Result<usize> {
        let socket = &mut self.sockets[index];
        let mut buffers = [[0_u8; LARGEST]; MOST_AT_ONCE];
        let mut parts = buffers.each_mut().map(|buffer| libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        });
        let mut headers = parts.each_mut().map(|part| header(part));
        let (fd, headers_start) = (socket.socket.as_raw_fd(), headers.as_mut_ptr());
        let count = MOST_AT_ONCE as u32;
        // SAFETY: there are `count` headers, each names one part and no address, each part a buffer
        // of its own with its length, and all of them outlive the call.
        let received =
            unsafe { libc::recvmmsg(fd, headers_start, count, libc::MSG_DONTWAIT, null_mut()) };
        if received == -1 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(0),
                _ => Err(error),
            };
        }
        let received = received as usize;
        for header in &headers[..received] {
            if header.msg_len as usize != self.message.len() {
                return Err(io::Error::other("an echo has another length"));
            }
        }
        // What was given up and comes late is an answer too many.
        socket.under_way = socket.under_way.saturating_sub(received);
        self.answered += received as u64;
        Ok(received)
    }
}

/// A message in one part, from or to wherever the socket is connected to.
fn header(part: *mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: a header is numbers and pointers, for which zero bits are a value: no address, no
    // parts, no control data.
    let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// The most datagrams in one system call.
const MOST_AT_ONCE: usize = 16;

/// The largest datagram that is understood.
const LARGEST: usize = 128;

/// When a datagram that has not come back is given up.
const LOST_AFTER: Duration = Duration::from_millis(100);
