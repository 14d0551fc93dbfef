//! The cases: what is measured, in what unit, and how one child measures it once.

mod callbacks;
mod cancel;
mod context;
mod crossing;
mod groups;
mod memory;
pub(crate) mod operation;
mod proxy;
mod remote;
mod sync;
mod tasks;
pub(crate) mod tcp;
mod threads;
mod timers;
mod udp;

use crate::runtimes::{RAW, Runtime, Visitor, is_ours};
use operation::{Operation, Timed};

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

impl Figure {
    pub(super) const fn lower(name: &'static str, unit: &'static str) -> Self {
        Self {
            name,
            unit,
            better: Better::Lower,
        }
    }

    pub(super) const fn higher(name: &'static str, unit: &'static str) -> Self {
        Self {
            name,
            unit,
            better: Better::Higher,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// How much work a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    /// Enough to see that everything runs; the figures are not worth quoting.
    Quick,
}

impl Scale {
    /// `full`, or `quick`.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Quick => quick,
        }
    }
}

/// The figures of one run, in the order of [`Case::figures`].
pub(crate) type Measured = Result<Vec<f64>, String>;

/// Something to measure.
pub(crate) struct Case {
    /// Group and case, as `--filter` matches them.
    pub(crate) name: &'static str,
    pub(crate) figures: &'static [Figure],
    pub(crate) entrants: Entrants,
    /// Whether `--quick` leaves it out.
    pub(crate) full_only: bool,
    /// Measures the contender of that name once, in this process.
    pub(crate) measure: fn(&str, Scale) -> Measured,
}

/// Which contenders a case is for. The others are shown as '–'.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entrants {
    /// Every runtime.
    Runtimes,
    /// Every runtime, and the limit without any.
    RuntimesAndRaw,
    /// Ours alone: nothing in the peers does the same.
    Ours,
    /// Ours, and those of the peers that have an equivalent.
    OursAnd(&'static [&'static str]),
}

impl Case {
    /// Whether the contender `name` takes part.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        match self.entrants {
            Entrants::Runtimes => name != RAW,
            Entrants::RuntimesAndRaw => true,
            Entrants::Ours => is_ours(name),
            Entrants::OursAnd(peers) => is_ours(name) || peers.contains(&name),
        }
    }

    /// Why the figure of `runtime` does not count as a peer's, if it does not.
    pub(crate) fn caveat(&self, runtime: &str) -> Option<&'static str> {
        match (self.name, runtime) {
            ("tasks/yield 1000 tasks", "monoio" | "monoio-legacy") => Some(
                "monoio puts a task that wakes itself at the front of its queue: nobody else runs",
            ),
            (
                "sync/semaphore of 10, 100 tasks" | "sync/semaphore of 10, 100 tasks, own yield",
                "monoio" | "monoio-legacy",
            ) => Some(
                "monoio puts a task that wakes itself at the front of its queue: nobody else runs, and nobody waits",
            ),
            _ => None,
        }
    }
}

/// Every case, in the order of the table.
pub(crate) const ALL: &[&[Case]] = &[
    tasks::CASES,
    cancel::CASES,
    groups::CASES,
    callbacks::CASES,
    context::CASES,
    sync::CASES,
    memory::CASES,
    timers::CASES,
    remote::CASES,
    crossing::CASES,
    tcp::CASES,
    udp::CASES,
    proxy::CASES,
    threads::CASES,
];

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    ALL.iter().copied().flatten()
}

pub(crate) fn find(name: &str) -> Option<&'static Case> {
    all().find(|case| case.name == name)
}

/// What to do with an [`Operation`] that was named on the command line.
pub(crate) trait OperationVisitor {
    type Output;

    fn visit<O: Operation>(self) -> Self::Output;
}

/// Hands the operation called `name` to `visitor`; `None` if there is no such operation.
pub(crate) fn visit_operation<V: OperationVisitor>(name: &str, visitor: V) -> Option<V::Output> {
    tasks::visit(name, visitor)
        .or_else(|visitor| cancel::visit(name, visitor))
        .or_else(|visitor| groups::visit(name, visitor))
        .or_else(|visitor| callbacks::visit(name, visitor))
        .or_else(|visitor| context::visit(name, visitor))
        .or_else(|visitor| sync::visit(name, visitor))
        .or_else(|visitor| timers::visit(name, visitor))
        .ok()
}

/// The cases that are operations of [`visit_operation`].
pub(crate) fn operations() -> impl Iterator<Item = &'static Case> {
    struct IsOperation;
    impl OperationVisitor for IsOperation {
        type Output = ();
        fn visit<O: Operation>(self) {}
    }
    all().filter(|case| visit_operation(case.name, IsOperation).is_some())
}

/// Measures the operation `O`: the only figure is nanoseconds per operation.
fn time_operation<O: Operation>(runtime: &str, scale: Scale) -> Measured {
    on(runtime, Timed::<O>::new(scale)).map(|ns| vec![ns])
}

/// Hands the runtime to `visitor`.
fn on<V: Visitor>(runtime: &str, visitor: V) -> Result<V::Output, String> {
    crate::runtimes::visit(runtime, visitor)
        .ok_or_else(|| format!("no runtime is called {runtime}"))
}

/// Runs the future as a task and waits for it, as the bulk of a program's code runs in tasks: some
/// runtimes treat the future that they block on in a way of its own.
fn run_as_task<R: Runtime, F>(future: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    R::run(async { R::spawn(future).await })
}
