//! Descriptors that travel over Unix sockets.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_getfd};
use tulipa::net::{UnixDatagram, UnixStream};

use crate::temp_dir::TempDir;

fn is_closed_on_exec(fd: &OwnedFd) -> bool {
    fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC)
}

/// The writing end of a new pipe, for sending, and the reading end, which is at its end when all copies
/// of the other are closed.
fn pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    std::io::pipe().unwrap()
}

/// Whether all writing ends are closed: nothing was written.
fn is_at_end(mut reader: std::io::PipeReader) -> bool {
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    match reader.read(&mut [0]) {
        Ok(0) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_travels_over_a_stream() {
    tulipa::run(async {
        let dir = TempDir::new();
        let mut file = File::create_new(dir.join("file")).unwrap();
        file.write_all(b"contents").unwrap();
        let file = File::open(dir.join("file")).unwrap();
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let sent = a
            .send_with_fds(b"take this", &[file.as_fd()])
            .await
            .unwrap();
        assert_eq!(sent, 9);
        drop(file);
        let mut buf = [0; 16];
        let mut received = b.recv_with_fds(&mut buf, 4).await.unwrap();
        assert_eq!(&buf[..received.len], b"take this");
        assert!(!received.is_fds_truncated && !received.is_truncated);
        assert_eq!(received.fds.len(), 1);
        let fd = received.fds.pop().unwrap();
        assert!(is_closed_on_exec(&fd), "children do not inherit it");
        let mut file = File::from(fd);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "contents");

        drop(a);
        let end = b.recv_with_fds(&mut buf, 4).await.unwrap();
        assert!(end.len == 0 && end.fds.is_empty());
    });
}

#[test]
fn a_socket_travels_over_a_datagram() {
    tulipa::run(async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        a.send_with_fds(b"", &[theirs.as_fd()]).await.unwrap();
        a.send_with_fds(b"too long", &[]).await.unwrap();
        drop(theirs);
        let mut received = b.recv_with_fds(&mut [], 1).await.unwrap();
        assert_eq!((received.len, received.fds.len()), (0, 1));
        let theirs = std::os::unix::net::UnixStream::from(received.fds.pop().unwrap());
        let mut theirs = UnixStream::from_std(theirs).unwrap();
        ours.write_all(b"hi").await.unwrap();
        theirs.read_exact(&mut [0; 2]).await.unwrap();

        let received = b.recv_with_fds(&mut [0; 3], 0).await.unwrap();
        assert_eq!(received.len, 3);
        assert!(received.is_truncated && received.fds.is_empty());
    });
}

#[test]
fn halves_pass_descriptors_too() {
    tulipa::run(async {
        let (a, b) = UnixStream::pair().unwrap();
        let (_read_a, mut write_a) = a.into_split();
        let (mut read_b, _write_b) = b.into_split();
        let (reader, writer) = pipe();
        write_a
            .send_with_fds(b"!", &[writer.as_fd(), reader.as_fd()])
            .await
            .unwrap();
        let received = read_b.recv_with_fds(&mut [0; 4], 2).await.unwrap();
        assert_eq!((received.len, received.fds.len()), (1, 2));
    });
}

#[test]
fn what_was_not_asked_for_is_closed_and_told() {
    tulipa::run(async {
        for most in 0..4 {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            let (readers, writers): (Vec<_>, Vec<_>) = (0..4).map(|_| pipe()).unzip();
            let fds: Vec<_> = writers.iter().map(|it| it.as_fd()).collect();
            a.send_with_fds(b"!", &fds).await.unwrap();
            drop(fds);
            drop(writers);
            let received = b.recv_with_fds(&mut [0; 4], most).await.unwrap();
            assert_eq!(received.fds.len(), most);
            assert!(received.is_fds_truncated);
            for (index, reader) in readers.into_iter().enumerate() {
                assert_eq!(is_at_end(reader), index >= most, "{index} of {most}");
            }
        }
    });
}

#[test]
fn a_plain_read_closes_descriptors() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let (reader, writer) = pipe();
        a.send_with_fds(b"!", &[writer.as_fd()]).await.unwrap();
        drop(writer);
        assert_eq!(b.read(&mut [0; 4]).await.unwrap(), 1);
        assert!(is_at_end(reader));
    });
}

#[test]
fn descriptors_that_nobody_takes_are_closed_with_the_socket() {
    tulipa::run(async {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (reader, writer) = pipe();
        a.send_with_fds(b"!", &[writer.as_fd()]).await.unwrap();
        drop(writer);
        drop(b);
        assert!(is_at_end(reader));
    });
}

// A read stops behind bytes with descriptors, though there is more: it must not wait for news then.
#[test]
fn bytes_behind_a_descriptor_are_read() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let mut buf = [0; 64];
        // Registers the stream, so that readiness is remembered.
        assert!(crate::cut_short::after(2, b.read(&mut buf)).await.is_none());
        for _ in 0..3 {
            let (_reader, writer) = pipe();
            a.write_all(b"1").await.unwrap();
            a.send_with_fds(b"2", &[writer.as_fd()]).await.unwrap();
            a.write_all(b"3").await.unwrap();
            a.send_with_fds(b"4", &[writer.as_fd()]).await.unwrap();
            let mut text = Vec::new();
            while text.len() < 4 {
                let read = b.read(&mut buf);
                let count = tulipa::timeout(std::time::Duration::from_secs(10), read).await;
                text.extend_from_slice(&buf[..count.expect("it waits in vain").unwrap()]);
            }
            assert_eq!(text, b"1234");
        }
    });
}

#[test]
fn impossible_requests_are_refused() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let (_reader, writer) = pipe();
        let error = a.send_with_fds(b"", &[writer.as_fd()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = b.recv_with_fds(&mut [], 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let many: Vec<BorrowedFd<'_>> = vec![writer.as_fd(); 254];
        let error = a.send_with_fds(b"x", &many).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("253"), "{error}");
        a.send_with_fds(b"x", &many[..253]).await.unwrap();
        let received = b.recv_with_fds(&mut [0], usize::MAX).await.unwrap();
        assert_eq!(received.fds.len(), 253);
        assert!(
            received
                .fds
                .iter()
                .all(|it| it.as_raw_fd() != writer.as_raw_fd())
        );
    });
}

// CN02
#[test]
fn dropped_calls_lose_no_descriptor() {
    tulipa::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        for polls in 0..4 {
            let mut buf = [0; 4];
            assert!(
                crate::cut_short::after(polls, b.recv_with_fds(&mut buf, 1))
                    .await
                    .is_none()
            );
            let (reader, writer) = pipe();
            a.send_with_fds(b"!", &[writer.as_fd()]).await.unwrap();
            drop(writer);
            let received = b.recv_with_fds(&mut buf, 1).await.unwrap();
            assert_eq!(received.fds.len(), 1);
            drop(received);
            assert!(is_at_end(reader), "dropping what was received closes it");
        }
    });
}
