//! Tasks that a future runs inside of itself: they may borrow what the future may borrow.
//!
//! They are blocks like any others, with the same wakers and join handles, but the loop never sees them:
//! woken, they go into the queue of their scope and wake its owner; the owner's poll runs them; and the scope drops
//! them. So whatever becomes of the future that owns the scope, nothing polls or drops its tasks behind its back. If it
//! is leaked, they are leaked with it.
//!
//! # Invariants
//! 1. A block with the `SCOPED` flag was allocated for a [`Scoped`] future. Until its future is dropped, its stage begins
//!    with the pointer to the queue.
//! 2. A scoped task is in `members` of its scope until its future is gone. Its future is polled and dropped through
//!    [`ScopeQueue`] alone, whose lifetime says that what the future borrows is still there.

#![allow(
    unsafe_code,
    reason = "fence: finds the queue in a task's block; makes scoped tasks"
)]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use crate::core::CorePtr;
use crate::ready_queue::ReadyQueue;
use crate::report::{ExceptionKind, contain};
use crate::task::cell;
use crate::task::header::{Extras, Flags, TaskRef};
use crate::task::join::JoinHandle;
use crate::task::registry::Registry;
use crate::task::surroundings::Surroundings;
use pin_project_lite::pin_project;

/// The tasks of one scope, which may borrow for `'env`.
pub(crate) struct ScopeQueue<'env> {
    inner: Rc<Inner>,
    /// Invariant: `'env` is neither shortened nor stretched.
    _borrows: PhantomData<Cell<&'env ()>>,
}

struct Inner {
    ready: ReadyQueue,
    members: Registry,
    owner: RefCell<Option<Waker>>,
    /// The loop of the tasks.
    core: Cell<Option<CorePtr>>,
    /// The owner has been woken since it last ran the tasks.
    is_notified: Cell<bool>,
    /// It is in the loop's list.
    is_listed: Cell<bool>,
}

/// The scopes whose tasks a loop would not find otherwise, to look at them. Those that are gone are taken off the list
/// before it grows.
pub(crate) struct ScopedTasks(RefCell<Vec<Weak<Inner>>>);

impl ScopedTasks {
    pub(crate) fn new() -> ScopedTasks {
        ScopedTasks(RefCell::new(Vec::new()))
    }

    fn add(&self, scope: &Rc<Inner>) {
        if scope.is_listed.replace(true) {
            return;
        }
        let mut scopes = self.0.borrow_mut();
        if scopes.len() == scopes.capacity() {
            scopes.retain(|scope| scope.strong_count() > 0);
        }
        scopes.push(Rc::downgrade(scope));
    }

    /// Calls `f`, which runs nobody else's code, with each unfinished task of each scope.
    pub(crate) fn for_each(&self, mut f: impl FnMut(TaskRef)) {
        for scope in self.0.borrow().iter().filter_map(Weak::upgrade) {
            scope.members.iter().for_each(&mut f);
        }
    }

    /// Forgets them all. A loop that is closed is not looked at any more.
    pub(crate) fn clear(&self) {
        drop(self.0.take());
    }
}

