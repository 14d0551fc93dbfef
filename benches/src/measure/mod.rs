//! What the cases measure with, and the conditions they measure under.

pub(crate) mod allocations;
pub(crate) mod cpu_time;
pub(crate) mod memory;
pub(crate) mod pinning;
pub(crate) mod watchdog;
