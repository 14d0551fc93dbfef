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

pub(super) const CASES: &[Case] = &[
    Case {
        name: "udp/echo 64 B × 50",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::Udp, 1, scale),
    },
    Case {
        name: "udp/echo 64 B × 200",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::Udp, 4, scale),
    },
    Case {
        name: "udp/echo 64 B × 50, batches",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::UdpBatches, 1, scale),
    },
    Case {
        name: "udp/echo 64 B × 200, batches",
        figures: FIGURES,
        entrants: Entrants::RuntimesAndRaw,
        full_only: false,
        measure: |runtime, scale| echo(runtime, Service::UdpBatches, 4, scale),
    },
];

/// 50 sockets, which keep `depth` datagrams under way each.
fn echo(runtime: &str, service: Service, depth: usize, scale: Scale) -> Measured {
    measure(runtime, service, depth, scale).map_err(|error| error.to_string())
}

fn measure(runtime: &str, service: Service, depth: usize, scale: Scale) -> io::Result<Vec<f64>> {
    let server = Server::start(runtime, service)?;
    pinning::pin_to(Place::Peer);
    let clock = server.cpu_clock()?;
    let mut echo = UdpEcho::connect(server.address(), SOCKETS, depth, MESSAGE_BYTES)?;
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

const SOCKETS: usize = 50;
const MESSAGE_BYTES: usize = 64;
