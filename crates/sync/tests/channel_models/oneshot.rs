//! `oneshot` against a value that is there or not.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

use tulipa_sync::oneshot::{Receiver, RecvError, Sender, TryRecvError, channel};

use crate::play::{Game, Home, Lent, Message, PLACES, Places, interfere, random, run};

/// How many channels there are at a time.
const CHANNELS: usize = 4;

#[test]
fn oneshot_is_what_its_model_is() {
    run("oneshot", Oneshot::new);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Recv,
    Closed,
}

enum Outcome {
    Received(Result<Message, RecvError>),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Nothing,
    Received(Option<u32>),
    Closed,
}

#[derive(Clone, Copy, Default)]
struct Model {
    value: Option<u32>,
    is_sender_gone: bool,
    is_closed: bool,
    is_receiver_gone: bool,
}

impl Model {
    fn poll(&mut self, kind: Kind) -> Expected {
        match kind {
            Kind::Closed if self.is_closed => Expected::Closed,
            Kind::Recv if self.is_ready(kind) => Expected::Received(self.value.take()),
            _ => Expected::Nothing,
        }
    }

    fn is_ready(&self, kind: Kind) -> bool {
        match kind {
            Kind::Closed => self.is_closed,
            Kind::Recv => self.value.is_some() || self.is_sender_gone || self.is_closed,
        }
    }
}

struct Channel {
    model: Cell<Model>,
    sender: Home<Sender<Message>>,
    receiver: Home<Receiver<Message>>,
}

impl Channel {
    fn new() -> Rc<Channel> {
        let (sender, receiver) = channel();
        Rc::new(Channel {
            model: Cell::default(),
            sender: Rc::new(RefCell::new(Some(sender))),
            receiver: Rc::new(RefCell::new(Some(receiver))),
        })
    }

    fn change<R>(&self, f: impl FnOnce(&mut Model) -> R) -> R {
        let mut model = self.model.get();
        let result = f(&mut model);
        self.model.set(model);
        result
    }
}

/// A future: of which channel, what it does, and whether it waits.
type Task = (Rc<Channel>, Kind, bool);

struct Oneshot {
    channels: RefCell<[Rc<Channel>; CHANNELS]>,
    places: Places<Outcome>,
    tasks: RefCell<[Option<Task>; PLACES]>,
    expected: [Cell<Expected>; PLACES],
    ids: Cell<u32>,
    alive: Rc<Cell<usize>>,
}

impl Oneshot {
    fn new(places: Places<Outcome>) -> Oneshot {
        Oneshot {
            channels: RefCell::new(std::array::from_fn(|_| Channel::new())),
            places,
            tasks: RefCell::default(),
            expected: std::array::from_fn(|_| Cell::new(Expected::Nothing)),
            ids: Cell::new(0),
            alive: Rc::default(),
        }
    }

    fn channel(&self) -> Rc<Channel> {
        self.channels.borrow()[random(CHANNELS)].clone()
    }

    fn task(&self, place: usize) -> Task {
        self.tasks.borrow()[place].clone().expect("it is there")
    }

    fn start(&self) {
        let Some(place) = self.places.free() else {
            return;
        };
        let channel = self.channel();
        if random(3) == 0 {
            let Some(mut lent) = Lent::take(&channel.sender) else {
                return;
            };
            self.tasks.borrow_mut()[place] = Some((channel, Kind::Closed, false));
            let future = async move {
                lent.it().closed().await;
                Outcome::Closed
            };
            self.places.put(place, Box::pin(future));
        } else {
            let Some(mut lent) = Lent::take(&channel.receiver) else {
                return;
            };
            self.tasks.borrow_mut()[place] = Some((channel, Kind::Recv, false));
            let future = async move { Outcome::Received(lent.it().await) };
            self.places.put(place, Box::pin(future));
        }
    }

