//! A future's place in the tree: the node it owns, and where the code that runs inside of it belongs.

use std::mem;
use std::rc::Rc;
use std::task::Context;

use tulipa_base::TaskId;

use crate::cancel::tree::{Delivered, End, Found, Kind, NodeId, NodeIndex, Request, Target, Tree};
use crate::cancel::{CancelReason, Cancelled};
use crate::core::{self, CorePtr};
use crate::task::{Task, TaskRef};

/// Which node new nodes are opened below: that of the innermost scope or stop whose body is being
/// polled.
///
/// A timeout does not open its node before something in its body needs one as a parent: until then
/// it only counts as one of those *unopened*.
///
/// In one word, because every poll of a timeout saves and restores it: the lower half is the node's index, zero for the root
/// of the running task, the upper half counts the scopes further in that have no node yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot(u64);

const ONE_UNOPENED: u64 = 1 << 32;

impl Spot {
    /// At the root of the running task.
    pub(crate) const ROOT: Spot = Spot(0);

    #[inline]
    fn at(node: Option<NodeIndex>) -> Spot {
        Spot(node.map_or(0, NodeIndex::as_u32).into())
    }

    /// Whether it is the root of the running task.
    #[inline]
    pub(crate) fn is_root(self) -> bool {
        self == Spot::ROOT
    }

    fn node(self) -> Option<NodeIndex> {
        NodeIndex::from_u32(self.0 as u32)
    }

    /// One scope further in, which has no node yet.
    #[inline(always)]
    fn with_unopened(self) -> Spot {
        Spot(self.0 + ONE_UNOPENED)
    }

    fn has_unopened(self) -> bool {
        self.0 >= ONE_UNOPENED
    }
}

/// The node in which the running code is. Opens those of the scopes around that have none yet.
pub(crate) fn current_node(core: CorePtr, tree: &Tree, task: TaskRef) -> Option<NodeIndex> {
    let spot = core.get().spot.get();
    let mut node = spot.node();
    for _ in 0..spot.0 / ONE_UNOPENED {
        node = Some(tree.attach(task, node, Kind::Scope).index);
    }
    core.get().spot.set(Spot::at(node));
    node
}

/// The loop and the task that poll the running code, and the loop's tree; `None` outside of a task.
fn surroundings() -> Option<(CorePtr, TaskRef, Rc<Tree>)> {
    let core = core::current()?;
    let task = core.get().running_task()?;
    Some((core, task, core.get().tree()?))
}

/// Scopes and catch points that are open in the loop that runs on this thread. For tests, which count that
/// none is left behind.
pub fn open_nodes() -> usize {
    let tree = core::current().and_then(|core| core.get().tree());
    tree.map_or(0, |tree| tree.len())
}

/// What [`Place::settle`] found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The node was there.
    InPlace,
    /// The node is new.
    New,
}

/// The node that a future owns, once it has been polled in a task.
#[derive(Default)]
pub(crate) struct Place {
    opened: Option<Opened>,
}

struct Opened {
    tree: Rc<Tree>,
    id: NodeId,
}

impl Place {
    pub(crate) const fn new() -> Place {
        Place { opened: None }
    }

    /// Opens the node where the running code is, or moves it there, and leaves the waker in it. Outside of a
    /// task there is no node. Says whether it is new there: what is inside has then not been polled since, and
    /// a request that has moved here waits until it has been.
    pub(crate) fn settle(&mut self, kind: Kind, cx: &mut Context<'_>) -> Settled {
        let Some((core, task, tree)) = surroundings() else {
            self.close(End::PassOn);
            return Settled::InPlace;
        };
        let parent = current_node(core, &tree, task);
        let found = match &self.opened {
            Some(opened) if Rc::ptr_eq(&opened.tree, &tree) => {
                tree.settle(opened.id, task, parent, cx.waker())
            }
            _ => Found::Gone,
        };
        match found {
            Found::InPlace => return Settled::InPlace,
            Found::Moved => {}
            Found::Gone => {
                self.close(End::PassOn);
                let id = tree.attach(task, parent, kind);
                tree.set_waker(id, cx.waker());
                self.opened = Some(Opened { tree, id });
            }
        }
        Settled::New
    }

    /// Makes what is polled until the guard is dropped belong below this node.
    pub(crate) fn enter(&self) -> Option<Inside> {
        let index = self.opened.as_ref()?.id.index;
        let core = core::current()?;
        Some(Inside {
            core,
            before: core.get().spot.replace(Spot::at(Some(index))),
        })
    }

    /// Sends a request to this node as a scope. `None` without a node: nothing runs inside that could
    /// catch it.
    pub(crate) fn deliver(&self, reason: CancelReason) -> Option<Delivered> {
        self.deliver_sparing(reason, |_| false)
    }

    /// The same, but it is not forwarded to the tasks that `spares` names.
    pub(crate) fn deliver_sparing(
        &self,
        reason: CancelReason,
        spares: impl Fn(&Task) -> bool,
    ) -> Option<Delivered> {
        let opened = self.opened.as_ref()?;
        Some(opened.tree.deliver(opened.id, reason, &spares))
    }

    /// From now on, the first request passes what is inside by, and is held.
    pub(crate) fn let_one_pass(&self) {
        if let Some(opened) = &self.opened {
            opened.tree.let_one_pass(opened.id);
        }
    }

