//! `watch` against a number that says which value there is, and one for each receiver that says which it has seen.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

use tulipa_sync::watch::{Closed, Receiver, SendError, Sender, channel};

use crate::play::{
    Game, Home, Lent, Message, PLACES, Places, interfere, is_telling, one_in, random, run, tell,
};

const RECEIVERS: usize = 6;

#[test]
fn watch_is_what_its_model_is() {
    run("watch", Watch::new);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Of this receiver.
    Changed(usize),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Waiting,
    Granted,
}

enum Outcome {
    Changed(Result<(), Closed>),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Nothing,
    /// Or closed.
    Changed(bool),
    Closed,
}

struct Model {
    /// The value that is there.
    id: u32,
    /// How many there were before.
    version: u32,
    /// What each receiver has seen.
    seen: [Option<u32>; RECEIVERS],
    senders: usize,
    /// Versions that are borrowed.
    borrowed: Vec<u32>,
    tasks: [Option<(Kind, State)>; PLACES],
    expected: [Expected; PLACES],
}

impl Model {
    fn receivers(&self) -> usize {
        self.seen.iter().flatten().count()
    }

    fn is_behind(&self, receiver: usize) -> bool {
        self.seen[receiver] != Some(self.version)
    }

    fn grant(&mut self, is_told: impl Fn(Kind) -> bool) {
        for (kind, state) in self.tasks.iter_mut().flatten() {
            if *state == State::Waiting && is_told(*kind) {
                *state = State::Granted;
            }
        }
    }

    fn send(&mut self, id: u32) {
        self.id = id;
        self.tell();
    }

    fn tell(&mut self) {
        self.version += 1;
        self.grant(|kind| kind != Kind::Closed);
    }

    fn is_ready(&self, place: usize) -> bool {
        match self.tasks[place] {
            None => false,
            Some((_, state)) if state != State::Idle => state == State::Granted,
            Some((Kind::Closed, _)) => self.receivers() == 0,
            Some((Kind::Changed(receiver), _)) => self.is_behind(receiver) || self.senders == 0,
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
            Kind::Changed(receiver) => {
                let has_changed = self.is_behind(receiver);
                self.seen[receiver] = Some(self.version);
                Expected::Changed(has_changed)
            }
        };
    }
}

struct Watch {
    model: RefCell<Model>,
    places: Places<Outcome>,
    receivers: [Home<Receiver<Message>>; RECEIVERS],
    senders: RefCell<Vec<Rc<Sender<Message>>>>,
    ids: Cell<u32>,
    alive: Rc<Cell<usize>>,
}

impl Watch {
    fn new(places: Places<Outcome>) -> Watch {
        let alive = Rc::default();
        let (sender, receiver) = channel(Message::new(0, &alive));
        let receivers: [Home<_>; RECEIVERS] = Default::default();
        *receivers[0].borrow_mut() = Some(receiver);
        let mut seen = [None; RECEIVERS];
        seen[0] = Some(0);
        Watch {
            model: RefCell::new(Model {
                id: 0,
                version: 0,
                seen,
                senders: 1,
                borrowed: Vec::new(),
                tasks: [None; PLACES],
                expected: [Expected::Nothing; PLACES],
            }),
            places,
            receivers,
            senders: RefCell::new(vec![Rc::new(sender)]),
            ids: Cell::new(0),
            alive,
        }
    }

    fn sender(&self) -> Option<Rc<Sender<Message>>> {
        let senders = self.senders.borrow();
        (!senders.is_empty()).then(|| senders[random(senders.len())].clone())
    }

    fn message(&self) -> Message {
        self.ids.set(self.ids.get() + 1);
        Message::new(self.ids.get(), &self.alive)
    }