    fn poll(&self) {
        let Some(place) = self.places.taken() else {
            return;
        };
        let (channel, kind, _) = self.task(place);
        let is_ready = channel.model.get().is_ready(kind);
        match (
            self.places.poll(place, is_ready),
            self.expected[place].get(),
        ) {
            (Poll::Pending, Expected::Nothing) => {}
            (Poll::Ready(Outcome::Closed), Expected::Closed) => {}
            (Poll::Ready(Outcome::Received(received)), Expected::Received(expected)) => {
                assert_eq!(received.ok().map(|message| message.id), expected);
            }
            (polled, expected) => {
                let is_ready = polled.is_ready();
                panic!("{kind:?}: ready: {is_ready}, expected {expected:?}");
            }
        }
    }

    fn drop_future(&self) {
        if let Some(place) = self.places.taken() {
            self.tasks.borrow_mut()[place] = None;
            self.places.drop(place);
        }
    }

    fn send(&self) {
        let channel = self.channel();
        let Some(sender) = channel.sender.take() else {
            return;
        };
        self.ids.set(self.ids.get() + 1);
        let message = Message::new(self.ids.get(), &self.alive);
        let is_closed = channel.change(|model| {
            model.is_sender_gone = true;
            model.value = Some(message.id).filter(|_| !model.is_closed);
            model.is_closed
        });
        assert_eq!(sender.is_closed(), is_closed);
        assert_eq!(sender.send(message).is_err(), is_closed);
    }

    fn drop_sender(&self) {
        let channel = self.channel();
        if let Some(sender) = channel.sender.take() {
            channel.change(|model| model.is_sender_gone = true);
            drop(sender);
        }
    }

    fn drop_receiver(&self) {
        let channel = self.channel();
        if let Some(receiver) = channel.receiver.take() {
            channel.change(|model| {
                model.is_closed = true;
                model.is_receiver_gone = true;
                model.value = None;
            });
            drop(receiver);
        }
    }

    fn close(&self) {
        let channel = self.channel();
        if let Some(mut lent) = Lent::take(&channel.receiver) {
            channel.change(|model| model.is_closed = true);
            lent.it().close();
        }
    }

    fn try_recv(&self) {
        let channel = self.channel();
        let Some(mut lent) = Lent::take(&channel.receiver) else {
            return;
        };
        let expected = channel.change(|model| model.poll(Kind::Recv));
        match lent.it().try_recv() {
            Ok(message) => assert_eq!(expected, Expected::Received(Some(message.id))),
            Err(TryRecvError::Empty) => assert_eq!(expected, Expected::Nothing),
            Err(TryRecvError::Closed) => assert_eq!(expected, Expected::Received(None)),
        }
    }

    /// Puts a new channel in the place of one that has ended.
    fn renew(&self) {
        let index = random(CHANNELS);
        let model = self.channels.borrow()[index].model.get();
        if model.is_sender_gone && model.is_receiver_gone {
            self.channels.borrow_mut()[index] = Channel::new();
        }
    }
}

impl Game for Oneshot {
    fn play(&self, _is_restricted: bool) {
        match random(40) {
            0..8 => self.start(),
            8..20 => self.poll(),
            20..22 => self.drop_future(),
            22..25 => self.send(),
            25 => self.drop_sender(),
            26 => self.drop_receiver(),
            27 => self.close(),
            28..32 => self.try_recv(),
            32..39 => self.renew(),
            _ => interfere(),
        }
    }

    fn decide(&self, place: usize) {
        let (channel, kind, _) = self.task(place);
        let expected = channel.change(|model| model.poll(kind));
        self.expected[place].set(expected);
        self.tasks.borrow_mut()[place] = match expected {
            Expected::Nothing => Some((channel, kind, true)),
            _ => None,
        };
    }

    fn check(&self) {
        for (place, task) in self.tasks.borrow().iter().enumerate() {
            if let Some((channel, kind, true)) = task
                && channel.model.get().is_ready(*kind)
            {
                assert!(self.places.was_woken(place), "{kind:?} was not woken");
            }
        }
    }

    fn end(&self) {
        (0..PLACES).for_each(|place| self.places.drop(place));
        for channel in &*self.channels.borrow() {
            channel.receiver.take();
            channel.sender.take();
        }
        assert_eq!(self.alive.get(), 0, "messages were left");
    }
}
