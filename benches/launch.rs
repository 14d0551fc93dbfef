//! `cargo bench --bench compare` at the root of the repository: starts the comparison.
//!
//! The comparison is a package of its own, in this directory, outside of the workspace: the peers
//! it is built with must not weigh on tulipa's own builds. Arguments are passed on.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/Cargo.toml");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // cargo says `--bench` to every benchmark, and will say it again.
    let args = env::args_os().skip(1).filter(|arg| arg != "--bench");
    let status = Command::new(cargo)
        .args(["bench", "--bench", "compare", "--manifest-path"])
        .arg(manifest)
        .arg("--")
        .args(args)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
