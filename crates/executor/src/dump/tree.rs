//! The text of a dump: a line a task, indented under the task that has spawned it. [`dump`](crate::dump::dump) shows the
//! format.
//!
//! Nothing recurses, for programs may spawn in chains as deep as they like, and no line gets longer than [`DEPTH`] allows, or
//! such a chain would print the square of its length.

use std::fmt;

use crate::dump::info::ParentNote;
use crate::dump::{Dump, TaskInfo, TaskState};

/// Levels that are indented. What is further in stands on the last, and names its parent.
const DEPTH: usize = 32;

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_summary(f)?;
        let family = Family::of(self);
        // Whether there are younger siblings, for each level of the line to come.
        let mut has_more = Vec::new();
        let mut next = family.oldest_orphan;
        while let Some(position) = next {
            let node = &family.nodes[position];
            has_more.push(node.younger_sibling.is_some());
            f.write_str("\n")?;
            fmt_indentation(&has_more, f)?;
            let note = match self.tasks[position].parent {
                Some(id) if self.position(id).is_none() => ParentNote::Ended,
                _ if has_more.len() > DEPTH => ParentNote::Elsewhere,
                _ => ParentNote::None,
            };
            write!(f, "{}", self.tasks[position].line(note))?;
            next = family.after(position, &mut has_more);
        }
        self.fmt_cycles(f)
    }
}

impl Dump {
    fn fmt_summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |state| {
            let tasks = self.tasks.iter();
            tasks.filter(|task: &&TaskInfo| task.state == state).count()
        };
        let plural = if self.tasks.len() == 1 { "" } else { "s" };
        write!(f, "loop: {} task{plural}", self.tasks.len())?;
        let states = [
            (TaskState::Running, "running"),
            (TaskState::Ready, "ready"),
            (TaskState::Waiting, "waiting"),
        ];
        for (state, name) in states {
            match count(state) {
                0 => {}
                number => write!(f, ", {number} {name}")?,
            }
        }
        Ok(())
    }

    fn fmt_cycles(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cycle in self.cycles() {
            let mut before = "\ndeadlock: ";
            for task in cycle.iter().filter_map(|id| self.task(*id)) {
                write!(f, "{before}task {} waits{}", task.title(), task.what_for())?;
                before = "; ";
            }
        }
        Ok(())
    }
}

fn fmt_indentation(has_more: &[bool], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some((last, outer)) = has_more[..has_more.len().min(DEPTH)].split_last() else {
        return Ok(());
    };
    for has_more in outer {
        f.write_str(if *has_more { "│  " } else { "   " })?;
    }
    f.write_str(if *last { "├─ " } else { "└─ " })
}

/// Who has spawned whom, by positions in the dump.
struct Family {
    nodes: Vec<Node>,
    /// The oldest of those that the loop has spawned, or whose parents have ended.
    oldest_orphan: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    parent: Option<usize>,
    oldest_child: Option<usize>,
    younger_sibling: Option<usize>,
}

impl Family {
    fn of(dump: &Dump) -> Family {
        let mut family = Family {
            nodes: vec![Node::default(); dump.tasks.len()],
            oldest_orphan: None,
        };
        // The youngest first, so that each list ends up with the oldest in front.
        for (position, task) in dump.tasks.iter().enumerate().rev() {
            let parent = task.parent.and_then(|id| dump.position(id));
            let list = match parent {
                Some(parent) => &mut family.nodes[parent].oldest_child,
                None => &mut family.oldest_orphan,
            };
            let younger_sibling = list.replace(position);
            let node = &mut family.nodes[position];
            node.parent = parent;
            node.younger_sibling = younger_sibling;
        }
        family
    }

    /// The next in the order of the text, and on which levels there are more: parents before children, the
    /// older before the younger. The last level of `has_more` is that of `position`, and is taken away if it is done.
    fn after(&self, position: usize, has_more: &mut Vec<bool>) -> Option<usize> {
        if let Some(child) = self.nodes[position].oldest_child {
            return Some(child);
        }
        let mut position = position;
        loop {
            has_more.pop();
            let node = &self.nodes[position];
            if node.younger_sibling.is_some() {
                return node.younger_sibling;
            }
            position = node.parent?;
        }
    }
}
