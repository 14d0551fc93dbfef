//! What a server, its accept tasks and its connections share.
//!
//! # From start to end
//! ```text
//!   Prepared --1 start--> Serving --2 close--> Closed --3 the last seat is given up--> gone
//!       \--------------------2 close------------^
//! ```
//! 1. `start`: every door is opened, and gets a task that accepts.
//! 2. `close`: the listeners are dropped here and now, their tasks are aborted.
//! 3. `leave`.
//!
//! # Invariants
//! 1. There is a client for each [`Seat`], and a seat for each handler that has not ended.
//! 2. A server that is closed admits no one, so once it is closed and empty it stays so.
//! 3. No user code runs while a cell is borrowed.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tulipa_base::Instant;
use tulipa_base::wait::{self, Kind, Label};
use tulipa_executor::cancel::CancelReason;
use tulipa_executor::task::Task;
use tulipa_sync::Event;

use crate::accept::pause::{PAUSE, Pause};
use crate::server::accept::{Reserve, spawn_accept};
use crate::server::connection::{Connection, LiveConnection};
use crate::server::listener::Listener;

/// How a server behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connection_limit: usize,
    pub(crate) drain_timeout: Duration,
    pub(crate) drain_when_cancelled: Duration,
    pub(crate) cleanup_grace: Duration,
    pub(crate) accept_pause: Duration,
    pub(crate) turns_away: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connection_limit: usize::MAX,
            drain_timeout: Duration::from_secs(30),
            drain_when_cancelled: Duration::ZERO,
            cleanup_grace: Duration::from_secs(5),
            // As in asyncio. Shorter would spin against a limit that lasts; longer would keep clients waiting once it
            // is lifted.
            accept_pause: PAUSE,
            turns_away: false,
        }
    }
}

/// Starts the task of a connection.
pub(crate) type Spawn<L> = Rc<dyn Fn(Connection<L>, Seat<L>) -> Task>;

/// Makes a bound socket listen.
pub(crate) type Open<L> = Box<dyn FnOnce() -> io::Result<L>>;

pub(crate) struct State<L: Listener> {
    pub(crate) settings: Settings,
    phase: Cell<Phase>,
    doors: RefCell<Vec<Door<L>>>,
    spawn: RefCell<Option<Spawn<L>>>,
    clients: RefCell<Slab<Client<L::Addr>>>,
    accepted: Cell<u64>,
    /// Set when it is closed.
    pub(crate) closed: Event,
    /// Set when it is closed, and the last connection has left.
    pub(crate) gone: Event,
    /// Why a listener has failed.
    failure: RefCell<Option<io::Error>>,
    /// Where the next search for somebody to fill a free place begins.
    next_door: Cell<usize>,
    pub(crate) pause: Pause,
    pub(crate) reserve: Reserve,
    /// Someone awaits `serve_forever` or its like.
    pub(crate) is_awaited: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Prepared,
    Serving,
    Closed,
}

/// A listener, and the task that accepts from it.
pub(crate) struct Door<L: Listener> {
    pub(crate) addr: L::Addr,
    pub(crate) entry: Entry<L>,
    task: Option<Task>,
    /// Its task, while it waits for a connection to end.
    waits_for_room: Option<Waker>,
}

pub(crate) enum Entry<L> {
    Bound(Open<L>),
    Listening(Rc<L>),
    /// While it is opened.
    Between,
}

impl<L: Listener> Door<L> {
    pub(crate) fn new(addr: L::Addr, entry: Entry<L>) -> Door<L> {
        Door {
            addr,
            entry,
            task: None,
            waits_for_room: None,
        }
    }
}

struct Client<A> {
    peer: A,
    since: Instant,
    /// `None` only until it is spawned.
    task: Option<Task>,
}

