//! Streams: where each stands and where its receipts are.
//!
//! A stream's receipts below the end of the last sealed segment are found through the sorted indexes that the manifest
//! pins, all others are in memory. So a stream's head, or that a stream is new, is answered under gapless coverage, and a
//! head that an index names is confirmed against its receipt before it is used.

mod build;
mod lookup;
mod merge;
mod runs;
mod slots;

pub(crate) use build::{Known, write_segment_index};
pub(crate) use lookup::{disagrees, positions, resolve};
pub(crate) use merge::{Merge, Output, STEP_RECORDS, due};
pub(crate) use runs::{Run, RunFiles, Runs};
pub(crate) use slots::{Slot, Slots};

use counterfoil_proof::{StreamName, TreeSize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// All streams of a ledger.
pub(crate) struct Streams {
    pub(crate) slots: Slots,
    runs: RwLock<Arc<Runs>>,
    /// Streams that have a receipt, the control stream included.
    count: AtomicU64,
}

impl Streams {
    pub(crate) fn new(slots: Slots, runs: Runs, count: u64) -> Self {
        Self { slots, runs: RwLock::new(Arc::new(runs)), count: AtomicU64::new(count) }
    }

    pub(crate) fn runs(&self) -> Arc<Runs> {
        self.runs.read().expect("no thread panics with this lock").clone()
    }

    pub(crate) fn covered(&self) -> TreeSize {
        self.runs().covered()
    }

    /// Puts other indexes in the place of those there are; they cover the same.
    pub(crate) fn replace_runs(&self, runs: Runs) {
        *self.runs.write().expect("no thread panics with this lock") = Arc::new(runs);
    }

    /// Makes the index of one more segment known, and lets go of what it covers: receipts of these streams. In this order:
    /// whoever does not find a receipt in memory finds it in the indexes.
    pub(crate) fn add_run(&self, run: Run, streams: &[StreamName]) {
        let mut list = self.runs().list.clone();
        list.push(Arc::new(run));
        self.replace_runs(Runs { list });
        self.slots.forget_below(self.covered(), streams);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn add_new(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}
