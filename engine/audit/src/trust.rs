//! What the verifier is told from outside.

use core::num::NonZeroUsize;
use counterfoil_proof::{LeafHash, SignedCheckpoint, Timestamp, TreeSize, TrustPolicy};

/// Which keys are believed, and what is known of the ledger already.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Whose signatures count.
    pub anchor: Anchor,
    /// The ledger's id, if it is known.
    pub genesis: Option<LeafHash>,
    /// Checkpoints of this ledger that were kept earlier.
    pub seen: Vec<SignedCheckpoint>,
}

/// Whose signatures count.
#[derive(Clone, Debug)]
pub enum Anchor {
    /// Keys that came from outside.
    Policy(TrustPolicy),
    /// The key that the ledger's own genesis names. This shows that the ledger fits together, not whose it is.
    SelfAsserted,
}

impl Trust {
    /// Trust in this anchor and nothing else.
    #[must_use]
    pub fn new(anchor: Anchor) -> Self {
        Self { anchor, genesis: None, seen: Vec::new() }
    }
}

/// How to verify a ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Check the signature of every frame, not only of each segment's last and of those at the head.
    pub all_signatures: bool,
    /// The moment for which holes are judged; the last receipt's time when `None`.
    pub as_of: Option<Timestamp>,
    /// Told the number of receipts read, from time to time and from any thread.
    pub progress: Option<fn(TreeSize)>,
    /// How many segments are judged at once; as many as there are cores when `None`. The report is the same for any
    /// number; memory grows with it.
    pub threads: Option<NonZeroUsize>,
}
