//! Cancellation against a naive model: random programs of nested scopes, catch points, clean-ups, groups and awaited
//! tasks, with requests from outside at random moments of virtual time, must do what the documented rules say: the
//! same deliveries, clean-ups, results and ends, at the same times.
//!
//! The model knows nothing of nodes, wakers and queues. It keeps each task as the tree of code that it is, polls
//! everything again and again until nothing changes, and hands requests up from inner code to outer code as return
//! values. What two tasks do in the same instant is compared for each place of the program by itself.
//!
//! Programs come from a seed, which a failure prints beside the smallest program found that still fails.
//! `TULIPA_MODEL_CASES` is how many are played, `TULIPA_MODEL_SEED` where they begin.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::{Future, pending, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tulipa::cancel::{CancelScope, open_nodes};
use tulipa::runtime::Runner;
use tulipa::task::{GroupError, JoinError, Task, TaskGroup};
use tulipa::time::Instant;
use tulipa::{catch_cancel, finally, scope, sleep, sleep_until, spawn, task, task_group, timeout};
use tulipa::{try_scope, yield_now};

// ---- programs ----

/// What a piece of code does. Every piece has a number of its own; that of an outer one is lower.
#[derive(Clone, Debug)]
enum Code {
    Ready,
    Pending,
    Sleep(u64),
    Fail(usize),
    Panic(usize),
    Seq(Vec<Code>),
    /// Side by side, in one task.
    Both(Box<Code>, Box<Code>),
    Timeout {
        id: usize,
        after: u64,
        body: Box<Code>,
    },
    Scope {
        id: usize,
        after: Option<u64>,
        is_shielded: bool,
        body: Box<Code>,
    },
    Catch {
        id: usize,
        body: Box<Code>,
        cleanup: Box<Code>,
        then: Then,
    },
    Finally {
        id: usize,
        body: Box<Code>,
        cleanup: Box<Code>,
        grace: Option<(usize, u64)>,
    },
    Group {
        id: usize,
        kind: GroupKind,
        children: Vec<(usize, Code)>,
        /// The child that the body awaits first.
        awaits: Option<usize>,
        body: Box<Code>,
        /// Whether a failure of the group is one of the code around.
        propagates: bool,
    },
    Await {
        id: usize,
        is_shielded: bool,
        code: Box<Code>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Swallow,
    Resume,
    Forgive,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum GroupKind {
    Tasks,
    TryScope,
    Scope,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Cancel(usize),
    CancelTwice(usize),
    CancelAndTakeBack(usize),
    Uncancel(usize),
    Abort(usize),
    CancelScope(usize),
    /// To so many milliseconds from then.
    Reschedule(usize, u64),
    CancelGroup(usize),
}

#[derive(Clone, Debug)]
struct Program {
    /// Tasks with their numbers.
    tasks: Vec<(usize, Code)>,
    /// In the order of their times.
    actions: Vec<(u64, Action)>,
}

/// What happens at a place of the program.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Caught(String),
    CleanupBegins,
    CleanupEnds,
    CleanupDropped,
    Value,
    Failed,
    Elapsed,
    Cancelled(String),
    /// A group failed: with its first failure, and all of them in order of their numbers.
    GroupFailed(Failure, Vec<Failure>),
    Joined(&'static str),
    /// A task's future is gone.
    Gone {
        is_finished: bool,
        cancelling: usize,
    },
    /// A scope has ended, with so many children dropped that borrowed from it.
    Borrowed(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    Error(usize),
    Panic(usize),
}

type Trace = BTreeMap<usize, Vec<(u64, Event)>>;

/// What code yields: nothing, or the number of what failed.
type Outcome = Result<(), usize>;

// ---- making programs ----

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn time(&mut self) -> u64 {
        1 + self.below(5_000)
    }
}

struct Author {
    random: Random,
    next_id: usize,
    tasks: Vec<usize>,
    scopes: Vec<usize>,
    groups: Vec<usize>,
}

impl Author {
    fn program(seed: u64) -> Program {
        let mut author = Author {
            random: Random(seed),
            next_id: 0,
            tasks: Vec::new(),
            scopes: Vec::new(),
            groups: Vec::new(),
        };
        let count = 1 + author.random.below(2);
        let tasks = (0..count)
            .map(|_| {
                let id = author.task();
                let mut budget = 2 + author.random.below(14) as usize;
                (id, author.code(&mut budget, 0))
            })
            .collect();
        let mut actions: Vec<_> = (0..author.random.below(6))
            .map(|_| (author.random.time(), author.action()))
            .collect();
        actions.sort_by_key(|(at, _)| *at);
        Program { tasks, actions }
    }

    fn id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }

    fn task(&mut self) -> usize {
        let id = self.id();
        self.tasks.push(id);
        id
    }

    fn action(&mut self) -> Action {
        let pick = |random: &mut Random, from: &[usize]| match from {
            [] => None,
            from => Some(from[random.below(from.len() as u64) as usize]),
        };
        let task = self.tasks[self.random.below(self.tasks.len() as u64) as usize];
        match self.random.below(12) {
            0..4 => Action::Cancel(task),
            4 => Action::CancelTwice(task),
            5 => Action::CancelAndTakeBack(task),
            6 => Action::Uncancel(task),
            7 => Action::Abort(task),
            8 | 9 => match pick(&mut self.random, &self.scopes) {
                Some(scope) if self.random.one_in(3) => {
                    Action::Reschedule(scope, self.random.below(3_000))
                }
                Some(scope) => Action::CancelScope(scope),
                None => Action::Cancel(task),
            },
            _ => match pick(&mut self.random, &self.groups) {
                Some(group) => Action::CancelGroup(group),
                None => Action::Cancel(task),
            },
        }
    }

    fn leaf(&mut self) -> Code {
        match self.random.below(20) {
            0..3 => Code::Ready,
            3..9 => Code::Pending,
            9..18 => Code::Sleep(self.random.time()),
            // Not at once: two failures in the same instant would depend on who runs first.
            18 => Code::Seq(vec![Code::Sleep(self.random.time()), Code::Fail(self.id())]),
            _ => Code::Seq(vec![
                Code::Sleep(self.random.time()),
                Code::Panic(self.id()),
            ]),
        }
    }

    fn boxed(&mut self, budget: &mut usize, depth: usize) -> Box<Code> {
        Box::new(self.code(budget, depth + 1))
    }

    fn code(&mut self, budget: &mut usize, depth: usize) -> Code {
        if *budget == 0 || depth > 12 {
            return self.leaf();
        }
        *budget -= 1;
        match self.random.below(24) {
            0..2 => self.leaf(),
            2..5 => {
                let parts = 2 + self.random.below(2);
                Code::Seq((0..parts).map(|_| self.code(budget, depth + 1)).collect())
            }
            5..8 => Code::Both(self.boxed(budget, depth), self.boxed(budget, depth)),
            8..11 => Code::Timeout {
                id: self.id(),
                after: self.random.time(),
                body: self.boxed(budget, depth),
            },
            11..13 => {
                let id = self.id();
                self.scopes.push(id);
                Code::Scope {
                    id,
                    after: self.random.one_in(2).then(|| self.random.time()),
                    is_shielded: self.random.one_in(3),
                    body: self.boxed(budget, depth),
                }
            }
            13..16 => Code::Catch {
                id: self.id(),
                body: self.boxed(budget, depth),
                cleanup: self.boxed(budget, depth),
                then: match self.random.below(5) {
                    0 => Then::Swallow,
                    1 => Then::Forgive,
                    _ => Then::Resume,
                },
            },
            16..19 => {
                let id = self.id();
                let body = self.boxed(budget, depth);
                let grace = self
                    .random
                    .one_in(3)
                    .then(|| (self.id(), self.random.time()));
                Code::Finally {
                    id,
                    body,
                    cleanup: self.boxed(budget, depth),
                    grace,
                }
            }
            19..22 => {
                let id = self.id();
                let kind = match self.random.below(4) {
                    0 => GroupKind::Scope,
                    1 => GroupKind::TryScope,
                    _ => GroupKind::Tasks,
                };
                if kind == GroupKind::Tasks {
                    self.groups.push(id);
                }
                let body = self.boxed(budget, depth);
                let count = self.random.below(4) as usize;
                let children: Vec<_> = (0..count)
                    .map(|_| (self.task(), self.code(budget, depth + 1)))
                    .collect();
                let awaits = (count > 0 && self.random.one_in(3))
                    .then(|| self.random.below(count as u64) as usize);
                Code::Group {
                    id,
                    kind,
                    children,
                    awaits,
                    body,
                    propagates: self.random.one_in(2),
                }
            }
            _ => Code::Await {
                id: self.task(),
                is_shielded: self.random.one_in(4),
                code: self.boxed(budget, depth),
            },
        }
    }
}

// ---- the model ----

#[derive(Clone, Debug, PartialEq)]
enum Target {
    Task,
    Frame(usize),
}

#[derive(Clone, Debug)]
struct Request {
    number: u64,
    target: Target,
    reason: String,
    is_delivered: bool,
}

impl Request {
    /// Frames further out have lower numbers.
    fn depth(&self) -> usize {
        match self.target {
            Target::Task => 0,
            Target::Frame(id) => id,
        }
    }
}

/// Of two requests that meet, the one aimed further out stays; of equals the newer.
fn meet(one: Option<Request>, other: Option<Request>) -> Option<Request> {
    let (Some(one), Some(other)) = (one.clone(), other.clone()) else {
        return one.or(other);
    };
    let is_delivered = one.is_delivered || other.is_delivered;
    let stays = if other.depth() <= one.depth() {
        other
    } else {
        one
    };
    Some(Request {
        is_delivered,
        ..stays
    })
}

/// Those of some requests that are aimed further out than at a frame that is left: the others are void.
fn beyond(id: usize, requests: impl IntoIterator<Item = Request>) -> impl Iterator<Item = Request> {
    requests.into_iter().filter(move |it| it.depth() < id)
}

/// One request may come from several branches.
fn once_each(requests: Vec<Request>) -> Vec<Request> {
    let mut left: Vec<Request> = Vec::new();
    for request in requests {
        match left.iter_mut().find(|it| it.number == request.number) {
            Some(same) => same.is_delivered |= request.is_delivered,
            None => left.push(request),
        }
    }
    left
}

/// The requests at a frame.
#[derive(Default)]
struct Desk {
    hit: Option<Request>,
    held: Option<Request>,
    deferred: Option<Request>,
    seen: Vec<u64>,
    /// When a request was held that the awaited task had been sent by its group.
    spared_at: Option<u64>,
}

impl Desk {
    fn add_hit(&mut self, request: Request) {
        self.seen.push(request.number);
        self.hit = meet(self.hit.take(), Some(request));
    }

