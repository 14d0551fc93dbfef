//! Echo on several loops, each on a thread of its own, each with a listener of its own. They share nothing but the
//! address: the kernel spreads connections over them.
//!
//! ```text
//! cargo run --release --example multicore_echo               # a loop for each processor, on 127.0.0.1:8888
//! cargo run --release --example multicore_echo -- 2 '[::1]:8888'
//! nc 127.0.0.1 8888
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tulipa::catch_cancel;
use tulipa::net::{Connection, Server, SharedListener};
use tulipa::runtime::{Runner, thread_count, thread_index};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(Ok(0), |it| it.parse());
    let addr = arguments.next();
    let addr = addr.as_deref().unwrap_or("127.0.0.1:8888").parse();
    let (Ok(threads), Ok(addr)) = (threads, addr) else {
        let usage = "usage: multicore_echo [threads] [address:port]";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, usage));
    };
    serve_on(threads, addr)
}

fn serve_on(threads: usize, addr: SocketAddr) -> io::Result<()> {
    let shared = SharedListener::bind(addr)?;
    // This runs once on each thread. What it makes stays there, so nothing is locked and nothing is `Send`. The first
    // thread that fails ends all.
    let threads = Runner::builder().handle_ctrl_c(true).threads(threads);
    threads.run(async || {
        let server = Server::on(shared.listener()?).start(echo)?;
        if thread_index() == 0 {
            println!("listening on {}; Ctrl-C ends", shared.local_addr());
        }
        // Ctrl-C cancels the main of every thread.
        if let Err(cancelled) = catch_cancel(server.wait_closed()).await {
            let report = server.drain(Duration::from_secs(5)).await;
            let (index, count) = (thread_index() + 1, thread_count());
            let accepted = server.accepted();
            println!(
                "thread {index} of {count}: {accepted} connections served; in the end {report}"
            );
            cancelled.resume().await
        }
        server.failure().map_or(Ok(()), Err)
    })
}

async fn echo(mut connection: Connection) -> io::Result<()> {
    let mut buf = vec![0; 16 * 1024];
    loop {
        match connection.read(&mut buf).await? {
            0 => return Ok(()),
            count => connection.write_all(&buf[..count]).await?,
        }
    }
}
