//! Timing and medians.

use std::time::Duration;

/// Times one call.
#[expect(clippy::disallowed_methods, reason = "this is the stopwatch")]
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Middle value; of two middle ones the smaller.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}
