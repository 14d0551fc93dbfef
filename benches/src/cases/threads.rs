//! Several loops on threads of their own, beside one.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tulipa::net::{Connection, Server, SharedListener, TcpStream};
use tulipa::runtime::Runner;

use super::tcp::SMALL_BUFFER_BYTES;
use super::{Case, Entrants, Figure, Measured, Scale};
use crate::measure::cpu_time::CpuClock;
use crate::runtimes::TULIPA_POLL;

pub(super) const CASES: &[Case] = &[Case {
    name: "threads/echo 64 B × 100 in each loop",
    figures: &[
        Figure::higher("one loop", "messages/s"),
        Figure::higher("two loops", "messages/s"),
        Figure::higher("two for one", "times as many"),
        Figure::lower("CPU, one loop", "µs/message"),
        Figure::lower("CPU, two loops", "µs/message"),
    ],
    entrants: Entrants::Ours,
    full_only: false,
    measure,
}];

/// Loops that serve and have clients of their own, which connect to the port that all share: the
/// kernel spreads the connections over the loops, so half of the messages go from one to the other.
fn measure(runtime: &str, scale: Scale) -> Measured {
    let duration = scale.pick(Duration::from_secs(2), Duration::from_millis(200));
    let on = |threads| echo(runtime, threads, duration).map_err(|error| error.to_string());
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

fn echo(runtime: &str, threads: usize, duration: Duration) -> io::Result<Seen> {
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
            let server = Server::on(shared.listener()?).start(serve)?;
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
