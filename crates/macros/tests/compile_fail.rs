//! Misuse of the macros: what the compiler says, word for word.
//!
//! `ui/*.rs` do not compile, and `*.stderr` beside them holds all that is printed. Every word of it is
//! ours, so that no compiler release changes it. `ui/pass/*.rs` compile without a warning and run.
//!
//! After a change to a message: `TRYBUILD=overwrite cargo test -p tulipa-macros`, then read the diff.

#[test]
fn misuse_says_what_to_write_instead() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.pass("tests/ui/pass/*.rs");
}
