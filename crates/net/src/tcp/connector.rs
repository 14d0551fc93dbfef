//! Connecting: which addresses, in which order, and with which socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tulipa_executor::combine::staggered_race;
use tulipa_executor::timer::timeout;

use crate::addr::{Target, ToSocketAddrs};
use crate::names::{Resolver, default_resolver, look_up};
use crate::tcp::connect_error::ConnectError;
use crate::tcp::options::Family;
use crate::tcp::socket::TcpSocket;
use crate::tcp::stream::TcpStream;

/// How long an attempt is given until the next one begins beside it: as RFC 8305 recommends. Shorter opens
/// connections that are thrown away, to hosts that are merely far off; longer is felt by whoever waits for
/// a page while one family is broken.
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried at most. A name with more is broken, or meant to keep us busy.
const MAX_ADDRESSES: usize = 16;

/// Connects, with options: the resolver, the times, this side's address, and what to set on the socket.
///
/// [`TcpStream::connect`] is one without options.
///
/// # Names: happy eyeballs
/// The addresses of a name are tried in the resolver's order, but with the families taking turns,
/// beginning with the first's. An attempt is given 250 ms, then the next one begins beside it; when
/// one fails the next begins at once. The first connection that comes about is returned, the other attempts
/// are dropped and their sockets closed. At most 16 addresses are tried, none twice.
///
/// Addresses of a list are tried in its order, each when the one before it has failed, unless a
/// [stagger](Connector::stagger) is set.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # fn main() {}
/// # async fn f() -> std::io::Result<()> {
/// use std::time::Duration;
/// use tulipa::net::Connector;
///
/// let connector = Connector::new()
///     .attempt_timeout(Duration::from_secs(5))
///     .configure(|socket| socket.set_keep_alive(true));
/// let stream = connector.connect("example.org:80").await?;
/// # Ok(())
/// # }
/// ```
///
/// # References
/// RFC 8305, but that both families are looked up together: see
/// [`SystemResolver`](crate::names::SystemResolver).
#[derive(Clone, Default)]
#[must_use = "it does nothing until it connects"]
#[doc(alias = "create_connection")]
#[doc(alias = "happy_eyeballs")]
pub struct Connector {
    resolver: Option<Rc<dyn Resolver>>,
    stagger: Option<Duration>,
    first_family_count: Option<usize>,
    attempt_timeout: Option<Duration>,
    local_addrs: Vec<SocketAddr>,
    configure: Option<Rc<Configure>>,
}

type Configure = dyn Fn(&TcpSocket) -> io::Result<()>;

impl Connector {
    /// A connector without options.
    pub fn new() -> Connector {
        Connector::default()
    }

    /// Asks this resolver for names, instead of the one that is [set](crate::names::set_resolver).
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Connector {
        self.resolver = Some(Rc::new(resolver));
        self
    }

    /// How long an attempt is given until the next one begins beside it: 250 ms for the addresses of a name
    /// unless told otherwise. With `Duration::MAX` each begins when the one before it has failed, and with
    /// zero all begin at once. RFC 8305 recommends 100 ms to 2 s.
    #[doc(alias = "happy_eyeballs_delay")]
    pub fn stagger(mut self, stagger: Duration) -> Connector {
        self.stagger = Some(stagger);
        self
    }

    /// How many addresses of the first one's family are tried before one of the other: one unless told
    /// otherwise. Zero counts as one.
    #[doc(alias = "interleave")]
    pub fn first_family_count(mut self, count: usize) -> Connector {
        self.first_family_count = Some(count);
        self
    }

