//! Says whether readiness has held.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use tulipa_reactor::Direction;

use super::AsyncFd;

/// A descriptor is said to be ready; tells the loop if it turns out not to be.
///
/// Dropping it tells nothing: the next wait ends at once. So an operation that finds `WouldBlock`
/// belongs into [`try_io`](AsyncFdReadyGuard::try_io), or [`clear_ready`](AsyncFdReadyGuard::clear_ready)
/// has to be called after it.
///
/// # Examples
/// ```
/// # mod tulipa { pub mod net { pub use tulipa_net::*; } }
/// # use std::os::unix::net::UnixStream;
/// # async fn f(fd: tulipa::net::AsyncFd<UnixStream>) -> std::io::Result<usize> {
/// use std::io::Read;
///
/// let mut buf = [0; 1024];
/// loop {
///     let mut guard = fd.readable().await?;
///     match guard.try_io(|it| it.get_ref().read(&mut buf)) {
///         Ok(result) => return result,
///         Err(_would_block) => continue,
///     }
/// }
/// # }
/// ```
#[must_use = "it says whether the descriptor was ready: use `try_io`"]
pub struct AsyncFdReadyGuard<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
}

impl<'a, T: AsFd> AsyncFdReadyGuard<'a, T> {
    pub(super) fn new(fd: &'a AsyncFd<T>, direction: Direction) -> AsyncFdReadyGuard<'a, T> {
        AsyncFdReadyGuard { fd, direction }
    }

    /// Calls `operation`; if it says `WouldBlock` the descriptor counts as not ready. `Interrupted` does not
    /// escape only where `operation` sees to it.
    ///
    /// # Errors
    /// [`TryIoError`], when `operation` said `WouldBlock`. Its other errors are within the `Ok`.
    pub fn try_io<R>(
        &mut self,
        operation: impl FnOnce(&'a AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        match operation(self.fd) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Nothing has come between: events arrive while the loop waits.
                match self.fd.refused(self.direction) {
                    Ok(()) => Err(TryIoError(())),
                    Err(error) => Ok(Err(error)),
                }
            }
            result => {
                self.fd.registration().got_on(self.direction);
                Ok(result)
            }
        }
    }

    /// Says that an operation found the descriptor not ready. Harmless if it has become ready since.
    pub fn clear_ready(&mut self) {
        self.fd.clear(self.direction);
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &'a AsyncFd<T> {
        self.fd
    }

    /// What is watched.
    pub fn get_inner(&self) -> &'a T {
        self.fd.get_ref()
    }
}

impl<T: AsFd> fmt::Debug for AsyncFdReadyGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFdReadyGuard")
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

/// The operation would have blocked: wait again. See [`AsyncFdReadyGuard::try_io`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryIoError(());

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would block")
    }
}

impl std::error::Error for TryIoError {}
