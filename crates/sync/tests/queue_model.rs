//! The three queues against a naive model: random programs, in which wakers and destructors use the same queue.
//!
//! A program is a list of moves. Each is made by the real queue, and by a model that keeps plain lists and follows the
//! rules one after the other; then everything that can be seen is compared: results, wakes, destructors, in their order, and
//! what the queue says of itself. Moves hang on wakers and on items too: they are made when the waker is woken,
//! or the item is dropped, in the middle of another move.
//!
//! `TULIPA_MODEL_STEPS` says how many moves are made with each queue, `TULIPA_MODEL_SEED` with which seed to begin.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::env;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tulipa_sync::queue::{OwnedJob, ShutDown, TryGetError, TryPutError};
use tulipa_sync::{LifoQueue, PriorityQueue, Queue};

const SLOTS: usize = 8;
/// How deep moves hang on each other.
const DEPTH: u32 = 3;

/// What is done, by the program, by a waker, or by a destructor.
#[derive(Clone, Debug)]
enum Move {
    TryPut(Spec),
    TryGet,
    StartPut(usize, Spec),
    StartGet(usize),
    StartGetJob(usize),
    StartJoin(usize),
    Poll(usize, Hook),
    Drop(usize),
    DropJob(usize),
    TaskDone,
    Shutdown,
    ShutdownNow,
}

type Hook = Option<Box<Move>>;

/// An item to be made.
#[derive(Clone, Debug)]
struct Spec {
    priority: u8,
    on_drop: Hook,
}

/// What can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Put(u32),
    Full(u32),
    Refused(u32),
    Got(u32),
    GotJob(u32),
    Empty,
    ShutDown,
    Joined,
    Pending,
    TaskDone(bool),
    Dropped(u32),
    Woken(usize),
    Drained(Vec<u32>),
}

/// What a queue says of itself.
#[derive(Debug, PartialEq, Eq)]
struct State {
    len: usize,
    is_full: bool,
    getters: usize,
    putters: usize,
    unfinished: usize,
    is_shut_down: bool,
}

// The real one.

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

struct Item {
    id: u32,
    priority: u8,
    on_drop: Hook,
}

impl Drop for Item {
    fn drop(&mut self) {
        let Some(world) = WORLD.with_borrow(|world| world.clone()) else {
            return;
        };
        world.live.set(world.live.get() - 1);
        world.see(Seen::Dropped(self.id));
        world.react(&self.on_drop);
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Item) -> Ordering {
        self.priority.cmp(&other.priority)
    }
}

enum Yield {
    Put(Result<(), ShutDown<Item>>),
    Got(Result<Item, ShutDown>),
    Job(Result<OwnedJob<Item>, ShutDown>),
    Joined,
}

type Waiting = Pin<Box<dyn Future<Output = Yield>>>;

trait Subject {
    fn put(self: Rc<Self>, id: u32, item: Item) -> Waiting;
    fn get(self: Rc<Self>) -> Waiting;
    fn get_job(self: Rc<Self>) -> Waiting;
    fn join(self: Rc<Self>) -> Waiting;
    fn try_put(&self, item: Item) -> Result<(), TryPutError<Item>>;
    fn try_get(&self) -> Result<Item, TryGetError>;
    fn task_done(&self) -> bool;
    fn shutdown(&self);
    fn shutdown_now(&self) -> Vec<Item>;
    fn state(&self) -> State;
}

