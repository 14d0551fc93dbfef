//! Nothing hangs: a process of ours ends by itself after its time, or when its parent has gone.

/// Ends this process with `SIGALRM` after `seconds`, and with `SIGKILL` when its parent dies.
pub(crate) fn arm(seconds: u32) {
    // SAFETY: `alarm` takes any number; the signal's default action ends the process.
    unsafe { libc::alarm(seconds) };
    // SAFETY: this option takes a signal number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}
