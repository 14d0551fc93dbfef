//! The queue of jobs and the list of threads: who runs what.
//!
//! All of it is behind one lock, which is held for a few map operations; only starting a thread takes
//! longer under it, so that a thread is on the list before it can look at it. No user code runs under it.
//!
//! # The end of a job
//! A job's result is put into its slot in the same breath in which its thread takes the next job, or goes
//! idle. So whoever sees the result, by whatever means, finds the job gone from the counters and the thread
//! free: who spawns, awaits and spawns again is served by one thread for ever. A result that nobody wants
//! is dropped before that, so that a quiet pool has no destructors left to run. The lock of the slot is
//! taken under the pool's for this, and never the other way round.
//!
//! # Idle threads
//! They are a stack: a new job calls the thread that went idle last, whose caches are warm, so that
//! under a steady trickle of jobs the others stay idle and end. (With a condition variable, which calls
//! them in turn, ten jobs a second would keep hundreds of threads alive.) Each waits with a parker of its own;
//! whoever takes a thread off the stack unparks it.
//!
//! # Invariants
//! 1. A thread is on the idle stack only while it waits or is about to; off it, it looks at the queue before
//!    it waits or ends.
//! 2. A job in the queue means that a thread is off the idle stack, or that one is being started.
//! 3. After `close` the queue is empty.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::config::{Config, ThreadName};
use crate::error::BlockingError;
use crate::job::{Run, Settled};
use crate::pool::{AbandonedJob, ShutdownOutcome};
use crate::report::Reporter;
use crate::shim::thread::JoinHandle;
use crate::shim::{Condvar, Mutex, MutexGuard, Unparker};
use crate::stop::StopToken;
use crate::thread::{StartThread, ThreadSpec};

/// A job's place in the queue.
///
/// The queue is a sorted map, so that a job that is cancelled leaves at once, in O(log n), wherever it
/// stands. A ring with gaps would keep the memory of cancelled jobs as long as threads hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// A thread of this pool, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkerId(u64);

pub(crate) struct Dispatch {
    state: Mutex<State>,
    /// A thread has left the list.
    ended: Condvar,
    max_threads: usize,
    keep_alive: Duration,
    thread_name: ThreadName,
    stack_size: Option<usize>,
    starter: Box<dyn StartThread>,
    pub(crate) reporter: Reporter,
    /// Where the pool was made: what panics of its own user code, which belongs to no job, are told with.
    made_at: &'static Location<'static>,
}

struct State {
    phase: Phase,
    queue: BTreeMap<Ticket, Arc<dyn Run>>,
    tickets: u64,
    workers: BTreeMap<WorkerId, Worker>,
    worker_ids: u64,
    /// Threads that are about to be started, which count as threads.
    starting: usize,
    /// Who went idle last is called first.
    idle: Vec<(WorkerId, Unparker)>,
    /// How many workers have a job.
    running: usize,
    /// Who waits for the queue to be empty and no job to run.
    quiet_waiters: BTreeMap<Ticket, Waker>,
    /// The thread that has ended last. The next one joins it, so that joining one joins all.
    last_ended: Option<JoinHandle<()>>,
    /// Threads that have ended since the pool was closed, and that no shutdown has counted yet.
    ended_since_close: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nobody can bring jobs any more: threads end when the queue is empty.
    Orphaned,
    /// Jobs are refused.
    Closed,
}

struct Worker {
    thread: JoinHandle<()>,
    job: Option<Running>,
}

/// What is known of a job that runs.
struct Running {
    spawned_at: &'static Location<'static>,
    since: Instant,
    stop: Option<StopToken>,
}

/// What a pool thread does next, after it has woken the others.
#[must_use]
pub(crate) struct Turn {
    pub(crate) next: Next,
    /// Who waits for the job that is over now.
    pub(crate) waker: Option<Waker>,
    /// Who waits for the pool to be quiet, if it is.
    pub(crate) waiters: Vec<Waker>,
}

