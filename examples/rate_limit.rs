//! A client that may send so many requests at a time, and so many a second: a semaphore for either.
//!
//! ```text
//! cargo run --example rate_limit
//! ```

use std::rc::Rc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tulipa::sync::Semaphore;
use tulipa::task::{JoinSet, TaskGroup};
use tulipa::time::Instant;
use tulipa::{interval, sleep, task_group};

const REQUESTS: u64 = 300;
/// Requests that are under way at the same time, at most.
const AT_A_TIME: usize = 8;
/// Requests that begin in a second, in the long run.
const A_SECOND: u32 = 200;
/// So many may begin at once after a pause.
const BURST: usize = 20;

#[tulipa::main]
async fn main() {
    let limits = Rc::new(Limits::new());
    let start = Instant::now();
    let bar = ProgressBar::new(REQUESTS).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {per_sec}")
            .expect("the template is well formed"),
    );

    let most = task_group(async |group: TaskGroup<()>| {
        // Ends with the group: it is cancelled when the requests are done.
        let refill = limits.clone();
        group.spawn(async move { refill.refill().await });

        let mut requests = JoinSet::new();
        for number in 0..REQUESTS {
            let (limits, bar) = (limits.clone(), bar.clone());
            requests.spawn(async move {
                let under_way = limits.request(number).await;
                bar.inc(1);
                under_way
            });
        }
        let mut most = 0;
        while let Some(under_way) = requests.join_next().await {
            most = most.max(under_way.expect("a request does not panic"));
        }
        group.cancel();
        Ok(most)
    })
    .await
    .expect("nobody fails");

    bar.finish();
    let seconds = start.elapsed().as_secs_f64();
    println!("{REQUESTS} requests in {seconds:.1} s, at most {most} at a time");
    println!("allowed were {A_SECOND} a second, {BURST} at once, {AT_A_TIME} at a time");
}

struct Limits {
    /// A permit for each request that may be under way.
    connections: Semaphore,
    /// A permit for each request that may begin. They are used up, and come back with time; those that nobody
    /// takes do not pile up beyond the burst.
    tokens: Semaphore,
}

impl Limits {
    fn new() -> Limits {
        Limits {
            connections: Semaphore::bounded(AT_A_TIME).named("connections"),
            tokens: Semaphore::bounded(BURST).named("tokens"),
        }
    }

    /// Waits until it may begin, sends a request, and says how many were under way then.
    async fn request(&self, number: u64) -> usize {
        let token = self.tokens.acquire().await.expect("it is never closed");
        token.forget();
        let _connection = self
            .connections
            .acquire()
            .await
            .expect("it is never closed");
        let under_way = AT_A_TIME - self.connections.available();
        sleep(Duration::from_millis(10 + number % 20)).await;
        under_way
    }

    /// Adds tokens for ever.
    async fn refill(&self) -> Result<(), ()> {
        let mut ticks = interval(Duration::from_secs(1) / A_SECOND);
        loop {
            ticks.tick().await;
            // When there is no room nobody needs it.
            let _ = self.tokens.release(1);
        }
    }
}
