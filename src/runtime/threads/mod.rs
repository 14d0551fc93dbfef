//! Several loops, each on a thread of its own, that run the same program and end together.
//!
//! `crew` is what the threads share: who is there, and whether all are to end. `member` is what one thread does. `pinning`
//! ties threads to processors.

mod crew;
mod member;
mod pinning;

use std::fmt;
use std::io;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread;

use tulipa_executor::RemoteHandle;
use tulipa_executor::cancel::CancelReason;
use tulipa_executor::shutdown::ShutdownReport;
use tulipa_reactor::termination::Termination;

use crate::runtime::builder::{Builder, Shareable};
use crate::runtime::runner::Runner;
use crew::Crew;
use member::{End, MemberEnd, run_member};

/// Sets up several loops that run the same program, each on a thread of its own: see
/// [`Builder::threads`](crate::runtime::Builder::threads).
///
/// The threads share nothing but what the program shares. `main` is called once on each of them, so what it makes stays on its
/// thread and need not be `Send`; blocking work has a pool of threads on each. A server that runs on all of them has a listener on each: see
/// [`SharedListener`](crate::net::SharedListener). [`thread_index`] tells them apart, and [`thread_remotes`] leads from one to
/// the others.
///
/// # Ends
/// The loops end together: each goes on until every main has ended, and is then shut down as any loop is.
/// The first main that fails (it panics, or its value [is a failure](ThreadOutput)) cancels all others, which may clean up.
/// So do Ctrl-C, where it is [handled](crate::runtime::Builder::handle_ctrl_c), and [`exit`](crate::runtime::exit). Each main is
/// asked once, whatever happens first.
///
/// # Examples
/// ```
/// use tulipa::runtime::{Runner, thread_index};
///
/// # fn main() -> std::io::Result<()> {
/// let outcome = Runner::builder().threads(2).try_run(async || {
///     println!("this is thread {}", thread_index());
/// })?;
/// assert_eq!(outcome.outputs.len(), 2);
/// assert!(outcome.shutdown.is_clean());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing runs until `run`"]
pub struct Threads {
    count: usize,
    settings: io::Result<Shareable>,
    each: Option<Each>,
    pins_cpus: bool,
}

pub(super) type Each = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

impl Threads {
    pub(super) fn new(count: usize, settings: io::Result<Shareable>) -> Threads {
        let count = match count {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            count => count,
        };
        Threads {
            count,
            settings,
            each: None,
            pins_cpus: false,
        }
    }

    /// Sets each loop up on its own thread, on top of what is set already: for settings that no other thread can
    /// share, such as an exception handler.
    ///
    /// # Examples
    /// ```
    /// use tulipa::runtime::{Runner, thread_index};
    ///
    /// let threads = Runner::builder().threads(2).each(|builder| {
    ///     let index = thread_index();
    ///     builder.exception_handler(move |context| eprintln!("loop {index}: {context}"))
    /// });
    /// # threads.run(async || ());
    /// ```
    pub fn each(mut self, set_up: impl Fn(Builder) -> Builder + Send + Sync + 'static) -> Threads {
        self.each = Some(Arc::new(set_up));
        self
    }

    /// Keeps each thread on a processor of its own: the first loop on the first of those that the process may use, and so
    /// on, from the start again when there are more threads. The calling thread is let go in the end.
    ///
    /// It helps programs that use their processors fully and have them for themselves, and hurts where others run too. On
    /// systems other than Linux and Android it does nothing.
    pub fn pin_cpus(mut self) -> Threads {
        self.pins_cpus = true;
        self
    }

