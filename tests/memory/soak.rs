//! Very many tasks, half of them in groups, cancelled at random moments while they work, clean up, or have yet to begin:
//! every clean-up that is due runs, and to its end where nothing may interrupt it; values are dropped in order, and memory returns to where it was.
//!
//! `TULIPA_SOAK_TASKS` is how many in all, `TULIPA_SOAK_SEED` where the random moments come from.

use std::cell::Cell;
use std::env;
use std::rc::Rc;
use std::time::Duration;

use tulipa::cancel::CancelScope;
use tulipa::runtime::Runner;
use tulipa::task::{JoinHandle, JoinSet, TaskGroup};
use tulipa::{catch_cancel, finally, sleep, spawn, task_group, timeout, yield_now};

use crate::allocator::bytes_held;

const WAVE: usize = 2_000;
const GROUP: usize = 20;

#[derive(Default)]
struct Tally {
    bodies_begun: Cell<usize>,
    bodies_dropped: Cell<usize>,
    cleanups_due: Cell<usize>,
    cleanups_begun: Cell<usize>,
    cleanups_interrupted: Cell<usize>,
    cleanups_done: Cell<usize>,
    cancelled: Cell<usize>,
    finished: Cell<usize>,
}

fn add(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

/// One of the nested values of a task: those further in are dropped first.
struct Level {
    depth: Rc<Cell<usize>>,
    mine: usize,
}

impl Level {
    fn enter(depth: &Rc<Cell<usize>>) -> Level {
        depth.set(depth.get() + 1);
        Level {
            depth: depth.clone(),
            mine: depth.get(),
        }
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        assert_eq!(self.depth.get(), self.mine, "dropped out of order");
        self.depth.set(self.mine - 1);
    }
}

/// The body of a task: it has begun, and it is dropped.
struct Body(Rc<Tally>);

impl Body {
    fn begin(tally: &Rc<Tally>) -> Body {
        add(&tally.bodies_begun);
        Body(tally.clone())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        add(&self.0.bodies_dropped);
    }
}

fn some_ms(random: &mut fastrand::Rng) -> Duration {
    Duration::from_micros(random.u64(0..20_000))
}

/// A clean-up that has begun. Unless it is shielded, another request may interrupt it.
struct CleanUp {
    tally: Rc<Tally>,
    is_shielded: bool,
    is_done: bool,
}

impl CleanUp {
    fn begin(tally: Rc<Tally>, is_shielded: bool) -> CleanUp {
        add(&tally.cleanups_begun);
        CleanUp {
            tally,
            is_shielded,
            is_done: false,
        }
    }
}

impl Drop for CleanUp {
    fn drop(&mut self) {
        assert!(self.is_done || !self.is_shielded, "interrupted in a shield");
        add(if self.is_done {
            &self.tally.cleanups_done
        } else {
            &self.tally.cleanups_interrupted
        });
    }
}

/// Work that is guarded by a clean-up, which awaits, in one of the ways there are.
async fn work(tally: Rc<Tally>, mut random: fastrand::Rng) {
    let _body = Body::begin(&tally);
    let depth = Rc::new(Cell::new(0));
    let _outer = Level::enter(&depth);
    let (long, short) = (some_ms(&mut random), some_ms(&mut random) / 2);
    let busy = {
        let depth = depth.clone();
        async move {
            let _inner = Level::enter(&depth);
            match long.as_micros() % 4 {
                0 => yield_now().await,
                1 => drop(timeout(long / 2, sleep(long)).await),
                2 => drop(spawn(sleep(long)).await),
                _ => sleep(long).await,
            }
        }
    };
    let clean_up = {
        let (tally, depth) = (tally.clone(), depth.clone());
        async move {
            let _level = Level::enter(&depth);
            let is_shielded = long > short;
            let mut clean_up = CleanUp::begin(tally, is_shielded);
            let steps = async {
                yield_now().await;
                sleep(short).await;
            };
            if is_shielded {
                let scope = CancelScope::new().shielded();
                scope.run(steps).await.unwrap();
            } else {
                steps.await;
            }
            clean_up.is_done = true;
        }
    };
    // A task that is asked to end before it begins has nothing to clean up.
    let is_due = || add(&tally.cleanups_due);
    match random.u8(0..5) {
        0 => {
            is_due();
            let caught = catch_cancel(busy).await;
            let shielded = CancelScope::new().shielded();
            shielded.run(clean_up).await.unwrap();
            if let Err(cancelled) = caught {
                cancelled.resume::<()>().await;
            }
        }
        1 => {
            is_due();
            let nested = finally(busy, async { sleep(short).await });
            finally(nested, clean_up).await;
        }
        2 => {
            is_due();
            let scope = CancelScope::new().timeout(long / 3);
            scope.move_on(finally(busy, clean_up)).await;
        }
        3 => {
            let tally = tally.clone();
            let handle = spawn(async move {
                add(&tally.cleanups_due);
                finally(busy, clean_up).await;
            });
            drop(handle.await);
        }
        _ => {
            is_due();
            finally(busy, clean_up).await;
        }
    }
    add(&tally.finished);
}

/// A task that runs a group of them, and cancels it after a while, perhaps.
async fn group_of_work(tally: Rc<Tally>, mut random: fastrand::Rng) {
    let after = random.bool().then(|| some_ms(&mut random));
    let _ = task_group(async |group: TaskGroup<()>| {
        for _ in 0..GROUP {
            let work = work(tally.clone(), random.fork());
            group.spawn(async move {
                work.await;
                Ok(())
            });
        }
        if let Some(after) = after {
            sleep(after).await;
            group.cancel();
        }
        Ok(())
    })
    .await;
}

/// Half of the tasks are in groups. The wave ends when all have ended.
async fn wave(tally: &Rc<Tally>, random: &mut fastrand::Rng) {
    let mut alone: Vec<JoinHandle<()>> = (0..WAVE / 2)
        .map(|_| spawn(work(tally.clone(), random.fork())))
        .collect();
    alone.extend((0..WAVE / 2 / GROUP).map(|_| spawn(group_of_work(tally.clone(), random.fork()))));
    random.shuffle(&mut alone);
    let mut set = JoinSet::new();
    for (number, task) in alone.into_iter().enumerate() {
        if number % 50 == 0 {
            sleep(Duration::from_micros(random.u64(0..2_000))).await;
        }
        match random.u8(0..8) {
            // Before it has begun, in the middle of its work or of its clean-up, and some of them twice.
            0..=4 => {
                task.cancel();
            }
            5 => {
                task.cancel_with("enough");
                yield_now().await;
                task.cancel();
            }
            _ => {}
        }
        set.spawn(task);
    }
    while let Some(ended) = set.join_next().await {
        if ended.unwrap().is_err_and(|it| it.is_cancelled()) {
            add(&tally.cancelled);
        }
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |it| it.parse().expect("a number"))
}

#[test]
fn tasks_cancelled_at_random_clean_up_and_leave_nothing() {
    let waves = from_environment("TULIPA_SOAK_TASKS", 100_000) as usize / WAVE;
    let seed = from_environment("TULIPA_SOAK_SEED", 1);
    println!("TULIPA_SOAK_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let before_all = bytes_held();
    let tally = Rc::new(Tally::default());
    let reports = Rc::new(Cell::new(0));
    let mut runner = Runner::builder()
        .start_paused(true)
        .exception_handler({
            let reports = reports.clone();
            move |context| {
                eprintln!("{context}");
                add(&reports);
            }
        })
        .build()
        .unwrap();
    let mut held = Vec::with_capacity(waves);
    for _ in 0..waves {
        runner.run(wave(&tally, &mut random));
        held.push(bytes_held());
        assert_eq!(tally.bodies_begun, tally.bodies_dropped);
        let ended = tally.cleanups_done.get() + tally.cleanups_interrupted.get();
        assert_eq!(tally.cleanups_begun, tally.cleanups_due);
        assert_eq!(ended, tally.cleanups_due.get());
    }
    assert!(runner.close().is_clean());
    assert_eq!(reports.get(), 0);
    let tasks = waves * WAVE;
    println!(
        "{tasks} tasks: {} begun, {} finished, {} ended as cancelled, {} clean-ups done and {} interrupted; bytes held after the waves: first {}, \
         most {}, last {}; after the loop {}",
        tally.bodies_begun.get(),
        tally.finished.get(),
        tally.cancelled.get(),
        tally.cleanups_done.get(),
        tally.cleanups_interrupted.get(),
        held[0],
        held.iter().max().unwrap(),
        held.last().unwrap(),
        bytes_held(),
    );
    assert!(tally.cancelled.get() > tasks / 10);
    assert!(tally.finished.get() > tasks / 10);
    // What the loop keeps for the next tasks is no more after all of the waves than after the first ones.
    let after_some = held[..waves.min(10)].iter().max().unwrap();
    assert!(*held.last().unwrap() <= after_some + after_some / 8);
    drop((held, tally, reports));
    let left = bytes_held() - before_all;
    assert!(left < 4096, "{left} bytes are left");
}
