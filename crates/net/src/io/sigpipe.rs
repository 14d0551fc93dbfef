//! May system calls be used that raise `SIGPIPE`?
//!
//! splice(2) and sendfile(2) have no `MSG_NOSIGNAL`: writing to a connection that is gone raises the
//! signal, which ends the program unless it ignores or catches it. Rust's runtime ignores it before
//! `main`; a program may have asked for something else since, as tools that write to pipes do. Then these calls are left
//! alone. The question is asked once: asking costs as much as several copies of a small message.

use std::sync::OnceLock;

/// Whether the program ignores or catches the signal.
pub(crate) fn is_harmless() -> bool {
    static IS_HARMLESS: OnceLock<bool> = OnceLock::new();
    *IS_HARMLESS.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status");
        status.is_ok_and(|status| is_ignored_or_caught(&status))
    })
}

/// See proc_pid_status(5): masks in hexadecimal, the lowest bit is signal 1.
fn is_ignored_or_caught(status: &str) -> bool {
    const SIGPIPE: u32 = 13;
    ["SigIgn:", "SigCgt:"].iter().any(|name| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & 1 << (SIGPIPE - 1) != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_are_understood() {
        let status = |ignored: &str, caught: &str| {
            format!("SigBlk:\t0000000000001000\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n")
        };
        assert!(is_ignored_or_caught(&status("0000000000001000", "0")));
        assert!(is_ignored_or_caught(&status("0", "0000000000001002")));
        assert!(!is_ignored_or_caught(&status("0000000000000800", "0")));
        assert!(!is_ignored_or_caught("Name:\tx\n"));
        // Under the test harness, as in any Rust program.
        assert!(is_harmless());
    }
}
