//! A TCP proxy: bytes that pass through, and small messages that do.

use std::io;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use super::tcp::{QUICK_WINDOWS, SMALL_BUFFER_BYTES};
use super::{Case, Entrants, Figure, Measured, Scale};
use crate::measure::pinning::{self, Place};
use crate::net::bulk::Bulk;
use crate::net::server::Server;
use crate::net::service::Service;
use crate::net::tcp_echo::Echo;
use crate::runtimes::raw;

/// Those that have something for both ways, or whose users write it with a `copy`.
const ENTRANTS: Entrants = Entrants::OursAnd(&["tokio-localset", "tokio-local", "smol"]);

const BULK: &[Figure] = &[
    Figure::higher("throughput", "MiB/s"),
    Figure::lower("proxy CPU", "ms/GiB"),
];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "proxy/bulk × 1",
        figures: BULK,
        entrants: ENTRANTS,
        full_only: false,
        measure: |runtime, scale| bulk(runtime, 1, scale),
    },
    Case {
        name: "proxy/bulk × 10",
        figures: BULK,
        entrants: ENTRANTS,
        full_only: false,
        measure: |runtime, scale| bulk(runtime, 10, scale),
    },
    Case {
        name: "proxy/echo 64 B × 50",
        figures: &[Figure::lower("proxy CPU", "µs/message")],
        entrants: ENTRANTS,
        full_only: false,
        measure: echo,
    },
];

fn bulk(runtime: &str, connections: usize, scale: Scale) -> Measured {
    let bytes = scale.pick(2 << 30, 64 << 20);
    measure_bulk(runtime, connections, bytes).map_err(|error| error.to_string())
}

fn measure_bulk(runtime: &str, connections: usize, bytes: usize) -> io::Result<Vec<f64>> {
    let target = TcpListener::bind("127.0.0.1:0")?;
    let proxy = start_proxy(runtime, &target)?;
    let clock = proxy.cpu_clock()?;
    let connect = || Bulk::connect(proxy.address(), &target, connections);
    connect()?.transfer(bytes / 8, clock)?;
    let seen = connect()?.transfer(bytes, clock)?;
    proxy.stop()?;
    Ok(vec![seen.mib_per_second, seen.cpu_ms_per_gib])
}

/// An echo server behind the proxy, on the load generator's side.
fn echo(runtime: &str, scale: Scale) -> Measured {
    measure_echo(runtime, scale).map_err(|error| error.to_string())
}

fn measure_echo(runtime: &str, scale: Scale) -> io::Result<Vec<f64>> {
    let target = TcpListener::bind("127.0.0.1:0")?;
    let proxy = start_proxy(runtime, &target)?;
    // It goes on until this process ends.
    thread::spawn(move || raw::serve_echo_on(&target, SMALL_BUFFER_BYTES));
    let clock = proxy.cpu_clock()?;
    let mut echo = Echo::connect(proxy.address(), 50, 64)?;
    let (warm_up, measured) = scale.pick(
        (Duration::from_millis(200), Duration::from_secs(1)),
        QUICK_WINDOWS,
    );
    echo.window(warm_up, clock)?;
    let window = echo.window(measured, clock)?;
    proxy.stop()?;
    Ok(vec![window.cpu_us_per_message()])
}

fn start_proxy(runtime: &str, target: &TcpListener) -> io::Result<Server> {
    let target_port = target.local_addr()?.port();
    let proxy = Server::start(runtime, Service::Proxy { target_port })?;
    pinning::pin_to(Place::Peer);
    Ok(proxy)
}
