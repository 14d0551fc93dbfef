//! A deadline as a descriptor: Linux's timerfd.
//!
//! # Facts
//! epoll_wait(2) takes milliseconds, so a deadline of 100 µs would be met after 1 ms or more. Waits
//! that take a timespec (ppoll, epoll_pwait2) are stretched by the thread's timer slack, 50 µs unless
//! the process changes it for everything it does. A timerfd has neither flaw: it fires within
//! microseconds of an absolute time.
//!
//! # Decision
//! Deadlines that are near are set on a timerfd that the backend waits for together with its
//! sources, and the wait itself gets no timeout. The price is one timerfd_settime(2) for each such
//! wait, unless the same deadline is armed already. Deadlines further away than [`FAR`] get the wait's
//! own timeout, rounded down by a millisecond, for free: timeouts that are set for seconds and
//! cancelled soon, as most are, never touch the timerfd; one that does come due costs a second wait.
//!
//! Setting a timerfd clears its expirations, so it is never read.
//!
//! # Source
//! timerfd_create(2), epoll_wait(2), prctl(2) under PR_SET_TIMERSLACK.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tulipa_base::Instant;

use crate::reactor::{Wait, timeout_until};

/// From here on the wait's own timeout is used: 2 ms. If it were less than the millisecond by which
/// that is rounded down, the wait could come out as zero; if much more, short timeouts of busy
/// protocols would cost a system call each.
const FAR: Duration = Duration::from_millis(2);

/// The timer is armed for no longer than this, a day: it then fires early, and whoever is woken arms it
/// again. Some kernels refuse what does not fit into their own count.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct DeadlineTimer {
    fd: OwnedFd,
    armed_for: Option<Instant>,
}

/// How the backend is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// With this timeout; `None` is for ever.
    Timeout(Option<Duration>),
    /// Without a timeout: the timer's descriptor becomes readable at the deadline.
    Descriptor,
}

impl DeadlineTimer {
    pub(crate) fn new() -> io::Result<DeadlineTimer> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(DeadlineTimer {
            fd: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            armed_for: None,
        })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Decides how to wait, and arms the timer if it takes part.
    pub(crate) fn plan(&mut self, wait: Wait) -> io::Result<Plan> {
        let deadline = match wait {
            Wait::Poll => return Ok(Plan::Timeout(Some(Duration::ZERO))),
            Wait::Forever => return Ok(Plan::Timeout(None)),
            Wait::Until(deadline) => deadline,
        };
        let left = timeout_until(deadline, Instant::now());
        if left.is_zero() {
            return Ok(Plan::Timeout(Some(Duration::ZERO)));
        }
        if left >= FAR {
            return Ok(Plan::Timeout(Some(left - Duration::from_millis(1))));
        }
        self.arm_once(deadline, left)?;
        Ok(Plan::Descriptor)
    }

    /// Arms the timer for whatever deadline: for somebody who waits for the backend's descriptor, with a
    /// timeout of whatever precision. What has passed fires at once.
    pub(crate) fn arm_for(&mut self, deadline: Instant) -> io::Result<()> {
        let left = timeout_until(deadline, Instant::now());
        // Zero would disarm it.
        self.arm_once(deadline, left.clamp(Duration::from_nanos(1), LONGEST))
    }

    fn arm_once(&mut self, deadline: Instant, left: Duration) -> io::Result<()> {
        if self.armed_for != Some(deadline) {
            self.arm(left)?;
            self.armed_for = Some(deadline);
        }
        Ok(())
    }

    /// A relative setting: the loop's clock may be another one than the kernel's.
    fn arm(&self, left: Duration) -> io::Result<()> {
        let value = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = Itimerspec {
            it_interval: interval,
            it_value: value,
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }

    /// Takes note that the timer has fired: arming it for the same instant again does something.
    pub(crate) fn fired(&mut self) {
        self.armed_for = None;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn near_deadlines_use_the_descriptor_and_far_ones_the_timeout() {
        let mut timer = DeadlineTimer::new().unwrap();
        let now = Instant::now();
        assert_eq!(
            timer.plan(Wait::Poll).unwrap(),
            Plan::Timeout(Some(Duration::ZERO))
        );
        assert_eq!(timer.plan(Wait::Forever).unwrap(), Plan::Timeout(None));
        assert_eq!(
            timer.plan(Wait::Until(now)).unwrap(),
            Plan::Timeout(Some(Duration::ZERO))
        );
        let far = timer
            .plan(Wait::Until(now + Duration::from_secs(60)))
            .unwrap();
        assert!(matches!(far, Plan::Timeout(Some(left)) if left > Duration::from_secs(50)));
        assert!(matches!(
            timer.plan(Wait::Until(Instant::FAR_FUTURE)).unwrap(),
            Plan::Timeout(Some(_))
        ));
    }
}
