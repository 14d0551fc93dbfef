//! What is waited for besides time, sockets and tasks: locks, queues, and who holds them.
//!
//! A primitive that makes someone wait [registers](Resource::new) itself here, and gives the entry up when nobody waits any
//! more: one that is never contended never comes here. While the entry is there, the [label](Resource::label) of those who wait leads
//! to it, so that a dump can say 'Lock 'accounts', held by task 7', with the holder as it is then.
//!
//! # For whoever builds a primitive
//! ```
//! use tulipa_base::resource::{self, Resource};
//! use tulipa_base::{current, wait};
//!
//! // A task has to wait, as the first: it says what for, and who has it.
//! let holder = current::task_id();
//! let contended = Resource::new("Lock").holder(holder);
//! wait::note(contended.label());
//!
//! // The lock is handed over while others still wait:
//! contended.set_holder(None);
//!
//! // What a dump sees, until nobody waits:
//! let seen = resource::find(contended.label()).unwrap();
//! assert_eq!(seen.kind, "Lock");
//! drop(contended);
//! # wait::clear();
//! ```
//!
//! # Invariants
//! 1. A place in the table is taken by one [`Resource`], which empties it when it is dropped; a place that is
//!    used again has another generation, so that a stale label finds nothing.
//! 2. Nobody else's code runs while the table is borrowed: it holds plain data. When the thread ends before a
//!    `Resource` does (which then sits in another thread-local), the table is gone, and nothing happens.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::current::TaskId;
use crate::wait::{Kind, Label};

/// The entry of something that is waited for on this thread. Dropping it takes it out.
#[must_use = "the entry is taken out when this is dropped"]
pub struct Resource {
    key: Key,
    _not_send: PhantomData<Rc<()>>,
}

/// What is known of something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// What it is, such as `"Lock"`.
    pub kind: &'static str,
    /// The name it was given.
    pub name: Option<Rc<str>>,
    /// The task that it is waited for, if that can be said.
    pub holder: Option<TaskId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    index: u32,
    generation: u32,
}

/// A label has room for 56 bits: 32 for the index, the rest for the generation.
const INDEX_BITS: u32 = 32;
const GENERATION_MASK: u32 = (1 << (56 - INDEX_BITS)) - 1;

impl Key {
    fn as_payload(self) -> u64 {
        u64::from(self.generation) << INDEX_BITS | u64::from(self.index)
    }

    fn from_payload(payload: u64) -> Key {
        Key {
            index: payload as u32,
            generation: (payload >> INDEX_BITS) as u32,
        }
    }
}

#[derive(Default)]
struct Table {
    places: Vec<Place>,
    /// Empty places, to be used again.
    free: Vec<u32>,
}

struct Place {
    generation: u32,
    info: Option<Info>,
}

thread_local! {
    static TABLE: RefCell<Table> = const {
        RefCell::new(Table {
            places: Vec::new(),
            free: Vec::new(),
        })
    };
}

impl Resource {
    /// Registers something that is waited for, by what it is: the name of its type.
    pub fn new(kind: &'static str) -> Resource {
        let info = Info {
            kind,
            name: None,
            holder: None,
        };
        let key = with_table(|table| table.insert(info));
        Resource {
            // A thread that is about to end keeps no table: such a key finds nothing.
            key: key.unwrap_or(Key {
                index: u32::MAX,
                generation: 0,
            }),
            _not_send: PhantomData,
        }
    }

    /// Gives it the name that the program has given it.
    pub fn name(self, name: Option<Rc<str>>) -> Resource {
        let before = with_table(|table| {
            let info = table.info_mut(self.key)?;
            std::mem::replace(&mut info.name, name)
        });
        drop(before);
        self
    }

    /// Says who holds it.
    pub fn holder(self, holder: Option<TaskId>) -> Resource {
        self.set_holder(holder);
        self
    }

    /// Says who holds it from now on; `None` for nobody, or for several.
    pub fn set_holder(&self, holder: Option<TaskId>) {
        with_table(|table| {
            if let Some(info) = table.info_mut(self.key) {
                info.holder = holder;
            }
        });
    }

