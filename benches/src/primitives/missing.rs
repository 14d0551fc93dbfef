//! In the place of a primitive that a runtime does not have.

use super::{Barrier, Broadcast, Channel, Event, Lock, Oneshot, Semaphore};

/// Nothing. Is never made.
pub(crate) enum Missing {}

const NO_EQUIVALENT: &str = "the case's entrants leave this runtime out";

impl Lock for Missing {
    type Guard<'a> = &'a mut u64;

    fn new() -> Self {
        unreachable!("{NO_EQUIVALENT}")
    }

    async fn lock(&self) -> &mut u64 {
        match *self {}
    }
}

impl Semaphore for Missing {
    type Permit<'a> = ();

    fn new(_: usize) -> Self {
        unreachable!("{NO_EQUIVALENT}")
    }

    async fn acquire(&self) {
        match *self {}
    }
}

impl<T: 'static> Channel<T> for Missing {
    type Sender = Missing;
    type Receiver = Missing;

    fn bounded(_: usize) -> (Missing, Missing) {
        unreachable!("{NO_EQUIVALENT}")
    }

    fn another(sender: &Missing) -> Missing {
        match *sender {}
    }

    async fn send(sender: &mut Missing, _: T) {
        match *sender {}
    }

    async fn recv(receiver: &mut Missing) -> T {
        match *receiver {}
    }
}

impl<T: 'static> Oneshot<T> for Missing {
    type Sender = Missing;
    type Receiver = Missing;

    fn new() -> (Missing, Missing) {
        unreachable!("{NO_EQUIVALENT}")
    }

    fn send(sender: Missing, _: T) {
        match sender {}
    }

    async fn recv(receiver: Missing) -> T {
        match receiver {}
    }
}

impl Broadcast for Missing {
    type Sender = Missing;
    type Receiver = Missing;

    fn new(_: usize, _: usize) -> (Missing, Vec<Missing>) {
        unreachable!("{NO_EQUIVALENT}")
    }

    fn send(sender: &mut Missing, _: u64) {
        match *sender {}
    }

    async fn recv(receiver: &mut Missing) -> u64 {
        match *receiver {}
    }
}

impl Barrier for Missing {
    fn new(_: usize) -> Self {
        unreachable!("{NO_EQUIVALENT}")
    }

    async fn wait(&self) {
        match *self {}
    }
}

impl Event for Missing {
    fn new() -> Self {
        unreachable!("{NO_EQUIVALENT}")
    }

    fn happen(&self) {
        match *self {}
    }

    async fn wait(&self) {
        match *self {}
    }
}
