//! Writing without waiting, and waiting for the stream to catch up.
//!
//! # Map
//! - [`StreamWriter`], and its [`WaterMarks`].
//! - `send` (private): what a writer has in common with the task that sends.

mod send;
mod stream_writer;
mod water_marks;

pub use stream_writer::StreamWriter;
pub use water_marks::WaterMarks;
