//! tulipa inside another event loop: a host that waits with poll(2), among things of its own.
//!
//! ```text
//! cargo run --example embed
//! ```
//!
//! The host stands for the loop of a graphical toolkit, say: it draws a frame every 100 ms, and it is in
//! charge. tulipa's loop is one more thing it waits for. It gets a turn when its descriptor is readable or
//! its timeout is over, and in those turns runs timers, sockets, and what another thread sends. It ends by
//! itself in less than a second, and counts how often the host woke up: as often as there was something to
//! do.
//!
//! `examples/embed_tokio` does the same inside tokio.

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    host::main()
}

#[cfg(not(unix))]
fn main() {
    println!("embed: there is no descriptor to wait for on this system");
}

#[cfg(unix)]
mod host {
    use std::io::{self, Read, Write};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use tulipa::net::TcpListener;
    use tulipa::runtime::{EventLoop, Turn};

    const FRAME: Duration = Duration::from_millis(100);

    pub(crate) fn main() -> io::Result<()> {
        // Not every reactor has a descriptor: `poll` has none.
        let event_loop = EventLoop::builder().reactor("mio").build()?;
        let clients = start_guests(&event_loop)?;

        // The host's own loop.
        let start = Instant::now();
        let mut next_frame = start + FRAME;
        let (mut frames, mut wake_ups) = (0, 0);
        loop {
            // 1. How long may it wait, as far as tulipa is concerned?
            let guests = event_loop.prepare_wait()?;
            // 2. It waits for everything at once.
            let own = next_frame.saturating_duration_since(Instant::now());
            wait(&event_loop, guests.map_or(own, |guests| guests.min(own)))?;
            wake_ups += 1;
            // 3. A turn for tulipa, which does not wait.
            if event_loop.turn(Some(Duration::ZERO))? == Turn::Stopped {
                break;
            }
            // And the host's own work.
            if Instant::now() >= next_frame {
                frames += 1;
                next_frame += FRAME;
                println!("host: frame {frames}");
            }
        }
        clients.join().expect("the clients do not panic");
        println!(
            "host: {frames} frames, {wake_ups} wake-ups, {:?}",
            start.elapsed()
        );
        Ok(())
    }

    /// Waits until tulipa's descriptor is readable, or `timeout` is over. A host has more descriptors.
    fn wait(event_loop: &EventLoop, timeout: Duration) -> io::Result<()> {
        let fd = event_loop
            .as_fd()
            .ok_or_else(|| io::Error::other("no descriptor"))?;
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        // ppoll(2) takes nanoseconds. For milliseconds: round up.
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as _,
            tv_nsec: timeout.subsec_nanos() as _,
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What runs in tulipa's loop. It ends the loop after half a second.
    fn start_guests(event_loop: &EventLoop) -> io::Result<thread::JoinHandle<()>> {
        // Timers.
        drop(event_loop.spawn(async {
            let mut interval = tulipa::interval(Duration::from_millis(150));
            for number in 0..3 {
                interval.tick().await;
                println!("tulipa: tick {number}");
            }
        }));
        event_loop.call_later(Duration::from_millis(500), || {
            println!("tulipa: enough");
            EventLoop::current().stop();
        });

        // Sockets: a server for one client, which is a thread.
        let listener = event_loop.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let addr = listener.local_addr()?;
        drop(event_loop.spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut bytes = [0; 64];
            loop {
                match stream.read(&mut bytes).await? {
                    0 => return io::Result::Ok(()),
                    count => stream.write_all(&bytes[..count]).await?,
                }
            }
        }));

        // Other threads: they wake the host, which is asleep in its own wait.
        let remote = event_loop.remote();
        Ok(thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(addr).expect("the server listens");
            for _ in 0..100 {
                stream.write_all(b"ping").expect("the server reads");
                stream.read_exact(&mut [0; 4]).expect("the server answers");
            }
            let sent = remote.call_soon(|| println!("tulipa: a hundred answers, says a thread"));
            drop(sent); // It has been sent, or the loop is closed.
        }))
    }
}
