//! How much memory of this process is resident.

use std::fs;
use std::io;

/// The resident set of this process, in bytes.
pub(crate) fn resident_bytes() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other("/proc/self/statm has no second number"))?;
    // SAFETY: `sysconf` takes any number and touches no memory of ours.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Ok(pages * page_bytes as u64)
}