    fn hold(&mut self, request: Request) {
        self.seen.push(request.number);
        self.held = meet(self.held.take(), Some(request));
    }

    /// Takes what is here, which is one request in the end.
    fn clear(&mut self) -> Option<Request> {
        let late = meet(self.hit.take(), self.deferred.take());
        meet(late, self.held.take())
    }

    fn purge(&mut self) {
        for place in [&mut self.hit, &mut self.held, &mut self.deferred] {
            place.take_if(|it| it.target == Target::Task && !it.is_delivered);
        }
    }
}

/// Code that has begun.
enum Act {
    Start(Code),
    Pending,
    /// Passed a request on, and is about to be dropped.
    Quiet,
    Sleep(u64),
    /// Yielded its value already.
    Done,
    Seq(Box<Act>, VecDeque<Code>),
    Both(Box<Act>, Box<Act>, [Option<Outcome>; 2]),
    Timeout {
        id: usize,
        is_silent: bool,
        deadline: u64,
        has_expired: bool,
        desk: Desk,
        body: Box<Act>,
    },
    Scope {
        id: usize,
        is_shielded: bool,
        desk: Desk,
        body: Box<Act>,
    },
    Catch {
        id: usize,
        desk: Desk,
        body: Box<Act>,
        cleanup: Code,
        then: Then,
    },
    Caught {
        id: usize,
        request: Request,
        /// What was merged into it, and itself.
        numbers: Vec<u64>,
        cleanup: Box<Act>,
        then: Then,
    },
    Finally {
        id: usize,
        desk: Desk,
        /// The body, then the clean-up.
        inner: Box<Act>,
        cleanup: Option<(Code, Option<(usize, u64)>)>,
        result: Option<Ended>,
    },
    Group {
        id: usize,
        desk: Desk,
        body: Option<Box<Act>>,
        result: Option<Ended>,
        propagates: bool,
        count: usize,
    },
    Await {
        id: usize,
        desk: Desk,
        is_shielded: bool,
        task: usize,
    },
}

/// What came of a body.
#[derive(Clone, Debug, PartialEq)]
enum Ended {
    Returned(Outcome),
    Panicked(usize),
    Cancelled,
    /// By its own group.
    Interrupted,
}

/// What a poll led to.
enum Polled {
    Pending,
    Ready(Outcome),
    Panicked(usize),
}

/// What a grace period yields that has ended a clean-up.
const CUT_SHORT: usize = usize::MAX;

struct ModelTask {
    id: usize,
    act: Option<Act>,
    cancels: usize,
    reason: String,
    /// The last task that handed a request on to this one.
    asked_by: Option<usize>,
    /// The moment of the last request.
    asked_at: Option<u64>,
    /// A request has arrived at the root; it cannot be taken back if it is delivered.
    ends: Option<bool>,
    deferred: Option<Request>,
    is_aborted: bool,
    group: Option<usize>,
    result: Option<Ended>,
}

struct ModelScope {
    state: ScopeState,
    after: Option<u64>,
    deadline: Option<u64>,
    is_overdue: bool,
    has_expired: bool,
    is_pending: bool,
    reason: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum ScopeState {
    Fresh,
    Entered,
    Left,
}

struct ModelGroup {
    kind: GroupKind,
    alive: Vec<usize>,
    /// When a child ended last.
    last_end: Option<u64>,
    failures: Vec<Failure>,
    is_ending: bool,
    has_left: bool,
    interrupts_body: bool,
}

#[derive(Default)]
struct Model {
    now: u64,
    tasks: Vec<ModelTask>,
    by_id: HashMap<usize, usize>,
    scopes: HashMap<usize, ModelScope>,
    groups: HashMap<usize, ModelGroup>,
    next_request: u64,
    changes: u64,
    trace: Trace,
    /// Things came together whose order is not the model's business: timers, actions, or requests to one task.
    is_ambiguous: bool,
    /// The task to which a request is being delivered.
    asking: Option<usize>,
    met_in_hand: bool,
    has_hit: bool,
    /// The requests that code of the running task has seen to, or swallowed, in this step.
    swallowed: Vec<u64>,
    /// The requests that code had in hand which another one has ended, in this step.
    outdone: Vec<u64>,
    /// The second of two requests comes before anything else can.
    is_in_one_go: bool,
    /// The running task has passed a request on in this step.
    has_passed_on: bool,
    steps: u64,
}

impl Model {
    fn add(&mut self, id: usize, event: Event) {
        self.changes += 1;
        self.trace.entry(id).or_default().push((self.now, event));
    }

    fn request(&mut self, target: Target, reason: &str) -> Request {
        self.next_request += 1;
        self.changes += 1;
        Request {
            number: self.next_request,
            target,
            reason: reason.to_owned(),
            is_delivered: false,
        }
    }

    fn spawn(&mut self, id: usize, code: Code, group: Option<usize>) -> usize {
        self.changes += 1;
        let task = self.tasks.len();
        self.tasks.push(ModelTask {
            id,
            act: Some(Act::Start(code)),
            cancels: 0,
            reason: String::new(),
            asked_by: None,
            asked_at: None,
            ends: None,
            deferred: None,
            is_aborted: false,
            group,
            result: None,
        });
        self.by_id.insert(id, task);
        task
    }

    // -- requests --

    fn cancel(&mut self, task: usize, reason: &str) {
        let state = &mut self.tasks[task];
        if state.result.is_some() {
            return;
        }
        // Whether the second finds the first delivered depends on who runs first, unless both come in one go.
        let before = state.asked_at.replace(self.now);
        if before == Some(self.now) && !self.is_in_one_go {
            self.is_ambiguous = true;
        }
        state.cancels += 1;
        state.reason = reason.to_owned();
        if state.ends.is_some() {
            return;
        }
        let request = self.request(Target::Task, reason);
        let mut act = self.tasks[task].act.take().expect("no circles here");
        let before = self.asking.replace(task);
        let has_stop = self.deliver(&mut act, &request, &[]);
        self.asking = before;
        self.tasks[task].act = Some(act);
        if !has_stop {
            self.tasks[task].ends = Some(false);
        }
    }

    fn uncancel(&mut self, task: usize) {
        let state = &mut self.tasks[task];
        if state.result.is_some() {
            return;
        }
        self.changes += 1;
        state.cancels = state.cancels.saturating_sub(1);
        self.purge(task);
    }

    /// Forgets what was not delivered, if all requests were taken back.
    fn purge(&mut self, task: usize) {
        let state = &mut self.tasks[task];
        if state.cancels > 0 {
            return;
        }
        state.ends.take_if(|is_delivered| !*is_delivered);
        state.deferred.take_if(|it| !it.is_delivered);
        if let Some(act) = &mut state.act {
            act.purge();
        }
    }

    /// Whether a request was taken back before it was delivered.
    fn is_void(&self, task: usize, request: &Request) -> bool {
        request.target == Target::Task && !request.is_delivered && self.tasks[task].cancels == 0
    }

    /// Hits the innermost stops that have not seen the request. Says whether there is any.
    fn deliver(&mut self, act: &mut Act, request: &Request, spared: &[usize]) -> bool {
        let (desk, inner) = match act {
            Act::Start(_) | Act::Pending | Act::Quiet | Act::Sleep(_) | Act::Done => return false,
            Act::Seq(current, _) => return self.deliver(current, request, spared),
            Act::Both(one, other, _) => {
                let has_one = self.deliver(one, request, spared);
                return self.deliver(other, request, spared) || has_one;
            }
            Act::Timeout { body, .. } => return self.deliver(body, request, spared),
            Act::Caught {
                numbers, cleanup, ..
            } => {
                if numbers.contains(&request.number) {
                    self.met_in_hand = true;
                    return true;
                }
                return self.deliver(cleanup, request, spared);
            }
            Act::Scope {
                is_shielded: false,
                body,
                ..
            } => return self.deliver(body, request, spared),
            Act::Scope { desk, .. } => {
                if !desk.seen.contains(&request.number) {
                    desk.hold(request.clone());
                }
                return true;
            }
            Act::Await {
                desk,
                is_shielded,
                task,
                ..
            } => {
                if *is_shielded {
                    return false;
                }
                if desk.seen.contains(&request.number) {
                } else if self.tasks[*task].result.is_some() {
                    desk.add_hit(request.clone());
                } else {
                    desk.hold(request.clone());
                    if spared.contains(task) {
                        desk.spared_at = Some(self.now);
                    } else {
                        self.tasks[*task].asked_by = self.asking;
                        self.cancel(*task, &request.reason);
                    }
                }
                return true;
            }
            Act::Finally {
                desk,
                inner,
                cleanup,
                ..
            } => {
                if cleanup.is_none() && desk.held.is_none() && !desk.seen.contains(&request.number)
                {
                    // The first one passes a clean-up by.
                    desk.hold(request.clone());
                    return true;
                }
                (desk, Some(inner))
            }
            Act::Catch { desk, body, .. } => (desk, Some(body)),
            Act::Group { desk, body, .. } => (desk, body.as_mut()),
        };
        if desk.seen.contains(&request.number) {
            return true;
        }
        if !inner.is_some_and(|inner| self.deliver(inner, request, spared)) {
            desk.add_hit(request.clone());
            self.has_hit = true;
        }
        true
    }

