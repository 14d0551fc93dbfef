//! Pipes and FIFOs, and their ends.
//!
//! [`pipe`] makes a pipe within the program. [`open_receiver`] and [`open_sender`] open a FIFO by its path.
//! What comes from elsewhere, an inherited standard stream or a terminal, becomes a [`Receiver`] or a
//! [`Sender`] by [`Receiver::from_fd`] and [`Sender::from_fd`].
//!
//! # References
//! pipe(7), fifo(7).

mod receiver;
mod sender;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

pub use receiver::Receiver;
pub use sender::Sender;

/// Makes a pipe: what is sent is received.
///
/// # Errors
/// What the operating system says, for instance that there are no descriptors left.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # async fn f() -> std::io::Result<()> {
/// use tulipa::net::pipe::pipe;
///
/// let (mut sender, mut receiver) = pipe()?;
/// sender.write_all(b"hello").await?;
/// drop(sender);
/// let mut buf = [0; 8];
/// assert_eq!(receiver.read(&mut buf).await?, 5);
/// assert_eq!(receiver.read(&mut buf).await?, 0);
/// # Ok(())
/// # }
/// ```
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (receiver, sender) = new_pipe()?;
    Ok((Sender::new(sender), Receiver::new(receiver, false)))
}

/// A non-blocking pipe that child processes do not inherit. Where the flags cannot be set in one call they
/// are set after it.
fn new_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::pipe::{PipeFlags, pipe_with};
        Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
    }
    #[cfg(target_vendor = "apple")]
    {
        let (receiver, sender) = rustix::pipe::pipe()?;
        for fd in [&receiver, &sender] {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok((receiver, sender))
    }
}

/// Opens a FIFO for reading, whether or not somebody has opened it for writing.
///
/// # The end of a FIFO
/// It is at its end whenever nobody has it open for writing: before the first writer comes, a read returns 0
/// at once, and again after each last writer that goes. A program that serves one writer after the other
/// opens it with [`open_receiver_kept_open`] instead.
///
/// # Errors
/// - `NotFound` and what else open(2) says.
/// - `InvalidInput`: it is no FIFO.
pub fn open_receiver(path: impl AsRef<Path>) -> io::Result<Receiver> {
    Ok(Receiver::new(open(path.as_ref(), OFlags::RDONLY)?, false))
}

/// Opens a FIFO for reading, and for writing too, so that it never comes to its end: between writers a
/// read waits for the next.
///
/// # Errors
/// As [`open_receiver`].
///
/// # Platform notes
/// POSIX leaves undefined what opening a FIFO for both does. It does this on Linux and the BSDs.
pub fn open_receiver_kept_open(path: impl AsRef<Path>) -> io::Result<Receiver> {
    Ok(Receiver::new(open(path.as_ref(), OFlags::RDWR)?, false))
}

/// Opens a FIFO for writing, if somebody has it open for reading.
///
/// # Errors
/// - `ENXIO`: nobody has it open for reading. Try again later; opening does not wait, since that would
///   stop the loop.
/// - `NotFound` and what else open(2) says.
/// - `InvalidInput`: it is no FIFO.
pub fn open_sender(path: impl AsRef<Path>) -> io::Result<Sender> {
    Ok(Sender::new(open(path.as_ref(), OFlags::WRONLY)?))
}

fn open(path: &Path, access: OFlags) -> io::Result<OwnedFd> {
    // Without a controlling terminal as a by-product, should it be one.
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    match kind_of(fd.as_fd())? {
        FileType::Fifo => Ok(fd),
        _ => Err(invalid(format!("'{}' is not a FIFO", path.display()))),
    }
}

fn kind_of(fd: BorrowedFd<'_>) -> io::Result<FileType> {
    let stat = rustix::fs::fstat(fd)?;
    // Its type has another width on each system.
    Ok(FileType::from_raw_mode(stat.st_mode as _))
}

/// Makes what came from elsewhere fit for waiting. Tells whether it is a terminal, or a device like it.
fn adopt(fd: &OwnedFd) -> io::Result<bool> {
    let is_device = match kind_of(fd.as_fd())? {
        FileType::Fifo | FileType::Socket => false,
        FileType::CharacterDevice => true,
        _ => {
            let message = "only a pipe, a FIFO, a socket or a terminal can be waited for";
            return Err(invalid(message.to_owned()));
        }
    };
    rustix::io::ioctl_fionbio(fd, true)?;
    Ok(is_device)
}

/// The descriptor, in blocking mode again, for a child process or for std.
fn into_blocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&fd, false)?;
    Ok(fd)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
