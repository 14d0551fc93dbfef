//! Finds the TCP ports that something listens on: many attempts, but only so many at a time.
//!
//! ```text
//! cargo run --example port_scan                            # all ports of this machine
//! cargo run --example port_scan -- 127.0.0.1 1-1024
//! cargo run --example port_scan -- --elsewhere HOST 20-25  # another machine: yours, please
//! ```

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tulipa::net::{Connector, lookup_host};
use tulipa::sync::Semaphore;
use tulipa::task::JoinSet;

/// Attempts that are under way at the same time: each holds a descriptor.
const AT_A_TIME: usize = 256;
/// A port that says nothing for this long is behind a firewall.
const PATIENCE: Duration = Duration::from_secs(1);

#[tulipa::main]
async fn main() -> io::Result<()> {
    let (host, ports, may_leave) = arguments()?;
    // The first address; all of them are the same machine.
    let ip = lookup_host((host.as_str(), 0)).await?[0].ip();
    if !ip.is_loopback() && !may_leave {
        let message = format!("{ip} is not this machine; if it is yours: --elsewhere");
        return Err(io::Error::new(ErrorKind::PermissionDenied, message));
    }
    let open = scan(ip, ports).await;
    println!("{} open ports at {ip}", open.len());
    for port in open {
        println!("{port:5}");
    }
    Ok(())
}

async fn scan(ip: IpAddr, ports: RangeInclusive<u16>) -> Vec<u16> {
    let bar = ProgressBar::new(ports.len() as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} ports, {per_sec}, {msg}")
            .expect("the template is well formed"),
    );
    let connector = Rc::new(Connector::new().attempt_timeout(PATIENCE));
    let permits = Rc::new(Semaphore::new(AT_A_TIME));
    let mut attempts = JoinSet::new();
    let mut open = Vec::new();
    for port in ports {
        // Before the task is made, so that there are no more tasks than attempts.
        let permit = permits.clone().acquire_owned().await;
        let permit = permit.expect("it is never closed");
        let connector = connector.clone();
        attempts.spawn(async move {
            let is_open = is_open(&connector, SocketAddr::new(ip, port)).await;
            drop(permit);
            (port, is_open)
        });
        while let Some(result) = attempts.try_join_next() {
            note(result.expect("an attempt does not panic"), &mut open, &bar);
        }
    }
    while let Some(result) = attempts.join_next().await {
        note(result.expect("an attempt does not panic"), &mut open, &bar);
    }
    bar.finish();
    open.sort_unstable();
    open
}

fn note((port, is_open): (u16, bool), open: &mut Vec<u16>, bar: &ProgressBar) {
    bar.inc(1);
    if is_open {
        open.push(port);
        bar.set_message(format!("{} open", open.len()));
    }
}

async fn is_open(connector: &Connector, addr: SocketAddr) -> bool {
    match connector.connect(addr).await {
        // A socket may be connected to itself, if the system chose the port that was asked for.
        Ok(stream) => stream.local_addr().is_ok_and(|local| local != addr),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => false,
        Err(error) if error.kind() == ErrorKind::TimedOut => false,
        Err(error) => {
            eprintln!("{error}");
            false
        }
    }
}

fn arguments() -> io::Result<(String, RangeInclusive<u16>, bool)> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let count = words.len();
    words.retain(|it| it != "--elsewhere");
    let may_leave = words.len() < count;
    let mut words = words.into_iter();
    let host = words.next().unwrap_or_else(|| "127.0.0.1".to_owned());
    let ports = words.next().unwrap_or_else(|| "1-65535".to_owned());
    let (first, last) = ports.split_once('-').unwrap_or((&ports, &ports));
    let port = |text: &str| {
        let message = format!("'{text}' is not a port");
        text.parse()
            .map_err(|_| io::Error::new(ErrorKind::InvalidInput, message))
    };
    Ok((host, port(first)?..=port(last)?, may_leave))
}
