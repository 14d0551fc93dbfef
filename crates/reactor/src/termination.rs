//! Ctrl-C and its kind: the signals by which a process is told to end.
//!
//! While a [`Watch`] lives, the first such signal is noted, and ends the wait of the loop that watches, which can then see to
//! an orderly end. The second one ends the process at once, with the code that shells use: 128 plus the signal's
//! number.
//!
//! # What was there before
//! A signal is watched only where nobody else has a say: if the program handles or ignores it when the first
//! watch begins, it is left alone. Handlers are shared through signal-hook's registry, so code that installs its own
//! through that registry is called as well. The registry cannot give a handler back; so once no watch lives, ours does
//! what the system's default would have done, and the process ends by the signal.
//!
//! # Source
//! sigaction(2), signal-safety(7), POSIX.1-2024.

#![allow(
    unsafe_code,
    reason = "fence: signal handlers, and asking which one is installed"
)]

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook_registry::{SigId, register, unregister};

use crate::unparker::Unparker;

/// A signal that tells a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: what `kill` and service managers send.
    Terminate,
}

impl Termination {
    fn number(self) -> c_int {
        match self {
            Termination::Interrupt => libc::SIGINT,
            Termination::Terminate => libc::SIGTERM,
        }
    }

    /// The exit code by which shells say that the signal ended a process.
    pub fn exit_code(self) -> i32 {
        128 + self.number()
    }

    fn ours(self) -> &'static Ours {
        static INTERRUPT: Ours = Ours::new();
        static TERMINATE: Ours = Ours::new();
        match self {
            Termination::Interrupt => &INTERRUPT,
            Termination::Terminate => &TERMINATE,
        }
    }
}

/// What this process knows of a signal.
struct Ours {
    /// Watches that live now.
    watches: AtomicUsize,
    /// Whether the default action is ours to emulate; unknown before the first watch.
    is_ours: Mutex<Option<bool>>,
}

impl Ours {
    const fn new() -> Ours {
        Ours {
            watches: AtomicUsize::new(0),
            is_ours: Mutex::new(None),
        }
    }
}

/// Watches for signals until it is dropped.
pub struct Watch {
    registered: Vec<(Termination, SigId)>,
    seen: Arc<Seen>,
}

/// What a handler leaves.
#[derive(Default)]
struct Seen {
    /// The number of the first signal; zero for none.
    first: AtomicI32,
    is_news: AtomicBool,
}

impl Watch {
    /// Ends the waits of `unparker` when one of these signals comes, on whatever thread.
    ///
    /// # Errors
    /// What the system says when it refuses a handler.
    pub fn new(signals: &[Termination], unparker: &Arc<Unparker>) -> io::Result<Watch> {
        let mut watch = Watch {
            registered: Vec::new(),
            seen: Arc::default(),
        };
        for &signal in signals {
            if !emulates_default(signal)? {
                continue;
            }
            let (seen, unparker) = (Arc::clone(&watch.seen), Arc::clone(unparker));
            let number = signal.number();
            let on_signal = move || {
                if seen.first.swap(number, Ordering::Relaxed) != 0 {
                    exit_at_once(signal.exit_code());
                }
                seen.is_news.store(true, Ordering::Release);
                unparker.unpark();
            };
            // Counted first: a signal that comes in between must not end the process by default.
            signal.ours().watches.fetch_add(1, Ordering::SeqCst);
            // SAFETY: the closure does atomic steps, and calls `_exit`, or a reactor's `Wakeup`, which promises to be
            // fit for signal handlers: all of them are async-signal-safe.
            let id = unsafe { register(number, on_signal) }.inspect_err(|_| {
                signal.ours().watches.fetch_sub(1, Ordering::SeqCst);
            })?;
            watch.registered.push((signal, id));
        }
        Ok(watch)
    }

    /// Whether a signal has come that was not asked for yet.
    #[inline]
    pub fn take_news(&self) -> bool {
        self.seen.is_news.load(Ordering::Relaxed) && self.seen.is_news.swap(false, Ordering::AcqRel)
    }

    /// The signal that came, if one did.
    pub fn signal(&self) -> Option<Termination> {
        let first = self.seen.first.load(Ordering::Relaxed);
        [Termination::Interrupt, Termination::Terminate]
            .into_iter()
            .find(|signal| signal.number() == first)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (signal, id) in self.registered.drain(..) {
            // In this order none is swallowed.
            signal.ours().watches.fetch_sub(1, Ordering::SeqCst);
            unregister(id);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals: Vec<_> = self.registered.iter().map(|(signal, _)| signal).collect();
        f.debug_struct("Watch")
            .field("signals", &signals)
            .field("came", &self.signal())
            .finish()
    }
}

/// Sees to it that the signal's default action happens while nobody watches; says whether that is ours
/// to do, or the program has plans of its own.
fn emulates_default(signal: Termination) -> io::Result<bool> {
    let ours = signal.ours();
    let mut is_ours = ours.is_ours.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(is_ours) = *is_ours {
        return Ok(is_ours);
    }
    let number = signal.number();
    if !is_default(number)? {
        *is_ours = Some(false);
        return Ok(false);
    }
    let on_signal = move || {
        if ours.watches.load(Ordering::SeqCst) == 0 {
            end_by(number);
        }
    };
    // SAFETY: the closure does an atomic step, and calls signal(2) and raise(3): all of them
    // async-signal-safe.
    unsafe { register(number, on_signal) }?;
    *is_ours = Some(true);
    Ok(true)
}

/// Whether the system's default action is in place for a signal.
#[cfg(unix)]
fn is_default(number: c_int) -> io::Result<bool> {
    let mut current = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null action changes nothing; the old one is written to memory of its size.
    let result = unsafe { libc::sigaction(number, std::ptr::null(), current.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it is initialised.
    let current = unsafe { current.assume_init() };
    Ok(current.sa_sigaction == libc::SIG_DFL)
}

/// Whether the system's default action is in place for a signal: there is no way to ask without a moment in
/// which it is.
#[cfg(not(unix))]
fn is_default(_: c_int) -> io::Result<bool> {
    Ok(true)
}

/// Ends the process as the signal's default action does. From a signal handler.
fn end_by(number: c_int) {
    // SAFETY: both may be called from a signal handler, with the number of a signal that exists.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::raise(number);
    }
}

/// Ends the process without running anything more. From a signal handler.
#[cfg(unix)]
fn exit_at_once(code: i32) -> ! {
    // SAFETY: it may be called from anywhere.
    unsafe { libc::_exit(code) }
}

/// Ends the process. Here a thread of its own runs the handlers.
#[cfg(not(unix))]
fn exit_at_once(code: i32) -> ! {
    std::process::exit(code)
}
