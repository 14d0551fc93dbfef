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
//! 1. A request is delivered to each stop at most once. A node remembers the last one it has seen.
//! 2. A scope or stop is hit only when no stop is left below it. A request that arrives at one earlier is
//!    *deferred* there, and any stop below that has not seen it is hit first.
//! 3. While a hit has not been taken, another request for the same place is merged with it: the one
//!    that is aimed further out stays.
//! 4. A hit that has not been taken moves inwards, when the code that is running opens a stop: what was
//!    requested from within arrives at the next await.
//! 5. A request whose target is gone is void.
//! 6. A request that is forwarded in a circle of tasks that await each other ends the task where the circle
//!    closes.
//!
//! # Invariants
//! 1. A node belongs to an unfinished task: completing a task removes its nodes.
//! 2. Nobody else's code (wakers, tasks' destructors) runs while the nodes are borrowed: it is collected
//!    in [`Effects`] and called after.

mod delivery;

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::num::NonZeroU32;
use std::task::Waker;

use slab::Slab;
use tulipa_base::TaskId;

use crate::cancel::CancelReason;
use crate::task::{Flags, Task, TaskRef};

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
    /// They go on outwards.
    PassOn,
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
    /// The last request that hit this node.
    seen: u64,
}

impl Node {
    fn is_stop(&self) -> bool {
        !matches!(self.kind, Kind::Scope)
    }
}

/// The nodes of all tasks of a loop.
pub(crate) struct Tree {
    nodes: RefCell<Slab<Node>>,
    next_generation: Cell<u32>,
    next_request: Cell<u64>,
    /// Tasks that are about to be asked to end. A queue, because each may hand the request on to the one that
    /// it awaits, and so on: a long chain must not become a deep stack.
    forward: RefCell<VecDeque<(Task, CancelReason)>>,
    is_forwarding: Cell<bool>,
    /// The tasks that the request under way has reached. One that awaits itself in a circle is asked a second
    /// time, and then ends: nobody else would.
    reached: RefCell<HashSet<TaskId>>,
}

/// What is to be done once the nodes are not borrowed any more.
#[derive(Default)]
struct Effects {
    wakers: Vec<Waker>,
    forward: Vec<(Task, CancelReason)>,
    removed: Vec<Node>,
}

impl Tree {
    pub(crate) fn new() -> Tree {
        Tree {
            nodes: RefCell::new(Slab::new()),
            next_generation: Cell::new(0),
            next_request: Cell::new(1),
            forward: RefCell::new(VecDeque::new()),
            is_forwarding: Cell::new(false),
            reached: RefCell::new(HashSet::new()),
        }
    }

    /// Changes the nodes, then runs what follows from it.
    fn change<R>(&self, f: impl FnOnce(&mut Nodes<'_>) -> R) -> R {
        let mut effects = Effects::default();
        let result = f(&mut Nodes {
            slab: &mut self.nodes.borrow_mut(),
            next_request: &self.next_request,
            effects: &mut effects,
        });
        if !effects.forward.is_empty() {
            self.forward.borrow_mut().extend(effects.forward);
            self.forward_all();
        }
        for waker in effects.wakers {
            waker.wake();
        }
        drop(effects.removed);
        result
    }

    /// Asks the tasks that requests were forwarded to, unless a call further out on the stack does so.
    fn forward_all(&self) {
        /// Resets the flag, also when a waker panics; what is left then goes with the next request.
        struct Forwarding<'a>(&'a Cell<bool>);
        impl Drop for Forwarding<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        if self.is_forwarding.replace(true) {
            return;
        }
        let _forwarding = Forwarding(&self.is_forwarding);
        loop {
            let next = self.forward.borrow_mut().pop_front();
            let Some((task, reason)) = next else { return };
            if self.reached.borrow_mut().insert(task.id()) {
                task.cancel_with(reason);
            } else {
                self.change(|nodes| nodes.hit_root(task.task_ref(), reason));
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
            if nodes.get(index).is_stop()
                && let Some(request) = nodes.take_nearest_hit(task, parent)
            {
                nodes.hit(index, request);
            }
            NodeId { index, generation }
        })
    }

    /// Takes a node away, with whatever is still below it.
    pub(crate) fn detach(&self, id: NodeId, end: End) {
        self.change(|nodes| {
            let Some(node) = nodes.find(id) else { return };
            let (task, parent) = (node.task, node.parent);
            let requests = (node.hit.take(), node.held.take());
            nodes.remove(id.index);
            let left = match end {
                End::Consumed => None,
                End::PassOn => nodes.outermost(requests.0, requests.1),
            };
            match left {
                Some(request) => nodes.pass_on(task, parent, request),
                None => nodes.settle_deferred(task, parent),
            }
        });
    }

    /// Says whom to wake when the node is hit.
    pub(crate) fn set_waker(&self, id: NodeId, waker: &Waker) {
        let is_known = |node: &Node| node.waker.as_ref().is_some_and(|it| it.will_wake(waker));
        if self.with(id, |node| is_known(node)).unwrap_or(true) {
            return;
        }
        let waker = waker.clone();
        let before = self.with(id, |node| node.waker.replace(waker));
        drop(before);
    }