    /// Brings a request from inside to whoever has not seen it.
    fn bring(&mut self, act: &mut Act, request: &Request) -> bool {
        (self.met_in_hand, self.has_hit) = (false, false);
        let has_stop = self.deliver(act, request, &[]);
        // Whether what has been opened since belongs to the clean-up, nobody but the model can know.
        self.is_ambiguous |= self.met_in_hand && self.has_hit;
        has_stop
    }

    /// Requests come from inside of a frame, to it or past it. `own` is what is aimed at it.
    fn route(
        &mut self,
        desk: &mut Desk,
        inner: Option<&mut Act>,
        own: Option<usize>,
        is_stop: bool,
        came: Vec<Request>,
        up: &mut Vec<Request>,
    ) {
        let mut inner = inner;
        for request in once_each(came) {
            let is_own = own.is_some_and(|id| request.target == Target::Frame(id));
            if !is_own && (!is_stop || desk.seen.contains(&request.number)) {
                // It goes past another one that waits here: that one is about to be outdone, or not.
                self.is_ambiguous |= desk.deferred.is_some();
                up.push(request);
                continue;
            }
            self.changes += 1;
            let before = desk.deferred.take();
            let is_known = before
                .as_ref()
                .is_some_and(|it| it.number == request.number);
            let has_stop = inner.as_mut().is_some_and(|inner| {
                if is_known {
                    inner.holds_up(request.number)
                } else {
                    self.bring(inner, &request)
                }
            });
            desk.deferred = meet(before, Some(request));
            if !has_stop {
                let request = desk.deferred.take().expect("just put there");
                desk.add_hit(request);
            }
        }
        self.note_outdone(desk);
        if let Some(request) = desk.deferred.take() {
            let has_stop = inner.is_some_and(|inner| {
                if self.swallowed.contains(&request.number) {
                    self.bring(inner, &request)
                } else {
                    inner.holds_up(request.number)
                }
            });
            if has_stop {
                desk.deferred = Some(request);
            } else {
                self.changes += 1;
                desk.add_hit(request);
            }
        }
    }

    /// Whether what was deferred here, and in hand further in, arrives before the code there has gone on, is a matter of
    /// order.
    fn note_outdone(&mut self, desk: &Desk) {
        let deferred = desk.deferred.as_ref();
        self.is_ambiguous |= deferred.is_some_and(|it| self.outdone.contains(&it.number));
    }

    /// What was at a frame that ends goes on outwards.
    fn pass_on(&mut self, left: impl IntoIterator<Item = Request>, up: &mut Vec<Request>) {
        let before = up.len();
        up.extend(left);
        self.has_passed_on |= up.len() > before;
    }

    fn take_hit(&mut self, task: usize, desk: &mut Desk) -> Option<Request> {
        let mut request = desk.hit.take()?;
        self.changes += 1;
        if self.is_void(task, &request) {
            return None;
        }
        request.is_delivered = true;
        Some(request)
    }

    // -- tasks --

    fn run(&mut self, task: usize) {
        self.steps += 1;
        self.has_passed_on = false;
        self.swallowed.clear();
        self.outdone.clear();
        let Some(mut act) = self.tasks[task].act.take() else {
            return;
        };
        let ended: Vec<_> = self.tasks.iter().map(|it| it.result.is_some()).collect();
        let state = &mut self.tasks[task];
        let waits = |request: &Request| act.holds_up_root(request.number, &ended);
        if let Some(request) = state.deferred.take_if(|it| !waits(it)) {
            state.ends = Some(request.is_delivered);
        }
        if state.is_aborted || state.ends.is_some() {
            self.drop_act(&mut act);
            return self.end(task, Ended::Cancelled, false);
        }
        let mut up = Vec::new();
        let polled = self.poll(task, &mut act, &mut up);
        let has_panicked = matches!(polled, Polled::Panicked(_));
        if let Polled::Pending = polled {
            self.arrive(task, &mut act, up);
            self.tasks[task].act = Some(act);
            return self.purge(task);
        }
        self.arrive(task, &mut Act::Done, up);
        self.purge(task);
        let group = self.tasks[task].group;
        match (group, &polled) {
            (Some(group), Polled::Ready(Err(id)))
                if self.groups[&group].kind != GroupKind::Scope =>
            {
                self.fail(group, Failure::Error(*id), Some(task));
            }
            (Some(group), Polled::Panicked(id)) => {
                self.fail(group, Failure::Panic(*id), Some(task));
            }
            _ => {}
        }
        let left = self.drop_act(&mut act);
        self.arrive(task, &mut Act::Done, left);
        let result = match polled {
            Polled::Panicked(id) if group.is_none() => Ended::Panicked(id),
            _ if self.tasks[task].ends.is_some() => Ended::Cancelled,
            Polled::Ready(outcome) => Ended::Returned(outcome),
            Polled::Panicked(id) => Ended::Panicked(id),
            Polled::Pending => unreachable!("handled above"),
        };
        self.end(task, result, !has_panicked);
    }

    /// Requests come to the root.
    fn arrive(&mut self, task: usize, act: &mut Act, came: Vec<Request>) {
        for request in once_each(came) {
            if request.target != Target::Task || self.is_void(task, &request) {
                continue; // Aimed at what is gone.
            }
            self.changes += 1;
            let before = self.tasks[task].deferred.take();
            let is_known = before
                .as_ref()
                .is_some_and(|it| it.number == request.number);
            let has_stop = if is_known {
                act.holds_up(request.number)
            } else {
                self.bring(act, &request)
            };
            let request = meet(before, Some(request));
            if has_stop {
                self.tasks[task].deferred = request;
            } else {
                self.tasks[task].ends = request.map(|it| it.is_delivered);
            }
        }
        if let Some(request) = self.tasks[task].deferred.take() {
            self.is_ambiguous |= self.outdone.contains(&request.number);
            let has_stop = if self.swallowed.contains(&request.number) {
                self.bring(act, &request)
            } else {
                act.holds_up(request.number)
            };
            if has_stop {
                self.tasks[task].deferred = Some(request);
            } else {
                self.changes += 1;
                self.tasks[task].ends = Some(request.is_delivered);
            }
        }
    }

    fn end(&mut self, task: usize, result: Ended, is_finished: bool) {
        let state = &mut self.tasks[task];
        state.result = Some(result);
        let (id, cancelling, group) = (state.id, state.cancels, state.group);
        let gone = Event::Gone {
            is_finished,
            cancelling,
        };
        self.add(id, gone);
        if let Some(group) = group {
            let group = self.groups.get_mut(&group).expect("it has begun");
            group.alive.retain(|it| *it != task);
            group.last_end = Some(self.now);
        }
    }

    fn fail(&mut self, group: usize, failure: Failure, member: Option<usize>) {
        let family = self.groups.get_mut(&group).expect("it has begun");
        family.failures.push(failure);
        self.end_group(group, "the group is ending", member);
    }

    fn end_group(&mut self, group: usize, reason: &str, spared: Option<usize>) {
        let family = self.groups.get_mut(&group).expect("it has begun");
        if family.is_ending || family.has_left {
            return;
        }
        family.is_ending = true;
        family.interrupts_body = true;
        for child in family.alive.clone() {
            if Some(child) != spared {
                self.cancel(child, reason);
            }
        }
    }

    /// Drops code where it is. Returns the requests that were in it.
    fn drop_act(&mut self, act: &mut Act) -> Vec<Request> {
        let act = std::mem::replace(act, Act::Done);
        let mut left = Vec::new();
        match act {
            Act::Start(_) | Act::Pending | Act::Quiet | Act::Sleep(_) | Act::Done => {}
            Act::Seq(mut current, _) => left.extend(self.drop_act(&mut current)),
            Act::Both(mut one, mut other, _) => {
                left.extend(self.drop_act(&mut one));
                left.extend(self.drop_act(&mut other));
            }
            Act::Timeout { mut body, .. } => left.extend(self.drop_act(&mut body)),
            Act::Scope {
                id,
                mut desk,
                mut body,
                ..
            } => {
                self.scopes.get_mut(&id).expect("it has begun").state = ScopeState::Left;
                left.extend(self.drop_act(&mut body));
                left.extend(desk.clear());
            }
            Act::Catch {
                mut desk, mut body, ..
            } => {
                left.extend(self.drop_act(&mut body));
                left.extend(desk.clear());
            }
            Act::Caught {
                id,
                mut numbers,
                mut cleanup,
                ..
            } => {
                self.outdone.append(&mut numbers);
                left.extend(self.drop_act(&mut cleanup));
                self.add(id, Event::CleanupDropped);
            }
            Act::Finally {
                id,
                mut desk,
                mut inner,
                cleanup,
                ..
            } => {
                left.extend(self.drop_act(&mut inner));
                left.extend(desk.clear());
                if cleanup.is_none() {
                    self.add(id, Event::CleanupDropped);
                }
            }
            Act::Group {
                id,
                mut desk,
                mut body,
                ..
            } => {
                if let Some(body) = &mut body {
                    left.extend(self.drop_act(body));
                }
                left.extend(desk.clear());
                self.leave_group(id);
            }
            Act::Await { mut desk, task, .. } => {
                if self.is_answered(task) {
                    desk.held = None;
                }
                left.extend(desk.clear());
            }
        }
        left
    }

