//! The load generator for connections that come and go.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::thread;
use std::time::Instant;

use super::window::{self, PATIENCE, SETTLING, Window};
use crate::epoll::{self, Epoll};
use crate::measure::cpu_time::CpuClock;

/// Opens connections that exchange one small message and close, `at_once` at a time, until
/// `count` have been through, and measures. `messages` of the result are connections.
pub(crate) fn churn(
    address: SocketAddr,
    at_once: usize,
    count: u64,
    server: CpuClock,
) -> io::Result<Window> {
    let mut epoll = Epoll::new()?;
    let mut streams: Vec<TcpStream> = Vec::with_capacity(at_once);
    thread::sleep(SETTLING);
    let cpu_before = server.read()?;
    let start = Instant::now();
    let (mut opened, mut closed) = (0, 0);
    for slot in 0..at_once {
        streams.push(open(address, opened)?);
        epoll.add(&streams[slot], slot as u64)?;
        opened += 1;
    }
    while closed < opened {
        let events = epoll.wait(PATIENCE.as_millis() as i32)?;
        if events == 0 {
            return Err(window::no_answer());
        }
        for event in 0..events {
            let slot = epoll.token(event) as usize;
            let mut answer = [0; CHURN_MESSAGE.len()];
            streams[slot].read_exact(&mut answer)?;
            if answer != CHURN_MESSAGE {
                return Err(io::Error::other("the echo differs from the message"));
            }
            closed += 1;
            if opened < count {
                // The assignment closes the old connection.
                streams[slot] = open(address, opened)?;
                epoll.add(&streams[slot], slot as u64)?;
                opened += 1;
            } else {
                epoll.remove(&streams[slot])?;
            }
        }
    }
    drop(streams);
    let elapsed = start.elapsed();
    // The server has yet to see the last connections end; that is its work too.
    thread::sleep(SETTLING);
    let server_cpu = server.read()? - cpu_before;
    Ok(Window {
        messages: closed,
        elapsed,
        server_cpu,
    })
}

const CHURN_MESSAGE: [u8; 4] = *b"ping";

/// Connects the `number`th connection of a churn and sends its message.
///
/// Closed connections wait for a minute in TIME-WAIT, on this side, which closes first. So that
/// they do not use up the ports, connections start from different addresses of the loopback net;
/// resetting them instead would measure how servers take errors.
fn open(address: SocketAddr, number: u64) -> io::Result<TcpStream> {
    // SAFETY: the call takes three numbers.
    let raw = epoll::check(unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)
    })?;
    // SAFETY: `raw` has just come from `socket`, and nobody else owns it.
    let mut stream = unsafe { TcpStream::from_raw_fd(raw) };
    let fd = stream.as_raw_fd();

    // The port is chosen at connect, so that it need only be unique for this server.
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let option = libc::IP_BIND_ADDRESS_NO_PORT;
    // SAFETY: `on` is a value of the size that is passed, and outlives the call.
    epoll::check(unsafe {
        libc::setsockopt(fd, libc::IPPROTO_IP, option, (&raw const on).cast(), size)
    })?;
    let local = socket_address([127, 0, 0, 2 + (number % 8) as u8], 0);
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: `local` is an address of the size that is passed, and outlives the call.
    epoll::check(unsafe { libc::bind(fd, (&raw const local).cast(), size) })?;
    let remote = socket_address([127, 0, 0, 1], address.port());
    // SAFETY: `remote` is an address of the size that is passed, and outlives the call.
    epoll::check(unsafe { libc::connect(fd, (&raw const remote).cast(), size) })?;
    stream.write_all(&CHURN_MESSAGE)?;
    Ok(stream)
}

fn socket_address(ip: [u8; 4], port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(ip),
        },
        sin_zero: [0; 8],
    }
}