impl<L: Listener> State<L> {
    pub(crate) fn new(settings: Settings, doors: Vec<Door<L>>, spawn: Spawn<L>) -> Rc<State<L>> {
        Rc::new(State {
            settings,
            phase: Cell::new(Phase::Prepared),
            doors: RefCell::new(doors),
            spawn: RefCell::new(Some(spawn)),
            clients: RefCell::new(Slab::new()),
            accepted: Cell::new(0),
            closed: Event::new().named("a server's close"),
            gone: Event::new().named("a server's last connection"),
            failure: RefCell::new(None),
            next_door: Cell::new(0),
            pause: Pause::default(),
            reserve: Reserve::default(),
            is_awaited: Cell::new(false),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Opens the doors. If one cannot be opened, the server is closed.
    pub(crate) fn start(self: &Rc<Self>) -> io::Result<()> {
        match self.phase.get() {
            Phase::Prepared => {}
            Phase::Serving => return Ok(()),
            Phase::Closed => return Err(io::Error::other("the server is closed")),
        }
        self.phase.set(Phase::Serving);
        if self.settings.turns_away {
            self.reserve.hold();
        }
        let count = self.doors.borrow().len();
        for index in 0..count {
            if let Err(error) = self.open(index) {
                self.close();
                return Err(error);
            }
        }
        for index in 0..count {
            let Some(addr) = self.addr(index) else {
                break;
            };
            let task = spawn_accept(self, index, &addr);
            if let Some(door) = self.doors.borrow_mut().get_mut(index) {
                door.task = Some(task);
            }
        }
        Ok(())
    }

    fn open(&self, index: usize) -> io::Result<()> {
        let entry = match self.doors.borrow_mut().get_mut(index) {
            Some(door) => mem::replace(&mut door.entry, Entry::Between),
            None => return Ok(()),
        };
        let entry = match entry {
            Entry::Bound(open) => Entry::Listening(Rc::new(open()?)),
            entry => entry,
        };
        if let Some(door) = self.doors.borrow_mut().get_mut(index) {
            door.entry = entry;
        }
        Ok(())
    }

    /// Stops listening.
    pub(crate) fn close(&self) {
        if self.phase.replace(Phase::Closed) == Phase::Closed {
            return;
        }
        let doors = self.doors.take();
        let spawn = self.spawn.take();
        for door in &doors {
            if let Some(task) = &door.task {
                task.abort();
            }
        }
        drop(doors);
        self.reserve.release();
        drop(spawn);
        self.closed.set();
        self.tell_if_gone();
    }

    /// A listener does not work any more: the server is closed.
    pub(crate) fn fail(&self, error: io::Error) {
        self.failure.borrow_mut().get_or_insert(error);
        self.close();
    }

    /// Why a listener has failed, as a copy.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        let failure = self.failure.borrow();
        let error = failure.as_ref()?;
        Some(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    pub(crate) fn addr(&self, index: usize) -> Option<L::Addr> {
        Some(self.doors.borrow().get(index)?.addr.clone())
    }

    pub(crate) fn addrs(&self) -> Vec<L::Addr> {
        let doors = self.doors.borrow();
        doors.iter().map(|door| door.addr.clone()).collect()
    }

    pub(crate) fn listener(&self, index: usize) -> Option<Rc<L>> {
        match &self.doors.borrow().get(index)?.entry {
            Entry::Listening(listener) => Some(Rc::clone(listener)),
            Entry::Bound(_) | Entry::Between => None,
        }
    }

    // ---- connections ----

    /// Accepts one connection, once there is room for it.
    pub(crate) fn poll_accept(
        &self,
        index: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(L::Stream, L::Addr)>> {
        let count = self.clients.borrow().len();
        if count >= self.settings.connection_limit {
            let waker = cx.waker().clone();
            let before = match self.doors.borrow_mut().get_mut(index) {
                Some(door) => door.waits_for_room.replace(waker),
                None => None,
            };
            drop(before);
            wait::note(Label::new(Kind::Group, count as u64));
            return Poll::Pending;
        }
        match self.listener(index) {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending, // Closed: the task is about to be dropped.
        }
    }

    /// Starts the handler of a connection.
    pub(crate) fn admit(self: &Rc<Self>, stream: L::Stream, peer: L::Addr) {
        let Some(spawn) = self.spawn.borrow().clone() else {
            return; // Closed meanwhile.
        };
        self.accepted.set(self.accepted.get() + 1);
        let key = self.clients.borrow_mut().insert(Client {
            peer: peer.clone(),
            since: Instant::now(),
            task: None,
        });
        let seat = Seat {
            state: Rc::clone(self),
            key,
        };
        let task = spawn(Connection::new(stream, peer), seat);
        if let Some(client) = self.clients.borrow_mut().get_mut(key) {
            client.task = Some(task);
        }
    }

    fn leave(&self, key: usize) {
        let client = self.clients.borrow_mut().try_remove(key);
        drop(client);
        if self.settings.connection_limit != usize::MAX {
            self.tell_of_room();
        }
        self.tell_if_gone();
    }

    /// Wakes those that wait for room, another one first each time. One that finds nothing to accept leaves the place
    /// to the next.
    fn tell_of_room(&self) {
        let wakers: Vec<_> = {
            let mut doors = self.doors.borrow_mut();
            let count = doors.len().max(1);
            let first = self.next_door.get();
            self.next_door.set((first + 1) % count);
            (0..doors.len())
                .filter_map(|it| doors[(first + it) % count].waits_for_room.take())
                .collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn tell_if_gone(&self) {
        if self.phase.get() == Phase::Closed && self.clients.borrow().is_empty() {
            self.gone.set();
        }
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.clients.borrow().len()
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// Those whose handlers have not ended, in the order in which they were accepted.
    pub(crate) fn connections(&self) -> Vec<LiveConnection<L::Addr>> {
        let mut live: Vec<_> = self
            .clients
            .borrow()
            .iter()
            .filter_map(|(_, client)| client.live())
            .collect();
        live.sort_by_key(|it| it.task.id());
        live
    }

    /// Asks every handler to end that was not asked before, by whomever, and returns how many were asked now. (A second
    /// request would interrupt the clean-up that the first has started.)
    pub(crate) fn ask_to_end(&self, reason: &CancelReason) -> usize {
        let mut asked = self.connections();
        asked.retain(|connection| connection.task.cancelling() == 0);
        for connection in &asked {
            connection.task.cancel_with(reason.clone());
        }
        asked.len()
    }
}

impl<A: Clone> Client<A> {
    fn live(&self) -> Option<LiveConnection<A>> {
        Some(LiveConnection {
            peer: self.peer.clone(),
            since: self.since,
            task: self.task.clone()?,
        })
    }
}

/// A connection's place in the server: given up when its handler has ended, in whatever way.
pub(crate) struct Seat<L: Listener> {
    state: Rc<State<L>>,
    key: usize,
}

impl<L: Listener> Drop for Seat<L> {
    fn drop(&mut self) {
        self.state.leave(self.key);
    }
}
