//! The running task: whose code is this?
//!
//! The executor sets it around each poll, so that primitives and sockets can say who holds or
//! awaits them without knowing an executor.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;

/// Names a task, for as long as the process lives.
///
/// Ids are given out in spawn order, one sequence for each event loop; a loop other than the
/// process's first shows as a prefix, `2:17`.
///
/// # Layout
/// The lower 48 bits count the tasks of a loop, the upper 16 the loops of the process. A loop that
/// spawns 100,000 tasks a second repeats an id after 89 years, a process that makes one loop a
/// second repeats loop numbers after 18 hours: an id names a live task, not a historical one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

const SEQUENCE_BITS: u32 = 48;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;

impl TaskId {
    /// The id of task number `sequence` of loop number `loop_number`, both counted from one.
    #[inline]
    pub fn new(loop_number: u16, sequence: u64) -> TaskId {
        let bits = u64::from(loop_number) << SEQUENCE_BITS | sequence & SEQUENCE_MASK;
        TaskId(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// The id after this one, in the same loop. After 2^48 it begins again with the first.
    #[inline]
    pub fn next(self) -> TaskId {
        let next = self.0.get().wrapping_add(1);
        match NonZeroU64::new(next) {
            Some(id) if next & SEQUENCE_MASK != 0 => TaskId(id),
            _ => self.first(),
        }
    }

    /// The first id in the same loop.
    #[cold]
    fn first(self) -> TaskId {
        TaskId::new((self.0.get() >> SEQUENCE_BITS) as u16, 1)
    }

    /// How many ids before `later`, of the same loop, this one was given out; zero if too many to count.
    #[inline]
    pub fn distance_to(self, later: TaskId) -> u32 {
        u32::try_from(later.0.get().wrapping_sub(self.0.get())).unwrap_or(0)
    }

    /// The id given out `distance` tasks before this one, in the same loop.
    pub fn before(self, distance: u64) -> TaskId {
        let bits = self.0.get();
        let sequence = (bits & SEQUENCE_MASK).wrapping_sub(distance) & SEQUENCE_MASK;
        TaskId(NonZeroU64::new(bits & !SEQUENCE_MASK | sequence).unwrap_or(NonZeroU64::MIN))
    }

    /// The id whose lower 56 bits are those of `bits`, in a loop with a number near that of this one's loop: what a
    /// wait label keeps of an id.
    pub fn with_lower_bits(self, bits: u64) -> TaskId {
        const MASK: u64 = (1 << 56) - 1;
        let bits = self.0.get() & !MASK | bits & MASK;
        TaskId(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// Which task of its loop it is, counted from one.
    #[inline]
    pub fn sequence(self) -> u64 {
        self.0.get() & SEQUENCE_MASK
    }

    /// The id as a number, for logs.
    #[inline]
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (loop_number, sequence) = (self.0.get() >> SEQUENCE_BITS, self.0.get() & SEQUENCE_MASK);
        if loop_number > 1 {
            write!(f, "{loop_number}:")?;
        }
        write!(f, "{sequence}")
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for TaskId {
    /// As it prints: a number would not survive readers that take numbers for floats.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

thread_local! {
    static CURRENT: Cell<Option<TaskId>> = const { Cell::new(None) };
}

/// The task being polled on this thread, if any.
#[inline]
pub fn task_id() -> Option<TaskId> {
    CURRENT.get()
}

/// Says which task is being polled now, and returns what was set before.
#[inline]
pub fn set_task_id(id: Option<TaskId>) -> Option<TaskId> {
    CURRENT.replace(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_their_loop_unless_it_is_the_first() {
        assert_eq!(TaskId::new(1, 17).to_string(), "17");
        assert_eq!(TaskId::new(2, 17).to_string(), "2:17");
        assert_eq!(format!("{:?}", TaskId::new(1, 3)), "TaskId(3)");
        assert_eq!(size_of::<Option<TaskId>>(), 8);
    }

    #[test]
    fn an_id_is_found_again_from_what_a_label_keeps() {
        let (one, other) = (TaskId::new(0x1234, 5), TaskId::new(0x1233, 6));
        assert_eq!(one.with_lower_bits(other.as_u64()), other);
        assert_eq!(one.with_lower_bits(other.as_u64() & ((1 << 56) - 1)), other);
    }

    #[test]
    fn ids_follow_one_another_within_their_loop() {
        assert_eq!(TaskId::new(2, 3).next(), TaskId::new(2, 4));
        for loop_number in [0, 2, u16::MAX] {
            let last = TaskId::new(loop_number, SEQUENCE_MASK);
            assert_eq!(last.next(), TaskId::new(loop_number, 1));
        }
    }
}
