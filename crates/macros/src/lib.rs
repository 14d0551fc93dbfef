//! The attributes `#[tulipa::main]` and `#[tulipa::test]`.
//!
//! Use them through the facade, which re-exports both; what they expand to names its
//! `runtime::Runner`.
//!
//! # How it works
//! `options` reads what stands in the attribute's brackets, `function` what stands under it,
//! `expand` turns both into an ordinary function that builds a runner and runs the body. Mistakes
//! are collected on the way, so that one build shows them all.
//!
//! # Invariants
//! 1. Nothing here knows tulipa beyond the few names in the expansion; option values are passed on.
//! 2. Only this file names `proc_macro`; the others work on `proc_macro2`, where unit tests can go.
//! 3. The user's tokens keep their spans, so that the compiler's errors point at the user's code.

#![forbid(unsafe_code)]

mod expand;
mod function;
mod options;

use std::fmt;

use proc_macro::TokenStream;

use crate::expand::expand;

/// Runs an `async fn` on an event loop of its own; the function itself becomes an ordinary one.
///
/// It is meant for `main`, but any function without arguments will do. Each call builds a runner,
/// runs the body to its end as `Runner::run_and_close` does, and returns what the body returns. Ctrl-C
/// cancels the body, which may clean up, and then ends the process with code 130; a second one ends
/// it at once. Attributes,
/// visibility and return type stay as written, so `main` may return a `Result` or an `ExitCode`.
///
/// # Options
/// All are optional and separated by commas.
/// - `reactor = "poll"`: the reactor backend, by name. The default is the runner's.
/// - `start_paused = true`: start with a virtual clock that stands still while a task can run.
/// - `threads = 4`: as many event loops, each on a thread of its own, all of which run the body; 0 is one for each
///   processor. They end together: the first body that fails cancels the others, and what it returned is
///   returned; otherwise it is what the first loop's body returns, which must be `()`, a `Result` or an
///   `ExitCode`, and `Send`. See `runtime::Threads`.
/// - `crate = path`: where to find the facade if it has another name here; `::tulipa` if left out.
///   A path in quotes works too.
///
/// # Errors
/// These do not compile, and the message says what to write instead:
/// - an item that is not an `async fn` with a body;
/// - arguments, `self`, generic parameters or a `where` clause: nobody could fill them in;
/// - a `const`, `unsafe` or `extern` function;
/// - an option that is unknown, given twice, or without a value of the right type.
///
/// # Panics
/// The function panics:
/// - if the event loop cannot be started, for instance because the process has no file descriptor
///   left, or no backend has the name given as `reactor`;
/// - where `Runner::run` does, above all when a loop runs on this thread already: await the work
///   there.
///
/// # Examples
/// ```
/// #[tulipa::main]
/// async fn main() -> Result<(), std::num::ParseIntError> {
///     let answer: u32 = async { "42" }.await.parse()?;
///     println!("{answer}");
///     Ok(())
/// }
/// ```
///
/// With options, and not on `main`:
/// ```
/// #[tulipa::main(start_paused = true)]
/// async fn answer() -> u32 {
///     async { 42 }.await
/// }
///
/// assert_eq!(answer(), 42);
/// ```
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(Attribute::Main, options.into(), item.into()).into()
}

/// Makes an `async fn` a unit test that runs on an event loop of its own.
///
/// The test harness sees an ordinary `#[test]` function: `#[should_panic]`, `#[ignore]` and a
/// `Result` as return type mean what they always do. Do not add `#[test]`; it is there already.
///
/// # Options
/// Those of [`main`](macro@main). With `start_paused = true` the test needs no real time: when
/// nothing can run, the clock jumps to the next deadline.
///
/// # Errors
/// Those of [`main`](macro@main), and a second test attribute, with which the test would run twice.
///
/// # Panics
/// Those of [`main`](macro@main); the test fails then.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// #[tulipa::test(start_paused = true)]
/// async fn an_hour_passes_at_once() {
///     tulipa::sleep(Duration::from_secs(3600)).await;
/// }
/// ```
#[doc(alias = "IsolatedAsyncioTestCase")]
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(Attribute::Test, options.into(), item.into()).into()
}

/// Which attribute was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Main,
    Test,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "`#[tulipa::main]`",
            Self::Test => "`#[tulipa::test]`",
        })
    }
}
