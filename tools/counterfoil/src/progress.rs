//! A bar on stderr while receipts stream, where stderr is a terminal.

use core::time::Duration;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

const REDRAWS_PER_SECOND: u8 = 10;

/// Progress over a known or unknown number of steps, and the time since it began.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// Counts receipts towards a total.
    pub(crate) fn of_receipts(total: u64) -> Self {
        Self::new(Some(total), "{bar:32} {human_pos} of {human_len} receipts  {msg}", "")
    }

    /// Counts bytes of a file, or of something without a known end.
    pub(crate) fn of_bytes(total: Option<u64>) -> Self {
        Self::new(total, "{bar:32} {bytes} of {total_bytes}  {msg}", "{spinner} {bytes}  {msg}")
    }

    fn new(total: Option<u64>, with_end: &str, without_end: &str) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
        let bar = ProgressBar::with_draw_target(total, target);
        let template = if total.is_some() { with_end } else { without_end };
        bar.set_style(ProgressStyle::with_template(template).expect("a constant template"));
        Self { bar, begun: Instant::now() }
    }

    /// So far: steps towards the total, and receipts acknowledged.
    pub(crate) fn at(&self, position: u64, receipts: u64) {
        self.bar.set_position(position);
        self.bar.set_message(format!("{} receipts/s", per_second(receipts, self.elapsed())));
    }

    /// So far, where nothing but steps is counted.
    pub(crate) fn reached(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Time since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A rate for people.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "shown only")]
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(1e-3)) as u64
}
