//! The tree of scopes and catch points, and the one way in which a request to cancel moves in it.
//!
//! Each task has a tree: its root, which is the task itself, and below it the nodes that futures
//! open while they are polled. Most tasks have none, and cost nothing here.
//!
//! # Nodes
//! - A *scope* is what a request can be aimed at: the root, a timeout, a group, a `CancelScope`. When
//!   a request arrives at its target, that drops what runs inside.
//! - A *stop* keeps a request that is on its way from whoever is further out: a catch point
//!   (`catch_cancel`, `finally`, a group) drops its body and hands the request to the code around it; an awaited join
//!   handle forwards it to the task awaited; a shield keeps it until what it shields is done.
//! - A request that `catch_cancel` has given to its code is *in hand*, and the node stays in the place of that code, until
//!   it is passed on or swallowed: other code inside of the target waits for that, as for a stop.
//!
//! # The way of a request
//! ```text
//!                 1 deliver                     2 take
//!  cancel ──▶ aimed at a scope ──▶ hit: innermost ──▶ delivered, the code around decides:
//!             │                    stops below it     │   swallow it: the end
//!             │ no stop below                         │
//!             ▼                                       │ 3 pass on
//!        hit: the scope itself ◀──────────────────────┴─▶ hit: the next stop outwards
//! ```
//! 1. [`Tree::deliver`]: every innermost stop below the target is hit, which wakes its future.
//! 2. [`Tree::take_hit`]: the future has been polled, and acts on the request. What a stop
//!    [holds](Tree::hold) (a clean-up that runs, a shield) is passed on when it ends.
//! 3. [`Tree::pass_on`]: explicitly, by `Cancelled::resume`; by a clean-up or a shield that ends; or because
//!    a stop went away before it acted. The next stop outwards is hit, or the target.
//!
//! # Rules
//! 1. A request is delivered to each stop at most once, and not to what is inside of one that has seen it: that is
//!    its clean-up. A node remembers the last ones it has seen.
//! 2. A scope or stop is hit only when no stop is left below it, and nobody there has the request in hand. One that
//!    arrives earlier is *deferred*. When it comes first, and again when somebody has swallowed it, any stop below that
//!    has not seen it is hit.
//! 3. While a hit has not been taken, another request for the same place is merged with it: the one
//!    that is aimed further out stays.
//! 4. A hit that has not been taken moves inwards, when the code that is running opens a stop: what was
//!    requested from within arrives at the next await.
//! 5. A request whose target is gone is void.
//! 6. A request can be taken back until it is delivered: afterwards somebody counts on it.
//! 7. A stop whose future is kept, but was not polled when its task was polled last, is passed by: nobody awaits
//!    it, so nobody would act on the request.
//! 8. Where tasks await each other in a circle, a request that comes round goes outwards from where it
//!    would go round again.
//!
//! # Futures that move
//! A future may be polled in one place first and in another later, even in another task. Its node moves along,
//! with all that is below, and keeps its name, so that requests on their way arrive. What has not been delivered
//! stays behind with those that were asked. When a node goes, what is left below it belongs to futures that
//! live elsewhere; it moves outwards by one.
//!
//! # Invariants
//! 1. A node belongs to an unfinished task: completing a task removes its nodes.
//! 2. Nobody else's code (wakers, tasks' destructors) runs while the nodes are borrowed: it is collected
//!    in [`Effects`] and called after.

mod delivery;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroU32;
use std::task::Waker;

use slab::Slab;
use tulipa_base::TaskId;

use crate::cancel::CancelReason;
use crate::report::{self, ExceptionKind};
use crate::task::{Flags, Task, TaskRef, counted_waker, task_of};

pub use delivery::Delivery;

/// Where a node is in its tree's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeIndex(NonZeroU32);

impl NodeIndex {
    fn of(key: usize) -> NodeIndex {
        let number = u32::try_from(key + 1).ok().and_then(NonZeroU32::new);
        NodeIndex(number.expect("fewer than four billion nodes fit into memory"))
    }

    pub(crate) fn as_u32(self) -> u32 {
        self.0.get()
    }

    pub(crate) fn from_u32(number: u32) -> Option<NodeIndex> {
        NonZeroU32::new(number).map(NodeIndex)
    }

    fn key(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Names a node for ever: the memory of one that is gone is used again under another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId {
    pub(crate) index: NodeIndex,
    generation: u32,
}

/// What a node does with a request that hits it.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// No stop: only a request that is aimed at it hits it.
    Scope,
    /// A stop that wakes its future.
    Catch,
    /// A stop that keeps the request until it ends.
    Shield,
    /// A stop that asks another task to end, and keeps the request until that has.
    Forward(Task),
    /// Code that has a request in hand, the one that the node has seen. No stop for others.
    InHand,
}

/// What a request is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The task in whose tree the request is.
    Root,
    /// A scope in it.
    Node(NodeId),
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    id: u64,
    pub(crate) target: Target,
    pub(crate) reason: CancelReason,
    /// A future has taken it, and counts on it: see rule 6.
    is_delivered: bool,
}

/// Where [`Tree::deliver`] has brought a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Delivered {
    /// To stops below the target.
    ToStops,
    /// No stop was there: to the target itself.
    ToTarget,
}

/// What becomes of the requests that a node has not acted on, when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// They have been acted on.
    Consumed,
    /// What was held has been acted on. What came later goes on outwards.
    Answered,
    /// They go on outwards.
    PassOn,
    /// They go on outwards, and the future counts on that.
    CountOn,
}

