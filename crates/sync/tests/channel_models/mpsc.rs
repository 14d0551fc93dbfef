//! `mpsc` against a queue, a number of slots, and a list of those who wait for one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;

use tulipa_sync::mpsc::{
    OwnedPermit, Receiver, SendError, Sender, TryRecvError, TrySendError, channel,
};

use crate::channel_support::poll_once;
use crate::play::{
    Game, Home, Lent, Message, PLACES, Places, interfere, is_telling, one_in, random, run, tell,
};

#[test]
fn mpsc_is_what_its_model_is() {
    run("mpsc", Mpsc::new);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Send(u32),
    Reserve,
    Recv,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Waiting,
    Granted,
    Refused,
}

/// What a poll yields.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Nothing,
    Sent,
    Refused,
    Received(Option<u32>),
    Closed,
}

enum Outcome {
    Sent(Result<(), SendError<Message>>),
    Reserved(Result<OwnedPermit<Message>, SendError<()>>),
    Received(Option<Message>),
    Closed,
}

struct Model {
    capacity: usize,
    available: usize,
    queue: VecDeque<u32>,
    /// Who waits for a slot.
    waiting: VecDeque<usize>,
    tasks: [Option<(Kind, State)>; PLACES],
    expected: [Expected; PLACES],
    senders: usize,
    is_closed: bool,
    is_receiver_gone: bool,
}

impl Model {
    fn can_acquire(&self) -> bool {
        !self.is_closed && self.available > 0 && self.waiting.is_empty()
    }

    fn release(&mut self) {
        match self.waiting.pop_front() {
            Some(first) => self.set(first, State::Granted),
            None => self.available += 1,
        }
    }

    fn set(&mut self, task: usize, state: State) {
        let (_, before) = self.tasks[task].as_mut().expect("it is there");
        *before = state;
    }

    /// Uses a slot; `false` if nobody is there any more.
    fn send(&mut self, id: u32) -> bool {
        if self.is_receiver_gone {
            self.release();
            return false;
        }
        self.queue.push_back(id);
        true
    }

    fn has_ended(&self) -> bool {
        let is_reserved = self.available < self.capacity;
        self.queue.is_empty() && (self.senders == 0 || (self.is_closed && !is_reserved))
    }

    /// `None` to wait.
    fn recv(&mut self) -> Option<Option<u32>> {
        match self.queue.pop_front() {
            Some(id) => {
                self.release();
                Some(Some(id))
            }
            None => self.has_ended().then_some(None),
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        for task in std::mem::take(&mut self.waiting) {
            self.set(task, State::Refused);
        }
    }

    /// Whether polling the task now yields something.
    fn is_ready(&self, task: usize) -> bool {
        match self.tasks[task] {
            None => false,
            Some((Kind::Recv, _)) => !self.queue.is_empty() || self.has_ended(),
            Some((Kind::Closed, _)) => self.is_closed,
            Some((_, State::Idle)) => self.can_acquire(),
            Some((_, state)) => state != State::Waiting,
        }
    }

    fn decide(&mut self, task: usize) {
        let (kind, state) = self.tasks[task].expect("it is there");
        let acquires = || matches!(kind, Kind::Send(_) | Kind::Reserve);
        let is_given =
            state == State::Granted || (state == State::Idle && acquires() && self.can_acquire());
        if is_given && state == State::Idle {
            self.available -= 1;
        }
        let expected = match kind {
            Kind::Recv => self.recv().map_or(Expected::Nothing, Expected::Received),
            Kind::Closed if self.is_closed => Expected::Closed,
            Kind::Closed => Expected::Nothing,
            Kind::Send(id) if is_given && self.send(id) => Expected::Sent,
            Kind::Reserve if is_given && !self.is_receiver_gone => Expected::Sent,
            Kind::Reserve if is_given => {
                self.release();
                Expected::Refused
            }
            _ if is_given || state == State::Refused => Expected::Refused,
            _ if state == State::Idle && self.is_closed => Expected::Refused,
            _ => {
                if state == State::Idle {
                    self.waiting.push_back(task);
                }
                Expected::Nothing
            }
        };
        self.expected[task] = expected;
        self.tasks[task] = match expected {
            Expected::Nothing => Some((kind, State::Waiting)),
            _ => None,
        };
    }
}

struct Mpsc {
    model: RefCell<Model>,
    places: Places<Outcome>,
    /// Those of the futures, which are dropped after them.
    kept: RefCell<[Option<Rc<Sender<Message>>>; PLACES]>,
    senders: RefCell<Vec<Sender<Message>>>,
    permits: RefCell<Vec<OwnedPermit<Message>>>,
    /// Not there while it is in use.
    receiver: Home<Receiver<Message>>,
    ids: Cell<u32>,
    alive: Rc<Cell<usize>>,
}

impl Mpsc {
    fn new(places: Places<Outcome>) -> Mpsc {
        let capacity = 1 + random(4);
        let (sender, receiver) = channel(capacity);
        Mpsc {
            model: RefCell::new(Model {
                capacity,
                available: capacity,
                queue: VecDeque::new(),
                waiting: VecDeque::new(),
                tasks: [None; PLACES],
                expected: [Expected::Nothing; PLACES],
                senders: 1,
                is_closed: false,
                is_receiver_gone: false,
            }),
            places,
            kept: RefCell::default(),
            senders: RefCell::new(vec![sender]),
            permits: RefCell::default(),
            receiver: Rc::new(RefCell::new(Some(receiver))),
            ids: Cell::new(0),
            alive: Rc::default(),
        }
    }

