//! Ctrl-C in the middle of work: the work is cancelled, its clean-up awaits, then the process exits with code
//! 130. A second Ctrl-C ends it at once.
//!
//! ```text
//! cargo run --example graceful_shutdown          # press Ctrl-C
//! ```

use std::time::Duration;

use tulipa::net::{TcpListener, TcpStream};
use tulipa::{catch_cancel, finally, sleep, spawn};

#[tulipa::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);

    // A task of its own is asked to end when main has.
    let journal = spawn(finally(write_journal(), async {
        sleep(Duration::from_millis(50)).await;
        println!("journal: written to the end");
    }));
    drop(journal);

    println!("working; press Ctrl-C to end");
    match catch_cancel(serve(listener)).await {
        Ok(never) => never,
        Err(cancelled) => {
            println!("main: {cancelled}; saying goodbye");
            sleep(Duration::from_millis(100)).await; // Clean-up may await.
            println!("main: done");
            cancelled.resume().await
        }
    }
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        println!("{peer} has come");
        drop(spawn(finally(talk(stream), async move {
            println!("{peer} is gone, or we are");
        })));
    }
}

/// Sends a line each second.
async fn talk(mut stream: TcpStream) {
    while stream.write_all(b"still here\n").await.is_ok() {
        sleep(Duration::from_secs(1)).await;
    }
}

async fn write_journal() {
    for entry in 1.. {
        sleep(Duration::from_millis(500)).await;
        println!("journal: entry {entry}");
    }
}
