//! The one place where executor and reactor meet: the reactor's driver, as the executor parks in it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tulipa_executor::{Instant, Park, Unpark, Wait};
use tulipa_reactor::termination::{Termination, Watch};
use tulipa_reactor::{Driver, Unparker, reactor};

/// Parks an executor in a driver.
pub(crate) struct Parked {
    driver: Rc<Driver>,
    signals: Rc<Signals>,
}

/// What is to happen at a signal: the main future is cancelled, or those of several loops are.
pub(crate) type OnSignal = Rc<dyn Fn()>;

/// The signals that a loop watches for, and what they lead to.
#[derive(Default)]
pub(crate) struct Signals {
    watching: RefCell<Option<(Watch, OnSignal)>>,
    last: Cell<Option<Termination>>,
}

impl Signals {
    /// Watches from now on.
    pub(crate) fn watch(&self, watch: Watch, on_signal: OnSignal) {
        *self.watching.borrow_mut() = Some((watch, on_signal));
    }

    /// Ends watching, and keeps in mind which signal came.
    pub(crate) fn rest(&self) {
        let watching = self.watching.take();
        self.last
            .set(watching.and_then(|(watch, _)| watch.signal()));
    }

    /// The signal that came in the last run, if one did.
    pub(crate) fn last(&self) -> Option<Termination> {
        self.last.get()
    }

    fn pass_on(&self) {
        let on_signal = match &*self.watching.borrow() {
            Some((watch, on_signal)) if watch.take_news() => Rc::clone(on_signal),
            _ => return,
        };
        on_signal();
    }
}

impl Parked {
    pub(crate) fn new(driver: Rc<Driver>, signals: Rc<Signals>) -> Parked {
        Parked { driver, signals }
    }
}

impl Park for Parked {
    fn park(&mut self, wait: Wait) -> io::Result<()> {
        let result = self.driver.park(to_reactor(wait));
        self.signals.pass_on();
        result
    }

    fn prepare_wait(&mut self, wait: Wait) -> io::Result<Wait> {
        Ok(match self.driver.prepare_wait(to_reactor(wait))? {
            reactor::Wait::Poll => Wait::Poll,
            reactor::Wait::Until(deadline) => Wait::Until(deadline),
            reactor::Wait::Forever => Wait::Forever,
        })
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::new(UnparkDriver(self.driver.unparker()))
    }

    fn now(&self) -> Instant {
        self.driver.now()
    }
}

fn to_reactor(wait: Wait) -> reactor::Wait {
    match wait {
        Wait::Poll => reactor::Wait::Poll,
        Wait::Until(deadline) => reactor::Wait::Until(deadline),
        Wait::Forever => reactor::Wait::Forever,
    }
}

struct UnparkDriver(Arc<Unparker>);

impl Unpark for UnparkDriver {
    fn unpark(&self) {
        self.0.unpark();
    }
}
