//! TCP: echo and connection churn.

use std::io;
use std::time::Duration;

use super::{Case, Entrants, Figure, Measured, Scale};
use crate::measure::pinning::{self, Place};
use crate::net::churn;
use crate::net::server::Server;
use crate::net::service::Service;
use crate::net::tcp_echo::Echo;

/// An echo load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoLoad {
    pub(crate) connections: usize,
    pub(crate) message_bytes: usize,
    /// The server's buffer per connection. Larger than a small message, so that a read can come
    /// back short and tell the runtime that there is no more.
    pub(crate) buffer_bytes: usize,
}

impl EchoLoad {
    pub(crate) const fn small(connections: usize) -> Self {
        Self {
            connections,
            message_bytes: 64,
            buffer_bytes: SMALL_BUFFER_BYTES,
        }
    }

    pub(crate) fn service(&self) -> Service {
        Service::Echo {
            buffer_bytes: self.buffer_bytes,
        }
    }

    const fn large(connections: usize) -> Self {
        Self {
            connections,
            message_bytes: 16 * 1024,
            buffer_bytes: 16 * 1024,
        }
    }
}

pub(crate) const SMALL_BUFFER_BYTES: usize = 1024;

const FIGURES: &[Figure] = &[
    Figure::lower("server CPU", "µs/message"),
    Figure::higher("rate", "messages/s"),
    Figure::lower("p99", "µs"),
];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "tcp/echo 64 B × 1",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, EchoLoad::small(1), scale),
    },
    Case {
        name: "tcp/echo 64 B × 50",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, EchoLoad::small(50), scale),
    },
    Case {
        name: "tcp/echo 64 B × 1000",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, EchoLoad::small(1_000), scale),
    },
    Case {
        name: "tcp/echo 64 B × 10000",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: true,
        measure: |runtime, scale| echo(runtime, EchoLoad::small(10_000), scale),
    },
    Case {
        name: "tcp/echo 16 KiB × 50",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, EchoLoad::large(50), scale),
    },
    Case {
        name: "tcp/churn",
        figures: &[
            Figure::lower("server CPU", "µs/connection"),
            Figure::higher("rate", "connections/s"),
        ],
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: measure_connections,
    },
];

fn echo(runtime: &str, load: EchoLoad, scale: Scale) -> Measured {
    measure_echo(runtime, load, scale).map_err(|error| error.to_string())
}

fn measure_echo(runtime: &str, load: EchoLoad, scale: Scale) -> io::Result<Vec<f64>> {
    let server = Server::start(runtime, load.service())?;
    pinning::pin_to(Place::Peer);
    let clock = server.cpu_clock()?;
    let mut echo = Echo::connect(server.address(), load.connections, load.message_bytes)?;
    let (warm_up, measured) = scale.pick(
        (Duration::from_millis(200), Duration::from_secs(1)),
        QUICK_WINDOWS,
    );
    echo.window(warm_up, clock)?;
    let window = echo.window(measured, clock)?;
    server.stop()?;
    Ok(vec![
        window.cpu_us_per_message(),
        window.messages_per_second(),
        echo.p99_us(),
    ])
}

/// How long the warm-up takes, and the measurement, in `--quick`.
pub(super) const QUICK_WINDOWS: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(200));

/// Connections that exchange four bytes each, 64 at a time.
fn measure_connections(runtime: &str, scale: Scale) -> Measured {
    measure_churn(runtime, scale.pick(8_000, 1_000)).map_err(|error| error.to_string())
}

fn measure_churn(runtime: &str, count: u64) -> io::Result<Vec<f64>> {
    let server = Server::start(runtime, CHURN)?;
    pinning::pin_to(Place::Peer);
    let clock = server.cpu_clock()?;
    churn::churn(server.address(), AT_ONCE, count / 10, clock)?;
    let window = churn::churn(server.address(), AT_ONCE, count, clock)?;
    server.stop()?;
    Ok(vec![
        window.cpu_us_per_message(),
        window.messages_per_second(),
    ])
}

/// What serves connections that come and go.
pub(crate) const CHURN: Service = Service::Echo {
    buffer_bytes: SMALL_BUFFER_BYTES,
};

/// How many of them there are at a time.
pub(crate) const AT_ONCE: usize = 64;
