//! CPU time that a process has used, in user space and in the kernel, all threads together.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// The CPU clock of a process, readable from outside of it.
///
/// The kernel brings the clock of another process up to date when that one is scheduled out, and
/// at its ticks (1 to 4 ms): read it while the process sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// The clock of the process `pid`.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        let mut clock = 0;
        // SAFETY: `clock` is a valid place for one clock id and outlives the call.
        match unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } {
            0 => Ok(Self(clock)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// The clock of this process.
    pub(crate) fn own() -> Self {
        Self(libc::CLOCK_PROCESS_CPUTIME_ID)
    }

    /// The CPU time used so far.
    pub(crate) fn read(self) -> io::Result<Duration> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: `time` is a valid place for one `timespec` and outlives the call.
        if unsafe { libc::clock_gettime(self.0, time.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded, so it has filled in the whole of `time`.
        let time = unsafe { time.assume_init() };
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}
