//! Sends the lines of its standard input to a server, and prints what comes back.
//!
//! ```text
//! cargo run --example echo_server &
//! printf 'hello\nworld\n' | cargo run --example echo_client 127.0.0.1:8888
//! ```
//!
//! It ends when its input has ended and the server has sent everything back.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use tulipa::net::TcpStream;

#[tulipa::main]
async fn main() -> ExitCode {
    let Some(addr) = std::env::args().nth(1) else {
        eprintln!("usage: echo_client ADDR    (for instance 127.0.0.1:8888)");
        return ExitCode::from(2);
    };
    let addr: SocketAddr = match addr.parse() {
        Ok(addr) => addr,
        Err(_) => {
            eprintln!("echo_client: '{addr}' is not an address such as 127.0.0.1:8888");
            return ExitCode::from(2);
        }
    };
    match talk(addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn talk(addr: SocketAddr) -> io::Result<()> {
    let (mut read, mut write) = TcpStream::connect(addr).await?.into_split();

    // One task sends, this one prints what comes back: neither waits for the other.
    let sending = tulipa::spawn(async move {
        let lines = Lines::of_stdin();
        while let Some(line) = lines.next().await {
            write.write_all(&line?).await?;
        }
        Ok::<_, io::Error>(()) // Dropping the half tells the server that this was all.
    });

    let mut buf = vec![0; 16 * 1024];
    let mut stdout = io::stdout();
    loop {
        match read.read(&mut buf).await? {
            0 => break,
            count => stdout.write_all(&buf[..count])?,
        }
        stdout.flush()?;
    }
    sending.await?
}

/// Lines that a thread reads, because reading standard input blocks.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lines: std::collections::VecDeque<io::Result<Vec<u8>>>,
    is_over: bool,
    waiter: Option<Waker>,
}

impl Lines {
    fn of_stdin() -> Lines {
        let lines = Lines::default();
        let sender = lines.clone();
        std::thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut line = Vec::new();
                match stdin.read_until(b'\n', &mut line) {
                    Ok(0) => return sender.update(|state| state.is_over = true),
                    Ok(_) => sender.update(|state| state.lines.push_back(Ok(line))),
                    Err(error) => {
                        return sender.update(|state| {
                            state.lines.push_back(Err(error));
                            state.is_over = true;
                        });
                    }
                }
            }
        });
        lines
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let waiter = {
            let mut state = self.0.lock().expect("nobody panics with this lock");
            change(&mut state);
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    async fn next(&self) -> Option<io::Result<Vec<u8>>> {
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock().expect("nobody panics with this lock");
            match state.lines.pop_front() {
                Some(line) => Poll::Ready(Some(line)),
                None if state.is_over => Poll::Ready(None),
                None => {
                    state.waiter = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
