//! A deadline as a timeout of the wait: for systems whose wait is precise (kqueue takes a timespec)
//! or where nothing better exists (Windows counts in ticks of about 16 ms).

use std::io;
use std::time::Duration;

use tulipa_base::Instant;

use crate::reactor::{Wait, timeout_until};

pub(crate) struct DeadlineTimer;

/// How the backend is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// With this timeout; `None` is for ever.
    Timeout(Option<Duration>),
}

impl DeadlineTimer {
    pub(crate) fn new() -> io::Result<DeadlineTimer> {
        Ok(DeadlineTimer)
    }

    pub(crate) fn plan(&mut self, wait: Wait) -> io::Result<Plan> {
        Ok(Plan::Timeout(match wait {
            Wait::Poll => Some(Duration::ZERO),
            Wait::Forever => None,
            Wait::Until(deadline) => Some(timeout_until(deadline, Instant::now())),
        }))
    }

    /// There is no descriptor that could have fired.
    #[cfg(unix)]
    pub(crate) fn fired(&mut self) {}
}
