//! Pipes, copying, files to sockets, any descriptor, standard input and output.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::rc::Rc;

use rustix::event::{EventfdFlags, eventfd};
use tulipa::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, send_file, stdin, stdout};
use tulipa::net::{AsyncFd, TcpListener, TcpStream, pipe};
use tulipa::runtime::Runner;
use tulipa::{try_join, yield_now};

use crate::bytes::{digest, random, same};

const MUCH: usize = 1024 * 1024;

/// More than a pipe holds.
pub(crate) fn pipes() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let (mut sender, mut receiver) = pipe::pipe()?;
        let bytes = random(60, 400_000);
        let send = async {
            for piece in bytes.chunks(9_000) {
                sender.write_all(piece).await?;
            }
            drop(sender);
            io::Result::Ok(())
        };
        let receive = async {
            let mut all = Vec::new();
            let mut buf = vec![0; 7_000];
            loop {
                match receiver.read(&mut buf).await? {
                    0 => return Ok(all),
                    count => all.extend_from_slice(&buf[..count]),
                }
            }
        };
        let ((), all): (_, Vec<u8>) = try_join!(send, receive)?;
        io::Result::Ok(same(&all, &bytes))
    })?
}

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let (near, (far, _)) = try_join!(TcpStream::connect(addr), listener.accept())?;
    Ok((near, far))
}

async fn send_all(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(bytes).await?;
        writer.shutdown()
    };
    let read = async {
        let mut all = Vec::new();
        let mut buf = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buf).await? {
                0 => return Ok(all),
                count => all.extend_from_slice(&buf[..count]),
            }
        }
    };
    let ((), all): (_, Vec<u8>) = try_join!(write, read)?;
    Ok(all)
}

/// A proxy between two that send a lot, which goes through a pipe.
pub(crate) fn copy_splice() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let (mut client, mut front) = tcp_pair().await?;
        let (mut back, mut server) = tcp_pair().await?;
        let (there, here) = (random(61, MUCH), random(62, MUCH));
        let (at_client, at_server, (one, two)) = try_join!(
            send_all(&mut client, &there),
            send_all(&mut server, &here),
            copy_bidirectional(&mut front, &mut back)
        )?;
        if (one, two) != (MUCH as u64, MUCH as u64) {
            return Err(io::Error::other(format!(
                "{one} and {two} bytes were counted"
            )));
        }
        Ok([same(&at_client, &here), same(&at_server, &there)].join("; "))
    })?
}

/// A file to a socket, twice from where it stands.
pub(crate) fn send_a_file() -> io::Result<String> {
    let bytes = random(63, 600_000);
    let path = std::env::temp_dir().join(format!("tulipa-faults-{}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(&bytes)?;
    file.rewind()?;
    Runner::new()?.try_run(async {
        let (mut near, mut far) = tcp_pair().await?;
        let send = async {
            let first = send_file(&mut near, &file, ..250_000).await?;
            let second = send_file(&mut near, &file, 250_000..).await?;
            near.shutdown(Shutdown::Write)?;
            Ok((first, second))
        };
        let receive = async { send_all(&mut far, b"").await };
        let (sent, all) = try_join!(send, receive)?;
        if sent != (250_000, 350_000) {
            return Err(io::Error::other(format!("{sent:?} bytes were sent")));
        }
        Ok(same(&all, &bytes))
    })?
}

/// A counter of the kernel's: what is written adds up.
pub(crate) fn async_fd() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let fd = Rc::new(AsyncFd::new(fd)?);
        let write = async {
            for number in 1..=100_u64 {
                let bytes = number.to_ne_bytes();
                fd.write_with(|fd| Ok(rustix::io::write(fd, &bytes)?))
                    .await?;
                yield_now().await;
            }
            io::Result::Ok(())
        };
        let read = async {
            let mut sum = 0;
            while sum < 5050 {
                let mut bytes = [0; 8];
                fd.read_with(|fd| Ok(rustix::io::read(fd, &mut bytes)?))
                    .await?;
                sum += u64::from_ne_bytes(bytes);
            }
            Ok(sum)
        };
        let ((), sum) = try_join!(write, read)?;
        io::Result::Ok(format!("sum {sum}"))
    })?
}

/// What comes by standard input in [`stdio`].
pub(crate) fn input() -> Vec<u8> {
    random(64, 150_000)
}

/// Standard input in, and sums of it out, more than a pipe holds. The output is compared by who started this.
pub(crate) fn stdio() -> io::Result<String> {
    Runner::new()?.try_run(async {
        let mut all = Vec::new();
        stdin().read_to_end(&mut all).await?;
        let sums: String = all.chunks(50).map(|it| digest(it) + "\n").collect();
        let mut out = stdout();
        out.write_all(sums.as_bytes()).await?;
        out.flush().await?;
        io::Result::Ok(same(&all, &input()))
    })?
}
