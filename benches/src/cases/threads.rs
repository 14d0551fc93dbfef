//! Several loops on threads of their own, beside one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tulipa::net::{Connection, Server, SharedListener, TcpListener, TcpStream};
use tulipa::runtime::Runner;

use super::tcp::SMALL_BUFFER_BYTES;
use super::{Case, Entrants, Figure, Measured, Scale};
use crate::epoll;
use crate::measure::cpu_time::CpuClock;
use crate::runtimes::TULIPA_POLL;

const FIGURES: &[Figure] = &[
    Figure::higher("one loop", "messages/s"),
    Figure::higher("two loops", "messages/s"),
    Figure::higher("two for one", "times as many"),
    Figure::lower("CPU, one loop", "µs/message"),
    Figure::lower("CPU, two loops", "µs/message"),
];

/// Loops that serve and have clients of their own, which connect to the port that all share.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "threads/echo 64 B, any loop",
        figures: FIGURES,
        entrants: Entrants::Ours,
        full_only: false,
        measure: |runtime, scale| measure(runtime, Spread::ByHash, scale),
    },
    Case {
        name: "threads/echo 64 B, the processor's loop",
        figures: FIGURES,
        entrants: Entrants::Ours,
        full_only: false,
        measure: |runtime, scale| measure(runtime, Spread::ByCpu, scale),
    },
];

/// Which loop gets a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Any: half of the messages go from one processor to the other.
    ByHash,
    /// That of the processor which the connection came in by, as network cards with a queue for each do
    /// it: `SO_INCOMING_CPU`, socket(7).
    ByCpu,
}

fn measure(runtime: &str, spread: Spread, scale: Scale) -> Measured {
    let duration = scale.pick(Duration::from_secs(2), Duration::from_millis(200));
    let on = |threads| echo(runtime, threads, spread, duration).map_err(|error| error.to_string());
    let (one, two) = (on(1)?, on(2)?);
    Ok(vec![
        one.rate,
        two.rate,
        two.rate / one.rate,
        one.cpu_us,
        two.cpu_us,
    ])
}

struct Seen {
    rate: f64,
    cpu_us: f64,
}

fn echo(runtime: &str, threads: usize, spread: Spread, duration: Duration) -> io::Result<Seen> {
    let shared = SharedListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let messages = AtomicU64::new(0);
    let clock = CpuClock::own();
    let (start, cpu_before) = (Instant::now(), clock.read()?);
    let builder = match runtime {
        TULIPA_POLL => Runner::builder().reactor("poll"),
        _ => Runner::builder(),
    };
    builder
        .threads(threads)
        .pin_cpus()
        .run(async || -> io::Result<()> {
            let listener = shared.listener()?;
            if spread == Spread::ByCpu {
                take_what_comes_in_here(&listener)?;
            }
            let server = Server::on(listener).start(serve)?;
            let until = Rc::new(start + duration);
            let clients = (0..CLIENTS).map(|_| client(shared.local_addr(), Rc::clone(&until)));
            let counts = tulipa::gather(clients).await;
            for count in counts.map_err(io::Error::other)? {
                messages.fetch_add(count?, Ordering::Relaxed);
            }
            server.drain(duration).await;
            Ok(())
        })?;
    let (elapsed, cpu) = (start.elapsed(), clock.read()? - cpu_before);
    let messages = messages.into_inner() as f64;
    Ok(Seen {
        rate: messages / elapsed.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / messages,
    })
}

/// Asks for the connections that come in by the processor that this thread runs on, and is tied to.
fn take_what_comes_in_here(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: the call has no arguments.
    let cpu: libc::c_int = epoll::check(unsafe { libc::sched_getcpu() })?;
    let (fd, size) = (
        listener.as_fd().as_raw_fd(),
        size_of::<libc::c_int>() as libc::socklen_t,
    );
    let option = libc::SO_INCOMING_CPU;
    // SAFETY: `cpu` is a value of the size that is passed, and outlives the call.
    epoll::check(unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const cpu).cast(), size)
    })?;
    Ok(())
}

/// So many in each loop.
const CLIENTS: usize = 100;

async fn serve(mut connection: Connection) -> io::Result<()> {
    let mut buffer = vec![0; SMALL_BUFFER_BYTES];
    loop {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            count => connection.write_all(&buffer[..count]).await?,
        }
    }
}

async fn client(address: SocketAddr, until: Rc<Instant>) -> io::Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    let (message, mut answer) = ([7; 64], [0; 64]);
    let mut count = 0;
    while Instant::now() < *until {
        stream.write_all(&message).await?;
        stream.read_exact(&mut answer).await?;
        count += 1;
    }
    Ok(count)
}
