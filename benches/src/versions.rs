//! Which versions of the contenders this binary was built with.

const LOCK: &str = include_str!("../Cargo.lock");

/// The packages to name, in the order of the table's columns, and those that the primitives are from.
const PACKAGES: [&str; 10] = [
    "tulipa",
    "tokio",
    "smol",
    "compio",
    "monoio",
    "glommio",
    "async-lock",
    "async-channel",
    "local-sync",
    "unsync",
];

/// `tokio 1.54.1, smol 2.0.2, …`, as `Cargo.lock` has them.
pub(crate) fn contenders() -> String {
    let versions = PACKAGES
        .iter()
        .filter_map(|package| Some((package, version(package)?)));
    versions
        .map(|(package, version)| format!("{package} {version}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn version(package: &str) -> Option<&'static str> {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let start = LOCK.find(&entry)? + entry.len();
    LOCK[start..].split('"').next()
}
