//! What a server under test does, and how its command line says so.

use std::io;
use std::net::SocketAddr;

use crate::runtimes::{Runtime, Visitor, raw};

/// What a server under test does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Echo over TCP, with a buffer of so many bytes for each connection.
    Echo { buffer_bytes: usize },
    /// Echo over UDP, a datagram at a time.
    Udp,
    /// Echo over UDP, many datagrams with one system call where the runtime can do that.
    UdpBatches,
    /// Passes connections on, to a listener at 127.0.0.1.
    Proxy { target_port: u16 },
}

impl Service {
    /// The service as two words, which [`parse`](Self::parse) reads.
    pub(super) fn words(self) -> [String; 2] {
        let (name, number) = match self {
            Self::Echo { buffer_bytes } => (ECHO, buffer_bytes),
            Self::Udp => (UDP, 0),
            Self::UdpBatches => (UDP_BATCHES, 0),
            Self::Proxy { target_port } => (PROXY, usize::from(target_port)),
        };
        [name.to_owned(), number.to_string()]
    }

    /// Reads what [`words`](Self::words) wrote.
    pub(crate) fn parse(name: &str, number: &str) -> Result<Self, String> {
        let number: usize = number
            .parse()
            .map_err(|error| format!("{number}: {error}"))?;
        Ok(match name {
            ECHO => Self::Echo {
                buffer_bytes: number,
            },
            UDP => Self::Udp,
            UDP_BATCHES => Self::UdpBatches,
            PROXY => Self::Proxy {
                target_port: u16::try_from(number).map_err(|error| error.to_string())?,
            },
            _ => return Err(format!("no service is called {name}")),
        })
    }

    /// Serves without a runtime.
    pub(super) fn run_raw(self) -> io::Result<()> {
        match self {
            Self::Echo { buffer_bytes } => raw::serve_echo(buffer_bytes),
            Self::Udp | Self::UdpBatches => raw::serve_udp(),
            Self::Proxy { .. } => Err(io::Error::other("there is no proxy without a runtime")),
        }
    }
}

const ECHO: &str = "echo";
const UDP: &str = "udp";
const UDP_BATCHES: &str = "udp-batches";
const PROXY: &str = "proxy";

/// Serves on a runtime that was named.
impl Visitor for Service {
    type Output = io::Result<()>;

    fn visit<R: Runtime>(self) -> io::Result<()> {
        R::run(async move {
            match self {
                Self::Echo { buffer_bytes } => R::serve_echo(buffer_bytes).await,
                Self::Udp => R::serve_udp().await,
                Self::UdpBatches => R::serve_udp_batches().await,
                Self::Proxy { target_port } => {
                    R::proxy(SocketAddr::from(([127, 0, 0, 1], target_port))).await
                }
            }
        })
    }
}
