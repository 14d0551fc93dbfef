//! Tying threads to processors.

use std::io;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::Places;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use nowhere::Places;

/// The processors that this process may use.
pub(super) fn places() -> io::Result<Places> {
    Places::new()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::*;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(crate) struct Places {
        processors: Vec<usize>,
    }

    impl Places {
        pub(super) fn new() -> io::Result<Places> {
            let allowed = sched_getaffinity(None)?;
            let processors = (0..CpuSet::MAX_CPU).filter(|it| allowed.is_set(*it));
            Ok(Places {
                processors: processors.collect(),
            })
        }

        /// Keeps this thread on the processor for `index`, until the guard is dropped.
        pub(crate) fn pin(&self, index: usize) -> io::Result<Pinned> {
            let before = sched_getaffinity(None)?;
            if !self.processors.is_empty() {
                let mut place = CpuSet::new();
                place.set(self.processors[index % self.processors.len()]);
                sched_setaffinity(None, &place)?;
            }
            Ok(Pinned { before })
        }
    }

    pub(crate) struct Pinned {
        before: CpuSet,
    }

    impl Drop for Pinned {
        fn drop(&mut self) {
            // What was allowed before may be forbidden by now: then the thread stays where it is.
            let _ = sched_setaffinity(None, &self.before);
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod nowhere {
    use super::*;

    pub(crate) struct Places;

    impl Places {
        pub(super) fn new() -> io::Result<Places> {
            Ok(Places)
        }

        pub(crate) fn pin(&self, _: usize) -> io::Result<Pinned> {
            Ok(Pinned)
        }
    }

    pub(crate) struct Pinned;
}
