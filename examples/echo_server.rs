//! An echo server: sends back whatever a client sends.
//!
//! ```text
//! cargo run --release --example echo_server              # listens on 127.0.0.1:8888
//! cargo run --release --example echo_server 127.0.0.1:0  # on a port that the system chooses
//! ```
//!
//! A second argument sets the size of a connection's buffer, in bytes: with many silent connections, small is better.
//! Its first line names the address. Try it with `cargo run --example echo_client 127.0.0.1:8888`, with
//! `nc`, or with a browser. Ctrl-C ends it.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tulipa::net::{TcpListener, TcpStream};

#[tulipa::main]
async fn main() -> ExitCode {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    let buffer_bytes = match std::env::args().nth(2).map(|bytes| bytes.parse()) {
        None => 16 * 1024,
        Some(Ok(bytes @ 1..)) => bytes,
        Some(_) => {
            eprintln!("usage: echo_server [ADDRESS [BUFFER_BYTES]]");
            return ExitCode::from(2);
        }
    };
    match serve(&addr, buffer_bytes).await {
        Ok(served) => {
            println!("served {served} connections");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(addr: &str, buffer_bytes: usize) -> io::Result<u64> {
    let interrupted = CtrlC::listen()?;
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;

    // Tasks of one loop share plain data.
    let served = Rc::new(Cell::new(0));
    let count = Rc::clone(&served);
    let accepting = tulipa::spawn(async move {
        loop {
            let (stream, _peer) = listener.accept().await?;
            count.set(count.get() + 1);
            drop(tulipa::spawn(async move {
                // A client that goes away in the middle ends its own task only.
                let _ = echo(stream, buffer_bytes).await;
            }));
        }
    });

    // Whichever comes first: Ctrl-C, or a listener that fails.
    let accepting = accepting.abort_on_drop();
    let failure = futures_lite::future::or(async { Some(accepting.await) }, async {
        interrupted.wait().await;
        None
    });
    match failure.await {
        None => Ok(served.get()),
        Some(ended) => ended?,
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}

/// Ctrl-C (and SIGTERM, on Unix) as something to wait for: a thread waits for the signal, and wakes
/// the task. Wakers are the one thing of a loop that any thread may use.
struct CtrlC {
    is_pressed: Arc<AtomicBool>,
    waiter: Arc<std::sync::Mutex<Option<std::task::Waker>>>,
}

impl CtrlC {
    fn listen() -> io::Result<CtrlC> {
        let is_pressed = Arc::new(AtomicBool::new(false));
        let waiter = Arc::new(std::sync::Mutex::new(None::<std::task::Waker>));
        let (flag, place) = (Arc::clone(&is_pressed), Arc::clone(&waiter));
        on_ctrl_c(move || {
            flag.store(true, Ordering::Release);
            if let Some(waker) = place.lock().expect("nobody panics with this lock").take() {
                waker.wake();
            }
        })?;
        Ok(CtrlC { is_pressed, waiter })
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            *self.waiter.lock().expect("nobody panics with this lock") = Some(cx.waker().clone());
            match self.is_pressed.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

#[cfg(unix)]
fn on_ctrl_c(f: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                f();
            }
        })?;
    Ok(())
}

/// On Windows Ctrl-C ends the process by itself.
#[cfg(not(unix))]
fn on_ctrl_c(f: impl Fn() + Send + 'static) -> io::Result<()> {
    drop(f);
    Ok(())
}