    /// A group is dropped before its end.
    fn leave_group(&mut self, id: usize) {
        let family = self.groups.get_mut(&id).expect("it has begun");
        family.has_left = true;
        let (kind, alive) = (family.kind, family.alive.clone());
        for child in alive {
            if kind == GroupKind::Tasks {
                self.tasks[child].is_aborted = true;
            } else if let Some(mut act) = self.tasks[child].act.take() {
                self.drop_act(&mut act);
                self.end(child, Ended::Cancelled, false);
            }
        }
    }

    // -- code --

    fn begin(&mut self, code: Code) -> Act {
        self.changes += 1;
        let is_stop = matches!(
            code,
            Code::Catch { .. }
                | Code::Finally { .. }
                | Code::Group { .. }
                | Code::Await { .. }
                | Code::Scope {
                    is_shielded: true,
                    ..
                }
        );
        // Whether it draws in what was passed on in this very step depends on what else there is further out.
        self.is_ambiguous |= is_stop && self.has_passed_on;
        let start = |code: Box<Code>| Box::new(Act::Start(*code));
        let desk = Desk::default();
        match code {
            Code::Ready | Code::Fail(_) | Code::Panic(_) => unreachable!("needs no act"),
            Code::Pending => Act::Pending,
            Code::Sleep(ms) => Act::Sleep(self.now + ms),
            Code::Seq(parts) => {
                let mut parts = VecDeque::from(parts);
                let first = parts.pop_front().expect("has parts");
                Act::Seq(Box::new(Act::Start(first)), parts)
            }
            Code::Both(one, other) => Act::Both(start(one), start(other), [None, None]),
            Code::Timeout { id, after, body } => Act::Timeout {
                id,
                is_silent: false,
                deadline: self.now + after,
                has_expired: false,
                desk,
                body: start(body),
            },
            Code::Scope {
                id,
                is_shielded,
                body,
                ..
            } => {
                let now = self.now;
                let state = self.scopes.get_mut(&id).expect("made before");
                state.state = ScopeState::Entered;
                if let Some(after) = state.after.take() {
                    state.deadline = Some(now + after);
                }
                state.is_overdue = state.deadline.is_some_and(|at| at <= now);
                // Whether tasks in it begin before it is noticed is a matter of order.
                self.is_ambiguous |= state.is_overdue && body.has_tasks();
                Act::Scope {
                    id,
                    is_shielded,
                    desk,
                    body: start(body),
                }
            }
            Code::Catch {
                id,
                body,
                cleanup,
                then,
            } => Act::Catch {
                id,
                desk,
                body: start(body),
                cleanup: *cleanup,
                then,
            },
            Code::Finally {
                id,
                body,
                cleanup,
                grace,
            } => Act::Finally {
                id,
                desk,
                inner: start(body),
                cleanup: Some((*cleanup, grace)),
                result: None,
            },
            Code::Group {
                id,
                kind,
                children,
                awaits,
                body,
                propagates,
            } => {
                let group = ModelGroup {
                    kind,
                    alive: Vec::new(),
                    last_end: None,
                    failures: Vec::new(),
                    is_ending: false,
                    has_left: false,
                    interrupts_body: false,
                };
                self.groups.insert(id, group);
                let count = children.len();
                let alive: Vec<_> = children
                    .into_iter()
                    .map(|(child, code)| self.spawn(child, code, Some(id)))
                    .collect();
                let mut first = *body;
                let mut rest = VecDeque::new();
                let body = match awaits {
                    None => Act::Start(first),
                    Some(awaited) => {
                        let waits = Act::Await {
                            id,
                            desk: Desk::default(),
                            is_shielded: false,
                            task: alive[awaited],
                        };
                        rest.push_back(std::mem::replace(&mut first, Code::Ready));
                        Act::Seq(Box::new(waits), rest)
                    }
                };
                self.groups.get_mut(&id).expect("just made").alive = alive;
                Act::Group {
                    id,
                    desk,
                    body: Some(Box::new(body)),
                    result: None,
                    propagates,
                    count,
                }
            }
            Code::Await {
                id,
                is_shielded,
                code,
            } => Act::Await {
                id,
                desk,
                is_shielded,
                task: self.spawn(id, *code, None),
            },
        }
    }

    fn poll(&mut self, task: usize, act: &mut Act, up: &mut Vec<Request>) -> Polled {
        if let Act::Start(code) = act {
            match code {
                Code::Ready => {
                    *act = Act::Done;
                    return Polled::Ready(Ok(()));
                }
                Code::Fail(id) => {
                    let id = *id;
                    *act = Act::Done;
                    return Polled::Ready(Err(id));
                }
                Code::Panic(id) => return Polled::Panicked(*id),
                code => {
                    let code = code.clone();
                    *act = self.begin(code);
                }
            }
        }
        match act {
            Act::Start(_) | Act::Done => unreachable!("begun, and not polled after its end"),
            Act::Pending | Act::Quiet => Polled::Pending,
            Act::Sleep(until) if self.now < *until => Polled::Pending,
            Act::Sleep(_) => {
                self.changes += 1;
                *act = Act::Done;
                Polled::Ready(Ok(()))
            }
            Act::Seq(current, rest) => loop {
                match self.poll(task, current, up) {
                    Polled::Ready(Ok(())) => match rest.pop_front() {
                        Some(next) => **current = Act::Start(next),
                        None => return Polled::Ready(Ok(())),
                    },
                    other => return other,
                }
            },
            Act::Both(one, other, results) => {
                for (part, result) in [one, other].into_iter().zip(results.iter_mut()) {
                    if result.is_some() {
                        continue;
                    }
                    match self.poll(task, part, up) {
                        Polled::Pending => {}
                        Polled::Panicked(id) => return Polled::Panicked(id),
                        Polled::Ready(outcome) => *result = Some(outcome),
                    }
                }
                match results {
                    [Some(one), Some(other)] => Polled::Ready(one.and(*other)),
                    _ => Polled::Pending,
                }
            }
            Act::Timeout { .. } => self.poll_timeout(task, act, up),
            Act::Scope { .. } => self.poll_scope(task, act, up),
            Act::Catch { .. } | Act::Caught { .. } => self.poll_catch(task, act, up),
            Act::Finally { .. } => self.poll_finally(task, act, up),
            Act::Group { .. } => self.poll_group(task, act, up),
            Act::Await { .. } => self.poll_await(act, up),
        }
    }

    fn poll_timeout(&mut self, task: usize, act: &mut Act, up: &mut Vec<Request>) -> Polled {
        let Act::Timeout {
            id,
            is_silent,
            deadline,
            has_expired,
            desk,
            body,
        } = act
        else {
            unreachable!()
        };
        loop {
            if desk.hit.take().is_some() {
                break;
            }
            let mut came = Vec::new();
            match self.poll(task, body, &mut came) {
                Polled::Pending => {}
                Polled::Panicked(panic) => {
                    up.extend(beyond(*id, came));
                    return Polled::Panicked(panic);
                }
                Polled::Ready(outcome) => {
                    self.note_outdone(desk);
                    up.extend(beyond(*id, came));
                    if !*is_silent {
                        self.add(*id, left_with(outcome));
                    }
                    *act = Act::Done;
                    return Polled::Ready(outcome);
                }
            }
            self.route(desk, Some(body), Some(*id), false, came, up);
            if !*has_expired && self.now >= *deadline {
                *has_expired = true;
                let request = self.request(Target::Frame(*id), "a deadline has elapsed");
                if !self.deliver(body, &request, &[]) {
                    break;
                }
            }
            if desk.hit.is_none() {
                return Polled::Pending;
            }
        }
        up.extend(beyond(*id, self.drop_act(body)));
        let is_silent = *is_silent;
        if !is_silent {
            self.add(*id, Event::Elapsed);
        }
        *act = Act::Done;
        Polled::Ready(if is_silent { Err(CUT_SHORT) } else { Ok(()) })
    }

    fn poll_scope(&mut self, task: usize, act: &mut Act, up: &mut Vec<Request>) -> Polled {
        let Act::Scope {
            id,
            is_shielded,
            desk,
            body,
        } = act
        else {
            unreachable!()
        };
        let id = *id;
        // Cancelled before it was entered: the body never begins.
        let never_begins = self.scopes[&id].is_pending && matches!(**body, Act::Start(_));
        loop {
            if never_begins {
                break;
            }
            if std::mem::take(&mut self.scopes.get_mut(&id).expect("made before").is_pending) {
                let reason = self.scopes[&id].reason.clone().expect("it was asked");
                let request = self.request(Target::Frame(id), &reason);
                if !self.deliver(body, &request, &[]) {
                    desk.add_hit(request);
                }
            }
            if desk.hit.take().is_some() {
                break;
            }
            let mut came = Vec::new();
            match self.poll(task, body, &mut came) {
                Polled::Pending => {}
                Polled::Panicked(panic) => {
                    up.extend(beyond(id, came));
                    return Polled::Panicked(panic);
                }
                Polled::Ready(outcome) => {
                    self.note_outdone(desk);
                    up.extend(beyond(id, came));
                    self.pass_on(desk.held.take(), up);
                    self.add(id, left_with(outcome));
                    self.scopes.get_mut(&id).expect("made before").state = ScopeState::Left;
                    *act = Act::Done;
                    return Polled::Ready(outcome);
                }
            }
            self.route(desk, Some(body), Some(id), *is_shielded, came, up);
            let now = self.now;
            let state = self.scopes.get_mut(&id).expect("made before");
            if !state.has_expired
                && (state.is_overdue || state.deadline.is_some_and(|at| at <= now))
            {
                state.has_expired = true;
                state.reason = Some("a deadline has elapsed".to_owned());
                state.is_pending = true;
                self.changes += 1;
            }
            if !self.scopes[&id].is_pending && desk.hit.is_none() {
                return Polled::Pending;
            }
        }
        up.extend(beyond(id, self.drop_act(body)));
        self.pass_on(desk.held.take(), up);
        let state = self.scopes.get_mut(&id).expect("made before");
        state.state = ScopeState::Left;
        let reason = state.reason.clone().expect("it was asked");
        self.add(id, Event::Cancelled(reason));
        *act = Act::Done;
        Polled::Ready(Ok(()))
    }

