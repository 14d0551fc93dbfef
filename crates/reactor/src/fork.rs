//! Forks: has this process become the child of one since a loop was made?
//!
//! A child inherits the memory of the thread that forked, and the descriptors. If it forked inside of a
//! loop, that loop seems to run in the child too, but it must not be used there: epoll, kqueue, and the
//! timer are shared with the parent, so what one registers or takes the other loses. A child that starts
//! other programs does not care; one that goes on must not see the parent's loop, and may start its own.
//!
//! So the C library is asked, once, to call a function in each child. It counts, and calls a hook that
//! makes the thread forget its loop. Comparing process ids instead would cost a system call each time.
//!
//! Children of `vfork`, `posix_spawn` and raw system calls are not noticed. They are to call `exec`.
//!
//! # Source
//! pthread_atfork(3), POSIX.1-2024.

#![cfg_attr(
    unix,
    allow(
        unsafe_code,
        reason = "fence: asks the C library to call a function in the children of forks"
    )
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static HOOK: OnceLock<fn()> = OnceLock::new();

/// How many forks lie between this process and the one that started, as far as they were noticed.
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has `hook` called in the child of every fork, on the thread that forked. The first hook stays.
///
/// It runs between `fork` and its return, where other threads may have held any lock: it must take no lock
/// and allocate nothing.
pub fn set_hook(hook: fn()) {
    let _ = HOOK.set(hook); // There is one loop library in a process, with one hook.
}

/// Begins to notice forks.
#[cfg(unix)]
pub(crate) fn watch() {
    use std::sync::Once;

    extern "C" fn in_child() {
        in_the_child();
    }

    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `in_child` lives as long as the program, and it does what a child may do between
        // `fork` and its return: it changes an atomic word, and calls the hook, which is of that kind by
        // the contract of `set_hook`.
        let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        // It fails for want of memory only. Forks then go unnoticed, which matters to few programs.
        debug_assert_eq!(result, 0, "pthread_atfork");
    });
}

/// There are no forks here.
#[cfg(not(unix))]
pub(crate) fn watch() {
    let _ = in_the_child; // Nobody calls it.
}

fn in_the_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    if let Some(hook) = HOOK.get() {
        hook();
    }
}
