//! A DNS server over UDP that knows the address of `192-0-2-7.anything`: it is 192.0.2.7. Other names do not exist,
//! unless an address is given for them.
//!
//! ```text
//! cargo run --example dns_echo 127.0.0.1:5300              # or with a second address, for all other names
//! dig +norec @127.0.0.1 -p 5300 192-0-2-7.example
//! ```
//!
//! Its first line names the address it listens on. Ctrl-C ends it.

use std::io;
use std::net::Ipv4Addr;

use tulipa::net::UdpSocket;

/// No question over UDP is longer, see RFC 1035.
const LONGEST: usize = 512;
const HEADER: usize = 12;
// A type, and a class.
const A: u16 = 1;
const INTERNET: u16 = 1;

#[tulipa::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:5300".to_owned());
    let fixed = args.next().map(|it| it.parse::<Ipv4Addr>()).transpose();
    let fixed = fixed.map_err(|it| io::Error::new(io::ErrorKind::InvalidInput, it))?;

    let socket = UdpSocket::bind(addr).await?;
    println!("listening on {}", socket.local_addr()?);
    let mut buf = [0; LONGEST];
    loop {
        let (len, peer) = socket.recv_from(&mut buf).await?;
        if let Some(answer) = answer(&buf[..len], fixed)
            && let Err(error) = socket.send_to(&answer, peer).await
        {
            eprintln!("{peer}: {error}"); // The others are still served.
        }
    }
}

/// The answer to a datagram, unless it is no question at all.
fn answer(query: &[u8], fixed: Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let header = query.get(..HEADER)?;
    if header[2] & 0x80 != 0 {
        return None; // Two servers that answer answers would never stop.
    }
    if header[2] & 0x78 != 0 {
        return Some(start(query, 4, &[])); // Not implemented: a notification, an update …
    }
    let count = u16::from_be_bytes([header[4], header[5]]);
    let Some(question) = (count == 1).then(|| question(query)).flatten() else {
        return Some(start(query, 1, &[])); // A format error.
    };
    let Some(ip) = address_in(question.first_label).or(fixed) else {
        return Some(start(query, 3, question.bytes)); // No such name.
    };
    let mut answer = start(query, 0, question.bytes);
    // A name that exists may have nothing of another type.
    if question.kind == A && question.class == INTERNET {
        answer[7] = 1; // One record.
        answer.extend([0xC0, HEADER as u8]); // The name: as in the question.
        answer.extend([A, INTERNET].map(u16::to_be_bytes).concat());
        answer.extend(60_u32.to_be_bytes()); // For so many seconds.
        answer.extend([0, 4]); // The length of what follows.
        answer.extend(ip.octets());
    }
    Some(answer)
}

/// The header of an answer without records, and the question.
fn start(query: &[u8], code: u8, question: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; HEADER];
    answer[..2].copy_from_slice(&query[..2]); // The client's number for it.
    answer[2] = 0x84 | query[2] & 0x79; // An answer, with authority; operation and flag are the query's.
    answer[3] = code;
    answer[5] = u8::from(!question.is_empty());
    answer.extend(question);
    answer
}

struct Question<'a> {
    first_label: &'a [u8],
    kind: u16,
    class: u16,
    /// All of it.
    bytes: &'a [u8],
}

/// The first question of a query, if all of it is there and well-formed.
fn question(query: &[u8]) -> Option<Question<'_>> {
    let rest = query.get(HEADER..)?;
    let mut end = 0;
    loop {
        // Longer labels do not exist: those numbers point to other places, which a question has no need for.
        match usize::from(*rest.get(end)?) {
            0 => break,
            length @ 1..=63 => end += 1 + length,
            _ => return None,
        }
    }
    let bytes = rest.get(..end + 5).filter(|_| end < 255)?;
    let [.., kind_1, kind_2, class_1, class_2] = *bytes else {
        return None;
    };
    Some(Question {
        first_label: rest.get(1..=usize::from(rest[0]))?,
        kind: u16::from_be_bytes([kind_1, kind_2]),
        class: u16::from_be_bytes([class_1, class_2]),
        bytes,
    })
}

/// `192-0-2-7` as an address.
fn address_in(label: &[u8]) -> Option<Ipv4Addr> {
    let text = std::str::from_utf8(label).ok()?;
    text.replace('-', ".").parse().ok()
}
