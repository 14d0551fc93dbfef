//! tulipa beside its peers: every case for every runtime, interleaved, as one table.
//!
//! `cargo bench --bench compare -- --help` lists the options, `README.md` says what the figures
//! mean and how far they can be trusted.
//!
//! # Code map
//! The one binary plays several parts; `cli` tells them apart.
//!
//! - The *comparison* (`rounds`) measures nothing itself. For each case and round it starts the
//!   binary again for each runtime (`child`), so that no runtime inherits another one's heap,
//!   thread-locals, rings or branch history, and hands the figures to `report`.
//! - A *child* runs one of the `cases` on one of the `runtimes` and prints one line of JSON.
//! - Cases of the network take two processes: the child is the load generator (in `net`), and starts
//!   the binary once more as the server under test (`net::server`).
//! - `instructions` and `syscalls` count what repeats: instructions under callgrind, system calls
//!   under strace.

#[cfg(target_os = "linux")]
mod cases;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
mod epoll;
#[cfg(target_os = "linux")]
mod instructions;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod net;
#[cfg(target_os = "linux")]
mod primitives;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod rounds;
#[cfg(target_os = "linux")]
mod runtimes;
#[cfg(target_os = "linux")]
mod stats;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod versions;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    cli::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the comparison runs on Linux only: its load generator and limits are epoll loops");
}
