//! When a silent connection is probed.

use std::time::Duration;

use socket2::TcpKeepalive;

/// When a silent connection is probed, and when it is given up. What is not set stays as the system has it:
/// on Linux two hours, 75 seconds and 9 probes.
///
/// Without probes a connection on which nothing is sent never learns that its peer is gone. With
/// them it ends with `TimedOut` after `time + interval * retries`.
///
/// # Examples
/// Dead peers are noticed after a minute:
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() -> std::io::Result<()> {
/// use std::time::Duration;
/// use tulipa::net::{KeepAlive, TcpSocket};
///
/// let keep_alive = KeepAlive::new()
///     .time(Duration::from_secs(30))
///     .interval(Duration::from_secs(10))
///     .retries(3);
/// TcpSocket::new_v4()?.set_keep_alive_times(&keep_alive)?;
/// # Ok(())
/// # }
/// ```
///
/// # References
/// tcp(7); RFC 9293, section 3.8.4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until a socket is given it"]
pub struct KeepAlive {
    time: Option<Duration>,
    interval: Option<Duration>,
    retries: Option<u32>,
}

impl KeepAlive {
    /// The system's own times.
    pub fn new() -> KeepAlive {
        KeepAlive::default()
    }

    /// How long the connection is silent before the first probe. Systems count in seconds; less than
    /// one counts as one.
    #[doc(alias = "TCP_KEEPIDLE")]
    pub fn time(mut self, time: Duration) -> KeepAlive {
        self.time = Some(whole_seconds(time));
        self
    }

    /// How long an answer is waited for before the next probe, in seconds as [`time`](KeepAlive::time) is.
    ///
    /// # Platform notes
    /// OpenBSD has one for all sockets, which this leaves alone.
    #[doc(alias = "TCP_KEEPINTVL")]
    pub fn interval(mut self, interval: Duration) -> KeepAlive {
        self.interval = Some(whole_seconds(interval));
        self
    }

    /// How many probes go unanswered until the connection is given up.
    ///
    /// # Platform notes
    /// OpenBSD has one number for all sockets, which this leaves alone. Windows knows it since version 10.
    #[doc(alias = "TCP_KEEPCNT")]
    pub fn retries(mut self, retries: u32) -> KeepAlive {
        self.retries = Some(retries);
        self
    }

    pub(crate) fn to_socket2(&self) -> TcpKeepalive {
        let mut params = TcpKeepalive::new();
        if let Some(time) = self.time {
            params = params.with_time(time);
        }
        #[cfg(not(target_os = "openbsd"))]
        {
            if let Some(interval) = self.interval {
                params = params.with_interval(interval);
            }
            if let Some(retries) = self.retries {
                params = params.with_retries(retries);
            }
        }
        params
    }
}

/// Rounded up: cut down, a part of a second would be zero, which systems refuse.
pub(crate) fn whole_seconds(duration: Duration) -> Duration {
    let seconds = duration.as_secs();
    let more = u64::from(duration.subsec_nanos() > 0 || seconds == 0);
    Duration::from_secs(seconds.saturating_add(more))
}
