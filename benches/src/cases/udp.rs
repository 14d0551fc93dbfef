//! UDP: echo of small datagrams.

use std::io;
use std::time::Duration;

use super::tcp::QUICK_WINDOWS;
use super::{Case, Entrants, Figure, Measured, Scale};
use crate::measure::pinning::{self, Place};
use crate::net::server::Server;
use crate::net::service::Service;
use crate::net::udp_echo::UdpEcho;

const FIGURES: &[Figure] = &[
    Figure::higher("echoes", "per CPU second"),
    Figure::higher("rate", "datagrams/s"),
];

/// Names say how many sockets, and how many datagrams each has under way.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "udp/echo 64 B × 50 × 1",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::Udp, (50, 1), scale),
    },
    Case {
        name: "udp/echo 64 B × 50 × 4",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::Udp, (50, 4), scale),
    },
    Case {
        name: "udp/echo 64 B × 4 × 50",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::Udp, (4, 50), scale),
    },
    Case {
        name: "udp/echo 64 B × 50 × 1, batches",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::UdpBatches, (50, 1), scale),
    },
    Case {
        name: "udp/echo 64 B × 50 × 4, batches",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::UdpBatches, (50, 4), scale),
    },
    Case {
        name: "udp/echo 64 B × 4 × 50, batches",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::UdpBatches, (4, 50), scale),
    },
];

/// So many sockets, which keep so many datagrams under way each.
fn echo(runtime: &str, service: Service, load: (usize, usize), scale: Scale) -> Measured {
    measure(runtime, service, load, scale).map_err(|error| error.to_string())
}

fn measure(
    runtime: &str,
    service: Service,
    (sockets, depth): (usize, usize),
    scale: Scale,
) -> io::Result<Vec<f64>> {
    let server = Server::start(runtime, service)?;
    pinning::pin_to(Place::Peer);
    let clock = server.cpu_clock()?;
    let mut echo = UdpEcho::connect(server.address(), sockets, depth, MESSAGE_BYTES)?;
    let (warm_up, measured) = scale.pick(
        (Duration::from_millis(200), Duration::from_secs(1)),
        QUICK_WINDOWS,
    );
    echo.window(warm_up, clock)?;
    let window = echo.window(measured, clock)?;
    server.stop()?;
    Ok(vec![
        1e6 / window.cpu_us_per_message(),
        window.messages_per_second(),
    ])
}

const MESSAGE_BYTES: usize = 64;
