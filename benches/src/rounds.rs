//! The comparison: which child runs when.
//!
//! For each case, each round runs every contender once, one after the other. So a machine that
//! gets slower or faster meanwhile does so for all, and figures are compared round by round. The
//! order rotates, for nobody to be always the first after a pause.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cases::{self, Case, Scale};
use crate::child;
use crate::report::{CaseResult, Report};
use crate::runtimes::{self, RAW};

/// What was asked for on the command line.
pub(crate) struct Plan {
    /// Only the cases whose name contains this.
    pub(crate) filter: String,
    /// Only these contenders; if empty, all but those on request.
    pub(crate) runtimes: Vec<String>,
    pub(crate) rounds: Option<usize>,
    pub(crate) scale: Scale,
    pub(crate) json: Option<PathBuf>,
}

impl Plan {
    /// The contenders that were asked for, in the order of the columns.
    pub(crate) fn contenders(&self) -> Vec<&'static str> {
        let wanted = |name: &&str| {
            if self.runtimes.is_empty() {
                !runtimes::ON_REQUEST.contains(name)
            } else {
                self.runtimes.iter().any(|wanted| wanted == name)
            }
        };
        runtimes::ALL.into_iter().filter(wanted).collect()
    }

    fn cases(&self) -> Vec<&'static Case> {
        cases::all()
            .filter(|case| case.name.contains(&self.filter))
            .filter(|case| !case.full_only || self.scale == Scale::Full)
            .collect()
    }
}

/// Runs all cases and prints the table.
pub(crate) fn compare(plan: &Plan) -> ExitCode {
    let rounds = plan.rounds.unwrap_or(plan.scale.pick(5, 1)).max(1);
    let cases = plan.cases();
    if cases.is_empty() {
        eprintln!("no case matches {}", plan.filter);
        return ExitCode::from(2);
    }
    let (contenders, skipped) = present(plan.contenders());
    let mut report = Report::new(rounds, plan.scale, &contenders, skipped);
    for case in cases {
        report
            .cases
            .push(run_case(case, &contenders, rounds, plan.scale));
    }

    println!("{}", report.markdown());
    if let Some(path) = &plan.json
        && let Err(error) = std::fs::write(path, report.json())
    {
        eprintln!("cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if report.cases.iter().any(|case| !case.failures.is_empty()) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Tells the contenders that can run here from those that cannot, which come with the reason.
pub(crate) fn present(
    asked: Vec<&'static str>,
) -> (Vec<&'static str>, Vec<(&'static str, String)>) {
    let mut present = Vec::new();
    let mut skipped = Vec::new();
    for name in asked {
        match if name == RAW {
            Ok(())
        } else {
            child::run_probe(name)
        } {
            Ok(()) => present.push(name),
            Err(reason) => {
                eprintln!("{name}: skipped, it does not run here ({reason})");
                skipped.push((name, reason));
            }
        }
    }
    (present, skipped)
}

fn run_case(
    case: &'static Case,
    contenders: &[&'static str],
    rounds: usize,
    scale: Scale,
) -> CaseResult {
    let entrants: Vec<_> = contenders
        .iter()
        .copied()
        .filter(|name| case.is_for(name))
        .collect();
    let mut result = CaseResult::new(case);
    for round in 0..rounds {
        eprintln!("{} round {}/{rounds}", case.name, round + 1);
        for turn in 0..entrants.len() {
            let runtime = entrants[(turn + round) % entrants.len()];
            match child::run(case.name, runtime, scale) {
                Ok(figures) => result.add(round, runtime, figures),
                Err(error) => {
                    eprintln!("{} {runtime}: {error}", case.name);
                    result.failures.push((runtime, error));
                }
            }
        }
    }
    result
}
