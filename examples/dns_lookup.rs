//! Looks names up, all at once, and says how long each took.
//!
//! ```text
//! cargo run --example dns_lookup
//! cargo run --example dns_lookup -- localhost example.org no-such-name.invalid
//! ```
//!
//! Prints a line for each as its answer comes, and `timed out` for those that take longer than 5 s.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tulipa::net::lookup_host;
use tulipa::task::JoinSet;
use tulipa::time::Instant;
use tulipa::timeout;

/// How long a name is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

#[tulipa::main]
async fn main() {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    }
    let width = names.iter().map(String::len).max().unwrap_or(0);

    let mut look_ups = JoinSet::new();
    for name in names {
        look_ups.spawn(async move {
            let start = Instant::now();
            let answer = addresses(&name).await;
            (name, answer, start.elapsed())
        });
    }
    while let Some(result) = look_ups.join_next().await {
        let (name, answer, took) = result.expect("a look-up does not panic");
        let text = match answer {
            Ok(addresses) => addresses.join(", "),
            Err(error) => format!("{error}"),
        };
        let milliseconds = took.as_secs_f64() * 1000.0;
        println!("{name:width$}  {milliseconds:8.2} ms  {text}");
    }
}

async fn addresses(name: &str) -> io::Result<Vec<String>> {
    // The port is of no interest, but an address has one.
    let Ok(found) = timeout(PATIENCE, lookup_host((name, 0))).await else {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "timed out"));
    };
    let ips = found?.into_iter().map(|addr| addr.ip());
    Ok(ips.map(describe).collect())
}

fn describe(ip: IpAddr) -> String {
    match ip.is_loopback() {
        true => format!("{ip} (this machine)"),
        false => ip.to_string(),
    }
}