    /// The label that those who wait for it [note](crate::wait::note).
    #[inline]
    pub fn label(&self) -> Label {
        Label::new(Kind::Resource, self.key.as_payload())
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        let info = with_table(|table| table.remove(self.key));
        drop(info);
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match find(self.label()) {
            Some(info) => info.fmt(f),
            None => f.write_str("Resource"),
        }
    }
}

/// What is known of the resource that `label` stands for, if it is still waited for.
pub fn find(label: Label) -> Option<Info> {
    if label.kind() != Kind::Resource {
        return None;
    }
    let key = Key::from_payload(label.payload());
    with_table(|table| table.info_mut(key).cloned()).flatten()
}

/// How many there are.
pub fn count() -> usize {
    with_table(|table| table.places.len() - table.free.len()).unwrap_or(0)
}

/// Calls `f`, which runs nobody else's code, with the thread's table; `None` when the thread is about to end.
fn with_table<R>(f: impl FnOnce(&mut Table) -> R) -> Option<R> {
    TABLE.try_with(|table| f(&mut table.borrow_mut())).ok()
}

impl Table {
    fn insert(&mut self, info: Info) -> Key {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.info = Some(info);
            return Key {
                index,
                generation: place.generation,
            };
        }
        let index = u32::try_from(self.places.len()).expect("four billion entries do not fit");
        self.places.push(Place {
            generation: 0,
            info: Some(info),
        });
        Key {
            index,
            generation: 0,
        }
    }

    fn info_mut(&mut self, key: Key) -> Option<&mut Info> {
        let place = self.places.get_mut(key.index as usize)?;
        place
            .info
            .as_mut()
            .filter(|_| place.generation == key.generation)
    }

    fn remove(&mut self, key: Key) -> Option<Info> {
        self.info_mut(key)?;
        let place = &mut self.places[key.index as usize];
        place.generation = place.generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(key.index);
        place.info.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // §21 introspection: locks tell who holds them.
    #[test]
    fn an_entry_tells_kind_name_and_holder_as_they_are_now() {
        let (one, other) = (TaskId::new(1, 7), TaskId::new(1, 8));
        let lock = Resource::new("Lock")
            .name(Some("accounts".into()))
            .holder(Some(one));
        let label = Label::from_u64(lock.label().as_u64()).unwrap();
        let seen = find(label).unwrap();
        assert_eq!(
            (seen.kind, seen.name.as_deref()),
            ("Lock", Some("accounts"))
        );
        assert_eq!(seen.holder, Some(one));
        lock.set_holder(Some(other));
        assert_eq!(find(label).unwrap().holder, Some(other));
        assert_eq!(find(Label::new(Kind::Readable, 0)), None);
    }

    #[test]
    fn a_place_is_used_again_and_stale_labels_find_nothing() {
        let first = Resource::new("Queue");
        let stale = first.label();
        let other = Resource::new("Event");
        assert_eq!(count(), 2);
        drop(first);
        assert_eq!(find(stale), None);
        let next = Resource::new("Lock");
        assert_eq!(count(), 2);
        assert_eq!(find(stale), None);
        assert_eq!(find(next.label()).unwrap().kind, "Lock");
        assert_eq!(find(other.label()).unwrap().kind, "Event");
        assert_ne!(stale, next.label());
        drop((next, other));
        assert_eq!(count(), 0);
    }

    #[test]
    fn other_threads_see_nothing_of_it() {
        let lock = Resource::new("Lock");
        let label = lock.label();
        let elsewhere = std::thread::spawn(move || find(label).is_some());
        assert!(!elsewhere.join().unwrap());
        assert!(find(label).is_some());
    }

    #[test]
    fn an_entry_that_outlives_its_table_does_no_harm() {
        thread_local! {
            // Made before the table, so dropped after it on most systems; both orders are legal.
            static KEPT: RefCell<Option<Resource>> = const { RefCell::new(None) };
        }
        let label = std::thread::spawn(|| {
            KEPT.with(|kept| drop(kept.borrow()));
            KEPT.set(Some(Resource::new("Lock")));
            KEPT.with_borrow(|kept| kept.as_ref().unwrap().label())
        })
        .join()
        .unwrap();
        assert_eq!(find(label), None);
    }
}
