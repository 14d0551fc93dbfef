//! A pause in accepting, which would spin against a limit that lasts.

use std::cell::Cell;
use std::time::Duration;

use tulipa_base::Instant;
use tulipa_executor::report::{ExceptionKind, report};
use tulipa_executor::timer::sleep_until;

/// How long accepting pauses when descriptors or memory have run out: as in asyncio. Shorter would
/// spin against a limit that lasts; longer would keep clients waiting once it is lifted.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// The pause of all who accept from a listener, if there is one.
#[derive(Default)]
pub(crate) struct Pause {
    until: Cell<Option<Instant>>,
}

impl Pause {
    /// Waits until it is over.
    pub(crate) async fn over(&self) {
        if let Some(until) = self.until.get() {
            sleep_until(until).await;
            self.until.set(None);
        }
    }

    /// Begins it and tells the exception handler why, unless another task has just done so.
    #[cold]
    pub(crate) fn begin(&self, duration: Duration, why: impl FnOnce() -> String) {
        if self.until.get().is_none() {
            self.until.set(Some(Instant::now() + duration));
            report(
                ExceptionKind::AcceptPaused,
                &format!("{}; trying again in {duration:?}", why()),
            );
        }
    }
}
