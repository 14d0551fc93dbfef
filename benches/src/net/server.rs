//! The server under test: what happens inside its process, and the handle on it from outside.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::service::Service;
use crate::epoll;
use crate::measure::cpu_time::CpuClock;
use crate::measure::{memory, pinning, watchdog};
use crate::runtimes::{self, RAW};

/// Where servers listen: the first port that is free.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// The argument that makes the binary a server.
pub(crate) const SERVE: &str = "--serve";

/// Serves on `runtime` until `SIGTERM`.
pub(crate) fn run(runtime: &str, service: Service) -> io::Result<()> {
    watchdog::arm(LIFETIME_SECONDS);
    pinning::pin_to(pinning::Place::Runtime);
    exit_on_sigterm();
    if runtime == RAW {
        return service.run_raw();
    }
    runtimes::visit(runtime, service)
        .unwrap_or_else(|| Err(io::Error::other(format!("no runtime is called {runtime}"))))
}

/// Long enough for a server under callgrind, which runs some fifty times slower.
const LIFETIME_SECONDS: u32 = 600;

/// Says on standard output where the server listens and which process it is.
///
/// Turns Nagle's algorithm off too, for the connections to come: they inherit it. A message that
/// arrives in two reads is answered in two writes, and the second would wait for the client's
/// delayed acknowledgement.
pub(crate) fn announce(listener: &impl AsRawFd, address: SocketAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` is a value of the size that is passed, and outlives the call.
    epoll::check(unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    })?;
    announce_port(address)
}

/// Says on standard output where the server can be reached and which process it is.
pub(crate) fn announce_port(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{} {}", address.port(), process::id())?;
    stdout.flush()
}

/// Ends the process through `exit` rather than by the signal, so that callgrind and strace see an
/// ordinary end and write what they have counted.
fn exit_on_sigterm() {
    extern "C" fn exit(_signal: libc::c_int) {
        // SAFETY: `_exit` is async-signal-safe.
        unsafe { libc::_exit(0) };
    }
    let handler: extern "C" fn(libc::c_int) = exit;
    // SAFETY: the handler calls nothing that is not async-signal-safe.
    unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
}

/// A running server, in a process of its own, which ends when this is dropped.
pub(crate) struct Server {
    process: Child,
    pid: u32,
    address: SocketAddr,
}

impl Server {
    /// Starts the server of `runtime`.
    pub(crate) fn start(runtime: &str, service: Service) -> io::Result<Self> {
        Self::start_under(&[], runtime, service)
    }

    /// Starts the server of `runtime` under a tool: the command line `tool` comes before its own.
    pub(crate) fn start_under(
        tool: &[OsString],
        runtime: &str,
        service: Service,
    ) -> io::Result<Self> {
        let mut line = tool.to_vec();
        line.push(env::current_exe()?.into_os_string());
        let mut process = Command::new(&line[0])
            .args(&line[1..])
            .args([SERVE, runtime])
            .args(service.words())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;

        let stdout = process.stdout.take().expect("standard output is a pipe");
        let mut banner = String::new();
        if epoll::wait_readable(stdout.as_raw_fd(), PATIENCE).is_ok() {
            BufReader::new(stdout).read_line(&mut banner)?;
        }
        let mut words = banner.split_whitespace();
        match (words.next().and_then(parse), words.next().and_then(parse)) {
            (Some(port), Some(pid)) => {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                Ok(Self {
                    process,
                    pid,
                    address,
                })
            }
            _ => {
                let _ = process.kill(); // It has ended already, or is of no use.
                let status = process.wait()?;
                Err(io::Error::other(format!(
                    "the server of {runtime} did not start: {status}"
                )))
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The resident set of the server, in bytes.
    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        memory::resident_bytes_of(self.pid)
    }

    /// The CPU clock of the server.
    pub(crate) fn cpu_clock(&self) -> io::Result<CpuClock> {
        CpuClock::of(self.pid)
    }

    /// Ends the server and waits for its end, and for that of the tool it runs under.
    ///
    /// valgrind holds signals back while a program waits in a system call that valgrind takes for
    /// a short one, as it does `io_uring_enter`. So a server that does not react is called upon.
    ///
    /// # Errors
    /// - `TimedOut`: it did not react, and was killed.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        self.signal(libc::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
            if asked.elapsed() > REACTION {
                // Whether it still accepts is not important: the attempt wakes it.
                let _ = TcpStream::connect_timeout(&self.address, REACTION);
                thread::sleep(REACTION);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server had to be killed",
        ))
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: the signal goes to the process that announced itself to us, which lives at least
        // until `process`, itself or the tool it runs under, has been waited for.
        unsafe { libc::kill(self.pid as libc::pid_t, signal) };
    }
}

/// How long a server may take to start or to end; under callgrind that is a second or two.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a server that is not held up takes to follow a signal.
const REACTION: Duration = Duration::from_millis(500);

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal(libc::SIGKILL);
            // The signal has been sent; how the process ended is of no interest any more.
            let _ = self.process.wait();
        }
    }
}

fn parse<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}
