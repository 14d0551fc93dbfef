//! What comes out: the table for people, and the JSON for programs.
//!
//! # How figures become one
//! Each round gives one figure for each contender. A cell shows the median of the rounds and their
//! range. A ratio is taken within each round, and the median of these is shown: rounds that the
//! machine spent doing something else then cancel out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use serde::Serialize;

use crate::cases::{Better, Case, Figure, Scale};
use crate::runtimes::{TULIPA, is_peer};
use crate::{stats, versions};

/// All results of a run.
pub(crate) struct Report {
    rounds: usize,
    scale: Scale,
    contenders: Vec<&'static str>,
    skipped: Vec<(&'static str, String)>,
    machine: String,
    pub(crate) cases: Vec<CaseResult>,
}

/// The results of one case.
pub(crate) struct CaseResult {
    case: &'static Case,
    /// For each contender the figures of each round that it finished.
    runs: BTreeMap<&'static str, BTreeMap<usize, Vec<f64>>>,
    pub(crate) failures: Vec<(&'static str, String)>,
}

impl CaseResult {
    pub(crate) fn new(case: &'static Case) -> Self {
        Self {
            case,
            runs: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, round: usize, runtime: &'static str, figures: Vec<f64>) {
        assert_eq!(
            figures.len(),
            self.case.figures.len(),
            "figures of {}",
            self.case.name
        );
        self.runs.entry(runtime).or_default().insert(round, figures);
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.case
            .figures
            .iter()
            .enumerate()
            .map(|(index, figure)| Row {
                result: self,
                figure,
                index,
            })
    }
}

/// One figure of one case, for all contenders.
struct Row<'a> {
    result: &'a CaseResult,
    figure: &'static Figure,
    index: usize,
}

impl Row<'_> {
    /// The figures of `runtime`, one for each round that it finished.
    fn values(&self, runtime: &str) -> Vec<f64> {
        let rounds = self
            .result
            .runs
            .get(runtime)
            .into_iter()
            .flat_map(BTreeMap::values);
        rounds.map(|figures| figures[self.index]).collect()
    }

    fn median(&self, runtime: &str) -> Option<f64> {
        let values = self.values(runtime);
        (!values.is_empty()).then(|| stats::median(&values))
    }

    /// How many times better tulipa is than `peer`: the median of the ratios within the rounds.
    fn advantage_over(&self, peer: &str) -> Option<f64> {
        let ours = self.result.runs.get(TULIPA)?;
        let theirs = self.result.runs.get(peer)?;
        let ratios: Vec<f64> = ours
            .iter()
            .filter_map(|(round, ours)| Some((ours[self.index], theirs.get(round)?[self.index])))
            .map(|(ours, theirs)| match self.figure.better {
                Better::Lower => theirs / ours,
                Better::Higher => ours / theirs,
            })
            .filter(|ratio| ratio.is_finite())
            .collect();
        (!ratios.is_empty()).then(|| stats::median(&ratios))
    }

