//! `broadcast` against the list of all messages, and a number for each receiver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

use tulipa_sync::broadcast::{Receiver, RecvError, SendError, Sender, TryRecvError};

use crate::play::{
    Game, Home, Lent, Message, PLACES, Places, interfere, is_telling, one_in, random, run, tell,
};

const RECEIVERS: usize = 6;

#[test]
fn broadcast_is_what_its_model_is() {
    run("broadcast", Broadcast::new);
}

/// A message that makes a move when it is cloned, too.
struct Cloned(Message);

impl Clone for Cloned {
    fn clone(&self) -> Cloned {
        interfere();
        Cloned(Message::new(self.0.id, &self.0.alive))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Recv(usize),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Waiting,
    Granted,
}

enum Outcome {
    Received(Result<Cloned, RecvError>),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Nothing,
    Received(Result<u32, RecvError>),
    Closed,
}

struct Model {
    capacity: usize,
    messages: Vec<u32>,
    /// Which message each receiver gets next.
    numbers: [Option<usize>; RECEIVERS],
    senders: usize,
    tasks: [Option<(Kind, State)>; PLACES],
    expected: [Expected; PLACES],
}

impl Model {
    fn receivers(&self) -> usize {
        self.numbers.iter().flatten().count()
    }

    fn grant(&mut self, is_told: impl Fn(Kind) -> bool) {
        for (kind, state) in self.tasks.iter_mut().flatten() {
            if *state == State::Waiting && is_told(*kind) {
                *state = State::Granted;
            }
        }
    }

    /// The oldest one that is there, if it is missed by anyone.
    fn first(&self) -> usize {
        self.messages.len().saturating_sub(self.capacity)
    }

    fn recv(&mut self, receiver: usize) -> Option<Result<u32, RecvError>> {
        let first = self.first();
        let number = self.numbers[receiver].as_mut().expect("it is there");
        if *number < first {
            let missed = first - *number;
            *number = first;
            return Some(Err(RecvError::Lagged(missed as u64)));
        }
        match self.messages.get(*number) {
            Some(id) => {
                *number += 1;
                Some(Ok(*id))
            }
            None => (self.senders == 0).then_some(Err(RecvError::Closed)),
        }
    }

    fn is_ready(&self, place: usize) -> bool {
        match self.tasks[place] {
            None => false,
            Some((_, state)) if state != State::Idle => state == State::Granted,
            Some((Kind::Closed, _)) => self.receivers() == 0,
            Some((Kind::Recv(receiver), _)) => {
                let number = self.numbers[receiver].expect("it is there");
                number < self.messages.len() || self.senders == 0
            }
        }
    }

    fn decide(&mut self, place: usize) {
        let is_ready = self.is_ready(place);
        let (kind, _) = self.tasks[place].take().expect("it is there");
        self.expected[place] = match kind {
            _ if !is_ready => {
                self.tasks[place] = Some((kind, State::Waiting));
                Expected::Nothing
            }
            Kind::Closed => Expected::Closed,
            Kind::Recv(receiver) => Expected::Received(self.recv(receiver).expect("it is ready")),
        };
    }

    /// How many messages are there that somebody misses.
    fn len(&self) -> usize {
        let slowest = self.numbers.iter().flatten().min();
        slowest.map_or(0, |slowest| {
            self.messages.len() - self.first().max(*slowest)
        })
    }
}

struct Broadcast {
    model: RefCell<Model>,
    places: Places<Outcome>,
    receivers: [Home<Receiver<Cloned>>; RECEIVERS],
    senders: RefCell<Vec<Rc<Sender<Cloned>>>>,
    ids: Cell<u32>,
    alive: Rc<Cell<usize>>,
}

impl Broadcast {
    fn new(places: Places<Outcome>) -> Broadcast {
        let capacity = 1 + random(5);
        Broadcast {
            model: RefCell::new(Model {
                capacity,
                messages: Vec::new(),
                numbers: [None; RECEIVERS],
                senders: 1,
                tasks: [None; PLACES],
                expected: [Expected::Nothing; PLACES],
            }),
            places,
            receivers: Default::default(),
            senders: RefCell::new(vec![Rc::new(Sender::new(capacity))]),
            ids: Cell::new(0),
            alive: Rc::default(),
        }
    }

    /// Gives a share of a sender back. It may be the last one.
    fn drop_sender(&self, sender: Rc<Sender<Cloned>>) {
        if let Some(sender) = Rc::into_inner(sender) {
            {
                let mut model = self.model.borrow_mut();
                model.senders -= 1;
                if model.senders == 0 {
                    model.grant(|kind| kind != Kind::Closed);
                }
            }
            tell(|| drop(sender));
        }
    }

    fn start(&self) {
        let Some(place) = self.places.free() else {
            return;
        };
        let index = random(RECEIVERS);
        if let Some(mut lent) = Lent::take(&self.receivers[index]) {
            self.model.borrow_mut().tasks[place] = Some((Kind::Recv(index), State::Idle));
            let future = async move { Outcome::Received(lent.it().recv().await) };
            self.places.put(place, Box::pin(future));
        } else if one_in(4)
            && let Some(first) = self.senders.borrow().first()
        {
            // This sender stays until the end.
            let sender = first.clone();
            self.model.borrow_mut().tasks[place] = Some((Kind::Closed, State::Idle));
            let future = async move {
                sender.closed().await;
                Outcome::Closed
            };
            self.places.put(place, Box::pin(future));
        }
    }

