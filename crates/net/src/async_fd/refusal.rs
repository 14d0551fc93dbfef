//! What cannot be waited for.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::watch_error::cannot_watch;

/// Files are always ready, as far as the system is concerned, and block all the same. epoll refuses them;
/// poll(2) and kqueue take some of them, so that is asked here for all.
pub(super) fn ensure_not_file(fd: BorrowedFd<'_>) -> io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    // Its type has another width on each system.
    let what = match FileType::from_raw_mode(stat.st_mode as _) {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::BlockDevice => "a block device",
        _ => return Ok(()),
    };
    Err(refused(what, Errno::PERM.into()))
}

/// What the reactor's error means.
pub(super) fn explain(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::PERM) => refused("a descriptor of this kind", error),
        _ => cannot_watch(error),
    }
}

fn refused(what: &'static str, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Refusal { what, source })
}

#[derive(Debug)]
struct Refusal {
    what: &'static str,
    source: io::Error,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cannot be waited for, it counts as ready always ({}): use spawn_blocking",
            self.what, self.source
        )
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