    /// How many loops there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Runs `main` on every loop, and says what came of it. The calling thread runs the first loop; the others are called
    /// `tulipa-1` and so on.
    ///
    /// # Errors
    /// - When a loop runs on this thread already.
    /// - `InvalidInput`: what was set cannot be shared by several threads; see [`each`](Threads::each). Also as
    ///   [`Builder::build`](crate::runtime::Builder::build).
    /// - What the operating system says when it refuses a thread, a loop, or to pin; or to wait for events.
    ///
    /// The mains that have started are cancelled then.
    ///
    /// # Panics
    /// When a main does, with the payload of the first one that did; after all loops have been closed.
    pub fn try_run<F, T>(self, main: F) -> io::Result<ThreadsOutcome<T>>
    where
        F: AsyncFn() -> T + Sync,
        T: ThreadOutput + Send,
    {
        let end = self.run_all(main)?;
        Ok(end.outcome)
    }

    /// Runs `main` on every loop, and returns the value of the first one that failed, or else that of the first loop. It is what
    /// `#[tulipa::main(threads = n)]` does.
    ///
    /// If a signal ended the program, and the first loop's main did not refuse, the process exits once everything is
    /// cleaned up, as with [`Runner::run_and_close`]. Likewise after [`exit`](crate::runtime::exit).
    ///
    /// # Panics
    /// As [`try_run`](Threads::try_run), and where that returns an error.
    #[track_caller]
    pub fn run<F, T>(self, main: F) -> T
    where
        F: AsyncFn() -> T + Sync,
        T: ThreadOutput + Send,
    {
        let Ended { outcome, exit_code } = match self.run_all(main) {
            Ok(end) => end,
            Err(error) => panic!("tulipa: {error}"),
        };
        let (signal, index) = (outcome.signal, outcome.first_failure.unwrap_or(0));
        match (outcome.outputs.into_iter().nth(index).flatten(), signal) {
            (Some(output), _) => output,
            (None, Some(signal)) => exit(signal.exit_code()),
            (None, None) => match exit_code {
                Some(code) => exit(code),
                None => panic!("tulipa: the main future was cancelled"),
            },
        }
    }

    fn run_all<F, T>(self, main: F) -> io::Result<Ended<T>>
    where
        F: AsyncFn() -> T + Sync,
        T: ThreadOutput + Send,
    {
        crew::ensure_no_loop()?;
        let settings = self.settings?;
        let places = match self.pins_cpus {
            true => Some(pinning::places()?),
            false => None,
        };
        let crew = Crew::new(self.count);
        let job = |index: usize| {
            let _pinned = places.as_ref().map(|places| places.pin(index));
            if let Some(Err(error)) = _pinned {
                crew.end_all(CancelReason::Group);
                return MemberEnd::failed(error);
            }
            let mut builder = settings.builder();
            if index > 0 {
                builder = builder.without_signals(); // The first one hears of them for all.
            }
            run_member(&crew, index, builder, self.each.as_ref(), &main)
        };
        let ends: Vec<MemberEnd<T>> = thread::scope(|scope| {
            let others: Vec<_> = (1..self.count)
                .map(|index| {
                    thread::Builder::new()
                        .name(format!("tulipa-{index}"))
                        .spawn_scoped(scope, {
                            let job = &job;
                            move || job(index)
                        })
                        .inspect_err(|_| crew.end_all(CancelReason::Group))
                })
                .collect();
            let first = job(0);
            let others = others.into_iter().map(|spawned| match spawned {
                Ok(thread) => thread.join().unwrap_or_else(MemberEnd::panicked),
                Err(error) => MemberEnd::failed(error),
            });
            std::iter::once(first).chain(others).collect()
        });
        merge(ends, crew.first_failure())
    }
}

