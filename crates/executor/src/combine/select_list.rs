//! `select!`: a written list of futures, polled in place until the first is ready.
//!
//! The branches lie in nested pairs, as in `join_list`, and what is chosen comes in a nest of
//! [`Chosen`], as deep as the branch's place. A branch's pattern is tried with the output at hand: the
//! macro makes a closure of it, that gives the output back if it matches.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::fair_share;
use super::join_list::End;

/// Waits for the first of several futures, drops the others, and runs the handler of that branch.
///
/// ```text
/// select! {
///     <pattern> = <future> [, if <condition>] => <handler>,
///     ...
///     [else => <handler>]
/// }
/// ```
///
/// It is an expression in an async function or block, and awaits. Its value is the handler's; handlers
/// are separated by commas, which may be left out after a block.
///
/// 1. The conditions are evaluated. A branch whose condition is `false` is disabled.
/// 2. The futures' expressions are evaluated, also those of disabled branches.
/// 3. The futures of the other branches are polled in written order. At the first that is ready its
///    output is matched with the pattern. If that fails, the branch is disabled and the wait goes on.
/// 4. All futures are dropped, then the handler runs, in the function around it: it may use `.await`,
///    `?`, `break` and `return`, and what the futures have borrowed.
/// 5. If all branches are disabled, the handler of `else` runs.
///
/// # Which branch
/// When several futures are ready in the same poll, the first in written order wins. (tokio begins with
/// a random one unless told `biased;`, which is accepted here and changes nothing.) One thread and a
/// fixed order make a program that goes the same way each time; put first what matters most, such as
/// a request to stop.
///
/// The price of a fixed order is that a branch may be ready each time, and in a loop hide those below
/// it. That ends with the [budget](tulipa_base::budget): after 128 operations in one turn the busy
/// branch has to wait, while each one below may still complete an operation. So sockets and queues are
/// served now and then, whatever stands above them. Only a future that is ready each time and takes
/// nothing from the budget, such as [`std::future::ready`], hides the others for good.
///
/// # Panics
/// When all branches are disabled and there is no `else`.
///
/// # Cancel safety
/// Futures that lose are dropped where they are. In a loop, await only what says that it is cancel
/// safe, or keep the future outside of the loop and select on `&mut future`.
///
/// # Examples
/// ```
/// use std::pin::pin;
/// use std::time::Duration;
///
/// # tulipa::run(async {
/// let mut ticks = tulipa::interval(Duration::from_millis(1));
/// let mut work = pin!(tulipa::sleep(Duration::from_millis(5)));
/// let mut count = 0;
/// loop {
///     tulipa::select! {
///         () = &mut work => break,
///         _ = ticks.tick() => count += 1,
///     }
/// }
/// assert!(count > 0);
/// # });
/// ```
///
/// Conditions, patterns and `else`:
/// ```
/// # tulipa::run(async {
/// async fn next(queue: &mut Vec<u8>) -> Option<u8> {
///     queue.pop()
/// }
/// let (mut first, mut second) = (vec![1], vec![2, 3]);
/// let mut sum = 0;
/// loop {
///     tulipa::select! {
///         Some(value) = next(&mut first) => sum += value,
///         Some(value) = next(&mut second), if sum > 0 => sum += value,
///         else => break,
///     }
/// }
/// assert_eq!(sum, 6);
/// # });
/// ```
#[macro_export]
#[doc(alias = "FIRST_COMPLETED")]
macro_rules! select {
    (biased; $($branches:tt)*) => { $crate::__select!(@ [] () $($branches)*) };
    ($($branches:tt)*) => { $crate::__select!(@ [] () $($branches)*) };
}

