//! Wait labels: what does the running task wait for?
//!
//! Whoever is about to answer `Pending` for good [notes](note) a label first: a timer with its
//! deadline, a socket and its direction. The executor [takes](take) what was noted when the poll is over
//! and keeps it with the task, so that a dump can tell without polling anything again. A label is one
//! word of plain data: noting one costs a few instructions.
//!
//! # Order
//! Of several notes in one poll the last is kept: what was noted before it may belong to a branch that was
//! dropped since. A limit around another future, a timeout's deadline, comes [second](note_second): the
//! task then waits for a socket, and for something else too, and not the other way round. A future that drops what
//! it has just polled and completes [takes back](restore) what that has noted.
//!
//! Combinators that poll only those of their parts which were woken leave what was polled last. Such a leaf
//! knows, if it looks, that its waker is not the task's own, and notes itself as [one of many](Label::beside_others).
//!
//! # Layout
//! Bit 0 is clear (the executor uses it for a word of its own in the same place); bit 1 says that more
//! than one thing was noted in the poll; bits 2 to 7 the [`Kind`]; the upper 56 bits
//! what the kind says.

use std::cell::Cell;

use crate::clock::Instant;

const MANY: u64 = 1 << 1;
const KIND_SHIFT: u32 = 2;
const KIND_MASK: u64 = 0x3f;
const PAYLOAD_SHIFT: u32 = 8;

/// What a task waits for, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(u64);

/// The kinds of things that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// A timer; the payload is its deadline in units of 256 ns, which is what remains of an instant
    /// when the lowest byte is used for the kind.
    Timer = 1,
    /// A descriptor becoming readable; the payload is its number.
    Readable = 2,
    /// A descriptor becoming writable; the payload is its number.
    Writable = 3,
    /// The children of a group; the payload is how many are left.
    Group = 4,
    /// A value that someone sets: a promise.
    Promise = 5,
    /// Work on another thread.
    Blocking = 6,
    /// A lock, queue or other primitive; the payload is its key among those that are waited for.
    Resource = 7,
    /// Nothing: it was cancelled, and waits for whoever asked to drop it.
    Cancelled = 8,
    /// The end of a task; the payload is the lower 56 bits of its id.
    Join = 9,
    /// A token being cancelled.
    Token = 10,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::Timer,
        Kind::Readable,
        Kind::Writable,
        Kind::Group,
        Kind::Promise,
        Kind::Blocking,
        Kind::Resource,
        Kind::Cancelled,
        Kind::Join,
        Kind::Token,
    ];
}

impl Label {
    /// A label of this kind. Of the payload the lower 56 bits are kept.
    #[inline]
    pub const fn new(kind: Kind, payload: u64) -> Label {
        Label(payload << PAYLOAD_SHIFT | (kind as u64) << KIND_SHIFT)
    }

    /// The label of a timer.
    #[inline]
    pub const fn timer(deadline: Instant) -> Label {
        Label::new(Kind::Timer, deadline.as_nanos() >> PAYLOAD_SHIFT)
    }

    /// The same label, which says that other things are waited for as well.
    #[inline]
    pub const fn beside_others(self) -> Label {
        Label(self.0 | MANY)
    }

    /// The word, which is never zero.
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The label that `word` stands for; `None` if it is none.
    pub fn from_u64(word: u64) -> Option<Label> {
        let label = Label(word);
        (word & 1 == 0 && label.try_kind().is_some()).then_some(label)
    }

    fn try_kind(self) -> Option<Kind> {
        let number = (self.0 >> KIND_SHIFT & KIND_MASK) as usize;
        Kind::ALL.get(number.checked_sub(1)?).copied()
    }

    /// What kind of thing is waited for.
    pub fn kind(self) -> Kind {
        self.try_kind()
            .expect("labels are made by `new`, or checked by `from_u64`")
    }

    /// What the kind says of it.
    pub const fn payload(self) -> u64 {
        self.0 >> PAYLOAD_SHIFT
    }