pub(crate) enum Next {
    /// Discard the result of the job that it has run, and come back.
    Discard,
    Run(Arc<dyn Run>),
    /// It is on the idle stack: wait to be called, at most so long.
    Rest(Duration),
    /// It is off the list: join the thread that ended before, and end.
    End(Option<JoinHandle<()>>),
}

/// How many of what there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) queued: usize,
    pub(crate) running: usize,
    pub(crate) threads: usize,
    pub(crate) idle: usize,
    pub(crate) is_closed: bool,
}

impl Dispatch {
    #[track_caller]
    pub(crate) fn new(config: Config, starter: Box<dyn StartThread>) -> Dispatch {
        assert!(
            config.max_threads > 0,
            "Config::max_threads is 0: a pool needs at least one thread"
        );
        Dispatch {
            state: Mutex::new(State {
                phase: Phase::Open,
                queue: BTreeMap::new(),
                tickets: 0,
                workers: BTreeMap::new(),
                worker_ids: 0,
                starting: 0,
                idle: Vec::new(),
                running: 0,
                quiet_waiters: BTreeMap::new(),
                last_ended: None,
                ended_since_close: 0,
            }),
            ended: Condvar::new(),
            max_threads: config.max_threads,
            keep_alive: config.keep_alive,
            thread_name: config.thread_name,
            stack_size: config.stack_size,
            starter,
            reporter: Reporter::new(config.on_lost_panic),
            made_at: Location::caller(),
        }
    }

    /// Appends a job, and finds it a thread.
    pub(crate) fn submit(self: &Arc<Self>, job: Arc<dyn Run>) -> Ticket {
        let mut state = self.state.lock();
        let ticket = state.ticket();
        if state.phase == Phase::Closed {
            drop(state);
            let spawned_at = job.spawned_at();
            job.fail(BlockingError::PoolClosed { spawned_at }, &self.reporter);
            return ticket;
        }
        state.queue.insert(ticket, job);
        if let Some((_, unparker)) = state.idle.pop() {
            drop(state);
            unparker.unpark();
        } else if state.workers.len() + state.starting < self.max_threads {
            state.starting += 1;
            state.worker_ids += 1;
            let id = WorkerId(state.worker_ids);
            drop(state);
            self.start_worker(id);
        }
        ticket
    }

    /// Starts a thread that was counted in `starting`.
    fn start_worker(self: &Arc<Self>, id: WorkerId) {
        let name = self.name_of(id);
        let mut state = self.state.lock();
        state.starting -= 1;
        if state.queue.is_empty() {
            // The others were quicker, or the job was cancelled.
            return;
        }
        let spec = ThreadSpec {
            name,
            stack_size: self.stack_size,
        };
        let dispatch = self.clone();
        match self
            .starter
            .start(spec, Box::new(move || dispatch.work(id)))
        {
            Ok(thread) => {
                state.workers.insert(id, Worker { thread, job: None });
            }
            Err(error) if state.workers.is_empty() && state.starting == 0 => {
                self.fail_queue(state, &error);
            }
            // The job waits for a thread that there is, or for the outcome of another start.
            Err(_) => {}
        }
    }

    /// Without the lock, because the name may be anyone's code.
    fn name_of(&self, id: WorkerId) -> String {
        let mut name = None;
        self.reporter
            .contain("in the pool's thread_name", self.made_at, || {
                name = Some(self.thread_name.of(id.0));
            });
        let name = name.unwrap_or_else(|| ThreadName::default().of(id.0));
        // std panics on a name with a NUL inside.
        name.replace('\0', "")
    }

    /// No thread can be started and there is none: no one would ever run what is queued.
    #[cold]
    fn fail_queue(&self, mut state: MutexGuard<'_, State>, error: &io::Error) {
        let jobs = mem::take(&mut state.queue);
        let waiters = state.take_quiet_waiters();
        drop(state);
        for job in jobs.into_values() {
            let failure = BlockingError::ThreadSpawn {
                error: copy(error),
                spawned_at: job.spawned_at(),
            };
            job.fail(failure, &self.reporter);
        }
        self.wake_all(waiters);
    }

