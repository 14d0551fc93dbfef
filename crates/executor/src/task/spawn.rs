//! Making tasks: `spawn`, the builder with a name, and the root future of a loop.

#![allow(
    unsafe_code,
    reason = "fence: makes task blocks, and erases the root future's lifetime"
)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::context;
use crate::core::{self, CorePtr};
use crate::task::cell;
use crate::task::header::{Extras, Flags};
use crate::task::join::JoinHandle;
use crate::task::surroundings::Surroundings;

/// Starts a task: it runs beside the others from the next turn on.
///
/// The future need not be `Send`: it stays on this thread. It must own what it uses (`async move`, with
/// an `Rc` of what is shared); only the main future of a run may borrow. The task is a child of the
/// loop. Dropping the handle detaches it (`drop(spawn(..))` says that you mean it); when the loop closes, tasks that are left are dropped.
///
/// # Panics
/// Outside of a loop; [`try_spawn`] says so instead.
#[track_caller]
#[inline]
#[doc(alias = "create_task")]
#[doc(alias = "ensure_future")]
#[doc(alias = "spawn_local")]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    match core::current() {
        Some(core) => spawn_on(core, future, location, None),
        None => core::panic_outside(location),
    }
}

/// Starts a task, like [`spawn`], or gives the future back where no loop runs on this thread.
///
/// # Errors
/// [`NoLoop`], with the future in it.
#[track_caller]
pub fn try_spawn<F>(future: F) -> Result<JoinHandle<F::Output>, NoLoop<F>>
where
    F: Future + 'static,
    F::Output: 'static,
{
    match core::current() {
        Some(core) => Ok(spawn_on(core, future, Location::caller(), None)),
        None => Err(NoLoop { rejected: future }),
    }
}

/// No event loop runs on this thread. What was to be done there is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NoLoop<F = ()> {
    /// What the loop was to be given.
    pub rejected: F,
}

impl<F> fmt::Debug for NoLoop<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoLoop")
    }
}

impl<F> fmt::Display for NoLoop<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no tulipa event loop runs on this thread")
    }
}

impl<F> std::error::Error for NoLoop<F> {}

/// Sets a task up before it is spawned.
#[derive(Clone, Debug, Default)]
#[must_use = "the builder does nothing until `spawn`"]
pub struct Builder {
    name: Option<Box<str>>,
    context: Option<context::Context>,
}

impl Builder {
    /// A task without a name.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the task, for reports and errors.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Gives the task these values of context variables, instead of a copy of those of the running code.
    pub fn context(mut self, context: context::Context) -> Builder {
        self.context = Some(context);
        self
    }

    /// Runs the task's first step here and now, inside this call; only if it then waits, the task goes on beside the
    /// others.
    ///
    /// A task that completes at once is never scheduled, and its handle is ready. During the step the
    /// [current task](crate::task::current) is the new one, with a budget of its own. Eager tasks that start eager tasks
    /// nest on the stack. While the loop closes, or outside of its run, the task starts as [`spawn`](Builder::spawn) does.
    ///
    /// There is no switch that makes every task eager: it changes the order in which things happen, which is
    /// for the code that spawns to decide.
    ///
    /// # Panics
    /// Outside of a loop.
    ///
    /// # Examples
    /// ```
    /// # tulipa::run(async {
    /// let cached = tulipa::task::Builder::new().spawn_eager(async { 5 });
    /// assert!(cached.is_finished());
    /// assert_eq!(cached.await.unwrap(), 5);
    /// # });
    /// ```
    #[track_caller]
    #[doc(alias = "eager_start")]
    #[doc(alias = "eager_task_factory")]
    pub fn spawn_eager<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = Location::caller();
        let Some(core) = core::current() else {
            core::panic_outside(location)
        };
        if core.get().is_closing() || core.get().running.get().is_none() {
            return self.spawn_at(core, future, location);
        }
        let task = cell::allocate(core, future, location, Extras::named(self.name));
        if let Some(context) = self.context {
            drop(task.replace_context(context));
        }
        core.get().tasks.push(task);
        // SAFETY: allocated for this future just now, with `HANDLE` set.
        let handle = unsafe { JoinHandle::new(task) };
        let _surroundings = Surroundings::put_aside(core);
        task.run_at_once(core.get());
        handle
    }

    /// Starts the task, as [`spawn`] does.
    ///
    /// # Panics
    /// Outside of a loop.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = Location::caller();
        match core::current() {
            Some(core) => self.spawn_at(core, future, location),
            None => core::panic_outside(location),
        }
    }

    fn spawn_at<F>(
        self,
        core: CorePtr,
        future: F,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let handle = spawn_on(core, future, location, Extras::named(self.name));
        if let Some(context) = self.context {
            drop(handle.task_ref().replace_context(context));
        }
        handle
    }
}

