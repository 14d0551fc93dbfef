//! A pool of workers with a queue of jobs between them and whoever has work: `Queue::join` waits until all is done.
//!
//! ```text
//! cargo run --example workers
//! ```
//!
//! The queue is bounded, so whoever fills it waits while the workers are behind. A job counts as done when its
//! guard is dropped, whether the worker succeeded or not.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tulipa::sync::Queue;
use tulipa::task::{Builder, JoinSet};
use tulipa::time::Instant;
use tulipa::{sleep, spawn_blocking};

const WORKERS: usize = 4;
const FILES: u32 = 200;

/// What is to be done: here, to add up the bytes of a file that is made up.
struct File {
    number: u32,
}

#[tulipa::main]
async fn main() {
    let files = Rc::new(Queue::<File>::bounded(2 * WORKERS).named("files"));
    let total = Rc::new(Cell::new(0));
    let bar = ProgressBar::new(FILES.into()).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left")
            .expect("the template is well formed"),
    );
    let start = Instant::now();

    let mut workers = JoinSet::new();
    for number in 1..=WORKERS {
        let work = work(files.clone(), total.clone(), bar.clone());
        let name = format!("worker {number}");
        workers.spawn(Builder::new().name(name).spawn(work));
    }

    for number in 0..FILES {
        if files.put(File { number }).await.is_err() {
            unreachable!("nobody else shuts it down");
        }
    }
    files.join().await; // All of them have been taken, and are done.
    bar.finish();

    // The workers wait for more: this tells them that there is none.
    files.shutdown();
    let mut by_worker = Vec::new();
    while let Some(done) = workers.join_next().await {
        by_worker.push(
            done.expect("joining does not fail")
                .expect("a worker does not panic"),
        );
    }
    println!(
        "{WORKERS} workers added up {} bytes of {FILES} files in {:?}",
        total.get(),
        start.elapsed()
    );
    println!("files by worker, as they ended: {by_worker:?}");
}

/// Takes files until there are no more. Yields how many those were.
async fn work(files: Rc<Queue<File>>, total: Rc<Cell<u64>>, bar: ProgressBar) -> u32 {
    let mut done = 0;
    while let Ok(file) = files.get_job().await {
        let number = file.number;
        sleep(Duration::from_millis(1 + u64::from(number % 5))).await; // As if it were read.
        // What keeps a processor busy goes to another thread.
        let bytes = spawn_blocking(move || add_up(number)).await;
        total.set(total.get() + bytes.expect("adding does not panic"));
        bar.inc(1);
        done += 1;
    }
    done
}

fn add_up(number: u32) -> u64 {
    (0..=u64::from(number) * 100).map(|byte| byte % 256).sum()
}
