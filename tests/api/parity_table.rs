//! `tests/PARITY.md` names tests: they must be there.

use std::collections::HashMap;
use std::path::Path;

const TABLE: &str = include_str!("../PARITY.md");

/// What a row without a test begins with.
const REASONS: [&str; 3] = ["By type", "Differs", "Not built"];

/// The file of a test that is named `module::test` or `crates/…/file.rs::test`.
fn file_of(module: &str) -> String {
    match module.strip_suffix(".rs") {
        Some(_) => module.to_owned(),
        None => format!("tests/api/{module}.rs"),
    }
}

#[test]
fn every_row_has_tests_that_exist_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources: HashMap<String, Option<String>> = HashMap::new();
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in TABLE.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [section, _, last] = cells[..] else {
            if !line.starts_with("|---") {
                wrong.push(format!("not three cells: {line}"));
            }
            continue;
        };
        if section == "§" {
            continue;
        }
        rows += 1;
        let named: Vec<_> = last
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|name| name.rsplit_once("::"))
            .collect();
        if named.is_empty() && !REASONS.iter().any(|reason| last.starts_with(reason)) {
            wrong.push(format!("neither a test nor a reason: {line}"));
        }
        for (module, test) in named {
            let file = file_of(module);
            let source = sources
                .entry(file.clone())
                .or_insert_with(|| std::fs::read_to_string(root.join(&file)).ok());
            match source {
                Some(source) if source.contains(&format!("fn {test}(")) => {}
                Some(_) => wrong.push(format!("{file} has no test {test}")),
                // The sources are not everywhere where tests run: in a package, or on another system.
                None if !root.join("tests/api/main.rs").exists() => {}
                None if file.starts_with("crates/") && !root.join("crates").exists() => {}
                None => wrong.push(format!("there is no {file}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows > 100, "the table was not read: {rows} rows");
}
