//! How much memory of a process is resident.

use std::fs;
use std::io;
use std::process;

/// The resident set of this process, in bytes.
pub(crate) fn resident_bytes() -> io::Result<u64> {
    resident_bytes_of(process::id())
}

/// The resident set of the process `pid`, in bytes.
pub(crate) fn resident_bytes_of(pid: u32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other("statm has no second number"))?;
    // SAFETY: `sysconf` takes any number and touches no memory of ours.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Ok(pages * page_bytes as u64)
}
