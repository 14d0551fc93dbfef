//! The state of one loop: what its owner thread works on, and what other threads may reach.
//!
//! # Memory
//! A [`Core`] is allocated once and reached through [`CorePtr`] from its [`crate::Executor`] and
//! from every task's block. Blocks may outlive the executor (a waker kept by another thread, a
//! join handle kept by the program), so the core's memory is counted: one reference for each block and
//! for each [`CoreRef`] and [`RemoteCore`], and the executor's knowledge in place of a count while the
//! loop is open (see `biased_count`).
//!
//! # Invariants
//! 1. Behind a `CorePtr` is an allocated `Core`, as long as the executor is not dropped, or the block or
//!    counted reference that holds the pointer is not freed.
//! 2. Other threads touch only `owner`, `no_task_id`, `inject` and `blocks`.
//! 3. When the executor has closed the core, everything in it that may hold user code or thread-bound
//!    data is gone (tasks, timers, handler), so that any thread may free the memory.

#![allow(
    unsafe_code,
    reason = "fence: the counted memory of a loop, reached from its tasks"
)]

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tulipa_base::{Instant, TaskId};

use crate::biased_count::{BiasedCount, Release};
use crate::cancel::{LimitCell, Spot, Tree};
use crate::context::Context;
use crate::debug::Debug;
use crate::inject::Inject;
use crate::metrics::Counters;
use crate::ready_queue::ReadyQueue;
use crate::report::{self, ExceptionContext, ExceptionHandler, ExceptionKind, Tell};
use crate::shim::Cell;
use crate::task::{Flags, Pool, Registry, ScopedTasks, Task, TaskRef};
use crate::timer::Timers;
use crate::unhandled::{Follow, Unhandled};

pub(crate) struct Core {
    owner: ThreadId,
    pub(crate) ready: ReadyQueue,
    pub(crate) tasks: Registry,
    /// Those that run inside of others, for those who look.
    pub(crate) scoped: ScopedTasks,
    pub(crate) timers: Timers,
    pub(crate) pool: Pool,
    /// The task or callback whose code is running. Set only while it is on the stack.
    pub(crate) running: Cell<Option<TaskRef>>,
    /// The main task of the run that is under way.
    pub(crate) main: Cell<Option<TaskRef>>,
    /// The code that the process is to exit with, once someone has asked for that.
    pub(crate) exit_code: Cell<Option<i32>>,
    /// Tasks that panicked; wraps.
    pub(crate) panics: Cell<usize>,
    /// Milliseconds on the loop's clock when it was last looked at; wraps after 49 days.
    coarse_ms: Cell<u32>,
    /// Where in its task's tree the running code is.
    pub(crate) spot: Cell<Spot>,
    /// By when the running code must be done.
    pub(crate) limit: LimitCell,
    /// Scopes and catch points of all tasks; `None` once the loop is closed.
    tree: std::cell::RefCell<Option<Rc<Tree>>>,
    /// The context of code outside of tasks, and of the main futures of runs, one after the other.
    pub(crate) context: std::cell::RefCell<Context>,
    /// An id that no task has.
    no_task_id: TaskId,
    /// The id of the next task.
    next_id: Cell<TaskId>,
    is_closing: Cell<bool>,
    is_running: Cell<bool>,
    /// The run is to end, or the next one after a turn. Set it with [`Core::stop`].
    is_stopping: Cell<bool>,
    /// Somebody else waits for this loop: see [`Core::tell_host`].
    is_hosted: Cell<bool>,
    /// This is the child of a fork that was made in this loop.
    was_left_by_fork: Cell<bool>,
    spawned_while_closing: Cell<usize>,
    handler: std::cell::RefCell<Option<ExceptionHandler>>,
    pub(crate) unhandled: Unhandled,
    pub(crate) debug: Debug,
    pub(crate) counters: Counters,
    pub(crate) inject: Inject,
    blocks: BiasedCount,
    #[cfg(loom)]
    _live: crate::loom_models::Live,
}