    /// The request that has hit this node, which from now on is delivered.
    pub(crate) fn take_hit(&self, id: NodeId) -> Option<Request> {
        self.with(id, |node| node.hit.take()).flatten()
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

    /// The full name of the node that is there now.
    pub(crate) fn id(&self, index: NodeIndex) -> Option<NodeId> {
        let nodes = self.nodes.borrow();
        let generation = nodes.get(index.key())?.generation;
        Some(NodeId { index, generation })
    }

    /// Sends a new request to a scope.
    pub(crate) fn deliver(&self, id: NodeId, reason: CancelReason) -> Delivered {
        let request = self.request(Target::Node(id), reason);
        self.change(|nodes| {
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
        if !self.is_forwarding.get() {
            let mut reached = self.reached.borrow_mut();
            reached.clear();
            reached.insert(task.header().id);
        }
        self.change(|nodes| {
            nodes.forget_forwarding(task);
            if !nodes.hit_stops_of(task, &request) {
                nodes.hit_root(task, request.reason);
            }
        });
    }

    /// Sends a request on outwards, from a place below `parent`, or below the root.
    pub(crate) fn pass_on(&self, task: TaskRef, parent: Option<NodeIndex>, request: Request) {
        self.change(|nodes| nodes.pass_on(task, parent, request));
    }

    /// Sends a request that a task was asked with, and that came back from below, to its root.
    pub(crate) fn arrive_at_root(&self, task: TaskRef) {
        let reason = task.cancel_reason();
        let request = self.request(Target::Root, reason);
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
                nodes.remove(index);
            }
        });
    }

    /// Nodes of all tasks, for tests and metrics.
    pub(crate) fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    fn request(&self, target: Target, reason: CancelReason) -> Request {
        let id = next_request_id(&self.next_request);
        Request { id, target, reason }
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

/// The nodes while they change.
struct Nodes<'a> {
    slab: &'a mut Slab<Node>,
    next_request: &'a Cell<u64>,
    effects: &'a mut Effects,
}

impl Nodes<'_> {
    fn get(&self, index: NodeIndex) -> &Node {
        &self.slab[index.key()]
    }

    fn get_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.slab[index.key()]
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
        let first = self.first_below(task, parent);
        let node = Node {
            generation,
            task,
            kind,
            depth: parent.map_or(1, |parent| self.get(parent).depth + 1),
            parent,
            first_child: None,
            next: first,
            prev: None,
            waker: None,
            hit: None,
            held: None,
            deferred: None,
            seen: 0,
        };
        let index = NodeIndex::of(self.slab.insert(node));
        if let Some(first) = first {
            self.get_mut(first).prev = Some(index);
        }
        self.set_first_below(task, parent, Some(index));
        index
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

    /// Unlinks a node and removes it with everything below. Requests in it are void.
    fn remove(&mut self, index: NodeIndex) {
        let node = self.get(index);
        let (task, parent, next, prev) = (node.task, node.parent, node.next, node.prev);
        match prev {
            Some(prev) => self.get_mut(prev).next = next,
            None => self.set_first_below(task, parent, next),
        }
        if let Some(next) = next {
            self.get_mut(next).prev = prev;
        }
        let mut left = vec![index];
        while let Some(index) = left.pop() {
            let node = self.slab.remove(index.key());
            let mut child = node.first_child;
            while let Some(index) = child {
                left.push(index);
                child = self.get(index).next;
            }
            self.effects.removed.push(node);
        }
    }

    /// Which of two requests is aimed further out.
    fn outermost(&self, one: Option<Request>, other: Option<Request>) -> Option<Request> {
        let (Some(one), Some(other)) = (&one, &other) else {
            return one.or(other);
        };
        let depth = |request: &Request| match request.target {
            Target::Root => 0,
            Target::Node(id) => match self.slab.get(id.index.key()) {
                Some(node) if node.generation == id.generation => node.depth,
                _ => u32::MAX, // Void: any other goes first.
            },
        };
        let outer = if depth(other) <= depth(one) {
            other
        } else {
            one
        };
        Some(outer.clone())
    }

    /// Brings a request to a node.
    fn hit(&mut self, index: NodeIndex, request: Request) {
        let node = self.get_mut(index);
        node.seen = request.id;
        let own = Target::Node(NodeId {
            index,
            generation: node.generation,
        });
        match node.kind.clone() {
            Kind::Forward(task) => {
                self.effects.forward.push((task, request.reason.clone()));
                self.hold(index, request);
            }
            Kind::Shield if request.target != own => self.hold(index, request),
            Kind::Scope | Kind::Catch | Kind::Shield => {
                let before = node.hit.take();
                let hit = self.outermost(before, Some(request));
                let node = self.get_mut(index);
                node.hit = hit;
                // It is moved, not cloned: cloning may be anyone's code. The future leaves another one.
                let waker = node.waker.take();
                self.effects.wakers.extend(waker);
            }
        }
    }

