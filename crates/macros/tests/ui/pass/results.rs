//! `?`, early `return` and conversions know the return type.

#![deny(warnings, clippy::all)]

use std::convert::Infallible;
use std::error::Error;
use std::process::{ExitCode, Termination};

fn main() {
    question_mark_and_into().unwrap();
    unit();
    explicit_unit();
    assert_eq!(one_line(), 5);
    assert_eq!(collected(), [1, 2]);
    assert_eq!(trait_object()(1), 2);
    assert_eq!(function_pointer()(), 5);
    let _: ExitCode = opaque().report();
    let _: fn() -> ! = never;
    let _: fn() -> Infallible = infallible;
}

#[tulipa::main]
async fn question_mark_and_into() -> Result<(), Box<dyn Error>> {
    let answer: u8 = async { "42" }.await.parse()?;
    if answer != 42 {
        return Err("not the answer".into());
    }
    Ok(())
}

#[tulipa::main]
async fn unit() {
    if async { true }.await {
        return;
    }
    unreachable!();
}

#[tulipa::main]
async fn explicit_unit() -> () {}

#[tulipa::main]
async fn collected() -> Vec<u8> {
    // Without the return type, `collect` would not know what to make.
    [1, 2].into_iter().collect()
}

#[rustfmt::skip]
#[tulipa::main]
async fn one_line() -> u8 { 5 }

#[tulipa::main]
async fn trait_object() -> Box<dyn Fn(u8) -> u8> {
    Box::new(|value| value + 1)
}

#[tulipa::main]
async fn function_pointer() -> fn() -> u8 {
    || 5
}

#[tulipa::main]
async fn opaque() -> impl Termination {
    ExitCode::SUCCESS
}

#[tulipa::main]
async fn never() -> ! {
    loop {
        async {}.await;
    }
}

#[tulipa::main]
async fn infallible() -> Infallible {
    std::process::exit(async { 1 }.await)
}