impl Core {
    /// Allocates the core of a loop that the calling thread owns.
    pub(crate) fn allocate(
        inject: Inject,
        timers: Timers,
        handler: Option<ExceptionHandler>,
        unhandled: Unhandled,
        debug: Debug,
    ) -> CorePtr {
        static LOOPS: AtomicU16 = AtomicU16::new(1);
        let loop_number = LOOPS.fetch_add(1, Ordering::Relaxed);
        let core = Box::new(Core {
            owner: ThreadId::current_or_new(),
            ready: ReadyQueue::new(),
            tasks: Registry::new(),
            scoped: ScopedTasks::new(),
            timers,
            pool: Pool::new(),
            running: Cell::new(None),
            main: Cell::new(None),
            exit_code: Cell::new(None),
            panics: Cell::new(0),
            coarse_ms: Cell::new(0),
            spot: Cell::new(Spot::ROOT),
            limit: LimitCell::new(),
            tree: std::cell::RefCell::new(Some(Rc::new(Tree::new()))),
            context: std::cell::RefCell::new(Context::empty()),
            no_task_id: TaskId::new(loop_number, 0),
            next_id: Cell::new(TaskId::new(loop_number, 1)),
            is_closing: Cell::new(false),
            is_running: Cell::new(false),
            is_stopping: Cell::new(false),
            is_hosted: Cell::new(false),
            was_left_by_fork: Cell::new(false),
            spawned_while_closing: Cell::new(0),
            handler: std::cell::RefCell::new(handler),
            unhandled,
            debug,
            counters: Counters::new(),
            inject,
            blocks: BiasedCount::new(),
            #[cfg(loom)]
            _live: crate::loom_models::Live::new(),
        });
        CorePtr(NonNull::from(Box::leak(core)))
    }

    #[inline]
    pub(crate) fn next_task_id(&self) -> TaskId {
        let id = self.next_id.get();
        self.next_id.set(id.next());
        id
    }

    /// The task whose code is running; `None` in a callback, and outside of tasks.
    pub(crate) fn running_task(&self) -> Option<TaskRef> {
        let running = self.running.get()?;
        // A complete one is there for the destructors of what it left; nothing can be tied to it any more.
        let is_no_task = Flags::CALLBACK.with(Flags::COMPLETE);
        (!running.header().flags.get().has(is_no_task)).then_some(running)
    }

    /// Tasks that were ever spawned.
    pub(crate) fn spawned(&self) -> u64 {
        self.next_id.get().sequence() - 1
    }

    /// See the field.
    #[inline]
    pub(crate) fn coarse_ms(&self) -> u32 {
        self.coarse_ms.get()
    }

    /// Takes note of the time.
    #[inline]
    pub(crate) fn set_coarse(&self, now: Instant) {
        self.coarse_ms.set((now.as_nanos() / 1_000_000) as u32);
    }

    /// The loop's scopes and catch points, unless it is closed.
    pub(crate) fn tree(&self) -> Option<Rc<Tree>> {
        self.tree.borrow().clone()
    }

    /// Removes what is left in the tree of a task that completes.
    #[cold]
    pub(crate) fn forget_scopes_of(&self, task: TaskRef) {
        if let Some(tree) = self.tree() {
            tree.forget(task);
        }
    }

    /// Counts a block that points here. Owner thread only.
    #[inline]
    pub(crate) fn block_allocated(&self) {
        self.blocks.acquire_local();
    }

    /// Adds a new task to the loop.
    #[inline]
    pub(crate) fn enlist(&self, task: TaskRef) {
        self.tasks.push(task);
        if self.is_closing.get() {
            // It is dropped in its turn, without having run.
            self.spawned_while_closing
                .set(self.spawned_while_closing.get() + 1);
        } else {
            task.schedule_new(self);
        }
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Asks that the run end when the turn's snapshot has run.
    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
        // It is looked at where the loop looks outside, so that busy turns need not test for it.
        self.timers.hurry();
        self.tell_host();
    }

