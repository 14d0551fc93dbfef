//! The tasks' state machine against a naive model: random programs of spawns, wakes, aborts, joins and
//! dropped handles must give the same trace of polls, drops and results, in the same order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tulipa::runtime::Runner;
use tulipa::task::JoinHandle;

use crate::support::poll_once;

/// What a task does when it is polled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Wait,
    WakeItself,
    /// Wakes the task of this number, modulo those that exist.
    WakeOther(usize),
    AbortOther(usize),
    Finish,
    Panic,
}

/// What the program does between turns; numbers are modulo the tasks that exist.
#[derive(Clone, Debug)]
enum Op {
    Spawn(Vec<Act>),
    Wake(usize),
    WakeElsewhere(usize),
    Abort(usize),
    DropHandle(usize),
    Join(usize),
    Turn,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Wait),
        2 => Just(Act::WakeItself),
        2 => (0..16usize).prop_map(Act::WakeOther),
        1 => (0..16usize).prop_map(Act::AbortOther),
        1 => Just(Act::Finish),
        1 => Just(Act::Panic),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => prop::collection::vec(act(), 0..6).prop_map(Op::Spawn),
        4 => (0..16usize).prop_map(Op::Wake),
        1 => (0..16usize).prop_map(Op::WakeElsewhere),
        1 => (0..16usize).prop_map(Op::Abort),
        1 => (0..16usize).prop_map(Op::DropHandle),
        2 => (0..16usize).prop_map(Op::Join),
        5 => Just(Op::Turn),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Poll(usize),
    Drop(usize),
    Value(usize),
    Cancelled(usize),
    Panicked(usize),
    JoinWaits(usize),
}

// ---- the model ----

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Root,
    Task(usize),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Value,
    Cancelled,
    Panicked,
}

struct ModelTask {
    script: Vec<Act>,
    polls: usize,
    is_queued: bool,
    is_aborted: bool,
    has_handle: bool,
    has_waiter: bool,
    outcome: Option<Outcome>,
}

#[derive(Default)]
struct Model {
    tasks: Vec<ModelTask>,
    queue: VecDeque<Who>,
    is_root_queued: bool,
    trace: Vec<Event>,
}

impl Model {
    fn wake(&mut self, task: usize) {
        let state = &mut self.tasks[task];
        if !state.is_queued && state.outcome.is_none() {
            state.is_queued = true;
            self.queue.push_back(Who::Task(task));
        }
    }

    fn abort(&mut self, task: usize) {
        if self.tasks[task].has_handle && self.tasks[task].outcome.is_none() {
            self.tasks[task].is_aborted = true;
            self.wake(task);
        }
    }

    fn queue_root(&mut self) {
        if !self.is_root_queued {
            self.is_root_queued = true;
            self.queue.push_back(Who::Root);
        }
    }

    fn end(&mut self, task: usize, outcome: Outcome) {
        self.trace.push(Event::Drop(task));
        self.tasks[task].outcome = Some(outcome);
        if self.tasks[task].has_handle && self.tasks[task].has_waiter {
            self.queue_root();
        }
    }

    fn turn(&mut self) {
        self.queue_root();
        while let Some(who) = self.queue.pop_front() {
            match who {
                Who::Root => {
                    self.is_root_queued = false;
                    return;
                }
                Who::Task(task) => self.run(task),
            }
        }
    }

    fn run(&mut self, task: usize) {
        let state = &mut self.tasks[task];
        state.is_queued = false;
        if state.outcome.is_some() {
            return;
        }
        if state.is_aborted {
            return self.end(task, Outcome::Cancelled);
        }
        let act = state.script.get(state.polls).copied().unwrap_or(Act::Wait);
        state.polls += 1;
        self.trace.push(Event::Poll(task));
        let others = self.tasks.len();
        match act {
            Act::Wait => {}
            Act::WakeItself => self.wake(task),
            Act::WakeOther(other) => self.wake(other % others),
            Act::AbortOther(other) => self.abort(other % others),
            Act::Finish => self.end(task, Outcome::Value),
            Act::Panic => self.end(task, Outcome::Panicked),
        }
    }

    fn join(&mut self, task: usize) {
        let state = &mut self.tasks[task];
        if !state.has_handle {
            return;
        }
        match state.outcome {
            None => {
                state.has_waiter = true;
                self.trace.push(Event::JoinWaits(task));
            }
            Some(outcome) => {
                state.has_handle = false;
                self.trace.push(match outcome {
                    Outcome::Value => Event::Value(task),
                    Outcome::Cancelled => Event::Cancelled(task),
                    Outcome::Panicked => Event::Panicked(task),
                });
            }
        }
    }

