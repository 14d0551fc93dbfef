//! Pipes, FIFOs and terminals.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::give_up;
use tulipa::net::pipe::{
    Receiver, Sender, open_receiver, open_receiver_kept_open, open_sender, pipe,
};

/// A FIFO of a name of its own, removed in the end.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Fifo {
        let path = std::env::temp_dir().join(format!("tulipa-{name}-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        Fifo(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The two sides of a terminal, in raw mode: the program's, and the user's.
#[cfg(target_os = "linux")]
pub(crate) fn pseudo_terminal() -> (OwnedFd, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let options = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap());
    (terminal, options.unwrap().into())
}

#[test]
fn what_is_sent_is_received_and_then_the_end() {
    tulipa::run(async {
        let (mut sender, mut receiver) = pipe().unwrap();
        assert_eq!(sender.write(b"one").await.unwrap(), 3);
        let bufs = [IoSlice::new(b"tw"), IoSlice::new(b"o")];
        assert_eq!(sender.write_vectored(&bufs).await.unwrap(), 3);
        let mut buf = [0; 3];
        receiver.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"one");
        let (mut one, mut two) = ([0; 1], [0; 5]);
        let bufs = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(receiver.read_vectored(bufs).await.unwrap(), 3);

        let reader = tulipa::spawn(async move {
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).await.unwrap();
            assert_eq!(receiver.read(&mut [0; 1]).await.unwrap(), 0, "again");
            all
        });
        let data: Vec<u8> = (0..1_000_000u32).map(|it| (it % 251) as u8).collect();
        sender.write_all(&data).await.unwrap();
        sender.flush().await.unwrap();
        sender.close().await.unwrap();
        drop(sender);
        assert!(reader.await.unwrap() == data, "bytes differ");
    });
}

// UD07
#[test]
fn a_pipe_without_a_receiver_is_broken() {
    tulipa::run(async {
        let (mut sender, receiver) = pipe().unwrap();
        drop(receiver);
        let error = sender.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);

        // While it waits for room.
        let (mut sender, receiver) = pipe().unwrap();
        let writer = tulipa::spawn(async move { sender.write_all(&vec![0; 1 << 20]).await });
        tulipa::sleep(Duration::from_millis(2)).await;
        drop(receiver);
        let error = writer.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);

        let (sender, mut receiver) = pipe().unwrap();
        drop(sender);
        let error = receiver.read_exact(&mut [0; 2]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

// §17: watches for the reader's disappearance
#[cfg(target_os = "linux")]
#[test]
fn a_sender_learns_that_the_receiver_is_gone() {
    tulipa::run(async {
        let (mut sender, receiver) = pipe().unwrap();
        sender.write_all(b"unread").await.unwrap();
        for polls in 0..3 {
            assert!(give_up::soon(polls, sender.closed()).await.is_none());
        }
        let closer = tulipa::spawn(async move {
            tulipa::sleep(Duration::from_millis(2)).await;
            drop(receiver);
        });
        sender.closed().await.unwrap();
        sender.closed().await.unwrap();
        closer.await.unwrap();
    });
}

// CN02
#[test]
fn reading_and_writing_can_be_given_up_at_every_await() {
    tulipa::run(async {
        let (mut sender, mut receiver) = pipe().unwrap();
        let mut buf = [0; 4096];
        for polls in 0..3 {
            assert!(
                give_up::soon(polls, receiver.read(&mut buf))
                    .await
                    .is_none()
            );
            assert!(give_up::soon(polls, receiver.readable()).await.is_none());
            let bufs = &mut [IoSliceMut::new(&mut buf)];
            assert!(
                give_up::soon(polls, receiver.read_vectored(bufs))
                    .await
                    .is_none()
            );
        }
        sender.write_all(b"kept").await.unwrap();
        receiver.readable().await.unwrap();
        assert_eq!(receiver.read(&mut buf).await.unwrap(), 4);

        let mut sent = 0;
        while let Some(count) = give_up::soon(3, sender.write(&[7; 4096])).await {
            sent += count.unwrap();
        }
        for polls in 0..3 {
            assert!(
                give_up::soon(polls, sender.write(&[8; 4096]))
                    .await
                    .is_none()
            );
            let bufs = [IoSlice::new(&[8; 4096])];
            assert!(
                give_up::soon(polls, sender.write_vectored(&bufs))
                    .await
                    .is_none()
            );
            assert!(give_up::soon(polls, sender.writable()).await.is_none());
        }
        drop(sender);
        let mut all = Vec::new();
        receiver.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, vec![7; sent], "neither lost nor written twice");
    });
}

#[test]
fn what_only_tries_never_waits() {
    tulipa::run(async {
        let (mut sender, mut receiver) = pipe().unwrap();
        let mut buf = [0; 8];
        let would_block = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
        assert!(receiver.try_read(&mut buf).is_err_and(would_block));
        sender.writable().await.unwrap();
        assert_eq!(sender.try_write(b"abc").unwrap(), 3);
        receiver.readable().await.unwrap();
        assert_eq!(receiver.try_read(&mut buf).unwrap(), 3);
        while sender.try_write(&[0; 4096]).is_ok() {}
        assert!(sender.try_write(&[0; 4096]).is_err_and(would_block));
        assert!(format!("{sender:?} {receiver:?}").contains("Receiver"));
    });
}

#[test]
fn a_fifo_is_opened_without_waiting_for_the_other_side() {
    let fifo = Fifo::new("fifo");
    tulipa::run(async {
        let error = open_sender(&fifo.0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO), "nobody reads");

        // Without a writer it is at its end, and again after each.
        let mut receiver = open_receiver(&fifo.0).unwrap();
        let mut buf = [0; 8];
        assert_eq!(receiver.read(&mut buf).await.unwrap(), 0);
        for _ in 0..2 {
            let mut sender = open_sender(&fifo.0).unwrap();
            sender.write_all(b"hello").await.unwrap();
            assert_eq!(receiver.read(&mut buf).await.unwrap(), 5);
            assert!(give_up::soon(2, receiver.read(&mut buf)).await.is_none());
            drop(sender);
            assert_eq!(receiver.read(&mut buf).await.unwrap(), 0);
        }
        drop(receiver);

        // Kept open, it waits for the next one.
        let mut receiver = open_receiver_kept_open(&fifo.0).unwrap();
        assert!(give_up::soon(2, receiver.read(&mut buf)).await.is_none());
        for _ in 0..2 {
            let mut sender = open_sender(&fifo.0).unwrap();
            sender.write_all(b"hello").await.unwrap();
            drop(sender);
            assert_eq!(receiver.read(&mut buf).await.unwrap(), 5);
            assert!(give_up::soon(2, receiver.read(&mut buf)).await.is_none());
        }
    });
}

