//! `join!` and `try_join!`: a written list of futures, polled in place until all are done.
//!
//! The futures lie in nested pairs, `Each(a, Each(b, End))`, in the state of the async function that
//! awaits them: a list of any length, no allocation, and projections of pins without unsafe code. The
//! outputs come in nested pairs too; the macro makes a flat tuple of them.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::fair_share;

/// Waits for all of the futures, and yields their outputs as a tuple.
///
/// `join!(a, b, c)` is an expression in an async function or block: it awaits. The futures are part
/// of the task, so they may borrow from it, and run one at a time. They are polled in written order,
/// each only until it is done; its output is then kept and the future itself dropped at once. Any
/// number of futures, of any types; nothing is allocated.
///
/// Since no future can use up the budget of those behind it, there is no need to rotate the order.
/// `biased;` in front of the list, tokio's word for a fixed order, is accepted and changes nothing.
///
/// For an iterator of futures: [`join_all`](crate::combine::join_all). To run them as tasks:
/// [`gather`](crate::combine::gather()).
///
/// # Panics
/// A panic of one of the futures goes through, and drops the others.
///
/// # Cancel safety
/// As safe as the futures: dropping it drops them all, and the outputs of those that are done.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let name = String::from("tulipa");
/// let (len, upper) = tulipa::join!(
///     async { name.len() },
///     async {
///         tulipa::yield_now().await;
///         name.to_uppercase()
///     },
/// );
/// assert_eq!((len, &*upper), (6, "TULIPA"));
/// # });
/// ```
#[macro_export]
#[doc(alias = "gather")]
macro_rules! join {
    (biased; $($future:expr),* $(,)?) => {
        $crate::__join!(@join [] [] $($future,)*)
    };
    ($($future:expr),* $(,)?) => {
        $crate::__join!(@join [] [] $($future,)*)
    };
}

/// Waits until all of the futures have yielded `Ok`, or until the first yields `Err`.
///
/// Yields `Ok` with a tuple of the values, or the first `Err`; all errors have one type. At the first
/// error the other futures are dropped where they are. (asyncio's `gather` leaves them running: that is
/// [`try_gather`](crate::combine::try_gather).) Everything else is as in [`join!`](crate::join!).
///
/// # Errors
/// The first error of a future. Of several that fail in the same poll, the first in written order;
/// those behind it are not polled any more.
///
/// # Panics
/// A panic of one of the futures goes through, and drops the others.
///
/// # Cancel safety
/// As safe as the futures: dropping it drops them all, and the values of those that are done.
///
/// # Examples
/// ```
/// # tulipa::run(async {
/// let both = tulipa::try_join!(async { "6".parse::<u8>() }, async { "seven".parse::<u8>() });
/// assert!(both.is_err());
/// # });
/// ```
#[macro_export]
macro_rules! try_join {
    (biased; $($future:expr),* $(,)?) => {
        $crate::__join!(@try_join [] [] $($future,)*)
    };
    ($($future:expr),* $(,)?) => {
        $crate::__join!(@try_join [] [] $($future,)*)
    };
}

// Takes one future after the other from the list, and makes a name for its output: each expansion's
// `output` is another one to the compiler.
#[doc(hidden)]
#[macro_export]
macro_rules! __join {
    (@join [$($output:ident)*] [$($future:expr,)*]) => {
        match $crate::combine::expansion::join($crate::__each!($($future,)*)).await {
            $crate::__nested!($($output)*) => ($($output,)*),
        }
    };
    (@try_join [$($output:ident)*] [$($future:expr,)*]) => {
        match $crate::combine::expansion::try_join($crate::__each!($($future,)*)).await {
            ::core::result::Result::Ok($crate::__nested!($($output)*)) => {
                ::core::result::Result::Ok(($($output,)*))
            }
            ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
        }
    };
    (@$kind:ident [$($output:ident)*] [$($future:expr,)*] $next:expr, $($rest:expr,)*) => {
        $crate::__join!(@$kind [$($output)* output] [$($future,)* $next,] $($rest,)*)
    };
}

// `Each(a, Each(b, End))`, evaluated from left to right.
#[doc(hidden)]
#[macro_export]
macro_rules! __each {
    () => { $crate::combine::expansion::End };
    ($head:expr, $($tail:expr,)*) => {
        $crate::combine::expansion::each($head, $crate::__each!($($tail,)*))
    };
}

// The pattern `(a, (b, ()))`.
#[doc(hidden)]
#[macro_export]
macro_rules! __nested {
    () => { () };
    ($head:ident $($tail:ident)*) => { ($head, $crate::__nested!($($tail)*)) };
}

pin_project! {
    /// A future and those behind it.
    pub struct Each<F, T>
    where
        F: Future,
    {
        #[pin]
        head: MaybeDone<F>,
        #[pin]
        tail: T,
    }
}

/// The end of a list.
#[derive(Debug)]
pub struct End;

/// A future in front of a list.
#[inline]
pub fn each<F: IntoFuture, T>(future: F, tail: T) -> Each<F::IntoFuture, T> {
    Each {
        head: MaybeDone::Running {
            future: future.into_future(),
        },
        tail,
    }
}

