//! A directory for socket files.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

/// An empty directory, removed when dropped. Its name is short, as addresses are.
pub(crate) struct TempDir(PathBuf);

thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });

impl TempDir {
    pub(crate) fn new() -> TempDir {
        let count = COUNT.replace(COUNT.get() + 1);
        // Tests run on threads of their own.
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        let name = format!("tulipa-{}-{thread}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // What is left is the system's to clear away.
    }
}
