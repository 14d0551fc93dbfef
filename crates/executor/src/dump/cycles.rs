//! Who waits in circles.

use tulipa_base::TaskId;

use crate::dump::{Dump, TaskInfo, WaitsFor};

impl Dump {
    /// The circles of tasks that wait for one another, and so for ever: for the end of a task, or for something that
    /// a task holds. Each begins with its oldest task, and goes on with the one that it waits for.
    ///
    /// Only tasks that wait for exactly one thing count: one that has a timer beside it will go on. A task waits for
    /// more than is known if it awaits futures that do not say what they wait for; what is found here is then
    /// no deadlock as long as one of those can complete.
    ///
    /// # Examples
    /// ```
    /// # use tulipa_executor as tulipa;
    /// async fn watchdog() {
    ///     let dump = tulipa::dump::dump();
    ///     for cycle in dump.cycles() {
    ///         eprintln!("these tasks wait for one another: {cycle:?}");
    ///     }
    /// }
    /// ```
    #[doc(alias = "deadlock")]
    pub fn cycles(&self) -> Vec<Vec<TaskId>> {
        // Every task waits for one other at most, so a walk from each either ends, or meets an earlier
        // walk, or itself.
        const UNSEEN: usize = 0;
        let mut seen_in_walk = vec![UNSEEN; self.tasks.len()];
        let mut cycles = Vec::new();
        for start in 0..self.tasks.len() {
            let walk = start + 1;
            let mut place = Some(start);
            while let Some(position) = place.filter(|position| seen_in_walk[*position] == UNSEEN) {
                seen_in_walk[position] = walk;
                place = self.waits_for_task(position);
            }
            if let Some(position) = place.filter(|position| seen_in_walk[*position] == walk) {
                cycles.push(self.cycle_through(position));
            }
        }
        cycles.sort_unstable();
        cycles
    }

    /// The task that the one at `position` waits for, if that is all it waits for.
    fn waits_for_task(&self, position: usize) -> Option<usize> {
        self.position(self.tasks[position].waits_only_for_task()?)
    }

    fn cycle_through(&self, position: usize) -> Vec<TaskId> {
        let next = |position: &usize| self.waits_for_task(*position);
        let oldest = std::iter::successors(next(&position), next)
            .take_while(|it| *it != position)
            .fold(position, usize::min);
        let others = std::iter::successors(next(&oldest), next).take_while(|it| *it != oldest);
        std::iter::once(oldest)
            .chain(others)
            .map(|position| self.tasks[position].id)
            .collect()
    }
}

impl TaskInfo {
    /// The task that has to go on for this one to go on, if there is just one such thing.
    fn waits_only_for_task(&self) -> Option<TaskId> {
        match self.waits_only_for()? {
            WaitsFor::Task { id } => Some(*id),
            WaitsFor::Resource { holder, .. } => *holder,
            _ => None,
        }
    }
}
