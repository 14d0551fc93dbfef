//! What an error of accept(2) is about: the connection, the machine, or the listener?

use std::io;

/// What to do about an error of accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// The connection was gone before it could be accepted: take the next one.
    Connection,
    /// Descriptors or memory have run out: pause, or the loop would spin.
    Exhaustion,
    /// The listener does not work: tell the caller.
    Listener,
}

#[cfg(unix)]
pub(crate) fn classify(error: &io::Error) -> AcceptError {
    use rustix::io::Errno;

    let Some(errno) = Errno::from_io_error(error) else {
        return AcceptError::Listener;
    };
    match errno {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => AcceptError::Exhaustion,
        // Linux passes pending errors of the new socket on as errors of accept(2), which says: treat
        // them like EAGAIN. Elsewhere they do not occur.
        Errno::CONNABORTED
        | Errno::CONNRESET
        | Errno::PROTO
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NOPROTOOPT
        | Errno::OPNOTSUPP
        | Errno::TIMEDOUT => AcceptError::Connection,
        _ => AcceptError::Listener,
    }
}

#[cfg(not(unix))]
pub(crate) fn classify(error: &io::Error) -> AcceptError {
    // Numbers of winsock2.h: WSAEMFILE, WSAENOBUFS.
    const EXHAUSTION: [i32; 2] = [10024, 10055];

    if error
        .raw_os_error()
        .is_some_and(|code| EXHAUSTION.contains(&code))
    {
        return AcceptError::Exhaustion;
    }
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {
            AcceptError::Connection
        }
        _ => AcceptError::Listener,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_connection_are_not_the_listeners() {
        let aborted = io::Error::from(io::ErrorKind::InvalidInput);
        assert_eq!(classify(&aborted), AcceptError::Listener);
        #[cfg(unix)]
        {
            use rustix::io::Errno;
            let of = |errno: Errno| classify(&errno.into());
            assert_eq!(of(Errno::CONNABORTED), AcceptError::Connection);
            assert_eq!(of(Errno::MFILE), AcceptError::Exhaustion);
            assert_eq!(of(Errno::NFILE), AcceptError::Exhaustion);
            assert_eq!(of(Errno::BADF), AcceptError::Listener);
        }
    }
}