// Takes one branch after the other from the list. In brackets those that were taken, each with its
// place as so many underscores; in parentheses the place of the next.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@ [] ()) => {
        ::core::compile_error!("select! needs a branch: `pattern = future => handler`")
    };
    (@ [$($taken:tt)*] ($($place:tt)*)) => {
        $crate::__select!(@wait [$($taken)*] ::core::panic!(
            "all branches of this select! are disabled, and it has no `else` branch"
        ))
    };
    (@ [$($taken:tt)*] ($($place:tt)*) else => $handler:expr $(,)?) => {
        $crate::__select!(@wait [$($taken)*] $handler)
    };
    (@ [$($taken:tt)*] ($($place:tt)*) else => $handler:expr, $($rest:tt)+) => {
        ::core::compile_error!("`else` is the last branch of a select!")
    };
    (@ [$($taken:tt)*] ($($place:tt)*)
        $pattern:pat = $future:expr, if $condition:expr => $handler:block, $($rest:tt)*) => {
        $crate::__select!(@ [$($taken)* { ($($place)*) {$pattern} {$future} {$condition} {$handler} }]
            ($($place)* _) $($rest)*)
    };
    (@ [$($taken:tt)*] ($($place:tt)*)
        $pattern:pat = $future:expr => $handler:block, $($rest:tt)*) => {
        $crate::__select!(@ [$($taken)* { ($($place)*) {$pattern} {$future} {true} {$handler} }]
            ($($place)* _) $($rest)*)
    };
    (@ [$($taken:tt)*] ($($place:tt)*)
        $pattern:pat = $future:expr, if $condition:expr => $handler:block $($rest:tt)*) => {
        $crate::__select!(@ [$($taken)* { ($($place)*) {$pattern} {$future} {$condition} {$handler} }]
            ($($place)* _) $($rest)*)
    };
    (@ [$($taken:tt)*] ($($place:tt)*)
        $pattern:pat = $future:expr => $handler:block $($rest:tt)*) => {
        $crate::__select!(@ [$($taken)* { ($($place)*) {$pattern} {$future} {true} {$handler} }]
            ($($place)* _) $($rest)*)
    };
    (@ [$($taken:tt)*] ($($place:tt)*)
        $pattern:pat = $future:expr, if $condition:expr => $handler:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@ [$($taken)* { ($($place)*) {$pattern} {$future} {$condition} {$handler} }]
            ($($place)* _) $($($rest)*)?)
    };
    (@ [$($taken:tt)*] ($($place:tt)*)
        $pattern:pat = $future:expr => $handler:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@ [$($taken)* { ($($place)*) {$pattern} {$future} {true} {$handler} }]
            ($($place)* _) $($($rest)*)?)
    };
    (@ [$($taken:tt)*] ($($place:tt)*) $($rest:tt)*) => {
        ::core::compile_error!(
            "a branch of select! reads `pattern = future => handler`, \
             `pattern = future, if condition => handler` or, at the end, `else => handler`"
        )
    };
    (@wait
        [$({ ($($place:tt)*) {$pattern:pat} {$future:expr} {$condition:expr} {$handler:expr} })*]
        $else:expr) => {{
        // The conditions come first: the futures may borrow what they look at. Temporaries of the
        // futures' expressions live as long as this statement.
        #[allow(unused_mut)]
        let mut chosen = $crate::combine::expansion::select(
            [$($condition),*],
            $crate::__branches!($({$pattern} {$future})*),
        )
        .await;
        match chosen {
            $(::core::option::Option::Some($crate::__chosen!(($($place)*) $pattern)) => $handler,)*
            ::core::option::Option::None => $else,
            #[allow(unreachable_patterns)]
            _ => ::core::unreachable!("the pattern has matched before"),
        }
    }};
}

