//! Shuffling the ready queue by a seed: finds code that relies on an order it was not promised.
//!
//! The numbers come from SplitMix64, the order from a Fisher-Yates shuffle of the turn's whole snapshot.
//! The same seed and the same turns give the same orders.
//!
//! # Source
//! Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

use crate::ready_queue::ReadyQueue;
use crate::shim::Cell;
use crate::task::TaskRef;

pub(crate) struct Shuffle {
    state: Cell<u64>,
    /// Kept for its memory.
    tasks: Cell<Vec<TaskRef>>,
}

impl Shuffle {
    pub(crate) fn new(seed: u64) -> Shuffle {
        Shuffle {
            state: Cell::new(seed),
            tasks: Cell::new(Vec::new()),
        }
    }

    /// Puts what is in the queue into another order.
    pub(crate) fn permute(&self, queue: &ReadyQueue) {
        let mut tasks = self.tasks.take();
        tasks.extend(std::iter::from_fn(|| queue.pop_front()));
        for last in (1..tasks.len()).rev() {
            tasks.swap(last, self.below(last as u64 + 1) as usize);
        }
        // They keep their flag: they were never out of the queue, as far as anyone can see.
        tasks.drain(..).for_each(|task| queue.push_back(task));
        self.tasks.set(tasks);
    }

    /// A number below `end`. The high half of a product is unbiased enough: by 2^-64 times `end`.
    fn below(&self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation for the seed 1234567.
    #[test]
    fn the_numbers_are_those_of_the_paper() {
        let shuffle = Shuffle::new(1_234_567);
        let numbers = [shuffle.next(), shuffle.next(), shuffle.next()];
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
