//! Interrupting a run: the main task is cancelled.

use std::fmt;

use crate::core::RemoteCore;

/// Cancels the main task of the run that is under way, from any thread.
///
/// Without a main task (while the loop shuts down, or does not run) nothing happens.
#[derive(Clone)]
pub struct Interrupter {
    core: RemoteCore,
}

impl Interrupter {
    pub(crate) fn new(core: RemoteCore) -> Interrupter {
        Interrupter { core }
    }

    /// Cancels the main task, with [`CancelReason::Signal`](crate::cancel::CancelReason::Signal).
    pub fn interrupt(&self) {
        self.core.inject().interrupt();
    }
}

impl fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupter").finish_non_exhaustive()
    }
}
