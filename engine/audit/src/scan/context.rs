//! What is known before a segment is read, the same for every thread.

use super::keys::Keys;
use super::manifest::Listed;
use crate::source::Source;
use crate::trust::Options;
use counterfoil_proof::{LeafHash, TreeSize};
use counterfoil_rules::{Rules, Violation};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often progress is told, in receipts.
const PROGRESS_EVERY: u64 = 1 << 16;

/// The ledger as its small files and its genesis describe it. Nothing in it changes while segments are read.
pub(super) struct Context<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) options: &'a Options,
    pub(super) listed: Listed,
    pub(super) keys: Keys,
    /// The rules after genesis; `None` when genesis cannot be read.
    pub(super) rules: Option<Rules>,
    /// Why the first receipt is no genesis.
    pub(super) bad_genesis: Option<Violation>,
    pub(super) ledger_id: Option<LeafHash>,
    /// The durable mark as HEAD and MANIFEST state it. Only frames of the last segment can raise it.
    pub(super) mark: TreeSize,
    /// Size in the newest slot of HEAD: the signatures of frames from here on are checked.
    pub(super) head_size: Option<TreeSize>,
    /// Tree sizes whose root is asked for at the end.
    pub(super) watched: BTreeSet<u64>,
    pub(super) read: AtomicU64,
}

impl Context<'_> {
    /// Counts receipts that were read, and tells whoever waits.
    pub(super) fn tell(&self, receipts: u64) {
        let before = self.read.fetch_add(receipts, Ordering::Relaxed);
        let now = before + receipts;
        if let Some(tell) = self.options.progress
            && now / PROGRESS_EVERY > before / PROGRESS_EVERY
        {
            tell(TreeSize(now));
        }
    }
}
