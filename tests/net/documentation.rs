//! Do public functions of the network say what they must?

use std::fs;
use std::path::{Path, PathBuf};

/// All sources below a directory.
pub(crate) fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A public function: its documentation, and its head up to the body.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    documentation: String,
    head: String,
}

impl Function {
    /// Those of a source, also where macros make them.
    pub(crate) fn all(source: &str) -> Vec<Function> {
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        let mut all = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            let is_head = ["pub fn ", "pub async fn ", "pub const fn "]
                .iter()
                .find_map(|start| line.strip_prefix(start));
            let Some(name) = is_head else { continue };
            let end = name.find(|it: char| !it.is_alphanumeric() && it != '_');
            let is_documentation = |line: &&&str| {
                line.starts_with("///") || line.starts_with("#[") || line.starts_with(')')
            };
            let mut documentation: Vec<_> = lines[..place]
                .iter()
                .rev()
                .take_while(is_documentation)
                .copied()
                .collect();
            documentation.reverse();
            let end_of_head = lines[place..].iter().position(|it| it.contains('{'));
            let end_of_head = place + end_of_head.unwrap_or(0);
            all.push(Function {
                name: name[..end.unwrap_or(name.len())].to_owned(),
                documentation: documentation.join("\n"),
                head: lines[place..=end_of_head].join(" "),
            });
        }
        all
    }

    pub(crate) fn is_async(&self) -> bool {
        self.head.starts_with("pub async ") || self.head.contains("-> impl Future")
    }

    fn can_fail(&self) -> bool {
        let head = self.head.split(" where ").next().unwrap_or_default();
        let output = head.rsplit_once("->").map_or("", |it| it.1);
        output.contains("Result<")
    }

    fn has(&self, section: &str) -> bool {
        self.documentation.contains(section)
    }
}

pub(crate) fn crate_dir() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/net/src");
    dir.exists().then_some(dir) // Not in a package of the facade alone.
}

#[test]
fn functions_say_how_they_fail_and_what_a_dropped_call_loses() {
    let Some(dir) = crate_dir() else { return };
    let mut paths = Vec::new();
    sources(&dir, &mut paths);
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in paths {
        for function in Function::all(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            let mut miss = |section| {
                if !function.has(section) {
                    wrong.push(format!("{path:?}: {} has no '{section}'", function.name));
                }
            };
            if function.is_async() {
                miss("# Cancel safety");
            }
            if function.can_fail() {
                miss("# Errors");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 300, "{seen}");
}
