//! Which CPU a process or thread runs on.
//!
//! The runtime under test has a CPU to itself, and so has what it talks to (the load generator,
//! the thread that wakes it): otherwise the scheduler's choice of CPU is the larger part of what
//! is measured.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The two places a measurement knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The runtime under test.
    Runtime,
    /// The other side: load generator, waking thread.
    Peer,
}

/// Pins the calling thread, and the threads it will start, to the CPU of `place`.
///
/// The CPUs are the first two that this process was allowed when it first called this. A child
/// process inherits the narrowed set: start children first. With one CPU both places share it.
pub(crate) fn pin_to(place: Place) {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(allowed_cpus);
    let index = match place {
        Place::Runtime => 0,
        Place::Peer => 1.min(allowed.len() - 1),
    };
    let mut set = empty_set();
    // SAFETY: `set` is initialised, and the CPU number came out of a set of the same size.
    unsafe { libc::CPU_SET(allowed[index], &mut set) };
    // SAFETY: `set` is a valid set of the size that is passed. A refusal is no reason to stop: the
    // figures are noisier, and still comparable.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
}

/// The CPUs that this process may use, in order; `[0]` if the kernel does not say.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let mut set = empty_set();
    // SAFETY: `set` is a valid set of the size that is passed.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    // SAFETY: `set` is initialised and the numbers asked for are below its size.
    let allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(allowed).collect();
    if result != 0 || cpus.is_empty() {
        vec![0]
    } else {
        cpus
    }
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: the set is a bit mask; all bits zero is the empty set.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
