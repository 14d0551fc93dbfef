//! Streams of bytes: TCP, Unix sockets, their halves, pipes.

use std::io::{self, IoSlice, IoSliceMut};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tulipa::net::TcpStream;
#[cfg(unix)]
use tulipa::net::UnixStream;
#[cfg(unix)]
use tulipa::net::pipe::pipe;

use crate::cut_short;
use crate::give_up;
use crate::io::support::{pattern, tcp_pair};

// ---- the promises ----

/// Lets the loop wait for the system once, so that it learns what is ready.
async fn look_outside() {
    tulipa::sleep(Duration::from_micros(100)).await;
}

/// What only looks, or takes bytes in the poll that returns them: dropped wherever it waits it loses none.
async fn loses_nothing<N, F>(
    near: &mut N,
    mut far: F,
    take: impl AsyncFn(&mut N) -> io::Result<Vec<u8>>,
) where
    N: AsyncRead + Unpin,
    F: AsyncWrite + Unpin,
{
    for polls in 0..5 {
        let early = cut_short::after(polls, take(near)).await;
        assert!(early.is_none(), "nothing is there");
    }
    let sent = pattern(600);
    let mut got = Vec::new();
    for (round, piece) in sent.chunks(5).enumerate() {
        let polls = round % 5;
        far.write_all(piece).await.unwrap();
        if round % 3 == 0 {
            look_outside().await;
        }
        for _ in 0..2 {
            if let Some(bytes) = cut_short::after(polls, take(near)).await {
                got.extend(bytes.unwrap());
            }
        }
    }
    drop(far);
    near.read_to_end(&mut got).await.unwrap();
    assert!(got == sent, "bytes were lost");
}

#[test]
#[should_panic(expected = "bytes were lost")]
fn the_check_sees_bytes_that_are_lost() {
    tulipa::run(async {
        let (mut near, far) = tcp_pair().await;
        let take = async |stream: &mut TcpStream| {
            let mut buf = [0; 7];
            stream.read_exact(&mut buf).await?;
            Ok(buf.to_vec())
        };
        loses_nothing(&mut near, far, take).await;
    });
}

/// What only waits, or gives bytes away in the poll that says so: dropped wherever it waits it has sent none. `put` sends
/// nothing but `x`.
async fn sends_nothing<N, F>(
    near: &mut N,
    mut far: F,
    put: impl AsyncFn(&mut N) -> io::Result<usize>,
) where
    N: AsyncWrite + Unpin,
    F: AsyncRead + Unpin,
{
    let mut expected = Vec::new();
    while let Some(count) = cut_short::after(2, near.write(&[b'-'; 4096])).await {
        expected.extend(vec![b'-'; count.unwrap()]);
    }
    let mut given_up = 0;
    for polls in 0..5 {
        match cut_short::after(polls, put(near)).await {
            Some(count) => expected.extend(vec![b'x'; count.unwrap()]),
            None => given_up += polls,
        }
    }
    assert!(given_up > 0, "it never had to wait");
    let mut got = vec![0; expected.len()];
    far.read_exact(&mut got).await.unwrap();
    assert!(got == expected);
    let count = put(near).await.unwrap();
    near.write_all(b"!").await.unwrap();
    let mut got = vec![0; count + 1];
    far.read_exact(&mut got).await.unwrap();
    assert_eq!((got.pop(), got), (Some(b'!'), vec![b'x'; count]));
}

/// Runs the checks of reading on one kind of stream. The stream's far side is dropped each time, so each check has its own
/// pair.
macro_rules! check_reading {
    ($pair:expr, |$stream:ident| $near:expr, $(($take:expr)),* $(,)?) => {$(
        {
            #[allow(unused_mut, reason = "those that are taken apart are moved")]
            let (mut $stream, far) = $pair;
            let near = &mut $near;
            loses_nothing(near, far, $take).await;
        }
    )*
        read_exact_may_take_a_part!($pair, |$stream| $near);
    };
}