    /// The best of those that tulipa is compared with.
    fn best_peer(&self, among: &[&'static str]) -> Option<&'static str> {
        let eligible = |name: &&&str| is_peer(name) && self.result.case.caveat(name).is_none();
        let medians = among.iter().filter(eligible).filter_map(|name| {
            let median = self.median(name)?;
            Some((
                *name,
                if self.figure.better == Better::Lower {
                    median
                } else {
                    -median
                },
            ))
        });
        medians
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(name, _)| name)
    }

    fn cell(&self, runtime: &str, best: Option<&str>) -> String {
        let values = self.values(runtime);
        if values.is_empty() {
            let failed = self
                .result
                .failures
                .iter()
                .any(|(name, _)| *name == runtime);
            return if failed { "failed" } else { "–" }.to_owned();
        }
        let (low, high) = stats::range(&values);
        let mut cell = short(stats::median(&values));
        if best == Some(runtime) {
            cell = format!("**{cell}**");
        }
        if self.result.case.caveat(runtime).is_some() {
            cell.push_str(" †");
        }
        if values.len() > 1 {
            let _ = write!(cell, " ({}–{})", short(low), short(high)); // A `String` takes it all.
        }
        cell
    }

    fn name(&self) -> String {
        match self.figure.name {
            "" => self.result.case.name.to_owned(),
            name => format!("{}: {name}", self.result.case.name),
        }
    }
}

/// tokio's forms; against tokio means against the better one.
const TOKIO: [&str; 2] = ["tokio-localset", "tokio-local"];

impl Report {
    pub(crate) fn new(
        rounds: usize,
        scale: Scale,
        contenders: &[&'static str],
        skipped: Vec<(&'static str, String)>,
    ) -> Self {
        let contenders = contenders.to_vec();
        Self {
            rounds,
            scale,
            contenders,
            skipped,
            machine: machine(),
            cases: Vec::new(),
        }
    }

    /// The table.
    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec![
            format!("{}.", versions::contenders()),
            format!("{}. Rounds: {}.", self.machine, self.rounds),
        ];
        if self.scale == Scale::Quick {
            lines.push("A quick run: the figures are not worth quoting.".to_owned());
        }
        lines.push(
            "Cells: median of the rounds (lowest–highest); **bold**: the best peer. Ratios: \
             median of the ratios within the rounds, above 1 where tulipa is better."
                .to_owned(),
        );
        lines.push(String::new());

        let columns = self.contenders.join(" | ");
        lines.push(format!(
            "| case | unit | {columns} | best peer ÷ tulipa | tokio ÷ tulipa |"
        ));
        let ruler = "---:|".repeat(self.contenders.len());
        lines.push(format!("|---|---|{ruler}---:|---:|"));
        for row in self.cases.iter().flat_map(CaseResult::rows) {
            let best = row.best_peer(&self.contenders);
            let cells: Vec<_> = self
                .contenders
                .iter()
                .map(|name| row.cell(name, best))
                .collect();
            let ratio = |peer: Option<&str>| match peer.and_then(|peer| row.advantage_over(peer)) {
                Some(ratio) => short(ratio),
                None => "–".to_owned(),
            };
            lines.push(format!(
                "| {} | {} | {} | {} | {} |",
                row.name(),
                row.figure.unit,
                cells.join(" | "),
                ratio(best),
                ratio(row.best_peer(&TOKIO)),
            ));
        }
        lines.push(String::new());
        lines.extend(self.notes());
        lines.join("\n")
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for result in &self.cases {
            for name in &self.contenders {
                if let Some(caveat) = result.case.caveat(name) {
                    notes.push(format!("† {}, {name}: {caveat}.", result.case.name));
                }
            }
            for (name, error) in &result.failures {
                notes.push(format!("Failed: {}, {name}: {error}.", result.case.name));
            }
        }
        for (name, reason) in &self.skipped {
            notes.push(format!("Skipped: {name} does not run here ({reason})."));
        }
        notes
    }

    /// The same as JSON, with the figures of every round.
    pub(crate) fn json(&self) -> String {
        let rows = self.cases.iter().flat_map(CaseResult::rows).map(|row| {
            let best = row.best_peer(&self.contenders);
            JsonRow {
                case: row.result.case.name,
                figure: row.figure.name,
                unit: row.figure.unit,
                better: match row.figure.better {
                    Better::Lower => "lower",
                    Better::Higher => "higher",
                },
                values: self
                    .contenders
                    .iter()
                    .map(|name| (*name, row.values(name)))
                    .collect(),
                medians: self
                    .contenders
                    .iter()
                    .map(|name| (*name, row.median(name)))
                    .collect(),
                best_peer: best,
                best_peer_over_tulipa: best.and_then(|peer| row.advantage_over(peer)),
                tokio_over_tulipa: row
                    .best_peer(&TOKIO)
                    .and_then(|tokio| row.advantage_over(tokio)),
            }
        });
        let report = JsonReport {
            versions: versions::contenders(),
            machine: &self.machine,
            rounds: self.rounds,
            quick: self.scale == Scale::Quick,
            rows: rows.collect(),
            notes: self.notes(),
        };
        serde_json::to_string_pretty(&report).expect("figures are finite numbers") + "\n"
    }
}

#[derive(Serialize)]
struct JsonReport<'a> {
    versions: String,
    machine: &'a str,
    rounds: usize,
    quick: bool,
    rows: Vec<JsonRow>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct JsonRow {
    case: &'static str,
    figure: &'static str,
    unit: &'static str,
    better: &'static str,
    values: BTreeMap<&'static str, Vec<f64>>,
    medians: BTreeMap<&'static str, Option<f64>>,
    best_peer: Option<&'static str>,
    best_peer_over_tulipa: Option<f64>,
    tokio_over_tulipa: Option<f64>,
}

/// Three significant digits, for a reader.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100_000.0 => format!("{:.0}k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What the figures depend on beside the code: the kernel, the CPUs, and how busy they were.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpus = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let load = read("/proc/loadavg");
    format!(
        "Linux {}, {cpus} × {}, load average {} at the start",
        kernel.trim(),
        model.map_or("CPU", |(_, name)| name),
        load.split(' ').next().unwrap_or("unknown"),
    )
}
