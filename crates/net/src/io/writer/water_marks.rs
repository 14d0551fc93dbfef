//! When does a writer's buffer count as full, and when as empty enough?

/// The marks of a writer's buffer.
///
/// The buffer is full when it holds more than `high` bytes, and stays so until it holds no more than `low`.
/// Marks that are close together wake who waits for little; far apart they let the buffer run empty.
///
/// # Examples
/// ```
/// # mod tulipa { pub use tulipa_net::io; }
/// use tulipa::io::WaterMarks;
///
/// let marks = WaterMarks::default();
/// assert_eq!((marks.high(), marks.low()), (64 * 1024, 16 * 1024));
/// assert_eq!(WaterMarks::from_high(1000), WaterMarks::new(1000, 250));
/// assert_eq!(WaterMarks::from_low(1000), WaterMarks::new(4000, 1000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "set_write_buffer_limits")]
pub struct WaterMarks {
    high: usize,
    low: usize,
}

impl WaterMarks {
    /// These marks.
    ///
    /// # Panics
    /// When `low` is above `high`.
    #[track_caller]
    pub const fn new(high: usize, low: usize) -> WaterMarks {
        assert!(low <= high, "the low water mark is above the high one");
        WaterMarks { high, low }
    }

    /// This high mark, and a quarter of it as the low one. Zero means that everything must be sent before more may come.
    pub const fn from_high(high: usize) -> WaterMarks {
        WaterMarks {
            high,
            low: high / 4,
        }
    }

    /// This low mark, and four times of it as the high one.
    pub const fn from_low(low: usize) -> WaterMarks {
        WaterMarks {
            high: low.saturating_mul(4),
            low,
        }
    }

    /// The high mark.
    pub const fn high(self) -> usize {
        self.high
    }

    /// The low mark.
    pub const fn low(self) -> usize {
        self.low
    }
}

impl Default for WaterMarks {
    /// 64 KiB and 16 KiB, as in asyncio.
    fn default() -> WaterMarks {
        WaterMarks::from_high(64 * 1024)
    }
}
