//! The default backend: mio, that is epoll, kqueue or IOCP, edge-triggered.

use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::Poll;
#[cfg(any(target_os = "linux", target_os = "android"))]
use tulipa_base::Instant;

use super::deadline_timer::{DeadlineTimer, Plan};
use crate::reactor::{Event, Interest, Reactor, Readiness, Token, Wait, Wakeup};
use crate::source::Source;

/// Events taken by one system call. With more sources than this that are ready, what is touched when an event is
/// delivered would no longer be in the processor's cache when its task runs (measured with 10,000 busy
/// connections: 4 % of the time, the kernel's part included, between 1,024 and 256).
const EVENTS: usize = 256;

/// The unparker's token. Sources cannot have it: the driver's tokens stay far below.
const WAKE: mio::Token = mio::Token(usize::MAX);
#[cfg(any(target_os = "linux", target_os = "android"))]
const TIMER: mio::Token = mio::Token(usize::MAX - 1);

/// Urgent data is not read here, but it stops a read where it lies in the stream, so its presence
/// must be known: see [`Readiness::UNDRAINABLE`].
#[cfg(any(target_os = "linux", target_os = "android"))]
const READ: mio::Interest = mio::Interest::READABLE.add(mio::Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const READ: mio::Interest = mio::Interest::READABLE;

/// One wait is no longer than this: a day, as in asyncio. Some kernels refuse longer ones.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct MioReactor {
    poll: Poll,
    events: mio::Events,
    timer: DeadlineTimer,
    waker: Arc<MioWakeup>,
}

struct MioWakeup(mio::Waker);

impl Wakeup for MioWakeup {
    fn wakeup(&self) {
        // Otherwise it fails only when the wait it should end is gone already.
        while matches!(self.0.wake(), Err(error) if error.kind() == io::ErrorKind::Interrupted) {}
    }
}

impl MioReactor {
    pub(crate) fn new() -> io::Result<MioReactor> {
        let poll = Poll::new()?;
        let waker = Arc::new(MioWakeup(mio::Waker::new(poll.registry(), WAKE)?));
        let timer = DeadlineTimer::new()?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use std::os::fd::AsRawFd;
            let fd = timer.as_fd().as_raw_fd();
            let mut source = mio::unix::SourceFd(&fd);
            poll.registry()
                .register(&mut source, TIMER, mio::Interest::READABLE)?;
        }
        Ok(MioReactor {
            poll,
            events: mio::Events::with_capacity(EVENTS),
            timer,
            waker,
        })
    }
}

impl Reactor for MioReactor {
    fn name(&self) -> &'static str {
        "mio"
    }

    fn register(
        &mut self,
        source: &mut dyn Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        source
            .as_mio()
            .register(self.poll.registry(), mio::Token(token.0), flags(interest))
    }

    /// `EPOLL_CTL_MOD` and `EV_ADD` look at once whether the source is ready.
    fn reregister(
        &mut self,
        source: &mut dyn Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        source
            .as_mio()
            .reregister(self.poll.registry(), mio::Token(token.0), flags(interest))
    }

    fn deregister(&mut self, source: &mut dyn Source, _token: Token) -> io::Result<()> {
        source.as_mio().deregister(self.poll.registry())
    }

    /// The kernel forgets a socket when its last descriptor is closed, and mio's Windows sockets take
    /// themselves out when they are dropped. If the program has duplicated the descriptor, the kernel
    /// goes on reporting the old token, which the driver's generations tell from a new one.
    fn forget(&mut self, _token: Token) {}

    /// mio's readiness comes on the edge: a system call that would block arms the next one.
    fn rearm(&mut self, _token: Token, _interest: Interest) {}

    fn needs_rearm(&self) -> bool {
        false
    }

    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
        let timeout = match self.timer.plan(wait)? {
            Plan::Timeout(timeout) => timeout.map(|timeout| timeout.min(LONGEST_WAIT)),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Plan::Descriptor => None,
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            match event.token() {
                WAKE => {}
                #[cfg(any(target_os = "linux", target_os = "android"))]
                TIMER => self.timer.fired(),
                mio::Token(token) => {
                    let is_failed = event.is_error();
                    // A hang-up may come alone: an empty pipe whose last writer is gone, a terminal.
                    let is_ended = is_failed || event.is_read_closed();
                    let is_broken = is_failed || event.is_write_closed();
                    let is_undrainable = is_ended || event.is_priority();
                    let readiness = Readiness::default()
                        .with_if(Readiness::READABLE, is_ended || event.is_readable())
                        .with_if(Readiness::WRITABLE, is_broken || event.is_writable())
                        .with_if(Readiness::UNDRAINABLE, is_undrainable);
                    events.push(Event {
                        token: Token(token),
                        readiness,
                    });
                }
            }
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wakeup> {
        Arc::clone(&self.waker) as Arc<dyn Wakeup>
    }

    /// The descriptor of epoll or kqueue. The waker and the timer are registered in it.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.poll.registry().as_fd())
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn arm(&mut self, deadline: Instant) -> io::Result<()> {
        self.timer.arm_for(deadline)
    }
}

fn flags(interest: Interest) -> mio::Interest {
    match interest {
        Interest::Read => READ,
        Interest::Write => mio::Interest::WRITABLE,
        Interest::Both => READ.add(mio::Interest::WRITABLE),
    }
}