macro_rules! subject {
    ($queue:ident) => {
        impl Subject for $queue<Item> {
            fn put(self: Rc<Self>, _id: u32, item: Item) -> Waiting {
                Box::pin(async move { Yield::Put($queue::put(&self, item).await) })
            }

            fn get(self: Rc<Self>) -> Waiting {
                Box::pin(async move { Yield::Got($queue::get(&self).await) })
            }

            fn get_job(self: Rc<Self>) -> Waiting {
                Box::pin(async move { Yield::Job(self.get_job_owned().await) })
            }

            fn join(self: Rc<Self>) -> Waiting {
                Box::pin(async move {
                    $queue::join(&self).await;
                    Yield::Joined
                })
            }

            fn try_put(&self, item: Item) -> Result<(), TryPutError<Item>> {
                $queue::try_put(self, item)
            }

            fn try_get(&self) -> Result<Item, TryGetError> {
                $queue::try_get(self)
            }

            fn task_done(&self) -> bool {
                $queue::task_done(self).is_ok()
            }

            fn shutdown(&self) {
                $queue::shutdown(self);
            }

            fn shutdown_now(&self) -> Vec<Item> {
                $queue::shutdown_now(self)
            }

            fn state(&self) -> State {
                assert_eq!(self.is_empty(), self.len() == 0);
                State {
                    len: self.len(),
                    is_full: self.is_full(),
                    getters: self.waiting_getters(),
                    putters: self.waiting_putters(),
                    unfinished: self.unfinished(),
                    is_shut_down: self.is_shut_down(),
                }
            }
        }
    };
}

subject!(Queue);
subject!(LifoQueue);
subject!(PriorityQueue);

struct World {
    queue: Rc<dyn Subject>,
    /// While a future is being polled or dropped, its slot is `Busy`.
    slots: [RefCell<Slot>; SLOTS],
    jobs: [RefCell<Option<OwnedJob<Item>>>; SLOTS],
    seen: RefCell<Vec<Seen>>,
    next_id: Cell<u32>,
    live: Cell<u32>,
    depth: Cell<u32>,
}

enum Slot {
    Free,
    Busy,
    Taken(Waiting),
}

struct SlotWaker {
    slot: usize,
    on_wake: Hook,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        let world = WORLD.with_borrow(|world| world.clone());
        let world = world.expect("woken after the end");
        world.see(Seen::Woken(self.slot));
        world.react(&self.on_wake);
    }
}

impl World {
    fn new(queue: Rc<dyn Subject>) -> Rc<World> {
        Rc::new(World {
            queue,
            slots: [const { RefCell::new(Slot::Free) }; SLOTS],
            jobs: [const { RefCell::new(None) }; SLOTS],
            seen: RefCell::default(),
            next_id: Cell::new(0),
            live: Cell::new(0),
            depth: Cell::new(0),
        })
    }

    fn see(&self, seen: Seen) {
        self.seen.borrow_mut().push(seen);
    }

    fn react(&self, hook: &Hook) {
        let depth = self.depth.get();
        if let Some(next) = hook
            && depth < DEPTH
        {
            self.depth.set(depth + 1);
            self.make(next);
            self.depth.set(depth);
        }
    }

    fn item(&self, spec: &Spec) -> Item {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.live.set(self.live.get() + 1);
        Item {
            id,
            priority: spec.priority,
            on_drop: spec.on_drop.clone(),
        }
    }

    fn start(&self, slot: usize, start: impl FnOnce(Rc<dyn Subject>) -> Waiting) {
        let is_free = matches!(*self.slots[slot].borrow(), Slot::Free);
        if is_free {
            let waiting = start(self.queue.clone());
            self.slots[slot].replace(Slot::Taken(waiting));
        }
    }

