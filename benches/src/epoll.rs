//! epoll, level-triggered, with as little around it as can be: for the load generator and for the
//! loops that stand for the limit of what the kernel allows.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// How many events one wait can report.
const EVENTS_PER_WAIT: usize = 256;

/// An epoll instance and the events that it reported last.
pub(crate) struct Epoll {
    epoll: OwnedFd,
    events: [libc::epoll_event; EVENTS_PER_WAIT],
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes flags and touches no memory.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self {
            // SAFETY: `raw` has just come from `epoll_create1`, and nobody else owns it.
            epoll: unsafe { OwnedFd::from_raw_fd(raw) },
            // SAFETY: an event is two numbers, for which zero bits are a value.
            events: unsafe { MaybeUninit::zeroed().assume_init() },
        })
    }

    /// Reports `fd` under `token` whenever it can be read.
    pub(crate) fn add(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: `event` is a valid event and outlives the call.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// Reports `fd` no longer.
    pub(crate) fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: this operation ignores the event.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) })?;
        Ok(())
    }

    /// Waits until something can be read, for at most `timeout_ms` (-1: for ever); returns how
    /// many [`token`](Self::token)s there are.
    pub(crate) fn wait(&mut self, timeout_ms: i32) -> io::Result<usize> {
        let (epoll, capacity) = (self.epoll.as_raw_fd(), EVENTS_PER_WAIT as i32);
        let events = self.events.as_mut_ptr();
        // SAFETY: `events` has room for `capacity` events and outlives the call.
        let count = check(unsafe { libc::epoll_wait(epoll, events, capacity, timeout_ms) })?;
        Ok(count as usize)
    }

    /// The token of the event `index` of the last [`wait`](Self::wait).
    pub(crate) fn token(&self, index: usize) -> u64 {
        self.events[index].u64
    }
}

/// Waits until `fd` can be read.
pub(crate) fn wait_readable(fd: RawFd, timeout: Duration) -> io::Result<()> {
    wait_for(fd, libc::POLLIN, timeout)
}

/// Waits until `fd` can be written to.
pub(crate) fn wait_writable(fd: RawFd, timeout: Duration) -> io::Result<()> {
    wait_for(fd, libc::POLLOUT, timeout)
}

fn wait_for(fd: RawFd, events: libc::c_short, timeout: Duration) -> io::Result<()> {
    let mut poll = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: `poll` is one valid entry, as the count says, and outlives the call.
    match check(unsafe { libc::poll(&raw mut poll, 1, timeout.as_millis() as libc::c_int) })? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// The result of a system call that reports failure as -1 and `errno`.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