    /// Says whether somebody else prepares to wait for this loop, or that is over.
    pub(crate) fn set_hosted(&self, is_hosted: bool) {
        self.is_hosted.set(is_hosted);
    }

    /// Ends the wait of somebody else for this loop, if one is prepared: something was scheduled here from
    /// outside of the loop, on its own thread. Inside of the loop nobody waits.
    #[inline]
    pub(crate) fn tell_host(&self) {
        if self.is_hosted.get() {
            self.end_hosts_wait();
        }
    }

    #[cold]
    fn end_hosts_wait(&self) {
        self.is_hosted.set(false);
        self.inject.unpark();
    }

    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Whether it was asked to stop, once.
    pub(crate) fn take_stop(&self) -> bool {
        self.is_stopping.replace(false)
    }

    pub(crate) fn was_left_by_fork(&self) -> bool {
        self.was_left_by_fork.get()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running.get()
    }

    pub(crate) fn set_running(&self, is_running: bool) {
        self.is_running.set(is_running);
    }

    pub(crate) fn exception_handler(&self) -> Option<ExceptionHandler> {
        // A handler that is replaced while it is cloned cannot be: cloning an `Rc` runs no code of
        // the user's.
        self.handler.borrow().clone()
    }

    /// Tells the handler of a panic in the code of `task`, which may be a callback.
    #[cold]
    pub(crate) fn report_task(&self, kind: ExceptionKind, task: TaskRef, message: &str) {
        self.report_task_with(kind, task, message, None);
    }

    /// The same, with how long it took.
    #[cold]
    pub(crate) fn report_task_with(
        &self,
        kind: ExceptionKind,
        task: TaskRef,
        message: &str,
        duration: Option<Duration>,
    ) {
        let header = task.header();
        if header.flags.get().has(Flags::CALLBACK) {
            return self.tell(&ExceptionContext {
                registered_at: Some(header.spawned_at),
                duration,
                ..ExceptionContext::new(kind, message)
            });
        }
        header.with_name(|task_name| {
            self.tell(&ExceptionContext {
                task: Some(header.id),
                task_name,
                spawned_at: Some(header.spawned_at),
                duration,
                ..ExceptionContext::new(kind, message)
            });
        });
    }

    /// Tells the handler of a failure, and does what the policy says.
    #[cold]
    pub(crate) fn tell(&self, context: &ExceptionContext<'_>) {
        self.exception_handler().tell(context);
        match self.unhandled.follow(context) {
            Follow::Nothing => {}
            // It is looked at where the loop looks outside, so that busy turns need not test for it.
            Follow::EndRun => self.timers.hurry(),
        }
    }

    /// Ends the loop: drops every task, oldest first, then the callbacks, uncalled: those of timers, those
    /// in the ready queue, those that other threads sent. Owner thread only, with this core current, so
    /// that destructors may use the loop.
    pub(crate) fn close(&self) {
        self.is_closing.set(true);
        if self.debug.is_on() {
            self.report_unfinished();
        }
        let limit = self.tasks.len().saturating_mul(4).max(SPAWNS_WHILE_CLOSING);
        // Callbacks, wakers and the handler are anyone's code too, and may spawn when they are dropped.
        loop {
            self.drop_tasks(limit);
            self.timers.clear();
            self.empty_ready_queue();
            for message in self.inject.close() {
                // What was sent is dropped here, on the loop's thread.
                report::contain(ExceptionKind::DestructorPanicked, || message.refuse());
            }
            let handler = self.handler.take();
            report::contain(ExceptionKind::DestructorPanicked, || drop(handler));
            let context = self.context.take();
            report::contain(ExceptionKind::DestructorPanicked, || drop(context));
            if self.tasks.len() == 0 {
                break;
            }
        }
        self.empty_ready_queue();
        self.pool.close();
        self.scoped.clear();
        // From here on nothing finds a place in the loop: no scope, no context.
        if let Some(tree) = self.tree.take() {
            tree.close();
        }
        // What destructors have set meanwhile.
        let context = self.context.take();
        report::contain(ExceptionKind::DestructorPanicked, || drop(context));
        self.drop_tasks(limit);
    }

