//! Names: from hosts to addresses.
//!
//! [`lookup_host`] asks the [`Resolver`] that is set, by default the system's, which blocks and so runs on
//! threads of its own. [`TcpStream::connect`](crate::TcpStream::connect) and everything else that takes
//! [an address](crate::ToSocketAddrs) does the same where it is given a name.
//!
//! # Examples
//! Names of one's own, here for a test:
//! ```
//! # mod tulipa { pub mod net { pub use tulipa_net::*; } }
//! # async fn f() -> std::io::Result<()> {
//! use std::net::SocketAddr;
//! use tulipa::net::{lookup_host, names};
//!
//! names::set_resolver(async |host: &str, port: u16| match host {
//!     "db.test" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
//!     _ => Err(std::io::ErrorKind::NotFound.into()),
//! });
//! assert_eq!(lookup_host("db.test:5432").await?[0].port(), 5432);
//! # Ok(())
//! # }
//! ```

mod lookup;
mod resolver;

pub(crate) use lookup::look_up;
pub use lookup::lookup_host;
pub(crate) use resolver::default_resolver;
pub use resolver::{LookUp, Resolver, SystemResolver, set_resolver, with_resolver};
