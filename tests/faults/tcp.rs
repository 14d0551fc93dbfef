//! TCP: single messages and many bytes, one process and two, listeners and servers, names.

use std::io::{self, BufRead, IoSlice, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use socket2::{Domain, Type};
use tulipa::io::AsyncReadExt;
use tulipa::io::open_connection;
use tulipa::net::pipe::Receiver;
use tulipa::net::{Connection, Server, Socket, TcpListener, TcpStream};
use tulipa::runtime::Runner;
use tulipa::{spawn, timeout, try_join};

use crate::bytes::{digest, random, same};
use crate::harness;

/// What a transfer moves each way.
const MUCH: usize = 2 * 1024 * 1024;
const CLIENTS: usize = 24;

async fn listener() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// Sends back what comes.
async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer];
    loop {
        match stream.read(&mut buf).await? {
            0 => return stream.shutdown(Shutdown::Write),
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}

/// Sends all of `bytes`, in pieces of many sizes, and takes them back.
async fn there_and_back(stream: TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        let mut rest = bytes;
        let mut size = 1;
        while !rest.is_empty() {
            size = (size * 3 + 1) % 50_000;
            let (piece, _) = rest.split_at(rest.len().min(size));
            let (head, tail) = piece.split_at(piece.len() / 2);
            let count = if size % 2 == 0 {
                writer.write(piece).await?
            } else {
                let bufs = [IoSlice::new(head), IoSlice::new(tail)];
                writer.write_vectored(&bufs).await?
            };
            rest = &rest[count..];
        }
        writer.shutdown()
    };
    let read = async {
        let mut all = Vec::with_capacity(bytes.len());
        let mut buf = vec![0; 30_000];
        loop {
            match reader.read(&mut buf).await? {
                0 => return Ok(all),
                count => all.extend_from_slice(&buf[..count]),
            }
        }
    };
    let (_, all): (_, Vec<u8>) = try_join!(write, read)?;
    Ok(all)
}

/// One message at a time, there and back: each read follows an event of its own.
pub(crate) fn ping_pong() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let (listener, addr) = listener().await?;
        let serve = async { echo(listener.accept().await?.0, 4096).await };
        let bytes = random(1, 64 * 100);
        let client = async {
            let mut stream = TcpStream::connect(addr).await?;
            let mut all = Vec::new();
            for message in bytes.chunks(64) {
                let mut buf = [0; 64];
                stream.write_all(message).await?;
                stream.read_exact(&mut buf).await?;
                all.extend_from_slice(&buf);
            }
            drop(stream);
            Ok(all)
        };
        let (_, all) = try_join!(serve, client)?;
        io::Result::Ok(same(&all, &bytes))
    })?
}

/// Much, both ways at once, in one loop.
pub(crate) fn transfer() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let (listener, addr) = listener().await?;
        let serve = async { echo(listener.accept().await?.0, 16 * 1024).await };
        let bytes = random(2, MUCH);
        let client = async { there_and_back(TcpStream::connect(addr).await?, &bytes).await };
        let (_, all) = try_join!(serve, client)?;
        io::Result::Ok(same(&all, &bytes))
    })?
}

/// Much, both ways at once, with the client in another process.
pub(crate) fn two_processes() -> io::Result<String> {
    // Its port comes by standard input, and what came of it by standard output.
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--play-client")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().expect("it is a pipe");
    let output = child.stdout.take().expect("it is a pipe");
    harness::begin(); // What has started the process is no part of it.
    let played = Runner::new().and_then(|mut runner| {
        runner.try_run(async {
            let (listener, addr) = listener().await?;
            writeln!(input, "{}", addr.port())?;
            let serve = async { echo(listener.accept().await?.0, 16 * 1024).await };
            let mut output = Receiver::from_fd(output)?;
            let client = async {
                let mut text = String::new();
                output.read_to_string(&mut text).await?;
                match text.trim().split_once("ok: ") {
                    Some((_, text)) => Ok(text.to_owned()),
                    None => Err(io::Error::other(format!("the client: {text}"))),
                }
            };
            let ((), text) = try_join!(serve, client)?;
            Ok(text)
        })?
    });
    // A client that still waits for its port finds the end.
    drop(input);
    child.wait()?;
    played
}

/// The other process of [`two_processes`].
pub(crate) fn client_process() -> ! {
    harness::begin();
    let run = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let port: u16 = line.trim().parse().map_err(io::Error::other)?;
        let bytes = random(3, MUCH);
        let all = Runner::new()?.try_run(async {
            there_and_back(
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?,
                &bytes,
            )
            .await
        })??;
        Ok(same(&all, &bytes))
    };
    harness::end(run());
}

/// Many clients of one listener.
pub(crate) fn accept() -> io::Result<String> {
    // A pause is reported; that is what the exception handler is for.
    let mut runner = Runner::builder().exception_handler(|_| ()).build()?;
    runner.try_run(async {
        let (listener, addr) = listener().await?;
        let serve = async {
            let mut served = Vec::new();
            for _ in 0..CLIENTS {
                let (stream, _) = listener.accept().await?;
                served.push(spawn(echo(stream, 64)));
            }
            for task in served {
                task.await.map_err(io::Error::other)??;
            }
            io::Result::Ok(())
        };
        let ((), answers) = try_join!(serve, clients(addr))?;
        io::Result::Ok(answers)
    })?
}

