//! No runtime: the echo servers as a hand-written epoll loop, as the limit of what the kernel allows.
//!
//! It does what an idiomatic server needs and no more: level-triggered, one registration per
//! connection, one buffer for all. A read that fills less than the buffer leaves the rest to the
//! next wait.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Duration;

use super::DATAGRAM_BYTES;
use crate::epoll::{self, Epoll};
use crate::net::server;

/// Serves echo for ever, with one buffer of `buffer_bytes`.
pub(crate) fn serve_echo(buffer_bytes: usize) -> io::Result<()> {
    let listener = TcpListener::bind(server::ANY_PORT)?;
    server::announce(&listener, listener.local_addr()?)?;
    serve_echo_on(&listener, buffer_bytes)
}

/// The same for those who connect to `listener`.
pub(crate) fn serve_echo_on(listener: &TcpListener, buffer_bytes: usize) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener, LISTENER)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; buffer_bytes];
    loop {
        for event in 0..epoll.wait(-1)? {
            let token = epoll.token(event);
            if token == LISTENER {
                accept(listener, &epoll, &mut streams)?;
            } else if let Some(stream) = &mut streams[token as usize]
                && !echo_once(stream, &mut buffer)
            {
                streams[token as usize] = None;
            }
        }
    }
}

/// Serves echo over UDP for ever, a datagram at a time.
pub(crate) fn serve_udp() -> io::Result<()> {
    let socket = UdpSocket::bind(server::ANY_PORT)?;
    socket.set_nonblocking(true)?;
    server::announce_port(socket.local_addr()?)?;
    let mut epoll = Epoll::new()?;
    epoll.add(&socket, 0)?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        epoll.wait(-1)?;
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((count, from)) => socket.send_to(&buffer[..count], from)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
        }
    }
}

const LISTENER: u64 = u64::MAX;

/// How long a client may take to read an answer that it has asked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Accepts all there are; a connection's token is its descriptor.
fn accept(
    listener: &TcpListener,
    epoll: &Epoll,
    streams: &mut Vec<Option<TcpStream>>,
) -> io::Result<()> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    loop {
        let (fd, none) = (listener.as_raw_fd(), std::ptr::null_mut());
        // SAFETY: `accept4` may be called without a place for the address.
        let accepted = unsafe { libc::accept4(fd, none, std::ptr::null_mut(), flags) };
        let raw = match epoll::check(accepted) {
            Ok(raw) => raw,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        // SAFETY: `raw` has just come from `accept4`, and nobody else owns it.
        let stream = unsafe { TcpStream::from_raw_fd(raw) };
        epoll.add(&stream, raw as u64)?;
        if streams.len() <= raw as usize {
            streams.resize_with(raw as usize + 1, || None);
        }
        streams[raw as usize] = Some(stream);
    }
}

/// Answers what has arrived; `false` once the connection has ended.
fn echo_once(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut left = match stream.read(buffer) {
        Ok(0) => return false,
        Ok(count) => &buffer[..count],
        Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
    };
    while !left.is_empty() {
        match stream.write(left) {
            Ok(count) => left = &left[count..],
            // The peer waits for this very answer: it reads, so the wait is short.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if epoll::wait_writable(stream.as_raw_fd(), PATIENCE).is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}