    fn make(&self, next: &Move) {
        match next {
            Move::TryPut(spec) => {
                let item = self.item(spec);
                let id = item.id;
                match self.queue.try_put(item) {
                    Ok(()) => self.see(Seen::Put(id)),
                    Err(TryPutError::Full(item)) => {
                        self.see(Seen::Full(item.id));
                        drop(item);
                    }
                    Err(error) => {
                        self.see(Seen::Refused(id));
                        drop(error);
                    }
                }
            }
            Move::TryGet => match self.queue.try_get() {
                Ok(item) => {
                    self.see(Seen::Got(item.id));
                    drop(item);
                }
                Err(TryGetError::Empty) => self.see(Seen::Empty),
                Err(_) => self.see(Seen::ShutDown),
            },
            Move::StartPut(slot, spec) => self.start(*slot, |queue| {
                let item = self.item(spec);
                queue.put(item.id, item)
            }),
            Move::StartGet(slot) => self.start(*slot, |queue| queue.get()),
            Move::StartGetJob(slot) => self.start(*slot, |queue| queue.get_job()),
            Move::StartJoin(slot) => self.start(*slot, |queue| queue.join()),
            Move::Poll(slot, on_wake) => self.poll(*slot, on_wake),
            Move::Drop(slot) => {
                let before = self.slots[*slot].replace(Slot::Busy);
                match before {
                    Slot::Busy => {}
                    Slot::Free => drop(self.slots[*slot].replace(Slot::Free)),
                    Slot::Taken(waiting) => {
                        drop(waiting);
                        self.slots[*slot].replace(Slot::Free);
                    }
                }
            }
            Move::DropJob(slot) => {
                let job = self.jobs[*slot].take();
                drop(job);
            }
            Move::TaskDone => {
                let is_done = self.queue.task_done();
                self.see(Seen::TaskDone(is_done));
            }
            Move::Shutdown => self.queue.shutdown(),
            Move::ShutdownNow => {
                let items = self.queue.shutdown_now();
                self.see(Seen::Drained(items.iter().map(|item| item.id).collect()));
                drop(items);
            }
        }
    }

    fn poll(&self, slot: usize, on_wake: &Hook) {
        let before = self.slots[slot].replace(Slot::Busy);
        let mut waiting = match before {
            Slot::Busy => return,
            Slot::Free => {
                self.slots[slot].replace(Slot::Free);
                return;
            }
            Slot::Taken(waiting) => waiting,
        };
        let on_wake = on_wake.clone();
        let waker = Waker::from(Arc::new(SlotWaker { slot, on_wake }));
        let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        let Poll::Ready(yielded) = polled else {
            self.see(Seen::Pending);
            self.slots[slot].replace(Slot::Taken(waiting));
            return;
        };
        drop(waiting);
        self.slots[slot].replace(Slot::Free);
        match yielded {
            Yield::Put(Ok(())) => self.see(Seen::Put(u32::MAX)),
            Yield::Put(Err(ShutDown(item))) => {
                self.see(Seen::Refused(item.id));
                drop(item);
            }
            Yield::Got(Ok(item)) => {
                self.see(Seen::Got(item.id));
                drop(item);
            }
            Yield::Job(Ok(job)) => {
                self.see(Seen::GotJob(job.id));
                let place = &self.jobs[slot];
                if place.borrow().is_none() {
                    place.replace(Some(job));
                } else {
                    drop(job);
                }
            }
            Yield::Got(Err(_)) | Yield::Job(Err(_)) => self.see(Seen::ShutDown),
            Yield::Joined => self.see(Seen::Joined),
        }
    }
}

// The model.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fifo,
    Lifo,
    Priority,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Draining,
    Closed,
}

struct ModelItem {
    id: u32,
    priority: u8,
    on_drop: Hook,
    /// When it was put.
    age: u64,
}

enum Wants {
    Put(Option<ModelItem>),
    Get { is_job: bool },
    Join,
}

enum Progress {
    New,
    Waiting(Hook),
    /// It was put.
    Put,
    Assigned(ModelItem),
    /// The queue was shut down.
    Told,
    LetGo,
}

struct Waiter {
    wants: Wants,
    progress: Progress,
}

enum ModelSlot {
    Free,
    Busy,
    Taken(Waiter),
}

/// One queue, as lists. Waiters are known by their slots.
struct Model {
    kind: Kind,
    capacity: usize,
    phase: Phase,
    stored: Vec<ModelItem>,
    getters: Vec<usize>,
    putters: Vec<usize>,
    joiners: Vec<(usize, u64)>,
    next_ticket: u64,
    next_age: u64,
    unfinished: usize,
    slots: [ModelSlot; SLOTS],
    jobs: [Option<ModelItem>; SLOTS],
    seen: Vec<Seen>,
    next_id: u32,
    live: u32,
    depth: u32,
}

