//! What the library asks of the allocator: a binary of its own, because there is one allocator in each.

#![allow(
    clippy::async_yields_async,
    reason = "handles that outlive the code which made them are what is tested"
)]

mod allocator;
mod soak;
mod waits;
