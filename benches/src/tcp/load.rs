//! The load generator: one message in flight per connection.
//!
//! For times it is a closed loop: whatever is answered is sent again at once. Every window begins
//! and ends with nothing in flight and the server asleep, since only then is its CPU clock exact.
//! For counts under a tool it sends waves. The first message of a connection is compared byte by
//! byte with its echo, of the others the bytes are counted.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::epoll::{self, Epoll};
use crate::measure::cpu_time::CpuClock;

/// What was seen in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) messages: u64,
    pub(crate) elapsed: Duration,
    pub(crate) server_cpu: Duration,
}

impl Window {
    pub(crate) fn cpu_us_per_message(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.messages as f64
    }

    pub(crate) fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }
}

/// Connections that send a message, wait for its echo, and send again.
pub(crate) struct Echo {
    epoll: Epoll,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
    /// Messages sent and not answered yet.
    in_flight: usize,
    /// Messages answered.
    answered: u64,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the current message that have not come back yet.
    missing: usize,
}

impl Echo {
    /// Opens `count` connections and sends one message through each.
    pub(crate) fn connect(
        address: SocketAddr,
        count: usize,
        message_bytes: usize,
    ) -> io::Result<Self> {
        let message: Vec<u8> = (0..message_bytes)
            .map(|index| (index % 251) as u8)
            .collect();
        let epoll = Epoll::new()?;
        let mut connections = Vec::with_capacity(count);
        while connections.len() < count {
            // Not more at once than a small backlog holds, and checked to have been accepted.
            let batch = CONNECTS_AT_ONCE.min(count - connections.len());
            let mut streams = (0..batch)
                .map(|_| TcpStream::connect(address))
                .collect::<io::Result<Vec<TcpStream>>>()?;
            for stream in &mut streams {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(&message)?;
            }
            for mut stream in streams {
                let mut answer = vec![0; message_bytes];
                stream.read_exact(&mut answer)?;
                if answer != message {
                    return Err(io::Error::other("the echo differs from the message"));
                }
                stream.set_nonblocking(true)?;
                epoll.add(&stream, connections.len() as u64)?;
                connections.push(Connection { stream, missing: 0 });
            }
        }
        let buffer = vec![0; message_bytes.max(READ_BYTES)];
        Ok(Self {
            epoll,
            connections,
            message,
            buffer,
            in_flight: 0,
            answered: 0,
        })
    }

    /// Sends messages through all connections for `duration`, and measures.
    pub(crate) fn window(&mut self, duration: Duration, server: CpuClock) -> io::Result<Window> {
        self.answered = 0;
        thread::sleep(SETTLING);
        let cpu_before = server.read()?;
        let start = Instant::now();
        self.send_to_all()?;
        while self.in_flight > 0 {
            self.turn(start.elapsed() < duration)?;
        }
        let elapsed = start.elapsed();
        thread::sleep(SETTLING);
        let server_cpu = server.read()? - cpu_before;
        Ok(Window {
            messages: self.answered,
            elapsed,
            server_cpu,
        })
    }

    /// Sends one message through each connection, waits for all answers and then until the server
    /// is asleep, `count` times.
    ///
    /// Under strace or callgrind a server is so slow that in a closed loop the next message is
    /// always there already when it has answered one. It would never meet a socket that has
    /// nothing to read, and never wait: just what is to be counted.
    pub(crate) fn waves(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..count {
            self.send_to_all()?;
            while self.in_flight > 0 {
                self.turn(false)?;
            }
            thread::sleep(SETTLING);
        }
        Ok(())
    }

    fn send_to_all(&mut self) -> io::Result<()> {
        (0..self.connections.len()).try_for_each(|index| self.send(index))
    }

    /// Takes the answers that have come; sends the next messages on these connections if the
    /// window `goes_on`.
    fn turn(&mut self, goes_on: bool) -> io::Result<()> {
        let count = self.epoll.wait(PATIENCE.as_millis() as i32)?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server does not answer",
            ));
        }
        for event in 0..count {
            let index = self.epoll.token(event) as usize;
            if self.receive(index)? && goes_on {
                self.send(index)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        send_all(&mut connection.stream, &self.message)?;
        connection.missing = self.message.len();
        self.in_flight += 1;
        Ok(())
    }

    /// Reads once; `true` if that completes the answer.
    fn receive(&mut self, index: usize) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        match connection.stream.read(&mut self.buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count if count > connection.missing => {
                return Err(io::Error::other("the server sent more than it got"));
            }
            count => connection.missing -= count,
        }
        if connection.missing > 0 {
            return Ok(false);
        }
        self.in_flight -= 1;
        self.answered += 1;
        Ok(true)
    }
}

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
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server does not answer",
            ));
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

fn send_all(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                epoll::wait_writable(stream.as_raw_fd(), PATIENCE)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many connections are opened before the first of them must have been accepted.
const CONNECTS_AT_ONCE: usize = 64;

/// The load generator's reads: larger than any message, so that one read takes what there is.
const READ_BYTES: usize = 64 * 1024;

/// How long the server may take for an answer before the run counts as failed. A server under
/// callgrind or strace takes seconds for a thousand.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the server gets, after the last answer, to finish what it has to do and go to sleep.
const SETTLING: Duration = Duration::from_millis(20);
