//! The pools of the loop that runs on this thread, so that whatever is built on a loop finds them.
//!
//! A loop has two: one for work in general, and one for name look-ups. Look-ups hang for as long as the
//! system's resolver likes, half a minute is usual, and nothing can end them from outside. In a lane of
//! their own they hold up one another at most, never files or other work. They change nothing in the
//! world either, so nobody waits for them when the loop ends.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::time::Duration;

use crate::config::Config;
use crate::pool::{Pool, ShutdownOutcome};

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Work in general: it may change something, so the end of the loop waits for it.
    Work,
    /// Looking names up: it changes nothing, so the end of the loop abandons it.
    LookUps,
}

/// A loop's pools, each made when it is needed first.
pub struct LoopPools {
    work: LazyPool,
    look_ups: LazyPool,
}

impl LoopPools {
    /// Pools to be made as told here.
    pub fn new(work: Config, look_ups: Config) -> LoopPools {
        LoopPools {
            work: LazyPool::new(work),
            look_ups: LazyPool::new(look_ups),
        }
    }

    fn get(&self, lane: Lane) -> Pool {
        match lane {
            Lane::Work => self.work.get(),
            Lane::LookUps => self.look_ups.get(),
        }
    }

    /// Makes these the pools of the calling thread until the guard is dropped.
    pub fn enter(self: &Rc<LoopPools>) -> EnteredPools {
        EnteredPools {
            before: set_current(Some(Rc::clone(self))),
        }
    }

    /// Ends the pools that were made. Work is given `grace` to end, and the outcome is about it alone;
    /// look-ups that hang are left to themselves.
    pub fn shutdown(&self, grace: Duration) -> Option<ShutdownOutcome> {
        if let Some(look_ups) = self.look_ups.pool.get() {
            look_ups.shutdown(Duration::ZERO);
        }
        self.work.pool.get().map(|pool| pool.shutdown(grace))
    }

    /// Ends the pools that were made, without waiting for what runs.
    pub fn close(&self) {
        for lane in [&self.look_ups, &self.work] {
            if let Some(pool) = lane.pool.get() {
                pool.close();
            }
        }
    }
}

impl fmt::Debug for LoopPools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopPools")
            .field("work", &self.work.pool.get())
            .field("look_ups", &self.look_ups.pool.get())
            .finish()
    }
}

/// The pool of this lane of the loop that runs on this thread; `None` outside of a loop.
pub fn current(lane: Lane) -> Option<Pool> {
    CURRENT.with_borrow(|current| current.as_ref().map(|pools| pools.get(lane)))
}

thread_local! {
    /// Without a destructor, so that a runner kept in a thread-local of the program's can be dropped
    /// at whatever moment the thread ends. It is empty unless a guard lives.
    static CURRENT: RefCell<ManuallyDrop<Option<Rc<LoopPools>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes `pools` the current ones, and returns those before.
fn set_current(pools: Option<Rc<LoopPools>>) -> Option<Rc<LoopPools>> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(pools)))
}

/// While it lives, a loop's pools are the current thread's. See [`LoopPools::enter`].
#[derive(Debug)]
#[must_use = "the pools are current only as long as this lives"]
pub struct EnteredPools {
    before: Option<Rc<LoopPools>>,
}

impl Drop for EnteredPools {
    fn drop(&mut self) {
        drop(set_current(self.before.take()));
    }
}

/// A pool, made when it is needed first.
struct LazyPool {
    config: RefCell<Option<Config>>,
    pool: OnceCell<Pool>,
}

impl LazyPool {
    fn new(config: Config) -> LazyPool {
        LazyPool {
            config: RefCell::new(Some(config)),
            pool: OnceCell::new(),
        }
    }

    fn get(&self) -> Pool {
        let make = || Pool::new(self.config.take().unwrap_or_default());
        self.pool.get_or_init(make).clone()
    }
}