    /// The request that has hit this node, which is delivered with this call.
    pub(crate) fn take_hit(&self) -> Option<Hit> {
        let opened = self.opened.as_ref()?;
        let request = opened.tree.take_hit(opened.id)?;
        let is_own = request.target == Target::Node(opened.id);
        Some(Hit { request, is_own })
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.opened
            .as_ref()
            .is_some_and(|opened| opened.tree.is_hit(opened.id))
    }

    /// Keeps a request that was taken until the node is closed.
    pub(crate) fn hold(&self, hit: Hit) {
        if let Some(opened) = &self.opened {
            opened.tree.hold(opened.id, hit.request);
        }
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.opened
            .as_ref()
            .is_some_and(|opened| opened.tree.is_holding(opened.id))
    }

    /// Whether there is a node.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Gives the node up. What arrived or was held and not acted on goes on outwards, unless it is
    /// consumed.
    #[inline(never)]
    pub(crate) fn close(&mut self, end: End) {
        if let Some(opened) = self.opened.take() {
            opened.tree.detach(opened.id, end);
        }
    }

    /// Makes the request that has hit the node a value for the code around. The node goes with it.
    pub(crate) fn put_in_hand(&mut self, hit: Hit) -> Cancelled {
        let place = mem::take(self);
        if let Some(Opened { tree, id }) = &place.opened {
            tree.put_in_hand(*id, &hit.request);
        }
        Cancelled::new(hit.request, place)
    }

    /// Sends a request on outwards from here. `false` when the node is not in the running task.
    pub(crate) fn pass_on(&self, request: &Request) -> bool {
        let (Some(opened), Some((_, task, _))) = (&self.opened, surroundings()) else {
            return false;
        };
        let Opened { tree, id } = opened;
        if tree.task(*id) != Some(task.header().id) {
            return false;
        }
        tree.pass_on(task, tree.parent(*id), request.clone());
        true
    }

    /// The task in which the node is.
    pub(crate) fn task(&self) -> Option<TaskId> {
        let Opened { tree, id } = self.opened.as_ref()?;
        tree.task(*id)
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        if self.is_open() {
            self.close(End::PassOn);
        }
    }
}

/// Asks the running task to end: for a request that was delivered in another task, which has ended since.
pub(crate) fn cancel_running(reason: CancelReason) {
    if let Some((_, task, _)) = surroundings() {
        task.cancel(reason);
    }
}

/// A request that a node's future has taken.
pub(crate) struct Hit {
    request: Request,
    is_own: bool,
}

impl Hit {
    /// Why.
    pub(crate) fn reason(&self) -> &CancelReason {
        &self.request.reason
    }

    /// Whether it was aimed at the node itself.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }
}

/// While it lives, what is polled belongs below a node.
#[must_use]
pub(crate) struct Inside {
    core: CorePtr,
    before: Spot,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.core.get().spot.set(self.before);
    }
}

/// While it lives, what is polled belongs below a scope that opens its node only when something inside
/// needs it (see [`Spot`]).
#[must_use]
pub(crate) struct InsideUnopened {
    // Whatever is out of line gets copies of these, not a reference: so they stay in registers.
    core: CorePtr,
    around: Spot,
}

impl InsideUnopened {
    /// `None` outside of a loop.
    #[inline(always)]
    pub(crate) fn enter() -> Option<InsideUnopened> {
        let core = core::current()?;
        let around = core.get().spot.get();
        core.get().spot.set(around.with_unopened());
        Some(InsideUnopened { core, around })
    }

    /// The loop that runs.
    #[inline(always)]
    pub(crate) fn core(&self) -> CorePtr {
        self.core
    }

    /// Ends it. Gives the node to `place`, if one was opened meanwhile.
    #[inline(always)]
    pub(crate) fn leave(self, place: &mut Place) {
        let (core, around) = (self.core, self.around);
        mem::forget(self);
        if core.get().spot.get() == around.with_unopened() {
            core.get().spot.set(around);
        } else if let Some(opened) = leave_opened(core, around) {
            place.opened = Some(opened);
        }
    }
}

impl Drop for InsideUnopened {
    /// The code inside has panicked.
    #[inline(always)]
    fn drop(&mut self) {
        let (core, around) = (self.core, self.around);
        if core.get().spot.get() == around.with_unopened() {
            core.get().spot.set(around);
        } else if let Some(opened) = leave_opened(core, around) {
            // Nobody takes the node.
            opened.tree.detach(opened.id, End::PassOn);
        }
    }
}

/// Goes back to the code around a scope whose node was opened meanwhile, and returns that.
#[cold]
#[inline(never)]
fn leave_opened(core: CorePtr, around: Spot) -> Option<Opened> {
    let tree = core.get().tree();
    let node = core.get().spot.get().node();
    let opened = tree.and_then(|tree| {
        Some(Opened {
            id: tree.id(node?)?,
            tree,
        })
    });
    // The scopes around that had no node have theirs now as well.
    let around = if around.has_unopened() {
        let parent = opened.as_ref().and_then(|it| it.tree.parent(it.id));
        Spot::at(parent)
    } else {
        around
    };
    core.get().spot.set(around);
    opened
}
