//! A group of workers: one fails, the others clean up with awaits under a grace period, and every error is
//! reported with its place.
//!
//! ```text
//! cargo run --example supervisor
//! ```

use std::time::Duration;

use tulipa::task::{FailureCause, GroupError, TaskGroup};
use tulipa::time::Instant;
use tulipa::{finally, sleep, task_group};

/// What a worker may fail with.
type Error = Box<dyn std::error::Error>;

#[tulipa::main]
async fn main() {
    let start = Instant::now();
    println!("starting four workers");
    let result = task_group(async |group| {
        spawn_worker(&group, "mailer", 5, Cleanup::Quick);
        spawn_worker(&group, "indexer", 3, Cleanup::Slow);
        spawn_worker(&group, "importer", 2, Cleanup::Fails);
        group.spawn_named("monitor", async {
            sleep(Duration::from_millis(120)).await;
            Err::<(), Error>("the disk is nearly full".into())
        });
        Ok(())
    })
    .await;

    match result {
        Ok(()) => println!("all workers are done"),
        Err(error) => report(&error),
    }
    println!(
        "everything has ended, {:?} after the start",
        start.elapsed()
    );
}

/// What a worker does when it is told to end.
#[derive(Clone, Copy)]
enum Cleanup {
    Quick,
    /// Takes longer than it is given.
    Slow,
    Fails,
}

/// Spawns a worker that does its rounds until the group ends, and then cleans up.
fn spawn_worker(group: &TaskGroup<Error>, name: &'static str, rounds: u32, cleanup: Cleanup) {
    group.spawn_named(name, async move {
        let work = async {
            for round in 1.. {
                sleep(Duration::from_millis(50)).await;
                if round <= rounds {
                    println!("{name}: round {round}");
                }
            }
        };
        // The clean-up runs when the work is cancelled. It may await, for 200 ms at most.
        let clean_up = async move {
            println!("{name}: cleaning up");
            match cleanup {
                Cleanup::Quick => sleep(Duration::from_millis(20)).await,
                Cleanup::Slow => sleep(Duration::from_secs(60)).await,
                Cleanup::Fails => panic!("the half-done import could not be undone"),
            }
            println!("{name}: cleaned up");
        };
        finally(work, clean_up)
            .grace(Duration::from_millis(200))
            .await;
        Ok::<(), Error>(())
    });
}

/// Says of each failure what it was, whose, and where that one was spawned.
fn report(error: &GroupError<Error>) {
    println!("{} of the workers failed:", error.failures().len());
    for failure in error.failures() {
        let name = failure.name().unwrap_or("the body");
        let what = match failure.cause() {
            FailureCause::Error(error) => format!("failed: {error}"),
            _ => format!("panicked: {}", failure.panic_message().unwrap_or("?")),
        };
        match failure.spawned_at() {
            Some(place) => println!("  {name}, spawned at {place}, {what}"),
            None => println!("  {name} {what}"),
        }
    }
}
