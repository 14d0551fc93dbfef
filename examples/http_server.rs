//! The files of a directory over HTTP/1.1: GET and HEAD, and clients that are slow, confused or gone.
//!
//! ```text
//! cargo run --release --example http_server 127.0.0.1:8000 DIR   # without arguments: there, this directory
//! ```
//!
//! Ctrl-C gives answers that are under way five seconds. For real use take a crate that knows more of HTTP.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tulipa::io::{AsyncWriteExt, ReadError, StreamReader, copy, send_file};
use tulipa::net::{Connection, OwnedWriteHalf, TcpListener, serve};
use tulipa::{cancel::CancelScope, timeout};

const HEAD_LIMIT: usize = 16 * 1024; // Of a request: its line and its headers.
const PIECE: u64 = 64 * 1024; // Of a file.
const PATIENCE: Duration = Duration::from_secs(10); // With a client, for either.

#[tulipa::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let root = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    serve(listener, async move |client| talk(client, &root).await).await
}

async fn talk(client: Connection, root: &Path) -> io::Result<()> {
    let (read, mut write) = client.into_stream().into_split();
    let mut reader = StreamReader::with_limit(HEAD_LIMIT, read);
    let mut stays = true;
    while stays {
        let request = match timeout(PATIENCE, reader.read_until(b"\r\n\r\n")).await {
            Ok(Ok(head)) => parse(&head, root),
            Ok(Err(ReadError::LimitOverrun(_))) => Err("431 Request Header Fields Too Large"),
            Ok(Err(_)) => return Ok(()), // The client has gone.
            Err(_) => Err("408 Request Timeout"),
        };
        stays = request.as_ref().is_ok_and(|it| it.2);
        // A server that ends waits for the answers that are under way, for a while.
        let answered = CancelScope::new()
            .shielded()
            .run(answer(request, &mut write));
        answered.await.map_err(io::Error::other)??;
    }
    // A socket that is closed with bytes unread resets the connection, and the client may lose the
    // answer. So it is told of the end, and what it was sending meanwhile is read.
    write.close().await?;
    let _ = timeout(PATIENCE, copy(&mut reader, &mut futures_lite::io::sink())).await; // However it leaves.
    Ok(())
}

/// What to send (nothing for HEAD), how long it is, and whether the connection stays open.
type Found = (Option<File>, u64, bool);

/// What is asked for, or the status that says what is wrong with it.
fn parse(head: &[u8], root: &Path) -> Result<Found, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let is_whole = request.parse(head).is_ok_and(|it| it.is_complete());
    let is_modern = request.version == Some(1);
    let (mut hosts, mut has_body, mut connection) = (0, false, String::new());
    for header in request.headers {
        match header.name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "content-length" | "transfer-encoding" => has_body = true, // It is not read.
            "connection" => connection += &String::from_utf8_lossy(header.value),
            _ => {}
        }
    }
    if !is_whole || hosts > 1 || is_modern && hosts == 0 {
        return Err("400 Bad Request");
    }
    let is_get = request.method == Some("GET");
    if !is_get && request.method != Some("HEAD") {
        return Err("405 Method Not Allowed\r\nAllow: GET, HEAD");
    }
    let (file, length) = find(root, request.path.unwrap_or("/")).ok_or("404 Not Found")?;
    let says = |word| connection.to_ascii_lowercase().contains(word);
    let stays = !has_body && !says("close") && (is_modern || says("keep-alive"));
    Ok((is_get.then_some(file), length, stays))
}

/// A file below `root`, and its length.
fn find(root: &Path, path: &str) -> Option<(File, u64)> {
    let path = path.split('?').next()?.trim_start_matches('/');
    let mut components = Path::new(path).components();
    if !components.all(|it| matches!(it, Component::Normal(_))) {
        return None; // It would lead out of the directory.
    }
    let path = root.join(path);
    let length = path.metadata().ok().filter(|it| it.is_file())?.len();
    Some((File::open(path).ok()?, length))
}

async fn answer(found: Result<Found, &str>, to: &mut OwnedWriteHalf) -> io::Result<()> {
    let status = *found.as_ref().err().unwrap_or(&"200 OK");
    let (file, length, stays) = found.unwrap_or((None, 0, false));
    let date = httpdate::fmt_http_date(SystemTime::now());
    let connection = if stays { "keep-alive" } else { "close" };
    let head = format!("HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {length}\r\n");
    let head = format!("{head}Connection: {connection}\r\n\r\n");
    timeout(PATIENCE, to.write_all(head.as_bytes())).await??;
    let mut sent = 0;
    while sent < length
        && let Some(file) = &file
    {
        let sending = send_file(to, file, sent..length.min(sent + PIECE));
        match timeout(PATIENCE, sending).await?? {
            0 => return Err(ErrorKind::UnexpectedEof.into()), // The file has become shorter.
            count => sent += count,
        }
    }
    Ok(())
}
