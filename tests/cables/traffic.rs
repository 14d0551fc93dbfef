//! Bytes that can be checked wherever they come out, and echoes.

use std::cell::Cell;
use std::io;

use tulipa::net::{TcpListener, TcpStream};

/// The byte at this place of every stream: no two stretches are alike, so that what is missing, doubled or moved shows.
fn byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

pub(crate) fn bytes(start: u64, count: usize) -> Vec<u8> {
    (start..start + count as u64).map(byte).collect()
}

pub(crate) fn check(start: u64, received: &[u8]) {
    let wrong = received
        .iter()
        .zip(start..)
        .find(|&(&it, at)| it != byte(at));
    assert!(
        wrong.is_none(),
        "the byte at {} is not what was sent",
        wrong.expect("just seen").1
    );
}

/// Sends `count` bytes, and reads them back until the end of the stream, which must come right after them. `received` is
/// kept up to date.
pub(crate) async fn echo(stream: TcpStream, count: u64, received: &Cell<u64>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        let mut sent = 0;
        while sent < count {
            let piece = bytes(sent, (count - sent).min(16 * 1024) as usize);
            writer.write_all(&piece).await?;
            sent += piece.len() as u64;
        }
        tulipa::io::AsyncWriteExt::close(&mut writer).await
    };
    let receiving = async {
        let mut buf = vec![0; 64 * 1024];
        loop {
            let some = match reader.read(&mut buf).await? {
                0 => return io::Result::Ok(()),
                some => some,
            };
            check(received.get(), &buf[..some]);
            received.set(received.get() + some as u64);
        }
    };
    tulipa::try_join!(sending, receiving)?;
    assert_eq!(received.get(), count, "the stream ends where it should");
    Ok(())
}

/// One message there and back.
pub(crate) async fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut buf = [0; 4];
    stream.read_exact(&mut buf).await?;
    assert_eq!(&buf, b"ping");
    Ok(())
}

/// Sends back what comes.
pub(crate) async fn send_back(stream: &mut TcpStream) -> io::Result<()> {
    let mut buf = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}

/// Writes until the peer and the system take no more; how many bytes that was. (An error ends it, too.)
pub(crate) async fn fill(stream: &mut TcpStream) -> u64 {
    let piece = vec![0; 64 * 1024];
    let mut count = 0;
    let patience = std::time::Duration::from_millis(500);
    while let Ok(Ok(some)) = tulipa::timeout(patience, stream.write(&piece)).await {
        count += some as u64;
    }
    count
}

/// Takes one connection.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("a connection comes").0
}