    /// The deadline of a timer, rounded down to 256 ns, but for the one that never comes.
    pub fn deadline(self) -> Option<Instant> {
        if self.kind() != Kind::Timer {
            return None;
        }
        if self.payload() == Instant::FAR_FUTURE.as_nanos() >> PAYLOAD_SHIFT {
            return Some(Instant::FAR_FUTURE);
        }
        Some(Instant::from_nanos(self.payload() << PAYLOAD_SHIFT))
    }

    /// Whether other things are waited for as well.
    pub const fn is_one_of_many(self) -> bool {
        self.0 & MANY != 0
    }
}

thread_local! {
    /// What was noted in this poll; zero for nothing.
    static NOTED: Cell<u64> = const { Cell::new(0) };
}

/// Notes what the running task waits for. The last of several is kept.
#[inline]
pub fn note(label: Label) {
    let many = if NOTED.get() == 0 { 0 } else { MANY };
    NOTED.set(label.0 | many);
}

/// Notes what the running task waits for beside something more telling, which is kept if there is any.
#[inline]
pub fn note_second(label: Label) {
    let before = NOTED.get();
    NOTED.set(if before == 0 { label.0 } else { before | MANY });
}

/// Forgets what was noted: by a task that has completed, or by futures that were polled outside of any task.
#[inline]
pub fn clear() {
    NOTED.set(0);
}

/// What was noted since the last [`take`], as a word; zero for nothing.
#[inline]
pub fn noted() -> u64 {
    NOTED.get()
}

/// Goes back to what was [noted] before.
#[inline]
pub fn restore(noted: u64) {
    NOTED.set(noted);
}

/// Takes what was noted since the last call, as a word; zero for nothing.
#[inline]
pub fn take() -> u64 {
    NOTED.replace(0)
}

/// Marks a word as one of many.
#[inline]
pub const fn one_of_many(word: u64) -> u64 {
    word | MANY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_label_of_a_poll_is_kept_limits_come_second_and_the_others_are_counted_in() {
        assert_eq!(take(), 0);
        let deadline = Instant::from_nanos(256 * 5_000_000);
        note(Label::timer(deadline));
        let word = take();
        let label = Label::from_u64(word).unwrap();
        assert_eq!(label.deadline(), Some(deadline));
        assert!(!label.is_one_of_many());

        note_second(Label::timer(deadline));
        note(Label::new(Kind::Readable, 7));
        let before = noted();
        note_second(Label::timer(deadline));
        note(Label::new(Kind::Writable, 7));
        restore(before);
        let label = Label::from_u64(take()).unwrap();
        assert_eq!((label.kind(), label.payload()), (Kind::Readable, 7));
        assert!(label.is_one_of_many());

        note(Label::new(Kind::Join, 3).beside_others());
        assert!(Label::from_u64(noted()).unwrap().is_one_of_many());
        clear();
        assert_eq!(take(), 0);
    }

    #[test]
    fn deadlines_lose_less_than_256_ns_and_never_stays_never() {
        for ns in [0, 255, 256, 1 << 61, (1 << 61) + 1_000] {
            let deadline = Label::timer(Instant::from_nanos(ns)).deadline().unwrap();
            assert!((0..256).contains(&(ns - deadline.as_nanos())), "{ns}");
        }
        let never = Label::timer(Instant::FAR_FUTURE);
        assert_eq!(never.deadline(), Some(Instant::FAR_FUTURE));
        assert_eq!(Label::new(Kind::Readable, 1).deadline(), None);
    }

    #[test]
    fn every_kind_survives_the_word_and_other_words_are_refused() {
        for kind in Kind::ALL {
            let label = Label::new(kind, 1 << 55 | 1);
            assert_eq!(Label::from_u64(label.as_u64()), Some(label));
            assert_eq!((label.kind(), label.payload()), (kind, 1 << 55 | 1));
        }
        assert_eq!(Label::from_u64(0), None);
        assert_eq!(Label::from_u64(0xfc), None);
        assert_eq!(Label::from_u64(0x1001), None);
    }
}