impl Model {
    fn new(kind: Kind, capacity: usize) -> Model {
        Model {
            kind,
            capacity,
            phase: Phase::Open,
            stored: Vec::new(),
            getters: Vec::new(),
            putters: Vec::new(),
            joiners: Vec::new(),
            next_ticket: 0,
            next_age: 0,
            unfinished: 0,
            slots: [const { ModelSlot::Free }; SLOTS],
            jobs: [const { None }; SLOTS],
            seen: Vec::new(),
            next_id: 0,
            live: 0,
            depth: 0,
        }
    }

    fn state(&self) -> State {
        State {
            len: self.stored.len(),
            is_full: self.stored.len() >= self.capacity,
            getters: self.getters.len(),
            putters: self.putters.len(),
            unfinished: self.unfinished,
            is_shut_down: self.phase != Phase::Open,
        }
    }

    fn react(&mut self, hook: Hook) {
        if let Some(next) = hook
            && self.depth < DEPTH
        {
            self.depth += 1;
            self.make(&next);
            self.depth -= 1;
        }
    }

    fn item(&mut self, spec: &Spec) -> ModelItem {
        let id = self.next_id;
        self.next_id += 1;
        self.live += 1;
        ModelItem {
            id,
            priority: spec.priority,
            on_drop: spec.on_drop.clone(),
            age: 0,
        }
    }

    fn drop_item(&mut self, item: ModelItem) {
        self.live -= 1;
        self.seen.push(Seen::Dropped(item.id));
        self.react(item.on_drop);
    }

    fn waiter(&mut self, slot: usize) -> &mut Waiter {
        match &mut self.slots[slot] {
            ModelSlot::Taken(waiter) => waiter,
            _ => panic!("nobody waits in slot {slot}"),
        }
    }

    /// Grants a waiter something, and wakes it.
    fn grant(&mut self, slot: usize, grant: Progress) {
        let before = mem::replace(&mut self.waiter(slot).progress, grant);
        let Progress::Waiting(on_wake) = before else {
            panic!("slot {slot} does not wait")
        };
        self.seen.push(Seen::Woken(slot));
        self.react(on_wake);
    }

    fn give(&mut self, item: ModelItem) {
        if self.getters.is_empty() {
            self.stored.push(item);
        } else {
            let first = self.getters.remove(0);
            self.grant(first, Progress::Assigned(item));
        }
    }

    fn put(&mut self, mut item: ModelItem) {
        item.age = self.next_age;
        self.next_age += 1;
        self.unfinished += 1;
        self.give(item);
    }

    fn has_room(&self) -> bool {
        self.putters.is_empty() && self.stored.len() < self.capacity
    }

    fn take(&mut self) -> Option<ModelItem> {
        if !self.getters.is_empty() {
            return None;
        }
        let ages = self.stored.iter().enumerate();
        let next = match self.kind {
            Kind::Fifo => ages.min_by_key(|(_, item)| item.age),
            Kind::Lifo => ages.max_by_key(|(_, item)| item.age),
            Kind::Priority => ages.min_by_key(|(_, item)| (item.priority, item.age)),
        };
        let next = next?.0;
        let item = self.stored.remove(next);
        while self.phase == Phase::Open
            && !self.putters.is_empty()
            && self.stored.len() < self.capacity
        {
            let first = self.putters.remove(0);
            let Wants::Put(waiting) = &mut self.waiter(first).wants else {
                panic!("slot {first} does not put")
            };
            let mut put = waiting.take().expect("it has an item as long as it waits");
            put.age = self.next_age;
            self.next_age += 1;
            self.unfinished += 1;
            self.stored.push(put);
            self.grant(first, Progress::Put);
        }
        Some(item)
    }

    fn finish(&mut self, count: usize) {
        let before = self.unfinished;
        self.unfinished = before.saturating_sub(count);
        if before > 0 && self.unfinished == 0 {
            let ticket = self.next_ticket;
            while let Some(&(slot, joined)) = self.joiners.first()
                && joined < ticket
            {
                self.joiners.remove(0);
                self.grant(slot, Progress::LetGo);
            }
        }
    }

