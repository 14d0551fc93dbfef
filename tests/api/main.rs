//! Integration tests over the public API. They run on the reactor that `TULIPA_REACTOR` names, so the
//! whole suite is run once for each.
//!
//! One module a concept; the names of tests say the behaviour. Codes such as TK04 name the scenario
//! that a test plays.

mod support;

mod auto_traits;
mod cancel;
mod cancel_edges;
mod cancel_model;
mod context;
mod groups;
mod loop_order;
mod misuse;
mod remote_wakers;
mod runner;
mod scopes;
mod task_model;
mod tasks;
mod tcp;
#[cfg(target_os = "linux")]
mod tcp_limits;
mod timers;
mod virtual_time;