    /// Nothing runs any more: what was ready is only taken out, so that blocks are freed.
    fn empty_ready_queue(&self) {
        while let Some(task) = self.ready.pop_front() {
            task.unschedule();
        }
    }

    /// Reports every task that is about to be dropped. The handler is anyone's code: it may end some of them.
    fn report_unfinished(&self) {
        let tasks: Vec<_> = self.tasks.iter().map(Task::new).collect();
        for task in tasks.iter().filter(|task| !task.is_finished()) {
            self.report_dropped(task.task_ref());
        }
    }

    /// Drops every task, also those that destructors spawn, each in its turn. Where that would have no
    /// end, what is left is leaked.
    fn drop_tasks(&self, limit: usize) {
        while let Some(task) = self.tasks.first() {
            if self.spawned_while_closing.get() < limit {
                task.drop_unfinished();
            } else {
                self.report_task(
                    ExceptionKind::Other,
                    task,
                    "destructors go on spawning while the loop closes; this task is leaked",
                );
                task.leak_unfinished();
            }
        }
    }
}

/// Tasks that destructors may spawn while a loop closes, or four times as many as there were if that is
/// more. A clean-up of some generations stays far below; one that respawns itself ends after a tenth of
/// a second.
const SPAWNS_WHILE_CLOSING: usize = 1_000_000;

/// Points to a core. See the module's invariants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CorePtr(NonNull<Core>);

impl CorePtr {
    /// The core. The reference must not be kept beyond the executor or block it was reached by.
    #[inline]
    pub(crate) fn get<'a>(self) -> &'a Core {
        // SAFETY: invariant 1. Other threads use it only as invariant 2 says, so that no plain
        // field is touched from two threads.
        unsafe { self.0.as_ref() }
    }

    /// Whether the calling thread owns this loop.
    #[inline]
    pub(crate) fn is_owned_here(self) -> bool {
        // The first test needs no memory of the core; it is the usual case.
        self.is_current() || ThreadId::current() == Some(self.get().owner)
    }

    /// Whether the calling thread is in this loop.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        CURRENT.with(|current| current.get()) == Some(self)
    }

    /// Says that a block that points here has been freed, and frees the core after the last.
    #[inline]
    pub(crate) fn block_freed(self, is_owner: bool) {
        let blocks = &self.get().blocks;
        let release = if is_owner {
            blocks.release_local()
        } else {
            blocks.release_remote()
        };
        if release == Release::Last {
            self.free();
        }
    }

    /// Gives up the executor's claim. Owner thread only, after [`Core::close`].
    pub(crate) fn release_executor(self) {
        if self.get().blocks.settle() == Release::Last {
            self.free();
        }
    }

    /// A counted reference. Owner thread only.
    pub(crate) fn counted(self) -> CoreRef {
        self.get().blocks.acquire_local();
        CoreRef {
            core: self,
            _owner: PhantomData,
        }
    }

    #[cold]
    fn free(self) {
        // SAFETY: it was leaked from a box in `allocate`. The count says that no block and no
        // executor points here any more, and by invariant 3 its fields may be dropped anywhere.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl fmt::Debug for CorePtr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CorePtr({:p})", self.0)
    }
}

/// Keeps a core's memory, on its owner thread.
pub(crate) struct CoreRef {
    core: CorePtr,
    /// Not `Send`: the owner thread's alone.
    _owner: PhantomData<*const ()>,
}

impl CoreRef {
    #[inline]
    pub(crate) fn ptr(&self) -> CorePtr {
        self.core
    }

    #[inline]
    pub(crate) fn get(&self) -> &Core {
        self.core.get()
    }

    /// A reference that may go to other threads.
    pub(crate) fn remote(&self) -> RemoteCore {
        self.get().blocks.acquire_remote();
        RemoteCore { core: self.core }
    }
}

impl Clone for CoreRef {
    fn clone(&self) -> CoreRef {
        self.core.counted()
    }
}

