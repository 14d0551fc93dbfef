//! `tulipa::io`: readers, writers, copies, files, pairs in memory, standard input and output.

mod copy;
mod duplex;
#[cfg(unix)]
mod kernel_copies;
mod reader;
mod send_file;
#[cfg(unix)]
mod stdio;
pub(crate) mod support;
mod writer;
