//! poll(2): for any Unix, and where epoll or kqueue are not to be had.
//!
//! The kernel is handed an array of descriptors at each wait, so a wait costs time in proportion to the
//! sources. Readiness is level-triggered here; the edge that the contract asks for is made by leaving
//! a direction out of the array once it was reported, until it is rearmed. A source with no direction
//! left is left out whole: poll(2) reports errors and hang-ups of every descriptor it is given.
//!
//! # Invariants
//! 1. `index` maps the token of each element of `sources` to its position.
//! 2. The descriptor of each element of `sources` is open: whoever registered it deregisters or
//!    forgets it before closing it. (A breach makes poll(2) report `NVAL`, or another's readiness.)
//!
//! # Source
//! poll(2), POSIX.1-2024.

#![allow(
    unsafe_code,
    reason = "fence: keeps borrowed descriptors in the set of poll(2)"
)]

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::deadline_timer::{DeadlineTimer, Plan};
use crate::reactor::{Event, Interest, Reactor, Readiness, Token, Wait, Wakeup};
use crate::source::Source;

/// One wait is no longer than this: a day, as in asyncio. Some kernels refuse longer ones.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct PollReactor {
    sources: Vec<Watched>,
    index: HashMap<usize, usize>,
    timer: DeadlineTimer,
    /// The reading end of the pipe that ends a wait.
    wake_receiver: OwnedFd,
    waker: Arc<PipeWakeup>,
    /// The array for the kernel, kept for its memory, and which source each element is about.
    fds: Vec<PollFd<'static>>,
    positions: Vec<usize>,
}

struct Watched {
    token: Token,
    fd: RawFd,
    /// The directions that the owner wants to hear of.
    interest: PollFlags,
    /// Those of them that have not been reported since they were armed.
    armed: PollFlags,
}

struct PipeWakeup(OwnedFd);

impl Wakeup for PipeWakeup {
    fn wakeup(&self) {
        // A full pipe is a wake-up that has not been noticed yet; a closed one has nobody to wake.
        let _ = rustix::io::retry_on_intr(|| rustix::io::write(&self.0, &[1]));
    }
}

impl PollReactor {
    pub(crate) fn new() -> io::Result<PollReactor> {
        let (wake_receiver, sender) = wake_pipe()?;
        Ok(PollReactor {
            sources: Vec::new(),
            index: HashMap::new(),
            timer: DeadlineTimer::new()?,
            wake_receiver,
            waker: Arc::new(PipeWakeup(sender)),
            fds: Vec::new(),
            positions: Vec::new(),
        })
    }

    fn remove(&mut self, token: Token) {
        let Some(position) = self.index.remove(&token.0) else {
            return;
        };
        self.sources.swap_remove(position);
        if let Some(moved) = self.sources.get(position) {
            self.index.insert(moved.token.0, position);
        }
    }

    /// Fills `fds` with the armed sources; what comes after them are the fixed descriptors.
    fn collect(&mut self) {
        self.fds.clear();
        self.positions.clear();
        for (position, source) in self.sources.iter().enumerate() {
            if !source.armed.is_empty() {
                // SAFETY: open while it is in the set, by invariant 2, and borrowed for one wait. Were
                // that broken, poll(2) would report `NVAL`, or the readiness of the number's new owner.
                let fd = unsafe { BorrowedFd::borrow_raw(source.fd) };
                self.fds.push(PollFd::from_borrowed_fd(fd, source.armed));
                self.positions.push(position);
            }
        }
    }
}

/// A non-blocking pipe. Where the flags cannot be set in one call they are set after it.
fn wake_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::pipe::{PipeFlags, pipe_with};
        Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
    }
    #[cfg(target_vendor = "apple")]
    {
        let (receiver, sender) = rustix::pipe::pipe()?;
        for fd in [&receiver, &sender] {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok((receiver, sender))
    }
}

