//! Bad weather between two hosts: what programs see when packets are late, lost, doubled or refused, and when cables are cut.
//!
//! `ci/cables` makes two network namespaces for each scenario, and runs it with `cables NAME`; `cables --list` tells the
//! names. A scenario says in one line what it has seen, and fails when that is not what must be.
//!
//! - `hosts`: the two hosts, what is done to them, and to the cable between them. `traffic`: bytes that can be checked.
//! - The scenarios: `connecting`, `dead_peers` (who is gone says nothing), `resets`, `endings` (of servers),
//!   `bad_wire`, `packet_sizes`, `narrow`.
//!
//! What takes time here is the system's: times are bounded from below where something must not come early, and from above
//! only to tell 'now' from 'after the retransmission'.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "namespaces are Linux'")
)]

#[cfg(target_os = "linux")]
mod bad_wire;
#[cfg(target_os = "linux")]
mod connecting;
#[cfg(target_os = "linux")]
mod dead_peers;
#[cfg(target_os = "linux")]
mod endings;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod narrow;
#[cfg(target_os = "linux")]
mod packet_sizes;
#[cfg(target_os = "linux")]
mod resets;
#[cfg(target_os = "linux")]
mod traffic;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("cables: network namespaces are of Linux");
}

#[cfg(target_os = "linux")]
fn main() {
    use std::future::Future;
    use std::pin::Pin;

    use hosts::Hosts;

    type Run = for<'a> fn(&'a Hosts) -> Pin<Box<dyn Future<Output = String> + 'a>>;
    macro_rules! scenarios {
        ($($module:ident: $($name:ident)+;)+) => {
            &[$($((stringify!($name), (|hosts| Box::pin($module::$name(hosts))) as Run)),+),+]
        };
    }
    let scenarios: &[(&str, Run)] = scenarios! {
        connecting: ipv6_black_hole ipv6_refused both_fail three_black_holes slow_ipv6 name_with_a_black_hole
            no_answer_in_time no_answer_at_all;
        dead_peers: keep_alive_notices no_route_any_more writers_give_up cut_and_mended;
        resets: reset_at_each_moment reset_with_a_full_buffer reset_by_a_firewall killed_from_outside;
        endings: lost_fin drain_on_a_slow_wire;
        bad_wire: tcp_on_a_bad_wire udp_on_a_bad_wire joined_datagrams;
        packet_sizes: small_mtu path_mtu;
        narrow: narrow_link;
    };
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "--list" {
        scenarios.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    let Some((name, run)) = scenarios.iter().find(|it| it.0 == name) else {
        eprintln!("cables: no scenario '{name}'; run ci/cables");
        std::process::exit(2);
    };
    let hosts = Hosts::enter();
    let seen = tulipa::run(async {
        hosts.meet().await;
        run(&hosts).await
    });
    println!("{name}: {seen}");
}
