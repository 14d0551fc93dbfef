//! Scenarios for `ci/faults`, which plays each of them while system calls fail.
//!
//! Each is a process of its own, `faults --play NAME`, that moves bytes, compares every one of them, and says in one
//! line what came of it. Faults must not change that line, or must turn it into an error that names what failed.
//! Where the faults are to begin, and what came of it, is told by two system calls that a trace shows: `access` to
//! paths that do not exist ([`BEGIN`], [`END`]). Unlike a line on standard output they cannot fail differently.
//!
//! Without `--play` this is a test as the others: every scenario is played in a process, without faults, on the reactor
//! that `TULIPA_REACTOR` names.

#[cfg(target_os = "linux")]
mod bytes;
#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod loops;
#[cfg(target_os = "linux")]
mod streams;
#[cfg(target_os = "linux")]
mod tcp;
#[cfg(target_os = "linux")]
mod udp;
#[cfg(target_os = "linux")]
mod unix;

/// Where the faults are to begin.
#[cfg(target_os = "linux")]
const BEGIN: &str = "/tulipa-faults/begin";
/// Where they are to end; what came of the scenario follows.
#[cfg(target_os = "linux")]
const END: &str = "/tulipa-faults/end/";

/// A scenario, told apart by its name.
#[cfg(target_os = "linux")]
type Scenario = (&'static str, fn() -> std::io::Result<String>);

#[cfg(target_os = "linux")]
const SCENARIOS: &[Scenario] = &[
    ("tcp_ping_pong", tcp::ping_pong),
    ("tcp_transfer", tcp::transfer),
    ("tcp_two_processes", tcp::two_processes),
    ("tcp_accept", tcp::accept),
    ("tcp_by_name", tcp::by_name),
    ("tcp_server", tcp::server),
    ("tcp_raw_sockets", tcp::raw_sockets),
    ("tcp_stream_writer", tcp::stream_writer),
    ("udp_echo", udp::echo),
    ("udp_batches", udp::batches),
    ("unix_stream", unix::stream),
    ("unix_datagram", unix::datagram),
    ("unix_descriptors", unix::descriptors),
    ("pipes", streams::pipes),
    ("copy_splice", streams::copy_splice),
    ("send_file", streams::send_a_file),
    ("async_fd", streams::async_fd),
    ("stdio", streams::stdio),
    ("loop_start", loops::start),
    ("loop_timers", loops::timers),
    ("loop_threads", loops::threads),
];

fn main() {
    #[cfg(target_os = "linux")]
    harness::main();
}