    /// Takes a job off the queue, and ends it. False if it was not there any more.
    pub(crate) fn cancel(&self, ticket: Ticket) -> bool {
        let (job, waiters) = {
            let mut state = self.state.lock();
            let Some(job) = state.queue.remove(&ticket) else {
                return false;
            };
            (job, state.take_quiet_waiters())
        };
        let spawned_at = job.spawned_at();
        job.fail(BlockingError::Cancelled { spawned_at }, &self.reporter);
        self.wake_all(waiters);
        true
    }

    /// What thread `me` does next. `ran` is the job that it has just run, and `resting_since` from when on
    /// it has been idle, if it has.
    pub(crate) fn turn(
        &self,
        me: WorkerId,
        unparker: &Unparker,
        ran: Option<&dyn Run>,
        resting_since: &mut Option<Instant>,
    ) -> Turn {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut turn = Turn {
            next: Next::Discard,
            waker: None,
            waiters: Vec::new(),
        };
        if let Some(ran) = ran {
            match ran.settle() {
                Settled::Discard => return turn,
                Settled::Wake(waker) => turn.waker = waker,
            }
            state.finish(me);
        }
        if resting_since.is_some() && !state.leave_idle(me) {
            // Somebody has called it, though another thread may have been quicker.
            *resting_since = None;
        }
        if let Some((_, job)) = state.queue.pop_first() {
            state.begin(me, &*job, now);
            *resting_since = None;
            turn.next = Next::Run(job);
            return turn;
        }
        turn.waiters = state.take_quiet_waiters();
        let since = *resting_since.get_or_insert(now);
        let rested = now.saturating_duration_since(since);
        let left = self.keep_alive.saturating_sub(rested);
        if state.phase == Phase::Open && !left.is_zero() {
            state.idle.push((me, unparker.clone()));
            turn.next = Next::Rest(left);
        } else {
            turn.next = Next::End(state.end(me));
            drop(state);
            self.ended.notify_all();
        }
        turn
    }

    /// Refuses new jobs, ends those that are queued, tells those that run to stop, and lets idle threads
    /// end.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        let jobs = mem::take(&mut state.queue);
        let idle = mem::take(&mut state.idle);
        let running = state.workers.values().filter_map(|w| w.job.as_ref());
        let stops: Vec<StopToken> = running.filter_map(|job| job.stop.clone()).collect();
        let waiters = state.take_quiet_waiters();
        drop(state);

