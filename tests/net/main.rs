//! Integration tests of the network over the public API, run on the reactor that `TULIPA_REACTOR` names.
//!
//! One module a concept; the names of tests say the behaviour. Codes such as TC04 name the scenario that a
//! test plays, § numbers are sections of the specification that the project is built to.

#![allow(
    clippy::async_yields_async,
    reason = "handles that outlive the code which made them are what is tested"
)]

#[cfg(unix)]
mod async_fd;
mod cancel_safety;
mod connect;
mod cut_short;
mod documentation;
mod give_up;
mod io;
mod multicore;
mod names;
#[cfg(unix)]
mod passed_sockets;
#[cfg(unix)]
mod pipe;
#[cfg(target_os = "linux")]
mod server_limits;
mod servers;
#[cfg(unix)]
mod sock;
mod start_server;
mod tcp_socket;
#[cfg(unix)]
mod temp_dir;
mod udp;
mod udp_builder;
#[cfg(unix)]
mod unix_datagrams;
#[cfg(unix)]
mod unix_descriptors;
#[cfg(unix)]
mod unix_files;
#[cfg(target_os = "linux")]
mod unix_limits;
#[cfg(unix)]
mod unix_streams;