// §17: regular file ValueError
#[test]
fn what_is_no_pipe_is_refused() {
    let exe = std::env::current_exe().unwrap();
    let missing = exe.with_file_name("no-such-file");
    for result in [
        open_receiver(&exe).err(),
        open_receiver_kept_open(&missing).err(),
    ] {
        let kind = result.unwrap().kind();
        assert!(matches!(
            kind,
            ErrorKind::InvalidInput | ErrorKind::NotFound
        ));
    }
    assert_eq!(
        open_sender(&missing).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let error = Receiver::from_fd(File::open(&exe).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let error = Sender::from_fd(File::open(&exe).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn ends_come_from_elsewhere_and_go_back() {
    tulipa::run(async {
        let (receiver, sender) = std::io::pipe().unwrap();
        let mut receiver = Receiver::from_fd(receiver).unwrap();
        let mut sender = Sender::from_fd(sender).unwrap();
        assert!(give_up::soon(1, receiver.read(&mut [0; 1])).await.is_none());
        sender.write_all(b"ab").await.unwrap();
        receiver.read_exact(&mut [0; 1]).await.unwrap();

        // Blocking, as others expect it.
        let mut receiver = File::from(receiver.into_blocking_fd().unwrap());
        let mut sender = File::from(sender.into_blocking_fd().unwrap());
        for file in [&receiver, &sender] {
            let flags = rustix::fs::fcntl_getfl(file).unwrap();
            assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        }
        sender.write_all(b"cd").unwrap();
        let mut buf = [0; 3];
        receiver.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"bcd");
        let (sender, receiver) = pipe().unwrap();
        let _: (OwnedFd, OwnedFd) = (sender.into_fd().unwrap(), receiver.into_fd().unwrap());
    });
}

// UD07, §17: one end for reading, a duplicate for writing; EIO is quiet
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_read_and_written_and_ends_quietly() {
    tulipa::run(async {
        let (terminal, user) = pseudo_terminal();
        let mut sender = Sender::from_fd(terminal.try_clone().unwrap()).unwrap();
        let mut receiver = Receiver::from_fd(terminal).unwrap();
        sender.write_all(b"typed\n").await.unwrap();
        let mut user = File::from(user);
        let mut buf = [0; 64];
        let count = user.read(&mut buf).unwrap();
        assert_eq!(&buf[..count], b"typed\n");
        // Its echo.
        let count = receiver.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..count], b"typed\r\n");

        user.write_all(b"said\n").unwrap();
        let count = receiver.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..count], b"said\r\n");
        let reading = async { receiver.read(&mut buf).await };
        let closing = async {
            tulipa::sleep(Duration::from_millis(2)).await;
            drop(user);
        };
        let (count, ()) = tulipa::join!(reading, closing);
        assert_eq!(count.unwrap(), 0);
    });
}
