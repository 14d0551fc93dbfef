//! Bytes requested from the allocator and not given back, counted while a case asks for it.
//!
//! All children use this allocator, since one binary has one. While nothing is counted it costs a
//! load and a predictable branch per call, the same for every runtime.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES_HELD: AtomicI64 = AtomicI64::new(0);

/// Starts counting. Only what happens from here on is counted.
pub(crate) fn start() {
    COUNTS.store(true, Relaxed);
}

/// The bytes requested less the bytes given back since [`start`].
///
/// These are the sizes that were asked for, without the allocator's own overhead: its headers,
/// rounding and fragmentation show in the resident set only.
pub(crate) fn bytes_held() -> i64 {
    BYTES_HELD.load(Relaxed)
}

struct Counting;

impl Counting {
    #[inline]
    fn count(bytes: i64) {
        if COUNTS.load(Relaxed) {
            BYTES_HELD.fetch_add(bytes, Relaxed);
        }
    }
}

// SAFETY: every method passes its arguments on to `System` and returns what that returned; the
// counting beside it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is the one of `System`.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as i64));
        // SAFETY: as above; `ptr` came from `System`, which made all our blocks.
        unsafe { System.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as i64);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::count(new_size as i64 - layout.size() as i64);
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}