    /// Keeps a request until the node ends. Of two, the one aimed further out.
    fn hold(&mut self, index: NodeIndex, request: Request) {
        let before = self.get_mut(index).held.take();
        let held = self.outermost(before, Some(request));
        self.get_mut(index).held = held;
    }

    /// Hits the innermost stops below a node that have not seen the request. Returns whether there is any
    /// stop.
    fn hit_stops_below(&mut self, index: NodeIndex, request: &Request) -> bool {
        let mut any = false;
        let mut child = self.get(index).first_child;
        while let Some(index) = child {
            any |= self.hit_stops_from(index, request);
            child = self.get(index).next;
        }
        any
    }

    /// The same for a node and what is below.
    fn hit_stops_from(&mut self, index: NodeIndex, request: &Request) -> bool {
        // What a shield covers is out of reach.
        let is_shield = matches!(self.get(index).kind, Kind::Shield);
        if !is_shield && self.hit_stops_below(index, request) {
            return true;
        }
        let node = self.get(index);
        if !node.is_stop() {
            return false;
        }
        if node.seen != request.id {
            self.hit(index, request.clone());
        }
        true
    }

    /// The same for a whole task, with the tasks that it awaits at its root.
    fn hit_stops_of(&mut self, task: TaskRef, request: &Request) -> bool {
        let mut any = false;
        let mut node = task.header().scopes.get();
        while let Some(index) = node {
            any |= self.hit_stops_from(index, request);
            node = self.get(index).next;
        }
        let mut awaited = task.header().waits.first_awaited();
        while let Some(inner) = awaited {
            any = true;
            let header = inner.header();
            if !header.flags.get().has(Flags::FORWARDED) {
                header.set(Flags::FORWARDED);
                let inner = Task::new(inner);
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

    fn pass_on(&mut self, task: TaskRef, parent: Option<NodeIndex>, request: Request) {
        if let Target::Node(id) = request.target
            && self.find(id).is_none()
        {
            return self.settle_deferred(task, parent);
        }
        let mut place = parent;
        while let Some(index) = place {
            let node = self.get(index);
            let is_target = request.target
                == Target::Node(NodeId {
                    index,
                    generation: node.generation,
                });
            if is_target || node.is_stop() && node.seen != request.id {
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
        if !self.hit_stops_below(index, &request) {
            return self.hit(index, request);
        }
        let before = self.get_mut(index).deferred.take();
        let deferred = self.outermost(before, Some(request));
        self.get_mut(index).deferred = deferred;
    }

    fn arrive_at_root(&mut self, task: TaskRef, request: Request) {
        if self.hit_stops_of(task, &request) {
            task.header().set(Flags::DEFERRED);
        } else {
            self.hit_root(task, request.reason);
        }
    }

    /// A stop below `parent` is gone. What was deferred further out arrives, if it was the last one.
    fn settle_deferred(&mut self, task: TaskRef, parent: Option<NodeIndex>) {
        let mut place = parent;
        while let Some(index) = place {
            if let Some(request) = self.get_mut(index).deferred.take() {
                return self.arrive(index, request);
            }
            place = self.get(index).parent;
        }
        if task.header().flags.get().has(Flags::DEFERRED) && !self.has_stop(task) {
            task.header().clear(Flags::DEFERRED);
            self.hit_root(task, task.cancel_reason());
        }
    }

    fn has_stop(&self, task: TaskRef) -> bool {
        let mut left: Vec<_> = task.header().scopes.get().into_iter().collect();
        while let Some(index) = left.pop() {
            let node = self.get(index);
            if node.is_stop() {
                return true;
            }
            left.extend(node.next);
            left.extend(node.first_child);
        }
        task.header().waits.first_awaited().is_some()
    }

    /// The task itself is to end.
    fn hit_root(&mut self, task: TaskRef, reason: CancelReason) {
        if task.header().flags.get().has(Flags::COMPLETE) {
            return;
        }
        task.set_cancel_reason(reason);
        task.header().set(Flags::CANCEL);
        task.schedule();
    }

    /// Takes the request that has arrived nearest around a place and was not taken. See rule 4.
    fn take_nearest_hit(&mut self, task: TaskRef, parent: Option<NodeIndex>) -> Option<Request> {
        let mut place = parent;
        while let Some(index) = place {
            let node = self.get_mut(index);
            if let Some(request) = node.hit.take() {
                return Some(request);
            }
            place = node.parent;
        }
        let header = task.header();
        header.flags.get().has(Flags::CANCEL).then(|| {
            header.clear(Flags::CANCEL);
            Request {
                id: next_request_id(self.next_request),
                target: Target::Root,
                reason: task.cancel_reason(),
            }
        })
    }

    fn withdraw(&mut self, task: TaskRef) {
        task.header().clear(Flags::CANCEL.with(Flags::DEFERRED));
        let mut left: Vec<_> = task.header().scopes.get().into_iter().collect();
        while let Some(index) = left.pop() {
            let node = self.get_mut(index);
            for place in [&mut node.hit, &mut node.held, &mut node.deferred] {
                if place.as_ref().is_some_and(|it| it.target == Target::Root) {
                    *place = None;
                }
            }
            left.extend(node.next);
            left.extend(node.first_child);
        }
    }
}