// The branches in nested pairs. A pattern is tried in a guard, where bindings only look: the value is
// not moved unless the guard says so, and this one never does.
#[doc(hidden)]
#[macro_export]
macro_rules! __branches {
    () => { $crate::combine::expansion::End };
    ({$pattern:pat} {$future:expr} $($rest:tt)*) => {
        $crate::combine::expansion::branch(
            $future,
            |output| {
                // For `ref mut` in a pattern.
                #[allow(unused_mut)]
                let mut output = output;
                let mut matches = false;
                #[allow(unused_variables, unused_mut, unreachable_patterns, clippy::all)]
                match output {
                    $pattern if { matches = true; false } => ::core::unreachable!(),
                    _ => {}
                }
                if matches {
                    ::core::option::Option::Some(output)
                } else {
                    ::core::option::Option::None
                }
            },
            $crate::__branches!($($rest)*),
        )
    };
}

// The pattern of what a branch at this place has chosen.
#[doc(hidden)]
#[macro_export]
macro_rules! __chosen {
    (() $pattern:pat) => { $crate::combine::expansion::Chosen::Here($pattern) };
    ((_ $($place:tt)*) $pattern:pat) => {
        $crate::combine::expansion::Chosen::There($crate::__chosen!(($($place)*) $pattern))
    };
}

/// The output of the branch that was chosen.
#[derive(Debug)]
pub enum Chosen<A, B> {
    /// Of this branch.
    Here(A),
    /// Of one of those behind it.
    There(B),
}

pin_project! {
    /// A branch and those behind it.
    pub struct Branch<F, M, T> {
        #[pin]
        future: F,
        matches: M,
        #[pin]
        tail: T,
    }
}

/// A branch in front of a list. `matches` gives the output back if the pattern matches it.
#[inline]
pub fn branch<F, M, T>(future: F, matches: M, tail: T) -> Branch<F::IntoFuture, M, T>
where
    F: IntoFuture,
    M: FnMut(F::Output) -> Option<F::Output>,
{
    Branch {
        future: future.into_future(),
        matches,
        tail,
    }
}

/// The future of `select!`: yields `None` when all branches are disabled.
#[inline]
pub fn select<const N: usize, L: SelectList>(enabled: [bool; N], list: L) -> Select<[bool; N], L> {
    Select { enabled, list }
}

/// Branches to be polled until the first is ready.
pub trait SelectList {
    /// A nest of outputs.
    type Output;

    /// Polls the branches that are enabled. `None` when none is any more.
    fn poll_first(
        self: Pin<&mut Self>,
        enabled: &mut [bool],
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Output>>;
}

impl SelectList for End {
    type Output = Infallible;

    #[inline]
    fn poll_first(
        self: Pin<&mut Self>,
        _: &mut [bool],
        _: &mut Context<'_>,
    ) -> Poll<Option<Infallible>> {
        Poll::Ready(None)
    }
}

impl<F, M, T> SelectList for Branch<F, M, T>
where
    F: Future,
    M: FnMut(F::Output) -> Option<F::Output>,
    T: SelectList,
{
    type Output = Chosen<F::Output, T::Output>;

    #[inline]
    fn poll_first(
        self: Pin<&mut Self>,
        enabled: &mut [bool],
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Output>> {
        let this = self.project();
        let (is_enabled, behind) = enabled.split_first_mut().expect("one flag for each branch");
        if *is_enabled && let Poll::Ready(output) = fair_share::poll(this.future, cx) {
            if let Some(output) = (this.matches)(output) {
                return Poll::Ready(Some(Chosen::Here(output)));
            }
            *is_enabled = false;
        }
        match this.tail.poll_first(behind, cx) {
            Poll::Ready(Some(output)) => Poll::Ready(Some(Chosen::There(output))),
            Poll::Ready(None) if !*is_enabled => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}

pin_project! {
    /// The future of `select!`.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Select<B, L> {
        enabled: B,
        #[pin]
        list: L,
    }
}

impl<const N: usize, L: SelectList> Future for Select<[bool; N], L> {
    type Output = Option<L::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.list.poll_first(this.enabled, cx)
    }
}

impl<F, M, T> fmt::Debug for Branch<F, M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch").finish_non_exhaustive()
    }
}

impl<B: fmt::Debug, L> fmt::Debug for Select<B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}
