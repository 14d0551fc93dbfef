//! A TCP proxy that misbehaves on purpose: what does a client do when its answers come late, cut or wrong?
//!
//! ```text
//! cargo run --example echo_server 127.0.0.1:8888 &
//! cargo run --example fault_proxy 127.0.0.1:7000 127.0.0.1:8888 delay=100 reset=1000..2000 seed=7
//! ```
//!
//! Each connection is treated by the script that follows the two addresses: `delay=MS` for each piece and `rate=BYTES`
//! a second, both ways; and what happens to the answers after so many bytes, one of: `cut=N` (a clean end), `reset=N`,
//! `half-close=N` (requests still go through), `hole=N` (nothing passes any more, and nothing ends), `corrupt=N` (that
//! byte is another). `N..M` (M included) is drawn for each connection; the same `seed=` draws the same.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::time::Duration;

use futures_lite::io::sink;
use tulipa::io::{AsyncWriteExt, copy};
use tulipa::net::{Connection, ReadHalf, Server, TcpStream, WriteHalf};

/// What is to happen, and a number for it.
type Script = HashMap<String, u64>;
const FATES: [&str; 4] = ["cut", "reset", "half-close", "hole"]; // What answers may come to.
const OTHERS: [&str; 4] = ["delay", "rate", "corrupt", "seed"];
type Fate = io::Result<&'static str>;

#[tulipa::main]
async fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, target, words @ ..] = &args[..] else {
        return Err(io::Error::other("LISTEN TARGET FAULT... are missing"));
    };
    let (target, words) = (target.clone(), words.to_vec());
    let seed = draw(&words)?.remove("seed");
    seed.into_iter().for_each(fastrand::seed);
    let builder = Server::builder().bind(listen.as_str()).await?;
    let server = builder.start(async move |client: Connection| {
        let script = draw(&words)?;
        let fate = treat(client.into_stream(), &target, &script).await;
        println!("{script:?}: {fate:?}");
        io::Result::Ok(())
    })?;
    println!("listening on {}", server.local_addrs()[0]);
    server.serve_forever().await
}

/// Passes everything on until the answers have ended, in one way or another.
async fn treat(mut client: TcpStream, target: &str, script: &Script) -> Fate {
    let mut server = TcpStream::connect(target).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut slow = script.clone(); // Requests are late at worst.
    slow.retain(|name, _| name == "delay" || name == "rate");
    let requests = async {
        let _ = pass(&mut from_client, &mut to_server, &slow).await;
        drop(to_server.close().await);
        pending().await
    };
    let answers = async {
        let fate = pass(&mut from_server, &mut to_client, script).await?;
        if fate == "half-close" {
            to_client.close().await?;
            copy(&mut from_server, &mut sink()).await?;
        }
        Fate::Ok(fate)
    };
    let fate = tulipa::race!(answers, requests)?;
    match fate {
        "reset" => client.abort(),
        "hole" => pending().await,
        _ => {
            drop(server);
            client.close().await?;
            copy(&mut client, &mut sink()).await?; // Closed with bytes unread it would be reset.
        }
    }
    Ok(fate)
}

/// Passes one direction on, and says how it has ended.
async fn pass(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, script: &Script) -> Fate {
    let fate = FATES.into_iter().find(|it| script.contains_key(*it));
    let end = fate.map_or(u64::MAX, |it| script[it]);
    let number = |name: &str| script.get(name).copied();
    let rate = number("rate").unwrap_or(u64::MAX).max(1);
    let mut buf = vec![0; 16 * 1024];
    let mut passed = 0;
    while passed < end {
        // To the byte; and at a slow rate in small pieces.
        let room = (end - passed).min((rate / 20).max(1)).min(buf.len() as u64);
        let count = from.read(&mut buf[..room as usize]).await?;
        if count == 0 {
            return Ok("end");
        }
        if let Some(at) = number("corrupt").and_then(|at| at.checked_sub(passed))
            && at < count as u64
        {
            buf[at as usize] ^= 1;
        }
        tulipa::sleep(Duration::from_millis(number("delay").unwrap_or(0))).await;
        to.write_all(&buf[..count]).await?;
        tulipa::sleep(Duration::from_secs_f64(count as f64 / rate as f64)).await;
        passed += count as u64;
    }
    Ok(fate.unwrap_or("end"))
}

fn draw(words: &[String]) -> io::Result<Script> {
    let drawn = words.iter().map(|word| {
        let (name, value) = word.split_once('=')?;
        let (from, to) = value.split_once("..").unwrap_or((value, value));
        let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
        let is_known = [FATES, OTHERS].concat().contains(&name);
        (is_known && from <= to).then(|| (name.to_owned(), fastrand::u64(from..=to)))
    });
    let unknown = || io::Error::other("a fault is NAME=N or NAME=N..M, see the source");
    drawn.collect::<Option<Script>>().ok_or_else(unknown)
}
