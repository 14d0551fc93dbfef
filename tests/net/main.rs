//! Integration tests of the network over the public API, run on the reactor that `TULIPA_REACTOR` names.
//!
//! One module a concept; the names of tests say the behaviour. Codes such as TC04 name the scenario that a
//! test plays, § numbers are sections of the specification that the project is built to.

#![allow(
    clippy::async_yields_async,
    reason = "handles that outlive the code which made them are what is tested"
)]

mod io;
