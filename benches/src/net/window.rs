//! What a load generator saw, and how patient it is.

use std::io;
use std::time::Duration;

/// What was seen in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) messages: u64,
    pub(crate) elapsed: Duration,
    pub(crate) server_cpu: Duration,
}

impl Window {
    pub(crate) fn cpu_us_per_message(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.messages as f64
    }

    pub(crate) fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }
}

/// The error of a server that is silent for [`PATIENCE`].
pub(super) fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server does not answer")
}

/// How long the server may take for an answer before the run counts as failed. A server under
/// callgrind or strace takes seconds for a thousand.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long the server gets, after the last answer, to finish what it has to do and go to sleep.
pub(super) const SETTLING: Duration = Duration::from_millis(20);