    fn message(&self) -> Message {
        self.ids.set(self.ids.get() + 1);
        Message::new(self.ids.get(), &self.alive)
    }

    fn sender(&self) -> Option<Sender<Message>> {
        let senders = self.senders.borrow();
        if senders.is_empty() {
            return None;
        }
        self.model.borrow_mut().senders += 1;
        Some(senders[random(senders.len())].clone())
    }

    fn drop_sender(&self, sender: Sender<Message>) {
        self.model.borrow_mut().senders -= 1;
        drop(sender);
    }

    fn drop_kept(&self, kept: Option<Rc<Sender<Message>>>) {
        if let Some(sender) = kept.and_then(Rc::into_inner) {
            self.drop_sender(sender);
        }
    }

    fn start(&self) {
        let Some(place) = self.places.free() else {
            return;
        };
        let kind = match random(8) {
            0..4 => Kind::Send(0),
            4 => Kind::Reserve,
            5 => Kind::Closed,
            _ => Kind::Recv,
        };
        if kind == Kind::Recv {
            let Some(mut lent) = Lent::take(&self.receiver) else {
                return;
            };
            self.model.borrow_mut().tasks[place] = Some((Kind::Recv, State::Idle));
            let future = async move { Outcome::Received(lent.it().recv().await) };
            return self.places.put(place, Box::pin(future));
        }
        let Some(sender) = self.sender() else {
            return;
        };
        let sender = Rc::new(sender);
        self.kept.borrow_mut()[place] = Some(sender.clone());
        match kind {
            Kind::Closed => {
                let future = async move {
                    sender.closed().await;
                    Outcome::Closed
                };
                self.places.put(place, Box::pin(future));
            }
            Kind::Reserve => {
                self.model.borrow_mut().senders += 1;
                let owned = Sender::clone(&sender);
                drop(sender);
                let future = async move { Outcome::Reserved(owned.reserve_owned().await) };
                self.places.put(place, Box::pin(future));
            }
            _ => {
                let message = self.message();
                self.model.borrow_mut().tasks[place] = Some((Kind::Send(message.id), State::Idle));
                let future = async move { Outcome::Sent(sender.send(message).await) };
                return self.places.put(place, Box::pin(future));
            }
        }
        self.model.borrow_mut().tasks[place] = Some((kind, State::Idle));
    }

