//! The one place where executor and reactor meet: the reactor's driver, as the executor parks in it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tulipa_executor::{Instant, Park, Unpark, Wait};
use tulipa_reactor::{Driver, Unparker, reactor};

/// Parks an executor in a driver.
pub(crate) struct Parked {
    driver: Rc<Driver>,
}

impl Parked {
    pub(crate) fn new(driver: Rc<Driver>) -> Parked {
        Parked { driver }
    }
}

impl Park for Parked {
    fn park(&mut self, wait: Wait) -> io::Result<()> {
        self.driver.park(to_reactor(wait))
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
