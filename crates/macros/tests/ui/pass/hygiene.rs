//! The caller's names and ours do not meet.

#![deny(warnings, clippy::all)]
#![allow(dead_code, non_upper_case_globals)]

mod core {}
mod runtime {}
mod std {}
struct Runner;
struct Ok;
struct Err;
const runner: u8 = 1;
const error: u8 = 2;

macro_rules! panic {
    () => {};
}

fn body() -> u8 {
    runner + error
}

#[tulipa::main]
async fn main() {
    panic!();
    assert_eq!(body(), 3);
}
