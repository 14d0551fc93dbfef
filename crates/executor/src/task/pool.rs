//! Freed task blocks, kept for the next tasks of the same size.
//!
//! A program that spawns a task for each request asks for the same few sizes again and again, and the
//! global allocator charges 15 ns for a pair of calls, or far more when a burst of tasks makes it take
//! memory from the system and give it back. So the owner thread keeps what it frees, in one list for
//! each size, linked through the blocks themselves.
//!
//! # What is kept
//! Up to [`FREE_OF_CHARGE`] bytes without question. Beyond that, whenever the loop is about to go idle,
//! blocks that were not needed since it last was are given back: for each size as many as the list
//! held at its shortest. So memory follows the load down, and a steady load never meets the allocator.
//!
//! # Invariants
//! 1. Every block in the list of a size was allocated with the layout of that size, and nobody uses it.
//! 2. Each block is its own allocation: any thread may give it back to the global allocator.

#![allow(unsafe_code, reason = "fence: the memory of task blocks")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;

/// Sizes grow in steps of this, as the common allocators round anyway.
const STEP: usize = 16;
/// What is left of the first step: the allocator's own word is there, in front of each block.
const OVERHEAD: usize = 8;
/// One list for each number below this many steps; larger blocks are not kept.
const SIZES: usize = 64;

/// The size of a block of this many steps, at least one.
#[inline]
const fn size_of_steps(steps: usize) -> usize {
    steps * STEP - OVERHEAD
}
/// Kept whatever the load: 64 KiB, some hundreds of tasks. Less would make small servers meet the
/// allocator at every lull, more would be noticed in programs with many loops.
const FREE_OF_CHARGE: usize = 64 * 1024;

pub(crate) struct Pool {
    sizes: [Size; SIZES],
    /// Bit `n`: the list of `n` steps may hold blocks. Bit 0, which is no size: see [`GROWN`].
    occupied: Cell<u64>,
    is_closed: Cell<bool>,
}

struct Size {
    first: Cell<Option<NonNull<Free>>>,
    len: Cell<u32>,
    /// The least `len` since the loop last went idle.
    shortest: Cell<u32>,
}

/// A block nobody uses.
struct Free {
    next: Option<NonNull<Free>>,
}

/// How blocks of one layout are allocated, and kept.
#[derive(Clone, Copy)]
pub(crate) struct BlockSize {
    /// What they are really allocated with.
    rounded: Layout,
    /// The size in steps; [`NOT_KEPT`] if blocks of it are not kept when they are freed.
    steps: usize,
}

const NOT_KEPT: usize = SIZES;

/// Blocks were freed since the pool was last found to be free of charge. So a loop that spawns nothing
/// tests one bit before it waits.
const GROWN: u64 = 1;

impl BlockSize {
    /// For blocks of this layout, whose size is not zero.
    pub(crate) const fn of(layout: Layout) -> BlockSize {
        let steps = (layout.size() + OVERHEAD).div_ceil(STEP);
        if steps < SIZES
            && layout.align() <= STEP
            && let Ok(rounded) = Layout::from_size_align(size_of_steps(steps), STEP)
        {
            return BlockSize { rounded, steps };
        }
        BlockSize {
            rounded: layout,
            steps: NOT_KEPT,
        }
    }
}

impl Pool {
    pub(crate) fn new() -> Pool {
        let empty = || Size {
            first: Cell::new(None),
            len: Cell::new(0),
            shortest: Cell::new(0),
        };
        Pool {
            sizes: std::array::from_fn(|_| empty()),
            occupied: Cell::new(0),
            is_closed: Cell::new(false),
        }
    }

    /// Memory for a block.
    #[inline]
    pub(crate) fn allocate(&self, size: BlockSize) -> NonNull<u8> {
        match self.pop(size.steps) {
            Some(block) => block.cast(),
            None => fresh(size),
        }
    }

    #[inline]
    fn pop(&self, steps: usize) -> Option<NonNull<Free>> {
        let size = self.sizes.get(steps)?;
        let block = size.first.get()?;
        // SAFETY: invariant 1: it is there, and nobody else uses it.
        let next = unsafe { block.as_ref() }.next;
        size.first.set(next);
        let len = size.len.get() - 1;
        size.len.set(len);
        if len < size.shortest.get() {
            size.shortest.set(len);
        }
        Some(block)
    }

    /// Whether a block of this size is kept when it comes back.
    #[inline]
    pub(crate) fn keeps(&self, size: BlockSize) -> bool {
        size.steps < SIZES && !self.is_closed.get()
    }

    /// Takes a block back. Owner thread only.
    ///
    /// # Safety
    /// `block` came from [`Pool::allocate`] of this pool with this size, and nobody uses it any more.
    #[inline]
    pub(crate) unsafe fn free(&self, block: NonNull<u8>, size: BlockSize) {
        let steps = size.steps;
        let Some(list) = self.sizes.get(steps).filter(|_| !self.is_closed.get()) else {
            // SAFETY: by the caller.
            return unsafe { free_elsewhere(block, size) };
        };
        let block = block.cast::<Free>();
        // SAFETY: by the caller it is ours; it holds a pointer at least, and is aligned to a step.
        unsafe {
            block.write(Free {
                next: list.first.get(),
            })
        };
        list.first.set(Some(block));
        list.len.set(list.len.get() + 1);
        self.occupied.set(self.occupied.get() | 1 << steps | GROWN);
    }