    fn poll_catch(&mut self, task: usize, act: &mut Act, up: &mut Vec<Request>) -> Polled {
        if let Act::Catch {
            id,
            desk,
            body,
            cleanup,
            then,
        } = act
        {
            let request = loop {
                if let Some(request) = self.take_hit(task, desk) {
                    break request;
                }
                let mut came = Vec::new();
                match self.poll(task, body, &mut came) {
                    Polled::Pending => {}
                    Polled::Panicked(id) => {
                        self.route(desk, None, None, true, came, up);
                        return Polled::Panicked(id);
                    }
                    Polled::Ready(outcome) => {
                        self.route(desk, None, None, true, came, up);
                        self.pass_on(desk.clear(), up);
                        *act = Act::Done;
                        return Polled::Ready(outcome);
                    }
                }
                self.route(desk, Some(body), None, true, came, up);
                if desk.hit.is_none() {
                    return Polled::Pending;
                }
            };
            let numbers = desk.seen.clone();
            let left = beyond(*id, self.drop_act(body)).collect();
            self.route(desk, None, None, true, left, up);
            self.pass_on(desk.clear(), up);
            let (id, then) = (*id, *then);
            let cleanup = Box::new(Act::Start(cleanup.clone()));
            self.add(id, Event::Caught(request.reason.clone()));
            self.add(id, Event::CleanupBegins);
            *act = Act::Caught {
                id,
                request,
                numbers,
                cleanup,
                then,
            };
        }
        let Act::Caught {
            id,
            request,
            numbers,
            cleanup,
            then,
        } = act
        else {
            unreachable!()
        };
        match self.poll(task, cleanup, up) {
            Polled::Pending => return Polled::Pending,
            Polled::Panicked(id) => return Polled::Panicked(id),
            Polled::Ready(_) => {}
        }
        self.add(*id, Event::CleanupEnds);
        let (request, then) = (request.clone(), *then);
        self.swallowed.append(numbers);
        *act = Act::Done;
        match then {
            Then::Resume => {
                *act = Act::Quiet;
                up.push(request);
                self.has_passed_on = true;
                return Polled::Pending;
            }
            Then::Forgive if request.target == Target::Task => {
                // Whether a task that is awaited has ended before that is a matter of order.
                self.is_ambiguous |= self.tasks[task].asked_at == Some(self.now)
                    && self.tasks.iter().any(|it| it.asked_by == Some(task));
                self.uncancel(task);
            }
            Then::Forgive | Then::Swallow => {}
        }
        Polled::Ready(Ok(()))
    }

    fn poll_finally(&mut self, task: usize, act: &mut Act, up: &mut Vec<Request>) -> Polled {
        let Act::Finally {
            id,
            desk,
            inner,
            cleanup,
            result,
        } = act
        else {
            unreachable!()
        };
        while cleanup.is_some() {
            let ended = if let Some(request) = self.take_hit(task, desk) {
                desk.held = meet(desk.held.take(), Some(request));
                Ended::Cancelled
            } else {
                let mut came = Vec::new();
                let polled = self.poll(task, inner, &mut came);
                let is_pending = matches!(polled, Polled::Pending);
                let body = is_pending.then_some(&mut **inner);
                self.route(desk, body, None, true, came, up);
                match polled {
                    Polled::Ready(outcome) => Ended::Returned(outcome),
                    Polled::Panicked(id) => Ended::Panicked(id),
                    Polled::Pending if desk.hit.is_some() => continue,
                    Polled::Pending => return Polled::Pending,
                }
            };
            *result = Some(ended);
            let left = beyond(*id, self.drop_act(inner)).collect();
            self.route(desk, None, None, true, left, up);
            if let Some(request) = self.take_hit(task, desk) {
                desk.held = meet(desk.held.take(), Some(request));
            }
            let (code, grace) = cleanup.take().expect("just looked at");
            **inner = match grace {
                None => Act::Start(code),
                Some((id, grace)) => Act::Timeout {
                    id,
                    is_silent: true,
                    deadline: self.now + grace,
                    has_expired: false,
                    desk: Desk::default(),
                    body: Box::new(Act::Start(code)),
                },
            };
            self.add(*id, Event::CleanupBegins);
        }
        loop {
            if let Some(request) = self.take_hit(task, desk) {
                desk.held = meet(desk.held.take(), Some(request));
                let left = beyond(*id, self.drop_act(inner)).collect();
                self.route(desk, None, None, true, left, up);
                self.add(*id, Event::CleanupDropped);
                break;
            }
            let mut came = Vec::new();
            let polled = self.poll(task, inner, &mut came);
            let is_pending = matches!(polled, Polled::Pending);
            let code = is_pending.then_some(&mut **inner);
            self.route(desk, code, None, true, came, up);
            match polled {
                Polled::Panicked(id) => return Polled::Panicked(id),
                Polled::Ready(outcome) => {
                    let event = match outcome {
                        Err(CUT_SHORT) => Event::CleanupDropped,
                        _ => Event::CleanupEnds,
                    };
                    self.add(*id, event);
                    break;
                }
                Polled::Pending if desk.hit.is_none() => return Polled::Pending,
                Polled::Pending => {}
            }
        }
        self.pass_on(desk.clear(), up);
        let result = result.take().expect("the body is gone");
        *act = Act::Quiet;
        match result {
            Ended::Returned(outcome) => Polled::Ready(outcome),
            Ended::Panicked(id) => Polled::Panicked(id),
            Ended::Cancelled | Ended::Interrupted => Polled::Pending,
        }
    }

    fn poll_group(&mut self, task: usize, act: &mut Act, up: &mut Vec<Request>) -> Polled {
        let Act::Group {
            id,
            desk,
            body,
            result,
            propagates,
            count,
        } = act
        else {
            unreachable!()
        };
        let id = *id;
        let kind = self.groups[&id].kind;
        loop {
            if let Some(request) = self.take_hit(task, desk) {
                if request.target == Target::Frame(id) {
                    result.get_or_insert(Ended::Interrupted);
                } else {
                    result.get_or_insert(Ended::Cancelled);
                    let reason = request.reason.clone();
                    desk.held = meet(desk.held.take(), Some(request));
                    if self.groups[&id].is_ending {
                        // Whether the children that ended just now had ended before this is a matter of order.
                        self.is_ambiguous |= self.groups[&id].last_end == Some(self.now);
                        for child in self.groups[&id].alive.clone() {
                            self.cancel(child, &reason);
                        }
                    } else {
                        self.end_group(id, &reason, None);
                    }
                }
                if let Some(mut body) = body.take() {
                    let left = beyond(id + 1, self.drop_act(&mut body)).collect();
                    self.route(desk, None, Some(id), true, left, up);
                }
            }
            let family = self.groups.get_mut(&id).expect("it has begun");
            if std::mem::take(&mut family.interrupts_body)
                && let Some(body) = body
            {
                let children = family.alive.clone();
                let request = self.request(Target::Frame(id), "the group is ending");
                if !self.deliver(body, &request, &children) {
                    desk.add_hit(request);
                    continue;
                }
            }
            if let Some(inner) = body {
                let mut came = Vec::new();
                let polled = self.poll(task, inner, &mut came);
                let is_pending = matches!(polled, Polled::Pending);
                let code = is_pending.then_some(&mut **inner);
                self.route(desk, code, Some(id), true, came, up);
                let ended = match polled {
                    Polled::Pending => None,
                    Polled::Ready(Ok(())) => Some(Ended::Returned(Ok(()))),
                    Polled::Ready(Err(error)) if kind == GroupKind::Scope => {
                        Some(Ended::Returned(Err(error)))
                    }
                    Polled::Ready(Err(error)) => {
                        self.fail(id, Failure::Error(error), None);
                        Some(Ended::Interrupted)
                    }
                    Polled::Panicked(panic) => {
                        self.end_group(id, "the group is ending", None);
                        Some(Ended::Panicked(panic))
                    }
                };
                if let Some(ended) = ended {
                    result.get_or_insert(ended);
                    let left = beyond(id + 1, self.drop_act(inner)).collect();
                    self.route(desk, None, Some(id), true, left, up);
                    *body = None;
                    let family = self.groups.get_mut(&id).expect("it has begun");
                    family.interrupts_body = false;
                }
            }
            let family = &self.groups[&id];
            if body.is_none() && family.alive.is_empty() {
                break;
            }
            if desk.hit.is_none() && !(family.interrupts_body && body.is_some()) {
                return Polled::Pending;
            }
        }
        let family = self.groups.get_mut(&id).expect("it has begun");
        family.has_left = true;
        let mut failures = std::mem::take(&mut family.failures);
        let was_cancelled = desk.held.is_some();
        self.pass_on(beyond(id, desk.clear()), up);
        let result = result.take().expect("the body is gone");
        let (propagates, count) = (*propagates, *count);
        *act = Act::Done;
        if let Ended::Panicked(panic) = result {
            return Polled::Panicked(panic);
        }
        let first = failures.first().copied();
        failures.sort();
        let (event, outcome) = match (first, result) {
            (Some(Failure::Panic(panic)), _) if kind == GroupKind::Scope => {
                return Polled::Panicked(panic);
            }
            (Some(first), _) => (
                Event::GroupFailed(first, failures),
                if propagates { Err(id) } else { Ok(()) },
            ),
            _ if was_cancelled => {
                *act = Act::Quiet;
                return Polled::Pending;
            }
            (None, Ended::Returned(outcome)) => (left_with(outcome), outcome),
            _ => (Event::Cancelled(String::new()), Ok(())),
        };
        self.add(id, event);
        if kind != GroupKind::Tasks {
            self.add(id, Event::Borrowed(count));
        }
        Polled::Ready(outcome)
    }