    fn poll(&self) {
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
        if is_telling() && is_ready && task.1 != State::Idle {
            // It may not have been told yet.
            return;
        }
        let polled = self.places.poll(place, is_ready);
        let expected = self.model.borrow().expected[place];
        match (polled, expected) {
            (Poll::Pending, Expected::Nothing) => {}
            (Poll::Ready(Outcome::Closed), Expected::Closed) => {}
            (Poll::Ready(Outcome::Received(received)), Expected::Received(expected)) => {
                assert_eq!(
                    received.as_ref().map(|message| message.0.id),
                    expected.as_ref().copied()
                );
            }
            (polled, expected) => {
                let is_ready = polled.is_ready();
                panic!("{task:?}: ready: {is_ready}, expected {expected:?}");
            }
        }
    }

    fn drop_future(&self) {
        let Some(place) = self.places.taken() else {
            return;
        };
        if matches!(self.model.borrow().tasks[place], Some((Kind::Recv(_), _))) {
            self.model.borrow_mut().tasks[place] = None;
            self.places.drop(place);
        }
    }

    fn send(&self) {
        let Some(sender) = self.senders.borrow().last().cloned() else {
            return;
        };
        self.ids.set(self.ids.get() + 1);
        let message = Message::new(self.ids.get(), &self.alive);
        let receivers = {
            let mut model = self.model.borrow_mut();
            let receivers = model.receivers();
            if receivers > 0 {
                model.messages.push(message.id);
                model.grant(|kind| kind != Kind::Closed);
            }
            receivers
        };
        match tell(|| sender.send(Cloned(message))) {
            Ok(count) => assert_eq!(count, receivers),
            Err(SendError(_)) => assert_eq!(receivers, 0),
        }
        self.drop_sender(sender);
    }

    fn try_recv(&self) {
        let index = random(RECEIVERS);
        let Some(mut lent) = Lent::take(&self.receivers[index]) else {
            return;
        };
        let expected = self.model.borrow_mut().recv(index);
        let received = lent.it().try_recv();
        assert_eq!(
            match &received {
                Ok(message) => Some(Ok(message.0.id)),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
                Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(*missed))),
            },
            expected
        );
    }

    fn subscribe(&self) {
        let index = random(RECEIVERS);
        if self.model.borrow().numbers[index].is_some() {
            return;
        }
        let receiver = if one_in(2)
            && let Some(mut lent) = Lent::take(&self.receivers[random(RECEIVERS)])
        {
            lent.it().resubscribe()
        } else if let Some(sender) = self.senders.borrow().first() {
            sender.subscribe()
        } else {
            return;
        };
        let mut model = self.model.borrow_mut();
        model.numbers[index] = Some(model.messages.len());
        *self.receivers[index].borrow_mut() = Some(receiver);
    }

    fn drop_receiver(&self) {
        let index = random(RECEIVERS);
        let Some(receiver) = self.receivers[index].take() else {
            return;
        };
        {
            let mut model = self.model.borrow_mut();
            model.numbers[index] = None;
            if model.receivers() == 0 {
                model.grant(|kind| kind == Kind::Closed);
            }
        }
        tell(|| drop(receiver));
    }

    fn change_senders(&self) {
        if one_in(2) {
            let sender = self
                .senders
                .borrow()
                .first()
                .map(|first| Sender::clone(first));
            if let Some(sender) = sender {
                self.model.borrow_mut().senders += 1;
                self.senders.borrow_mut().push(Rc::new(sender));
            }
        } else {
            let waits = |task: &Option<(Kind, State)>| matches!(task, Some((Kind::Closed, _)));
            let is_used = self.model.borrow().tasks.iter().any(waits);
            // The last one rarely: nothing can be sent afterwards.
            let mut senders = self.senders.borrow_mut();
            if senders.len() < 2 && (is_used || !one_in(30)) {
                return;
            }
            let sender = senders.pop();
            drop(senders);
            sender
                .into_iter()
                .for_each(|sender| self.drop_sender(sender));
        }
    }
}

impl Game for Broadcast {
    fn play(&self, _is_restricted: bool) {
        match random(40) {
            0..8 => self.start(),
            8..18 => self.poll(),
            18..20 => self.drop_future(),
            20..27 => self.send(),
            27..33 => self.try_recv(),
            33..36 => self.subscribe(),
            36..38 => self.drop_receiver(),
            38 => self.change_senders(),
            _ => interfere(),
        }
    }

    fn decide(&self, place: usize) {
        self.model.borrow_mut().decide(place);
    }

    fn check(&self) {
        let model = self.model.borrow();
        if let Some(sender) = self.senders.borrow().first() {
            assert_eq!(sender.receiver_count(), model.receivers());
            assert_eq!(sender.len(), model.len());
        }
        for (index, receiver) in self.receivers.iter().enumerate() {
            if let Some(receiver) = &*receiver.borrow() {
                let number = model.numbers[index].expect("it is there");
                assert_eq!(receiver.len(), model.messages.len() - number);
                assert_eq!(receiver.is_closed(), model.senders == 0);
            }
        }
        for (place, task) in model.tasks.iter().enumerate() {
            if let Some((kind, State::Granted)) = task {
                assert!(self.places.was_woken(place), "{kind:?} was not woken");
            }
        }
    }

    fn end(&self) {
        (0..PLACES).for_each(|place| self.places.drop(place));
        self.receivers
            .iter()
            .for_each(|receiver| drop(receiver.take()));
        self.senders.take();
        assert_eq!(self.alive.get(), 0, "messages were left");
    }
}
