//! Why a read yields no value.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a [`StreamReader`](crate::io::StreamReader) did not yield what it was asked for.
///
/// It becomes an [`io::Error`] by `?`: of kind `UnexpectedEof` or `InvalidData`, with the value here as its
/// [inner error](io::Error::get_ref), or the stream's own.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; }
/// use tulipa::io::{ReadError, StreamReader};
///
/// # futures_lite::future::block_on(async {
/// let mut reader = StreamReader::with_limit(8, &b"short\nmuch too long\n"[..]);
/// assert_eq!(reader.read_line().await?, b"short\n");
/// match reader.read_until(b"\n").await {
///     Err(ReadError::LimitOverrun(overrun)) => assert_eq!(overrun.limit, 8),
///     other => panic!("{other:?}"),
/// }
/// let mut reader = StreamReader::new(&b"no end"[..]);
/// match reader.read_exact(&mut [0; 100]).await {
///     Err(ReadError::Incomplete(incomplete)) => assert_eq!(incomplete.partial, b"no end"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<_, ReadError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream has ended before. The bytes that were there are in the error, and not in the reader.
    Incomplete(IncompleteRead),
    /// The separator did not come within the limit.
    LimitOverrun(LimitOverrun),
    /// The stream failed. What was read before stays in the reader.
    Io(io::Error),
}

/// The stream has ended too early.
#[derive(Clone, PartialEq, Eq)]
#[doc(alias = "IncompleteReadError")]
pub struct IncompleteRead {
    /// What was there.
    pub partial: Vec<u8>,
    /// How many bytes were asked for; `None` when it was a separator that did not come.
    pub expected: Option<usize>,
}

/// A separator did not come within the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "LimitOverrunError")]
pub struct LimitOverrun {
    /// How many bytes at the start of the buffer are known not to belong to a separator: reading so many
    /// of them makes room. Up to the separator if it has come, but too late.
    ///
    /// From [`read_line`](crate::io::StreamReader::read_line) and [`Lines`](crate::io::Lines): how many bytes of the line were
    /// dropped.
    pub consumed: usize,
    /// The limit.
    pub limit: usize,
    /// Whether the separator is in the buffer, beyond the limit.
    pub is_found: bool,
}

impl fmt::Debug for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a peer has sent may be long, and is nobody's business in a log.
        f.debug_struct("IncompleteRead")
            .field("partial_len", &self.partial.len())
            .field("expected", &self.expected)
            .finish()
    }
}

impl fmt::Display for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partial = self.partial.len();
        match self.expected {
            Some(expected) => write!(f, "the stream ended after {partial} of {expected} bytes"),
            None => write!(
                f,
                "the stream ended after {partial} bytes, before a separator"
            ),
        }
    }
}

impl fmt::Display for LimitOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitOverrun {
            consumed, limit, ..
        } = self;
        match self.is_found {
            true => write!(
                f,
                "the separator comes after {consumed} bytes, the limit is {limit}"
            ),
            false => write!(
                f,
                "no separator within {consumed} bytes, the limit is {limit}"
            ),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Incomplete(error) => error.fmt(f),
            ReadError::LimitOverrun(error) => error.fmt(f),
            ReadError::Io(error) => error.fmt(f),
        }
    }
}

impl Error for IncompleteRead {}
impl Error for LimitOverrun {}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Their text is this one's.
            ReadError::Incomplete(_) | ReadError::LimitOverrun(_) => None,
            ReadError::Io(error) => error.source(),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> io::Error {
        match error {
            ReadError::Incomplete(error) => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            ReadError::LimitOverrun(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            ReadError::Io(error) => error,
        }
    }
}
