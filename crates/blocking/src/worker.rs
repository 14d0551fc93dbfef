//! What one thread of the pool does all day.

use std::sync::Arc;

use crate::dispatch::{Dispatch, Next, WorkerId};
use crate::job::Run;
use crate::shim::Parker;

impl Dispatch {
    /// Runs jobs until there is no more need. All user code in it is contained: nothing unwinds.
    ///
    /// A job's handle is woken when the thread is idle already, or has the next job. A waker that blocks
    /// (none should) holds up a job that was given to the thread meanwhile.
    pub(crate) fn work(&self, me: WorkerId) {
        let parker = Parker::new();
        let unparker = parker.unparker();
        let mut ran: Option<Arc<dyn Run>> = None;
        let mut resting_since = None;
        loop {
            let turn = self.turn(me, &unparker, ran.as_deref(), &mut resting_since);
            if let Some(job) = &ran {
                if let Next::Discard = turn.next {
                    job.discard(&self.reporter);
                    continue;
                }
                if let Some(waker) = turn.waker {
                    self.reporter.wake(waker, job.spawned_at());
                }
                ran = None;
            }
            self.wake_all(turn.waiters);
            match turn.next {
                Next::Run(job) => {
                    job.run();
                    ran = Some(job);
                }
                Next::Rest(timeout) => parker.park_timeout(timeout),
                Next::End(before) => {
                    if let Some(before) = before {
                        // It has nothing left to do but to end, and it did not panic.
                        let _ = before.join();
                    }
                    return;
                }
                Next::Discard => unreachable!("only a job that has run leaves a result"),
            }
        }
    }
}