/// Whether a node was where it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Found {
    /// It was there.
    InPlace,
    /// It was elsewhere, and has been moved.
    Moved,
    /// It is gone.
    Gone,
}

struct Node {
    generation: u32,
    task: TaskRef,
    kind: Kind,
    depth: u32,
    parent: Option<NodeIndex>,
    first_child: Option<NodeIndex>,
    next: Option<NodeIndex>,
    prev: Option<NodeIndex>,
    waker: Option<Waker>,
    /// Has arrived, and was not taken.
    hit: Option<Request>,
    /// Was taken, and goes on when the node ends.
    held: Option<Request>,
    /// Arrives when no stop is left below. See rule 2.
    deferred: Option<Request>,
    /// The last requests that hit this node, newest first. An older one comes again only if so many others have
    /// come while it was on its way.
    seen: [u64; 4],
    /// The first request passes the body by: it is held at once, and nothing inside hears of it.
    lets_one_pass: bool,
    /// In which poll of its task the future was polled last. `None` when it has a waker of its own, which says
    /// when it is to be polled.
    polled: Option<u32>,
}

impl Node {
    fn has_request(&self) -> bool {
        self.hit.is_some() || self.held.is_some() || self.deferred.is_some()
    }

    fn is_stop(&self) -> bool {
        !matches!(self.kind, Kind::Scope | Kind::InHand)
    }

    /// Whether a request with this number waits for what the node stands for.
    fn holds_up(&self, number: u64) -> bool {
        self.is_stop() || self.is_in_hand(number)
    }

    fn is_in_hand(&self, number: u64) -> bool {
        matches!(self.kind, Kind::InHand) && self.seen.contains(&number)
    }

    fn has_seen(&self, request: &Request) -> bool {
        self.seen.contains(&request.id)
    }

    /// It has seen the request.
    fn note(&mut self, request: &Request) {
        if !self.has_seen(request) {
            self.seen.rotate_right(1);
            self.seen[0] = request.id;
        }
    }

    /// It has not seen the request after all.
    fn forget(&mut self, request: &Request) {
        for number in &mut self.seen {
            if *number == request.id {
                *number = 0;
            }
        }
    }

    /// Whether what is inside is out of reach of requests from outside.
    fn covers(&self) -> bool {
        matches!(self.kind, Kind::Shield) || self.lets_one_pass && self.held.is_none()
    }

    /// Whether somebody awaits the future: see rule 7.
    fn is_awaited(&self) -> bool {
        let Some(polled) = self.polled else {
            return true;
        };
        let header = self.task.header();
        let now = header.polls.get();
        // In the middle of a poll its turn may be yet to come.
        polled == now || header.flags.get().has(Flags::RUNNING) && polled == now.wrapping_sub(1)
    }

    /// Takes note of the poll that the future is in.
    fn note_poll(&mut self, waker: &Waker) {
        let is_direct = task_of(waker) == Some(self.task);
        self.polled = is_direct.then(|| self.task.header().polls.get());
    }
}

/// The nodes of all tasks of a loop.
pub(crate) struct Tree {
    nodes: RefCell<Slab<Node>>,
    /// Nodes with a hit, and nodes with a deferred request: mostly none, and then nobody looks for one.
    hits: Cell<usize>,
    deferred: Cell<usize>,
    next_generation: Cell<u32>,
    next_request: Cell<u64>,
    /// Tasks that are about to be asked to end. A queue, because each may hand the request on to the one that
    /// it awaits, and so on: a long chain must not become a deep stack.
    forward: RefCell<VecDeque<(Task, CancelReason)>>,
    is_forwarding: Cell<bool>,
}

/// What is to be done once the nodes are not borrowed any more.
#[derive(Default)]
struct Effects {
    wakers: Vec<Waker>,
    forward: Vec<(Task, CancelReason)>,
    /// The task from which requests are forwarded.
    origin: Option<Task>,
    /// The waker of a node that was removed, to be dropped: nearly always one, and nothing is allocated for it.
    dropped: Option<Waker>,
    more_dropped: Vec<Waker>,
    kinds: Vec<Kind>,
}

impl Effects {
    #[inline]
    fn drop_waker(&mut self, waker: Option<Waker>) {
        if let Some(before) = mem::replace(&mut self.dropped, waker) {
            self.more_dropped.push(before);
        }
    }
}

/// Nobody is spared: see [`Tree::deliver`].
fn nobody(_: &Task) -> bool {
    false
}

impl Tree {
    pub(crate) fn new() -> Tree {
        Tree {
            nodes: RefCell::new(Slab::new()),
            hits: Cell::new(0),
            deferred: Cell::new(0),
            next_generation: Cell::new(0),
            next_request: Cell::new(1),
            forward: RefCell::new(VecDeque::new()),
            is_forwarding: Cell::new(false),
        }
    }

