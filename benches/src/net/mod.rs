//! Servers over loopback, in a process of their own.
//!
//! The runtime under test serves in a process of its own (`server`), which does what its `service`
//! says; the process that measures is the load generator (`tcp_echo`, `churn`, `udp_echo`, `bulk`),
//! the same raw epoll loop for every runtime. The server's CPU time is read from outside, so the
//! server does nothing but serve.

pub(crate) mod bulk;
pub(crate) mod churn;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod tcp_echo;
pub(crate) mod udp_echo;
pub(crate) mod window;
