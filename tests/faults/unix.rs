//! Unix sockets: streams by path, datagrams, descriptors that travel.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::path::PathBuf;

use tulipa::net::{UnixDatagram, UnixListener, UnixStream};
use tulipa::runtime::Runner;
use tulipa::{spawn, try_join};

use crate::bytes::{digest, random, same};

/// A directory of the scenario's own, which is removed with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> io::Result<Place> {
        let path = std::env::temp_dir().join(format!("tulipa-{name}-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Place(path))
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // What is left in it is of no use.
    }
}

async fn echo(mut stream: UnixStream) -> io::Result<()> {
    let mut buf = vec![0; 10_000];
    loop {
        match stream.read(&mut buf).await? {
            0 => return stream.shutdown(Shutdown::Write),
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}

/// Several clients of one listener, with more than a socket holds.
pub(crate) fn stream() -> io::Result<String> {
    let place = Place::new("stream")?;
    let mut runner = Runner::builder().exception_handler(|_| ()).build()?;
    runner.try_run(async {
        let path = place.join("socket");
        let listener = UnixListener::bind(&path).await?;
        let serve = async {
            let mut served = Vec::new();
            for _ in 0..6 {
                served.push(spawn(echo(listener.accept().await?.0)));
            }
            for task in served {
                task.await.map_err(io::Error::other)??;
            }
            io::Result::Ok(())
        };
        let clients = async {
            let mut answers = String::new();
            for number in 0..6 {
                let bytes = random(30 + number, 300_000);
                let mut stream = UnixStream::connect(&path).await?;
                let (mut reader, mut writer) = stream.split();
                let write = async {
                    let (head, tail) = bytes.split_at(5000);
                    let count = writer
                        .write_vectored(&[IoSlice::new(head), IoSlice::new(tail)])
                        .await?;
                    writer.write_all(&bytes[count..]).await?;
                    writer.shutdown()
                };
                let read = async {
                    let mut all = Vec::new();
                    let mut buf = vec![0; 20_000];
                    loop {
                        match reader.read(&mut buf).await? {
                            0 => return Ok(all),
                            count => all.extend_from_slice(&buf[..count]),
                        }
                    }
                };
                let ((), all): (_, Vec<u8>) = try_join!(write, read)?;
                answers += &same(&all, &bytes);
            }
            Ok(digest(answers.as_bytes()))
        };
        let ((), answers) = try_join!(serve, clients)?;
        io::Result::Ok(answers)
    })?
}

/// To a path, and between two that are connected; more than a queue holds.
pub(crate) fn datagram() -> io::Result<String> {
    let place = Place::new("datagram")?;
    Runner::new()?.try_run(async {
        let server = UnixDatagram::bind(place.join("server"))?;
        let client = UnixDatagram::bind(place.join("client"))?;
        let bytes = random(40, 200 * 100);
        let send = async {
            for (number, datagram) in bytes.chunks(200).enumerate() {
                if number == 60 {
                    client.connect(place.join("server"))?;
                }
                match number < 60 {
                    true => client.send_to(datagram, place.join("server")).await?,
                    false => client.send(datagram).await?,
                };
            }
            io::Result::Ok(())
        };
        let receive = async {
            let mut all = Vec::new();
            let mut buf = [0; 300];
            while all.len() < bytes.len() {
                let (count, _) = server.recv_from(&mut buf).await?;
                all.extend_from_slice(&buf[..count]);
            }
            Ok(all)
        };
        let ((), all) = try_join!(send, receive)?;
        io::Result::Ok(same(&all, &bytes))
    })?
}

/// Files that travel over a stream and in datagrams, and are read at the other side.
pub(crate) fn descriptors() -> io::Result<String> {
    let place = Place::new("descriptors")?;
    let bytes = random(50, 3000);
    std::fs::write(place.join("file"), &bytes)?;
    Runner::new()?.try_run(async {
        let (mut near, mut far) = UnixStream::pair()?;
        let (near_datagram, far_datagram) = UnixDatagram::pair()?;
        let mut all = Vec::new();
        for round in 0..20 {
            let file = File::open(place.join("file"))?;
            let fds = [file.as_fd()];
            let mut buf = [0; 16];
            let send = async {
                match round % 2 {
                    0 => near.send_with_fds(b"take it", &fds).await,
                    _ => near_datagram.send_with_fds(b"take it", &fds).await,
                }
            };
            let receive = async {
                match round % 2 {
                    0 => far.recv_with_fds(&mut buf, 2).await,
                    _ => far_datagram.recv_with_fds(&mut buf, 2).await,
                }
            };
            let (_, mut received) = try_join!(send, receive)?;
            all.extend_from_slice(&buf[..received.len]);
            let Some(fd) = received.fds.pop() else {
                return Err(io::Error::other("no descriptor came with the bytes"));
            };
            File::from(fd).read_to_end(&mut all)?;
        }
        let expected = [&b"take it"[..], &bytes].concat().repeat(20);
        Ok(same(&all, &expected))
    })?
}