        for stop in stops {
            stop.stop();
        }
        for (_, unparker) in idle {
            unparker.unpark();
        }
        for job in jobs.into_values() {
            let spawned_at = job.spawned_at();
            job.fail(BlockingError::Cancelled { spawned_at }, &self.reporter);
        }
        self.wake_all(waiters);
    }

    /// Says that nobody can bring jobs any more.
    pub(crate) fn orphan(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Orphaned;
        }
        let idle = mem::take(&mut state.idle);
        drop(state);
        for (_, unparker) in idle {
            unparker.unpark();
        }
    }

    /// Closes, and waits for the threads: for those that run a job until the time is up.
    pub(crate) fn shutdown(&self, timeout: Duration) -> ShutdownOutcome {
        // Too far to represent: never.
        let deadline = Instant::now().checked_add(timeout);
        self.close();

        let mut state = self.state.lock();
        let mut is_over = false;
        while !state.workers.is_empty() {
            is_over = is_over || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            // Threads without a job are on their way out: they are waited for in any case.
            if is_over && state.running == state.workers.len() {
                break;
            }
            let until = if is_over { None } else { deadline };
            state = self.ended.wait_until(state, until);
        }
        let now = Instant::now();
        let running = state.workers.values().filter_map(|w| w.job.as_ref());
        let mut abandoned: Vec<AbandonedJob> = running
            .map(|job| AbandonedJob {
                spawned_at: job.spawned_at,
                running_for: now.saturating_duration_since(job.since),
            })
            .collect();
        let joined = mem::take(&mut state.ended_since_close);
        let last = state.last_ended.take();
        drop(state);

        abandoned.sort_by_key(|job| std::cmp::Reverse(job.running_for));
        if let Some(last) = last {
            // A pool thread does not panic: whatever runs on it is contained.
            let _ = last.join();
        }
        ShutdownOutcome { joined, abandoned }
    }

    /// Answers when nothing is queued and no job runs; until then leaves the context's waker at `place`.
    pub(crate) fn poll_quiet(&self, place: &mut Option<Ticket>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.state.lock();
            if state.is_quiet() {
                return Poll::Ready(());
            }
            let ticket = *place.get_or_insert_with(|| state.ticket());
            let before = state.quiet_waiters.get(&ticket);
            if before.is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
        }
        // Without the lock, because cloning a waker may be anyone's code. Jobs may end meanwhile.
        let waker = cx.waker().clone();
        let before;
        let is_quiet = {
            let mut state = self.state.lock();
            let is_quiet = state.is_quiet();
            before = match *place {
                Some(ticket) if !is_quiet => state.quiet_waiters.insert(ticket, waker),
                _ => Some(waker),
            };
            is_quiet
        };
        drop(before);
        match is_quiet {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Takes back what `poll_quiet` has left.
    pub(crate) fn forget_quiet_waiter(&self, ticket: Ticket) {
        let waker = self.state.lock().quiet_waiters.remove(&ticket);
        self.reporter.drop_contained(waker, self.made_at);
    }

    /// Wakes those who wait for the pool to be quiet.
    pub(crate) fn wake_all(&self, waiters: Vec<Waker>) {
        for waker in waiters {
            self.reporter.wake(waker, self.made_at);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            queued: state.queue.len(),
            running: state.running,
            threads: state.workers.len(),
            idle: state.idle.len(),
            is_closed: state.phase == Phase::Closed,
        }
    }
}

impl State {
    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Nothing is queued and no job runs.
    fn is_quiet(&self) -> bool {
        self.running == 0 && self.queue.is_empty()
    }

    /// Those to wake, if it is quiet. (An empty vector is no allocation.)
    fn take_quiet_waiters(&mut self) -> Vec<Waker> {
        if self.quiet_waiters.is_empty() || !self.is_quiet() {
            return Vec::new();
        }
        mem::take(&mut self.quiet_waiters).into_values().collect()
    }

    /// Takes a thread off the idle stack. False if somebody has done so already, to call it.
    fn leave_idle(&mut self, worker: WorkerId) -> bool {
        let place = self.idle.iter().position(|(id, _)| *id == worker);
        place.map(|place| self.idle.remove(place)).is_some()
    }

    fn begin(&mut self, worker: WorkerId, job: &dyn Run, now: Instant) {
        let worker = self.worker(worker);
        debug_assert!(worker.job.is_none());
        worker.job = Some(Running {
            spawned_at: job.spawned_at(),
            since: now,
            stop: job.stop_token().cloned(),
        });
        self.running += 1;
    }

    fn finish(&mut self, worker: WorkerId) {
        let worker = self.worker(worker);
        debug_assert!(worker.job.is_some());
        worker.job = None;
        self.running -= 1;
    }

    /// Takes a thread off the list. Returns the one that went before.
    fn end(&mut self, worker: WorkerId) -> Option<JoinHandle<()>> {
        let worker = self.workers.remove(&worker);
        let worker = worker.expect("a thread is on the list until it ends");
        if self.phase == Phase::Closed {
            self.ended_since_close += 1;
        }
        self.last_ended.replace(worker.thread)
    }

    fn worker(&mut self, id: WorkerId) -> &mut Worker {
        let worker = self.workers.get_mut(&id);
        worker.expect("a thread is put on the list before it can take the lock")
    }
}

/// The same error for each of several jobs.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