impl Reactor for PollReactor {
    fn name(&self) -> &'static str {
        "poll"
    }

    fn register(
        &mut self,
        source: &mut dyn Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let fd = source.as_fd().as_raw_fd();
        let interest = flags(interest);
        self.index.insert(token.0, self.sources.len());
        self.sources.push(Watched {
            token,
            fd,
            interest,
            armed: interest,
        });
        Ok(())
    }

    fn deregister(&mut self, _source: &mut dyn Source, token: Token) -> io::Result<()> {
        self.remove(token);
        Ok(())
    }

    fn forget(&mut self, token: Token) {
        self.remove(token);
    }

    fn rearm(&mut self, token: Token, interest: Interest) {
        if let Some(&position) = self.index.get(&token.0) {
            let source = &mut self.sources[position];
            source.armed |= flags(interest) & source.interest;
        }
    }

    fn needs_rearm(&self) -> bool {
        true
    }

    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
        self.collect();
        let plan = self.timer.plan(wait)?;
        let armed = self.fds.len();
        let mut fds = std::mem::take(&mut self.fds);
        let result = wait_for(&mut fds, &self.wake_receiver, &self.timer, plan);
        fds.truncate(armed);
        self.fds = fds;
        let fired = match result {
            Ok(fired) => fired,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if fired.timer {
            self.timer.fired();
        }
        if fired.wake {
            drain(&self.wake_receiver);
        }
        for (fd, &position) in self.fds.iter().zip(&self.positions) {
            let reported = fd.revents();
            if reported.is_empty() {
                continue;
            }
            let source = &mut self.sources[position];
            let is_failed = reported.intersects(PollFlags::ERR | PollFlags::NVAL);
            let is_hung_up = reported.contains(PollFlags::HUP) || is_failed;
            let is_readable = is_hung_up || reported.contains(PollFlags::IN);
            let is_writable = is_hung_up || reported.contains(PollFlags::OUT);
            if is_readable {
                source.armed -= PollFlags::IN;
            }
            if is_writable {
                source.armed -= PollFlags::OUT;
            }
            let readiness = Readiness::default()
                .with_if(Readiness::READABLE, is_readable)
                .with_if(Readiness::WRITABLE, is_writable)
                .with_if(Readiness::UNDRAINABLE, is_hung_up);
            events.push(Event {
                token: source.token,
                readiness,
            });
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wakeup> {
        Arc::clone(&self.waker) as Arc<dyn Wakeup>
    }
}

/// Which of the fixed descriptors were reported.
struct Fired {
    wake: bool,
    timer: bool,
}

/// Waits for `fds`, to which the fixed descriptors are appended for the call.
fn wait_for(
    fds: &mut Vec<PollFd<'static>>,
    wake_receiver: &OwnedFd,
    timer: &DeadlineTimer,
    plan: Plan,
) -> Result<Fired, Errno> {
    // SAFETY: both descriptors are fields of the reactor whose call this is, and they are taken out
    // of the array (by the caller's `truncate`) before that call ends.
    let fixed = |fd: BorrowedFd<'_>| unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) };
    let wake_position = fds.len();
    fds.push(PollFd::from_borrowed_fd(
        fixed(wake_receiver.as_fd()),
        PollFlags::IN,
    ));
    let (timeout, timer_position) = match plan {
        Plan::Timeout(timeout) => (timeout.map(|timeout| timeout.min(LONGEST_WAIT)), None),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Plan::Descriptor => {
            fds.push(PollFd::from_borrowed_fd(
                fixed(timer.as_fd()),
                PollFlags::IN,
            ));
            (None, Some(fds.len() - 1))
        }
    };
    let _ = timer; // Not asked for its descriptor on systems where it has none.
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs() as _,
        tv_nsec: timeout.subsec_nanos() as _,
    });
    rustix::event::poll(fds, timeout.as_ref())?;
    Ok(Fired {
        wake: !fds[wake_position].revents().is_empty(),
        timer: timer_position.is_some_and(|position: usize| !fds[position].revents().is_empty()),
    })
}

/// Empties the pipe: a burst leaves one byte, so one read is enough nearly always.
fn drain(receiver: &OwnedFd) {
    let mut bytes = [0; 16];
    while matches!(rustix::io::read(receiver, &mut bytes), Ok(count) if count == bytes.len()) {}
}

fn flags(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::Both => PollFlags::IN | PollFlags::OUT,
    }
}
