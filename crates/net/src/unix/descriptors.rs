//! Messages with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// As many as Linux lets go with one message: SCM_MAX_FD, see unix(7).
const MOST: usize = 253;

/// What was received with descriptors.
#[derive(Debug)]
#[must_use = "dropping it closes the descriptors"]
#[non_exhaustive]
pub struct Received {
    /// The number of bytes.
    pub len: usize,
    /// The descriptors, in the order in which they were sent. Child processes do not inherit them.
    pub fds: Vec<OwnedFd>,
    /// More descriptors were sent than were asked for, or than this process may have open. Those are
    /// closed.
    pub is_fds_truncated: bool,
    /// A datagram was longer than the buffer: the rest is lost.
    pub is_truncated: bool,
}

/// Sends `buf`, and `fds` with its first byte.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    buf: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if fds.len() > MOST {
        let message = format!(
            "{} descriptors for one message, which takes {MOST} at most",
            fds.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(fds.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        let is_pushed = control.push(SendAncillaryMessage::ScmRights(fds));
        assert!(is_pushed, "the space was made for these");
    }
    Ok(sendmsg(
        socket,
        &[IoSlice::new(buf)],
        &mut control,
        send_flags(),
    )?)
}

/// Sends from several buffers in turn, without a signal when the peer is gone.
pub(crate) fn send_vectored(socket: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    /// IOV_MAX of Linux, macOS and the BSDs: more is an error.
    const MOST_BUFFERS: usize = 1024;

    let bufs = &bufs[..bufs.len().min(MOST_BUFFERS)];
    let mut control = SendAncillaryBuffer::default();
    Ok(sendmsg(socket, bufs, &mut control, send_flags())?)
}

/// No signal when the peer is gone. Apple's systems have an option of the socket for that, which std,
/// mio and socket2 set.
pub(crate) fn send_flags() -> SendFlags {
    #[cfg(not(target_vendor = "apple"))]
    {
        SendFlags::NOSIGNAL
    }
    #[cfg(target_vendor = "apple")]
    {
        SendFlags::empty()
    }
}

/// Receives into `buf`, with up to `most` descriptors.
pub(crate) fn recv(socket: BorrowedFd<'_>, buf: &mut [u8], most: usize) -> io::Result<Received> {
    let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(most.min(MOST)))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(
        socket,
        &mut [IoSliceMut::new(buf)],
        &mut control,
        recv_flags(),
    )?;
    let mut received = Received {
        len: message.bytes,
        fds: Vec::new(),
        is_fds_truncated: message.flags.contains(ReturnFlags::CTRUNC),
        is_truncated: message.flags.contains(ReturnFlags::TRUNC),
    };
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = part {
            received.fds.extend(fds);
        }
    }
    // The space is rounded up, so that one more may have fitted.
    if received.fds.len() > most {
        received.fds.truncate(most);
        received.is_fds_truncated = true;
    }
    #[cfg(target_vendor = "apple")]
    for fd in &received.fds {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(received)
}

fn recv_flags() -> RecvFlags {
    #[cfg(not(target_vendor = "apple"))]
    {
        RecvFlags::CMSG_CLOEXEC
    }
    #[cfg(target_vendor = "apple")]
    {
        RecvFlags::empty()
    }
}
