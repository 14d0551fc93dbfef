//! The file that a bound socket leaves behind: cleared away if it is stale, removed when its socket is
//! closed, and left alone when it is someone else's.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf, absolute};

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::unix::address::to_sock_addr;

/// The file of a socket of this process; removed when dropped, if it is still that file.
///
/// To be dropped before the socket is closed: as long as the socket is open, the kernel keeps the
/// inode, and no new file can have its number.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: FileId,
    /// A forked child has a copy of this value, but the file stays its parent's.
    owner: u32,
}

/// What tells one file from all others that exist at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Leaves the file where it is.
    pub(crate) fn keep(mut self) {
        self.owner = 0; // No process has this number.
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner == std::process::id() && socket_at(&self.path) == Some(self.id) {
            // Without the right to remove it, it stays; the next bind finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds `socket` to `addr`. A file that a dead socket has left there is removed first. Returns the
/// file, if the address is a path.
pub(crate) fn bind(socket: &Socket, addr: &SocketAddr) -> io::Result<Option<SocketFile>> {
    let sock_addr = to_sock_addr(addr)?;
    let Some(path) = addr.as_pathname() else {
        socket.bind(&sock_addr)?;
        return Ok(None);
    };
    match socket.bind(&sock_addr) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let Some(id) = socket_at(path) else {
                return Err(error); // Something else is in the way.
            };
            if !is_dead(&sock_addr)? || socket_at(path) != Some(id) {
                return Err(error);
            }
            fs::remove_file(path)?;
            socket.bind(&sock_addr)?;
        }
        result => result?,
    }
    // The working directory may change before the file is removed.
    let path = absolute(path)?;
    Ok(socket_at(&path).map(|id| SocketFile {
        path,
        id,
        owner: std::process::id(),
    }))
}

/// The socket file at `path`; `None` if there is none, or something else.
fn socket_at(path: &Path) -> Option<FileId> {
    let metadata = fs::symlink_metadata(path).ok()?;
    metadata.file_type().is_socket().then_some(FileId {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

/// Whether no socket is bound to the file at `addr` any more.
///
/// A datagram socket asks: a listener does not notice, but the kernel says 'wrong type' (EPROTOTYPE).
fn is_dead(addr: &SockAddr) -> io::Result<bool> {
    let probe = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    probe.set_nonblocking(true)?;
    loop {
        return Ok(match probe.connect(addr) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Errno::from_io_error(&error) == Some(Errno::CONNREFUSED),
        });
    }
}