    /// Whether a task has ended with something for whoever awaits it. What a child of a group fails with is for the
    /// group.
    fn is_answered(&self, task: usize) -> bool {
        let task = &self.tasks[task];
        let kind = task.group.map(|group| self.groups[&group].kind);
        match (&task.result, kind) {
            (None | Some(Ended::Cancelled | Ended::Interrupted), _) => false,
            (Some(Ended::Panicked(_)), kind) => kind.is_none(),
            (Some(Ended::Returned(Err(_))), kind) => matches!(kind, None | Some(GroupKind::Scope)),
            (Some(Ended::Returned(Ok(()))), _) => true,
        }
    }

    fn poll_await(&mut self, act: &mut Act, up: &mut Vec<Request>) -> Polled {
        let Act::Await { id, desk, task, .. } = act else {
            unreachable!()
        };
        let child = &self.tasks[*task];
        let Some(result) = child.result.clone() else {
            return Polled::Pending;
        };
        // Whether the child has answered before the body is asked is a matter of order.
        self.is_ambiguous |= desk.spared_at == Some(self.now);
        if self.is_answered(*task) && desk.held.take().is_some() {
            self.swallowed.append(&mut desk.seen);
        }
        let left = desk.clear();
        if let Some(mut request) = left {
            self.changes += 1;
            // The code that awaits goes no further.
            request.is_delivered = true;
            self.pass_on([request], up);
            *act = Act::Quiet;
            return Polled::Pending;
        }
        let kind = child.group.map(|group| self.groups[&group].kind);
        let how = match (result, kind) {
            (Ended::Cancelled | Ended::Interrupted, _) => "cancelled",
            (Ended::Panicked(_), None) => "panicked",
            (Ended::Panicked(_), Some(_)) => "failed",
            (Ended::Returned(Err(_)), None | Some(GroupKind::Scope)) => "error",
            (Ended::Returned(Err(_)), Some(_)) => "failed",
            (Ended::Returned(Ok(())), _) => "value",
        };
        self.add(*id, Event::Joined(how));
        *act = Act::Done;
        Polled::Ready(Ok(()))
    }

    // -- the whole --

    fn settle(&mut self) {
        let mut quiet_passes = 0;
        let mut passes = 0;
        while quiet_passes < 3 {
            let before = self.changes;
            let mut task = 0;
            while task < self.tasks.len() {
                self.run(task);
                task += 1;
            }
            quiet_passes = if self.changes == before {
                quiet_passes + 1
            } else {
                0
            };
            passes += 1;
            assert!(passes < 10_000, "the model does not come to rest");
        }
    }

    fn apply(&mut self, action: Action) {
        let task = |id: usize| self.by_id.get(&id).copied();
        match action {
            Action::Cancel(id) => {
                if let Some(task) = task(id) {
                    self.cancel(task, "outside");
                }
            }
            Action::CancelTwice(id) => {
                if let Some(task) = task(id) {
                    self.is_in_one_go = true;
                    self.cancel(task, "outside");
                    self.cancel(task, "outside, again");
                    self.is_in_one_go = false;
                }
            }
            Action::CancelAndTakeBack(id) => {
                if let Some(task) = task(id) {
                    self.cancel(task, "outside");
                    self.uncancel(task);
                }
            }
            Action::Uncancel(id) => {
                if let Some(task) = task(id) {
                    self.uncancel(task);
                }
            }
            Action::Abort(id) => {
                if let Some(task) = task(id) {
                    self.tasks[task].is_aborted = true;
                }
            }
            Action::CancelScope(id) => {
                let scope = self.scopes.get_mut(&id).expect("made before");
                if scope.state != ScopeState::Left {
                    scope.reason = Some("outside".to_owned());
                    scope.is_pending = true;
                }
            }
            Action::Reschedule(id, after) => {
                let (now, at) = (self.now, self.now + after);
                let scope = self.scopes.get_mut(&id).expect("made before");
                if scope.state != ScopeState::Left && !scope.has_expired {
                    scope.deadline = Some(at);
                    scope.after = None;
                    scope.is_overdue = scope.state == ScopeState::Entered && at <= now;
                }
            }
            Action::CancelGroup(id) => {
                if self.groups.contains_key(&id) {
                    self.end_group(id, "outside", None);
                }
            }
        }
    }

    /// When something happens next by itself.
    fn next_times(&self) -> Vec<u64> {
        let mut times = Vec::new();
        for task in &self.tasks {
            if let Some(act) = &task.act {
                act.times(self, &mut times);
            }
        }
        times
    }

    fn play(program: &Program) -> Model {
        let mut model = Model::default();
        for (_, code) in &program.tasks {
            model.prepare(code);
        }
        for (id, code) in &program.tasks {
            model.spawn(*id, code.clone(), None);
        }
        model.settle();
        let mut actions = VecDeque::from(program.actions.clone());
        loop {
            let mut times = model.next_times();
            times.extend(actions.front().map(|(at, _)| *at));
            times.sort_unstable();
            let Some(next) = times.first().copied() else {
                return model;
            };
            let later = actions.get(1).map(|(at, _)| *at);
            if times.get(1) == Some(&next) || later == Some(next) {
                model.is_ambiguous = true;
            }
            model.now = next;
            if let Some((at, action)) = actions.front().copied()
                && at == next
            {
                actions.pop_front();
                model.apply(action);
            }
            model.settle();
        }
    }

    /// Makes the hand-made scopes, which are there from the start.
    fn prepare(&mut self, code: &Code) {
        if let Code::Scope { id, after, .. } = code {
            let scope = ModelScope {
                state: ScopeState::Fresh,
                after: *after,
                deadline: None,
                is_overdue: false,
                has_expired: false,
                is_pending: false,
                reason: None,
            };
            self.scopes.insert(*id, scope);
        }
        for part in code.parts() {
            self.prepare(part);
        }
    }
}

fn left_with(outcome: Outcome) -> Event {
    match outcome {
        Ok(()) => Event::Value,
        Err(_) => Event::Failed,
    }
}

impl Act {
    fn inner(&self) -> Vec<&Act> {
        match self {
            Act::Start(_) | Act::Pending | Act::Quiet | Act::Sleep(_) | Act::Done => vec![],
            Act::Await { .. } => vec![],
            Act::Seq(current, _) => vec![current],
            Act::Both(one, other, _) => vec![one, other],
            Act::Timeout { body, .. } | Act::Scope { body, .. } | Act::Catch { body, .. } => {
                vec![body]
            }
            Act::Caught { cleanup, .. } => vec![cleanup],
            Act::Finally { inner, .. } => vec![inner],
            Act::Group { body, .. } => body.iter().map(|body| &**body).collect(),
        }
    }

    /// Whether a request waits at the root for what is in here. Of awaited tasks the root knows by itself when they
    /// have ended.
    fn holds_up_root(&self, number: u64, ended: &[bool]) -> bool {
        match self {
            Act::Await { task, .. } if ended[*task] => false,
            Act::Seq(..) | Act::Both(..) => self
                .inner()
                .into_iter()
                .any(|inner| inner.holds_up_root(number, ended)),
            _ => self.holds_up(number),
        }
    }

    /// Whether a request waits for what is in here.
    fn holds_up(&self, number: u64) -> bool {
        match self {
            Act::Catch { .. } | Act::Finally { .. } | Act::Group { .. } => true,
            Act::Scope { is_shielded, .. } if *is_shielded => true,
            Act::Await { is_shielded, .. } => !is_shielded,
            Act::Caught { numbers, .. } if numbers.contains(&number) => true,
            _ => self.inner().into_iter().any(|inner| inner.holds_up(number)),
        }
    }

    fn purge(&mut self) {
        match self {
            Act::Start(_) | Act::Pending | Act::Quiet | Act::Sleep(_) | Act::Done => {}
            Act::Seq(current, _) => current.purge(),
            Act::Both(one, other, _) => {
                one.purge();
                other.purge();
            }
            Act::Caught { cleanup, .. } => cleanup.purge(),
            Act::Await { desk, .. } => desk.purge(),
            Act::Timeout { desk, body, .. }
            | Act::Scope { desk, body, .. }
            | Act::Catch { desk, body, .. }
            | Act::Finally {
                desk, inner: body, ..
            } => {
                desk.purge();
                body.purge();
            }
            Act::Group { desk, body, .. } => {
                desk.purge();
                if let Some(body) = body {
                    body.purge();
                }
            }
        }
    }

