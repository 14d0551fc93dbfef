//! Standard input, output and error.
//!
//! # Why threads
//! A terminal or a pipe could be read without blocking by setting `O_NONBLOCK`. But that belongs to the open file, which other
//! programs share: the shell, the other end of a pipeline's terminal. They would suddenly get `EAGAIN`. Opening it
//! once more, by /dev/tty or /proc/self/fd, works for some kinds of files and not for others. So each of the three has
//! a thread of its own, started when it is needed, which blocks in the loop's stead, through std's handles: what std
//! has buffered comes first, and nobody's files are changed.
//!
//! These threads belong to the process, not to a loop. Nobody waits for them: a program ends while a read of its
//! terminal is pending.
//!
//! # Map
//! - `input` (private): one thread reads, on demand. `output` (private): one thread writes what is queued.

mod input;
mod output;

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use input::Input;
use output::Output;

static INPUT: Input = Input::new();
static OUTPUT: Output = Output::new("tulipa-stdout", output::to_stdout);
static ERRORS: Output = Output::new("tulipa-stderr", output::to_stderr);

/// The standard input of the program.
///
/// Nothing is read before it is asked for. A read that was asked for and not awaited to its end goes on, as nobody can stop
/// it: what it yields is kept for the next one, of any handle, in any loop of the process.
///
/// After the end of input, reading asks again: a terminal may go on after Ctrl-D.
///
/// # Cancel safety
/// Reading is safe: nothing is lost.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub use tulipa_net::io; }
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::io::{StreamReader, stdin};
///
/// let mut input = StreamReader::new(stdin());
/// let mut lines = input.lines();
/// while let Some(line) = lines.next().await {
///     println!("{}", String::from_utf8_lossy(&line?));
/// }
/// # Ok(())
/// # }
/// ```
pub fn stdin() -> Stdin {
    Stdin { input: &INPUT }
}

/// The standard output of the program.
///
/// Bytes are queued, up to 64 KiB, and written by a thread through [`std::io::stdout`], so that `println!` goes between. **Flush before
/// the program ends**: `AsyncWriteExt::flush` waits until everything is written; the end of the program does not, since what reads
/// the output may have stopped to.
///
/// # Cancel safety
/// What a write has taken is written. Flushing is safe.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub use tulipa_net::io; }
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::io::{AsyncWriteExt, stdout};
///
/// let mut out = stdout();
/// out.write_all(b"hello\n").await?;
/// out.flush().await?;
/// # Ok(())
/// # }
/// ```
pub fn stdout() -> Stdout {
    Stdout { output: &OUTPUT }
}

/// The standard error of the program. As [`stdout`]; `eprintln!` is simpler, and may block.
///
/// # Cancel safety
/// As of [`stdout`].
pub fn stderr() -> Stderr {
    Stderr { output: &ERRORS }
}

/// A handle to standard input. See [`stdin`].
#[derive(Debug)]
pub struct Stdin {
    input: &'static Input,
}

/// A handle to standard output. See [`stdout`].
#[derive(Debug)]
pub struct Stdout {
    output: &'static Output,
}

/// A handle to standard error. See [`stderr`].
#[derive(Debug)]
pub struct Stderr {
    output: &'static Output,
}

impl AsyncRead for Stdin {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.input.poll_read(cx, buf)
    }
}

macro_rules! write {
    ($($type:ty),*) => {$(
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.output.poll_write(cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.output.poll_flush(cx)
            }

            /// Flushes. The file stays open.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.output.poll_flush(cx)
            }
        }
    )*};
}

write!(Stdout, Stderr);

/// Nobody panics with these locks; if somebody did, what is in there would still be right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add_waker(wakers: &mut Vec<Waker>, waker: Waker) {
    if !wakers.iter().any(|it| it.will_wake(&waker)) {
        wakers.push(waker);
    }
}

/// Starts a thread that lives as long as the process.
fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| {
            // The system says EAGAIN, whose kind would read as if one should simply wait.
            io::Error::other(format!("cannot start the thread '{name}': {error}"))
        })
}
