//! Children that may borrow from the code around.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cancel::CancelReason;
use crate::core;
use crate::group::child::{Child, ChildHandle};
use crate::group::error::{FailureCause, GroupError};
use crate::group::family::{Family, State};
use crate::group::run::Run;
use crate::task::{Extras, ScopeQueue};

/// Runs `body`, which spawns children that may borrow from the code around, and waits for all of them.
///
/// The children run inside of this future, each with a waker of its own, so that only those that are woken are
/// polled. They may borrow whatever outlives the scope, mutably too; not what lives in the body, which may
/// complete before they do. They may spawn siblings through a clone of the scope's handle.
///
/// Yields the body's value, once every child has ended. A child that panics makes the others, and the body, end; then
/// the scope panics. For children that can fail there is [`try_scope`].
///
/// When the code around is cancelled, the body is cancelled first, then the children; once all of them have
/// ended, the request goes on outwards.
///
/// # Panics
/// - With the payload of the first child that panicked.
/// - When it is polled again after it has completed.
///
/// # Cancel safety
/// Dropping it drops the children, without clean-up that awaits. Leaking it leaks them: nothing polls or
/// drops them any more.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use std::cell::Cell;
/// use tulipa::group::scope;
///
/// # async fn example() {
/// let words = vec!["one".to_string(), "three".to_string()];
/// let letters = Cell::new(0);
/// scope(async |scope| {
///     for word in &words {
///         let letters = &letters;
///         scope.spawn(async move {
///             tulipa::yield_now().await;
///             letters.set(letters.get() + word.len());
///         });
///     }
/// })
/// .await;
/// assert_eq!(letters.get(), 8);
/// # }
/// ```
///
/// What lives in the body cannot be borrowed:
/// ```compile_fail,E0373
/// # use tulipa_executor as tulipa;
/// # async fn example() {
/// tulipa::group::scope(async |scope| {
///     let local = String::from("too short a life");
///     scope.spawn(async { local.len() });
/// })
/// .await;
/// # }
/// ```
#[doc(alias = "nursery")]
pub fn scope<'env, F, B>(body: F) -> ScopeFuture<'env, B>
where
    F: FnOnce(Scope<'env>) -> B,
    B: Future,
{
    let family = Rc::new(Family::new());
    let queue = Rc::new(ScopeQueue::new());
    let scope = Scope {
        inner: TryScope {
            family: Rc::clone(&family),
            queue: Rc::clone(&queue),
        },
    };
    let body = Succeeds {
        future: body(scope),
    };
    ScopeFuture {
        run: Run::new(body, family, Some(queue)),
    }
}

/// Runs `body`, which spawns children that may fail, and that may borrow from the code around.
///
/// Like [`scope`], with the rules of a [`task_group`](crate::group::task_group) for failures: the first one cancels
/// everyone else, their clean-up is awaited, and every error is in the result.
///
/// # Errors
/// [`GroupError`], with every failure in it. Without any, if the scope was [cancelled](TryScope::cancel) before the
/// body had a value.
///
/// # Panics
/// When it is polled again after it has completed.
///
/// # Cancel safety
/// As for [`scope`].
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use tulipa::group::try_scope;
///
/// # async fn example() {
/// let numbers = ["1", "2", "x"];
/// let result = try_scope(async |scope| {
///     for number in &numbers {
///         scope.spawn(async move { number.parse::<u32>() });
///     }
///     Ok(())
/// })
/// .await;
/// assert_eq!(result.unwrap_err().failures().len(), 1);
/// # }
/// ```
pub fn try_scope<'env, R, E, F, B>(body: F) -> TryScopeFuture<'env, B, E>
where
    F: FnOnce(TryScope<'env, E>) -> B,
    B: Future<Output = Result<R, E>>,
{
    let family = Rc::new(Family::new());
    let queue = Rc::new(ScopeQueue::new());
    let scope = TryScope {
        family: Rc::clone(&family),
        queue: Rc::clone(&queue),
    };
    TryScopeFuture {
        run: Run::new(body(scope), family, Some(queue)),
    }
}

pin_project! {
    /// Future of [`scope`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct ScopeFuture<'env, B: Future> {
        #[pin]
        run: Run<'env, Succeeds<B>, Infallible>,
    }
}

impl<B: Future> Future for ScopeFuture<'_, B> {
    type Output = B::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B::Output> {
        self.project().run.poll(cx).map(|result| match result {
            Ok(value) => value,
            Err(error) => match error.into_failures().into_iter().next() {
                Some(failure) => match failure.into_cause() {
                    FailureCause::Panicked(payload) => resume_unwind(payload),
                    FailureCause::Error(never) => match never {},
                },
                None => panic!("a scope whose code around was cancelled goes on"),
            },
        })
    }
}