    fn poll(&self, is_restricted: bool) {
        let Some(place) = self.places.taken() else {
            return;
        };
        let (is_ready, task) = {
            let model = self.model.borrow();
            (
                model.is_ready(place),
                model.tasks[place].expect("it is there"),
            )
        };
        let is_idle = task.1 == State::Idle;
        if is_restricted && is_idle {
            return;
        }
        if is_telling() && is_ready {
            // It may not have been told yet. If it has, it is polled again later.
            return;
        }
        // Who waits for a slot has its waker there already, and so nothing can come between.
        let polled = self.places.poll(place, is_ready);
        let expected = self.model.borrow().expected[place];
        if polled.is_pending() {
            return assert_eq!(expected, Expected::Nothing, "{task:?}");
        }
        // The place may be taken again before its sender is dropped.
        let kept = self.kept.borrow_mut()[place].take();
        match (polled, expected) {
            (Poll::Ready(Outcome::Sent(Ok(()))), Expected::Sent) => {}
            (Poll::Ready(Outcome::Sent(Err(SendError(message)))), Expected::Refused) => {
                assert_eq!(task.0, Kind::Send(message.id));
            }
            (Poll::Ready(Outcome::Reserved(Ok(permit))), Expected::Sent) => {
                self.permits.borrow_mut().push(permit);
            }
            (Poll::Ready(Outcome::Reserved(Err(_))), Expected::Refused) => {
                // The future has dropped its sender.
                self.model.borrow_mut().senders -= 1;
            }
            (Poll::Ready(Outcome::Received(message)), Expected::Received(id)) => {
                assert_eq!(message.as_ref().map(|it| it.id), id);
            }
            (Poll::Ready(Outcome::Closed), Expected::Closed) => {}
            (polled, expected) => {
                let polled = polled.map(|_| "something else");
                panic!("{task:?}: {polled:?}, expected {expected:?}");
            }
        }
        self.drop_kept(kept);
    }

    fn drop_future(&self, is_restricted: bool) {
        let Some(place) = self.places.taken() else {
            return;
        };
        let task = {
            let mut model = self.model.borrow_mut();
            let (_, state) = model.tasks[place].expect("it is there");
            if is_restricted && state == State::Granted {
                // What it gives back may go to one who has not been told yet that there is nothing more.
                return;
            }
            let task = model.tasks[place].take().expect("it is there");
            match task {
                (Kind::Send(_) | Kind::Reserve, State::Waiting) => {
                    model.waiting.retain(|waiting| *waiting != place);
                }
                (Kind::Send(_) | Kind::Reserve, State::Granted) => model.release(),
                _ => {}
            }
            task
        };
        // The place may be taken again before its sender is dropped.
        let kept = self.kept.borrow_mut()[place].take();
        self.places.drop(place);
        if task.0 == Kind::Reserve {
            self.model.borrow_mut().senders -= 1;
        }
        self.drop_kept(kept);
    }

    fn try_send(&self) {
        let Some(sender) = self.sender() else {
            return;
        };
        let message = self.message();
        let (can_acquire, is_closed) = {
            let mut model = self.model.borrow_mut();
            let can_acquire = model.can_acquire();
            if can_acquire {
                model.available -= 1;
                model.send(message.id);
            }
            (can_acquire, model.is_closed)
        };
        match sender.try_send(message) {
            Ok(()) => assert!(can_acquire),
            Err(TrySendError::Full(_)) => assert!(!can_acquire && !is_closed),
            Err(TrySendError::Closed(_)) => assert!(is_closed),
        }
        self.drop_sender(sender);
    }

    fn try_reserve(&self) {
        let Some(sender) = self.sender() else {
            return;
        };
        let can_acquire = self.model.borrow().can_acquire();
        match sender.try_reserve_owned() {
            Ok(permit) => {
                assert!(can_acquire);
                self.model.borrow_mut().available -= 1;
                self.permits.borrow_mut().push(permit);
            }
            Err(error) => {
                assert!(!can_acquire && error.is_closed() == self.model.borrow().is_closed);
                self.drop_sender(error.into_inner());
            }
        }
    }

    fn use_permit(&self) {
        let Some(permit) = self.permits.borrow_mut().pop() else {
            return;
        };
        let sender = if one_in(2) {
            let message = self.message();
            self.model.borrow_mut().send(message.id);
            permit.send(message)
        } else {
            self.model.borrow_mut().release();
            permit.release()
        };
        self.drop_sender(sender);
    }

