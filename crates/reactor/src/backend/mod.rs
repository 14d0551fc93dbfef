//! The backends, and how one is chosen.
//!
//! This file holds the crate's only list of platforms. A backend is a file here that implements
//! [`Reactor`]: its contract is in that trait's module.

use std::fmt;
use std::io;

use crate::reactor::Reactor;

mod mio;
#[cfg(unix)]
mod poll;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod deadline_timer;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "deadline_timer_none.rs"]
mod deadline_timer;

/// The environment variable that names the backend, where the program does not.
pub const VARIABLE: &str = "TULIPA_REACTOR";

type Make = fn() -> io::Result<Box<dyn Reactor>>;

/// The backends that can run here; the first is the default.
const BACKENDS: &[(&str, Make)] = &[
    ("mio", || Ok(Box::new(mio::MioReactor::new()?))),
    #[cfg(unix)]
    ("poll", || Ok(Box::new(poll::PollReactor::new()?))),
];

/// The names of the backends that can run here; the first is the default.
pub fn names() -> impl Iterator<Item = &'static str> {
    BACKENDS.iter().map(|(name, _)| *name)
}

/// Which backend a loop is to use.
#[derive(Default)]
#[non_exhaustive]
pub enum Choice {
    /// What the environment variable `TULIPA_REACTOR` names, or the platform's default if it is not
    /// set or empty.
    #[default]
    Environment,
    /// The backend of this name.
    Named(String),
    /// A backend from elsewhere.
    Custom(Box<dyn Reactor>),
}

impl Choice {
    /// Makes the reactor.
    ///
    /// # Errors
    /// - `InvalidInput` for a name that no backend has; the message lists those that exist.
    /// - What the operating system says, when it refuses what the backend needs.
    pub fn make(self) -> io::Result<Box<dyn Reactor>> {
        match self {
            Choice::Custom(reactor) => Ok(reactor),
            Choice::Named(name) => by_name(&name, "the reactor chosen by the program"),
            Choice::Environment => match std::env::var_os(VARIABLE) {
                None => by_name(BACKENDS[0].0, "the default reactor"),
                Some(name) if name.is_empty() => by_name(BACKENDS[0].0, "the default reactor"),
                Some(name) => by_name(&name.to_string_lossy(), "the reactor in TULIPA_REACTOR"),
            },
        }
    }
}

fn by_name(name: &str, origin: &str) -> io::Result<Box<dyn Reactor>> {
    let Some((_, make)) = BACKENDS.iter().find(|(known, _)| *known == name) else {
        let known = names().collect::<Vec<_>>().join(", ");
        let message = format!("{origin}, '{name}', does not exist here; known are: {known}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    make().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{origin}, '{name}', cannot start: {error}"),
        )
    })
}

impl From<&str> for Choice {
    fn from(name: &str) -> Choice {
        Choice::Named(name.to_owned())
    }
}

impl From<String> for Choice {
    fn from(name: String) -> Choice {
        Choice::Named(name)
    }
}

impl<R: Reactor + 'static> From<Box<R>> for Choice {
    fn from(reactor: Box<R>) -> Choice {
        Choice::Custom(reactor)
    }
}

impl From<Box<dyn Reactor>> for Choice {
    fn from(reactor: Box<dyn Reactor>) -> Choice {
        Choice::Custom(reactor)
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Environment => f.write_str("Environment"),
            Choice::Named(name) => f.debug_tuple("Named").field(name).finish(),
            Choice::Custom(reactor) => f.debug_tuple("Custom").field(&reactor.name()).finish(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = Choice::from("kpoll")
            .make()
            .err()
            .expect("there is no such backend");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let message = error.to_string();
        assert!(message.contains("'kpoll'"), "{message}");
        assert!(names().all(|name| message.contains(name)), "{message}");
    }

    #[test]
    fn every_listed_backend_starts_under_its_own_name() {
        for name in names() {
            assert_eq!(Choice::from(name).make().unwrap().name(), name);
        }
    }
}
