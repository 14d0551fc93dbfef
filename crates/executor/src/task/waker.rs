//! The waker of a task: a pointer to its block, and one reference in its count.

#![allow(unsafe_code, reason = "fence: raw wakers of task blocks")]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::task::header::{Header, TaskRef};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that borrows the task, for the time of a poll: it is not counted.
pub(crate) struct Borrowed {
    waker: ManuallyDrop<Waker>,
}

impl Deref for Borrowed {
    type Target = Waker;

    #[inline]
    fn deref(&self) -> &Waker {
        &self.waker
    }
}

/// The task's waker, for the time of a poll: the task is not freed while it is `RUNNING`.
#[inline]
pub(crate) fn borrowed(task: TaskRef) -> Borrowed {
    // SAFETY: the functions of `VTABLE` keep the contract of `RawWaker` (thread-safe; `clone` makes
    // a counted one). That this one is not counted is made good by never dropping it.
    let waker = unsafe { Waker::new(task.as_ptr().cast(), &VTABLE) };
    Borrowed {
        waker: ManuallyDrop::new(waker),
    }
}

/// A waker of the task's own, which is counted. Owner thread only.
pub(crate) fn counted(task: TaskRef) -> Waker {
    borrowed(task).clone()
}

/// The task that `waker` wakes, if it is one of this crate's. It is valid as long as the waker.
#[inline]
pub(crate) fn task_of(waker: &Waker) -> Option<TaskRef> {
    if !std::ptr::eq(waker.vtable(), &VTABLE) {
        return None;
    }
    // SAFETY: with this vtable, it was made here.
    Some(unsafe { task(waker.data()) })
}

/// # Safety
/// `data` is the pointer of a waker made here, whose reference or borrow is still held.
#[inline]
unsafe fn task(data: *const ()) -> TaskRef {
    // SAFETY: it was made from a `TaskRef` in `borrowed` or `clone`, and by the caller the block is
    // still there.
    unsafe { TaskRef::new(NonNull::new_unchecked(data.cast_mut().cast::<Header>())) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the caller is a waker.
    unsafe { task(data) }.acquire();
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the caller is a waker, and gives its reference to this call.
    let reference = Reference(unsafe { task(data) });
    reference.0.wake();
}

/// A reference that is given up in any case: unparking a loop of another kind may panic.
struct Reference(TaskRef);

impl Drop for Reference {
    #[inline]
    fn drop(&mut self) {
        self.0.release();
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller is a waker.
    unsafe { task(data) }.wake();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the caller is a waker, and gives its reference to this call.
    unsafe { task(data) }.release();
}
