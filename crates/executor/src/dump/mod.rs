//! Looking inside: every unfinished task, what it waits for, and who waits for it.
//!
//! A dump reads what tasks keep anyway: the label of what the last poll found it had to wait for (see
//! `tulipa_base::wait`), the list of tasks that are awaited, the state of a request to cancel. Nothing is polled, nobody else's
//! code runs, and what comes out is plain data without ties to the loop.
//!
//! # Files
//! `info`: what is told of a task · `tree`: the text · `cycles`: who waits in circles · `call_graph`: the surroundings of
//! one task · `serialize`: for the feature `serde`.
//!
//! # How much is known
//! - What is waited for is what the last poll has noted. Time, sockets, tasks and tulipa's own primitives say so;
//!   futures from elsewhere do not, and a task that waits only for those waits for nothing that is known.
//! - A combinator that polls only those of its parts that were woken leaves the last of them, and
//!   [`others_too`](TaskInfo::others_too).
//! - Callbacks are no tasks: they wait for nothing, and are not in a dump.

mod call_graph;
mod cycles;
mod info;
#[cfg(feature = "serde")]
mod serialize;
mod tree;

#[cfg(all(test, not(loom)))]
mod tests;

use std::time::Duration;

use tulipa_base::wait::{Kind, Label};
use tulipa_base::{Instant, TaskId, resource};

pub use call_graph::{CallGraph, CallGraphTask, call_graph};
pub use info::{Cancelling, TaskInfo, TaskState, WaitsFor};

pub use crate::cancel::Delivery;

use crate::core::{self, Core};
use crate::task::{Flags, TaskRef};

/// All unfinished tasks of a loop, as they were when it was taken. See [`dump`].
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Dump {
    /// The tasks, in the order of their ids: oldest first.
    pub tasks: Vec<TaskInfo>,
}

/// Looks at all unfinished tasks of the loop that runs on this thread. Outside of a loop there are none.
///
/// It stops the loop for less than a microsecond a task: 1,200 to 1,500 instructions among 100,000 tasks. The text
/// takes four times as long, but it can be made elsewhere: what comes out may be sent to another thread.
///
/// # The text
/// A dump prints as a tree: tasks are indented under the one that has spawned them, or stand under the loop if that was the loop, or has
/// ended. A task is a line, and its parts come in this order:
///
/// ```text
/// loop: 5 tasks, 1 running, 4 waiting
/// ├─ 1 'main', running, polls 3, spawned at src/main.rs:9:5
/// │  ├─ 2 'server', waiting 2.1s for readable fd 7, polls 1, spawned at src/main.rs:12:18
/// │  │  └─ 5, waiting 400ms for readable fd 9 and more, polls 2, spawned at src/main.rs:31:14
/// │  └─ 3 'a', waiting 2s for task 4, awaited by 4, polls 1, spawned at src/main.rs:15:13
/// └─ 4 'b', waiting 2s for task 3, child of 8 (ended), awaited by 3, polls 1, spawned at src/main.rs:16:13
/// deadlock: task 3 'a' waits for task 4; task 4 'b' waits for task 3
/// ```
///
/// Also after the state, for a task that was asked to end: `cancelling (cancelled on request: clean-up is running)`.
/// The last lines are the [cycles](Dump::cycles), if there are any. Beyond 32 levels the lines are not indented further, and
/// name their parents.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// async fn report_tasks() {
///     let dump = tulipa::dump::dump();
///     println!("{dump}");
///     for task in dump.tasks.iter().filter(|task| task.idle.as_secs() > 60) {
///         println!("task {} has not run for a minute", task.id);
///     }
/// }
/// ```
#[doc(alias = "all_tasks")]
#[doc(alias = "pstree")]
#[doc(alias = "print_stack")]
pub fn dump() -> Dump {
    core::with_current(|core| core.map(Core::dump).unwrap_or_default())
}

impl Dump {
    /// The task with this id, if it was there.
    pub fn task(&self, id: TaskId) -> Option<&TaskInfo> {
        self.position(id).map(|position| &self.tasks[position])
    }

    fn position(&self, id: TaskId) -> Option<usize> {
        self.tasks.binary_search_by_key(&id, |task| task.id).ok()
    }
}

impl Core {
    /// Looks at all unfinished tasks. This loop's time is the thread's.
    pub(crate) fn dump(&self) -> Dump {
        let look = Look::now();
        let mut tasks = Vec::with_capacity(self.tasks.len());
        tasks.extend(self.tasks.iter().map(|task| look.at(task)));
        self.scoped.for_each(|task| tasks.push(look.at(task)));
        // The loop's own are linked in the order in which they got their ids.
        if !tasks.is_sorted_by_key(|task: &TaskInfo| task.id) {
            tasks.sort_unstable_by_key(|task| task.id);
        }
        let mut dump = Dump { tasks };
        dump.add_those_who_wait_for_holders();
        dump
    }
}

impl Dump {
    fn add_those_who_wait_for_holders(&mut self) {
        for position in 0..self.tasks.len() {
            let task = &self.tasks[position];
            if let [
                WaitsFor::Resource {
                    holder: Some(holder),
                    ..
                },
            ] = task.waits_for[..]
                && let Some(held_by) = self.position(holder)
            {
                let id = task.id;
                self.tasks[held_by].awaited_by.push(id);
            }
        }
    }
}

/// What the looks at all tasks have in common.
struct Look {
    now: Instant,
    now_ms: u32,
}

/// Differences that would mean a minute less than 49 days come from a coarse clock that is late.
const BACKWARDS_MS: u32 = u32::MAX - 60_000;

impl Look {
    fn now() -> Look {
        let now = Instant::now();
        Look {
            now,
            now_ms: (now.as_nanos() / 1_000_000) as u32,
        }
    }

