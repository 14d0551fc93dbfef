//! Starting a thread of the system: behind a trait, so that tests can refuse one.

use std::io;

use crate::shim::thread::{Builder, JoinHandle};

/// What a thread is to be.
pub(crate) struct ThreadSpec {
    pub(crate) name: String,
    pub(crate) stack_size: Option<usize>,
}

/// Starts threads. It is called with the pool's lock held.
pub(crate) trait StartThread: Send + Sync {
    fn start(&self, spec: ThreadSpec, body: Box<dyn FnOnce() + Send>)
    -> io::Result<JoinHandle<()>>;
}

/// The operating system.
pub(crate) struct System;

impl StartThread for System {
    fn start(
        &self,
        spec: ThreadSpec,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<JoinHandle<()>> {
        let mut builder = Builder::new().name(spec.name);
        if let Some(bytes) = spec.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder.spawn(body)
    }
}