impl Drop for CoreRef {
    fn drop(&mut self) {
        self.core.block_freed(true);
    }
}

/// Keeps a core's memory, on any thread.
pub(crate) struct RemoteCore {
    core: CorePtr,
}

// SAFETY: it reaches the count, the inject queue and the owner's name, which by invariant 2 any thread
// may touch; more only by `local`, which looks whose thread it is on.
unsafe impl Send for RemoteCore {}

// SAFETY: as for `Send`.
unsafe impl Sync for RemoteCore {}

impl RemoteCore {
    /// The core, if the calling thread owns it.
    pub(crate) fn local(&self) -> Option<CorePtr> {
        self.core.is_owned_here().then_some(self.core)
    }

    pub(crate) fn inject(&self) -> &Inject {
        &self.core.get().inject
    }

    /// An id of this loop that no task has.
    pub(crate) fn no_task_id(&self) -> TaskId {
        self.core.get().no_task_id
    }
}

impl Clone for RemoteCore {
    fn clone(&self) -> RemoteCore {
        self.core.get().blocks.acquire_remote();
        RemoteCore { core: self.core }
    }
}

impl Drop for RemoteCore {
    fn drop(&mut self) {
        self.core.block_freed(false);
    }
}

/// Names a thread that has ever owned a loop; never reused, unlike addresses and system ids.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ThreadId(u64);

impl ThreadId {
    /// The calling thread's id, or `None` if it never owned a loop.
    fn current() -> Option<ThreadId> {
        THREAD.with(|id| id.get()).map(ThreadId)
    }

    fn current_or_new() -> ThreadId {
        static THREADS: AtomicU64 = AtomicU64::new(1);
        ThreadId::current().unwrap_or_else(|| {
            let id = THREADS.fetch_add(1, Ordering::Relaxed);
            THREAD.with(|cell| cell.set(Some(id)));
            ThreadId(id)
        })
    }
}

#[cfg(not(loom))]
crate::shim::thread_local! {
    static THREAD: Cell<Option<u64>> = const { Cell::new(None) };
    static CURRENT: Cell<Option<CorePtr>> = const { Cell::new(None) };
}

#[cfg(loom)]
crate::shim::thread_local! {
    static THREAD: Cell<Option<u64>> = Cell::new(None);
    static CURRENT: Cell<Option<CorePtr>> = Cell::new(None);
}

/// The core of the loop that runs on this thread.
#[inline]
pub(crate) fn current() -> Option<CorePtr> {
    CURRENT.with(|current| current.get())
}

/// Forgets the loop that runs on this thread: for the child of a fork, which is not in it. Should the child
/// come back into that loop all the same, its next turn asks the reactor, which refuses.
pub(crate) fn forget_current() {
    if let Some(core) = CURRENT.with(|current| current.take()) {
        core.get().was_left_by_fork.set(true);
        core.get().timers.hurry();
    }
}

/// Calls `f` with the core of the loop that runs on this thread.
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Core>) -> R) -> R {
    match current() {
        Some(core) => f(Some(core.get())),
        None => f(None),
    }
}

/// Makes a core the current one until it is dropped.
pub(crate) struct Enter {
    before: Option<CorePtr>,
}

impl Enter {
    pub(crate) fn new(core: CorePtr) -> Enter {
        Enter {
            before: CURRENT.with(|current| current.replace(Some(core))),
        }
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.before));
    }
}

/// Panics, in the words that name the remedy, because no loop runs on this thread.
#[cold]
#[track_caller]
pub(crate) fn panic_outside(caller: &Location<'_>) -> ! {
    panic!(
        "no tulipa event loop runs on this thread (used at {caller}): start the program with \
         #[tulipa::main], or call this from inside tulipa::run(..)"
    )
}

/// The same, for a future that was made elsewhere and is polled here.
#[cold]
pub(crate) fn panic_polled_outside() -> ! {
    panic!(
        "no tulipa event loop runs on this thread, where a timer is awaited: start the program with \
         #[tulipa::main], or await it inside tulipa::run(..)"
    )
}
