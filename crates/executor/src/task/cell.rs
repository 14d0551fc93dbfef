//! The whole block of a task, and the steps of its life that must know the future's type.

#![allow(unsafe_code, reason = "fence: the task's block of memory")]

use std::alloc::Layout;
use std::any::Any;
use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::{ManuallyDrop, needs_drop, offset_of};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::CorePtr;
use crate::report::ExceptionKind;
use crate::task::header::{Extras, Header, TaskRef};
use crate::task::pool::BlockSize;

/// The payload of a caught panic.
pub(crate) type Panic = Box<dyn Any + Send>;

/// The steps that know the future's type `F`.
///
/// # Safety
/// Each is called with a task made by [`allocate`] for the same `F`, on the owner thread, in the states
/// that their comments name.
pub(crate) struct VTable {
    /// Polls the future. On `Ready` or a panic it has dropped the future and stored the outcome.
    /// The stage holds the future, and nobody else uses it.
    pub(crate) poll: unsafe fn(TaskRef, &mut Context<'_>) -> Polled,
    /// Drops the future, which the stage holds; a panic of its destructor is returned. The caller
    /// marks the stage as empty.
    pub(crate) drop_future: unsafe fn(TaskRef) -> Result<(), Panic>,
    /// Drops the value, which the stage holds, likewise.
    pub(crate) drop_value: unsafe fn(TaskRef) -> Result<(), Panic>,
    /// Where the stage is in the block, and so the value, once the stage holds it: reading it out needs
    /// the output's type alone, which a join handle knows.
    pub(crate) stage_offset: usize,
    /// Moves the payload out, which the stage holds. The caller marks the stage as empty.
    pub(crate) take_panic: unsafe fn(TaskRef) -> Panic,
    /// How the block was allocated.
    pub(crate) block: BlockSize,
}

/// What a poll led to.
pub(crate) enum Polled {
    // In the order of `Poll`'s variants, so that one becomes the other for free.
    /// The future is dropped and its value is in the stage.
    Value,
    /// The future waits.
    Pending,
    /// The future is dropped and the payload of its panic is in the stage.
    Panicked,
}

/// A task's block.
#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

/// The future, then its outcome, in the same place. The header's flags say which it is.
#[repr(C)]
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    value: ManuallyDrop<F::Output>,
    /// Boxed twice, so that the smallest stage is one word.
    panic: ManuallyDrop<Box<Panic>>,
}

/// Allocates the block of a task. Its first pointer is the caller's.
pub(crate) fn allocate<F: Future>(
    core: CorePtr,
    future: F,
    spawned_at: &'static Location<'static>,
    extras: Option<Box<Extras>>,
) -> TaskRef {
    let block = core.get().pool.allocate(Steps::<F>::BLOCK);
    let cell = block.cast::<TaskCell<F>>().as_ptr();
    let parent = core.get().running.get();
    let header = Header::new(Steps::<F>::VTABLE, core, spawned_at, extras, parent);
    // SAFETY: `cell` points to memory for a `TaskCell<F>` that nobody else uses. Both fields are
    // written in place, so that a large future is copied once.
    unsafe {
        (&raw mut (*cell).header).write(header);
        (&raw mut (*cell).stage).cast::<Stage<F>>().write(Stage {
            future: ManuallyDrop::new(future),
        });
    }
    core.get().block_allocated();
    // SAFETY: the header is the first field (`repr(C)`), and the pointer is that of the whole block.
    let task = unsafe { TaskRef::new(block.cast::<Header>()) };
    task.inherit(parent);
    task
}

/// Where the functions of a vtable live.
struct Steps<F>(std::marker::PhantomData<F>);

impl<F: Future> Steps<F> {
    const VTABLE: &'static VTable = &VTable {
        poll: Self::poll,
        drop_future: Self::drop_future,
        drop_value: Self::drop_value,
        stage_offset: offset_of!(TaskCell<F>, stage),
        take_panic: Self::take_panic,
        block: Self::BLOCK,
    };

    const BLOCK: BlockSize = BlockSize::of(Layout::new::<TaskCell<F>>());

    /// # Safety
    /// `task` was allocated for this `F`.
    #[inline]
    unsafe fn stage(task: TaskRef) -> *mut Stage<F> {
        let cell = task.as_ptr().cast::<TaskCell<F>>();
        // SAFETY: by the caller `cell` is an allocated `TaskCell<F>`; only a field's address is
        // formed.
        unsafe { UnsafeCell::raw_get(&raw const (*cell).stage) }
    }

    unsafe fn poll(task: TaskRef, cx: &mut Context<'_>) -> Polled {
        // SAFETY: by the caller.
        let stage = unsafe { Self::stage(task) };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: by the caller the stage holds the future, and only this call uses it. It does
            // not move: blocks stay where they were allocated until the future is dropped in place.
            let future = unsafe { Pin::new_unchecked(&mut *(*stage).future) };
            future.poll(cx)
        }));
        match polled {
            Ok(Poll::Pending) => Polled::Pending,
            Ok(Poll::Ready(value)) => {
                if needs_drop::<F>() {
                    // SAFETY: the stage holds the future, which is not used again.
                    if let Err(payload) = unsafe { Self::drop_future(task) } {
                        task.report(ExceptionKind::DestructorPanicked, payload);
                    }
                }
                // SAFETY: the stage is empty and ours.
                unsafe { (&raw mut (*stage).value).write(ManuallyDrop::new(value)) };
                Polled::Value
            }
            Err(payload) => {
                // SAFETY: as above.
                unsafe { Self::panicked(task, payload) };
                Polled::Panicked
            }
        }
    }

    /// The future has panicked. Out of line, so that a poll has no registers to save for this.
    ///
    /// # Safety
    /// As for `poll`, which calls it.
    #[cold]
    #[inline(never)]
    unsafe fn panicked(task: TaskRef, payload: Panic) {
        // SAFETY: by the caller the stage holds the future, which is not used again.
        if let Err(second) = unsafe { Self::drop_future(task) } {
            task.report(ExceptionKind::DestructorPanicked, second);
        }
        // SAFETY: by the caller.
        let stage = unsafe { Self::stage(task) };
        // SAFETY: the stage is empty and ours.
        unsafe { (&raw mut (*stage).panic).write(ManuallyDrop::new(Box::new(payload))) };
    }

    unsafe fn drop_future(task: TaskRef) -> Result<(), Panic> {
        // SAFETY: by the caller.
        let stage = unsafe { Self::stage(task) };
        catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: by the caller the stage holds the future and nobody uses it again.
            unsafe { ManuallyDrop::drop(&mut (*stage).future) }
        }))
    }

    unsafe fn drop_value(task: TaskRef) -> Result<(), Panic> {
        // SAFETY: by the caller.
        let stage = unsafe { Self::stage(task) };
        catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: by the caller the stage holds the value and nobody uses it again.
            unsafe { ManuallyDrop::drop(&mut (*stage).value) }
        }))
    }

    unsafe fn take_panic(task: TaskRef) -> Panic {
        // SAFETY: by the caller.
        let stage = unsafe { Self::stage(task) };
        // SAFETY: by the caller the stage holds the payload, which is not used here again.
        *unsafe { ManuallyDrop::take(&mut (*stage).panic) }
    }
}