/// Starts a task in a loop that this thread owns.
#[inline]
pub(crate) fn spawn_on<F>(
    core: CorePtr,
    future: F,
    location: &'static Location<'static>,
    extras: Option<Box<Extras>>,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let task = cell::allocate(core, future, location, extras);
    core.get().enlist(task);
    // SAFETY: allocated for this future just now, with `HANDLE` set.
    unsafe { JoinHandle::new(task) }
}

/// The root future of a run, which borrows from the caller's stack, as a task among the others.
///
/// The task holds only a pointer to the pinned future and to the place for its output.
///
/// # Invariants
/// The erased future is polled only while this value lives: when it is dropped, the task is completed
/// first. The borrow `'a` outlives this value.
pub(crate) struct RootFuture<'a> {
    handle: JoinHandle<()>,
    _borrowed: PhantomData<&'a mut ()>,
}

/// What the root's task polls.
struct Erased {
    poll: unsafe fn(NonNull<()>, &mut Context<'_>) -> Poll<()>,
    state: NonNull<()>,
}

impl Future for Erased {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `state` is the one that `poll` was made for, and lives: see the invariants of
        // `RootFuture`. The executor polls a task only from one place at a time.
        unsafe { (self.poll)(self.state, cx) }
    }
}

/// A pinned future and the place for its output.
pub(crate) struct RootState<'a, F: Future> {
    pub(crate) future: Pin<&'a mut F>,
    pub(crate) output: Cell<Option<F::Output>>,
}

impl<'a> RootFuture<'a> {
    /// Spawns the task that polls `state.future` and leaves the value in `state.output`.
    pub(crate) fn spawn<F: Future>(
        core: CorePtr,
        state: &'a mut RootState<'_, F>,
        location: &'static Location<'static>,
    ) -> RootFuture<'a> {
        /// # Safety
        /// `state` points to a `RootState<F>` that nobody else uses meanwhile.
        unsafe fn poll<F: Future>(state: NonNull<()>, cx: &mut Context<'_>) -> Poll<()> {
            // SAFETY: by the caller.
            let state = unsafe { state.cast::<RootState<'_, F>>().as_mut() };
            state.future.as_mut().poll(cx).map(|value| {
                state.output.set(Some(value));
                keep_context();
            })
        }
        let erased = Erased {
            poll: poll::<F>,
            state: NonNull::from(state).cast(),
        };
        let task = cell::allocate(core, erased, location, Extras::named(Some("main".into())));
        // What the run before has set is still there.
        drop(task.replace_context(core.get().context.borrow().clone()));
        core.get().enlist(task);
        // SAFETY: allocated for a future with output `()` just now, with `HANDLE` set.
        let handle = unsafe { JoinHandle::new(task) };
        RootFuture {
            handle,
            _borrowed: PhantomData,
        }
    }

    pub(crate) fn handle(&mut self) -> &mut JoinHandle<()> {
        &mut self.handle
    }
}

/// Keeps the running task's values of context variables for the next run.
fn keep_context() {
    if let Some(core) = core::current() {
        drop(core.get().context.replace(context::Context::current()));
    }
}

impl Drop for RootFuture<'_> {
    /// Ends the task, so that it never polls the future again. It is not being polled: the run that
    /// polls it is the one that drops this.
    fn drop(&mut self) {
        if !self.handle.is_finished() {
            self.handle.end_now();
        }
    }
}

impl JoinHandle<()> {
    /// Drops the future of a task that is not running, here and now.
    fn end_now(&mut self) {
        let task = self.task_ref();
        assert!(
            !task.header().flags.get().has(Flags::RUNNING),
            "the root is being polled"
        );
        task.drop_unfinished();
    }
}