    fn times(&self, model: &Model, times: &mut Vec<u64>) {
        match self {
            Act::Sleep(until) => times.push(*until),
            Act::Timeout {
                deadline,
                has_expired: false,
                ..
            } => times.push(*deadline),
            Act::Scope { id, .. } if !model.scopes[id].has_expired => {
                times.extend(model.scopes[id].deadline);
            }
            _ => {}
        }
        for inner in self.inner() {
            inner.times(model, times);
        }
    }
}

impl Code {
    fn parts(&self) -> Vec<&Code> {
        match self {
            Code::Ready | Code::Pending | Code::Sleep(_) | Code::Fail(_) | Code::Panic(_) => {
                vec![]
            }
            Code::Seq(parts) => parts.iter().collect(),
            Code::Both(one, other) => vec![one, other],
            Code::Timeout { body, .. } | Code::Scope { body, .. } => vec![body],
            Code::Catch { body, cleanup, .. } | Code::Finally { body, cleanup, .. } => {
                vec![body, cleanup]
            }
            Code::Group { body, children, .. } => {
                let children = children.iter().map(|(_, code)| code);
                std::iter::once(&**body).chain(children).collect()
            }
            Code::Await { code, .. } => vec![code],
        }
    }

    fn has_tasks(&self) -> bool {
        matches!(self, Code::Group { .. } | Code::Await { .. })
            || self.parts().into_iter().any(Code::has_tasks)
    }

    fn parts_mut(&mut self) -> Vec<&mut Code> {
        match self {
            Code::Ready | Code::Pending | Code::Sleep(_) | Code::Fail(_) | Code::Panic(_) => {
                vec![]
            }
            Code::Seq(parts) => parts.iter_mut().collect(),
            Code::Both(one, other) => vec![one, other],
            Code::Timeout { body, .. } | Code::Scope { body, .. } => vec![body],
            Code::Catch { body, cleanup, .. } | Code::Finally { body, cleanup, .. } => {
                vec![body, cleanup]
            }
            Code::Group { body, children, .. } => {
                let children = children.iter_mut().map(|(_, code)| code);
                std::iter::once(&mut **body).chain(children).collect()
            }
            Code::Await { code, .. } => vec![code],
        }
    }
}

// ---- the real thing ----

struct World {
    start: Instant,
    trace: RefCell<Trace>,
    tasks: RefCell<HashMap<usize, Task>>,
    scopes: RefCell<HashMap<usize, CancelScope>>,
    groups: RefCell<HashMap<usize, TaskGroup<usize>>>,
}

type Boxed = Pin<Box<dyn Future<Output = Outcome>>>;

impl World {
    fn add(&self, id: usize, event: Event) {
        let now = (Instant::now() - self.start).as_millis() as u64;
        self.trace
            .borrow_mut()
            .entry(id)
            .or_default()
            .push((now, event));
    }

    fn prepare(&self, code: &Code) {
        if let Code::Scope {
            id,
            after,
            is_shielded,
            ..
        } = code
        {
            let mut scope = CancelScope::new();
            if let Some(after) = after {
                scope = scope.timeout(Duration::from_millis(*after));
            }
            if *is_shielded {
                scope = scope.shielded();
            }
            self.scopes.borrow_mut().insert(*id, scope);
        }
        for part in code.parts() {
            self.prepare(part);
        }
    }

    fn apply(&self, action: Action) {
        let task = |id: usize| self.tasks.borrow().get(&id).cloned();
        match action {
            Action::Cancel(id) => {
                if let Some(task) = task(id) {
                    task.cancel_with("outside");
                }
            }
            Action::CancelTwice(id) => {
                if let Some(task) = task(id) {
                    task.cancel_with("outside");
                    task.cancel_with("outside, again");
                }
            }
            Action::CancelAndTakeBack(id) => {
                if let Some(task) = task(id) {
                    task.cancel_with("outside");
                    task.uncancel();
                }
            }
            Action::Uncancel(id) => {
                if let Some(task) = task(id) {
                    task.uncancel();
                }
            }
            Action::Abort(id) => {
                if let Some(task) = task(id) {
                    task.abort();
                }
            }
            Action::CancelScope(id) => {
                self.scopes.borrow()[&id].cancel_with("outside");
            }
            Action::Reschedule(id, after) => {
                let at = Instant::now() + Duration::from_millis(after);
                self.scopes.borrow()[&id].reschedule(at);
            }
            Action::CancelGroup(id) => {
                let group = self.groups.borrow().get(&id).cloned();
                if let Some(group) = group {
                    group.cancel_with("outside");
                }
            }
        }
    }
}

/// Says when a task's future is gone.
struct Gone {
    world: Rc<World>,
    id: usize,
    is_finished: bool,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let gone = Event::Gone {
            is_finished: self.is_finished,
            cancelling: task::current().cancelling(),
        };
        self.world.add(self.id, gone);
    }
}

/// Says whether a clean-up was finished.
struct Cleanup {
    world: Rc<World>,
    id: usize,
    is_finished: bool,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let event = if self.is_finished {
            Event::CleanupEnds
        } else {
            Event::CleanupDropped
        };
        self.world.add(self.id, event);
    }
}

async fn clean_up(world: Rc<World>, id: usize, code: Code) {
    world.add(id, Event::CleanupBegins);
    let mut guard = Cleanup {
        world: Rc::clone(&world),
        id,
        is_finished: false,
    };
    let _ = build(&world, code).await;
    guard.is_finished = true;
}

/// What a task runs.
fn whole(world: &Rc<World>, id: usize, code: Code) -> impl Future<Output = Outcome> + 'static {
    let guard = Gone {
        world: Rc::clone(world),
        id,
        is_finished: false,
    };
    let code = build(world, code);
    async move {
        let mut guard = guard;
        let outcome = code.await;
        guard.is_finished = true;
        outcome
    }
}

async fn both(mut one: Boxed, mut other: Boxed) -> Outcome {
    let mut outcomes = [None, None];
    poll_fn(|cx| {
        for (part, outcome) in [&mut one, &mut other].into_iter().zip(&mut outcomes) {
            if outcome.is_none()
                && let Poll::Ready(value) = part.as_mut().poll(cx)
            {
                *outcome = Some(value);
            }
        }
        match outcomes {
            [Some(one), Some(other)] => Poll::Ready(one.and(other)),
            _ => Poll::Pending,
        }
    })
    .await
}

fn how(result: Result<Outcome, JoinError>) -> &'static str {
    match result {
        Ok(Ok(())) => "value",
        Ok(Err(_)) => "error",
        Err(error) if error.is_cancelled() => "cancelled",
        Err(error) if error.is_failed() => "failed",
        Err(_) => "panicked",
    }
}

/// Drops that borrow from the code around a scope.
struct Borrows<'a>(&'a Cell<usize>);

impl Drop for Borrows<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn number_of(payload: &(dyn Any + Send)) -> usize {
    *payload.downcast_ref::<usize>().expect("a scripted panic")
}

/// Takes note of what came of a group.
fn leave(
    world: &World,
    id: usize,
    propagates: bool,
    result: Result<(), GroupError<usize>>,
) -> Outcome {
    let Err(error) = result else {
        world.add(id, Event::Value);
        return Ok(());
    };
    if error.is_cancelled() {
        world.add(id, Event::Cancelled(String::new()));
        return Ok(());
    }
    let mut failures: Vec<_> = error
        .into_failures()
        .into_iter()
        .map(|failure| match failure.into_cause() {
            tulipa::task::FailureCause::Error(id) => Failure::Error(id),
            tulipa::task::FailureCause::Panicked(payload) => Failure::Panic(number_of(&*payload)),
            other => unreachable!("{other:?}"),
        })
        .collect();
    let first = failures[0];
    failures.sort();
    world.add(id, Event::GroupFailed(first, failures));
    if propagates { Err(id) } else { Ok(()) }
}

async fn run_group(world: Rc<World>, code: Code) -> Outcome {
    let Code::Group {
        id,
        kind,
        children,
        awaits,
        body,
        propagates,
    } = code
    else {
        unreachable!()
    };
    let count = Cell::new(0);
    let result = match kind {
        GroupKind::Tasks => {
            let inside = Rc::clone(&world);
            let result = task_group(async move |group| {
                inside.groups.borrow_mut().insert(id, group.clone());
                let mut awaited = None;
                for (index, (child, code)) in children.into_iter().enumerate() {
                    let handle = group.spawn(whole(&inside, child, code));
                    inside.tasks.borrow_mut().insert(child, handle.task());
                    if awaits == Some(index) {
                        awaited = Some(handle);
                    }
                }
                if let Some(handle) = awaited {
                    let result = handle.await;
                    inside.add(id, Event::Joined(how(result.map(Ok))));
                }
                build(&inside, *body).await
            });
            return leave(&world, id, propagates, result.await);
        }
        GroupKind::TryScope => {
            try_scope(async |scope| {
                let mut awaited = None;
                for (index, (child, code)) in children.into_iter().enumerate() {
                    let (whole, borrows) = (whole(&world, child, code), Borrows(&count));
                    let handle = scope.spawn(async move {
                        let _borrows = borrows;
                        whole.await
                    });
                    world.tasks.borrow_mut().insert(child, handle.task());
                    if awaits == Some(index) {
                        awaited = Some(handle);
                    }
                }
                if let Some(handle) = awaited {
                    let result = handle.await;
                    world.add(id, Event::Joined(how(result.map(Ok))));
                }
                build(&world, *body).await
            })
            .await
        }
        GroupKind::Scope => {
            let outcome = scope(async |scope| {
                let mut awaited = None;
                for (index, (child, code)) in children.into_iter().enumerate() {
                    let (whole, borrows) = (whole(&world, child, code), Borrows(&count));
                    let handle = scope.spawn(async move {
                        let _borrows = borrows;
                        whole.await
                    });
                    world.tasks.borrow_mut().insert(child, handle.task());
                    if awaits == Some(index) {
                        awaited = Some(handle);
                    }
                }
                if let Some(handle) = awaited {
                    world.add(id, Event::Joined(how(handle.await)));
                }
                build(&world, *body).await
            })
            .await;
            world.add(id, left_with(outcome));
            world.add(id, Event::Borrowed(count.get()));
            return outcome;
        }
    };
    let outcome = leave(&world, id, propagates, result);
    world.add(id, Event::Borrowed(count.get()));
    outcome
}