    /// Gives a share of a sender back. It may be the last one.
    fn drop_sender(&self, sender: Rc<Sender<Message>>) {
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
            self.model.borrow_mut().tasks[place] = Some((Kind::Changed(index), State::Idle));
            let future = async move { Outcome::Changed(lent.it().changed().await) };
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
        match (polled, self.model.borrow().expected[place]) {
            (Poll::Pending, Expected::Nothing) => {}
            (Poll::Ready(Outcome::Closed), Expected::Closed) => {}
            (Poll::Ready(Outcome::Changed(changed)), Expected::Changed(expected)) => {
                assert_eq!(changed.is_ok(), expected);
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
        // A sender's stays: the first sender is to be there until the end.
        if matches!(
            self.model.borrow().tasks[place],
            Some((Kind::Changed(_), _))
        ) {
            self.model.borrow_mut().tasks[place] = None;
            self.places.drop(place);
        }
    }

    fn send(&self) {
        let Some(sender) = self.sender() else {
            return;
        };
        let message = self.message();
        let is_watched = self.model.borrow().receivers() > 0;
        let can_modify = {
            let model = self.model.borrow();
            !model.borrowed.contains(&model.version)
        };
        match random(4) {
            0 if can_modify => {
                let before = self.model.borrow().id;
                self.model.borrow_mut().send(message.id);
                let old = tell(|| sender.send_replace(message));
                assert_eq!(old.id, before);
            }
            1 if can_modify => {
                self.model.borrow_mut().send(message.id);
                let id = message.id;
                tell(|| sender.send_modify(|value| value.id = id));
            }
            2 if can_modify => assert!(!sender.send_if_modified(|_| false)),
            _ => {
                if is_watched {
                    self.model.borrow_mut().send(message.id);
                }
                match tell(|| sender.send(message)) {
                    Ok(()) => assert!(is_watched),
                    Err(SendError(_)) => assert!(!is_watched),
                }
            }
        }
        self.drop_sender(sender);
    }

    fn look(&self) {
        let index = random(RECEIVERS);
        let Some(mut lent) = Lent::take(&self.receivers[index]) else {
            return;
        };
        let receiver = lent.it();
        let (id, version, is_behind, is_over) = {
            let model = self.model.borrow();
            (
                model.id,
                model.version,
                model.is_behind(index),
                model.senders == 0,
            )
        };
        match random(6) {
            0 => {
                receiver.mark_changed();
                self.model.borrow_mut().seen[index] = Some(u32::MAX);
            }
            1 => {
                receiver.mark_unchanged();
                self.model.borrow_mut().seen[index] = Some(version);
            }
            2 => match receiver.has_changed() {
                Ok(has_changed) => {
                    assert_eq!((has_changed, is_over && !is_behind), (is_behind, false))
                }
                Err(_) => assert!(is_over && !is_behind),
            },
            choice => {
                let value = if choice == 3 {
                    self.model.borrow_mut().seen[index] = Some(version);
                    receiver.borrow_and_update()
                } else {
                    receiver.borrow()
                };
                assert_eq!((value.id, value.has_changed()), (id, is_behind));
                self.model.borrow_mut().borrowed.push(version);
                interfere();
                assert_eq!(value.id, id);
                let mut model = self.model.borrow_mut();
                let position = model.borrowed.iter().position(|it| *it == version);
                model
                    .borrowed
                    .swap_remove(position.expect("it was borrowed"));
                drop(model);
                drop(value);
            }
        }
    }

    fn subscribe(&self) {
        let index = random(RECEIVERS);
        if self.model.borrow().seen[index].is_some() {
            return;
        }
        let from = random(RECEIVERS);
        let (receiver, seen) = if one_in(2)
            && let Some(mut lent) = Lent::take(&self.receivers[from])
        {
            (lent.it().clone(), self.model.borrow().seen[from])
        } else if let Some(sender) = self.senders.borrow().first() {
            (sender.subscribe(), Some(self.model.borrow().version))
        } else {
            return;
        };
        self.model.borrow_mut().seen[index] = seen;
        *self.receivers[index].borrow_mut() = Some(receiver);
    }

    fn drop_receiver(&self) {
        let index = random(RECEIVERS);
        let Some(receiver) = self.receivers[index].take() else {
            return;
        };
        {
            let mut model = self.model.borrow_mut();
            model.seen[index] = None;
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

impl Game for Watch {
    fn play(&self, _is_restricted: bool) {
        match random(40) {
            0..8 => self.start(),
            8..20 => self.poll(),
            20..22 => self.drop_future(),
            22..27 => self.send(),
            27..33 => self.look(),
            33..35 => self.subscribe(),
            35..37 => self.drop_receiver(),
            37 => self.change_senders(),
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
            assert_eq!(sender.sender_count(), model.senders);
            assert_eq!(sender.borrow().id, model.id);
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
        assert_eq!(self.alive.get(), 0, "values were left");
    }
}
