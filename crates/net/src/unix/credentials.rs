//! Who is at the other end of a Unix socket.

use std::io;
use std::os::fd::BorrowedFd;

/// The process at the other end of a Unix socket, as the kernel vouches for it: as it was when it
/// connected, listened, or made the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "SO_PEERCRED")]
#[doc(alias = "getpeereid")]
pub struct UCred {
    pid: Option<i32>,
    uid: u32,
    gid: u32,
}

impl UCred {
    /// The process, on Linux and Apple's systems. `None` elsewhere, and for a process that cannot be
    /// seen from this one's namespace. By the time one looks the process may have ended, and another
    /// may have its number.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// The effective user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The effective group.
    pub fn gid(&self) -> u32 {
        self.gid
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn peer_cred(socket: BorrowedFd<'_>) -> io::Result<UCred> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

    let peer = getsockopt(&socket, PeerCredentials)?;
    if peer.uid() == u32::MAX {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(UCred {
        pid: (peer.pid() > 0).then(|| peer.pid()),
        uid: peer.uid(),
        gid: peer.gid(),
    })
}

#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
))]
pub(crate) fn peer_cred(socket: BorrowedFd<'_>) -> io::Result<UCred> {
    let (uid, gid) = nix::unistd::getpeereid(socket)?;
    #[cfg(target_vendor = "apple")]
    let pid = {
        use nix::sys::socket::{getsockopt, sockopt::LocalPeerPid};
        Some(getsockopt(&socket, LocalPeerPid)?)
    };
    #[cfg(not(target_vendor = "apple"))]
    let pid = None;
    Ok(UCred {
        pid,
        uid: uid.as_raw(),
        gid: gid.as_raw(),
    })
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
pub(crate) fn peer_cred(_: BorrowedFd<'_>) -> io::Result<UCred> {
    Err(io::ErrorKind::Unsupported.into())
}