/// The future of `join!`.
#[inline]
pub fn join<L: JoinList>(list: L) -> Join<L> {
    Join { list }
}

/// The future of `try_join!`.
#[inline]
pub fn try_join<E, L: TryJoinList<E>>(list: L) -> TryJoin<L, E> {
    TryJoin {
        list,
        _error: PhantomData,
    }
}

/// A list of futures to be polled until all are done.
pub trait JoinList {
    /// Nested pairs of outputs.
    type Outputs;

    /// Polls those that are not done.
    fn poll_all(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// The outputs, when all are done.
    fn take(self: Pin<&mut Self>) -> Self::Outputs;
}

impl JoinList for End {
    type Outputs = ();

    #[inline]
    fn poll_all(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    #[inline]
    fn take(self: Pin<&mut Self>) {}
}

impl<F: Future, T: JoinList> JoinList for Each<F, T> {
    type Outputs = (F::Output, T::Outputs);

    #[inline]
    fn poll_all(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let head = this.head.poll(cx);
        let tail = this.tail.poll_all(cx);
        if head.is_ready() { tail } else { Poll::Pending }
    }

    #[inline]
    fn take(self: Pin<&mut Self>) -> Self::Outputs {
        let this = self.project();
        (this.head.take(), this.tail.take())
    }
}

/// A list of futures to be polled until all are done, or one has failed.
pub trait TryJoinList<E> {
    /// Nested pairs of values.
    type Values;

    /// Polls those that are not done, up to the first error.
    fn poll_all(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>>;

    /// The values, when all are done and none has failed.
    fn take(self: Pin<&mut Self>) -> Result<Self::Values, E>;
}

impl<E> TryJoinList<E> for End {
    type Values = ();

    #[inline]
    fn poll_all(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn take(self: Pin<&mut Self>) -> Result<(), E> {
        Ok(())
    }
}

impl<V, E, F, T> TryJoinList<E> for Each<F, T>
where
    F: Future<Output = Result<V, E>>,
    T: TryJoinList<E>,
{
    type Values = (V, T::Values);

    #[inline]
    fn poll_all(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut this = self.project();
        let head = this.head.as_mut().poll(cx);
        if this.head.has_failed() {
            return Poll::Ready(this.head.take().map(drop));
        }
        match this.tail.poll_all(cx) {
            Poll::Ready(Ok(())) if head.is_pending() => Poll::Pending,
            tail => tail,
        }
    }

    #[inline]
    fn take(self: Pin<&mut Self>) -> Result<Self::Values, E> {
        let this = self.project();
        Ok((this.head.take()?, this.tail.take()?))
    }
}

pin_project! {
    /// The future of `join!`.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Join<L> {
        #[pin]
        list: L,
    }
}

impl<L: JoinList> Future for Join<L> {
    type Output = L::Outputs;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<L::Outputs> {
        let mut list = self.project().list;
        list.as_mut().poll_all(cx).map(|()| list.take())
    }
}

pin_project! {
    /// The future of `try_join!`.
    #[must_use = "futures do nothing unless awaited"]
    pub struct TryJoin<L, E> {
        #[pin]
        list: L,
        _error: PhantomData<fn() -> E>,
    }
}

impl<E, L: TryJoinList<E>> Future for TryJoin<L, E> {
    type Output = Result<L::Values, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut list = self.project().list;
        match list.as_mut().poll_all(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(list.take()),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

pin_project! {
    /// A future, then its output in the same place, then nothing.
    #[project = MaybeDoneProjection]
    enum MaybeDone<F>
    where
        F: Future,
    {
        Running { #[pin] future: F },
        Done { output: Option<F::Output> },
    }
}

impl<F: Future> MaybeDone<F> {
    /// Polls the future unless it is done. When it is, it is dropped.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let MaybeDoneProjection::Running { future } = self.as_mut().project() {
            match fair_share::poll(future, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(output) => self.set(MaybeDone::Done {
                    output: Some(output),
                }),
            }
        }
        Poll::Ready(())
    }

    /// The output of a future that is done.
    #[inline]
    fn take(self: Pin<&mut Self>) -> F::Output {
        match self.project() {
            MaybeDoneProjection::Done { output } => output
                .take()
                .expect("a join is not polled after it is complete"),
            MaybeDoneProjection::Running { .. } => {
                unreachable!("outputs are taken when all are done")
            }
        }
    }
}

impl<V, E, F: Future<Output = Result<V, E>>> MaybeDone<F> {
    #[inline]
    fn has_failed(&self) -> bool {
        matches!(
            self,
            MaybeDone::Done {
                output: Some(Err(_))
            }
        )
    }
}

impl<F: Future, T> fmt::Debug for Each<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each").finish_non_exhaustive()
    }
}

impl<L> fmt::Debug for Join<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").finish_non_exhaustive()
    }
}

impl<L, E> fmt::Debug for TryJoin<L, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoin").finish_non_exhaustive()
    }
}