impl<B: Future> fmt::Debug for ScopeFuture<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`try_scope`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct TryScopeFuture<'env, B: Future, E> {
        #[pin]
        run: Run<'env, B, E>,
    }
}

impl<R, E, B: Future<Output = Result<R, E>>> Future for TryScopeFuture<'_, B, E> {
    type Output = Result<R, GroupError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<B: Future, E> fmt::Debug for TryScopeFuture<'_, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScopeFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// A future that cannot fail, for where one is asked for that can.
    struct Succeeds<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Succeeds<F> {
    type Output = Result<F::Output, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(Ok)
    }
}

/// The handle of a [`scope`], through which children are spawned into it. Clones are the same scope.
#[derive(Clone)]
pub struct Scope<'env> {
    inner: TryScope<'env, Infallible>,
}

impl<'env> Scope<'env> {
    /// Spawns a child, which may borrow whatever outlives the scope. It begins when the scope is polled next.
    ///
    /// # Panics
    /// - When the scope has ended.
    /// - Outside of a loop.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> ChildHandle<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.inner.spawn(Succeeds { future })
    }

    /// Spawns a child with a name.
    ///
    /// # Panics
    /// As [`spawn`](Scope::spawn).
    #[track_caller]
    pub fn spawn_named<F>(&self, name: impl Into<Box<str>>, future: F) -> ChildHandle<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.inner.spawn_named(name, Succeeds { future })
    }

    /// Lets at most `limit` children run at a time. Those spawned beyond wait, in the order of their spawns.
    ///
    /// # Panics
    /// When `limit` is zero.
    #[track_caller]
    pub fn limit(&self, limit: usize) {
        self.inner.limit(limit);
    }

    /// Children that have not ended.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether no child is left.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.inner).finish()
    }
}

/// The handle of a [`try_scope`], through which children are spawned into it. Clones are the same scope.
pub struct TryScope<'env, E> {
    family: Rc<Family<'env, E>>,
    queue: Rc<ScopeQueue<'env>>,
}

impl<'env, E: 'env> TryScope<'env, E> {
    /// Spawns a child, which may borrow whatever outlives the scope. It begins when the scope is polled next. Of one that is
    /// spawned while the scope ends nothing runs.
    ///
    /// # Panics
    /// - When the scope has ended.
    /// - Outside of a loop.
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'env,
        T: 'env,
    {
        self.spawn_at(future, None, Location::caller())
    }

    /// Spawns a child with a name.
    ///
    /// # Panics
    /// As [`spawn`](TryScope::spawn).
    #[track_caller]
    pub fn spawn_named<T, F>(&self, name: impl Into<Box<str>>, future: F) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'env,
        T: 'env,
    {
        self.spawn_at(future, Extras::named(Some(name.into())), Location::caller())
    }

    #[track_caller]
    fn spawn_at<T, F>(
        &self,
        future: F,
        extras: Option<Box<Extras>>,
        location: &'static Location<'static>,
    ) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'env,
        T: 'env,
    {
        assert!(
            self.family.state.get() != State::Left,
            "this scope has ended: spawn inside of its body or its children"
        );
        let Some(core) = core::current() else {
            core::panic_outside(location)
        };
        let key = self.family.reserve();
        let child = Child::new(&self.family, key, future);
        let handle = self.queue.spawn(core, child, location, extras);
        self.family.adopt(key, handle.task());
        if self.family.state.get() == State::Ending {
            handle.cancel_with(CancelReason::Group);
        }
        ChildHandle::new(handle)
    }
}

impl<E> TryScope<'_, E> {
    /// Ends the scope without an error: cancels the children and the body. Further calls, and calls after the
    /// end, do nothing.
    pub fn cancel(&self) {
        self.family.end(CancelReason::Group);
    }

    /// Lets at most `limit` children run at a time. Those spawned beyond wait, in the order of their spawns.
    ///
    /// # Panics
    /// When `limit` is zero.
    #[track_caller]
    pub fn limit(&self, limit: usize) {
        assert!(limit > 0, "a scope in which no child may run never ends");
        self.family.set_limit(limit);
    }

    /// Children that have not ended.
    pub fn len(&self) -> usize {
        self.family.child_count()
    }

    /// Whether no child is left.
    pub fn is_empty(&self) -> bool {
        self.family.is_childless()
    }
}

impl<E> Clone for TryScope<'_, E> {
    fn clone(&self) -> Self {
        TryScope {
            family: Rc::clone(&self.family),
            queue: Rc::clone(&self.queue),
        }
    }
}

impl<E> fmt::Debug for TryScope<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope")
            .field("state", &self.family.state.get())
            .field("children", &self.len())
            .finish_non_exhaustive()
    }
}
