//! What is told of a task.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use tulipa_base::TaskId;

use crate::cancel::{CancelReason, Delivery};
#[cfg(feature = "serde")]
use crate::dump::serialize;

/// A task, as it was when the dump was taken.
///
/// It prints as the task's line in the text of a [`Dump`](crate::dump::Dump).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// The task that has spawned it, which may have ended; `None` if the loop, or code outside of tasks, has.
    pub parent: Option<TaskId>,
    /// Where it was spawned.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::as_text"))]
    pub spawned_at: &'static Location<'static>,
    /// Whether it runs, could run, or waits.
    pub state: TaskState,
    /// The time since its last poll was over, or since it was spawned: how long it has been waiting. On the loop's coarse
    /// clock, which is looked at when the loop looks outside: some milliseconds more or less. Wraps after 49 days.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::as_seconds"))]
    pub idle: Duration,
    /// How often it was polled; wraps after four billion.
    pub polls: u32,
    /// What it waits for, as far as is known; empty unless it is waiting.
    pub waits_for: Vec<WaitsFor>,
    /// Whether it waits for other things too.
    pub others_too: bool,
    /// The tasks that wait for it, or for something it holds.
    pub awaited_by: Vec<TaskId>,
    /// That it, or a part of it, was asked to end.
    pub cancelling: Option<Cancelling>,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum TaskState {
    /// Its code is on the stack.
    Running,
    /// It was woken, or has not begun, and runs when its turn comes.
    Ready,
    /// It waits to be woken.
    Waiting,
}

/// Something that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "type", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A deadline.
    Timer {
        /// The time left until then, zero if it has passed; `None` for one that never comes.
        #[cfg_attr(
            feature = "serde",
            serde(serialize_with = "serialize::as_seconds_if_any")
        )]
        left: Option<Duration>,
    },
    /// A descriptor, or a socket on Windows, becoming readable.
    Readable {
        /// Its number.
        descriptor: u64,
    },
    /// A descriptor, or a socket on Windows, becoming writable.
    Writable {
        /// Its number.
        descriptor: u64,
    },
    /// The end of a task.
    Task {
        /// Its id.
        id: TaskId,
    },
    /// The children of a group, or the members of a set or a list.
    Group {
        /// How many are left.
        children: u64,
    },
    /// A lock, a queue, or some other primitive.
    Resource {
        /// What it is, such as `"Lock"`.
        kind: &'static str,
        /// The name it was given.
        name: Option<String>,
        /// The task that holds it, if it is one that can be held by one.
        holder: Option<TaskId>,
        /// Tells it from others: the same for all who wait for it.
        key: u64,
    },
    /// A value that someone sets.
    Promise,
    /// Work on another thread, or a task there.
    Blocking,
    /// The trigger of a [`CancelToken`](crate::cancel::CancelToken).
    Token,
    /// To be dropped, by whoever has asked it to end.
    Drop,
}

/// A request to end that a task, or a part of it, is under.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Cancelling {
    /// Requests to the task that were not taken back; zero if only a part of it, such as a timeout, is to end.
    pub requests: u32,
    /// Why.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::as_text"))]
    pub reason: CancelReason,
    /// How far the request has come.
    pub delivery: Delivery,
}

impl TaskInfo {
    /// The one thing the task waits for: `None` if there are several, or it is not known.
    pub fn waits_only_for(&self) -> Option<&WaitsFor> {
        match &self.waits_for[..] {
            [only] if !self.others_too => Some(only),
            _ => None,
        }
    }

    /// Its id and its name.
    pub(crate) fn title(&self) -> impl fmt::Display {
        from_fn(|f| {
            write!(f, "{}", self.id)?;
            match &self.name {
                Some(name) => write!(f, " '{name}'"),
                None => Ok(()),
            }
        })
    }

    /// What it waits for, after the word 'waiting'.
    pub(crate) fn what_for(&self) -> impl fmt::Display {
        from_fn(|f| {
            let mut and = " for ";
            for what in &self.waits_for {
                write!(f, "{and}{what}")?;
                and = ", ";
            }
            match (self.waits_for.is_empty(), self.others_too) {
                (false, true) => f.write_str(" and more"),
                _ => Ok(()),
            }
        })
    }

    /// The task's line, with what is to be said of its parent.
    pub(crate) fn line(&self, parent: ParentNote) -> impl fmt::Display {
        from_fn(move |f| {
            write!(f, "{}, ", self.title())?;
            match self.state {
                TaskState::Running => f.write_str("running")?,
                TaskState::Ready => f.write_str("ready")?,
                TaskState::Waiting => write!(f, "waiting {:?}{}", self.idle, self.what_for())?,
            }
            if let Some(cancelling) = &self.cancelling {
                write!(f, ", {cancelling}")?;
            }
            if let Some(id) = self.parent {
                match parent {
                    ParentNote::None => {}
                    ParentNote::Ended => write!(f, ", child of {id} (ended)")?,
                    ParentNote::Elsewhere => write!(f, ", child of {id}")?,
                }
            }
            let mut and = ", awaited by ";
            for id in &self.awaited_by {
                write!(f, "{and}{id}")?;
                and = " and ";
            }
            write!(f, ", polls {}, spawned at {}", self.polls, self.spawned_at)
        })
    }
}

/// What a task's line says of its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParentNote {
    /// Nothing: it is the line above that is one level further out, or the loop.
    None,
    /// It has ended.
    Ended,
    /// Its id: the indentation does not tell.
    Elsewhere,
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line(ParentNote::Elsewhere).fmt(f)
    }
}

/// What `f` writes. (`std::fmt::from_fn`, until the oldest supported Rust has it: 1.93.)
pub(crate) fn from_fn<F>(f: F) -> impl fmt::Display
where
    F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result,
{
    struct FromFn<F>(F);
    impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for FromFn<F> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (self.0)(f)
        }
    }
    FromFn(f)
}

const DESCRIPTOR: &str = if cfg!(windows) { "socket" } else { "fd" };

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Timer { left: None } => f.write_str("a timer that never fires"),
            WaitsFor::Timer { left: Some(left) } => write!(f, "a timer in {left:?}"),
            WaitsFor::Readable { descriptor } => write!(f, "readable {DESCRIPTOR} {descriptor}"),
            WaitsFor::Writable { descriptor } => write!(f, "writable {DESCRIPTOR} {descriptor}"),
            WaitsFor::Task { id } => write!(f, "task {id}"),
            WaitsFor::Group { children: 1 } => f.write_str("1 child"),
            WaitsFor::Group { children } => write!(f, "{children} children"),
            WaitsFor::Resource {
                kind, name, holder, ..
            } => {
                f.write_str(kind)?;
                if let Some(name) = name {
                    write!(f, " '{name}'")?;
                }
                match holder {
                    Some(holder) => write!(f, " held by task {holder}"),
                    None => Ok(()),
                }
            }
            WaitsFor::Promise => f.write_str("a promise"),
            WaitsFor::Blocking => f.write_str("work on another thread"),
            WaitsFor::Token => f.write_str("a cancel token"),
            WaitsFor::Drop => f.write_str("its end"),
        }
    }
}

impl fmt::Display for Cancelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delivery = match self.delivery {
            Delivery::Caught => "caught",
            Delivery::Shielded => "kept off by a shield",
            Delivery::Forwarded => "handed on to a task it awaits",
            Delivery::CleaningUp => "clean-up is running",
            Delivery::OnItsWay => "about to be delivered",
            Delivery::Ending => "about to be dropped",
        };
        write!(f, "cancelling ({}: {delivery})", self.reason)
    }
}
