//! Echo over loopback TCP, between two processes.
//!
//! The runtime under test serves in a process of its own (`server`); the process that measures is
//! the load generator (`load`), the same raw epoll loop for every runtime. The server's CPU time is
//! read from outside, so the server does nothing but serve.

pub(crate) mod load;
pub(crate) mod server;
