//! The surroundings of one task: what it awaits, and who awaits it.

use std::fmt;

use tulipa_base::TaskId;

use crate::core;
use crate::dump::info::from_fn;
use crate::dump::{Dump, TaskInfo, WaitsFor};
use crate::task::Task;

/// A task with the tasks it awaits, directly and through others, and those that await it. See [`call_graph`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CallGraph {
    /// The task itself.
    pub task: TaskInfo,
    /// What it awaits: each task is followed by those that it awaits itself, a level further in.
    pub awaits: Vec<CallGraphTask>,
    /// Who awaits it: each task is followed by those that await it in turn, a level further in.
    pub awaited_by: Vec<CallGraphTask>,
}

/// A task in a [`CallGraph`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CallGraphTask {
    /// How far it is from the task that the graph is about, at least 1.
    pub distance: usize,
    /// The task.
    pub task: TaskInfo,
    /// Whether it stands in the graph already: it waits in a circle, or several wait for it. What follows it is not told
    /// again.
    pub is_repeated: bool,
}

/// Looks at what a task of this thread's loop awaits, and at who awaits it. `None` if it has ended.
///
/// Tasks await one another through join handles, and through what they hold: whoever waits for a lock waits
/// for its holder. It looks at all tasks, as [`dump`](crate::dump::dump) does; [`Dump::call_graph`] takes the graph from a dump that
/// is there.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// async fn why_does_it_hang(task: &tulipa::task::Task) {
///     if let Some(graph) = tulipa::dump::call_graph(task) {
///         println!("{graph}");
///     }
/// }
/// ```
///
/// ```text
/// 7 'merge', waiting 1.2s for task 8, awaited by 5, polls 1, spawned at src/main.rs:21:9
/// awaits:
///    8 'fetch', waiting 1.2s for readable fd 11, awaited by 7, polls 4, spawned at src/main.rs:33:9
/// awaited by:
///    5 'request', waiting 1.2s for task 7, awaited by 1, polls 2, spawned at src/main.rs:18:9
///       1 'main', running, polls 9, spawned at src/main.rs:11:5
/// ```
#[doc(alias = "capture_call_graph")]
#[doc(alias = "format_call_graph")]
#[doc(alias = "print_call_graph")]
pub fn call_graph(task: &Task) -> Option<CallGraph> {
    core::with_current(|core| core?.dump().call_graph(task.id()))
}

impl Dump {
    /// What a task awaits, and who awaits it; `None` if it is not in this dump.
    pub fn call_graph(&self, id: TaskId) -> Option<CallGraph> {
        let task = self.position(id)?;
        Some(CallGraph {
            task: self.tasks[task].clone(),
            awaits: self.links_from(task, TaskInfo::awaits),
            awaited_by: self.links_from(task, |task| task.awaited_by.clone()),
        })
    }

    fn links_from(
        &self,
        start: usize,
        next: impl Fn(&TaskInfo) -> Vec<TaskId>,
    ) -> Vec<CallGraphTask> {
        let mut links = Vec::new();
        let mut is_seen = vec![false; self.tasks.len()];
        is_seen[start] = true;
        let mut left = Vec::new();
        let push = |left: &mut Vec<_>, position: usize, distance| {
            let ids = next(&self.tasks[position]);
            let positions = ids.iter().rev().filter_map(|id| self.position(*id));
            left.extend(positions.map(|position| (position, distance)));
        };
        push(&mut left, start, 1);
        while let Some((position, distance)) = left.pop() {
            let is_repeated = std::mem::replace(&mut is_seen[position], true);
            links.push(CallGraphTask {
                distance,
                task: self.tasks[position].clone(),
                is_repeated,
            });
            if !is_repeated {
                push(&mut left, position, distance + 1);
            }
        }
        links
    }
}

impl TaskInfo {
    /// The tasks that it waits for.
    fn awaits(&self) -> Vec<TaskId> {
        let id = |what: &WaitsFor| match what {
            WaitsFor::Task { id } => Some(*id),
            WaitsFor::Resource { holder, .. } => *holder,
            _ => None,
        };
        self.waits_for.iter().filter_map(id).collect()
    }
}

impl fmt::Display for CallGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.task)?;
        let parts = [("awaits", &self.awaits), ("awaited by", &self.awaited_by)];
        for (title, links) in parts {
            if !links.is_empty() {
                write!(f, "\n{title}:{}", lines(links))?;
            }
        }
        Ok(())
    }
}

/// Levels that are indented: see the text of a dump.
const DEPTH: usize = 32;

fn lines(links: &[CallGraphTask]) -> impl fmt::Display {
    from_fn(move |f| {
        for link in links {
            let indent = 3 * link.distance.min(DEPTH);
            write!(f, "\n{:indent$}", "")?;
            if link.is_repeated {
                write!(f, "{}, see above", link.task.title())?;
            } else {
                write!(f, "{}", link.task)?;
            }
        }
        Ok(())
    })
}
