//! Those who wait, from any thread: a first-in, first-out list behind the lock of its channel.
//!
//! A waiter is known by its ticket, a number that grows. Tickets are granted in their order, so all that is kept of
//! those that were granted is where the others begin. Whoever is dropped while it waits leaves a gap; when half of the
//! list is gaps they are removed. So to wait, to be granted and to leave take constant time, by and large, and nothing is
//! allocated but what the list needs to grow.
//!
//! # Invariants
//! 1. The tickets in `list` grow from the front to the back, and none of them is below `granted_before`.
//! 2. `gaps` of the entries have no waker, and they are at most half of the entries.
//! 3. No waker is cloned, woken or dropped in here: they come in, and go out.

use std::collections::VecDeque;
use std::task::Waker;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub(super) struct Waiters {
    list: VecDeque<(Ticket, Option<Waker>)>,
    gaps: usize,
    next: Ticket,
    granted_before: Ticket,
}

impl Waiters {
    pub(super) const fn new() -> Waiters {
        Waiters {
            list: VecDeque::new(),
            gaps: 0,
            next: Ticket(0),
            granted_before: Ticket(0),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // By invariant 2 a list of nothing but gaps is empty.
        self.list.is_empty()
    }

    /// Enters one at the end.
    pub(super) fn enter(&mut self, waker: Waker) -> Ticket {
        let ticket = self.next;
        self.next.0 += 1;
        self.list.push_back((ticket, Some(waker)));
        ticket
    }

    /// Takes the first one out, and says whom to wake.
    pub(super) fn grant_first(&mut self) -> Option<Waker> {
        while let Some((ticket, waker)) = self.list.pop_front() {
            self.granted_before = Ticket(ticket.0 + 1);
            match waker {
                Some(waker) => {
                    self.remove_gaps();
                    return Some(waker);
                }
                None => self.gaps -= 1,
            }
        }
        None
    }

    /// Takes all of them out, ungranted.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.gaps = 0;
        let list = std::mem::take(&mut self.list);
        list.into_iter().filter_map(|(_, waker)| waker)
    }

    #[inline]
    pub(super) fn is_granted(&self, ticket: Ticket) -> bool {
        ticket < self.granted_before
    }

    /// Whom to wake for one who waits.
    pub(super) fn waker_mut(&mut self, ticket: Ticket) -> Option<&mut Waker> {
        let index = self.find(ticket)?;
        self.list[index].1.as_mut()
    }

    /// Takes one out that waits no longer.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        let index = self.find(ticket)?;
        let waker = self.list[index].1.take()?;
        self.gaps += 1;
        self.remove_gaps();
        Some(waker)
    }

    fn find(&self, ticket: Ticket) -> Option<usize> {
        self.list
            .binary_search_by_key(&ticket, |entry| entry.0)
            .ok()
    }

    /// Restores invariant 2.
    fn remove_gaps(&mut self) {
        if self.gaps * 2 > self.list.len() {
            self.list.retain(|(_, waker)| waker.is_some());
            self.gaps = 0;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn enter(waiters: &mut Waiters) -> Ticket {
        waiters.enter(Waker::noop().clone())
    }

    #[test]
    fn they_are_granted_in_their_order_as_a_plain_list_says() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut waiters = Waiters::new();
        let mut naive: Vec<Ticket> = Vec::new();
        let mut gone: Vec<(Ticket, bool)> = Vec::new();
        for step in 0..20_000 {
            // Phases in which the list grows, and such in which it shrinks.
            let enters = if step / 1_000 % 2 == 0 { 6 } else { 2 };
            match random.u8(..10) {
                it if it < enters => naive.push(enter(&mut waiters)),
                it if it < 8 && !naive.is_empty() => {
                    let ticket = naive.remove(random.usize(..naive.len()));
                    assert!(waiters.leave(ticket).is_some());
                    assert!(waiters.leave(ticket).is_none());
                }
                _ => {
                    assert_eq!(waiters.grant_first().is_some(), !naive.is_empty());
                    if !naive.is_empty() {
                        gone.push((naive.remove(0), true));
                    }
                }
            }
            assert_eq!(waiters.is_empty(), naive.is_empty());
            assert!(waiters.list.len() <= naive.len() * 2);
            for &ticket in &naive {
                assert!(!waiters.is_granted(ticket));
            }
            for (ticket, is_granted) in gone.drain(..) {
                assert_eq!(waiters.is_granted(ticket), is_granted);
            }
            if let Some(&ticket) = naive.last() {
                assert!(waiters.waker_mut(ticket).is_some());
            }
        }
        assert_eq!(waiters.take_all().count(), naive.len());
        assert!(waiters.is_empty() && waiters.gaps == 0);
        assert!(naive.iter().all(|&it| waiters.leave(it).is_none()));
    }

    #[test]
    fn those_who_come_and_go_beside_one_who_stays_need_no_memory() {
        let mut waiters = Waiters::new();
        enter(&mut waiters);
        let mut last = enter(&mut waiters);
        for _ in 0..10_000 {
            let next = enter(&mut waiters);
            waiters.leave(last);
            last = next;
        }
        assert!(waiters.list.capacity() <= 16);
    }
}
