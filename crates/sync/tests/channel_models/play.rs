//! What the games have in common: futures in places, wakers and messages that make moves, and episodes.

use std::cell::{Cell, RefCell};
use std::mem::{ManuallyDrop, forget};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::{env, thread};

use fastrand::Rng;

use crate::channel_support::{Act, hooked};

/// How many futures there are at most.
pub(crate) const PLACES: usize = 8;

/// How many moves an episode has.
const EPISODE: u32 = 300;

pub(crate) type Future<O> = Pin<Box<dyn std::future::Future<Output = O>>>;

/// A channel and its model.
pub(crate) trait Game {
    /// Makes a move, which is one of the few that can be made while some are being told if `is_restricted`.
    fn play(&self, is_restricted: bool);

    /// Applies to the model that the future in this place is polled.
    fn decide(&self, place: usize);

    /// Compares what can be seen with the model.
    fn check(&self);

    /// Drops everything, and checks that nothing is left.
    fn end(&self);
}

thread_local! {
    static GAME: RefCell<Option<Rc<dyn Game>>> = const { RefCell::new(None) };
    static TABLE: Rc<Table> = Rc::new(Table::default());
}

/// What the moves share on a thread.
#[derive(Default)]
struct Table {
    rng: RefCell<Rng>,
    moves: Cell<u64>,
    depth: Cell<u32>,
    /// Some are being told, one after the other.
    is_restricted: Cell<bool>,
    /// A future is being dropped, so that the drop of its waker may make a move.
    is_dropping: Cell<bool>,
    /// The future in this place is being polled, and the model has not decided what that yields.
    undecided: Cell<Option<usize>>,
    woken: [Cell<bool>; PLACES],
}

fn table() -> Rc<Table> {
    TABLE.with(Rc::clone)
}

fn game() -> Option<Rc<dyn Game>> {
    GAME.with_borrow(Option::clone)
}

pub(crate) fn random(below: usize) -> usize {
    table().rng.borrow_mut().usize(..below)
}

pub(crate) fn one_in(n: usize) -> bool {
    random(n) == 0
}

/// Makes moves in the middle of another one.
pub(crate) fn interfere() {
    let table = table();
    let Some(game) = game() else {
        return;
    };
    if table.depth.get() >= 3 || thread::panicking() || !one_in(3) {
        return;
    }
    table.depth.set(table.depth.get() + 1);
    let is_dropping = table.is_dropping.replace(false);
    for _ in 0..=random(2) {
        table.moves.set(table.moves.get() + 1);
        game.play(table.is_restricted.get());
    }
    table.is_dropping.set(is_dropping);
    table.depth.set(table.depth.get() - 1);
}

/// Does what tells several, one after the other.
pub(crate) fn tell<R>(f: impl FnOnce() -> R) -> R {
    let table = table();
    let before = table.is_restricted.replace(true);
    let result = f();
    table.is_restricted.set(before);
    result
}

/// Some are being told: who the model says would go on may not have been told yet.
pub(crate) fn is_telling() -> bool {
    table().is_restricted.get()
}

fn hook(place: usize, act: Act) {
    let table = table();
    match act {
        Act::Clone => {
            let undecided = table.undecided.take();
            interfere();
            if undecided == Some(place) {
                game().expect("a game is on").decide(place);
            } else {
                table.undecided.set(undecided);
            }
        }
        Act::Wake => {
            table.woken[place].set(true);
            interfere();
        }
        Act::Drop if table.is_dropping.get() => interfere(),
        Act::Drop => {}
    }
}

/// A message, which makes a move when it is dropped.
pub(crate) struct Message {
    pub(crate) id: u32,
    pub(crate) alive: Rc<Cell<usize>>,
}

impl Message {
    pub(crate) fn new(id: u32, alive: &Rc<Cell<usize>>) -> Message {
        alive.set(alive.get() + 1);
        let alive = alive.clone();
        Message { id, alive }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
        interfere();
    }
}

/// Something that a future uses, and puts back where it was when it goes.
pub(crate) struct Lent<T> {
    thing: Option<T>,
    home: Home<T>,
}

/// Where something is while nobody uses it.
pub(crate) type Home<T> = Rc<RefCell<Option<T>>>;

impl<T> Lent<T> {
    /// `None` if it is in use, or gone.
    pub(crate) fn take(home: &Home<T>) -> Option<Lent<T>> {
        Some(Lent {
            thing: Some(home.borrow_mut().take()?),
            home: home.clone(),
        })
    }

