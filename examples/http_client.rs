//! Fetches a page by HTTP/1.1, with plain code: a name, a connection, a request, and a body of either kind.
//!
//! ```text
//! cargo run --example http_client -- http://localhost:8000/
//! ```
//!
//! The status and the headers go to standard error, the body to standard output. For real use take a crate
//! that knows more of HTTP: this one follows no redirect, and speaks no TLS.

use std::io::{self, ErrorKind};
use std::time::Duration;

use futures_lite::io::{AssertAsync, copy};
use futures_lite::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tulipa::net::TcpStream;
use tulipa::timeout;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Headers beyond this are not meant well.
const MAX_HEAD: u64 = 64 * 1024;

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

    let mut reader = BufReader::new(stream);
    let mut head = (&mut reader).take(MAX_HEAD);
    let mut length = None;
    let mut is_chunked = false;
    let status = line(&mut head).await?;
    eprintln!("{status}");
    loop {
        let header = line(&mut head).await?;
        eprintln!("{header}");
        if header.is_empty() {
            break;
        }
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| invalid("a bad header"))?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "transfer-encoding" => is_chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    if is_chunked {
        return print_chunks(&mut reader).await;
    }
    // Without a length the end of the stream is the end of the body.
    let printed = print(&mut reader, length.unwrap_or(u64::MAX)).await?;
    match length {
        Some(length) if printed < length => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn print_chunks(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
    loop {
        let header = line(&mut reader.take(1024)).await?;
        let size = header.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a bad chunk"))?;
        if print(reader, size).await? < size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if size == 0 {
            return Ok(());
        }
        line(&mut reader.take(2)).await?;
    }
}

/// Prints at most `limit` bytes, and says how many there were.
async fn print(reader: &mut (impl AsyncBufRead + Unpin), limit: u64) -> io::Result<u64> {
    copy(reader.take(limit), AssertAsync::new(io::stdout())).await
}

/// A line without its end.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(text) => Ok(text.trim_end_matches('\r').to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
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