    fn play(mut self, ops: &[Op]) -> Vec<Event> {
        for op in ops {
            let count = self.tasks.len();
            match op {
                Op::Spawn(script) => {
                    self.tasks.push(ModelTask {
                        script: script.clone(),
                        polls: 0,
                        is_queued: false,
                        is_aborted: false,
                        has_handle: true,
                        has_waiter: false,
                        outcome: None,
                    });
                    self.wake(count);
                }
                _ if count == 0 && !matches!(op, Op::Turn) => {}
                Op::Wake(task) | Op::WakeElsewhere(task) => {
                    // Without a waker yet there is nothing to wake.
                    if self.tasks[task % count].polls > 0 {
                        self.wake(task % count);
                    }
                }
                Op::Abort(task) => self.abort(task % count),
                Op::DropHandle(task) => self.tasks[task % count].has_handle = false,
                Op::Join(task) => self.join(task % count),
                Op::Turn => self.turn(),
            }
        }
        // The loop closes: what is left is dropped, oldest first.
        for task in 0..self.tasks.len() {
            if self.tasks[task].outcome.is_none() {
                self.trace.push(Event::Drop(task));
            }
        }
        self.trace
    }
}

// ---- the real thing ----

#[derive(Default)]
struct World {
    wakers: RefCell<Vec<Option<Waker>>>,
    handles: RefCell<Vec<Option<JoinHandle<()>>>>,
    trace: RefCell<Vec<Event>>,
}

impl World {
    fn add(&self, event: Event) {
        self.trace.borrow_mut().push(event);
    }

    fn wake(&self, task: usize) {
        let waker = self.wakers.borrow()[task].clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn abort(&self, task: usize) {
        if let Some(handle) = &self.handles.borrow()[task] {
            handle.abort();
        }
    }
}

struct Body {
    number: usize,
    script: std::vec::IntoIter<Act>,
    world: Rc<World>,
}

impl Future for Body {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let world = Rc::clone(&self.world);
        world.add(Event::Poll(self.number));
        world.wakers.borrow_mut()[self.number] = Some(cx.waker().clone());
        let others = world.wakers.borrow().len();
        match self.script.next().unwrap_or(Act::Wait) {
            Act::Wait => {}
            Act::WakeItself => cx.waker().wake_by_ref(),
            // The model's wake needs no waker; a task that was never polled is queued anyway.
            Act::WakeOther(other) => world.wake(other % others),
            Act::AbortOther(other) => world.abort(other % others),
            Act::Finish => return Poll::Ready(()),
            Act::Panic => std::panic::resume_unwind(Box::new("scripted")),
        }
        Poll::Pending
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.world.add(Event::Drop(self.number));
    }
}

fn play(ops: Vec<Op>) -> Vec<Event> {
    let world = Rc::new(World::default());
    let mut runner = Runner::builder().exception_handler(|_| {}).build().unwrap();
    let inside = Rc::clone(&world);
    runner.run(async move {
        let world = inside;
        for op in ops {
            let count = world.wakers.borrow().len();
            match op {
                Op::Spawn(script) => {
                    world.wakers.borrow_mut().push(None);
                    let script = script.into_iter();
                    let body = Body {
                        number: count,
                        script,
                        world: Rc::clone(&world),
                    };
                    world.handles.borrow_mut().push(Some(tulipa::spawn(body)));
                }
                Op::Turn => tulipa::yield_now().await,
                _ if count == 0 => {}
                Op::Wake(task) => world.wake(task % count),
                Op::WakeElsewhere(task) => {
                    let waker = world.wakers.borrow()[task % count].clone();
                    if let Some(waker) = waker {
                        // A clone is made and dropped there; the wake itself is by this thread, since
                        // when one from elsewhere is noticed depends on the loop's budget.
                        std::thread::scope(|scope| {
                            scope.spawn(|| drop(waker.clone()));
                        });
                        waker.wake();
                    }
                }
                Op::Abort(task) => world.abort(task % count),
                Op::DropHandle(task) => drop(world.handles.borrow_mut()[task % count].take()),
                Op::Join(task) => {
                    let task = task % count;
                    let handle = world.handles.borrow_mut()[task].take();
                    let Some(mut handle) = handle else { continue };
                    match poll_once(&mut handle).await {
                        Poll::Pending => {
                            world.add(Event::JoinWaits(task));
                            world.handles.borrow_mut()[task] = Some(handle);
                        }
                        Poll::Ready(Ok(())) => world.add(Event::Value(task)),
                        Poll::Ready(Err(error)) if error.is_cancelled() => {
                            world.add(Event::Cancelled(task));
                        }
                        Poll::Ready(Err(_)) => world.add(Event::Panicked(task)),
                    }
                }
            }
        }
    });
    // Handles first, so that panics nobody joined are still told to the runner's handler.
    world.handles.take();
    drop(runner);
    world.wakers.take();
    world.trace.take()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn tasks_equal_their_model(ops in prop::collection::vec(op(), 1..80)) {
        prop_assert_eq!(Model::default().play(&ops), play(ops));
    }
}