    fn tell_of_the_end(&mut self) {
        while !self.putters.is_empty() {
            let first = self.putters.remove(0);
            self.grant(first, Progress::Told);
        }
        while self.stored.is_empty() && !self.getters.is_empty() {
            let first = self.getters.remove(0);
            self.grant(first, Progress::Told);
        }
    }

    fn start(&mut self, slot: usize, wants: Wants) {
        let progress = Progress::New;
        self.slots[slot] = ModelSlot::Taken(Waiter { wants, progress });
    }

    fn is_free(&self, slot: usize) -> bool {
        matches!(self.slots[slot], ModelSlot::Free)
    }

    fn make(&mut self, next: &Move) {
        match next {
            Move::TryPut(spec) => {
                let item = self.item(spec);
                let id = item.id;
                if self.phase != Phase::Open {
                    self.seen.push(Seen::Refused(id));
                    self.drop_item(item);
                } else if self.has_room() {
                    self.put(item);
                    self.seen.push(Seen::Put(id));
                } else {
                    self.seen.push(Seen::Full(id));
                    self.drop_item(item);
                }
            }
            Move::TryGet => match self.take() {
                Some(item) => {
                    self.seen.push(Seen::Got(item.id));
                    self.drop_item(item);
                }
                None if self.phase != Phase::Open && self.stored.is_empty() => {
                    self.seen.push(Seen::ShutDown);
                }
                None => self.seen.push(Seen::Empty),
            },
            Move::StartPut(slot, spec) if self.is_free(*slot) => {
                let item = self.item(spec);
                self.start(*slot, Wants::Put(Some(item)));
            }
            Move::StartGet(slot) if self.is_free(*slot) => {
                self.start(*slot, Wants::Get { is_job: false });
            }
            Move::StartGetJob(slot) if self.is_free(*slot) => {
                self.start(*slot, Wants::Get { is_job: true });
            }
            Move::StartJoin(slot) if self.is_free(*slot) => self.start(*slot, Wants::Join),
            Move::StartPut(..) | Move::StartGet(_) | Move::StartGetJob(_) | Move::StartJoin(_) => {}
            Move::Poll(slot, on_wake) => self.poll(*slot, on_wake),
            Move::Drop(slot) => self.drop_waiter(*slot),
            Move::DropJob(slot) => {
                if let Some(item) = self.jobs[*slot].take() {
                    self.drop_item(item);
                    self.finish(1);
                }
            }
            Move::TaskDone => {
                let is_done = self.unfinished > 0;
                self.finish(1);
                self.seen.push(Seen::TaskDone(is_done));
            }
            Move::Shutdown => {
                if self.phase == Phase::Open {
                    self.phase = Phase::Draining;
                    self.tell_of_the_end();
                }
            }
            Move::ShutdownNow => {
                self.phase = Phase::Closed;
                let mut items = mem::take(&mut self.stored);
                match self.kind {
                    Kind::Fifo => items.sort_by_key(|item| item.age),
                    Kind::Lifo => items.sort_by_key(|item| u64::MAX - item.age),
                    Kind::Priority => items.sort_by_key(|item| (item.priority, item.age)),
                }
                self.finish(items.len());
                self.tell_of_the_end();
                let ids = items.iter().map(|item| item.id).collect();
                self.seen.push(Seen::Drained(ids));
                for item in items {
                    self.drop_item(item);
                }
            }
        }
    }

