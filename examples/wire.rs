//! A bad wire: passes packets between two descriptors, and delays, loses, doubles and reorders some of them.
//!
//! Its standard input and its standard output are the two ends: TAP devices in two network namespaces, or anything else
//! from which a read takes one packet, such as socketpairs of datagrams. `ci/lib/wire.py` makes the devices (as root, in
//! namespaces that `ip netns add` has made):
//!
//! ```text
//! cargo build --example wire
//! python3 ci/lib/wire.py NAMESPACE1 NAMESPACE2 target/debug/examples/wire delay=25 loss=5
//! ```
//!
//! `delay=MS` is each way; of a hundred packets `loss=N` are lost, `twice=N` come twice, and `late=N` up to 20 ms late, so
//! that others overtake them; with the same `seed=N` the same ones, if they come in the same order. When a
//! device is taken away it ends with an error. (Unix only; not for terminals, whose descriptors it makes non-blocking.)

#[cfg(unix)]
#[tulipa::main]
async fn main() -> std::io::Result<()> {
    unix::wire(&std::env::args().skip(1).collect::<Vec<_>>()).await
}

#[cfg(not(unix))]
fn main() {
    eprintln!("wire: this system has no descriptors");
}

#[cfg(unix)]
mod unix {
    use std::cell::Cell;
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::time::Duration;

    use tulipa::net::AsyncFd;

    /// Packets that may be under way in one direction. What is more is lost, as in any router: a longer queue only
    /// makes everything later.
    const ROOM: usize = 500;
    /// The largest packet there is.
    const PACKET: usize = 65_536;

    #[derive(Default)]
    struct Faults {
        delay: Duration,
        loss: u64,
        twice: u64,
        late: u64,
    }

    pub(super) async fn wire(words: &[String]) -> io::Result<()> {
        let mut faults = Faults::default();
        for word in words {
            match word.split_once('=').map(|it| (it.0, it.1.parse())) {
                Some(("delay", Ok(millis))) => faults.delay = Duration::from_millis(millis),
                Some(("loss", Ok(percent))) => faults.loss = percent,
                Some(("twice", Ok(percent))) => faults.twice = percent,
                Some(("late", Ok(percent))) => faults.late = percent,
                Some(("seed", Ok(seed))) => fastrand::seed(seed),
                _ => return Err(io::Error::other(format!("'{word}' is not a fault"))),
            }
        }
        let (left, right) = (end(io::stdin())?, end(io::stdout())?);
        // Whichever has ended ends the other.
        tulipa::race!(pass(&left, &right, &faults), pass(&right, &left, &faults))
    }

    /// The descriptor as one that can be waited for.
    fn end(fd: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
        let fd = fd.as_fd().try_clone_to_owned()?;
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        AsyncFd::new(fd)
    }

    async fn pass(
        from: &AsyncFd<OwnedFd>,
        to: &AsyncFd<OwnedFd>,
        faults: &Faults,
    ) -> io::Result<()> {
        let under_way = &Cell::new(0);
        let happens = |percent| fastrand::u64(..100) < percent;
        // Each packet is a task, which borrows from here.
        tulipa::scope(async |scope| {
            let mut buf = vec![0; PACKET];
            loop {
                let read = from.read_with(|fd| Ok(rustix::io::read(fd, &mut buf)?));
                let packet = match read.await? {
                    0 => return Ok(()),
                    count => &buf[..count],
                };
                if happens(faults.loss) || under_way.get() >= ROOM {
                    continue;
                }
                for _ in 0..=u32::from(happens(faults.twice)) {
                    let late = if happens(faults.late) { 20 } else { 0 };
                    let delay = faults.delay + Duration::from_millis(fastrand::u64(..=late));
                    let packet = packet.to_vec();
                    under_way.set(under_way.get() + 1);
                    scope.spawn(async move {
                        // In the order of the deadlines: what is not late stays in order.
                        tulipa::sleep(delay).await;
                        under_way.set(under_way.get() - 1);
                        // What the other end does not take is lost, too.
                        let _ = rustix::io::write(to.get_ref(), &packet);
                    });
                }
            }
        })
        .await
    }
}
