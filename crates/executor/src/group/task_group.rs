//! A group of tasks that run in the loop.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cancel::CancelReason;
use crate::core;
use crate::group::child::{Child, ChildHandle};
use crate::group::error::GroupError;
use crate::group::family::{Family, State};
use crate::group::run::Run;
use crate::task::{Extras, Flags, spawn_on};

/// Runs `body`, which spawns tasks into a group, and waits for all of them.
///
/// The first failure (a child or the body that returns an error, a child that panics) cancels everyone else: the
/// other children, in the order of their spawns, and the body if it is still running. Their clean-up is awaited, and every
/// error is in the result. A child that is cancelled by itself is no failure.
///
/// While the group waits, children may spawn siblings, through a clone of the group's handle.
///
/// When the code around is cancelled, the body is cancelled first, then the children; once all of them have
/// ended, the request goes on outwards. Errors go before it: then the group yields them, and the request arrives at
/// the next await. A second request is handed on to the children again, and interrupts clean-ups that hang.
///
/// # Errors
/// [`GroupError`], with every failure in it. Without any, if the group was [cancelled](TaskGroup::cancel) before the
/// body had a value.
///
/// # Panics
/// When it is polled again after it has completed.
///
/// # Cancel safety
/// Dropping it (rather than cancelling the task, or a scope around) aborts the children at their next turn: nobody is left to wait
/// for their clean-up.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use tulipa::group::task_group;
///
/// async fn fetch(n: u32) -> Result<u32, String> {
///     if n < 3 { Ok(n) } else { Err(format!("no {n}")) }
/// }
///
/// # async fn example() {
/// let sum = task_group(async |group| {
///     let one = group.spawn(fetch(1));
///     let two = group.spawn(fetch(2));
///     Ok(one.await.unwrap() + two.await.unwrap())
/// })
/// .await;
/// assert_eq!(sum.unwrap(), 3);
///
/// let failed = task_group(async |group| {
///     group.spawn(fetch(7));
///     std::future::pending().await // Cancelled by the failure.
/// })
/// .await;
/// let error: tulipa::group::GroupError<String> = failed.map(|(): ()| ()).unwrap_err();
/// assert_eq!(error.first().unwrap().error().unwrap(), "no 7");
/// # }
/// ```
#[doc(alias = "TaskGroup")]
#[doc(alias = "nursery")]
pub fn task_group<R, E, F, B>(body: F) -> TaskGroupFuture<B, E>
where
    F: FnOnce(TaskGroup<E>) -> B,
    B: Future<Output = Result<R, E>>,
{
    let family = Rc::new(Family::new());
    let group = TaskGroup {
        family: Rc::clone(&family),
    };
    TaskGroupFuture {
        run: Run::new(body(group), family, None),
    }
}

pin_project! {
    /// Future of [`task_group`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct TaskGroupFuture<B: Future, E> {
        #[pin]
        run: Run<'static, B, E>,
    }
}

impl<R, E, B: Future<Output = Result<R, E>>> Future for TaskGroupFuture<B, E> {
    type Output = Result<R, GroupError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<B: Future, E> fmt::Debug for TaskGroupFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroupFuture").finish_non_exhaustive()
    }
}

/// The handle of a [`task_group`], through which tasks are spawned into it. Clones are the same group.
pub struct TaskGroup<E> {
    family: Rc<Family<'static, E>>,
}

impl<E: 'static> TaskGroup<E> {
    /// Spawns a child. Of one that is spawned while the group ends nothing runs: it is cancelled at once.
    ///
    /// # Panics
    /// - When the group has ended; [`try_spawn`](TaskGroup::try_spawn) says so instead.
    /// - Outside of a loop.
    #[track_caller]
    #[doc(alias = "create_task")]
    #[doc(alias = "start_soon")]
    pub fn spawn<T, F>(&self, future: F) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        self.check_open();
        self.spawn_at(future, None, Location::caller())
    }

    /// Spawns a child with a name.
    ///
    /// # Panics
    /// As [`spawn`](TaskGroup::spawn).
    #[track_caller]
    pub fn spawn_named<T, F>(&self, name: impl Into<Box<str>>, future: F) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        self.check_open();
        self.spawn_at(future, Extras::named(Some(name.into())), Location::caller())
    }

    /// Spawns a child, unless the group is ending or has ended.
    ///
    /// # Errors
    /// [`GroupClosed`], with the future in it.
    ///
    /// # Panics
    /// Outside of a loop.
    #[track_caller]
    pub fn try_spawn<T, F>(&self, future: F) -> Result<ChildHandle<T>, GroupClosed<F>>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        match self.family.state.get() {
            State::Fresh | State::Open => Ok(self.spawn_at(future, None, Location::caller())),
            State::Ending | State::Left => Err(GroupClosed { rejected: future }),
        }
    }

    #[track_caller]
    fn check_open(&self) {
        assert!(
            self.family.state.get() != State::Left,
            "this task group has ended: spawn inside of its body or its children, or use try_spawn"
        );
    }

    fn spawn_at<T, F>(
        &self,
        future: F,
        extras: Option<Box<Extras>>,
        location: &'static Location<'static>,
    ) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        let Some(core) = core::current() else {
            core::panic_outside(location)
        };
        let key = self.family.reserve();
        let child = Child::new(&self.family, key, future);
        let handle = spawn_on(core, child, location, extras);
        handle.task_ref().header().set(Flags::MEMBER);
        self.family.adopt(key, handle.task());
        if self.family.state.get() == State::Ending {
            handle.cancel_with(CancelReason::Group);
        }
        ChildHandle::new(handle)
    }
}

impl<E> TaskGroup<E> {
    /// Ends the group without an error: cancels the children and the body. Further calls, and calls after the
    /// end, do nothing.
    ///
    /// If the body completes all the same, or has completed, its value is what the group yields. A request from
    /// outside that comes meanwhile is not lost.
    pub fn cancel(&self) {
        self.cancel_with(CancelReason::Group);
    }

    /// Ends the group, like [`cancel`](TaskGroup::cancel), and tells the children why.
    pub fn cancel_with(&self, reason: impl Into<CancelReason>) {
        self.family.end(reason.into());
    }

    /// Lets at most `limit` children run at a time. Those spawned beyond wait, in the order of their spawns.
    ///
    /// # Panics
    /// When `limit` is zero.
    #[track_caller]
    pub fn limit(&self, limit: usize) {
        assert!(limit > 0, "a group in which no child may run never ends");
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

    /// Whether the group is ending or has ended: nothing that is spawned now runs.
    pub fn is_closed(&self) -> bool {
        matches!(self.family.state.get(), State::Ending | State::Left)
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> TaskGroup<E> {
        TaskGroup {
            family: Rc::clone(&self.family),
        }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("state", &self.family.state.get())
            .field("children", &self.len())
            .finish_non_exhaustive()
    }
}

/// The group is ending or has ended. What was to be spawned is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupClosed<F> {
    /// What was to be spawned.
    pub rejected: F,
}

impl<F> fmt::Debug for GroupClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupClosed")
    }
}

impl<F> fmt::Display for GroupClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task group is ending or has ended")
    }
}

impl<F> std::error::Error for GroupClosed<F> {}
