//! What a pool is told when it is made.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// How many threads a pool may have unless told otherwise.
///
/// Blocking work waits; it hardly computes. So the number of processors is the wrong measure, though
/// asyncio uses it (at most 32, and no more than four above the processors): with it a program that is
/// fine on a desk starves in a container with one processor. A constant behaves the same everywhere.
///
/// Threads are started only when jobs ask for them, so a cap costs nothing until it is reached. What it
/// costs then:
/// - Too few: jobs that hang (a network file system, a name server that is gone) hold threads, and when they
///   hold all, nothing else runs; jobs that wait for other jobs of the same pool deadlock. Work that may
///   hang belongs into a pool of its own.
/// - Too many, as tokio's 512: a burst of file operations becomes as many threads, each with 8 to 20 KiB of
///   touched stack and a place in the scheduler's queue, beside the one thread that the loop needs to have.
///   Containers often limit threads to a few hundred, for all loops together.
pub const DEFAULT_MAX_THREADS: usize = 32;

/// How long an idle thread waits for work, unless told otherwise: ten seconds, as in tokio.
///
/// A thread that starts costs 20 to 50 µs, so a much shorter time makes a pool with pauses slow; a much
/// longer one keeps the memory of a burst.
const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Hears of panics that nobody else looks at: with the panic's message, and where the job was spawned;
/// where no job is concerned, where the pool was made.
pub type LostPanicHook = Arc<dyn Fn(&str, &'static Location<'static>) + Send + Sync>;

/// How a pool is made. The defaults suit most programs.
///
/// # Examples
/// ```
/// use tulipa_blocking::{Config, Pool};
///
/// let mut config = Config::default();
/// config.max_threads = 4;
/// config.thread_name = "look-up".into();
/// let pool = Pool::new(config);
/// # assert_eq!(pool.threads(), 0);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The pool never has more threads than this. Default: [`DEFAULT_MAX_THREADS`].
    pub max_threads: usize,
    /// A thread that has had nothing to do for this long ends. Default: 10 s. Zero ends it at once.
    pub keep_alive: Duration,
    /// What the threads are called. Default: `tulipa-pool-1` and so on.
    pub thread_name: ThreadName,
    /// The size of each thread's stack in bytes. Default: std's, which is 2 MiB or `RUST_MIN_STACK`.
    pub stack_size: Option<usize>,
    /// Hears of panics that nobody else looks at. Default: a line on standard error.
    ///
    /// Those are: a job that panicked and whose handle was dropped; destructors of closures and results
    /// that panicked; wakers that panicked. It is called on the thread where that came to light, which
    /// is mostly one of the pool's.
    pub on_lost_panic: Option<LostPanicHook>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_threads: DEFAULT_MAX_THREADS,
            keep_alive: DEFAULT_KEEP_ALIVE,
            thread_name: ThreadName::default(),
            stack_size: None,
            on_lost_panic: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("max_threads", &self.max_threads)
            .field("keep_alive", &self.keep_alive)
            .field("thread_name", &self.thread_name)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

/// What the threads of a pool are called. Linux shows the first 15 bytes.
#[derive(Clone)]
#[non_exhaustive]
pub enum ThreadName {
    /// This, a hyphen, and the thread's number.
    Numbered(String),
    /// What this returns for the thread's number. Numbers start at one and are never used again.
    Made(Arc<dyn Fn(u64) -> String + Send + Sync>),
}

impl ThreadName {
    /// The name of thread `number`. May run anyone's code.
    pub(crate) fn of(&self, number: u64) -> String {
        match self {
            ThreadName::Numbered(prefix) => format!("{prefix}-{number}"),
            ThreadName::Made(make) => make(number),
        }
    }
}

impl Default for ThreadName {
    fn default() -> ThreadName {
        // Short, so that Linux's 15 bytes leave room for the number.
        ThreadName::Numbered("tulipa-pool".to_owned())
    }
}

impl From<&str> for ThreadName {
    fn from(prefix: &str) -> ThreadName {
        ThreadName::Numbered(prefix.to_owned())
    }
}

impl From<String> for ThreadName {
    fn from(prefix: String) -> ThreadName {
        ThreadName::Numbered(prefix)
    }
}

impl fmt::Debug for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ThreadName::Numbered(prefix) => write!(f, "Numbered({prefix:?})"),
            ThreadName::Made(_) => f.write_str("Made(..)"),
        }
    }
}