    /// Changes the nodes, then runs what follows from it.
    fn change<R>(&self, f: impl FnOnce(&mut Nodes<'_>) -> R) -> R {
        self.change_sparing(&nobody, f)
    }

    fn change_sparing<R>(
        &self,
        spares: &dyn Fn(&Task) -> bool,
        f: impl FnOnce(&mut Nodes<'_>) -> R,
    ) -> R {
        let mut effects = Effects::default();
        let result = f(&mut Nodes {
            slab: &mut self.nodes.borrow_mut(),
            hits: &self.hits,
            deferred: &self.deferred,
            next_request: &self.next_request,
            spares,
            effects: &mut effects,
        });
        if !effects.forward.is_empty() {
            self.forward.borrow_mut().extend(effects.forward);
            self.forward_all(effects.origin);
        }
        for waker in effects.wakers {
            report::contain(ExceptionKind::WakerPanicked, || waker.wake());
        }
        for waker in effects.more_dropped.into_iter().chain(effects.dropped) {
            report::contain(ExceptionKind::DestructorPanicked, || drop(waker));
        }
        if !effects.kinds.is_empty() {
            drop(effects.kinds);
        }
        result
    }

    /// Asks the tasks that requests were forwarded to, unless a call further out on the stack does so.
    fn forward_all(&self, origin: Option<Task>) {
        /// The tasks that were asked, each with the flag that says so.
        struct Asked<'a>(&'a Cell<bool>, Vec<Task>);
        impl Asked<'_> {
            /// Returns whether the task was asked before.
            fn add(&mut self, task: &Task) -> bool {
                let header = task.task_ref().header();
                if header.flags.get().has(Flags::ASKED) {
                    return true;
                }
                header.set(Flags::ASKED);
                self.1.push(task.clone());
                false
            }
        }
        impl Drop for Asked<'_> {
            fn drop(&mut self) {
                for task in &self.1 {
                    task.task_ref().header().clear(Flags::ASKED);
                }
                self.0.set(false);
            }
        }
        if self.is_forwarding.replace(true) {
            return;
        }
        let mut asked = Asked(&self.is_forwarding, Vec::new());
        if let Some(origin) = origin {
            asked.add(&origin);
        }
        loop {
            let next = self.forward.borrow_mut().pop_front();
            let Some((task, reason)) = next else { return };
            if asked.add(&task) {
                self.change(|nodes| nodes.break_circle(task.task_ref(), &reason));
            } else {
                task.cancel_with(reason);
            }
        }
    }

    /// Opens a node in `task`, below `parent` or at the root. A request that has arrived further out and
    /// was not taken moves here, if this is a stop.
    pub(crate) fn attach(&self, task: TaskRef, parent: Option<NodeIndex>, kind: Kind) -> NodeId {
        let generation = self.next_generation.get();
        self.next_generation.set(generation.wrapping_add(1));
        self.change(|nodes| {
            let index = nodes.insert(generation, task, parent, kind);
            nodes.draw_in(index);
            NodeId { index, generation }
        })
    }

    /// Says where the future of a node is polled now, and with which waker. Moves the node there if need be.
    pub(crate) fn settle(
        &self,
        id: NodeId,
        task: TaskRef,
        parent: Option<NodeIndex>,
        waker: &Waker,
    ) -> Found {
        let found = self.with(id, |node| {
            let is_there = node.task == task && node.parent == parent;
            if is_there {
                node.note_poll(waker);
            }
            let is_known = node.waker.as_ref().is_some_and(|it| it.will_wake(waker));
            (is_there, is_known)
        });
        let Some((is_there, is_known)) = found else {
            return Found::Gone;
        };
        if !is_known {
            self.set_waker(id, waker);
        }
        if is_there {
            return Found::InPlace;
        }
        // Cloning and dropping wakers may be anyone's code.
        self.change(|nodes| {
            if nodes.find(id).is_some() {
                nodes.move_to(id.index, task, parent);
                nodes.get_mut(id.index).note_poll(waker);
                nodes.draw_in(id.index);
            }
        });
        Found::Moved
    }

    /// Says whom to wake when the node is hit.
    pub(crate) fn set_waker(&self, id: NodeId, waker: &Waker) {
        let waker = waker.clone();
        let before = self.with(id, |node| {
            node.note_poll(&waker);
            node.waker.replace(waker)
        });
        drop(before);
    }

    /// From now on, the first request passes the body of this stop by.
    pub(crate) fn let_one_pass(&self, id: NodeId) {
        self.with(id, |node| node.lets_one_pass = true);
    }

    /// Takes a node away.
    pub(crate) fn detach(&self, id: NodeId, end: End) {
        self.change(|nodes| {
            let Some(node) = nodes.find(id) else { return };
            let (task, parent) = (node.task, node.parent);
            let has_swallowed = end == End::Answered || matches!(node.kind, Kind::InHand);
            if !node.has_request() && !has_swallowed {
                nodes.remove(id.index);
                return nodes.settle_deferred(task, parent);
            }
            let seen = node.seen;
            let held = node.held.take();
            let late = [
                nodes.set_hit(id.index, None),
                nodes.set_deferred(id.index, None),
            ];
            nodes.remove(id.index);
            let left = match end {
                End::Consumed => None,
                End::Answered => nodes.outermost(late),
                End::PassOn | End::CountOn => {
                    let [hit, deferred] = late;
                    nodes.outermost([hit, deferred, held])
                }
            };
            let left = left.map(|mut request| {
                request.is_delivered |= end == End::CountOn;
                request
            });
            match left {
                Some(request) => nodes.pass_on(task, parent, request),
                None if has_swallowed => nodes.bring_deferred(task, parent, &seen),
                None => nodes.settle_deferred(task, parent),
            }
        });
    }

    /// The code of this catch point has taken a request: the node stays in its place.
    pub(crate) fn put_in_hand(&self, id: NodeId, request: &Request) {
        let waker = self.with(id, |node| node.waker.take());
        self.change(|nodes| {
            let Some(node) = nodes.find(id) else { return };
            let (task, parent) = (node.task, node.parent);
            node.kind = Kind::InHand;
            node.polled = None;
            if !node.has_seen(request) {
                node.seen[0] = request.id;
            }
            nodes.move_out(id.index);
            // What has come since it was taken is not in it: that is for those further out.
            let late = [
                nodes.set_hit(id.index, None),
                nodes.set_deferred(id.index, None),
            ];
            for late in late.iter().flatten() {
                nodes.get_mut(id.index).forget(late);
            }
            match nodes.outermost(late) {
                Some(request) => nodes.pass_on(task, parent, request),
                None => nodes.settle_deferred(task, parent),
            }
        });
        drop(waker);
    }

    /// The request that has hit this node, which from now on is delivered.
    pub(crate) fn take_hit(&self, id: NodeId) -> Option<Request> {
        if !self.is_hit(id) {
            return None;
        }
        let mut request = self.change(|nodes| nodes.set_hit(id.index, None))?;
        request.is_delivered = true;
        Some(request)
    }

    /// Whether a request has hit this node that was not taken.
    pub(crate) fn is_hit(&self, id: NodeId) -> bool {
        self.with(id, |node| node.hit.is_some()).unwrap_or(false)
    }

    /// Keeps a request that was taken, until the node ends. Of two, the one aimed further out.
    pub(crate) fn hold(&self, id: NodeId, request: Request) {
        self.change(|nodes| {
            if nodes.find(id).is_some() {
                nodes.hold(id.index, request);
            }
        });
    }

    /// Whether the node keeps a request that goes on when it ends.
    pub(crate) fn is_holding(&self, id: NodeId) -> bool {
        self.with(id, |node| node.held.is_some()).unwrap_or(false)
    }

    /// The node further out, if it is not the root.
    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeIndex> {
        self.with(id, |node| node.parent).flatten()
    }

    /// The task in which the node is.
    pub(crate) fn task(&self, id: NodeId) -> Option<TaskId> {
        self.with(id, |node| node.task.header().id)
    }

    /// The full name of the node that is there now.
    pub(crate) fn id(&self, index: NodeIndex) -> Option<NodeId> {
        let nodes = self.nodes.borrow();
        let generation = nodes.get(index.key())?.generation;
        Some(NodeId { index, generation })
    }

    /// Sends a new request to a scope. It is not forwarded to tasks that `spares` names: they know.
    pub(crate) fn deliver(
        &self,
        id: NodeId,
        reason: CancelReason,
        spares: &dyn Fn(&Task) -> bool,
    ) -> Delivered {
        let request = self.request(Target::Node(id), reason);
        self.change_sparing(spares, |nodes| {
            if nodes.find(id).is_none() || nodes.hit_stops_below(id.index, &request) {
                return Delivered::ToStops;
            }
            nodes.hit(id.index, request);
            Delivered::ToTarget
        })
    }

    /// Sends a new request to a task.
    pub(crate) fn deliver_to_root(&self, task: TaskRef, reason: CancelReason) {
        let request = self.request(Target::Root, reason);
        self.change(|nodes| {
            nodes.forget_forwarding(task);
            if !nodes.hit_stops_of(task, &request) {
                nodes.hit_root(task, &request);
            }
        });
    }

    /// Sends a request on outwards, from a place below `parent`, or below the root.
    pub(crate) fn pass_on(&self, task: TaskRef, parent: Option<NodeIndex>, request: Request) {
        self.change(|nodes| nodes.pass_on(task, parent, request));
    }

    /// Sends a request that a task was asked with, and that came back from a task it awaited, to its root.
    pub(crate) fn come_back(&self, task: TaskRef) {
        let forwarded = task.header().with_extras(|extras| extras.forwarded);
        let fresh = self.request(Target::Root, task.cancel_reason());
        let request = Request {
            id: if forwarded == 0 { fresh.id } else { forwarded },
            is_delivered: true,
            ..fresh
        };
        self.change(|nodes| nodes.arrive_at_root(task, request));
    }

    /// A stop at the root is gone: what was deferred there may arrive.
    pub(crate) fn settle_root(&self, task: TaskRef) {
        self.change(|nodes| nodes.settle_deferred(task, None));
    }

    /// Takes back the requests to `task` that were not delivered yet.
    pub(crate) fn withdraw(&self, task: TaskRef) {
        self.change(|nodes| nodes.withdraw(task));
    }

    /// Removes the nodes of a task that completes.
    pub(crate) fn forget(&self, task: TaskRef) {
        self.change(|nodes| {
            while let Some(index) = task.header().scopes.get() {
                nodes.remove_all_from(index);
            }
        });
    }

    /// Removes all nodes: the loop is closed. Tasks of scopes outside of it may still be there.
    pub(crate) fn close(&self) {
        let nodes = mem::take(&mut *self.nodes.borrow_mut());
        for (_, node) in &nodes {
            node.task.header().scopes.set(None);
        }
        drop(nodes);
    }

    /// Nodes of all tasks, for tests and metrics.
    pub(crate) fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    fn request(&self, target: Target, reason: CancelReason) -> Request {
        let id = next_request_id(&self.next_request);
        Request {
            id,
            target,
            reason,
            is_delivered: false,
        }
    }

    /// Calls `f`, which runs nobody else's code, with a node that is still there.
    fn with<R>(&self, id: NodeId, f: impl FnOnce(&mut Node) -> R) -> Option<R> {
        let mut nodes = self.nodes.borrow_mut();
        let node = nodes.get_mut(id.index.key())?;
        (node.generation == id.generation).then(|| f(node))
    }
}