    fn poll(&mut self, slot: usize, on_wake: &Hook) {
        let before = mem::replace(&mut self.slots[slot], ModelSlot::Busy);
        let mut waiter = match before {
            ModelSlot::Busy => return,
            ModelSlot::Free => {
                self.slots[slot] = ModelSlot::Free;
                return;
            }
            ModelSlot::Taken(waiter) => waiter,
        };
        let is_new = matches!(waiter.progress, Progress::New);
        if is_new {
            waiter.progress = match &mut waiter.wants {
                Wants::Put(item) => match self.phase {
                    Phase::Open if self.has_room() => {
                        let item = item.take().expect("it has an item");
                        self.put(item);
                        Progress::Put
                    }
                    Phase::Open => {
                        self.putters.push(slot);
                        Progress::Waiting(on_wake.clone())
                    }
                    Phase::Draining | Phase::Closed => Progress::Told,
                },
                Wants::Get { .. } => match self.take() {
                    Some(item) => Progress::Assigned(item),
                    None if self.phase != Phase::Open => Progress::Told,
                    None => {
                        self.getters.push(slot);
                        Progress::Waiting(on_wake.clone())
                    }
                },
                Wants::Join if self.unfinished == 0 => Progress::LetGo,
                Wants::Join => {
                    self.joiners.push((slot, self.next_ticket));
                    self.next_ticket += 1;
                    Progress::Waiting(on_wake.clone())
                }
            };
        } else if let Progress::Waiting(before) = &mut waiter.progress {
            *before = on_wake.clone();
        }
        if let Progress::Waiting(_) = waiter.progress {
            self.slots[slot] = ModelSlot::Taken(waiter);
            self.seen.push(Seen::Pending);
            return;
        }
        self.slots[slot] = ModelSlot::Free;
        let Waiter { wants, progress } = waiter;
        match (wants, progress) {
            (_, Progress::Put) => self.seen.push(Seen::Put(u32::MAX)),
            (_, Progress::LetGo) => self.seen.push(Seen::Joined),
            (Wants::Get { is_job }, Progress::Assigned(item)) => {
                if !is_job {
                    self.seen.push(Seen::Got(item.id));
                    self.drop_item(item);
                    return;
                }
                self.seen.push(Seen::GotJob(item.id));
                if self.jobs[slot].is_none() {
                    self.jobs[slot] = Some(item);
                } else {
                    self.drop_item(item);
                    self.finish(1);
                }
            }
            (Wants::Put(Some(item)), Progress::Told) => {
                self.seen.push(Seen::Refused(item.id));
                self.drop_item(item);
            }
            (_, Progress::Told) => self.seen.push(Seen::ShutDown),
            _ => panic!("slot {slot} has something else than it wants"),
        }
    }

    fn drop_waiter(&mut self, slot: usize) {
        let before = mem::replace(&mut self.slots[slot], ModelSlot::Busy);
        let waiter = match before {
            ModelSlot::Busy => return,
            ModelSlot::Free => {
                self.slots[slot] = ModelSlot::Free;
                return;
            }
            ModelSlot::Taken(waiter) => waiter,
        };
        self.getters.retain(|&it| it != slot);
        self.putters.retain(|&it| it != slot);
        self.joiners.retain(|&(it, _)| it != slot);
        if let Progress::Assigned(item) = waiter.progress {
            if self.phase == Phase::Closed {
                self.drop_item(item);
                self.finish(1);
            } else {
                self.give(item);
            }
        }
        if let Wants::Put(Some(item)) = waiter.wants {
            self.drop_item(item);
        }
        self.slots[slot] = ModelSlot::Free;
    }
}

// Programs.

struct Author {
    random: fastrand::Rng,
    /// In how many of 64 moves a queue is shut down.
    ends: u32,
}

impl Author {
    fn hook(&mut self, depth: u32) -> Hook {
        let is_one = depth < DEPTH && self.random.u8(0..4) == 0;
        is_one.then(|| Box::new(self.next(depth + 1)))
    }

    fn spec(&mut self, depth: u32) -> Spec {
        Spec {
            priority: self.random.u8(0..3),
            on_drop: self.hook(depth),
        }
    }

    fn next(&mut self, depth: u32) -> Move {
        let slot = self.random.usize(0..SLOTS);
        if self.random.u32(0..2048) < self.ends {
            return match self.random.u8(0..3) {
                0 => Move::ShutdownNow,
                _ => Move::Shutdown,
            };
        }
        match self.random.u8(0..24) {
            0..3 => Move::TryPut(self.spec(depth)),
            3..5 => Move::TryGet,
            5..8 => Move::StartPut(slot, self.spec(depth)),
            8..10 => Move::StartGet(slot),
            10 => Move::StartGetJob(slot),
            11 => Move::StartJoin(slot),
            12..20 => Move::Poll(slot, self.hook(depth)),
            20..22 => Move::Drop(slot),
            22 => Move::DropJob(slot),
            _ => Move::TaskDone,
        }
    }
}