    /// Gives back what the load since the last call did not need. To be called when the loop goes idle.
    #[inline]
    pub(crate) fn trim(&self) {
        if self.occupied.get() & GROWN != 0 {
            self.trim_grown();
        }
    }

    #[inline(never)]
    fn trim_grown(&self) {
        if self.kept_bytes() > FREE_OF_CHARGE {
            self.trim_all();
        } else {
            self.occupied.set(self.occupied.get() & !GROWN);
        }
    }

    /// Added up here, where the loop is about to wait, rather than counted at every spawn. Programs have a
    /// handful of sizes.
    fn kept_bytes(&self) -> usize {
        let kept = |steps: usize| self.sizes[steps].len.get() as usize * size_of_steps(steps);
        self.occupied_sizes().map(kept).sum()
    }

    /// The sizes, in steps, that may hold blocks.
    fn occupied_sizes(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.occupied.get() & !GROWN;
        std::iter::from_fn(move || {
            let steps = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(steps)
        })
    }

    #[cold]
    fn trim_all(&self) {
        for steps in self.occupied_sizes() {
            for _ in 0..self.sizes[steps].shortest.get() {
                self.give_back_one(steps);
            }
            let size = &self.sizes[steps];
            size.shortest.set(size.len.get());
        }
    }

    fn give_back_one(&self, steps: usize) {
        if let (Some(block), Ok(layout)) = (
            self.pop(steps),
            Layout::from_size_align(size_of_steps(steps), STEP),
        ) {
            // SAFETY: invariant 1.
            unsafe { dealloc(block.as_ptr().cast(), layout) };
        }
    }

    /// Gives everything back; from now on nothing is kept.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        for steps in self.occupied_sizes() {
            for _ in 0..self.sizes[steps].len.get() {
                self.give_back_one(steps);
            }
        }
    }
}

/// Gives a block to the global allocator, on any thread.
///
/// # Safety
/// `block` came from [`Pool::allocate`] with this size, and nobody uses it any more.
#[cold]
pub(crate) unsafe fn free_elsewhere(block: NonNull<u8>, size: BlockSize) {
    // SAFETY: by the caller, it was allocated with the rounded layout.
    unsafe { dealloc(block.as_ptr(), size.rounded) };
}

#[cold]
fn fresh(size: BlockSize) -> NonNull<u8> {
    // SAFETY: a task's block has a header, so its size is not zero.
    let block = unsafe { alloc(size.rounded) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(size.rounded))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SMALL: BlockSize = BlockSize::of(Layout::new::<[u64; 14]>());
    const LARGER: BlockSize = BlockSize::of(Layout::new::<[u64; 20]>());

    fn blocks(pool: &Pool, count: usize) -> Vec<NonNull<u8>> {
        (0..count).map(|_| pool.allocate(SMALL)).collect()
    }

    fn free_all(pool: &Pool, blocks: Vec<NonNull<u8>>) {
        for block in blocks {
            // SAFETY: each came from `blocks`, with this size.
            unsafe { pool.free(block, SMALL) };
        }
    }

    #[test]
    fn a_freed_block_is_the_next_one_of_its_size() {
        let pool = Pool::new();
        let block = pool.allocate(SMALL);
        // SAFETY: allocated just now with these sizes.
        unsafe { pool.free(block, SMALL) };
        let other = pool.allocate(LARGER);
        assert_ne!(other, block);
        assert_eq!(pool.allocate(SMALL), block);
        // SAFETY: as above.
        unsafe {
            pool.free(block, SMALL);
            pool.free(other, LARGER);
        }
        pool.close();
        assert_eq!(pool.kept_bytes(), 0);
    }

    #[test]
    fn what_a_burst_left_is_given_back_over_two_lulls_and_a_little_is_kept() {
        let pool = Pool::new();
        let burst = blocks(&pool, 10_000);
        free_all(&pool, burst);
        assert_eq!(pool.kept_bytes(), 10_000 * 120);
        pool.trim(); // The burst itself counts as need.
        assert_eq!(pool.kept_bytes(), 10_000 * 120);
        for _ in 0..3 {
            let steady = blocks(&pool, 1_000);
            free_all(&pool, steady);
            pool.trim();
            assert_eq!(pool.kept_bytes(), 1_000 * 120);
        }
        pool.trim();
        assert_eq!(pool.kept_bytes(), 0);
        let few = blocks(&pool, 100);
        free_all(&pool, few);
        pool.trim();
        pool.trim();
        assert_eq!(pool.kept_bytes(), 100 * 120);
        pool.close();
    }

    #[test]
    fn large_and_over_aligned_blocks_are_not_kept() {
        let pool = Pool::new();
        for layout in [
            Layout::new::<[u8; 4096]>(),
            Layout::from_size_align(128, 64).unwrap(),
        ] {
            let size = BlockSize::of(layout);
            let block = pool.allocate(size);
            assert_eq!(block.addr().get() % layout.align(), 0);
            // SAFETY: allocated just now with this size.
            unsafe { pool.free(block, size) };
            assert_eq!(pool.kept_bytes(), 0);
        }
    }
}
