//! Loops themselves: starting them, their timers, and what other threads send.

use std::io;
use std::thread;
use std::time::Duration;

use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::Runner;
use tulipa::sync::remote::mpsc;
use tulipa::time::Instant;
use tulipa::{sleep, sleep_until, spawn, spawn_blocking, try_join, yield_now};

/// Starts, uses and ends a few loops.
pub(crate) fn start() -> io::Result<String> {
    let mut turns = 0;
    for _ in 0..3 {
        let mut runner = Runner::new()?;
        turns += runner.try_run(async {
            yield_now().await;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let addr = listener.local_addr()?;
            try_join!(TcpStream::connect(addr), listener.accept())?;
            io::Result::Ok(1)
        })??;
        if !runner.close().is_clean() {
            return Err(io::Error::other("a loop did not end cleanly"));
        }
    }
    Ok(format!("{turns} loops"))
}

/// Near and far deadlines, in order, none too early.
pub(crate) fn timers() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..40_u64)
            .map(|number| {
                let deadline = start + Duration::from_micros(300 * (number * 7 % 40));
                spawn(async move {
                    sleep_until(deadline).await;
                    (deadline, Instant::now())
                })
            })
            .collect();
        let mut expired = Vec::new();
        for task in tasks {
            expired.push(task.await.map_err(io::Error::other)?);
        }
        if let Some((deadline, at)) = expired.iter().find(|(deadline, at)| at < deadline) {
            return Err(io::Error::other(format!(
                "the timer of {deadline:?} expired at {at:?}"
            )));
        }
        for _ in 0..10 {
            sleep(Duration::from_micros(200)).await;
        }
        sleep(Duration::from_millis(5)).await;
        Ok(format!("{} timers", expired.len()))
    })?
}

/// What threads send, and jobs of the blocking pool: every message ends a wait.
pub(crate) fn threads() -> io::Result<String> {
    const MESSAGES: u64 = 300;

    Runner::new()?.try_run(async {
        let (sender, mut receiver) = mpsc::channel(1);
        let (answers, questions) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().spawn(move || {
            for number in 0..MESSAGES {
                if sender.blocking_send(number).is_err() || questions.recv().is_err() {
                    return;
                }
            }
        })?;
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            sum += number;
            // The next one comes when this task waits, mostly.
            answers.send(()).map_err(io::Error::other)?;
        }
        if thread.join().is_err() {
            return Err(io::Error::other("the thread has panicked"));
        }
        for number in 0..20 {
            let job = spawn_blocking(move || number);
            sum += job.await.map_err(io::Error::other)?;
        }
        Ok(format!("sum {sum}"))
    })?
}
