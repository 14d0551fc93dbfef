//! Medians, percentiles and spreads of small samples.

/// The middle of `values`; the mean of the two middle ones if their number is even.
///
/// # Panics
/// If `values` is empty or holds a NaN.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// The smallest value that is not below `percent` per cent of `values` (nearest rank).
///
/// # Panics
/// If `values` is empty or holds a NaN.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The smallest and the largest of `values`.
///
/// # Panics
/// If `values` is empty or holds a NaN.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    (sorted[0], sorted[sorted.len() - 1])
}

fn sorted(values: &[f64]) -> Vec<f64> {
    assert!(!values.is_empty(), "a sample holds at least one value");
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
    sorted
}
