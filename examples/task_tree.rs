//! Looking inside a running program: its tasks as a tree, what each waits for, and a deadlock.
//!
//! ```text
//! cargo run --example task_tree
//! ```
//!
//! It needs no debug build and no other process: every task knows its name, where it was spawned and what it waits for, all
//! the time. A server would print this when it is sent a signal, or serve it on a port of its own.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::{TcpListener, TcpStream};
use tulipa::task::{Builder, JoinHandle, Task};

#[tulipa::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let server = Builder::new().name("server").spawn(serve(listener));
    let client = TcpStream::connect(addr).await?; // It never says anything.

    let batch = Builder::new().name("batch").spawn(batch());
    let [left, right] = deadlock();

    // All of them find something to wait for.
    tulipa::sleep(Duration::from_millis(50)).await;

    let dump = tulipa::task::dump();
    println!("{dump}\n");

    for cycle in dump.cycles() {
        println!("These tasks will wait for one another for ever: {cycle:?}");
    }
    println!("\nThe surroundings of one of them:");
    if let Some(graph) = tulipa::task::call_graph(&left) {
        println!("{graph}");
    }

    let metrics = tulipa::runtime::metrics();
    println!(
        "\n{} of {} tasks are left after {} polls in {} turns; {} timers are set.",
        metrics.tasks, metrics.spawned, metrics.polls, metrics.turns, metrics.timers
    );

    // Aborting one of them ends it: the other learns that what it awaited was cancelled.
    left.abort();
    while !right.is_finished() {
        tulipa::yield_now().await;
    }
    println!("\nAfter aborting 'left':\n{}", tulipa::task::dump());

    batch.abort();
    server.abort();
    drop(client);
    Ok(())
}

/// A task for each connection.
async fn serve(listener: TcpListener) {
    while let Ok((mut stream, peer)) = listener.accept().await {
        let connection = async move {
            let mut buf = [0; 1024];
            // Gives up after a minute: it waits for the socket, and for a timer.
            tulipa::timeout(Duration::from_secs(60), stream.read(&mut buf)).await
        };
        let name = format!("connection from {}", peer.ip());
        drop(Builder::new().name(name).spawn(connection));
    }
}

/// Three workers, awaited one after the other.
async fn batch() {
    let workers: Vec<_> = (1..=3)
        .map(|number| {
            let pause = Duration::from_secs(number);
            Builder::new()
                .name(format!("worker {number}"))
                .spawn(tulipa::sleep(pause))
        })
        .collect();
    for worker in workers {
        let _ = worker.await; // A worker that fails is not worth more than the others.
    }
}

/// Two tasks, each of which awaits the other.
fn deadlock() -> [Task; 2] {
    let of_right = Rc::new(RefCell::new(None));
    let left = Builder::new().name("left").spawn(join(of_right.clone()));
    let left_task = left.task();
    let right = Builder::new().name("right").spawn(async move {
        let _ = left.await; // That it was aborted is what ends this.
    });
    let right_task = right.task();
    of_right.replace(Some(right)); // Before either of them has run.
    [left_task, right_task]
}

async fn join(other: Rc<RefCell<Option<JoinHandle<()>>>>) {
    if let Some(other) = other.take() {
        let _ = other.await;
    }
}