fn next_request_id(next: &Cell<u64>) -> u64 {
    let id = next.get();
    next.set(id + 1);
    id
}

fn recount(count: &Cell<usize>, was_there: bool, is_there: bool) {
    count.set(count.get() + usize::from(is_there) - usize::from(was_there));
}

/// The nodes while they change.
struct Nodes<'a> {
    slab: &'a mut Slab<Node>,
    hits: &'a Cell<usize>,
    deferred: &'a Cell<usize>,
    next_request: &'a Cell<u64>,
    /// Tasks to which nothing is forwarded.
    spares: &'a dyn Fn(&Task) -> bool,
    effects: &'a mut Effects,
}

impl Nodes<'_> {
    fn get(&self, index: NodeIndex) -> &Node {
        &self.slab[index.key()]
    }

    fn get_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.slab[index.key()]
    }

    /// Replaces what has hit a node.
    fn set_hit(&mut self, index: NodeIndex, request: Option<Request>) -> Option<Request> {
        let is_hit = request.is_some();
        let before = mem::replace(&mut self.get_mut(index).hit, request);
        recount(self.hits, before.is_some(), is_hit);
        before
    }

    /// Replaces what is deferred at a node.
    fn set_deferred(&mut self, index: NodeIndex, request: Option<Request>) -> Option<Request> {
        let is_deferred = request.is_some();
        let before = mem::replace(&mut self.get_mut(index).deferred, request);
        recount(self.deferred, before.is_some(), is_deferred);
        before
    }

    fn find(&mut self, id: NodeId) -> Option<&mut Node> {
        let node = self.slab.get_mut(id.index.key())?;
        (node.generation == id.generation).then_some(node)
    }

    fn insert(
        &mut self,
        generation: u32,
        task: TaskRef,
        parent: Option<NodeIndex>,
        kind: Kind,
    ) -> NodeIndex {
        let node = Node {
            generation,
            task,
            kind,
            depth: 0,
            parent: None,
            first_child: None,
            next: None,
            prev: None,
            waker: None,
            hit: None,
            held: None,
            deferred: None,
            seen: [0; 4],
            lets_one_pass: false,
            polled: None,
        };
        let index = NodeIndex::of(self.slab.insert(node));
        self.link(index, task, parent);
        index
    }

    /// Makes a node that is nowhere the first one below `parent`, or at the root.
    fn link(&mut self, index: NodeIndex, task: TaskRef, parent: Option<NodeIndex>) {
        let first = self.first_below(task, parent);
        let depth = parent.map_or(1, |parent| self.get(parent).depth + 1);
        let node = self.get_mut(index);
        node.task = task;
        node.parent = parent;
        node.depth = depth;
        (node.prev, node.next) = (None, first);
        if let Some(first) = first {
            self.get_mut(first).prev = Some(index);
        }
        self.set_first_below(task, parent, Some(index));
    }

    /// Takes a node, with all below it, out of where it is.
    fn unlink(&mut self, index: NodeIndex) {
        let node = self.get(index);
        let (task, parent, next, prev) = (node.task, node.parent, node.next, node.prev);
        match prev {
            Some(prev) => self.get_mut(prev).next = next,
            None => self.set_first_below(task, parent, next),
        }
        if let Some(next) = next {
            self.get_mut(next).prev = prev;
        }
    }

    fn first_below(&self, task: TaskRef, parent: Option<NodeIndex>) -> Option<NodeIndex> {
        match parent {
            Some(parent) => self.get(parent).first_child,
            None => task.header().scopes.get(),
        }
    }

    fn set_first_below(
        &mut self,
        task: TaskRef,
        parent: Option<NodeIndex>,
        first: Option<NodeIndex>,
    ) {
        match parent {
            Some(parent) => self.get_mut(parent).first_child = first,
            None => task.header().scopes.set(first),
        }
    }

    /// Removes a node. What is below moves outwards by one.
    fn remove(&mut self, index: NodeIndex) {
        self.move_out(index);
        self.unlink(index);
        self.free(index);
    }

    /// Moves what is below a node outwards by one.
    fn move_out(&mut self, index: NodeIndex) {
        let node = self.get(index);
        let (task, parent) = (node.task, node.parent);
        while let Some(child) = self.get(index).first_child {
            self.unlink(child);
            self.link(child, task, parent);
        }
    }

    /// Frees the memory of a node that is nowhere.
    fn free(&mut self, index: NodeIndex) {
        if self.get(index).has_request() {
            self.set_hit(index, None);
            self.set_deferred(index, None);
        }
        let node = self.slab.remove(index.key());
        self.effects.drop_waker(node.waker);
        if let Kind::Forward(_) = node.kind {
            self.effects.kinds.push(node.kind);
        }
    }

    /// Removes a node with everything below. Requests in it are void.
    fn remove_all_from(&mut self, index: NodeIndex) {
        self.unlink(index);
        let mut left = vec![index];
        while let Some(index) = left.pop() {
            let mut child = self.get(index).first_child;
            while let Some(index) = child {
                left.push(index);
                child = self.get(index).next;
            }
            self.free(index);
        }
    }

    /// Moves a node, with all below it, to another place, which may be in another task.
    fn move_to(&mut self, index: NodeIndex, task: TaskRef, parent: Option<NodeIndex>) {
        let (old_task, old_parent) = (self.get(index).task, self.get(index).parent);
        self.unlink(index);
        self.link(index, task, parent);
        let mut stays = None;
        let mut left = vec![index];
        while let Some(index) = left.pop() {
            let node = self.get(index);
            let depth = node.parent.map_or(1, |parent| self.get(parent).depth + 1);
            let mut child = node.first_child;
            let node = self.get_mut(index);
            node.depth = depth;
            if node.task != task {
                node.task = task;
                node.polled = None;
            }
            let is_stop_for_others = matches!(node.kind, Kind::Shield | Kind::Forward(_));
            let held = node.held.take_if(|_| is_stop_for_others);
            let late = [self.set_hit(index, None), self.set_deferred(index, None)];
            for request in late.into_iter().chain([held]) {
                let Some(request) = request else { continue };
                if request.is_delivered || self.is_aimed_around(index, &request, old_task) {
                    self.put_back(index, request, is_stop_for_others);
                } else {
                    stays = self.outermost([stays.take(), Some(request)]);
                }
            }
            while let Some(index) = child {
                left.push(index);
                child = self.get(index).next;
            }
        }
        match stays {
            Some(request) => self.pass_on(old_task, old_parent, request),
            None => self.settle_deferred(old_task, old_parent),
        }
    }

    /// Puts a request back into a node that has moved: it is to arrive there, or is held.
    fn put_back(&mut self, index: NodeIndex, request: Request, is_held: bool) {
        let own = self.own_target(index);
        if is_held && request.target != own {
            return self.hold(index, request);
        }
        let before = self.set_hit(index, None);
        let hit = self.outermost([before, Some(request)]);
        self.set_hit(index, hit);
    }

    /// Whether the target of a request that was made in `asked` is around this node.
    fn is_aimed_around(&self, index: NodeIndex, request: &Request, asked: TaskRef) -> bool {
        let mut place = Some(index);
        while let Some(index) = place {
            if self.own_target(index) == request.target {
                return true;
            }
            place = self.get(index).parent;
        }
        request.target == Target::Root && self.get(index).task == asked
    }

    /// The target of requests to this node.
    fn own_target(&self, index: NodeIndex) -> Target {
        Target::Node(NodeId {
            index,
            generation: self.get(index).generation,
        })
    }

    /// Which of some requests is aimed furthest out; of equals the last.
    fn outermost(&self, requests: impl IntoIterator<Item = Option<Request>>) -> Option<Request> {
        let depth = |request: &Request| match request.target {
            Target::Root => 0,
            Target::Node(id) => match self.slab.get(id.index.key()) {
                Some(node) if node.generation == id.generation => node.depth,
                _ => u32::MAX, // Void: any other goes first.
            },
        };
        requests.into_iter().flatten().reduce(|one, other| {
            // Whoever counts on one of them counts on the one that stays.
            let is_delivered = one.is_delivered || other.is_delivered;
            let outer = if depth(&other) <= depth(&one) {
                other
            } else {
                one
            };
            Request {
                is_delivered,
                ..outer
            }
        })
    }

    /// Brings a request to a node.
    fn hit(&mut self, index: NodeIndex, request: Request) {
        let own = self.own_target(index);
        let node = self.get_mut(index);
        node.note(&request);
        match node.kind.clone() {
            // To one that has ended already it comes too late: it is for whoever awaits.
            Kind::Forward(task) if !task.is_finished() => {
                if !(self.spares)(&task) {
                    let origin = self.get(index).task;
                    self.effects.origin = Some(Task::new(origin));
                    self.effects.forward.push((task, request.reason.clone()));
                }
                self.hold(index, request);
            }
            Kind::Shield if request.target != own => self.hold(index, request),
            _ => {
                let before = self.set_hit(index, None);
                let hit = self.outermost([before, Some(request)]);
                self.set_hit(index, hit);
                let node = self.get_mut(index);
                // It is moved, not cloned: cloning may be anyone's code. The future leaves another one.
                let waker = node.waker.take();
                self.effects.wakers.extend(waker);
            }
        }
    }

    /// Keeps a request until the node ends. Of two, the one aimed further out.
    fn hold(&mut self, index: NodeIndex, request: Request) {
        let before = self.get_mut(index).held.take();
        let held = self.outermost([before, Some(request)]);
        self.get_mut(index).held = held;
    }

    /// Hits the innermost stops below a node that have not seen the request. Returns whether there is any
    /// stop.
    fn hit_stops_below(&mut self, index: NodeIndex, request: &Request) -> bool {
        self.hit_stops_among(self.get(index).first_child, request)
    }

    /// The same for a node, those behind it in their list, and what is below.
    fn hit_stops_among(&mut self, first: Option<NodeIndex>, request: &Request) -> bool {
        let in_hand = self.in_hand_among(first, request);
        let mut any = in_hand.is_some();
        let mut node = first;
        while let Some(index) = node {
            // What has been opened since belongs to the clean-up, perhaps.
            let generation = self.get(index).generation;
            if in_hand.is_none_or(|since| generation.wrapping_sub(since) >= u32::MAX / 2) {
                any |= self.hit_stops_from(index, request);
            }
            node = self.get(index).next;
        }
        any
    }

    /// Since when code at a place has this request in hand: the generation of the first node for that in a list.
    fn in_hand_among(&self, first: Option<NodeIndex>, request: &Request) -> Option<u32> {
        let nodes = std::iter::successors(first, |index| self.get(*index).next);
        nodes
            .map(|index| self.get(index))
            .filter(|node| node.is_in_hand(request.id))
            .map(|node| node.generation)
            .min()
    }

    /// The same as [`hit_stops_below`](Nodes::hit_stops_below) for a node and what is below.
    fn hit_stops_from(&mut self, index: NodeIndex, request: &Request) -> bool {
        let node = self.get(index);
        if !node.is_awaited() {
            return false;
        }
        if node.has_seen(request) && node.holds_up(request.id) {
            return true;
        }
        if !node.covers() && self.hit_stops_below(index, request) {
            return true;
        }
        let node = self.get_mut(index);
        if !node.is_stop() {
            return false;
        }
        if node.lets_one_pass && node.held.is_none() {
            node.note(request);
            self.hold(index, request.clone());
        } else {
            self.hit(index, request.clone());
        }
        true
    }

    /// The same for a whole task, with the tasks that it awaits at its root.
    fn hit_stops_of(&mut self, task: TaskRef, request: &Request) -> bool {
        let first = task.header().scopes.get();
        let mut any = self.hit_stops_among(first, request);
        let mut awaited = task.header().waits.first_awaited();
        if awaited.is_some() {
            any = true;
            if self.in_hand_among(first, request).is_some() {
                return any; // They are part of the clean-up, perhaps.
            }
            // It comes back by another way, without its number.
            task.header().with_extras(|extras| {
                extras.forwarded = if first.is_some() { request.id } else { 0 };
            });
        }
        while let Some(inner) = awaited {
            let header = inner.header();
            if !header.flags.get().has(Flags::FORWARDED) {
                header.set(Flags::FORWARDED);
                let inner = Task::new(inner);
                self.effects.origin = Some(Task::new(task));
                self.effects.forward.push((inner, request.reason.clone()));
            }
            awaited = header.next_awaited.get();
        }
        any
    }

    /// Says that a new request is to be forwarded to the awaited tasks, whatever they were asked before.
    fn forget_forwarding(&mut self, task: TaskRef) {
        let mut awaited = task.header().waits.first_awaited();
        while let Some(inner) = awaited {
            inner.header().clear(Flags::FORWARDED);
            awaited = inner.header().next_awaited.get();
        }
    }

    /// A request was forwarded to `task`, which has been asked already: it has gone round. Where it would be
    /// forwarded again, it goes outwards instead. See rule 8.
    fn break_circle(&mut self, task: TaskRef, reason: &CancelReason) {
        let is_asked = |task: TaskRef| task.header().flags.get().has(Flags::ASKED);
        let mut left: Vec<_> = task.header().scopes.get().into_iter().collect();
        let mut round = Vec::new();
        let mut has_stop = false;
        while let Some(index) = left.pop() {
            let node = self.get(index);
            left.extend(node.next);
            left.extend(node.first_child);
            has_stop |= node.is_stop();
            if let Kind::Forward(inner) = &node.kind
                && is_asked(inner.task_ref())
            {
                round.push(index);
            }
        }
        for index in round {
            // From now on it stops nothing.
            let node = self.get_mut(index);
            let kind = mem::replace(&mut node.kind, Kind::Scope);
            let (parent, held) = (node.parent, node.held.take());
            self.effects.kinds.push(kind);
            if let Some(request) = held {
                self.pass_on(task, parent, request);
            }
        }
        let mut awaited = task.header().waits.first_awaited();
        let mut goes_round = false;
        while let Some(inner) = awaited {
            if is_asked(inner) {
                goes_round = true;
                inner.header().clear(Flags::FORWARDED);
            }
            awaited = inner.header().next_awaited.get();
        }
        // Other stops have been hit too, and will bring the request to the root.
        if goes_round && !has_stop {
            task.set_cancel_reason(reason.clone());
            self.end(task);
        }
    }

    fn pass_on(&mut self, task: TaskRef, parent: Option<NodeIndex>, request: Request) {
        if let Target::Node(id) = request.target
            && self.find(id).is_none()
        {
            return self.settle_deferred(task, parent);
        }
        let mut place = parent;
        while let Some(index) = place {
            let node = self.get(index);
            let is_target = request.target == self.own_target(index);
            if is_target || node.is_stop() && !node.has_seen(&request) {
                return self.arrive(index, request);
            }
            place = node.parent;
        }
        match request.target {
            Target::Root => self.arrive_at_root(task, request),
            // The target is not around this place: the code has moved to another tree.
            Target::Node(id) => self.arrive(id.index, request),
        }
    }

    /// Brings a request to a node from below, once no stop is left there.
    fn arrive(&mut self, index: NodeIndex, request: Request) {
        let deferred = &self.get(index).deferred;
        let is_known = deferred.as_ref().is_some_and(|it| it.id == request.id);
        let has_stop = if is_known {
            self.is_held_up_below(index, request.id)
        } else {
            self.hit_stops_below(index, &request)
        };
        let before = self.set_deferred(index, None);
        let request = self.outermost([before, Some(request)]);
        match request {
            Some(request) if !has_stop => self.hit(index, request),
            request => drop(self.set_deferred(index, request)),
        }
    }

    fn arrive_at_root(&mut self, task: TaskRef, request: Request) {
        let is_known = self.deferred_at_root(task) == Some(request.id);
        if is_known && self.is_held_up(task, request.id) {
            return;
        }
        if self.hit_stops_of(task, &request) {
            task.header()
                .with_extras(|extras| extras.deferred = request.id);
            task.header().set(Flags::DEFERRED);
            if request.is_delivered {
                task.header().set(Flags::DELIVERED);
            }
        } else {
            task.header().clear(Flags::DEFERRED);
            self.hit_root(task, &request);
        }
    }

    /// The number of the request that is deferred at the root.
    fn deferred_at_root(&self, task: TaskRef) -> Option<u64> {
        let is_deferred = task.header().flags.get().has(Flags::DEFERRED);
        is_deferred.then(|| task.header().with_extras(|extras| extras.deferred))
    }

    /// The nearest node around a place at which a request is deferred.
    fn nearest_deferred(&self, parent: Option<NodeIndex>) -> Option<NodeIndex> {
        let nearest = parent.filter(|_| self.deferred.get() > 0);
        std::iter::successors(nearest, |index| self.get(*index).parent)
            .find(|index| self.get(*index).deferred.is_some())
    }

    /// A stop below `parent` is gone. What was deferred further out arrives, if it was the last one.
    fn settle_deferred(&mut self, task: TaskRef, parent: Option<NodeIndex>) {
        if let Some(index) = self.nearest_deferred(parent) {
            let number = self.get(index).deferred.as_ref().map_or(0, |it| it.id);
            if !self.is_held_up_below(index, number)
                && let Some(request) = self.set_deferred(index, None)
            {
                self.hit(index, request);
            }
        } else if let Some(number) = self.deferred_at_root(task)
            && !self.is_held_up(task, number)
        {
            task.header().clear(Flags::DEFERRED);
            self.end(task);
        }
    }

    /// Somebody below `parent` has seen to some requests, or swallowed them. If one of those is deferred further out,
    /// it is brought to whoever has not seen it.
    fn bring_deferred(&mut self, task: TaskRef, parent: Option<NodeIndex>, seen: &[u64]) {
        if let Some(index) = self.nearest_deferred(parent) {
            let is_same = |it: &mut Request| seen.contains(&it.id);
            if self.get_mut(index).deferred.as_mut().is_some_and(is_same)
                && let Some(request) = self.set_deferred(index, None)
            {
                return self.arrive(index, request);
            }
        } else if let Some(id) = self.deferred_at_root(task)
            && seen.contains(&id)
        {
            task.header().clear(Flags::DEFERRED);
            let request = Request {
                id,
                target: Target::Root,
                reason: task.cancel_reason(),
                is_delivered: task.header().flags.get().has(Flags::DELIVERED),
            };
            return self.arrive_at_root(task, request);
        }
        self.settle_deferred(task, parent);
    }

    /// Whether a request with this number has to wait at the root.
    fn is_held_up(&self, task: TaskRef, number: u64) -> bool {
        self.is_held_up_among(task.header().scopes.get(), number)
            || task.header().waits.first_awaited().is_some()
    }

    /// Whether a request with this number has to wait at a node.
    fn is_held_up_below(&self, index: NodeIndex, number: u64) -> bool {
        self.is_held_up_among(self.get(index).first_child, number)
    }

    /// Whether a request with this number waits for a node, for those behind it in their list, or what is below.
    fn is_held_up_among(&self, first: Option<NodeIndex>, number: u64) -> bool {
        let mut left: Vec<_> = first.into_iter().collect();
        while let Some(index) = left.pop() {
            let node = self.get(index);
            left.extend(node.next);
            if !node.is_awaited() {
                continue;
            }
            if node.holds_up(number) {
                return true;
            }
            left.extend(node.first_child);
        }
        false
    }

    /// A request arrives at the task itself.
    fn hit_root(&mut self, task: TaskRef, request: &Request) {
        task.set_cancel_reason(request.reason.clone());
        if request.is_delivered {
            task.header().set(Flags::DELIVERED);
        }
        self.end(task);
    }

    /// The task itself is to end.
    fn end(&mut self, task: TaskRef) {
        task.header().set(Flags::CANCEL);
        if task.header().flags.get().has(Flags::SCOPED) {
            // That wakes the owner of its scope: anyone's code.
            self.effects.wakers.push(counted_waker(task));
        } else {
            task.schedule();
        }
    }

    /// A stop, or a part with stops in it, is new where it is: what has arrived further out and was not taken moves
    /// in. See rule 4.
    fn draw_in(&mut self, index: NodeIndex) {
        let node = self.get(index);
        let (task, parent) = (node.task, node.parent);
        if !node.is_stop() && !self.is_held_up_below(index, 0) {
            return;
        }
        let Some(request) = self.take_nearest_hit(task, parent) else {
            return;
        };
        if self.get(index).is_stop() && self.get(index).has_seen(&request) {
            self.hold(index, request);
        } else {
            self.hit_stops_from(index, &request);
        }
    }

    /// Takes the request that has arrived nearest around a place and was not taken.
    fn take_nearest_hit(&mut self, task: TaskRef, parent: Option<NodeIndex>) -> Option<Request> {
        let mut place = parent.filter(|_| self.hits.get() > 0);
        while let Some(index) = place {
            if let Some(request) = self.set_hit(index, None) {
                self.get_mut(index).forget(&request);
                return Some(request);
            }
            place = self.get(index).parent;
        }
        let header = task.header();
        let flags = header.flags.get();
        flags.has(Flags::CANCEL).then(|| {
            header.clear(Flags::CANCEL.with(Flags::DELIVERED));
            Request {
                id: next_request_id(self.next_request),
                target: Target::Root,
                reason: task.cancel_reason(),
                is_delivered: flags.has(Flags::DELIVERED),
            }
        })
    }

    fn withdraw(&mut self, task: TaskRef) {
        let mut left: Vec<_> = task.header().scopes.get().into_iter().collect();
        while let Some(index) = left.pop() {
            let is_void = |it: &Request| it.target == Target::Root && !it.is_delivered;
            let node = self.get_mut(index);
            left.extend(node.next);
            left.extend(node.first_child);
            node.held.take_if(|it| is_void(it));
            if node.hit.as_ref().is_some_and(is_void) {
                self.set_hit(index, None);
            }
            if self.get(index).deferred.as_ref().is_some_and(is_void) {
                self.set_deferred(index, None);
            }
        }
    }
}