/// `read_exact` is not safe: a dropped call has taken what had come, and put it into the buffer; the rest is there.
macro_rules! read_exact_may_take_a_part {
    ($pair:expr, |$stream:ident| $near:expr) => {
        let sent = pattern(20);
        let mut parts = Vec::new();
        for polls in 0.. {
            #[allow(unused_mut, reason = "those that are taken apart are moved")]
            let (mut $stream, mut far) = $pair;
            let near = &mut $near;
            let pieces = sent.clone();
            let feeding = tulipa::spawn(async move {
                for piece in pieces.chunks(5) {
                    far.write_all(piece).await.unwrap();
                    look_outside().await;
                }
            });
            let mut buf = [0; 20];
            // Dropped at its first wait, its second, and so on.
            let read = give_up::after(polls, near.read_exact(&mut buf)).await;
            feeding.await.unwrap();
            let mut rest = Vec::new();
            near.read_to_end(&mut rest).await.unwrap();
            let taken = sent.len() - rest.len();
            assert!(buf[..taken] == sent[..taken] && rest == sent[taken..]);
            if let Some(read) = read {
                read.unwrap();
                assert_eq!(taken, 20);
                break;
            }
            parts.push(taken);
        }
        assert_eq!(parts[0], 0, "it was not polled");
        let is_part = |it: &usize| (1..20).contains(it);
        assert!(parts.iter().any(is_part), "{parts:?}");
    };
}

macro_rules! check_writing {
    ($pair:expr, |$stream:ident| $near:expr, $(($put:expr)),* $(,)?) => {$(
        {
            #[allow(unused_mut, reason = "those that are taken apart are moved")]
            let (mut $stream, far) = $pair;
            let near = &mut $near;
            sends_nothing(near, far, $put).await;
        }
    )*
        // `write_all` is not safe: a dropped call may have sent a part, from the start, with nothing in between.
        let sent = pattern(8_000_000);
        let mut parts = Vec::new();
        for polls in 0..6 {
            let (written, reading) = {
                #[allow(unused_mut, reason = "those that are taken apart are moved")]
                let (mut $stream, far) = $pair;
                let near = &mut $near;
                let reading = tulipa::spawn(read_slowly(far));
                // Dropped at its first wait, its second, and so on.
                (give_up::after(polls, near.write_all(&sent)).await, reading)
            };
            let got = reading.await.unwrap();
            assert!(got[..] == sent[..got.len()], "after {polls} polls");
            match written {
                Some(written) => {
                    written.unwrap();
                    assert_eq!(got.len(), sent.len());
                }
                None => parts.push(got.len()),
            }
        }
        assert_eq!(parts[0], 0, "it was not polled");
        let is_part = |it: &usize| (1..sent.len()).contains(it);
        assert!(parts.iter().any(is_part), "{parts:?}");
    };
}

async fn read_slowly(mut far: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut got = Vec::new();
    let mut buf = vec![0; 100_000];
    loop {
        match far.read(&mut buf).await.unwrap() {
            0 => return got,
            count => got.extend(&buf[..count]),
        }
        look_outside().await;
    }
}

/// The methods that all kinds have. (Macros, because the methods are not of one trait.)
macro_rules! read {
    () => {
        async |stream| {
            let mut buf = [0; 7];
            let count = stream.read(&mut buf).await?;
            Ok(buf[..count].to_vec())
        }
    };
}

macro_rules! read_vectored {
    () => {
        async |stream| {
            let (mut one, mut two) = ([0; 3], [0; 4]);
            let bufs = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            let count = stream.read_vectored(bufs).await?;
            Ok([&one[..], &two].concat()[..count].to_vec())
        }
    };
}

macro_rules! peek {
    () => {
        async |stream| {
            let count = stream.peek(&mut [0; 7]).await?;
            assert!((1..=7).contains(&count));
            Ok(Vec::new())
        }
    };
}

macro_rules! write {
    () => {
        async |stream| stream.write(&[b'x'; 99]).await
    };
}

