//! Why no connection came about: every attempt's error.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// No address could be connected to. It lies inside the `io::Error` that connecting returns, where
/// [`ConnectError::of`] finds it.
///
/// That error's kind is the attempts', if they agree, or else the last one's.
///
/// # Examples
/// ```no_run
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # async fn f() {
/// use tulipa::net::{ConnectError, TcpStream};
///
/// if let Err(error) = TcpStream::connect("example.org:81").await {
///     eprintln!("{error}");
///     for (addr, reason) in ConnectError::of(&error).iter().flat_map(|it| it.attempts()) {
///         eprintln!("  {addr}: {reason}");
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "ExceptionGroup")]
pub struct ConnectError {
    /// What was asked for, if that was a name.
    name: Option<String>,
    /// At least one.
    attempts: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    /// The attempts of an error that connecting has returned; `None` if it did not come to one.
    pub fn of(error: &io::Error) -> Option<&ConnectError> {
        error.get_ref()?.downcast_ref()
    }

    /// Each address that was tried, in this order, and what came of it.
    #[doc(alias = "all_errors")]
    pub fn attempts(&self) -> &[(SocketAddr, io::Error)] {
        &self.attempts
    }

    /// An error with these attempts, of which there is at least one.
    #[cold]
    pub(crate) fn wrap(name: Option<String>, attempts: Vec<(SocketAddr, io::Error)>) -> io::Error {
        let (_, last) = attempts.last().expect("something was tried");
        io::Error::new(last.kind(), ConnectError { name, attempts })
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot connect to ")?;
        let [(first, reason), rest @ ..] = self.attempts.as_slice() else {
            return f.write_str("nothing"); // There is at least one attempt.
        };
        let text = reason.to_string();
        if rest.iter().all(|(_, reason)| reason.to_string() == text) {
            match &self.name {
                Some(name) => write!(f, "{name} ({first}")?,
                None => write!(f, "{first}")?,
            }
            for (addr, _) in rest {
                write!(f, ", {addr}")?;
            }
            let close = if self.name.is_some() { ")" } else { "" };
            return write!(f, "{close}: {text}");
        }
        if let Some(name) = &self.name {
            write!(f, "{name}: ")?;
        }
        write!(f, "{first}: {text}")?;
        for (addr, reason) in rest {
            write!(f, "; {addr}: {reason}")?;
        }
        Ok(())
    }
}

impl Error for ConnectError {
    /// The last attempt's.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (_, last) = self.attempts.last()?;
        Some(last)
    }
}
