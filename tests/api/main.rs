//! Integration tests over the public API. They run on the reactor that `TULIPA_REACTOR` names, so the
//! whole suite is run once for each.
//!
//! One module a concept; the names of tests say the behaviour. Codes such as TK04 name the scenario
//! that a test plays.

#![allow(
    clippy::async_yields_async,
    reason = "handles that outlive the code which made them are what is tested"
)]

mod support;

mod as_completed;
mod auto_traits;
mod callbacks;
mod cancel;
mod cancel_edges;
mod cancel_model;
mod context;
#[cfg(unix)]
mod ctrl_c;
mod debug_mode;
mod dump;
mod eager;
#[cfg(unix)]
mod embedding;
mod event_loop;
#[cfg(unix)]
mod fork;
mod gather;
mod groups;
mod join_and_select;
mod join_set;
mod loop_order;
mod metrics;
mod misuse;
mod odd_orders;
mod parity;
mod parity_table;
mod promise;
mod remote_handle;
mod remote_wakers;
mod runner;
mod scopes;
mod shutdown;
mod staggered_race;
mod sync;
mod task_model;
mod tasks;
mod tcp;
#[cfg(target_os = "linux")]
mod tcp_limits;
mod timers;
mod virtual_time;
mod wait;