    /// Gives each attempt up after this long, with `TimedOut`. Otherwise the system decides: on Linux after
    /// about two minutes. (Looking the name up does not count; put `timeout` around it all for that.)
    pub fn attempt_timeout(mut self, timeout: Duration) -> Connector {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Connects from this address. Port 0 lets the system choose one.
    ///
    /// It is used for addresses of its family. May be called twice, with an address of each; where there is
    /// none for an attempt's family that attempt fails.
    pub fn local_addr(mut self, addr: SocketAddr) -> Connector {
        self.local_addrs.push(addr);
        self
    }

    /// Has `configure` set each attempt's socket up, before it is bound and connected. An error fails the
    /// attempt.
    pub fn configure(
        mut self,
        configure: impl Fn(&TcpSocket) -> io::Result<()> + 'static,
    ) -> Connector {
        self.configure = Some(Rc::new(configure));
        self
    }

    /// Connects to `addr`. See the type for how.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    ///
    /// # Panics
    /// When it has to wait outside of a runtime.
    ///
    /// # Cancel safety
    /// Safe: a dropped call closes its sockets.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        match addr.target()? {
            Target::Address(addr) => match self.attempt(addr).await {
                Ok(stream) => Ok(stream),
                Err(error) => Err(ConnectError::wrap(None, vec![(addr, error)])),
            },
            // Boxed, so that whoever connects to an address is not as large as this.
            Target::List(addresses) => {
                let stagger = self.stagger.unwrap_or(Duration::MAX);
                Box::pin(self.race(None, &addresses, stagger)).await
            }
            Target::Name { host, port } => Box::pin(self.connect_by_name(host, port)).await,
        }
    }

    async fn connect_by_name(&self, host: String, port: u16) -> io::Result<TcpStream> {
        let resolver = self.resolver.clone().unwrap_or_else(default_resolver);
        let found = look_up(&*resolver, &host, port).await?;
        let addresses = in_turns(&found, self.first_family_count.unwrap_or(1));
        let stagger = self.stagger.unwrap_or(STAGGER);
        let name = format!("{host}:{port}");
        self.race(Some(name), &addresses, stagger).await
    }

    async fn race(
        &self,
        name: Option<String>,
        addresses: &[SocketAddr],
        stagger: Duration,
    ) -> io::Result<TcpStream> {
        let attempts = addresses.iter().map(|&addr| async move {
            let attempt = self.attempt(addr).await;
            attempt.map_err(|error| (addr, error))
        });
        match staggered_race(attempts, stagger).await {
            Ok((_, stream)) => Ok(stream),
            Err(attempts) => Err(ConnectError::wrap(name, attempts)),
        }
    }

    async fn attempt(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::for_addr(addr)?;
        if let Some(configure) = &self.configure {
            configure(&socket)?;
        }
        if !self.local_addrs.is_empty() {
            socket.bind(self.local_addr_for(addr)?)?;
        }
        let connecting = socket.connect_plainly(addr);
        let Some(limit) = self.attempt_timeout else {
            return connecting.await;
        };
        match timeout(limit, connecting).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {limit:?}"),
            )),
        }
    }

    fn local_addr_for(&self, addr: SocketAddr) -> io::Result<SocketAddr> {
        let family = Family::of(addr);
        let mut locals = self.local_addrs.iter();
        let local = locals.find(|it| Family::of(**it) == family);
        local.copied().ok_or_else(|| {
            let message = "the local address is of the other family";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("stagger", &self.stagger)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("local_addrs", &self.local_addrs)
            .finish_non_exhaustive()
    }
}

/// The order in which to try a name's addresses: `first_count` of the first one's family, and then the
/// families in turns; each family in its own order; none twice; not too many.
fn in_turns(found: &[SocketAddr], first_count: usize) -> Vec<SocketAddr> {
    let mut unique = Vec::with_capacity(found.len().min(2 * MAX_ADDRESSES));
    for addr in found {
        if !unique.contains(addr) {
            unique.push(*addr);
        }
        // More of one family than are tried in all would not be looked at.
        if unique.len() == 64 {
            break;
        }
    }
    let Some(first) = unique.first() else {
        return unique;
    };
    let first_family = Family::of(*first);
    let (ours, others): (Vec<_>, Vec<_>) = unique
        .iter()
        .partition(|addr| Family::of(**addr) == first_family);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());

    let mut order: Vec<SocketAddr> = ours.by_ref().take(first_count.max(1)).collect();
    loop {
        let (other, our) = (others.next(), ours.next());
        if other.is_none() && our.is_none() {
            break;
        }
        order.extend(other);
        order.extend(our);
    }
    order.truncate(MAX_ADDRESSES);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 80))
    }

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        let found = [v6(1), v6(2), v6(3), v4(1), v4(2)];
        assert_eq!(in_turns(&found, 1), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        let found = [v4(1), v6(1), v6(2)];
        assert_eq!(in_turns(&found, 1), [v4(1), v6(1), v6(2)]);
        let found = [v4(1), v4(2), v4(3), v6(1), v6(2)];
        assert_eq!(in_turns(&found, 2), [v4(1), v4(2), v6(1), v4(3), v6(2)]);
        assert_eq!(in_turns(&[], 1), []);
    }

    #[test]
    fn no_address_is_tried_twice_and_not_too_many() {
        assert_eq!(in_turns(&[v4(1), v4(1), v6(1), v4(1)], 1), [v4(1), v6(1)]);
        let many: Vec<SocketAddr> = (0..200).map(v4).collect();
        assert_eq!(in_turns(&many, 1), many[..MAX_ADDRESSES]);
        assert_eq!(in_turns(&many, 0).len(), MAX_ADDRESSES);
    }
}