    pub(crate) fn it(&mut self) -> &mut T {
        self.thing.as_mut().expect("it is lent until this goes")
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        *self.home.borrow_mut() = self.thing.take();
    }
}

/// The futures.
pub(crate) struct Places<O> {
    places: [Place<O>; PLACES],
    wakers: [Waker; PLACES],
}

struct Place<O> {
    future: RefCell<Option<Future<O>>>,
    is_busy: Cell<bool>,
}

impl<O> Places<O> {
    fn new(wakers: [Waker; PLACES]) -> Places<O> {
        Places {
            places: std::array::from_fn(|_| Place {
                future: RefCell::new(None),
                is_busy: Cell::new(false),
            }),
            wakers,
        }
    }

    /// A place with a future that is not being polled just now.
    pub(crate) fn taken(&self) -> Option<usize> {
        let place = random(PLACES);
        self.is_taken(place).then_some(place)
    }

    fn is_taken(&self, place: usize) -> bool {
        self.places[place].future.borrow().is_some()
    }

    /// A place without a future.
    pub(crate) fn free(&self) -> Option<usize> {
        let place = random(PLACES);
        let is_free = !self.is_taken(place) && !self.places[place].is_busy.get();
        is_free.then_some(place)
    }

    pub(crate) fn put(&self, place: usize, future: Future<O>) {
        let before = self.places[place].future.replace(Some(future));
        assert!(before.is_none());
    }

    /// Polls the future in a place, and takes it out if it is ready. The model decides before, if it `is_decided` whatever else happens, or
    /// after the waker was cloned.
    pub(crate) fn poll(&self, place: usize, is_decided: bool) -> Poll<O> {
        let table = table();
        let mut future = self.places[place].future.take().expect("it is taken");
        self.places[place].is_busy.set(true);
        table.woken[place].set(false);
        if is_decided {
            game().expect("a game is on").decide(place);
        } else {
            table.undecided.set(Some(place));
        }
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(&self.wakers[place]));
        if table.undecided.get() == Some(place) {
            // It had the waker already.
            table.undecided.set(None);
            game().expect("a game is on").decide(place);
        }
        if polled.is_pending() {
            self.put(place, future);
        }
        self.places[place].is_busy.set(false);
        polled
    }

    /// Drops the future in a place.
    pub(crate) fn drop(&self, place: usize) {
        let future = self.places[place].future.take();
        let table = table();
        let before = table.is_dropping.replace(true);
        drop(future);
        table.is_dropping.set(before);
    }

    pub(crate) fn was_woken(&self, place: usize) -> bool {
        table().woken[place].get()
    }
}

/// Prints the seed when a move panics.
struct Seed(&'static str, u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            let Seed(name, seed) = self;
            eprintln!("{name}: repeat with TULIPA_MODEL_SEED={seed}");
            forget(GAME.take());
        }
    }
}

/// Plays episodes until there were moves enough.
pub(crate) fn run<O, G: Game + 'static>(name: &'static str, new: impl Fn(Places<O>) -> G) {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let default = if cfg!(debug_assertions) {
        200_000
    } else {
        1_000_000
    };
    let moves = number("TULIPA_MODEL_STEPS").unwrap_or(default);
    let wakers: [Waker; PLACES] = std::array::from_fn(|place| hooked(move |act| hook(place, act)));
    let table = table();
    let only = number("TULIPA_MODEL_SEED");
    let mut seed = only.unwrap_or_else(|| fastrand::u64(..));
    while table.moves.get() < moves {
        let _seed = Seed(name, seed);
        table.rng.replace(Rng::with_seed(seed));
        // The clones make no move: no game is on.
        let game = Rc::new(new(Places::new(wakers.clone())));
        // A move that panics leaves it in the middle of something.
        let game = ManuallyDrop::new(game);
        GAME.set(Some(Rc::<G>::clone(&game)));
        for _ in 0..EPISODE {
            table.moves.set(table.moves.get() + 1);
            game.play(false);
            game.check();
        }
        // Everything is dropped without further moves.
        GAME.set(None);
        game.end();
        drop(ManuallyDrop::into_inner(game));
        if only.is_some() {
            break;
        }
        seed = seed.wrapping_add(1);
    }
    forget(wakers);
}