    fn at(&self, task: TaskRef) -> TaskInfo {
        let header = task.header();
        let state = state(task);
        let mut waits_for = Vec::new();
        let mut others_too = false;
        if state == TaskState::Waiting {
            others_too = self.add_what_is_waited_for(task, &mut waits_for);
        }
        let idle_ms = match self.now_ms.wrapping_sub(header.since_ms.get()) {
            BACKWARDS_MS.. => 0,
            idle_ms => idle_ms,
        };
        TaskInfo {
            id: header.id,
            name: header.with_extras(|extras| extras.name.clone().map(String::from)),
            parent: header.parent(),
            spawned_at: header.spawned_at,
            state,
            idle: Duration::from_millis(idle_ms.into()),
            polls: header.polls.get(),
            waits_for,
            others_too,
            awaited_by: awaited_by(task).into_iter().collect(),
            cancelling: cancelling(task),
        }
    }

    /// Returns whether there is more that is not known.
    fn add_what_is_waited_for(&self, task: TaskRef, waits_for: &mut Vec<WaitsFor>) -> bool {
        let waits = &task.header().waits;
        let Some(label) = waits.label() else {
            let mut awaited = waits.first_awaited();
            while let Some(task) = awaited {
                let header = task.header();
                waits_for.push(WaitsFor::Task { id: header.id });
                awaited = header.next_awaited.get();
            }
            return waits.has_more();
        };
        waits_for.extend(self.decode(label, task.header().id));
        label.is_one_of_many()
    }

    fn decode(&self, label: Label, whose: TaskId) -> Option<WaitsFor> {
        Some(match label.kind() {
            Kind::Timer => WaitsFor::Timer {
                left: label
                    .deadline()
                    .filter(|deadline| *deadline != Instant::FAR_FUTURE)
                    .map(|deadline| whole_micros(deadline - self.now)),
            },
            Kind::Readable => WaitsFor::Readable {
                descriptor: label.payload(),
            },
            Kind::Writable => WaitsFor::Writable {
                descriptor: label.payload(),
            },
            Kind::Join => WaitsFor::Task {
                id: whose.with_lower_bits(label.payload()),
            },
            Kind::Group => WaitsFor::Group {
                children: label.payload(),
            },
            Kind::Resource => {
                let info = resource::find(label)?;
                WaitsFor::Resource {
                    kind: info.kind,
                    name: info.name.map(|name| name.as_ref().to_owned()),
                    holder: info.holder,
                    key: label.payload(),
                }
            }
            Kind::Promise => WaitsFor::Promise,
            Kind::Blocking => WaitsFor::Blocking,
            Kind::Token => WaitsFor::Token,
            Kind::Cancelled => WaitsFor::Drop,
            _ => return None,
        })
    }
}

/// To the nearest: a label loses some nanoseconds of a deadline.
fn whole_micros(duration: Duration) -> Duration {
    Duration::from_micros((duration + Duration::from_nanos(500)).as_micros() as u64)
}

fn state(task: TaskRef) -> TaskState {
    let flags = task.header().flags.get();
    if flags.has(Flags::RUNNING) {
        TaskState::Running
    } else if flags.has(Flags::SCHEDULED) {
        TaskState::Ready
    } else {
        TaskState::Waiting
    }
}

/// The task that awaits this one's join handle. Whoever has polled the handle stays its joiner when it goes on to wait for
/// something else; so it must say that it waits, too.
fn awaited_by(task: TaskRef) -> Option<TaskId> {
    let header = task.header();
    let waiter = header.joiner.task()?;
    let waiter = waiter.header();
    let waits_for_it = header.flags.get().has(Flags::AWAITED)
        || waiter.waits.label().is_some_and(|label| {
            let is_for_it = label.kind() == Kind::Join
                && waiter.id.with_lower_bits(label.payload()) == header.id;
            is_for_it || label.is_one_of_many()
        });
    let is_unfinished_task = !waiter
        .flags
        .get()
        .has(Flags::COMPLETE.with(Flags::CALLBACK));
    (waits_for_it && is_unfinished_task).then_some(waiter.id)
}

fn cancelling(task: TaskRef) -> Option<Cancelling> {
    let header = task.header();
    let (flags, requests) = (header.flags.get(), header.cancels.get());
    let is_ending = flags.has(Flags::CANCEL.with(Flags::ABORT));
    if requests == 0 && !is_ending && header.scopes.get().is_none() {
        return None;
    }
    let mut awaited = std::iter::successors(header.waits.first_awaited(), |task| {
        task.header().next_awaited.get()
    });
    let in_tree = match header.scopes.get() {
        Some(_) => header.core.get().tree()?.delivery_in(task),
        None => None,
    };
    let (delivery, reason) = if is_ending {
        (Delivery::Ending, task.cancel_reason())
    } else if let Some(found) = in_tree {
        found
    } else if requests == 0 {
        return None;
    } else if awaited.any(|task| task.header().flags.get().has(Flags::FORWARDED)) {
        (Delivery::Forwarded, task.cancel_reason())
    } else {
        (Delivery::Caught, task.cancel_reason())
    };
    Some(Cancelling {
        requests,
        reason,
        delivery,
    })
}

/// What a task was doing, in words, when its loop was closed.
pub(crate) fn unfinished(task: TaskRef) -> String {
    let info = Look::now().at(task);
    let doing = match (info.polls, info.state) {
        (0, _) => "before it had run".to_owned(),
        (_, TaskState::Waiting) => format!("while it was waiting{}", info.what_for()),
        (_, _) => "while it was ready to go on".to_owned(),
    };
    format!("the event loop was closed {doing}")
}