/// Makes one of what came of all.
fn merge<T>(ends: Vec<MemberEnd<T>>, first_failure: Option<usize>) -> io::Result<Ended<T>> {
    let mut merged = Ended {
        outcome: ThreadsOutcome {
            outputs: Vec::new(),
            first_failure,
            signal: None,
            shutdown: ShutdownReport::default(),
        },
        exit_code: None,
    };
    let mut error = None;
    let mut panics = Vec::new();
    for (index, end) in ends.into_iter().enumerate() {
        let outcome = &mut merged.outcome;
        let report = end.shutdown;
        outcome.shutdown.cancelled += report.cancelled;
        outcome.shutdown.failed += report.failed;
        outcome.shutdown.stuck.extend(report.stuck);
        let abandoned = report.abandoned_threads;
        outcome.shutdown.abandoned_threads.extend(abandoned);
        outcome.signal = outcome.signal.or(end.signal);
        merged.exit_code = merged.exit_code.or(end.exit_code);
        outcome.outputs.push(match end.end {
            End::Output(output) => Some(output),
            End::Cancelled => None,
            End::Failed(failure) => {
                error.get_or_insert(failure);
                None
            }
            End::Panicked(payload) => {
                panics.push((index, payload));
                None
            }
        });
    }
    if !panics.is_empty() {
        let first = panics.iter().position(|(it, _)| Some(*it) == first_failure);
        resume_unwind(panics.swap_remove(first.unwrap_or(0)).1);
    }
    match error {
        Some(error) => Err(error),
        None => Ok(merged),
    }
}

struct Ended<T> {
    outcome: ThreadsOutcome<T>,
    exit_code: Option<i32>,
}

/// What came of a program that ran on several loops. See [`Threads::try_run`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadsOutcome<T> {
    /// The value of each main, by the index of its thread; `None` for one that was cancelled.
    pub outputs: Vec<Option<T>>,
    /// The thread whose main failed first, if one did.
    pub first_failure: Option<usize>,
    /// The signal that ended the program, if one did.
    pub signal: Option<Termination>,
    /// What happened when the loops were shut down, all taken together.
    pub shutdown: ShutdownReport,
}

/// What a main on several threads may return: `()`, a `Result`, or an `ExitCode`. It says whether the others are to end.
#[diagnostic::on_unimplemented(
    message = "a main that runs on several threads cannot return `{Self}`",
    note = "it can return `()`, a `Result` or an `ExitCode`"
)]
pub trait ThreadOutput {
    /// Whether this is a failure, which ends the program.
    fn is_failure(&self) -> bool;
}

impl ThreadOutput for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> ThreadOutput for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl ThreadOutput for ExitCode {
    fn is_failure(&self) -> bool {
        *self != ExitCode::SUCCESS
    }
}

/// Which of several loops this thread runs: 0 for the first, and for a loop that is alone. See
/// [`Builder::threads`](crate::runtime::Builder::threads).
pub fn thread_index() -> usize {
    crew::with_member(|member| member.map_or(0, |member| member.index))
}

/// How many loops the program has that this thread's loop belongs to; 1 for one that is alone.
pub fn thread_count() -> usize {
    crew::with_member(|member| member.map_or(1, |member| member.crew.count()))
}

/// Handles of all loops that this thread's loop belongs to, its own included, by their [index](thread_index); none for a loop
/// that is alone.
///
/// They stay open until every main has ended.
///
/// # Examples
/// ```
/// use tulipa::runtime::{Runner, thread_index, thread_remotes};
///
/// Runner::builder().threads(2).run(async || {
///     let next = &thread_remotes()[(thread_index() + 1) % 2];
///     let task = next.spawn(|| async { thread_index() }).unwrap();
///     assert_ne!(task.await.unwrap(), thread_index());
/// });
/// ```
pub fn thread_remotes() -> Vec<RemoteHandle> {
    crew::with_member(|member| member.map_or_else(Vec::new, |member| member.crew.remotes()))
}

impl Builder<Runner> {
    /// Runs the program on `count` loops, each on a thread of its own; 0 is one for each processor that this process may
    /// use. See [`Threads`].
    ///
    /// Exception handlers and reactors of one's own cannot be shared: they are set with [`Threads::each`].
    pub fn threads(self, count: usize) -> Threads {
        Threads::new(count, self.into_shareable())
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("count", &self.count)
            .field("settings", &self.settings)
            .field("pins_cpus", &self.pins_cpus)
            .finish_non_exhaustive()
    }
}