fn build(world: &Rc<World>, code: Code) -> Boxed {
    let world = Rc::clone(world);
    match code {
        Code::Ready => Box::pin(async { Ok(()) }),
        Code::Pending => Box::pin(pending()),
        Code::Sleep(ms) => Box::pin(async move {
            sleep(Duration::from_millis(ms)).await;
            Ok(())
        }),
        Code::Fail(id) => Box::pin(async move { Err(id) }),
        Code::Panic(id) => Box::pin(async move { resume_unwind(Box::new(id)) }),
        Code::Seq(parts) => Box::pin(async move {
            for part in parts {
                build(&world, part).await?;
            }
            Ok(())
        }),
        Code::Both(one, other) => Box::pin(both(build(&world, *one), build(&world, *other))),
        Code::Timeout { id, after, body } => Box::pin(async move {
            let body = build(&world, *body);
            match timeout(Duration::from_millis(after), body).await {
                Ok(outcome) => {
                    world.add(id, left_with(outcome));
                    outcome
                }
                Err(_) => {
                    world.add(id, Event::Elapsed);
                    Ok(())
                }
            }
        }),
        Code::Scope { id, body, .. } => Box::pin(async move {
            let scope = world.scopes.borrow()[&id].clone();
            match scope.run(build(&world, *body)).await {
                Ok(outcome) => {
                    world.add(id, left_with(outcome));
                    outcome
                }
                Err(error) => {
                    world.add(id, Event::Cancelled(error.reason().to_string()));
                    Ok(())
                }
            }
        }),
        Code::Catch {
            id,
            body,
            cleanup,
            then,
        } => Box::pin(async move {
            let cancelled = match catch_cancel(build(&world, *body)).await {
                Ok(outcome) => return outcome,
                Err(cancelled) => cancelled,
            };
            world.add(id, Event::Caught(cancelled.reason().to_string()));
            clean_up(Rc::clone(&world), id, *cleanup).await;
            match then {
                Then::Swallow => drop(cancelled),
                Then::Resume => cancelled.resume().await,
                Then::Forgive => cancelled.forgive(),
            }
            Ok(())
        }),
        Code::Finally {
            id,
            body,
            cleanup,
            grace,
        } => {
            let cleanup = clean_up(Rc::clone(&world), id, *cleanup);
            let future = finally(build(&world, *body), cleanup);
            match grace {
                Some((_, grace)) => Box::pin(future.grace(Duration::from_millis(grace))),
                None => Box::pin(future),
            }
        }
        Code::Group { .. } => Box::pin(run_group(world, code)),
        Code::Await {
            id,
            is_shielded,
            code,
        } => Box::pin(async move {
            let handle = spawn(whole(&world, id, *code));
            world.tasks.borrow_mut().insert(id, handle.task());
            let result = if is_shielded {
                handle.shield().await
            } else {
                handle.await
            };
            world.add(id, Event::Joined(how(result)));
            Ok(())
        }),
    }
}

/// Plays a program, and returns its trace, and what was left at the end that should not be.
fn play(program: &Program, runner: &mut Runner) -> (Trace, Option<String>) {
    runner.run(async {
        let world = Rc::new(World {
            start: Instant::now(),
            trace: RefCell::default(),
            tasks: RefCell::default(),
            scopes: RefCell::default(),
            groups: RefCell::default(),
        });
        let mut handles = Vec::new();
        for (id, code) in &program.tasks {
            world.prepare(code);
            let handle = spawn(whole(&world, *id, code.clone()));
            world.tasks.borrow_mut().insert(*id, handle.task());
            handles.push(handle);
        }
        for (at, action) in &program.actions {
            sleep_until(world.start + Duration::from_millis(*at)).await;
            world.apply(*action);
        }
        sleep(Duration::from_secs(100_000)).await;
        let trace = world.trace.take();
        // Whatever was left waiting is dropped, and with that everything is gone.
        for task in task::all() {
            if task != task::current() {
                task.abort();
            }
        }
        for _ in 0..40 {
            yield_now().await;
        }
        let wrong = match (open_nodes(), task::all().len()) {
            (0, 1) => None,
            (nodes, tasks) => Some(format!("{nodes} nodes and {} tasks are left", tasks - 1)),
        };
        (trace, wrong)
    })
}

/// Says how many steps the program's tasks took, and whether the traces were compared.
fn check(program: &Program, runner: &mut Runner) -> Result<(u64, bool), String> {
    let model = Model::play(program);
    let (trace, wrong) = play(program, runner);
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    if model.is_ambiguous || model.trace == trace {
        return Ok((model.steps, !model.is_ambiguous));
    }
    let mut ids: Vec<_> = model.trace.keys().chain(trace.keys()).collect();
    ids.sort();
    ids.dedup();
    let differences: Vec<_> = ids
        .into_iter()
        .filter(|id| model.trace.get(id) != trace.get(id))
        .map(|id| {
            let (expected, found) = (model.trace.get(id), trace.get(id));
            format!("{id}: expected {expected:?}\n{id}: found    {found:?}")
        })
        .collect();
    Err(differences.join("\n"))
}

/// Programs that are one step simpler.
fn simpler(program: &Program) -> Vec<Program> {
    let mut found = Vec::new();
    for index in 0..program.actions.len() {
        let mut simpler = program.clone();
        simpler.actions.remove(index);
        found.push(simpler);
    }
    if program.tasks.len() > 1 {
        for index in 0..program.tasks.len() {
            let mut simpler = program.clone();
            simpler.tasks.remove(index);
            found.push(simpler);
        }
    }
    for task in 0..program.tasks.len() {
        let code = &program.tasks[task].1;
        for code in simpler_codes(code) {
            let mut simpler = program.clone();
            simpler.tasks[task].1 = code;
            found.push(simpler);
        }
    }
    found
}

fn simpler_codes(code: &Code) -> Vec<Code> {
    let mut found: Vec<_> = code.parts().into_iter().cloned().collect();
    if !matches!(code, Code::Ready | Code::Pending) {
        found.extend([Code::Ready, Code::Pending]);
    }
    match code {
        Code::Seq(parts) if parts.len() > 1 => {
            for index in 0..parts.len() {
                let mut parts = parts.clone();
                parts.remove(index);
                found.push(Code::Seq(parts));
            }
        }
        Code::Group {
            children, awaits, ..
        } => {
            for index in 0..children.len() {
                let mut simpler = code.clone();
                if let Code::Group {
                    children, awaits, ..
                } = &mut simpler
                {
                    children.remove(index);
                    *awaits = match *awaits {
                        Some(awaited) if awaited == index => None,
                        Some(awaited) if awaited > index => Some(awaited - 1),
                        awaits => awaits,
                    };
                    found.push(simpler);
                }
            }
            let _ = awaits;
        }
        _ => {}
    }
    for index in 0..code.parts().len() {
        for part in simpler_codes(code.parts()[index]) {
            let mut simpler = code.clone();
            *simpler.parts_mut()[index] = part;
            found.push(simpler);
        }
    }
    found
}

/// The actions that still name something in the program.
fn is_whole(program: &Program) -> bool {
    fn collect(code: &Code, scopes: &mut Vec<usize>) {
        if let Code::Scope { id, .. } = code {
            scopes.push(*id);
        }
        code.parts()
            .into_iter()
            .for_each(|code| collect(code, scopes));
    }
    let mut scopes = Vec::new();
    for (_, code) in &program.tasks {
        collect(code, &mut scopes);
    }
    program.actions.iter().all(|(_, action)| match action {
        Action::CancelScope(id) | Action::Reschedule(id, _) => scopes.contains(id),
        _ => true,
    })
}

fn quiet_runner() -> Runner {
    Runner::builder()
        .start_paused(true)
        .exception_handler(|_| {})
        .build()
        .unwrap()
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn cancellation_equals_its_model() {
    let cases = setting("TULIPA_MODEL_CASES", 1_500);
    let first = setting("TULIPA_MODEL_SEED", 1);
    let mut runner = quiet_runner();
    let (mut steps, mut compared) = (0, 0);
    for seed in first..first + cases {
        let mut program = Author::program(seed);
        let mut why = match check(&program, &mut runner) {
            Ok((count, is_compared)) => {
                steps += count;
                compared += u64::from(is_compared);
                continue;
            }
            Err(why) => why,
        };
        // The smallest that fails, by trying.
        'shrink: loop {
            for simpler in simpler(&program).into_iter().filter(is_whole) {
                if let Err(still) = check(&simpler, &mut quiet_runner()) {
                    (program, why) = (simpler, still);
                    continue 'shrink;
                }
            }
            break;
        }
        panic!("TULIPA_MODEL_SEED={seed} TULIPA_MODEL_CASES=1 fails:\n{program:?}\n{why}");
    }
    println!("{cases} programs, {compared} of them compared; {steps} steps of their tasks");
    assert!(
        compared * 10 >= cases * 8,
        "most programs are to be compared"
    );
}
