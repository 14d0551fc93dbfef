//! Reading up to a separator, a line, an exact number of bytes, or the end; with a limit.
//!
//! # Map
//! - [`StreamReader`], and its [`Lines`].
//! - `search` (private): where is the separator that ends first?
//! - [`ReadError`]: why there is no value, with the bytes that were read.

mod error;
mod lines;
mod search;
mod stream_reader;

pub use error::{IncompleteRead, LimitOverrun, ReadError};
pub use lines::Lines;
pub use stream_reader::{DEFAULT_LIMIT, StreamReader};
