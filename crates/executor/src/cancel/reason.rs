//! Why something was cancelled.

use std::borrow::Cow;
use std::fmt;

/// Why a task or a scope was asked to end.
///
/// # Examples
/// ```
/// use tulipa_executor::cancel::CancelReason;
///
/// let reason = CancelReason::from("the user closed the window");
/// assert_eq!(reason.to_string(), "the user closed the window");
/// assert_eq!(CancelReason::Timeout.to_string(), "a deadline has elapsed");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// Someone called `cancel`, and gave no reason.
    #[default]
    Requested,
    /// A deadline has elapsed.
    Timeout,
    /// Another member of the group has failed, or the group was cancelled.
    Group,
    /// The loop shuts down.
    Shutdown,
    /// The process was told to end, by Ctrl-C or a signal.
    Signal,
    /// In words.
    Message(Cow<'static, str>),
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CancelReason::Requested => "cancelled on request",
            CancelReason::Timeout => "a deadline has elapsed",
            CancelReason::Group => "the group is ending",
            CancelReason::Shutdown => "the event loop shuts down",
            CancelReason::Signal => "the process was told to end",
            CancelReason::Message(message) => message,
        })
    }
}

impl From<&'static str> for CancelReason {
    fn from(message: &'static str) -> CancelReason {
        CancelReason::Message(Cow::Borrowed(message))
    }
}

impl From<String> for CancelReason {
    fn from(message: String) -> CancelReason {
        CancelReason::Message(Cow::Owned(message))
    }
}