impl<'env> ScopeQueue<'env> {
    pub(crate) fn new() -> ScopeQueue<'env> {
        ScopeQueue {
            inner: Rc::new(Inner {
                ready: ReadyQueue::new(),
                members: Registry::new(),
                owner: RefCell::new(None),
                core: Cell::new(None),
                is_notified: Cell::new(false),
                is_listed: Cell::new(false),
            }),
            _borrows: PhantomData,
        }
    }

    /// Makes a task that runs in this scope.
    pub(crate) fn spawn<F>(
        &self,
        core: CorePtr,
        future: F,
        location: &'static Location<'static>,
        extras: Option<Box<Extras>>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.check_loop(core);
        self.inner.core.set(Some(core));
        let scoped = Scoped {
            inner: Rc::clone(&self.inner),
            core,
            future: Some(future),
            _pinned: PhantomPinned,
        };
        let task = cell::allocate(core, scoped, location, extras);
        task.header().set(Flags::SCOPED);
        self.inner.members.push(task);
        // Nobody looks at a loop that is closing, and what is on the list must be gone when it is closed: the last
        // reference to the loop's memory may be given up on another thread.
        if !core.get().is_closing() {
            core.get().scoped.add(&self.inner);
        }
        task.schedule();
        // SAFETY: allocated for a future with this output just now, with `HANDLE` set.
        unsafe { JoinHandle::new(task) }
    }

    /// Leaves the waker of the future that runs the tasks. Cloning and dropping wakers may be anyone's code.
    pub(crate) fn set_owner(&self, waker: &Waker) {
        if let Some(before) = &*self.inner.owner.borrow()
            && before.will_wake(waker)
        {
            return;
        }
        let waker = waker.clone();
        let before = self.inner.owner.replace(Some(waker));
        drop(before);
    }

    /// Runs the tasks that are ready, each once. Says whether others have become ready meanwhile.
    pub(crate) fn run(&self, core: CorePtr) -> bool {
        self.check_loop(core);
        self.inner.is_notified.set(false);
        if self.inner.ready.is_empty() {
            return false;
        }
        let _surroundings = Surroundings::put_aside(core);
        self.inner.ready.run_snapshot(|task| task.run(core.get()));
        !self.inner.ready.is_empty()
    }

    fn check_loop(&self, core: CorePtr) {
        assert!(
            self.inner.core.get().is_none_or(|it| it == core),
            "a scope is used in another event loop than the one that its children were spawned in"
        );
    }

    /// Drops the tasks, oldest first, and those that their destructors spawn.
    pub(crate) fn drop_tasks(&self) {
        while let Some(task) = self.inner.members.first() {
            task.drop_unfinished();
        }
        while let Some(task) = self.inner.ready.pop_front() {
            task.unschedule();
        }
    }
}

impl Drop for ScopeQueue<'_> {
    fn drop(&mut self) {
        self.drop_tasks();
    }
}

pin_project! {
    /// A future in a scoped task's block.
    #[repr(C)]
    struct Scoped<F> {
        // First, so that it is found without knowing `F`.
        inner: Rc<Inner>,
        core: CorePtr,
        #[pin]
        future: Option<F>,
        // The pointer at the front is read while the future is polled.
        #[pin]
        _pinned: PhantomPinned,
    }

    impl<F> PinnedDrop for Scoped<F> {
        /// The future goes first: its destructors may wake the task, which uses the queue. The task leaves the
        /// scope also when one of them panics: its block will be freed.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _leaves = Leaves {
                members: &this.inner.members,
                // A future in a block is only ever dropped as the running task's.
                task: this.core.get().running.get(),
            };
            this.future.set(None);
        }
    }
}

/// A task that leaves its scope when this is dropped.
struct Leaves<'a> {
    members: &'a Registry,
    task: Option<TaskRef>,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            self.members.remove(task);
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl TaskRef {
    /// Puts a scoped task, which is unfinished and not in the queue, into the one of its scope, and wakes the owner.
    #[cold]
    pub(crate) fn schedule_in_scope(self) {
        let inner = self.scope();
        let header = self.header();
        header.set(Flags::SCHEDULED);
        inner.ready.push_back(self);
        if !inner.is_notified.replace(true) {
            // It is moved, not cloned: cloning may be anyone's code. The owner leaves another one.
            let owner = inner.owner.take();
            if let Some(owner) = owner {
                contain(ExceptionKind::WakerPanicked, || owner.wake());
            }
        }
    }

    fn scope(self) -> Rc<Inner> {
        let header = self.header();
        // SAFETY: by invariant 1 the stage begins with the pointer, whose value this clones in place.
        unsafe {
            let stage = self.as_ptr().byte_add(header.vtable.stage_offset);
            Rc::clone(&*stage.cast::<Rc<Inner>>())
        }
    }
}
