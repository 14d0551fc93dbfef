//! A TCP proxy: every connection to LISTEN is passed on to TARGET, both ways.
//!
//! ```text
//! cargo run --example echo_server
//! cargo run --example proxy 127.0.0.1:7000 127.0.0.1:8888             # in a second terminal
//! printf 'hello\n' | cargo run --example echo_client 127.0.0.1:7000   # and in a third
//! ```
//!
//! Its first line names the address it listens on; LISTEN may have port 0. It prints a line for each connection
//! that has ended. Ctrl-C ends it, and the connections that are left.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use tulipa::io::copy_bidirectional;
use tulipa::net::{TcpListener, TcpStream};

#[tulipa::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, target] = &args[..] else {
        eprintln!("usage: proxy LISTEN TARGET    (for instance 127.0.0.1:7000 127.0.0.1:8888)");
        return ExitCode::from(2);
    };
    // Ctrl-C cancels the main future: the tasks of the connections end with it.
    match tulipa::catch_cancel(serve(listen, target)).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
        Err(interrupt) => {
            println!("interrupted");
            interrupt.forgive();
            ExitCode::SUCCESS
        }
    }
}

async fn serve(listen: &str, target: &str) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    loop {
        let (client, peer) = listener.accept().await?;
        let target = target.to_owned();
        drop(tulipa::spawn(async move {
            let start = Instant::now();
            match pass_on(client, &target).await {
                Ok((sent, received)) => println!(
                    "{peer}: {sent} bytes there, {received} bytes back, {} ms",
                    start.elapsed().as_millis()
                ),
                // It concerns this connection alone.
                Err(error) => println!("{peer}: {error}"),
            }
        }));
    }
}

async fn pass_on(mut client: TcpStream, target: &str) -> io::Result<(u64, u64)> {
    let copied = async {
        let mut server = TcpStream::connect(target).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    let copied = copied.await;
    if copied.is_err() {
        client.abort(); // What was cut off must not look complete.
    }
    copied
}