fn subject(kind: Kind, capacity: usize) -> Rc<dyn Subject> {
    match (kind, capacity) {
        (Kind::Fifo, usize::MAX) => Rc::new(Queue::new()),
        (Kind::Fifo, _) => Rc::new(Queue::bounded(capacity)),
        (Kind::Lifo, usize::MAX) => Rc::new(LifoQueue::new()),
        (Kind::Lifo, _) => Rc::new(LifoQueue::bounded(capacity)),
        (Kind::Priority, usize::MAX) => Rc::new(PriorityQueue::new()),
        (Kind::Priority, _) => Rc::new(PriorityQueue::bounded(capacity)),
    }
}

/// Says which program it was when a panic comes through.
struct Blame<'a> {
    kind: Kind,
    seed: u64,
    made: &'a RefCell<Vec<Move>>,
}

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Destructors do nothing from now on.
            mem::forget(WORLD.replace(None));
            let Blame { kind, seed, made } = self;
            let made = made.borrow();
            eprintln!(
                "{kind:?}: TULIPA_MODEL_SEED={seed} fails after {} moves:",
                made.len()
            );
            for (index, it) in made.iter().enumerate().rev().take(40) {
                eprintln!("{index}: {it:?}");
            }
        }
    }
}

fn run_program(kind: Kind, seed: u64, length: u64) {
    let made = RefCell::new(Vec::new());
    let _blame = Blame {
        kind,
        seed,
        made: &made,
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let capacity = [1, 1, 2, 3, usize::MAX][random.usize(0..5)];
    let ends = [0, 8, 32][random.usize(0..3)];
    let mut author = Author { random, ends };
    let mut model = Model::new(kind, capacity);
    let world = World::new(subject(kind, capacity));
    WORLD.replace(Some(world.clone()));
    let check = |next: Move, model: &mut Model| {
        made.borrow_mut().push(next.clone());
        world.make(&next);
        model.make(&next);
        let seen = world.seen.take();
        assert_eq!(
            seen, model.seen,
            "seen by the real one (left) and the model"
        );
        model.seen.clear();
        assert_eq!(
            world.queue.state(),
            model.state(),
            "the real one (left) and the model"
        );
        assert_eq!(world.live.get(), model.live, "items that are not dropped");
    };
    for _ in 0..length {
        check(author.next(0), &mut model);
    }
    // Whoever waits goes, one after the other, and nothing of what they had is lost.
    for slot in 0..SLOTS {
        check(Move::Drop(slot), &mut model);
    }
    let state = model.state();
    assert!(model.depth == 0 && state.len <= model.live as usize);
    for slot in 0..SLOTS {
        check(Move::DropJob(slot), &mut model);
    }
    while world.queue.state().len > 0 {
        check(Move::TryGet, &mut model);
    }
    for slot in 0..SLOTS {
        check(Move::Drop(slot), &mut model);
        check(Move::DropJob(slot), &mut model);
    }
    // What is left was put by the last destructors, and is out of the world.
    let before = WORLD.replace(None);
    drop(before);
}

fn run(kind: Kind) {
    const LENGTH: u64 = 250;
    let number = |name| env::var(name).ok().and_then(|it| it.parse().ok());
    let default = if cfg!(debug_assertions) {
        70_000
    } else {
        350_000
    };
    let steps: u64 = number("TULIPA_MODEL_STEPS").unwrap_or(default);
    let first: u64 = number("TULIPA_MODEL_SEED").unwrap_or(1);
    for seed in first..first + steps.div_ceil(LENGTH) {
        run_program(kind, seed, LENGTH);
    }
}

#[test]
fn a_queue_does_what_the_model_does() {
    run(Kind::Fifo);
}

#[test]
fn a_lifo_queue_does_what_the_model_does() {
    run(Kind::Lifo);
}

#[test]
fn a_priority_queue_does_what_the_model_does() {
    run(Kind::Priority);
}