/// Clients that come at once, each with bytes of its own.
async fn clients(addr: SocketAddr) -> io::Result<String> {
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            spawn(async move {
                let bytes = random(100 + number as u64, 300);
                let stream = TcpStream::connect(addr).await?;
                let all = there_and_back(stream, &bytes).await?;
                io::Result::Ok(same(&all, &bytes))
            })
        })
        .collect();
    let mut answers = String::new();
    for task in tasks {
        answers += &task.await.map_err(io::Error::other)??;
    }
    Ok(digest(answers.as_bytes()))
}

/// A name that has to be looked up.
pub(crate) fn by_name() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let (listener, addr) = listener().await?;
        let serve = async { echo(listener.accept().await?.0, 4096).await };
        let bytes = random(4, 5000);
        let client = async {
            let stream = TcpStream::connect(("localhost", addr.port())).await?;
            there_and_back(stream, &bytes).await
        };
        let (_, all) = try_join!(serve, client)?;
        io::Result::Ok(same(&all, &bytes))
    })?
}

/// A server that pauses when it has to, with a descriptor kept back, and is drained in the end. What it turns away
/// tries again.
pub(crate) fn server() -> io::Result<String> {
    let mut runner = Runner::builder().exception_handler(|_| ()).build()?;
    runner.try_run(async {
        let server = Server::builder()
            .turn_away_when_exhausted()
            .accept_pause(Duration::from_millis(50))
            .bind((Ipv4Addr::LOCALHOST, 0))
            .await?
            .start(async |mut connection: Connection| {
                let mut buf = [0; 64];
                loop {
                    match connection.read(&mut buf).await? {
                        0 => return io::Result::Ok(()),
                        count => connection.write_all(&buf[..count]).await?,
                    }
                }
            })?;
        let addr = server.local_addrs()[0];
        let mut tries = 0;
        let patience = 3 * CLIENTS;
        let mut answers = String::new();
        for number in 0..CLIENTS {
            let bytes = random(200 + number as u64, 300);
            loop {
                tries += 1;
                let client = async {
                    let stream = TcpStream::connect(addr).await?;
                    there_and_back(stream, &bytes).await
                };
                match client.await {
                    Ok(all) if all.len() == bytes.len() => {
                        answers += &same(&all, &bytes);
                        break;
                    }
                    // Turned away: closed without an answer, or reset, since it had bytes left.
                    Ok(_) if tries < patience => {}
                    Err(error) if tries < patience && is_hung_up(&error) => {}
                    Ok(_) => return Err(io::Error::other("no client is served any more")),
                    Err(error) => return Err(error),
                }
            }
        }
        let report = timeout(
            Duration::from_secs(30),
            server.drain(Duration::from_secs(20)),
        )
        .await
        .map_err(io::Error::other)?;
        if !report.is_graceful() {
            return Err(io::Error::other(report.to_string()));
        }
        match server.failure() {
            Some(error) => Err(error),
            None => Ok(digest(answers.as_bytes())),
        }
    })?
}

fn is_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionReset | BrokenPipe | NotConnected)
}

/// Sockets as they are, whose errors are the system's own.
pub(crate) fn raw_sockets() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let listener = Socket::new(listener)?;
        let serve = async {
            let (socket, _) = listener.accept().await?;
            loop {
                let bytes = socket.recv_bytes(3000).await?;
                if bytes.is_empty() {
                    return io::Result::Ok(());
                }
                socket.send_all(&bytes).await?;
            }
        };
        let bytes = random(5, 60_000);
        let client = async {
            let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None)?;
            let socket = Socket::new(socket)?;
            socket.connect(addr).await?;
            let mut all = Vec::new();
            for piece in bytes.chunks(2500) {
                socket.send_all(piece).await?;
                let end = all.len() + piece.len();
                while all.len() < end {
                    all.extend(socket.recv_bytes(end - all.len()).await?);
                }
            }
            Ok(all)
        };
        let ((), all) = try_join!(serve, client)?;
        io::Result::Ok(same(&all, &bytes))
    })?
}

/// Lines through a reader with a limit, and a writer that sends in the background.
pub(crate) fn stream_writer() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let (listener, addr) = listener().await?;
        let serve = async { echo(listener.accept().await?.0, 1000).await };
        let line = |number: usize| format!("line {number}, {}\n", "x".repeat(number % 90));
        let lines: Vec<_> = (0..2000).map(line).collect();
        let client = async {
            let (mut reader, writer) = open_connection(addr).await?;
            let send = async {
                for (number, line) in lines.chunks(10).enumerate() {
                    line.iter().for_each(|it| writer.write(it.as_bytes()));
                    if number % 7 == 0 {
                        writer.drain().await?;
                    }
                }
                writer.write_eof();
                writer.flush().await
            };
            let receive = async {
                let mut all = Vec::new();
                let mut lines = reader.lines();
                while let Some(line) = lines.next().await {
                    all.extend(line.map_err(io::Error::other)?);
                    all.push(b'\n');
                }
                io::Result::Ok(all)
            };
            let ((), all) = try_join!(send, receive)?;
            Ok(same(&all, lines.concat().as_bytes()))
        };
        let ((), text) = try_join!(serve, client)?;
        io::Result::Ok(text)
    })?
}
