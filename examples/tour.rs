//! A tour of tulipa, in a few seconds: what one thread and one event loop can do.
//!
//! ```text
//! cargo run --release --example tour
//! ```

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::Runner;
use tulipa::task::Builder;
use tulipa::time::{Instant, MissedTickBehavior};

const CLIENTS: usize = 1000;
const MESSAGES: usize = 20;

fn main() -> io::Result<()> {
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let heard = Rc::clone(&reports);
    let mut runner = Runner::builder()
        // Failures that nobody looks at come here; without this, on standard error.
        .exception_handler(move |failure| heard.borrow_mut().push(failure.to_string()))
        .build()?;
    println!(
        "tulipa: one thread, one event loop, waiting with '{}'\n",
        runner.reactor_name()
    );

    runner.run(async {
        title(
            1,
            "tasks share plain data, and run in the order they became ready",
        );
        tasks().await;

        title(2, "an echo server and a thousand clients, on this thread");
        echo().await?;

        title(3, "timers: in order, never early, and cheap");
        timers().await;

        title(4, "a timeout drops what was too slow");
        timeout().await;

        title(5, "a task panics; the others do not notice");
        panics(&reports).await;

        title(6, "cancelled tasks give back what they held");
        cancelled().await;
        io::Result::Ok(())
    })?;

    title(7, "virtual time: a year of hourly work, at once");
    let mut paused = Runner::builder().start_paused(true).build()?;
    paused.run(a_year());

    println!("\nThat was all of it, on one thread. Next: cargo run --example echo_server");
    Ok(())
}

fn title(number: u32, text: &str) {
    println!("{number}. {text}");
}

async fn tasks() {
    // No Arc, no Mutex, no Send: an Rc and a Cell.
    let sum = Rc::new(Cell::new(0u64));
    let start = Instant::now();
    let tasks: Vec<_> = (1..=100_000u64)
        .map(|number| {
            let sum = Rc::clone(&sum);
            tulipa::spawn(async move { sum.set(sum.get() + number) })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task does not panic");
    }
    println!(
        "   100,000 tasks added their numbers up to {} in {:.1?}",
        sum.get(),
        start.elapsed()
    );
}

async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let server = tulipa::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            drop(tulipa::spawn(async move {
                let mut buf = [0; 256];
                while let Ok(count @ 1..) = stream.read(&mut buf).await {
                    if stream.write_all(&buf[..count]).await.is_err() {
                        return;
                    }
                }
            }));
        }
    });

    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tulipa::spawn(client(addr, number)))
        .collect();
    let mut echoed = 0;
    for client in clients {
        echoed += client.await??;
    }
    let elapsed = start.elapsed();
    println!("   {CLIENTS} clients had {echoed} messages echoed byte for byte in {elapsed:.1?}");
    server.abort();
    Ok(())
}

async fn client(addr: std::net::SocketAddr, number: usize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut buf = [0; 256];
    for round in 0..MESSAGES {
        let message = format!("client {number}, message {round}");
        stream.write_all(message.as_bytes()).await?;
        stream.read_exact(&mut buf[..message.len()]).await?;
        assert_eq!(&buf[..message.len()], message.as_bytes());
    }
    Ok(MESSAGES)
}

async fn timers() {
    let start = Instant::now();
    let order = Rc::new(RefCell::new(Vec::new()));
    let mut sleepers = Vec::new();
    for delay in [30, 10, 20, 10] {
        let order = Rc::clone(&order);
        sleepers.push(tulipa::spawn(async move {
            tulipa::sleep(Duration::from_millis(delay)).await;
            order.borrow_mut().push(delay);
        }));
    }
    for sleeper in sleepers {
        sleeper.await.expect("the task does not panic");
    }
    println!(
        "   sleeps of 30, 10, 20 and 10 ms woke as {:?}",
        order.borrow()
    );

    let mut late = Vec::new();
    for _ in 0..100 {
        let asked = Duration::from_micros(100);
        let before = Instant::now();
        tulipa::sleep(asked).await;
        late.push(before.elapsed() - asked);
    }
    late.sort();
    println!(
        "   a sleep of 100 µs was late by {:.0?} (median of 100)",
        late[50]
    );

    let mut interval = tulipa::interval(Duration::from_millis(5));
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for _ in 0..4 {
        interval.tick().await;
    }
    println!(
        "   all of that, and four ticks of 5 ms, took {:.0?}",
        start.elapsed()
    );
}

/// Says when it is dropped.
struct Guard(&'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        println!("   dropped: {}", self.0);
    }
}

async fn timeout() {
    let slow = async {
        let _guard = Guard("the slow future, with what it held");
        tulipa::sleep(Duration::from_secs(3600)).await;
    };
    match tulipa::timeout(Duration::from_millis(20), slow).await {
        Ok(()) => println!("   an hour has passed?"),
        Err(elapsed) => println!("   after 20 ms: {elapsed}"),
    }
}

async fn panics(reports: &RefCell<Vec<String>>) {
    // The default hook would print each panic as it happens.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let joined = Builder::new()
        .name("joined")
        .spawn(async { panic!("something is wrong") });
    drop(
        Builder::new()
            .name("detached")
            .spawn(async { panic!("nobody is looking") }),
    );
    let error = joined.await.expect_err("it panics");
    tulipa::yield_now().await;
    std::panic::set_hook(hook);
    println!("   the waiter was told: {error}");
    println!("   the loop was told: {}", reports.take().join("; "));
}

async fn cancelled() {
    let held = Rc::new(());
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let held = Rc::clone(&held);
            tulipa::spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            })
        })
        .collect();
    tulipa::yield_now().await;
    let before = Rc::strong_count(&held) - 1;
    for task in &tasks {
        task.abort();
    }
    let mut cancelled = 0;
    for task in tasks {
        cancelled += usize::from(task.await.is_err_and(|error| error.is_cancelled()));
    }
    let after = Rc::strong_count(&held) - 1;
    println!("   {cancelled} tasks held {before} references, and now hold {after}");
}

async fn a_year() {
    let start = Instant::now();
    let wall = std::time::Instant::now();
    let mut hours = tulipa::interval(Duration::from_secs(3600));
    for _ in 0..=365 * 24 {
        hours.tick().await;
    }
    let days = start.elapsed().as_secs() / 86_400;
    println!(
        "   {days} days of hourly ticks passed in {:.0?}",
        wall.elapsed()
    );
}