macro_rules! write_vectored {
    () => {
        async |stream| {
            let bufs = [IoSlice::new(b"xx"), IoSlice::new(b"xxx")];
            stream.write_vectored(&bufs).await
        }
    };
}

// ---- TCP ----

#[test]
fn tcp_streams_keep_their_promises() {
    tulipa::run(async {
        check_reading!(
            tcp_pair().await,
            |stream| stream,
            (read!()),
            (read_vectored!()),
            (peek!()),
            (async |stream| stream.readable().await.map(|()| Vec::new())),
        );
        check_writing!(
            tcp_pair().await,
            |stream| stream,
            (write!()),
            (write_vectored!()),
            (async |stream| stream.writable().await.map(|()| 0)),
        );
    });
}

#[test]
fn halves_of_tcp_streams_keep_their_promises() {
    tulipa::run(async {
        check_reading!(
            tcp_pair().await,
            |stream| stream.split().0,
            (read!()),
            (read_vectored!()),
            (peek!()),
        );
        check_reading!(
            tcp_pair().await,
            |stream| stream.into_split().0,
            (read!()),
            (read_vectored!()),
            (peek!()),
        );
        check_writing!(
            tcp_pair().await,
            |stream| stream.split().1,
            (write!()),
            (write_vectored!()),
        );
        check_writing!(
            tcp_pair().await,
            |stream| stream.into_split().1,
            (write!()),
            (write_vectored!()),
        );
    });
}

// ---- Unix sockets ----

#[cfg(unix)]
fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

#[cfg(unix)]
macro_rules! recv_with_fds {
    () => {
        async |stream| {
            let mut buf = [0; 7];
            let received = stream.recv_with_fds(&mut buf, 1).await?;
            Ok(buf[..received.len].to_vec())
        }
    };
}

#[cfg(unix)]
macro_rules! send_with_fds {
    () => {
        async |stream| stream.send_with_fds(b"xxx", &[]).await
    };
}

#[cfg(unix)]
#[test]
fn unix_streams_keep_their_promises() {
    tulipa::run(async {
        check_reading!(
            unix_pair(),
            |stream| stream,
            (read!()),
            (read_vectored!()),
            (peek!()),
            (recv_with_fds!()),
            (async |stream| stream.readable().await.map(|()| Vec::new())),
        );
        check_writing!(
            unix_pair(),
            |stream| stream,
            (write!()),
            (write_vectored!()),
            (send_with_fds!()),
            (async |stream| stream.writable().await.map(|()| 0)),
        );
    });
}

#[cfg(unix)]
#[test]
fn halves_of_unix_streams_keep_their_promises() {
    tulipa::run(async {
        check_reading!(
            unix_pair(),
            |stream| stream.split().0,
            (read!()),
            (read_vectored!()),
            (peek!()),
            (recv_with_fds!()),
        );
        check_reading!(
            unix_pair(),
            |stream| stream.into_split().0,
            (read!()),
            (read_vectored!()),
            (peek!()),
            (recv_with_fds!()),
        );
        check_writing!(
            unix_pair(),
            |stream| stream.split().1,
            (write!()),
            (write_vectored!()),
            (send_with_fds!()),
        );
        check_writing!(
            unix_pair(),
            |stream| stream.into_split().1,
            (write!()),
            (write_vectored!()),
            (send_with_fds!()),
        );
    });
}

// ---- pipes ----

#[cfg(unix)]
#[test]
fn pipes_keep_their_promises() {
    tulipa::run(async {
        let reading = || {
            let (sender, receiver) = pipe().unwrap();
            (receiver, sender)
        };
        check_reading!(
            reading(),
            |receiver| receiver,
            (read!()),
            (read_vectored!()),
            (async |receiver| receiver.readable().await.map(|()| Vec::new())),
        );
        check_writing!(
            pipe().unwrap(),
            |sender| sender,
            (write!()),
            (write_vectored!()),
            (async |sender| sender.writable().await.map(|()| 0)),
        );
    });
}