    fn try_recv(&self) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        let expected = self.model.borrow_mut().recv();
        let received = receiver.try_recv();
        *self.receiver.borrow_mut() = Some(receiver);
        match received {
            Ok(message) => assert_eq!(Some(Some(message.id)), expected),
            Err(TryRecvError::Empty) => assert_eq!(expected, None),
            Err(TryRecvError::Disconnected) => assert_eq!(expected, Some(None)),
        }
    }

    fn recv_many(&self) {
        let limit = 1 + random(3);
        if self.model.borrow().queue.is_empty() {
            return;
        }
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        let expected: Vec<u32> = {
            let mut model = self.model.borrow_mut();
            let count = model.queue.len().min(limit);
            let expected = model.queue.drain(..count).collect();
            (0..count).for_each(|_| model.release());
            expected
        };
        let mut messages = Vec::new();
        let received = tell(|| poll_once(receiver.recv_many(&mut messages, limit)));
        *self.receiver.borrow_mut() = Some(receiver);
        assert_eq!(received, Poll::Ready(expected.len()));
        assert!(messages.iter().map(|message| message.id).eq(expected));
    }

    fn close(&self) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        self.model.borrow_mut().close();
        tell(|| receiver.close());
        *self.receiver.borrow_mut() = Some(receiver);
    }

    fn drop_receiver(&self) {
        let Some(receiver) = self.receiver.take() else {
            return;
        };
        {
            let mut model = self.model.borrow_mut();
            model.close();
            model.is_receiver_gone = true;
            model.available += model.queue.len();
            model.queue.clear();
        }
        tell(|| drop(receiver));
    }
}

impl Game for Mpsc {
    fn play(&self, is_restricted: bool) {
        if is_restricted {
            return match random(4) {
                0 => self.drop_future(is_restricted),
                1 => {
                    let sender = self.sender();
                    self.senders.borrow_mut().extend(sender);
                }
                _ => self.poll(true),
            };
        }
        match random(100) {
            0..20 => self.start(),
            20..50 => self.poll(false),
            50..58 => self.drop_future(is_restricted),
            58..68 => self.try_send(),
            68..73 => self.try_reserve(),
            73..78 => self.use_permit(),
            78..90 => self.try_recv(),
            90..93 => self.recv_many(),
            93..96 => {
                let sender = self.sender();
                self.senders.borrow_mut().extend(sender);
            }
            96..98 => {
                // The last one rarely: nothing can be sent afterwards.
                let sender = {
                    let mut senders = self.senders.borrow_mut();
                    if senders.len() < 2 && !one_in(20) {
                        return;
                    }
                    senders.pop()
                };
                if let Some(sender) = sender {
                    self.drop_sender(sender);
                }
            }
            98 if one_in(4) => self.close(),
            99 if one_in(8) => self.drop_receiver(),
            _ => interfere(),
        }
    }

    fn decide(&self, place: usize) {
        self.model.borrow_mut().decide(place);
    }

    fn check(&self) {
        let model = self.model.borrow();
        if let Some(receiver) = &*self.receiver.borrow() {
            assert_eq!(receiver.len(), model.queue.len());
            assert_eq!(receiver.capacity(), model.available);
            assert_eq!(receiver.sender_strong_count(), model.senders);
            assert_eq!(receiver.is_closed(), model.is_closed || model.senders == 0);
        }
        if let Some(sender) = self.senders.borrow().first() {
            assert_eq!(sender.capacity(), model.available);
            assert_eq!(sender.is_closed(), model.is_closed);
        }
        for place in 0..PLACES {
            if let Some((kind, state)) = model.tasks[place]
                && state != State::Idle
                && model.is_ready(place)
            {
                assert!(
                    self.places.was_woken(place),
                    "{kind:?} {state:?} was not woken"
                );
            }
        }
    }

    fn end(&self) {
        for place in 0..PLACES {
            self.places.drop(place);
        }
        self.kept.take();
        self.permits.take();
        self.receiver.take();
        let senders = self.senders.take();
        if let Some(sender) = senders.first() {
            assert_eq!(
                (sender.capacity(), sender.strong_count()),
                (sender.max_capacity(), senders.len())
            );
        }
        drop(senders);
        assert_eq!(self.alive.get(), 0, "messages were left");
    }
}
