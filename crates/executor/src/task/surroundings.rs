//! Running a task inside of another one's poll: what belongs to the outer one is put aside meanwhile.

use tulipa_base::{TaskId, budget, current, wait};

use crate::cancel::{Limit, Spot};
use crate::core::CorePtr;
use crate::task::header::TaskRef;

/// What belongs to the running task; it is put aside until this is dropped.
#[must_use]
pub(crate) struct Surroundings {
    core: CorePtr,
    running: Option<TaskRef>,
    id: Option<TaskId>,
    budget: budget::Saved,
    spot: Spot,
    limit: Limit,
    /// What its poll has noted so far that it waits for.
    noted: u64,
}

impl Surroundings {
    pub(crate) fn put_aside(core: CorePtr) -> Surroundings {
        Surroundings {
            core,
            running: core.get().running.get(),
            id: current::task_id(),
            budget: budget::save(),
            spot: core.get().spot.replace(Spot::ROOT),
            limit: core.get().limit.replace(Limit::NONE),
            noted: wait::take(),
        }
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        let core = self.core.get();
        core.running.set(self.running);
        current::set_task_id(self.id);
        budget::restore(self.budget);
        core.spot.set(self.spot);
        core.limit.set(self.limit);
        wait::restore(self.noted);
    }
}
