//! Fetches a page by HTTP/1.1, with plain code: a name, a connection, a request, and a body of either kind.
//!
//! ```text
//! cargo run --example http_server                                      # or any other server, in another terminal
//! cargo run --example http_client -- http://localhost:8000/README.md
//! ```
//!
//! The exit code is 0 when there was an answer, whatever it said. The status and the headers go to standard error, the body to standard output. For real use take a crate
//! that knows more of HTTP: this one reports redirects and does not follow them, and speaks no TLS.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tulipa::io::{AsyncReadExt, StreamReader, copy, stdout};
use tulipa::net::TcpStream;
use tulipa::timeout;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Heads beyond this are not meant well.
const HEAD_LIMIT: usize = 64 * 1024;

#[tulipa::main]
async fn main() -> io::Result<()> {
    let Some(url) = std::env::args().nth(1) else {
        return Err(invalid("usage: http_client http://HOST[:PORT]/PATH"));
    };
    match timeout(PATIENCE, fetch(&url)).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "it took too long")),
    }
}

async fn fetch(url: &str) -> io::Result<()> {
    let (host, path) = parse(url)?;
    // With a port or without: a name that ends in ']' is an IPv6 address.
    let has_port = host.rsplit_once(':').is_some_and(|it| !it.1.ends_with(']'));
    let port = if has_port { "" } else { ":80" };
    let mut stream = TcpStream::connect(format!("{host}{port}")).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;

    let mut reader = StreamReader::with_limit(HEAD_LIMIT, stream);
    let mut head = read_head(&mut reader).await?;
    // Answers that begin with 1 say that the answer is still to come.
    while head.split(' ').nth(1).is_some_and(|it| it.starts_with('1')) {
        head = read_head(&mut reader).await?;
    }
    if let Some(location) = header(&head, "location") {
        eprintln!("moved to {location}");
    }
    if header(&head, "transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        return print_chunks(&mut reader).await;
    }
    let Some(length) = header(&head, "content-length") else {
        // The end of the stream is the end of the body.
        return copy(&mut reader, &mut stdout()).await.map(drop);
    };
    let length = length.parse().map_err(|_| invalid("a bad length"))?;
    print(&mut reader, length).await
}

/// The status and the headers, which are printed.
async fn read_head(reader: &mut StreamReader<TcpStream>) -> io::Result<String> {
    let head = reader.read_until(b"\r\n\r\n").await?;
    let head = String::from_utf8_lossy(&head).into_owned();
    eprint!("{head}");
    Ok(head)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|it| it.split_once(':'));
    let found = headers.find(|it| it.0.eq_ignore_ascii_case(name));
    found.map(|it| it.1.trim())
}

async fn print_chunks(reader: &mut StreamReader<TcpStream>) -> io::Result<()> {
    loop {
        let line = reader.read_until(b"\r\n").await?;
        let line = String::from_utf8_lossy(&line);
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a bad chunk"))?;
        if size == 0 {
            return Ok(()); // Trailers may follow.
        }
        print(reader, size).await?;
        if reader.read_until(b"\r\n").await? != b"\r\n" {
            return Err(invalid("a chunk that is longer than it says"));
        }
    }
}

/// Prints so many bytes.
async fn print(reader: &mut StreamReader<TcpStream>, length: u64) -> io::Result<()> {
    match copy(&mut reader.take(length), &mut stdout()).await? {
        count if count < length => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The host, with its port if it has one, and the path.
fn parse(url: &str) -> io::Result<(&str, String)> {
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| invalid("the address must begin with http://"))?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((host, format!("{slash}{path}")))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message)
}
