//! The load generator for echo over TCP: one message in flight per connection.
//!
//! For times it is a closed loop: whatever is answered is sent again at once. Every window begins
//! and ends with nothing in flight and the server asleep, since only then is its CPU clock exact.
//! For counts under a tool it sends waves. The first message of a connection is compared byte by
//! byte with its echo, of the others the bytes are counted.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use super::window::{self, PATIENCE, SETTLING, Window};
use crate::epoll::{self, Epoll};
use crate::measure::cpu_time::CpuClock;

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
    /// How long each of these took, in nanoseconds.
    latencies: Vec<u32>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the current message that have not come back yet.
    missing: usize,
    /// When it was sent.
    sent: Instant,
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
                connections.push(Connection {
                    stream,
                    missing: 0,
                    sent: Instant::now(),
                });
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
            latencies: Vec::new(),
        })
    }

    /// Sends messages through all connections for `duration`, and measures.
    pub(crate) fn window(&mut self, duration: Duration, server: CpuClock) -> io::Result<Window> {
        self.answered = 0;
        self.latencies.clear();
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

    /// The time that 99 of 100 answers of the last window did not exceed, in microseconds.
    pub(crate) fn p99_us(&mut self) -> f64 {
        let index = self.latencies.len() * 99 / 100;
        let (_, p99, _) = self.latencies.select_nth_unstable(index);
        f64::from(*p99) / 1e3
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
            return Err(window::no_answer());
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
        let sent = Instant::now();
        send_all(&mut connection.stream, &self.message)?;
        connection.missing = self.message.len();
        connection.sent = sent;
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
        let latency = self.connections[index].sent.elapsed();
        self.latencies
            .push(latency.as_nanos().try_into().unwrap_or(u32::MAX));
        Ok(true)
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
